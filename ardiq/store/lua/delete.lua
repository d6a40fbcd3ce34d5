-- Remove jobs that do not run, with everything that points at them.
-- KEYS 1: prefix
-- ARGV 0 + 1 n: ids
-- RETURNS for each id: 1 removed, 0 running or not there
-- WHY one script: no worker may claim a job between the look at it and its removal

local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }
local out, gone = {}, {}
for i, id in ipairs(ARGV) do
  local key = prefix .. 'job:' .. id
  local record = redis.call('GET', key)
  local letter = record and string.sub(record, 1, 1)
  if not letter or letter == 'R' then
    out[i] = 0
  else
    local lane, _, unique = texts(record)
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
    out[i] = 1
  end
end
notify(gone)
return out
