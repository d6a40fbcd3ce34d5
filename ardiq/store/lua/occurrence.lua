-- Note how the last job of a recurring task ended. It is put where a script says '-- WITH occurrence'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a worker tells how a job ended, but one that is stopped or removed while it waits ends in other scripts.
--   Another job of the task, by hand or of an earlier occurrence, must not hide how the last one ended. Never with
--   an error, since all of them are in the middle of their writes

-- status: of the job, or 'deleted'. Answers whether it was the last one that its timetable has fired.
local function occurrence_ended(name, id, status, at)
  local cron = prefix .. 'cron'
  if redis.pcall('HGET', cron, 'last:' .. name) ~= id then
    return false
  end
  redis.pcall('HSET', cron, 'ended:' .. name, string.format('%s %.0f %s', status, at, id))
  return true
end
