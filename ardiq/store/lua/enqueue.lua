-- Store new jobs and make them runnable, or scheduled.
-- KEYS 1: prefix
-- ARGV 3 + 2 n: limit, lane, start of the records behind their worker field (lane, name, no unique hash), then
--   for each job id, call: plain jobs of one task under random ids; or limit, '', '', then for each job id,
--   lane, options, tail. limit: '' none, or most jobs that may wait and all lanes, with spaces between them;
--   tail: the whole record behind its worker field; options: '' plain or 'mode;due;unique', with 'o<row>,<ms>|'
--   in front when it comes out of this row of an outbox, enqueued so long ago, and then 's<hash>,<ms>|' when it is
--   about an object, whose list is kept so long after the job is due; due: '' now, '+ms' from the
--   enqueue, '=ms' absolute; unique: '' or '<flags>:<ttl ms, 0 none>:<hash>'; mode: '', 'n' as '', and the id
--   was made for this call alone, 'r' replace an ended job of this id, 't<ms>:<hash>' throttle: the first job of so
--   many ms stands for all, or 'd<ms>:<size>' debounce: the job that holds the unique slot and has not started ends
--   in favour of this one, which is due that long after the first of them at the latest (0: whenever), with the
--   outcome that stands, so many bytes long, behind the record in tail
-- RETURNS 1000 * now + how many, when all were stored; else a list: 1 stored (or stored before by this very
--   call), 0 the id is taken, or the row is known to have been pushed, or the id of the job that holds the unique slot or the window, and at its end now;
--   the error QUEUEFULL <queue> <jobs that wait> <jobs that are new> <limit> when nothing was stored because of
--   the limit. now: epoch ms, the time at which they were enqueued
-- WHY one script: the id, the unique slot and the place in a lane are taken together or not at all; a
--   caller that lost the reply sends the same arguments again and gets the same answer

local now = clock()
local stamp = hex(now)
local READY = '00000' .. stamp .. stamp .. '00000000'
local jobs = prefix .. 'job:'
local limit, lane_of_all, start = ARGV[1], ARGV[2], ARGV[3]

