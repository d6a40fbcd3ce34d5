-- Move a waiting job: to another lane, to another time, or to both.
-- KEYS 1: prefix
-- ARGV 5: id, lane ('' the one it has), due ('' as it is, '+ms' from now, '=ms' absolute), the lane in which it
--   must be ready ('' wherever it waits), 1 for the head of the lane
-- RETURNS 1 if the job waits, there and then, else 0
-- WHY one script: a job is in a lane or scheduled, never in both or in neither, and no worker may claim it
--   between the look at it and the move

local id, key = ARGV[1], prefix .. 'job:' .. ARGV[1]
local record = redis.call('GET', key)
local letter = record and string.sub(record, 1, 1)
if letter ~= 'Q' and letter ~= 'D' then
  return 0
end
local from = texts(record)
if ARGV[4] ~= '' and (letter == 'D' or from ~= ARGV[4]) then
  return 0
end
-- One that was told to abort, or is cut short, has no business but to be claimed from where it is.
if from == '' or redis.call('ZSCORE', prefix .. 'aborts', id) then
  return 0
end

local now = clock()
local lane = ARGV[2] ~= '' and ARGV[2] or from
local sign, ms = string.match(ARGV[3], '^([+=])(%d+)$')
local due, later = tonumber(string.sub(record, 19, 29), 16), letter == 'D'
if sign then
  due = tonumber(ms) + (sign == '+' and now or 0)
  later = due > now
end
if letter == 'Q' and not later and lane == from then
  return 1  -- it is where it is to be, and keeps its turn
end

-- First a write that a full server never refuses: a full queue must be one that can be worked off (R8).
if not later then
  redis.call('ZREM', prefix .. 'scheduled', id)
else
  redis.call('ZREM', prefix .. 'scheduled', '')
end
if letter == 'Q' then
  -- A long lane keeps the stale id, and the claim that meets it skips it: removing it is O(length).
  local list = prefix .. 'lane:' .. from
  if redis.call('LLEN', list) <= 1000 then
    redis.call('LREM', list, 1, id)
  end
end
-- The time changes with every move, so that whoever has read the head knows that the job has moved since.
local head = (later and 'D' or 'Q') .. string.sub(record, 2, 18) .. hex(later and due or now) .. '00000000'
if lane == from then
  redis.call('SETRANGE', key, 0, head)
else
  redis.call('SET', key, head .. lane .. string.sub(record, 38 + #from))
end
if later then
  redis.call('ZADD', prefix .. 'scheduled', due, id)
  -- A sleeping worker knows the earliest due time; it must hear of an earlier one.
  if redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1] == id then
    wake()
  end
else
  redis.call(ARGV[5] == '1' and 'LPUSH' or 'RPUSH', prefix .. 'lane:' .. lane, id)
  wake()
end
return 1
