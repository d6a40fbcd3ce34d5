-- Write down a bulk operation, or how far it is.
-- KEYS 1: prefix
-- ARGV 4 + 2 n: 'new' or 'step', id, ms that it is remembered from now on, most to list; then fields and values
-- RETURNS for 'new' now; for 'step' 1 if it runs, 0 if it does not or is unknown
-- WHY one script: who cancels and who works write to the same record, and what is cancelled stays so

local id, key = ARGV[2], prefix .. 'bulk:' .. ARGV[2]
local now = clock()
local new = ARGV[1] == 'new'
local state = redis.call('HGET', key, 'state')
local runs = new or state == 'running'
if not new and not state then
  return 0
end
local fields = { 'seen', now }
for i = 5, #ARGV, 2 do
  if runs or ARGV[i] ~= 'state' then
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = ARGV[i + 1]
  end
end
if new then
  fields[#fields + 1] = 'started'
  fields[#fields + 1] = now
end
redis.call('HSET', key, unpack(fields))
redis.call('PEXPIRE', key, ARGV[3])
if new then
  redis.call('ZADD', prefix .. 'bulks', now, id)
  redis.call('ZREMRANGEBYRANK', prefix .. 'bulks', 0, -1 - tonumber(ARGV[4]))
  return now
end
return runs and 1 or 0
