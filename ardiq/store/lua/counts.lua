-- How many jobs there are in each state, and how many workers.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: most workers to look at; then lanes
-- RETURNS scheduled, running, succeeded, failed, aborted, expired, workers with a lease, then the length of
--   each lane
-- WHY one script: one round trip, and numbers of one moment

local workers = redis.call('ZRANGE', prefix .. 'workers', 0, tonumber(ARGV[1]) - 1)
local running = 0
for _, worker in ipairs(workers) do
  running = running + redis.call('HLEN', prefix .. 'held:' .. worker)
end
local out = { redis.call('ZCARD', prefix .. 'scheduled'), running }
for _, status in ipairs({ 'succeeded', 'failed', 'aborted', 'expired' }) do
  out[#out + 1] = redis.call('ZCARD', prefix .. 'ended:' .. status)
end
out[#out + 1] = redis.call('ZCOUNT', prefix .. 'workers', clock(), '+inf')
for i = 2, #ARGV do
  out[#out + 1] = redis.call('LLEN', prefix .. 'lane:' .. ARGV[i])
end
return out
