-- Compare what a worker holds with what it knows of, after a reply was lost on the way.
-- KEYS 1: prefix
-- ARGV 3 + 1 n: worker, most jobs to hand back in this call, number of its last claim; then the ids it knows
--   of. What a later claim took is left alone: this call was sent before it and may arrive after it
-- RETURNS {how many went back to their lanes, id that is not held any more, ...}; {-1} when the lease is lost
-- WHY one script: a job that the worker never heard of goes back at once, uncharged, and cannot be claimed
--   in between

local me, bound, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local held = prefix .. 'held:' .. me
if not redis.call('ZSCORE', prefix .. 'workers', me) then
  return { -1 }
end
local known, out = {}, { 0 }
for i = 4, #ARGV do
  known[ARGV[i]] = true
end
local now = clock()
local stamp = hex(now)

-- WITH regain

local found = redis.call('HGETALL', held)
for i = 1, #found, 2 do
  local id = found[i]
  if known[id] then
    known[id] = nil
  elseif out[1] < bound and tonumber(found[i + 1]) <= last then
    redis.call('HDEL', held, id)
    local key = prefix .. 'job:' .. id
    local record = redis.call('GET', key)
    if record and string.sub(record, 1, 1) == 'R' and string.sub(record, 30, 37) == string.sub(me, 1, 8) then
      requeue(id, record, stamp, false)
      local lane, _, unique = texts(record)
      redis.call('LPUSH', prefix .. 'lane:' .. lane, id)
      if string.sub(record, 2, 2) == '3' then
        regain(unique, id, now)  -- its claim has freed the slot, unheard
      end
    end
    out[1] = out[1] + 1
  end
end
if out[1] > 0 then
  wake()
end
for id in pairs(known) do
  out[#out + 1] = id
end
return out
