-- Tell a worker what to do: take no more jobs, take some again, or stop.
-- KEYS 1: prefix
-- ARGV 3: worker, order ('quiet', 'work' or 'stop'), who gives it, for people
-- RETURNS 1 if this worker is registered, else 0
-- WHY one script: what is left in its hash, for the case that nobody hears the message, must not outlive it

local about = prefix .. 'worker:' .. ARGV[1]
if not redis.call('ZSCORE', prefix .. 'workers', ARGV[1]) or redis.call('EXISTS', about) == 0 then
  return 0
end
redis.call('HDEL', about, 'order')
redis.call('HSET', about, 'order', ARGV[2], 'ordered_by', ARGV[3], 'ordered_at', clock())
redis.call('PUBLISH', prefix .. 'control', '\n' .. ARGV[2] .. ' ' .. ARGV[1])
return 1
