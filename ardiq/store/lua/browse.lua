-- A stretch of the jobs that lie in any mix of places, merged by how near their time is to now.
-- KEYS 1: prefix
-- ARGV 6 + 1 n: order ('near' to now first, or 'far'), offset, how many to look at, what to answer ('ids' or
--   'names'), task to keep or '', text that its id starts with or its name contains, or ''; then places:
--   'lane:<lane>', 'scheduled', 'running', 'ended:<status>'
-- RETURNS {how many were looked at, id, key, id, key, ...}, keys descending; or for 'names'
--   {how many were looked at, name, count, ...}
-- WHY one script: a stretch far down is found by skipping in O(places^2 log offset) and not by reading all
--   that lies before it, and that needs many small looks at one moment

local near, offset, most = ARGV[1] == 'near', tonumber(ARGV[2]), tonumber(ARGV[3])
local what, task, text = ARGV[4], ARGV[5], ARGV[6]
local now = clock()
local LETTER = { succeeded = 'S', failed = 'F', aborted = 'A', expired = 'X' }
local RUNNING_MOST, WORKERS_MOST, NAME_WITHIN = 1000, 200, 340

local reads = what == 'names' or task ~= '' or text ~= ''
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
      if #rows < RUNNING_MOST then
        rows[#rows + 1] = { found[i], at_of(found[i]) or now }
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
    return { letter = 'D', n = redis.call('ZCARD', key), read = function(from, to)
      return scores('ZRANGE', key, from, to, true)
    end }
  elseif string.sub(name, 1, 5) == 'lane:' then
    return { letter = 'Q', n = redis.call('LLEN', key), read = function(from, to) return lane(key, from, to) end }
  end
  return { letter = LETTER[string.sub(name, 7)], n = redis.call('ZCARD', key), read = function(from, to)
    return scores('ZREVRANGE', key, from, to)
  end }
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
for i = 7, #ARGV do
  local place = place_of(ARGV[i])
  place.pos = 0
  if place.n > 0 then
    places[#places + 1] = near and place or turned(place)
  end
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
