-- How a job gets into the list of its object. It is put where a script says '-- WITH attach'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY in the script that stores the job: an object lists every job that was made for it. Never with an error,
--   because the list is for people and the job is stored already

local ATTACHED = 1000  -- most jobs that an object lists: the newest

-- ``life``: ms that the list lives on after the job is due. Jobs leave it when somebody looks (attached.lua) or
-- enqueues and their record is gone, two at a time here, so that it shrinks faster than it grows.
local function attach(hash, life, id, due)
  local key = prefix .. 'subject:' .. hash
  redis.pcall('ZADD', key, now, id)
  local left = tonumber(redis.pcall('PTTL', key)) or -1
  redis.pcall('PEXPIRE', key, string.format('%.0f', math.max(left, math.max(due - now, 0) + tonumber(life))))
  for _, old in ipairs(redis.pcall('ZRANGE', key, 0, 1)) do
    if redis.call('EXISTS', prefix .. 'job:' .. old) == 0 then
      redis.pcall('ZREM', key, old)
    end
  end
  redis.pcall('ZREMRANGEBYRANK', key, 0, -ATTACHED - 1)
end
