-- A stretch of the jobs that lie in any mix of places, merged by how near their time is to now.
-- KEYS 1: prefix
-- ARGV 10 + 1 n: order ('near' to now first, or 'far'), offset, how many to look at, what to answer ('ids',
--   'names' or 'count'), since and up to when (epoch ms; below 0: so many ms before now; '' for any time), task to
--   keep or '', text that its id starts with or its name contains, or '', first 8 digits of its worker or '', '1'
--   for those that were tried more than once; then places: 'lane:<lane>', 'scheduled', 'running', 'ended:<status>'
-- RETURNS {how many were looked at, id, key, id, key, ...}, keys descending; or for 'names'
--   {how many were looked at, name, count, ...}; or for 'count' {how many there are in that time}
-- WHY one script: a stretch far down is found by skipping in O(places^2 log offset) and not by reading all
--   that lies before it, and that needs many small looks at one moment

local near, offset, most = ARGV[1] == 'near', tonumber(ARGV[2]), tonumber(ARGV[3])
local what, task, text, worker, tried = ARGV[4], ARGV[7], ARGV[8], ARGV[9], ARGV[10] == '1'
local now = clock()

local function moment(given)
  local ms = tonumber(given)
  return ms and ms < 0 and now + ms or ms
end

local since, upto = moment(ARGV[5]), moment(ARGV[6])
local timed = since or upto
since, upto = since or 0, upto or 9e15
local LETTER = { succeeded = 'S', failed = 'F', aborted = 'A', expired = 'X' }
local LIVE = { D = true, Q = true, R = true }
local RUNNING_MOST, WORKERS_MOST, NAME_WITHIN = 1000, 200, 340

local reads = what == 'names' or task ~= '' or text ~= '' or worker ~= '' or tried
local heads = {}

-- The start of a record, up to its name: read once for its time and its name.
local function head(id)
  local found = heads[id]
  if not found then
    found = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, NAME_WITHIN)
    heads[id] = found
  end
  return found
end

local function at_of(id)
  if reads then
    return tonumber(string.sub(head(id), 19, 29), 16)
  end
  return tonumber(redis.call('GETRANGE', prefix .. 'job:' .. id, 18, 28), 16)
end

-- Each reader answers {id, key, id, key, ...} of positions from..to, nearest first. A job that is due in
-- three seconds is as near as one that ended three seconds ago.

local function scores(command, key, from, to, mirrored)
  local found = redis.call(command, key, from, to, 'WITHSCORES')
  for i = 2, #found, 2 do
    local score = tonumber(found[i])
    found[i] = mirrored and 2 * now - score or score
  end
  return found
end

-- How many of a place lie before those of the time that was asked for, and how many those are. A lane is in
-- order of time but for jobs that were given back: it is searched by halves.

local function bounds(key, mirrored)
  if not timed then
    return 0, redis.call('ZCARD', key)
  end
  local from, to = string.format('%.0f', since), string.format('%.0f', upto)
  local before = mirrored and redis.call('ZCOUNT', key, '-inf', '(' .. from)
    or redis.call('ZCOUNT', key, '(' .. to, '+inf')
  return before, redis.call('ZCOUNT', key, from, to)
end

-- The time of a position of a lane, counted from its newest; nil where the id is stale.
local function time_in(key, position)
  local id = redis.call('LRANGE', key, -1 - position, -1 - position)[1]
  local start = id and redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 28) or ''
  return string.sub(start, 1, 1) == 'Q' and tonumber(string.sub(start, 19, 29), 16) or nil
end

-- The first position, from the newest, whose time is not above a limit. What is stale counts as `stale` says.
local function first_below(key, size, limit, stale)
  local low, high = 0, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if (time_in(key, middle) or stale) > limit then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function lane_bounds(key)
  local size = redis.call('LLEN', key)
  if not timed then
    return 0, size
  end
  local first = first_below(key, size, upto, 0)
  return first, math.max(0, first_below(key, size, since - 1, now) - first)
end

-- A place whose positions count from the first in time to the last.
local function place_within(letter, first, n, read)
  return { letter = letter, n = n, read = function(from, to)
    return n > 0 and read(first + from, first + math.min(to, n - 1)) or {}
  end }
end

