-- Remove a bounded piece of what lies in one place: all that waits in a lane, is scheduled, or has ended.
-- KEYS 1: prefix
-- ARGV 3: place ('lane:<lane>', 'scheduled' or 'ended:<status>'), most jobs to look at, ms: what has ended later
--   stays ('' for now)
-- RETURNS {now, how many were looked at, how many were removed}
-- WHY one script: no worker may claim a job between the look at it and its removal; and a piece each time, so
--   that a million jobs hold nobody up

-- WITH groups

-- WITH opening

-- WITH occurrence

local place, most, now = ARGV[1], tonumber(ARGV[2]), clock()
local key = prefix .. place
local LETTER = { succeeded = 'S', failed = 'F', aborted = 'A', expired = 'X' }
local lane, status = string.match(place, '^lane:(.*)$'), string.match(place, '^ended:(.*)$')
local letter = lane and 'Q' or LETTER[status] or 'D'
local ids
if lane then
  ids = redis.call('LPOP', key, most) or {}
elseif status then
  ids = redis.call('ZRANGEBYSCORE', key, '-inf', ARGV[3] == '' and now or ARGV[3], 'LIMIT', 0, most)
else
  ids = redis.call('ZRANGE', key, 0, most - 1)
end
if #ids > 0 and not lane then
  redis.call('ZREM', key, unpack(ids))
end

local gone, keys, left = {}, {}, {}
local has_occurrences = redis.call('EXISTS', prefix .. 'cron') == 1
for _, id in ipairs(ids) do
  local record = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 639)
  local own, name, unique = texts(record)
  -- A lane may hold ids of jobs that are elsewhere by now, and a list ids that have begun another life.
  if string.sub(record, 1, 1) == letter and (not lane or own == lane) then
    gone[#gone + 1] = id
    for _, kind in ipairs({ 'job:', 'progress:', 'logs:' }) do
      keys[#keys + 1] = prefix .. kind .. id
    end
    if unique ~= '' then
      release(unique, id)
    end
    if not status then
      open_window(id)
      if has_occurrences then
        occurrence_ended(name, id, 'deleted', now)
      end
    end
  end
  if letter == 'F' then
    left[#left + 1] = id
  end
end
if #gone > 0 then
  redis.call('DEL', unpack(keys))
  redis.call('ZREM', prefix .. 'aborts', unpack(gone))
end
leave(left)
notify(gone)
return { now, #ids, #gone }
