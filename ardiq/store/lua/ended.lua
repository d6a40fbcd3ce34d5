-- Note how the last job of a recurring task ended.
-- KEYS 1: prefix
-- ARGV 3: name, id of the job, what to note
-- RETURNS 1 or 0: whether it is the last one that its timetable has fired
-- WHY one script: another job of the task, by hand or of an earlier occurrence, must not hide how the last one
--   ended, and the next one may fire at any moment

local cron = prefix .. 'cron'
if redis.call('HGET', cron, 'last:' .. ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', cron, 'ended:' .. ARGV[1], ARGV[3])
return 1
