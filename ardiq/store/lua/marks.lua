-- Read up to where recurring tasks have fired; one that is new begins now.
-- KEYS 1: prefix
-- ARGV 0 + 1 n: names
-- RETURNS {now, mark ms, ...}
-- WHY one script: the first worker that sees a schedule decides when it begins, for all of them

local cron = prefix .. 'cron'
local now = clock()
local out = { now }
for i = 1, #ARGV do
  redis.call('HSETNX', cron, 'mark:' .. ARGV[i], now)
  out[i + 1] = tonumber(redis.call('HGET', cron, 'mark:' .. ARGV[i]))
end
return out
