-- Whether a job lives, and how it takes a unique slot. It is put where a script says '-- WITH slots'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY jobs come into being in three scripts (a call, a replay, an occurrence), and all of them have to agree on
--   whose slot it is

local function live(id)
  return string.find(redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 0), '[QDR]') ~= nil
end

-- ttl: ms after which the slot is free whatever its job does; 0 none.
local function hold(unique, ttl, id)
  if tonumber(ttl) > 0 then
    redis.call('SET', prefix .. 'unique:' .. unique, id, 'PX', ttl)
  else
    redis.call('SET', prefix .. 'unique:' .. unique, id)
  end
end
