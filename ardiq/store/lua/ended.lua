-- Note how the last job of a recurring task ended, as its worker has found.
-- KEYS 1: prefix
-- ARGV 4: name, id of the job, status, epoch ms
-- RETURNS 1 or 0: whether it is the last one that its timetable has fired
-- WHY one script: the next one may fire at any moment

-- WITH occurrence

return occurrence_ended(ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])) and 1 or 0
