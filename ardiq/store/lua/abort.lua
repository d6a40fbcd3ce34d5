-- Stop a job: a waiting one ends here and now, a running one is marked and its worker told.
-- KEYS 1: prefix
-- ARGV 3: id, ms that the record lives on (0 not stored, -1 for ever), outcome (signed bytes)
-- RETURNS 1 if it has ended now, 2 if it runs and was told to stop, 0 if there was nothing to stop
-- WHY one script: between reading the state and ending the job, no worker may claim it

-- WITH opening

local id, ttl = ARGV[1], tonumber(ARGV[2])
local key = prefix .. 'job:' .. id
local record = redis.call('GET', key)
local letter = record and string.sub(record, 1, 1)
local now = clock()
-- First a write that a full server never refuses: a full queue must be one that can be emptied (R8).
redis.call('ZREM', prefix .. 'aborts', '')
if letter == 'R' then
  if redis.call('ZADD', prefix .. 'aborts', 'NX', now, id) == 0 then
    return 0
  end
  redis.call('PUBLISH', prefix .. 'control', id)
  return 2
elseif letter ~= 'Q' and letter ~= 'D' then
  return 0
end

-- WITH tally
-- WITH occurrence

local lane, name, unique, stop = texts(record)
if letter == 'D' then
  redis.call('ZREM', prefix .. 'scheduled', id)
else
  -- A long lane keeps the stale id, and the claim that meets it skips it: removing it is O(length).
  local list = prefix .. 'lane:' .. lane
  if redis.call('LLEN', list) <= 1000 then
    redis.call('LREM', list, 1, id)
  end
end
local calls = tonumber(string.sub(record, stop + 1, stop + 6), 16) or 0
local history = tonumber(string.sub(record, stop + 7, stop + 12), 16) or 0
local ended = 'A' .. string.sub(record, 2, 18) .. hex(now) .. '00000000'
  .. string.sub(record, 38, stop + 12 + calls + history) .. ARGV[3]
open_window(id)
if ttl == 0 then
-- WITH spent
  -- What an earlier run has reported must not outlive the job.
  redis.call('DEL', key, prefix .. 'progress:' .. id, prefix .. 'logs:' .. id)
  spend(now, { now, mark_in(id, string.sub(record, 38)) })
else
  if ttl < 0 then
    redis.call('SET', key, ended)
  else
    redis.call('SET', key, ended, 'PX', ttl)
  end
  redis.call('ZADD', prefix .. 'ended:aborted', now, id)
end
redis.call('ZREM', prefix .. 'aborts', id)
if unique ~= '' then
  release(unique, id)
end
occurrence_ended(name, id, 'aborted', now)
pcall(tally, now, { lane, name, 'A 1' })
notify({ id })
return 1
