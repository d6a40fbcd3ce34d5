-- Note how a job of a recurring task ended. It is put where a script says '-- WITH occurrence'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a worker tells how a job ended, but one that is stopped or removed while it waits ends in other scripts.
--   Another job of the task, by hand or of an earlier occurrence, must not hide how the last one ended. Never with
--   an error, since all of them are in the middle of their writes

-- status: of the job, or 'deleted'. Answers whether it was the last one that its timetable has fired.
local function occurrence_ended(name, id, status, at)
  local cron = prefix .. 'cron'
  local found = redis.pcall('HMGET', cron, 'last:' .. name, 'runs:' .. name)
  local ending = string.format('%s %.0f', status, at)
  if found[2] then
    -- A line is 'occurrence id', then ' status ms' once it has ended; a job that ran again has ended anew.
    local line = '\n(%d+) ' .. string.gsub(id, '%W', '%%%0') .. '%f[ \n][^\n]*\n'
    local runs, count = string.gsub('\n' .. found[2], line, function(due)
      return '\n' .. due .. ' ' .. id .. ' ' .. ending .. '\n'
    end)
    if count > 0 then
      redis.pcall('HSET', cron, 'runs:' .. name, string.sub(runs, 2))
    end
  end
  if found[1] ~= id then
    return false
  end
  redis.pcall('HSET', cron, 'ended:' .. name, ending .. ' ' .. id)
  return true
end
