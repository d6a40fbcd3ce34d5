-- Forget a worker that has settled all it held.
-- KEYS 1: prefix
-- ARGV 1: worker
-- RETURNS how many jobs it still holds; above 0 its lease is left to run out
-- WHY one script: a worker that still holds something must stay in sight of the reaper

local left = redis.call('HLEN', prefix .. 'held:' .. ARGV[1])
if left == 0 then
  redis.call('ZREM', prefix .. 'workers', ARGV[1])
  redis.call('DEL', prefix .. 'worker:' .. ARGV[1])
end
return left
