-- What a list shows of jobs: their records without the parts that are too large for a list.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: largest part in bytes, then ids
-- RETURNS for each id: size of its record in bytes (0 not there), the record with larger parts left out
-- WHY one script: a page of a hundred jobs with a megabyte of arguments each must not cross the wire

local largest, out = tonumber(ARGV[1]), {}

local function cut(record)
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

for i = 2, #ARGV do
  local record = redis.call('GET', prefix .. 'job:' .. ARGV[i])
  out[#out + 1] = record and #record or 0
  out[#out + 1] = record and (#record > largest and cut(record) or record) or ''
end
return out
