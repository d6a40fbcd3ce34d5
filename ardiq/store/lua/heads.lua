-- How long the first job of each lane has been ready, and when the next scheduled one is due.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: how many ids of a lane to look at; then lanes
-- RETURNS {now, due of the next scheduled job or 0, then for each lane since when its first job is ready, or 0}
-- WHY one script: a lane holds ids and no times, and its head may have moved before a second look

local out = { clock(), 0 }
local due = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
if due[2] then
  out[2] = math.floor(tonumber(due[2]))
end
for i = 2, #ARGV do
  local lane, since = ARGV[i], 0
  for _, id in ipairs(redis.call('LRANGE', prefix .. 'lane:' .. lane, 0, tonumber(ARGV[1]) - 1)) do
    local record = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 37 + #lane)
    -- A lane may hold ids of jobs that were aborted or moved: the record decides.
    if string.sub(record, 1, 1) == 'Q' and string.sub(record, 38) == lane .. '\n' then
      since = tonumber(string.sub(record, 19, 29), 16) or 0
      break
    end
  end
  out[#out + 1] = since
end
return out
