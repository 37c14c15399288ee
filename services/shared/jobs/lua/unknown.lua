-- ids.
local unknown = {}
for i = 1, #ARGV - 5 do
  local id = arg(i)
  if redis.call('EXISTS', at(id)) == 0 and not redis.call('ZSCORE', GARBAGE, id) then unknown[#unknown + 1] = id end
end
return unknown
