-- Move a bounded piece of what waits in one lane to the end of another, in its order.
-- KEYS 1: prefix
-- ARGV 3: lane, lane to move to, most jobs to look at
-- RETURNS {how many were looked at, how many were moved}
-- WHY one script: no worker may claim a job between the look at it and its move; and a piece each time, so that
--   a million jobs hold nobody up

local from, to = ARGV[1], ARGV[2]
-- The first write is one that a full server never refuses: a full queue must be one that can be worked off (R8).
local ids = redis.call('LPOP', prefix .. 'lane:' .. from, tonumber(ARGV[3])) or {}
if #ids == 0 then
  return { 0, 0 }
end
local stamp, bytes, looked = hex(clock()), 0, 0
local moved, left, rest = {}, {}, {}
for _, id in ipairs(ids) do
  if bytes > 4194304 then
    table.insert(rest, 1, id)  -- large jobs: the next piece takes them
  else
    looked = looked + 1
    local key = prefix .. 'job:' .. id
    local record = redis.call('GET', key)
    -- A lane may hold ids of jobs that are elsewhere by now: the record decides, and they are dropped.
    if record and string.sub(record, 1, 1) == 'Q' and string.sub(record, 38, 38 + #from) == from .. '\n' then
      if redis.call('ZSCORE', prefix .. 'aborts', id) then
        left[#left + 1] = id  -- told to abort: it has no business but to be claimed from where it is
      else
        bytes = bytes + #record
        redis.call('SET', key, string.sub(record, 1, 18) .. stamp .. '00000000' .. to .. string.sub(record, 38 + #from))
        moved[#moved + 1] = id
      end
    end
  end
end
if #rest > 0 then
  redis.call('LPUSH', prefix .. 'lane:' .. from, unpack(rest))
end
if #left > 0 then
  redis.call('RPUSH', prefix .. 'lane:' .. from, unpack(left))
end
if #moved > 0 then
  redis.call('RPUSH', prefix .. 'lane:' .. to, unpack(moved))
  wake()
end
return { looked, #moved }
