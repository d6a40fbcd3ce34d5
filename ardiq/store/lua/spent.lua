-- What is remembered of a call whose job has ended and left nothing. It is put where a script says '-- WITH spent'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a caller that lost the reply sends its call again, and the job may have run and gone in between: without a
--   trace of it the repeat would make a second one. Callers give up within seconds, so the trace is short

local function mark_of(id, call)
  return redis.sha1hex(id .. '\n' .. call)
end

-- tail: a record behind its worker field (core/job.py).
local function mark_in(id, tail)
  local _, stop = string.find(tail, '^[^\n]*\n[^\n]*\n[^\n]*\n')
  local length = stop and tonumber(string.sub(tail, stop + 1, stop + 6), 16) or 0
  return mark_of(id, string.sub(tail, (stop or 0) + 13, (stop or 0) + 12 + length))
end

local REPEATED = 10000  -- ms; more than a caller tries (store/refusals.py)

-- marks: now, mark, now, mark, ... Never with an error: a user of an earlier release has no right to this key.
local function spend(now, marks)
  local key = prefix .. 'spent'
  if type(redis.pcall('ZADD', key, unpack(marks))) == 'number' then
    local old = redis.call('ZCOUNT', key, '-inf', now - REPEATED)
    if old > 0 then
      -- More than are added, so that it shrinks, and never all of a burst at once.
      redis.call('ZREMRANGEBYRANK', key, 0, math.min(old, #marks + 1000) - 1)
    end
    redis.call('PEXPIRE', key, REPEATED)
  end
end
