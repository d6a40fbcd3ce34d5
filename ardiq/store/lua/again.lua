-- Write down that a job was made of another one by running it again.
-- KEYS 1: prefix
-- ARGV 4: id of the old job, id of the new one, most ids to keep, ms to keep them where the old job lives for ever
-- RETURNS how many ids are in the list
-- WHY one script: two people may do it at once, and the list lives for as long as the record of the old job

local key = prefix .. 'again:' .. ARGV[1]
local ids = {}
for id in string.gmatch(redis.call('GET', key) or '', '[^\n]+') do
  ids[#ids + 1] = id
end
ids[#ids + 1] = ARGV[2]
while #ids > tonumber(ARGV[3]) do
  table.remove(ids, 1)
end
local ttl = redis.call('PTTL', prefix .. 'job:' .. ARGV[1])
redis.call('SET', key, table.concat(ids, '\n'), 'PX', ttl > 0 and ttl or ARGV[4])
return #ids
