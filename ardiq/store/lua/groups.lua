-- How jobs leave the groups of the dead letters. It is put where a script says '-- WITH groups'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a job leaves the dead letters in seven scripts, and its group has to hear of it in the same step; never
--   with an error, because a user who may do the one (a producer that replaces a job) need not have rights to
--   the other. What is left behind is dropped by whoever meets it

local function leave(ids)
  local prints = #ids > 0 and redis.pcall('HMGET', prefix .. 'fingerprints', unpack(ids)) or {}
  local left = {}
  for n, print in ipairs(prints) do
    if print then
      left[#left + 1] = ids[n]
      local letters = prefix .. 'letters:' .. print
      redis.pcall('ZREM', letters, ids[n])
      if redis.pcall('EXISTS', letters) == 0 then
        redis.pcall('DEL', prefix .. 'group:' .. print)
        redis.pcall('ZREM', prefix .. 'groups', print)
      end
    end
  end
  if #left > 0 then
    redis.pcall('HDEL', prefix .. 'fingerprints', unpack(left))
  end
end
