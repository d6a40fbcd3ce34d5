-- Add what a worker has counted to the figures of this minute, of these ten minutes and of all time; the first
-- call of a minute also looks how much waits.
-- KEYS 1: prefix
-- ARGV 3 + 3 n: how many ids of a lane to look at, most workers to look at, lanes with blanks between; then for
--   each lane and task lane, task, 'code number code number ...' (core/statistics.py)
-- RETURNS now
-- WHY one script: the minute is that of the server's clock, and one of many workers takes the sample

-- WITH tally
-- WITH ready

local now = clock()
local minute = math.floor(now / 60000)

local function put(sample)
  local sums = prefix .. 'sums:' .. math.floor(minute / 10)
  for field, number in pairs(sample) do
    redis.call('HSET', prefix .. 'stats:' .. minute, field, number)
    if number >= (tonumber(redis.call('HGET', sums, field)) or 0) then
      redis.call('HSET', sums, field, number)
    end
  end
end

-- Names of fields begin with '=', as no lane does.
local function look()
  local workers, running = redis.call('ZRANGE', prefix .. 'workers', 0, tonumber(ARGV[2]) - 1), 0
  for _, worker in ipairs(workers) do
    running = running + redis.call('HLEN', prefix .. 'held:' .. worker)
  end
  local sample = {
    ['=scheduled'] = redis.call('ZCARD', prefix .. 'scheduled'),
    ['=running'] = running,
    ['=workers'] = redis.call('ZCOUNT', prefix .. 'workers', now, '+inf'),
  }
  for lane in string.gmatch(ARGV[3], '%S+') do
    local since = ready_since(lane, tonumber(ARGV[1]))
    sample['=waiting ' .. lane] = redis.call('LLEN', prefix .. 'lane:' .. lane)
    sample['=oldest ' .. lane] = since > 0 and math.max(now - since, 0) or 0
  end
  return sample
end

local rows = {}
for i = 4, #ARGV do
  rows[i - 3] = ARGV[i]
end
if redis.call('HSETNX', prefix .. 'stats:' .. minute, '=at', now) == 1 then
  -- What cannot be looked at, as a lane of a wrong type, costs the sample, and not what was counted.
  local seen, sample = pcall(look)
  if seen then
    pcall(put, sample)
  end
end
tally(now, rows)
return now
