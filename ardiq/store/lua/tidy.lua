-- Drop ids of ended jobs whose record is gone, oldest first, from the lists of their statuses.
-- KEYS 1: prefix
-- ARGV 1: most ids to look at in each list
-- RETURNS how many were dropped
-- WHY one script: settling trims the lists, but in a queue where nothing ends any more they would go on
--   listing what has expired; whoever looks at such a queue tidies it on the way, a bounded piece each time

-- WITH groups

local dropped = 0
for _, status in ipairs({ 'succeeded', 'failed', 'aborted', 'expired' }) do
  local index = prefix .. 'ended:' .. status
  local oldest = redis.call('ZRANGE', index, 0, 0)[1]
  if oldest and redis.call('EXISTS', prefix .. 'job:' .. oldest) == 0 then
    local gone = {}
    for _, id in ipairs(redis.call('ZRANGE', index, 0, tonumber(ARGV[1]) - 1)) do
      if redis.call('EXISTS', prefix .. 'job:' .. id) == 0 then
        gone[#gone + 1] = id
      end
    end
    -- Whoever may only look at queues is not hindered by what he may not tidy.
    local removed = redis.pcall('ZREM', index, unpack(gone))
    dropped = dropped + (tonumber(removed) or 0)
    if status == 'failed' then
      leave(gone)
    end
  end
end
return dropped
