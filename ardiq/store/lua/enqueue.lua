-- Store new jobs and make them runnable, or scheduled.
-- KEYS 1: prefix
-- ARGV 0 + 6 n: id, lane, due ('' now, '+ms' from now, '=ms' absolute), mode ('' or 'r' replace an ended
--   job of this id), unique ('' or '<ttl ms, 0 none>:<hash>'), tail (the record behind its worker field,
--   with flags as its first byte)
-- RETURNS a list: 1 stored (or stored before by this very call), 0 the id is taken, or the id of the job
--   that holds the unique slot
-- WHY one script: the id, the unique slot and the place in a lane are taken together or not at all; a
--   caller that lost the reply sends the same arguments again and gets the same answer

local now = clock()
local stamp = hex(now)
local out, fresh, simple, seen = {}, {}, true, {}

for i = 1, #ARGV, 6 do
  if ARGV[i + 3] ~= '' or ARGV[i + 4] ~= '' or seen[ARGV[i]] then
    simple = false
    break
  end
  seen[ARGV[i]] = true
end

local function due_of(text)
  local sign = string.sub(text, 1, 1)
  if sign == '+' then
    return now + tonumber(string.sub(text, 2))
  elseif sign == '=' then
    return tonumber(string.sub(text, 2))
  end
  return now
end

local function record(i)
  local due = ARGV[i + 2] == '' and now or due_of(ARGV[i + 2])
  local tail = ARGV[i + 5]
  local letter, at = 'Q', stamp
  if due > now then
    letter, at = 'D', hex(due)
  end
  return letter .. string.sub(tail, 1, 1) .. '00000' .. stamp .. at .. '00000000' .. string.sub(tail, 2), due
end

local function live(id)
  local letter = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 0)
  return letter == 'Q' or letter == 'D' or letter == 'R'
end

local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }

local function taken(i, value)
  local key = prefix .. 'job:' .. ARGV[i]
  local old = redis.call('GET', key)
  local tail = string.sub(ARGV[i + 5], 2)
  if string.sub(old, 38, 37 + #tail) == tail then
    return 1, false
  end
  local ended = ENDED[string.sub(old, 1, 1)]
  if ARGV[i + 3] == 'r' and ended then
    redis.call('SET', key, value)
    redis.call('ZREM', prefix .. 'ended:' .. ended, ARGV[i])
    return 1, true
  end
  return 0, false
end

local function store(i)
  local id, value, due = ARGV[i], record(i)
  local ttl, unique = string.match(ARGV[i + 4], '^(%d+):(.*)$')
  if unique then
    local holder = redis.call('GET', prefix .. 'unique:' .. unique)
    if holder and holder ~= id and live(holder) then
      return holder
    end
  end
  local answer, new = 1, true
  if not redis.call('SET', prefix .. 'job:' .. id, value, 'NX') then
    answer, new = taken(i, value)
  end
  if new then
    fresh[#fresh + 1] = { i, due }
    if unique and tonumber(ttl) > 0 then
      redis.call('SET', prefix .. 'unique:' .. unique, id, 'PX', ttl)
    elseif unique then
      redis.call('SET', prefix .. 'unique:' .. unique, id)
    end
  end
  return answer
end

if simple then
  local pairs_, dues = {}, {}
  for i = 1, #ARGV, 6 do
    pairs_[#pairs_ + 1] = prefix .. 'job:' .. ARGV[i]
    pairs_[#pairs_ + 1], dues[#dues + 1] = record(i)
  end
  -- One command for the whole batch when every id is new, as almost always.
  if #pairs_ > 0 and redis.call('MSETNX', unpack(pairs_)) == 1 then
    for n, due in ipairs(dues) do
      fresh[n] = { (n - 1) * 6 + 1, due }
      out[n] = 1
    end
  else
    simple = false
  end
end
if not simple then
  for i = 1, #ARGV, 6 do
    out[#out + 1] = store(i)
  end
end

local lanes, scheduled, head = {}, {}, nil
for _, item in ipairs(fresh) do
  local i, due = item[1], item[2]
  if due > now then
    scheduled[#scheduled + 1] = due
    scheduled[#scheduled + 1] = ARGV[i]
    if not head or due < head then
      head = due
    end
  else
    local lane = lanes[ARGV[i + 1]]
    if not lane then
      lane = {}
      lanes[ARGV[i + 1]] = lane
    end
    lane[#lane + 1] = ARGV[i]
  end
end
for lane, ids in pairs(lanes) do
  redis.call('RPUSH', prefix .. 'lane:' .. lane, unpack(ids))
end
if head then
  redis.call('ZADD', prefix .. 'scheduled', unpack(scheduled))
  -- A sleeping worker knows the earliest due time; it must hear of an earlier one.
  local first = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
  if tonumber(first[2]) >= head then
    wake()
  end
end
if next(lanes) then
  wake()
end
return out
