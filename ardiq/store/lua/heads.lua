-- How long the first job of each lane has been ready, and when the next scheduled one is due.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: how many ids of a lane to look at; then lanes
-- RETURNS {now, due of the next scheduled job or 0, then for each lane since when its first job is ready, or 0}
-- WHY one script: a lane holds ids and no times, and its head may have moved before a second look

-- WITH ready

local out = { clock(), 0 }
local due = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
if due[2] then
  out[2] = math.floor(tonumber(due[2]))
end
for i = 2, #ARGV do
  out[#out + 1] = ready_since(ARGV[i], tonumber(ARGV[1]))
end
return out
