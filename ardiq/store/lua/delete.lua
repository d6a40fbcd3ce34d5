-- Remove jobs that do not run, with everything that points at them.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: letters of the states that may be removed, '' any but running; then ids
-- RETURNS for each id: 1 removed, 0 in another state or not there
-- WHY one script: no worker may claim a job between the look at it and its removal

-- WITH groups

-- WITH opening

-- WITH occurrence

local now = clock()
local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }
local out, gone, left = {}, {}, {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local key = prefix .. 'job:' .. id
  local record = redis.call('GET', key)
  local letter = record and string.sub(record, 1, 1)
  if not letter or letter == 'R' or (ARGV[1] ~= '' and not string.find(ARGV[1], letter, 1, true)) then
    out[i - 1] = 0
  else
    local lane, name, unique = texts(record)
    if letter == 'D' or letter == 'Q' then
      open_window(id)
      occurrence_ended(name, id, 'deleted', now)
    end
    if letter == 'D' then
      redis.call('ZREM', prefix .. 'scheduled', id)
    elseif letter == 'Q' then
      if redis.call('LLEN', prefix .. 'lane:' .. lane) <= 1000 then
        redis.call('LREM', prefix .. 'lane:' .. lane, 1, id)
      end
    elseif ENDED[letter] then
      redis.call('ZREM', prefix .. 'ended:' .. ENDED[letter], id)
    end
    redis.call('DEL', key, prefix .. 'progress:' .. id, prefix .. 'logs:' .. id)
    -- A waiting job may carry a mark from the run before; a later job of this id must not inherit it.
    redis.call('ZREM', prefix .. 'aborts', id)
    if unique ~= '' then
      release(unique, id)
    end
    gone[#gone + 1] = id
    if letter == 'F' then
      left[#left + 1] = id
    end
    out[i - 1] = 1
  end
end
leave(left)
notify(gone)
return out
