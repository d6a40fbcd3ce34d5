-- Open the window of a throttled job that will never run. It is put where a script says '-- WITH opening'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a call that finds no record cannot tell a job that was removed before it ran from one that has run and whose
--   result is not kept: the window of the one is to open, that of the other is to hold

local function open_window(id)
  local mine = prefix .. 'throttle:id:' .. id
  local hash = redis.pcall('GET', mine)
  if type(hash) == 'string' then
    local window = prefix .. 'throttle:' .. hash
    if redis.pcall('GET', window) == id then
      redis.call('DEL', window)
    end
    redis.call('DEL', mine)
  end
end
