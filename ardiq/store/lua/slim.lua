-- A record as a list shows it. It is put where a script says '-- WITH slim'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a page of a hundred jobs with a megabyte of arguments each must not cross the wire

local function slim(record, largest)
  if #record <= largest then
    return record
  end
  local _, _, _, stop = texts(record)
  if not stop then
    return string.sub(record, 1, largest)
  end
  local calls = tonumber(string.sub(record, stop + 1, stop + 6), 16)
  local history = tonumber(string.sub(record, stop + 7, stop + 12), 16)
  if not calls or not history then
    return string.sub(record, 1, largest)
  end
  local first, second, third = stop + 13, stop + 13 + calls, stop + 13 + calls + history
  local kept_calls, kept_history = calls <= largest and calls or 0, history <= largest and history or 0
  return string.sub(record, 1, stop) .. string.format('%06x%06x', kept_calls, kept_history)
    .. string.sub(record, first, first + kept_calls - 1) .. string.sub(record, second, second + kept_history - 1)
    .. (#record - third < largest and string.sub(record, third) or '')
end
