-- Store new jobs and make them runnable, or scheduled.
-- KEYS 1: prefix
-- ARGV 3 + 2 n: limit, lane, start of the records behind their worker field (lane, name, no unique hash), then
--   for each job id, call: plain jobs of one task under random ids; or limit, '', '', then for each job id,
--   lane, options, tail. limit: '' none, or most jobs that may wait and all lanes, with spaces between them;
--   tail: the whole record behind its worker field; options: '' plain or 'mode;due;unique', mode: 'r' replace
--   an ended job of this id; due: '' now, '+ms' from now, '=ms' absolute; unique: '' or
--   '<flags>:<ttl ms, 0 none>:<hash>'
-- RETURNS how many, when all were stored; else a list: 1 stored (or stored before by this very call), 0 the
--   id is taken, or the id of the job that holds the unique slot; the error QUEUEFULL <queue> <jobs that wait>
--   <jobs that are new> <limit> when nothing was stored because of the limit
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

if limit ~= '' then
  local most, step = tonumber(string.match(limit, '^%d+')), lane_of_all ~= '' and 2 or 4
  local waiting, new = redis.call('ZCARD', prefix .. 'scheduled'), (#ARGV - 3) / step
  for lane in string.gmatch(limit, ' (%S+)') do
    waiting = waiting + redis.call('LLEN', prefix .. 'lane:' .. lane)
  end
  if waiting + new > most then
    -- What a call has stored before takes no room, or a repeat after a lost reply would be refused.
    new = 0
    for i = 4, #ARGV, step do
      local letter = redis.call('GETRANGE', jobs .. ARGV[i], 0, 0)
      local slot = step == 4 and string.match(ARGV[i + 2], ':([^:]+)$')
      local holder = slot and redis.call('GET', prefix .. 'unique:' .. slot)
      local lives = holder and string.find(redis.call('GETRANGE', jobs .. holder, 0, 0), '[QDR]')
      local again = step == 4 and string.sub(ARGV[i + 2], 1, 1) == 'r' and string.find(letter, '[SFAX]')
      if (letter == '' or again) and not lives then
        new = new + 1
      end
    end
    if new > 0 and waiting + new > most then
      local queue = string.match(prefix, '{(.*)}')
      return redis.error_reply('QUEUEFULL ' .. queue .. ' ' .. waiting .. ' ' .. new .. ' ' .. most)
    end
  end
end

-- Plain jobs of one task, as almost all are, take one command for the whole batch. This stands before
-- everything else because the time of a single enqueue is mostly what its script sets up.
if lane_of_all ~= '' then
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
    return #ids
  end
end

local out, lanes, scheduled, head = {}, {}, {}, nil

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

local function due_of(text)
  local sign = string.sub(text, 1, 1)
  if sign == '+' then
    return now + tonumber(string.sub(text, 2))
  elseif sign == '=' then
    return tonumber(string.sub(text, 2))
  end
  return now
end

local function live(id)
  local letter = redis.call('GETRANGE', jobs .. id, 0, 0)
  return letter == 'Q' or letter == 'D' or letter == 'R'
end

local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }

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
    return 1, true
  end
  return 0, false
end

local function store(id, lane, options, tail)
  local mode, time, slot = string.match(options, '^(.-);(.-);(.*)$')
  local due = due_of(time or '')
  local flags, ttl, unique = string.match(slot or '', '^(%x):(%d+):(.*)$')
  if unique then
    local holder = redis.call('GET', prefix .. 'unique:' .. unique)
    if holder and holder ~= id and live(holder) then
      return holder
    end
  end
  local value = 'Q' .. (flags or '0') .. READY .. tail
  if due > now then
    value = 'D' .. (flags or '0') .. '00000' .. stamp .. hex(due) .. '00000000' .. tail
  end
  local answer, new = 1, true
  if not redis.call('SET', jobs .. id, value, 'NX') then
    answer, new = taken(id, value, tail, mode)
  end
  if new then
    place(id, lane, due)
    if unique and tonumber(ttl) > 0 then
      redis.call('SET', prefix .. 'unique:' .. unique, id, 'PX', ttl)
    elseif unique then
      redis.call('SET', prefix .. 'unique:' .. unique, id)
    end
  end
  return answer
end

if lane_of_all ~= '' then
  for i = 4, #ARGV, 2 do
    out[#out + 1] = store(ARGV[i], lane_of_all, '', start .. size(ARGV[i + 1]) .. ARGV[i + 1])
  end
else
  for i = 4, #ARGV, 4 do
    out[#out + 1] = store(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  end
end

for lane, ids in pairs(lanes) do
  redis.call('RPUSH', prefix .. 'lane:' .. lane, unpack(ids))
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
return out
