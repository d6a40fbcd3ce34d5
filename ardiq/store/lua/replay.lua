-- Run ended jobs again under their own ids: fresh budget, same call, the old outcome goes first.
-- KEYS 1: prefix
-- ARGV 3 + 1 n: letters of the states that may be run again; ms from now until the first of them is due, ms from
--   each to the next (0 and 0: all at once); then ids
-- RETURNS for each id: 1 queued or scheduled again, 0 not such a job or none that can be read, 2 its unique slot
--   is taken
-- WHY one script: the old outcome, its place in the lists and the new life change together

-- WITH groups

local now = clock()
local stamp = hex(now)
local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }
local TEN_YEARS = 316224000000
local states, first, step = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local out, lanes, scheduled, left, count = {}, {}, {}, {}, 0

-- WITH slots

-- The head of a record that is due at some time. One that is put off by us, and not by its caller, counts as
-- started (flag 4): its window to start in must not close meanwhile.
local function head(record, due)
  local flags = tonumber(string.sub(record, 2, 2), 16) or 0
  if due <= now then
    return 'Q' .. string.format('%x', flags % 8) .. '00000' .. stamp .. stamp .. '00000000'
  end
  return 'D' .. string.format('%x', flags % 4 + 4) .. '00000' .. stamp .. hex(due) .. '00000000'
end

local function place(id, lane, due)
  if due <= now then
    lanes[lane] = lanes[lane] or {}
    table.insert(lanes[lane], id)
  else
    scheduled[#scheduled + 1] = due
    scheduled[#scheduled + 1] = id
  end
end

local function replay(id)
  local key = prefix .. 'job:' .. id
  local record = redis.call('GET', key)
  local letter = record and string.sub(record, 1, 1) or ''
  if not ENDED[letter] or not string.find(states, letter, 1, true) then
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
  local due = now + math.min(math.floor(first + count * step), TEN_YEARS)
  redis.call('SET', key, head(record, due) .. string.sub(record, 38, stop) .. calls .. '000000'
    .. string.sub(record, stop + 13, stop + 12 + tonumber(calls, 16)))
  if unique ~= '' then
    hold(unique, 0, id)
  end
  redis.call('ZREM', prefix .. 'ended:' .. ENDED[letter], id)
  if letter == 'F' then
    left[#left + 1] = id
  end
  place(id, lane, due)
  count = count + 1
  return 1
end

for i = 4, #ARGV do
  out[#out + 1] = replay(ARGV[i])
end
for lane, ids in pairs(lanes) do
  redis.call('RPUSH', prefix .. 'lane:' .. lane, unpack(ids))
end
if #scheduled > 0 then
  redis.call('ZADD', prefix .. 'scheduled', unpack(scheduled))
end
leave(left)
wake()
return out
