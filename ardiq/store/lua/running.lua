-- The jobs that workers hold.
-- KEYS 1: prefix
-- ARGV 2: most workers to look at, most ids to answer
-- RETURNS a list of ids
-- WHY one script: one round trip whatever the number of workers, and bounded by both limits

local out, most = {}, tonumber(ARGV[2])
for _, worker in ipairs(redis.call('ZRANGE', prefix .. 'workers', 0, tonumber(ARGV[1]) - 1)) do
  local found = redis.call('HSCAN', prefix .. 'held:' .. worker, 0, 'COUNT', most)[2]
  for i = 1, #found, 2 do
    if #out >= most then
      return out
    end
    out[#out + 1] = found[i]
  end
end
return out
