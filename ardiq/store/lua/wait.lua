-- Read a job, and if it has not ended, be told when it does.
-- KEYS 1: prefix
-- ARGV 2: id, client (the part of its channel behind done:)
-- RETURNS the record of a job that has ended, '' for one that lives, nil for one that is not there
-- WHY one script: a job that ends between the look and the request would never be told of

local id, client = ARGV[1], ARGV[2]
local record = redis.call('GET', prefix .. 'job:' .. id)
if not record then
  return false
end
local letter = string.sub(record, 1, 1)
if letter ~= 'Q' and letter ~= 'D' and letter ~= 'R' then
  return record
end
local waiters = prefix .. 'waiters'
-- First a write that a full server never refuses, so that waiting works there, too (R8).
redis.call('HDEL', waiters, '')
local names = redis.call('HGET', waiters, id)
if not names then
  redis.call('HSET', waiters, id, client)
elseif not string.find(names, client, 1, true) and #names < 3300 then
  -- Beyond about a hundred clients the late ones rely on their own polling.
  redis.call('HSET', waiters, id, names .. ' ' .. client)
end
return ''
