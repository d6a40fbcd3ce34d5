-- Give a worker jobs to run; keep house on the way: reap one dead worker, promote what is due.
-- KEYS 1: prefix
-- ARGV 6 + 2 n: worker, number of this claim, lease ms, most jobs of housekeeping, most jobs to take, tasks of
--   which few can start there ('' none, or the most jobs to take of them all, and their names with a newline
--   around each); then lanes, first to drain first: lane, most jobs to take from it
-- RETURNS {now, ms of the next look at the latest or 0, 1 if more may wait + 2 if anything is paused + 4 if nothing
--   was taken but what waits can start elsewhere, ids marked for abort, id, record, id, record, ...} with the
--   record as it was before the claim; {now, -1} when the worker has lost its lease; the error of a lane that
--   cannot be read when the others had nothing
-- WHY one script: a job is in a lane or held, never in neither; and housekeeping that rides on every
--   claim needs no leader, no scheduler process and no lock

local me, number, lease, bound = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local room = tonumber(ARGV[5])
local now = clock()
local stamp = hex(now)
local workers, held = prefix .. 'workers', prefix .. 'held:' .. me

if not redis.call('ZSCORE', workers, me) then
  return { now, -1 }
end
-- The first write is one that a full server never refuses, so that a full queue can still be drained (R8).
redis.call('ZREM', workers, '')
redis.call('ZADD', workers, now + lease, me)

-- WITH tally

local function keys_of(ids)
  local keys = {}
  for i, id in ipairs(ids) do
    keys[i] = prefix .. 'job:' .. id
  end
  return keys
end

-- One lane of a wrong type, or one that the user may not touch, must not cost the jobs of the others (R9).
local function push(command, lanes)
  for lane, ids in pairs(lanes) do
    redis.pcall(command, prefix .. 'lane:' .. lane, unpack(ids))
  end
end

local function add(lanes, lane, id)
  if lane == '' then
    return  -- a record that is cut short; there is no place where it could run from
  end
  lanes[lane] = lanes[lane] or {}
  table.insert(lanes[lane], id)
end

