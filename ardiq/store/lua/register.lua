-- Make a worker known: from here on it has a lease and may claim.
-- KEYS 1: prefix
-- ARGV 2 + 2 n: worker, lease ms; then field, value of what people want to know of it
-- RETURNS the time of the server, ms
-- WHY one script: the lease is computed by the clock of the server

local now = clock()
redis.call('ZREM', prefix .. 'workers', '')
redis.call('ZADD', prefix .. 'workers', now + tonumber(ARGV[2]), ARGV[1])
local about = prefix .. 'worker:' .. ARGV[1]
redis.call('HSET', about, 'since', now, unpack(ARGV, 3))
redis.call('PEXPIRE', about, tonumber(ARGV[2]) * 3)
return now
