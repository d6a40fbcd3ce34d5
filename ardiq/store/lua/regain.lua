-- How a job that frees its slot at its start, and has not begun after all, gets it back. It is put where a script
-- says '-- WITH regain'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY two scripts take back what was claimed, and a slot of limited time must not become one without an end there.
--   Never with an error, since both are in the middle of their writes

local function regain(unique, id, now)
  local key, mine = prefix .. 'unique:' .. unique, prefix .. 'unique:end:' .. id
  local ends = redis.pcall('GET', mine)
  if type(ends) ~= 'string' then
    redis.pcall('SET', key, id, 'NX')
    return
  end
  redis.pcall('DEL', mine)
  if tonumber(ends) > now then
    redis.pcall('SET', key, id, 'NX', 'PX', tonumber(ends) - now)
  end
end
