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
      for name in string.gmatch(names, '%S+') do
        redis.pcall('PUBLISH', prefix .. 'done:' .. name, ids[i])
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

local function release(unique, id)
  if unique == '' then
    return
  end
  local key = prefix .. 'unique:' .. unique
  if redis.pcall('GET', key) == id then
    redis.call('DEL', key)
  end
end
