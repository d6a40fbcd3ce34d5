-- Hand out jobs again.
-- KEYS 1: prefix
-- ARGV 1: place ('queue' or 'lane:<lane>')
-- RETURNS 1 if it was paused, else 0
-- WHY one script: a sleeping worker is woken once there is something to take

local was = redis.call('HDEL', prefix .. 'paused', ARGV[1])
if was == 1 then
  wake()
end
return was
