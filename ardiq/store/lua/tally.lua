-- How something is counted. It is put where a script says '-- WITH tally'.
-- KEYS 1: prefix
-- ARGV 0: none of its own
-- RETURNS nothing
-- WHY workers count what they settle, but a worker that has died and a job that is aborted while it waits are met
--   in other scripts; never with an error there, because a figure must not cost the step itself

local PAIRS = 100  -- of lane and task that are counted apart; what is beyond is 'other' in its lane
local MINUTES, TENS, TOTALS = 11100000, 260400000, 259200000  -- ms: 3 h and 72 h, with what is unfinished; 72 h
local STALE = 5  -- pairs of which nothing was counted for so long that one call forgets at most

local function counted_as(lane, task, now)
  local pair, all = lane .. ' ' .. task, prefix .. 'counted'
  if not redis.call('ZSCORE', all, pair) and redis.call('ZCARD', all) >= PAIRS then
    return lane .. ' other'
  end
  redis.call('ZADD', all, now, pair)
  return pair
end

local function forget(now)
  local old = redis.call('ZRANGEBYSCORE', prefix .. 'counted', '-inf', now - TOTALS, 'LIMIT', 0, STALE)
  if #old > 0 then
    redis.call('ZREM', prefix .. 'counted', unpack(old))
    redis.call('HDEL', prefix .. 'totals', unpack(old))
  end
end

-- 'code number code number ...', with what is in ``more`` added.
local function sum(text, more)
  local out, left = {}, {}
  for code, number in pairs(more) do
    left[code] = number
  end
  for code, number in string.gmatch(text, '(%w+) (%d+)') do
    out[#out + 1] = code
    out[#out + 1] = left[code] and string.format('%.0f', number + left[code]) or number
    left[code] = nil
  end
  for code, number in pairs(left) do
    out[#out + 1] = code
    out[#out + 1] = string.format('%.0f', number)
  end
  return table.concat(out, ' ')
end

-- One field for each pair: so many fields would be slower to write, and very much larger.
local function add(key, names, cells, ttl)
  if #names > 0 then
    local fields = {}
    for i, old in ipairs(redis.call('HMGET', key, unpack(names))) do
      fields[2 * i - 1] = names[i]
      fields[2 * i] = sum(old or '', cells[names[i]])
    end
    redis.call('HSET', key, unpack(fields))
  end
  redis.call('PEXPIRE', key, ttl)
end

-- rows: lane, task, 'code number code number ...', and so on.
local function tally(now, rows)
  local minute, names, cells = math.floor(now / 60000), {}, {}
  forget(now)
  for i = 1, #rows, 3 do
    local name = counted_as(rows[i], rows[i + 1], now)
    if not cells[name] then
      names[#names + 1] = name
      cells[name] = {}
    end
    for code, number in string.gmatch(rows[i + 2], '(%w+) (%d+)') do
      cells[name][code] = (cells[name][code] or 0) + number
    end
  end
  add(prefix .. 'stats:' .. minute, names, cells, MINUTES)
  add(prefix .. 'sums:' .. math.floor(minute / 10), names, cells, TENS)
  add(prefix .. 'totals', names, cells, TOTALS)
  redis.call('PEXPIRE', prefix .. 'counted', TOTALS)
end
