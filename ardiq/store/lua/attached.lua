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
  local record = #out < 3 * most and redis.call('GET', prefix .. 'job:' .. id)
  if record then
    out[#out + 1] = id
    out[#out + 1] = #record
    out[#out + 1] = slim(record, largest)
  elseif #out < 3 * most then
    gone[#gone + 1] = id
  end
end
if #gone > 0 then
  -- Whoever may only look is not hindered by what he may not tidy.
  redis.pcall('ZREM', key, unpack(gone))
end
out[1] = redis.call('ZCARD', key)
return out
