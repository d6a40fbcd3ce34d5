-- Look again, at one moment, at what seems to be wrong; and put right what is.
-- KEYS 1: prefix
-- ARGV 2 + 4 n: 1 to put it right, 0 to look; longest lane that is searched; then for each doubt: kind, subject,
--   first 37 bytes that the record had when the doubt arose or '', proof. kind and subject: 'job' id,
--   'scheduled' id, 'held' id (proof: worker), 'orphan' worker, 'slot' hash, 'waiter' id, 'letter' id, 'abort' id,
--   'subject' hash.
--   proof of a running job: all workers, read since, that its record may mean; of one queued in a longer lane:
--   'searched' when the whole lane was read since and the job was not there
-- RETURNS for each: '' nothing is wrong, 'long' the lane must be searched first, else what was wrong, as words
-- WHY one script: workers go on meanwhile, and what looked wrong in two looks may only have moved between them

local repair, short = ARGV[1] == '1', tonumber(ARGV[2])
local now = clock()
local woken = false
if repair then
  -- The first write is one that a full server never refuses, so that a full queue can be repaired (R8).
  redis.call('ZREM', prefix .. 'workers', '')
end

local function read(id)
  local record = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 639)
  local letter = string.sub(record, 1, 1)
  return record, letter, letter == 'Q' or letter == 'D' or letter == 'R'
end

local function to_lane(id, record)
  local lane = texts(record)
  if lane ~= '' then
    redis.call('LPUSH', prefix .. 'lane:' .. lane, id)
    woken = true
  end
end

-- As a claim does with what a dead worker held.
local function hand_back(id, record)
  requeue(id, record, hex(now), true)
  to_lane(id, record)
end

local function queued(id, record, unchanged, proof)
  local lane = prefix .. 'lane:' .. (texts(record))
  if redis.call('LLEN', lane) > short then
    if not unchanged then
      return ''
    elseif proof ~= 'searched' then
      return 'long'
    end
  else
    local times = #redis.call('LPOS', lane, id, 'COUNT', 0)
    if times > 0 then
      if times > 1 and repair then
        redis.call('LREM', lane, 1 - times, id)
      end
      return times > 1 and 'repeated' or ''
    end
  end
  if repair then
    to_lane(id, record)
  end
  return 'lost:Q'
end

local function running(id, record, unchanged, proof)
  if not unchanged then
    return ''
  end
  for worker in string.gmatch(proof, '%S+') do
    if redis.call('HEXISTS', prefix .. 'held:' .. worker, id) == 1 then
      return ''
    end
  end
  if repair then
    hand_back(id, record)
  end
  return 'lost:R'
end

local function due(id, record)
  local at = tonumber(string.sub(record, 19, 29), 16)
  if not at or redis.call('ZSCORE', prefix .. 'scheduled', id) then
    return ''
  end
  if repair then
    redis.call('ZADD', prefix .. 'scheduled', at, id)
    woken = true
  end
  return 'lost:D'
end

local function job(id, head, proof)
  local record, letter, lives = read(id)
  local words = ''
  if lives and redis.call('PTTL', prefix .. 'job:' .. id) >= 0 then
    words = 'ttl '
    if repair then
      redis.call('PERSIST', prefix .. 'job:' .. id)
    end
  end
  local unchanged = string.sub(record, 1, 37) == head
  if letter == 'Q' then
    words = words .. queued(id, record, unchanged, proof)
  elseif letter == 'R' then
    words = words .. running(id, record, unchanged, proof)
  elseif letter == 'D' then
    words = words .. due(id, record)
  end
  return words
end

-- Why a job has no business in a place. Of a record that cannot be read nothing is known, so it stays.
local function misplaced(letter, lives)
  return letter == '' and 'gone' or lives and 'twice' or string.find(letter, '[SFAX]') and 'ended' or ''
end

local function scheduled(id)
  local _, letter, lives = read(id)
  local word = misplaced(letter, lives)
  if word == '' or letter == 'D' or not redis.call('ZSCORE', prefix .. 'scheduled', id) then
    return ''
  end
  if repair then
    redis.call('ZREM', prefix .. 'scheduled', id)
  end
  return word
