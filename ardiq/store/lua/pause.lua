-- Hand out no more jobs of a queue, or of one of its lanes, until it is resumed.
-- KEYS 1: prefix
-- ARGV 2: place ('queue' or 'lane:<lane>'), who and why, for people
-- RETURNS 1 if it was running, 0 if it was paused: then who, why and since when are said anew
-- WHY one script: the clock of the server says since when, and workers are told once it holds

local key = prefix .. 'paused'
-- First a write that a full server never refuses: a queue that has run full must be one that can be paused (R8).
local was = redis.call('HDEL', key, ARGV[1])
redis.call('HSET', key, ARGV[1], clock() .. '\n' .. ARGV[2])
-- What a worker has taken and not begun goes back; no id begins with a newline (core/job.py).
redis.call('PUBLISH', prefix .. 'control', '\npause')
return 1 - was
