-- Keep what running jobs report: how far they are, and lines of their logs.
-- KEYS 1: prefix
-- ARGV 2 + 5 n: worker, most bytes of the lines of one job; then for each job id, number of its claim, ms that
--   its reports live on (0: they go), progress or '' for none, lines, each with a newline behind it, or ''
-- RETURNS the ids that this worker does not hold under that claim, or whose record cannot be read: nothing of
--   theirs was kept
-- WHY one script: membership in held:<worker> is the fence, as for a verdict (R3), and a report names the life
--   of its job, by when it was enqueued, so that none is taken for one of a later job of the same id

local held = prefix .. 'held:' .. ARGV[1]
local most, stamp = tonumber(ARGV[2]), hex(clock())
local foreign = {}

-- The latest lines; to three quarters of what is allowed, so that this is not done again at once.
local function cut(key, life, ttl)
  local text = redis.call('GETRANGE', key, -math.floor(most * 0.75), -1)
  local _, first = string.find(text, '\n', 1, true)
  redis.call('SET', key, life .. '\n' .. string.sub(text, (first or 0) + 1), 'PX', ttl)
end

local function write(key, life, lines, ttl)
  local size = redis.call('STRLEN', key)
  if size == 0 or redis.call('GETRANGE', key, 0, 10) ~= life then
    redis.call('SET', key, life .. '\n' .. lines, 'PX', ttl)
    size = #life + 1 + #lines
  else
    size = redis.call('SETRANGE', key, size, lines)
  end
  if size > most then
    cut(key, life, ttl)
  end
end

for i = 3, #ARGV, 5 do
  local id, ttl, progress, lines = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  local shown, logs = prefix .. 'progress:' .. id, prefix .. 'logs:' .. id
  local life = redis.pcall('GETRANGE', prefix .. 'job:' .. id, 7, 17)
  if redis.call('HGET', held, id) ~= ARGV[i + 1] or type(life) ~= 'string' or #life ~= 11 then
    foreign[#foreign + 1] = id
  elseif ttl == 0 then
    redis.call('DEL', shown, logs)
  else
    if progress ~= '' then
      redis.call('SET', shown, life .. stamp .. progress, 'PX', ttl)
    else
      redis.call('PEXPIRE', shown, ttl)
    end
    if lines ~= '' then
      write(logs, life, lines, ttl)
    end
    redis.call('PEXPIRE', logs, ttl)
  end
end
return foreign
