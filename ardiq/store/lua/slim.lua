-- A record as a list shows it. It is put where a script says '-- WITH slim'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a page of a hundred jobs with a megabyte of arguments each must neither cross the wire nor be copied by the
--   server: of a large record only the parts that are shown are read

-- Size in bytes (0: there is none), and the record without larger parts.
local function slim(id, largest)
  local key = prefix .. 'job:' .. id
  local start = redis.call('GETRANGE', key, 0, largest)
  if #start <= largest then
    return #start, start
  end
  local size = redis.call('STRLEN', key)
  local _, _, _, stop = texts(start)
  local calls = tonumber(string.sub(start, stop + 1, stop + 6), 16)
  local history = tonumber(string.sub(start, stop + 7, stop + 12), 16)
  if not calls or not history then
    return size, string.sub(start, 1, largest)
  end
  local first, outcome = stop + 12, stop + 12 + calls + history
  local out = { string.sub(start, 1, stop), '', '', '', '' }
  local kept_calls, kept_history = calls <= largest and calls or 0, history <= largest and history or 0
  out[2] = string.format('%06x%06x', kept_calls, kept_history)
  if kept_calls > 0 then
    out[3] = redis.call('GETRANGE', key, first, first + kept_calls - 1)
  end
  if kept_history > 0 then
    out[4] = redis.call('GETRANGE', key, first + calls, outcome - 1)
  end
  if size > outcome and size - outcome <= largest then
    out[5] = redis.call('GETRANGE', key, outcome, -1)
  end
  return size, table.concat(out)
end
