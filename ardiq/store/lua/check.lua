-- Look at a page of the keys of a queue, or at some of its jobs, with all that can be told in O(1) for each.
-- KEYS 1: prefix
-- ARGV 3 + 1 n: 'keys' or 'jobs', cursor of SCAN, how many keys SCAN goes over; then ids, for 'jobs'
-- RETURNS {cursor, '-' when SCAN is forbidden here; now; entry, entry, ...}; an entry is {name behind the
--   prefix, type of a key or '' where that is as it should be, ms that it lives on or -1}, behind them for a
--   job {size, 1 if it is in scheduled, first 640 bytes of its record}, for a slot {1 if it does not fit its job}
-- WHY one script: SCAN is asked of the node that has the slot of the queue, and a page of hundreds of jobs is
--   one round trip

local HEAD = 640  -- head, lane, name and hash with room to spare
local out = { '0', clock() }

local function job(id)
  local key = prefix .. 'job:' .. id
  local start = redis.pcall('GETRANGE', key, 0, HEAD - 1)
  if type(start) ~= 'string' then
    return { 'job:' .. id, redis.call('TYPE', key).ok, redis.call('PTTL', key) }
  end
  local size = #start < HEAD and #start or redis.call('STRLEN', key)
  local due = string.sub(start, 1, 1) == 'D' and redis.call('ZSCORE', prefix .. 'scheduled', id)
  return { 'job:' .. id, '', redis.call('PTTL', key), size, due and 1 or 0, start }
end

local function slot(hash)
  local key = prefix .. 'unique:' .. hash
  local id = redis.pcall('GET', key)
  if type(id) ~= 'string' then
    return { 'unique:' .. hash, redis.call('TYPE', key).ok, redis.call('PTTL', key) }
  end
  local start = redis.pcall('GETRANGE', prefix .. 'job:' .. id, 0, HEAD - 1)
  local fits = type(start) == 'string' and string.find(start, '^[QDR]')
  if fits then
    local _, _, unique = texts(start)
    fits = unique == hash
  end
  return { 'unique:' .. hash, '', redis.call('PTTL', key), fits and 0 or 1 }
end

if ARGV[1] == 'jobs' then
  for i = 4, #ARGV do
    out[#out + 1] = job(ARGV[i])
  end
  return out
end

local page = redis.pcall('SCAN', ARGV[2], 'MATCH', prefix .. '*', 'COUNT', ARGV[3])
if page.err then
  return { '-', out[2] }
end
out[1] = page[1]
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #prefix + 1)
  if string.sub(name, 1, 4) == 'job:' then
    out[#out + 1] = job(string.sub(name, 5))
  elseif string.sub(name, 1, 7) == 'unique:' and string.sub(name, 1, 11) ~= 'unique:end:' then
    out[#out + 1] = slot(string.sub(name, 8))
  else
    out[#out + 1] = { name, redis.call('TYPE', key).ok, redis.call('PTTL', key) }
  end
end
return out
