-- Since when the first job of a lane has been ready. It is put where a script says '-- WITH ready'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a lane holds ids and no times, and may hold stale ids: the records decide, and that is told in one place

local function ready_since(lane, most)
  for _, id in ipairs(redis.call('LRANGE', prefix .. 'lane:' .. lane, 0, most - 1)) do
    local record = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 37 + #lane)
    if string.sub(record, 1, 1) == 'Q' and string.sub(record, 38) == lane .. '\n' then
      return tonumber(string.sub(record, 19, 29), 16) or 0
    end
  end
  return 0
end
