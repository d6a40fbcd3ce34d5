-- Run an ended job again under its own id: fresh budget, same call, the old outcome goes first.
-- KEYS 1: prefix
-- ARGV 0 + 1 n: ids
-- RETURNS for each id: 1 queued again, 0 not an ended job that can be read, 2 its unique slot is taken
-- WHY one script: the old outcome, its place in the list and the new life change together

local now = clock()
local stamp = hex(now)
local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }
local out = {}

local function live(id)
  local letter = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 0)
  return letter == 'Q' or letter == 'D' or letter == 'R'
end

local function replay(id)
  local key = prefix .. 'job:' .. id
  local record = redis.call('GET', key)
  local status = record and ENDED[string.sub(record, 1, 1)]
  if not status then
    return 0
  end
  local lane, name, unique, stop = texts(record)
  if unique ~= '' then
    local holder = redis.call('GET', prefix .. 'unique:' .. unique)
    if holder and holder ~= id and live(holder) then
      return 2
    end
  end
  local calls = string.sub(record, stop + 1, stop + 6)
  if not tonumber(calls, 16) then
    return 0  -- a record that is cut short: there is no call to run
  end
  redis.call('SET', key, 'Q' .. string.sub(record, 2, 2) .. '00000' .. stamp .. stamp .. '00000000'
    .. string.sub(record, 38, stop) .. calls .. '000000'
    .. string.sub(record, stop + 13, stop + 12 + tonumber(calls, 16)))
  if unique ~= '' then
    redis.call('SET', prefix .. 'unique:' .. unique, id)
  end
  redis.call('ZREM', prefix .. 'ended:' .. status, id)
  redis.call('RPUSH', prefix .. 'lane:' .. lane, id)
  return 1
end

for i = 1, #ARGV do
  out[#out + 1] = replay(ARGV[i])
end
wake()
return out
