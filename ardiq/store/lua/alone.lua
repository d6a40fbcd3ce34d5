-- Note that a suspect is about to run, in a process of its own: should the worker die now, it counts a crash.
-- KEYS 1: prefix
-- ARGV 3: worker, id, number of its claim
-- RETURNS 1, or 0 when the worker does not hold it any more
-- WHY one script: the look at the fence and the mark are one step

if redis.call('HGET', prefix .. 'held:' .. ARGV[1], ARGV[2]) ~= ARGV[3] then
  return 0
end
local key = prefix .. 'job:' .. ARGV[2]
local flags = tonumber(redis.call('GETRANGE', key, 1, 1), 16)
if not flags then
  return 0
end
-- First a write that a full server never refuses, so that suspects run there, too (R8).
redis.call('ZREM', prefix .. 'workers', '')
redis.call('SETRANGE', key, 1, string.format('%x', flags % 8 + 8))
return 1