-- A lane has no scores: the records have the times. Ids without a record take the time of a neighbour, so
-- that they do not hold up the merge.
local function lane(key, from, to)
  local ids, out, last = redis.call('LRANGE', key, -1 - to, -1 - from), {}, nil
  for i = #ids, 1, -1 do
    last = at_of(ids[i]) or last
    out[#out + 1] = ids[i]
    out[#out + 1] = last or false
  end
  for i = 2, #out, 2 do
    out[i] = out[i] or last or now
  end
  return out
end

local function all_running()
  local rows = {}
  for _, worker in ipairs(redis.call('ZRANGE', prefix .. 'workers', 0, WORKERS_MOST - 1)) do
    local found = redis.call('HSCAN', prefix .. 'held:' .. worker, 0, 'COUNT', RUNNING_MOST)[2]
    for i = 1, #found, 2 do
      local at = at_of(found[i]) or now
      if #rows < RUNNING_MOST and at >= since and at <= upto then
        rows[#rows + 1] = { found[i], at }
      end
    end
  end
  table.sort(rows, function(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  return rows
end

local function place_of(name)
  local key = prefix .. name
  if name == 'running' then
    local rows = all_running()
    return { letter = 'R', n = #rows, read = function(from, to)
      local out = {}
      for i = from + 1, math.min(to + 1, #rows) do
        out[#out + 1] = rows[i][1]
        out[#out + 1] = rows[i][2]
      end
      return out
    end }
  elseif name == 'scheduled' then
    local first, n = bounds(key, true)
    return place_within('D', first, n, function(from, to)
      return scores('ZRANGE', key, from, to, true)
    end)
  elseif string.sub(name, 1, 5) == 'lane:' then
    local first, n = lane_bounds(key)
    return place_within('Q', first, n, function(from, to) return lane(key, from, to) end)
  end
  local first, n = bounds(key, false)
  return place_within(LETTER[string.sub(name, 7)], first, n, function(from, to)
    return scores('ZREVRANGE', key, from, to)
  end)
end

-- The same from the other end.
local function turned(place)
  local read, n = place.read, place.n
  place.read = function(from, to)
    local found, out = read(math.max(n - 1 - to, 0), n - 1 - from), {}
    for i = #found - 1, 1, -2 do
      out[#out + 1] = found[i]
      out[#out + 1] = -found[i + 1]
    end
    return out
  end
  return place
end

local places = {}
for i = 11, #ARGV do
  local place = place_of(ARGV[i])
  place.pos = 0
  if place.n > 0 then
    places[#places + 1] = near and place or turned(place)
  end
end

if what == 'count' then
  local total = 0
  for _, place in ipairs(places) do
    total = total + place.n
  end
  return { total }
end

-- Skip: whichever place has the largest key `step` further on may go ahead by that much, for all it passes
-- belongs to the first `offset`.
local left = offset
while left > 0 and #places > 0 do
  local step, best, best_key, best_take = math.max(1, math.floor(left / #places)), nil, nil, 0
  for n, place in ipairs(places) do
    local take = math.min(step, place.n - place.pos)
    local key = place.read(place.pos + take - 1, place.pos + take - 1)[2] or -math.huge
    if not best or key > best_key then
      best, best_key, best_take = n, key, take
    end
  end
  local place = places[best]
  place.pos, left = place.pos + best_take, left - best_take
  if place.pos >= place.n then
    table.remove(places, best)
  end
end

local BUFFER = math.min(most, 64)

local function fill(place)
  place.buffer, place.i = place.read(place.pos, place.pos + BUFFER - 1), 1
  place.key = place.buffer[2]
end

for _, place in ipairs(places) do
  fill(place)
end

local function nearest()
  local best
  for n = 1, #places do
    local place = places[n]
    if place.key and (not best or place.key > best.key) then
      best = place
    end
  end
  return best
end

local function advance(place)
  place.i, place.pos = place.i + 2, place.pos + 1
  place.key = place.buffer[place.i + 1]
  if not place.key and place.pos < place.n then
    fill(place)
  end
end

local out, names, order, looked = { 0 }, {}, {}, 0
while looked < most do
  local place = nearest()
  if not place then
    break
  end
  local id, key = place.buffer[place.i], place.key
  advance(place)
  looked = looked + 1
  local keep, name = true, nil
  if reads then
    local record = head(id)
    name = string.match(record, '^[^\n]*\n([^\n]*)\n', 38)
    keep = name and string.sub(record, 1, 1) == place.letter and (task == '' or name == task)
      and (worker == '' or string.sub(record, 30, 37) == worker)
      and (not tried or (tonumber(string.sub(record, 3, 5), 16) or 0) > (LIVE[place.letter] and 0 or 1))
      and (text == "" or string.sub(string.lower(id), 1, #text) == text
        or string.find(string.lower(name), text, 1, true))
  end
  if keep and what == 'names' then
    if not names[name] then
      order[#order + 1] = name
    end
    names[name] = (names[name] or 0) + 1
  elseif keep then
    out[#out + 1] = id
    out[#out + 1] = tostring(math.floor(key))
  end
end
out[1] = looked
for _, name in ipairs(order) do
  out[#out + 1] = name
  out[#out + 1] = names[name]
end
return out
