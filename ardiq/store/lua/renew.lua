-- Renew the lease of a worker, for all that it holds at once.
-- KEYS 1: prefix
-- ARGV 3 + 2 n: worker, lease ms, most ids to answer; then field, value of what it does now, for people
-- RETURNS {now, how many jobs the server thinks it holds, the last order for this worker or '', id to abort, ...};
--   {now, -1} when the lease is lost
-- WHY one script: the answer must be of the same moment as the renewal

local me, lease = ARGV[1], tonumber(ARGV[2])
local now = clock()
local workers = prefix .. 'workers'
if not redis.call('ZSCORE', workers, me) then
  return { now, -1 }
end
redis.call('ZREM', workers, '')
redis.call('ZADD', workers, now + lease, me)
local about = prefix .. 'worker:' .. me
redis.call('HSET', about, 'seen', now, unpack(ARGV, 4))
redis.call('PEXPIRE', about, lease * 3)
local held = prefix .. 'held:' .. me
local out = { now, redis.call('HLEN', held), redis.call('HGET', about, 'order') or '' }
local marked = redis.call('ZRANGE', prefix .. 'aborts', 0, tonumber(ARGV[3]) - 1)
if #marked > 0 then
  for i, number in ipairs(redis.call('HMGET', held, unpack(marked))) do
    if number then
      out[#out + 1] = marked[i]
    end
  end
end
return out
