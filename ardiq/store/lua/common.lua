-- What every script starts with: the clock, and the two ways to tell somebody. It is put in front
-- of each script by the loader.
-- KEYS 1: the prefix of the queue, hash tag included; every key of the script is derived from it
-- ARGV none of its own
-- RETURNS nothing
-- WHY the clock of the server is the only one that decides anything (R1), so it is read in one place

local prefix = KEYS[1]

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function hex(ms)
  return string.format('%011x', ms)
end

-- One token at most: it says "look", it does not count jobs.
local function wake()
  if redis.call('EXISTS', prefix .. 'wake') == 0 then
    redis.call('RPUSH', prefix .. 'wake', '1')
  end
end

local function notify(ids)
  local waiters = prefix .. 'waiters'
  if #ids == 0 or redis.call('EXISTS', waiters) == 0 then
    return
  end
  local clients = redis.pcall('HMGET', waiters, unpack(ids))
  for i, names in ipairs(clients) do
    if names then
      redis.call('HDEL', waiters, ids[i])
      local full
      for name in string.gmatch(names, '%S+') do
        local told = ids[i]
        if string.sub(name, 1, 1) == '+' then  -- this client takes the record at once, and need not ask for it
          if not full then
            local record = redis.pcall('GETRANGE', prefix .. 'job:' .. ids[i], 0, 4096)
            local fits = type(record) == 'string' and #record > 0 and #record <= 4096
            full = fits and told .. '\n' .. record or told
          end
          told = full
        end
        redis.pcall('PUBLISH', prefix .. 'done:' .. name, told)
      end
    end
  end
end

-- lane, name and unique hash stand behind the fixed head of 37 bytes (core/job.py).
local function texts(record)
  local _, stop, lane, name, unique = string.find(record, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n', 38)
  -- Of a record that is cut short nothing is left out, so that no script stops half-way through its writes.
  return lane or '', name or '', unique or '', stop or #record
end

-- A running job that nobody runs any more is queued again; the place in its lane is for the caller. Nobody runs
-- it in a process of its own now (flag 8); ``died``: its worker did, which counts, but not against a suspect
-- that only waited for such a process (R7). Answers whether it was counted.
local function requeue(id, record, stamp, died)
  local flags = tonumber(string.sub(record, 2, 2), 16) or 0
  local crashes, counted = string.sub(record, 6, 7), false
  if died then
    local number = tonumber(crashes, 16) or 0
    counted = number == 0 or flags >= 8
    if counted then
      number = math.min(number + 1, 255)
    end
    crashes = string.format('%02x', number)
  end
  redis.call('SETRANGE', prefix .. 'job:' .. id, 0, 'Q' .. string.format('%x', flags % 8)
    .. string.sub(record, 3, 5) .. crashes .. string.sub(record, 8, 18) .. stamp .. '00000000')
  return counted
end

local function release(unique, id)
  if unique == '' then
    return
  end
  local key = prefix .. 'unique:' .. unique
  if redis.pcall('GET', key) == id then
    redis.call('DEL', key)
  end
end
