-- What a list shows of jobs: their records without the parts that are too large for a list.
-- KEYS 1: prefix
-- ARGV 1 + 1 n: largest part in bytes, then ids
-- RETURNS for each id: size of its record in bytes (0 not there), the record with larger parts left out
-- WHY one script: a page of a hundred jobs is one round trip, and what is too large stays where it is

-- WITH slim

local largest, out = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  out[#out + 1], out[#out + 2] = slim(ARGV[i], largest)
end
return out
