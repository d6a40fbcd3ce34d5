-- What is known of debounced and throttled calls. It is put where enqueue.lua says '-- WITH windows'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY a call that is one of many stands for them, or gives way to a later one, in the step that stores it

-- The job that stands for all of its window, unless it was stopped or came too late to do anything.
local function throttled_by(mode)
  local hash = string.match(mode, '^t%d+:(.*)$')
  local first = hash and redis.call('GET', prefix .. 'throttle:' .. hash)
  return first and not string.find(letter_of(first), '[AX]') and first
end

-- The record of the job that a debounced call supersedes: one that has never started, and whose series may still
-- go on. At the end of its series (the key is gone by itself) a job that is due stays as it is, or calls that keep
-- coming would put it off for ever.
local function superseded(most, unique, holder)
  local record = redis.call('GET', jobs .. holder)
  local letter, flags = string.match(record or '', '^([QD])(%x)00000')  -- no attempts, no crashes
  if not letter or tonumber(flags, 16) % 8 >= 4 then
    return nil
  end
  local is_due = letter == 'Q' or string.sub(record, 19, 29) <= stamp
  if most > 0 and is_due and redis.call('EXISTS', prefix .. 'series:' .. unique) == 0 then
    return nil
  end
  return record
end

-- When a debounced job is due: its wait is over, or the longest wait of its series.
local function end_of_series(due, most, unique, goes_on)
  local key = prefix .. 'series:' .. unique
  local first = goes_on and tonumber(redis.call('GET', key))
  if not first then
    first = now
    redis.call('SET', key, now, 'PX', most)
  end
  return math.min(due, first + most)
end
