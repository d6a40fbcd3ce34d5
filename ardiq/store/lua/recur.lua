-- Make jobs of occurrences of recurring tasks, each once, over any number of workers and their clocks.
-- KEYS 1: prefix
-- ARGV 0 + 7 n: name, occurrence ms, overlap ('skip' or 'queue'), id, lane, unique ('' or as in enqueue.lua),
--   the record behind its worker field
-- RETURNS {now, answer, ...}: 'fired'; 'early' not due by this clock; 'done' somebody has fired it; 'busy' the
--   last one, or the job that holds the unique slot, still runs or waits; 'paused'
-- WHY one script: the mark of what has been fired and the job that comes of it are one step. The mark only
--   rises, so that neither a late worker, nor a repeat, nor a clock that is set back fires anything twice (R19)

local MOST_RUNS = 20  -- occurrences that are kept of each, for people; ended.lua adds how they ended
local cron = prefix .. 'cron'
local now = clock()
local stamp = hex(now)
local out, lanes = { now }, {}

-- WITH slots

local function fire(i)
  local name, at, id = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 3]
  if at > now then
    return 'early'
  end
  local mark, last, paused, runs = unpack(redis.call('HMGET', cron,
    'mark:' .. name, 'last:' .. name, 'paused:' .. name, 'runs:' .. name))
  if mark and tonumber(mark) >= at then
    return 'done'
  end
  local flags, ttl, hash = string.match(ARGV[i + 5], '^(%x):(%d+):(.*)$')
  local holder = hash and redis.call('GET', prefix .. 'unique:' .. hash)
  local busy = ARGV[i + 2] == 'skip' and last and live(last) or holder and live(holder)
  if paused or busy then
    redis.call('HSET', cron, 'mark:' .. name, ARGV[i + 1])
    return paused and 'paused' or 'busy'
  end
  -- The job before the mark: a full server refuses the first write, and then nothing has happened (R8).
  redis.call('SET', prefix .. 'job:' .. id,
    'Q' .. (flags or '0') .. '00000' .. stamp .. stamp .. '00000000' .. ARGV[i + 6])
  runs = (runs or '') .. ARGV[i + 1] .. ' ' .. id .. '\n'
  if select(2, string.gsub(runs, '\n', '')) > MOST_RUNS then
    runs = string.gsub(runs, '^[^\n]*\n', '')
  end
  redis.call('HSET', cron, 'mark:' .. name, ARGV[i + 1], 'last:' .. name, id,
    'fired:' .. name, ARGV[i + 1], 'runs:' .. name, runs)
  if hash then
    hold(hash, ttl, id)
  end
  local lane = ARGV[i + 4]
  lanes[lane] = lanes[lane] or {}
  table.insert(lanes[lane], id)
  return 'fired'
end

for i = 1, #ARGV, 7 do
  out[#out + 1] = fire(i)
end
for lane, ids in pairs(lanes) do
  redis.call('RPUSH', prefix .. 'lane:' .. lane, unpack(ids))
end
if next(lanes) then
  wake()
end
return out
