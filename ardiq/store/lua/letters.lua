-- A page of the dead letters, or of those of one group.
-- KEYS 1: prefix
-- ARGV 6: fingerprint or '' for all; 'new' the latest first, or 'old'; how many to pass over ('new'), or how many
--   are left to look at, '' for all ('old'); most to look at; 'old': ms, what failed later does not count, or '' for
--   now; task to keep or ''
-- RETURNS {now, how many were looked at, how many there are behind them, id, id, ...}
-- WHY one script: whoever goes through them, oldest first, removes what he has seen. So his place is counted from
--   the latest of those that there were: what is trimmed at the other end, or fails meanwhile, does not move it

local print, order, offset, most, task = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[6]
local now = clock()
local key = prefix .. (print == '' and 'ended:failed' or 'letters:' .. print)
local total, ids, behind = redis.call('ZCARD', key), nil, 0
if order == 'new' then
  ids = redis.call('ZREVRANGE', key, offset, offset + most - 1)
  behind = math.max(total - offset - #ids, 0)
else
  local counted = total - redis.call('ZCOUNT', key, '(' .. (ARGV[5] == '' and now or ARGV[5]), '+inf')
  local left = math.min(offset or counted, counted)
  local from = counted - left
  ids = left > 0 and redis.call('ZRANGE', key, from, from + math.min(most, left) - 1) or {}
  behind = left - #ids
end

local out = { now, #ids, behind }
for _, id in ipairs(ids) do
  local start = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 340)
  -- A record may have expired, or begun another life, since it was listed.
  if string.sub(start, 1, 1) == 'F' then
    local _, name = texts(start)
    if task == '' or name == task then
      out[#out + 1] = id
    end
  end
end
return out
