-- The newest jobs of an object, without the parts that are too large for a list.
-- KEYS 1: prefix
-- ARGV 3: hash of the object, most jobs, largest part in bytes
-- RETURNS how many jobs the object lists; then for each, newest first: id, size of its record in bytes, the record
--   with larger parts left out
-- WHY one script: the list and what it names are of one moment, and those that are gone leave it on the way

-- WITH slim

local key, most, largest = prefix .. 'subject:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local out, gone = { 0 }, {}
for _, id in ipairs(redis.call('ZREVRANGE', key, 0, 2 * most - 1)) do
  if #out < 3 * most then
    local size, record = slim(id, largest)
    if size > 0 then
      out[#out + 1], out[#out + 2], out[#out + 3] = id, size, record
    else
      gone[#gone + 1] = id
    end
  end
end
if #gone > 0 then
  -- Whoever may only look is not hindered by what he may not tidy.
  redis.pcall('ZREM', key, unpack(gone))
end
out[1] = redis.call('ZCARD', key)
return out
