-- The groups of the dead letters, that of the latest failure first.
-- KEYS 1: prefix
-- ARGV 2: most groups; most letters of a group that are looked at for those that are none any more
-- RETURNS for each group: fingerprint, time of its latest failure, how many letters, id of the latest or '', then
--   its facts as a list of field, value, ...
-- WHY one script: numbers of one moment; and whoever looks at a queue in which nothing fails any more drops what
--   has expired, a bounded piece each time, as no settle comes to do it

-- WITH groups

local function is_letter(id)
  return redis.call('GETRANGE', prefix .. 'job:' .. id, 0, 0) == 'F'
end

-- From one end of a group, the ids that are no dead letters.
local function strays(ids)
  local found = {}
  if ids[1] and not is_letter(ids[1]) then
    for _, id in ipairs(ids) do
      if not is_letter(id) then
        found[#found + 1] = id
      end
    end
  end
  return found
end

local out = {}
local found = redis.call('ZREVRANGE', prefix .. 'groups', 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local print = found[i]
  local letters, most = prefix .. 'letters:' .. print, tonumber(ARGV[2])
  leave(strays(redis.call('ZRANGE', letters, 0, most - 1)))
  leave(strays(redis.call('ZREVRANGE', letters, 0, most - 1)))
  local count = redis.call('ZCARD', letters)
  if count > 0 then
    out[#out + 1] = {
      print, found[i + 1], count, redis.call('ZREVRANGE', letters, 0, 0)[1],
      redis.call('HGETALL', prefix .. 'group:' .. print),
    }
  else
    redis.pcall('ZREM', prefix .. 'groups', print)
    redis.pcall('DEL', prefix .. 'group:' .. print)
  end
end
return out