-- Lengths of the call and of the history, which is empty.
local sizes = {}
local function size(call)
  local text = sizes[#call]
  if not text then
    text = string.format('%06x000000', #call)
    sizes[#call] = text
  end
  return text
end

local waiting, tight = 0, false
if limit ~= '' then
  waiting = redis.call('ZCARD', prefix .. 'scheduled')
  for lane in string.gmatch(limit, ' (%S+)') do
    waiting = waiting + redis.call('LLEN', prefix .. 'lane:' .. lane)
  end
  tight = waiting + (#ARGV - 3) / (lane_of_all ~= '' and 2 or 4) > tonumber(string.match(limit, '^%d+'))
end

-- By index in ARGV: calls whose jobs have ended and left nothing. There are none unless tasks keep no results.
local spent
if redis.pcall('EXISTS', prefix .. 'spent') == 1 then
-- WITH spent
  local marks, step = {}, lane_of_all ~= '' and 2 or 4
  for i = 4, #ARGV, step do
    marks[#marks + 1] = step == 2 and mark_of(ARGV[i], ARGV[i + 1]) or mark_in(ARGV[i], ARGV[i + 3])
  end
  for n, score in ipairs(redis.pcall('ZMSCORE', prefix .. 'spent', unpack(marks))) do
    -- Under an id of the caller's own the same call may be one for the next run, which must not be lost.
    local options = step == 4 and ARGV[6 + (n - 1) * step] or ''
    if score and (options == '' or string.find(options, '^n;') or string.find(options, '|n;', 1, true)) then
      spent = spent or {}
      spent[4 + (n - 1) * step] = true
    end
  end
end

-- Plain jobs of one task, as almost all are, take one command for the whole batch. This stands before
-- everything else because the time of a single enqueue is mostly what its script sets up.
if lane_of_all ~= '' and not tight and not spent then
  local args, ids, values, plain = ARGV, {}, {}, 'Q0' .. READY .. start
  for i = 4, #args, 2 do
    local id, call = args[i], args[i + 1]
    ids[(i - 2) / 2] = id
    values[i - 3] = jobs .. id
    values[i - 2] = plain .. (sizes[#call] or size(call)) .. call
  end
  if redis.call('MSETNX', unpack(values)) == 1 then
    redis.call('RPUSH', prefix .. 'lane:' .. lane_of_all, unpack(ids))
    wake()
    return 1000 * now + #ids
  end
end

local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }

local function letter_of(id)
  return redis.call('GETRANGE', jobs .. id, 0, 0)
end

-- WITH slots

local function parts(options)
  local row, age, rest = string.match(options, '^o(%x+),(%d+)|(.*)$')
  rest = rest or options
  local subject, life, plain = string.match(rest, '^s(%x+),(%d+)|(.*)$')
  local mode, due, slot = string.match(plain or rest, '^(.-);(.-);(.*)$')
  local flags, ttl, unique = string.match(slot or '', '^(%x):(%d+):(.*)$')
  mode = mode ~= 'n' and mode or ''
  return mode, due or '', flags, ttl, unique, row, age, subject, life
end

-- WITH windows

if tight then
  -- What a call has stored before takes no room, or a repeat after a lost reply would be refused.
  local new, step, most = 0, lane_of_all ~= '' and 2 or 4, tonumber(string.match(limit, '^%d+'))
  for i = 4, #ARGV, step do
    local mode, _, _, _, unique, row = parts(step == 4 and ARGV[i + 2] or '')
    local letter, found = letter_of(ARGV[i]), throttled_by(mode)
    local holder = unique and redis.call('GET', prefix .. 'unique:' .. unique)
    local longest = string.match(mode, '^d(%d+)')
    if holder and longest then
      found = superseded(tonumber(longest), unique, holder)
    elseif holder then
      found = found or live(holder)
    end
    found = found or (spent and spent[i]) or (row and redis.call('EXISTS', prefix .. 'pushed:' .. row) == 1)
    if (letter == '' or (mode == 'r' and ENDED[letter])) and not found then
      new = new + 1
    end
  end
  if new > 0 and waiting + new > most then
    local queue = string.match(prefix, '{(.*)}')
    return redis.error_reply('QUEUEFULL ' .. queue .. ' ' .. waiting .. ' ' .. new .. ' ' .. most)
  end
end

-- WITH groups

-- WITH attach

local out, lanes, scheduled, head, gone = {}, {}, {}, nil, {}

local function place(id, lane, due)
  if due > now then
    scheduled[#scheduled + 1] = due
    scheduled[#scheduled + 1] = id
    head = math.min(head or due, due)
  else
    lanes[lane] = lanes[lane] or {}
    table.insert(lanes[lane], id)
  end
end

local function due_of(text, enqueued)
  local sign = string.sub(text, 1, 1)
  if sign == '+' then
    return enqueued + tonumber(string.sub(text, 2))
  elseif sign == '=' then
    return tonumber(string.sub(text, 2))
  end
  return now
end

-- How long a pushed row of an outbox is remembered, ms. Its job may be gone sooner than the row (no result is
-- kept, somebody deletes it), and the row may be pushed again until it is deleted: that made a second job.
local REMEMBERED = 3600000

-- The id is taken: by this very call (1), by an ended job that is to be replaced (1, new), or else (0).
local function taken(id, value, tail, mode)
  local old = redis.call('GET', jobs .. id)
  if string.sub(old, 38, 37 + #tail) == tail then
    return 1, false
  end
  local ended = ENDED[string.sub(old, 1, 1)]
  if mode == 'r' and ended then
    redis.call('SET', jobs .. id, value)
    redis.call('ZREM', prefix .. 'ended:' .. ended, id)
    if ended == 'failed' then
      leave({ id })
    end
    return 1, true
  end
  return 0, false
end

local removals = 20  -- most ids that this call takes out of a lane

-- The job ends in favour of a later call. It stays for a minute, for whoever asks for it and for its own call
-- when that comes again, which must not supersede the later one; it is not listed, there may be very many.
local function supersede(id, record, outcome)
  local lane, _, _, stop = texts(record)
  local calls = tonumber(string.sub(record, stop + 1, stop + 6), 16) or 0
  redis.call('SET', jobs .. id, 'A' .. string.sub(record, 2, 18) .. stamp .. '00000000'
    .. string.sub(record, 38, stop + 6) .. '000000'
    .. string.sub(record, stop + 13, stop + 12 + calls) .. outcome, 'PX', 60000)
  gone[id] = true
  redis.call('ZREM', prefix .. 'scheduled', id)
  -- The claim that meets a stale id skips it. Taking it out costs the length of the lane, so a batch does it for
  -- a few only, and what it has stored itself is not there yet.
  if string.sub(record, 1, 1) == 'Q' and removals > 0 and redis.call('LLEN', prefix .. 'lane:' .. lane) <= 1000 then
    removals = removals - 1
    redis.call('LREM', prefix .. 'lane:' .. lane, 1, id)
  end
  redis.call('ZREM', prefix .. 'aborts', id)
  notify({ id })
end

local function store(id, lane, options, tail)
  local mode, time, flags, ttl, unique, row, age, subject, life = parts(options)
  if row and not redis.call('SET', prefix .. 'pushed:' .. row, id, 'NX', 'PX', REMEMBERED) then
    -- Emptied by whoever could not delete the row: what its push came to has been told.
    return redis.call('GET', prefix .. 'pushed:' .. row) == '' and 0 or 1
  end
  local enqueued = now - (age or 0)
  local due = due_of(time, enqueued)
  local first = mode ~= '' and throttled_by(mode)
  -- Of the first job itself nothing may be left when it has run, and its window is open all the same.
  if first and (first ~= id or letter_of(id) == '') then
    return first
  end
  local most, bytes = string.match(mode, '^d(%d+):(%d+)$')
  local outcome, before
  if most then
    most = tonumber(most)
    outcome = string.sub(tail, -tonumber(bytes))
    tail = string.sub(tail, 1, -tonumber(bytes) - 1)
  end
  local holder = unique and redis.call('GET', prefix .. 'unique:' .. unique)
  if holder and holder ~= id then
    if most then
      before = superseded(most, unique, holder)
      if before and row and string.sub(before, 8, 18) > hex(enqueued) then
        return holder  -- this call has waited in an outbox, and is the earlier one
      end
    elseif live(holder) then
      return holder
    end
  end
  if most and most > 0 and redis.call('EXISTS', jobs .. id) == 0 then
    due = end_of_series(due, most, unique, before)
  end
  local since = row and hex(enqueued) or stamp
  local value = 'Q' .. (flags or '0') .. '00000' .. since .. stamp .. '00000000' .. tail
  if due > now then
    value = 'D' .. (flags or '0') .. '00000' .. since .. hex(due) .. '00000000' .. tail
  end
  local answer, new = 1, true
  if not redis.call('SET', jobs .. id, value, 'NX') then
    answer, new = taken(id, value, tail, mode)
  end
  if new then
    place(id, lane, due)
    if subject then
      attach(subject, life, id, due)
    end
    if before then
      supersede(holder, before, outcome)
    end
    if unique then
      hold(unique, ttl, id)
    end
    local window, hash = string.match(mode, '^t(%d+):(.*)$')
    if hash then
      redis.call('SET', prefix .. 'throttle:' .. hash, id, 'PX', window)
      redis.call('SET', prefix .. 'throttle:id:' .. id, hash, 'PX', window)  -- for windows.lua
    end
  end
  return answer
end

if lane_of_all ~= '' then
  for i = 4, #ARGV, 2 do
    out[#out + 1] = spent and spent[i] and 1
      or store(ARGV[i], lane_of_all, '', start .. size(ARGV[i + 1]) .. ARGV[i + 1])
  end
else
  for i = 4, #ARGV, 4 do
    out[#out + 1] = spent and spent[i] and 1 or store(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  end
end

for lane, ids in pairs(lanes) do
  redis.call('RPUSH', prefix .. 'lane:' .. lane, unpack(ids))
end
if next(gone) then
  -- Some may have been superseded by a later call of this very batch.
  local all = scheduled
  scheduled, head = {}, nil
  for i = 1, #all, 2 do
    if not gone[all[i + 1]] then
      place(all[i + 1], nil, all[i])
    end
  end
end
if head then
  redis.call('ZADD', prefix .. 'scheduled', unpack(scheduled))
  -- A sleeping worker knows the earliest due time; it must hear of an earlier one.
  local first = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
  if tonumber(first[2]) >= head then
    wake()
  end
end
if next(lanes) then
  wake()
end
out[#out + 1] = now
return out