local function reap(dead)
  local theirs = prefix .. 'held:' .. dead
  -- One look covers part of a large hash; where that part is empty by now, the next one follows.
  local cursor, found = '0', nil
  repeat
    local page = redis.call('HSCAN', theirs, cursor, 'COUNT', bound)
    cursor, found = page[1], page[2]
  until #found > 0 or cursor == '0'
  local ids = {}
  for i = 1, math.min(#found, bound * 2), 2 do
    ids[#ids + 1] = found[i]
  end
  if #ids > 0 then
    redis.call('HDEL', theirs, unpack(ids))
    local lanes, crashed = {}, {}
    for i, record in ipairs(redis.call('MGET', unpack(keys_of(ids)))) do
      if record and string.sub(record, 1, 1) == 'R' and string.sub(record, 30, 37) == string.sub(dead, 1, 8) then
        local lane, name = texts(record)
        if requeue(ids[i], record, stamp, true) then
          crashed[#crashed + 1], crashed[#crashed + 2], crashed[#crashed + 3] = lane, name, 'C 1'
        end
        add(lanes, lane, ids[i])
      end
    end
    push('LPUSH', lanes)
    pcall(tally, now, crashed)
  end
  if redis.call('EXISTS', theirs) == 0 then
    redis.call('ZREM', workers, dead)
    redis.call('DEL', prefix .. 'worker:' .. dead)
  end
end

local function promote()
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', now, 'LIMIT', 0, bound)
  if #ids == 0 then
    return
  end
  redis.call('ZREM', prefix .. 'scheduled', unpack(ids))
  local lanes = {}
  for i, record in ipairs(redis.call('MGET', unpack(keys_of(ids)))) do
    if record and string.sub(record, 1, 1) == 'D' then
      redis.call('SETRANGE', prefix .. 'job:' .. ids[i], 0, 'Q')
      add(lanes, (texts(record)), ids[i])
    end
  end
  push('RPUSH', lanes)
end

local oldest = redis.call('ZRANGE', workers, 0, 0, 'WITHSCORES')
if tonumber(oldest[2]) < now then
  reap(oldest[1])
end
promote()

-- What is paused hands out nothing, and is kept in order all the same.
local paused, held_back = 0, nil
if redis.call('EXISTS', prefix .. 'paused') == 1 then
  paused, held_back = 2, {}
  for _, place in ipairs(redis.pcall('HGETALL', prefix .. 'paused')) do
    held_back[place] = true
  end
end

local out, more, trouble = { now, 0, 0, {} }, 0, nil
local taken, mine, seen = {}, {}, {}

-- An answer of many large jobs would keep the server from everybody else: beyond so many bytes nothing more is
-- taken, and what was popped goes back to the heads of its lanes. Records are read a few at first, then by the piece;
-- a piece of large ones behind small ones is answered whole.
local FEW, PIECE, BYTES = 8, 64, 4194304
local bytes = 0

-- A small hash is a list that every HSET, HMGET and HDEL searches from the front, for each of its fields; with the
-- jobs of a quick worker in it that is a third of a claim and a settle together. Where one value is too long for
-- such a list the server makes a table of it before it stores anything, so the first job of a large claim is named
-- twice, with such a value before its number. (Where a server allows longer ones, it stays a list.)
local MANY, LONG = 32, string.rep('-', 65)

-- How long the end of a slot is known beyond it, ms: longer than a job is held without having begun.
local REMEMBERED = 86400000

local function take(id, lane, record)
  -- A lane may hold ids of jobs that were aborted, deleted, moved or started again: the record decides.
  -- One that was started again may stand there twice, and its record was read before it is claimed here.
  if record and not seen[id] and string.sub(record, 1, 1) == 'Q'
    and string.sub(record, 38, 38 + #lane) == lane .. '\n' then
    seen[id] = true
    local flags = string.sub(record, 2, 2)
    if flags == '3' or flags == '7' then
      local _, _, unique = texts(record)
      local holder = redis.pcall('GET', prefix .. 'unique:' .. unique)
      local left = holder == id and redis.pcall('PTTL', prefix .. 'unique:' .. unique) or holder or 0
      if type(left) == 'number' and left >= 0 then
        -- Should the job not start after all, its slot is its own again until then, and no longer; not at all
        -- when its time was over before.
        redis.call('SET', prefix .. 'unique:end:' .. id, now + left, 'PX', left + REMEMBERED)
      end
      release(unique, id)
    end
    redis.call('SETRANGE', prefix .. 'job:' .. id, 0,
      'R' .. string.sub(record, 2, 18) .. stamp .. string.sub(me, 1, 8))
    taken[#taken + 1] = id
    mine[#mine + 1] = id
    mine[#mine + 1] = number
    out[#out + 1] = id
    out[#out + 1] = record
    bytes = bytes + #record
  end
end

local function pop(i, want)
  if held_back and (held_back['queue'] or held_back['lane:' .. ARGV[i]]) then
    want = 0
  end
  local popped = want > 0 and redis.pcall('LPOP', prefix .. 'lane:' .. ARGV[i], want) or {}
  trouble = trouble or popped.err and popped
  if want > 0 and #popped == want then
    more = 1
  end
  return popped
end

local function read(ids, from)
  local first, last = 1, math.min(FEW, #ids)
  while first <= #ids and bytes < BYTES do
    local keys = {}
    for i = first, last do
      keys[i - first + 1] = prefix .. 'job:' .. ids[i]
    end
    for n, record in ipairs(redis.call('MGET', unpack(keys))) do
      take(ids[first + n - 1], from[first + n - 1], record)
    end
    first, last = last + 1, math.min(last + PIECE, #ids)
  end
  for i = #ids, first, -1 do
    redis.pcall('LPUSH', prefix .. 'lane:' .. from[i], ids[i])
    more = 1
  end
end

local spare, scarce = string.match(ARGV[6], '^(%d+)(\n.*)$')
if not scarce then
  local ids, from = {}, {}
  for i = 7, #ARGV, 2 do
    for _, id in ipairs(pop(i, math.min(tonumber(ARGV[i + 1]), room - #ids))) do
      ids[#ids + 1] = id
      from[#from + 1] = ARGV[i]
    end
  end
  read(ids, from)
else
  -- What there is no place for here is set aside while the lane is looked through for something else, and goes
  -- back to its head in the order in which it stood there.
  local HEAD, aside, looked = 511, 0, 0
  spare = tonumber(spare)
  for i = 7, #ARGV, 2 do
    local lane, back, most = ARGV[i], {}, #taken + tonumber(ARGV[i + 1])
    local want = math.min(most, room) - #taken
    while want > 0 and looked <= bound and bytes < BYTES do
      local popped = pop(i, want)
      looked = looked + #popped
      for _, id in ipairs(popped) do
        local head = redis.pcall('GETRANGE', prefix .. 'job:' .. id, 0, HEAD)
        local _, name = texts(type(head) == 'string' and head or '')
        local is_scarce = string.find(scarce, '\n' .. name .. '\n', 1, true)
        if bytes >= BYTES then
          back[#back + 1] = id
          more = 1
        elseif is_scarce and spare == 0 then
          back[#back + 1] = id
          aside = aside + 1
        else
          local before = #taken
          local record = redis.pcall('GET', prefix .. 'job:' .. id)
          take(id, lane, type(record) == 'string' and record)
          spare = is_scarce and spare - (#taken - before) or spare
        end
      end
      if #popped < want then
        break
      end
      want = math.min(most, room) - #taken
    end
    if #back > 0 then
      -- From the back to the front, as LPUSH turns them round again.
      local turned, last = {}, #back + 1
      for n, id in ipairs(back) do
        turned[last - n] = id
      end
      redis.pcall('LPUSH', prefix .. 'lane:' .. lane, unpack(turned))
    end
  end
  if aside > 0 then
    -- It may have been their token that has woken this worker, and others have a place for them. This one asks for
    -- none while it is told so.
    wake()
    if #taken == 0 then
      more = 4
    end
  end
end
if #taken > 0 then
  if #taken >= MANY then
    mine[#mine + 1], mine[#mine + 2] = taken[1], number
    mine[2] = LONG
  end
  redis.call('HSET', held, unpack(mine))
  if redis.call('EXISTS', prefix .. 'aborts') == 1 then
    for i, score in ipairs(redis.call('ZMSCORE', prefix .. 'aborts', unpack(taken))) do
      if score then
        table.insert(out[4], taken[i])
      end
    end
  end
end
if more == 1 then
  wake()
end
local next_due = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
if trouble and #taken == 0 then
  return trouble
end
out[2] = tonumber(next_due[2] or 0)
-- The end of somebody's lease is due as well: should it not be renewed until then, there is work to take over.
local lapse = tonumber(oldest[2]) + 1
if oldest[1] ~= me and (out[2] == 0 or lapse < out[2]) then
  out[2] = lapse
end
out[3] = more + paused
return out