end

local function held(id, worker)
  local record, letter, lives = read(id)
  local word = misplaced(letter, lives)
  local mine = letter == 'R' and string.sub(record, 30, 37) == string.sub(worker, 1, 8)
  if mine or word == '' or redis.call('HEXISTS', prefix .. 'held:' .. worker, id) == 0 then
    return ''
  end
  if repair then
    redis.call('HDEL', prefix .. 'held:' .. worker, id)
  end
  return word
end

-- A bounded part of what it holds; whoever repairs asks until the answer is ''.
local function orphan(worker)
  local key = prefix .. 'held:' .. worker
  if redis.call('ZSCORE', prefix .. 'workers', worker) or redis.call('EXISTS', key) == 0 then
    return ''
  end
  local cursor, found = '0', {}
  while repair do
    local page = redis.call('HSCAN', key, cursor, 'COUNT', 100)
    cursor, found = page[1], page[2]
    if #found > 0 or cursor == '0' then
      break
    end
  end
  for i = 1, math.min(#found, 400), 2 do
    local id = found[i]
    local record, letter = read(id)
    redis.call('HDEL', key, id)
    if letter == 'R' and string.sub(record, 30, 37) == string.sub(worker, 1, 8) then
      hand_back(id, record)
    end
  end
  return 'orphan'
end

local function slot(hash)
  local key = prefix .. 'unique:' .. hash
  local id = redis.call('GET', key)
  if not id then
    return ''
  end
  local record, letter, lives = read(id)
  local _, _, unique = texts(record)
  local word = misplaced(letter, lives)
  if word == '' or (lives and unique == hash) then
    return ''
  end
  if repair then
    redis.call('DEL', key)
  end
  return lives and 'other' or word
end

local function waiter(id)
  local _, letter, lives = read(id)
  local word = misplaced(letter, lives)
  if lives or word == '' or redis.call('HEXISTS', prefix .. 'waiters', id) == 0 then
    return ''
  end
  if repair then
    notify({ id })
  end
  return word
end

local function abort(id)
  local _, letter, lives = read(id)
  local word = misplaced(letter, lives)
  if lives or word == '' or not redis.call('ZSCORE', prefix .. 'aborts', id) then
    return ''
  end
  if repair then
    redis.call('ZREM', prefix .. 'aborts', id)
  end
  return word
end

-- WITH groups

-- One whose record has expired is listed until the list is trimmed, and stands in its group as long.
local function letter(id)
  local _, state = read(id)
  local listed = state == '' and redis.call('ZSCORE', prefix .. 'ended:failed', id)
  if state == 'F' or listed or redis.call('HEXISTS', prefix .. 'fingerprints', id) == 0 then
    return ''
  end
  if repair then
    leave({ id })
  end
  return 'letter'
end

local MONTH = 2592000000  -- ms

local function list_of(hash)
  local key = prefix .. 'subject:' .. hash
  if redis.call('PTTL', key) ~= -1 then
    return ''
  end
  if repair then
    redis.call('PEXPIRE', key, MONTH)
  end
  return 'ever'
end

local out = {}
for i = 3, #ARGV, 4 do
  local kind, subject, head, proof = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if kind == 'job' then
    out[#out + 1] = job(subject, head, proof)
  elseif kind == 'scheduled' then
    out[#out + 1] = scheduled(subject)
  elseif kind == 'held' then
    out[#out + 1] = held(subject, proof)
  elseif kind == 'orphan' then
    out[#out + 1] = orphan(subject)
  elseif kind == 'slot' then
    out[#out + 1] = slot(subject)
  elseif kind == 'waiter' then
    out[#out + 1] = waiter(subject)
  elseif kind == 'subject' then
    out[#out + 1] = list_of(subject)
  elseif kind == 'letter' then
    out[#out + 1] = letter(subject)
  else
    out[#out + 1] = abort(subject)
  end
end
if woken then
  wake()
end
return out
