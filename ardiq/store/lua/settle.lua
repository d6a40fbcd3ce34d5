-- Take what a worker has to say about jobs that it holds: ended, to be retried, or given back.
-- KEYS 1: prefix
-- ARGV 5 + 7 n: worker, ms that ended jobs stay listed, most ended jobs listed, ms that failed jobs stay
--   listed, most failed jobs kept; then for each job: id, number of its claim, verb, head (the first 18
--   bytes of the record to come), wait (verb S F A X: ms that the record lives on, 0 not stored, -1 for
--   ever; verb D: ms until it is due; verb Q: unused), tail (the record behind its time; verb Q: the lane),
--   unique hash to free or '' (verbs Q and D: to hold again, of a job that frees its slot at its start and has not
--   begun; verb F: behind it, after a newline each, fingerprint, type, place and message of the failure, where
--   they are known)
-- RETURNS a list of id, reason ('done' settled before by this worker, 'stale' somebody else's by now) for
--   each job that was refused
-- WHY one script: leaving held:<worker> and getting an outcome are one step, and the membership is the
--   fence: whoever does not hold a job under that claim can write nothing about it (R3)

local me = ARGV[1]
local held = prefix .. 'held:' .. me
local ids, mine, refused = {}, {}, {}
for i = 6, #ARGV, 7 do
  ids[#ids + 1] = ARGV[i]
end
if #ids == 0 then
  return refused
end
local numbers = redis.call('HMGET', held, unpack(ids))
local leaving = {}
for n, id in ipairs(ids) do
  local i = 6 + (n - 1) * 7
  if numbers[n] == ARGV[i + 1] then
    mine[#mine + 1] = i
    leaving[#leaving + 1] = id
  else
    local head = redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 36)
    local same = string.sub(head, 1, 1) == ARGV[i + 2] and string.sub(head, 30, 37) == string.sub(me, 1, 8)
    refused[#refused + 1] = id
    refused[#refused + 1] = same and 'done' or 'stale'
  end
end
if #mine == 0 then
  return refused
end
-- First the write that a full server never refuses; after it nothing of this script is refused (R8).
redis.call('HDEL', held, unpack(leaving))

local now = clock()
local stamp = hex(now)
local ENDED = { S = 'succeeded', F = 'failed', A = 'aborted', X = 'expired' }
local ended, finished, due, marks, again = {}, {}, {}, {}, false
-- From here on every job of the batch gets its outcome, whatever lies at the keys around it: a key of a wrong
-- type, or one that the user may not touch, must not end the script between two of them (R9).
local try = redis.pcall
local aborts = {}
if redis.call('EXISTS', prefix .. 'aborts') == 1 then
  for n, score in ipairs(try('ZMSCORE', prefix .. 'aborts', unpack(leaving))) do
    aborts[leaving[n]] = score or nil
  end
end

-- WITH groups
-- WITH spent

-- WITH opening

-- fingerprint -> what this batch tells of its group; id, fingerprint, id, fingerprint, ...
local groups, prints = {}, {}

-- Take the group of a failure down. Answers its unique hash alone.
local function note(i, id)
  local unique, print, kind, place, message =
    string.match(ARGV[i + 6], '^([^\n]*)\n([^\n]+)\n([^\n]*)\n([^\n]*)\n([^\n]*)$')
  if not print then
    return ARGV[i + 6]
  end
  if tonumber(ARGV[i + 4]) ~= 0 then
    local group = groups[print] or { letters = {} }
    groups[print] = group
    group.kind, group.place, group.message = kind, place, message
    group.task = string.match(ARGV[i + 5], '^[^\n]*\n([^\n]*)')
    table.insert(group.letters, now)
    table.insert(group.letters, id)
    prints[#prints + 1] = id
    prints[#prints + 1] = print
  end
  return unique
end

local TASKS_MOST = 500  -- characters

local function join()
  local ids, moved = {}, {}
  for n = 1, #prints, 2 do
    ids[#ids + 1] = prints[n]
  end
  -- Of another life of these ids; such a record has expired, or was replaced by a user without rights to groups.
  local before = try('HMGET', prefix .. 'fingerprints', unpack(ids))
  for n, id in ipairs(ids) do
    if before[n] and before[n] ~= prints[2 * n] then
      moved[#moved + 1] = id
    end
  end
  leave(moved)
  for print, group in pairs(groups) do
    local facts = prefix .. 'group:' .. print
    local tasks = try('HGET', facts, 'tasks')
    if type(tasks) ~= 'string' then
      tasks = group.task
    elseif #tasks < TASKS_MOST and not string.find('\n' .. tasks .. '\n', '\n' .. group.task .. '\n', 1, true) then
      tasks = tasks .. '\n' .. group.task
    end
    try('HSETNX', facts, 'first', now)
    try('HSET', facts, 'type', group.kind, 'where', group.place, 'message', group.message, 'tasks', tasks)
    try('ZADD', prefix .. 'letters:' .. print, unpack(group.letters))
    try('ZADD', prefix .. 'groups', now, print)
  end
  try('HSET', prefix .. 'fingerprints', unpack(prints))
end

local function finish(i, id, key, verb)
  local ttl = tonumber(ARGV[i + 4])
  local record = ARGV[i + 3] .. stamp .. ARGV[i + 5]
  if ttl == 0 then
    -- What an earlier run has reported must not outlive the job. The report of the last run went before.
    redis.call('DEL', key, prefix .. 'progress:' .. id, prefix .. 'logs:' .. id)
    marks[#marks + 1] = now
    marks[#marks + 1] = mark_in(id, string.sub(ARGV[i + 5], 9))
    if verb == 'A' or verb == 'X' then
      open_window(id)
    end
  elseif ttl < 0 then
    redis.call('SET', key, record)
  else
    redis.call('SET', key, record, 'PX', ttl)
    if string.sub(record, 3, 7) > '00100' then  -- more than one attempt, or a crash
      try('PEXPIRE', prefix .. 'progress:' .. id, ttl)
      try('PEXPIRE', prefix .. 'logs:' .. id, ttl)
    end
  end
  if ttl ~= 0 then
    local list = ended[verb]
    if not list then
      list = {}
      ended[verb] = list
    end
    list[#list + 1] = now
    list[#list + 1] = id
  end
  finished[#finished + 1] = id
  if aborts[id] then
    try('ZREM', prefix .. 'aborts', id)
  end
  local unique = ARGV[i + 6]
  if verb == 'F' then
    unique = note(i, id)
  end
  if unique ~= '' then
    release(unique, id)
  end
end

-- WITH regain

local function hold_again(i, id)
  if ARGV[i + 6] ~= '' then
    regain(ARGV[i + 6], id, now)
  end
end

local function retry(i, id, key)
  if aborts[id] then
    -- Marked for abort meanwhile: back to the head of its lane, where the next claim settles it as aborted.
    local record = 'Q' .. string.sub(ARGV[i + 3], 2) .. stamp .. ARGV[i + 5]
    redis.call('SET', key, record)
    try('LPUSH', prefix .. 'lane:' .. (texts(record)), id)
    again = true
  else
    local at = now + tonumber(ARGV[i + 4])
    redis.call('SET', key, ARGV[i + 3] .. hex(at) .. ARGV[i + 5])
    due[#due + 1] = at
    due[#due + 1] = id
    hold_again(i, id)
  end
end

for _, i in ipairs(mine) do
  local id, verb = ARGV[i], ARGV[i + 2]
  local key = prefix .. 'job:' .. id
  if verb == 'Q' then
    if redis.call('EXISTS', key) == 1 then
      try('SETRANGE', key, 0, ARGV[i + 3] .. stamp .. '00000000')
      try('LPUSH', prefix .. 'lane:' .. ARGV[i + 5], id)
      again = true
      hold_again(i, id)
    end
  elseif verb == 'D' then
    retry(i, id, key)
  else
    finish(i, id, key, verb)
  end
end

local function trim(status, age, most, records)
  local index = prefix .. 'ended:' .. status
  local bound = 2 * #mine + 100
  if age > 0 then
    local old = redis.call('ZCOUNT', index, '-inf', now - age)
    if old > 0 then
      local gone = records and redis.call('ZRANGE', index, 0, math.min(old, bound) - 1) or {}
      redis.call('ZREMRANGEBYRANK', index, 0, math.min(old, bound) - 1)
      leave(gone)
    end
  end
  local over = math.min(redis.call('ZCARD', index) - most, bound)
  if over > 0 then
    if records then
      local gone = redis.call('ZRANGE', index, 0, over - 1)
      leave(gone)
      for _, id in ipairs(gone) do
        -- An id may have begun another life since.
        if try('GETRANGE', prefix .. 'job:' .. id, 0, 0) == 'F' then
          redis.call('DEL', prefix .. 'job:' .. id, prefix .. 'progress:' .. id, prefix .. 'logs:' .. id)
        end
      end
    end
    redis.call('ZREMRANGEBYRANK', index, 0, over - 1)
  end
end

if #due > 0 then
  redis.call('ZADD', prefix .. 'scheduled', unpack(due))
  local first = redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')
  for n = 1, #due, 2 do
    if due[n] <= tonumber(first[2]) then
      again = true
    end
  end
end
if #prints > 0 then
  join()
end
if #marks > 0 then
  spend(now, marks)
end
for verb, list in pairs(ended) do
  local listed = try('ZADD', prefix .. 'ended:' .. ENDED[verb], unpack(list))
  -- An error comes as a table. The list is for people; the jobs have ended all the same.
  if type(listed) ~= 'table' and verb == 'F' then
    trim('failed', tonumber(ARGV[4]), tonumber(ARGV[5]), true)
  elseif type(listed) ~= 'table' then
    trim(ENDED[verb], tonumber(ARGV[2]), tonumber(ARGV[3]), false)
  end
end
if again then
  wake()
end
notify(finished)
return refused
