-- id, who asks, index to start at, how many.
local id, start = arg(1), tonumber(arg(3))
if not visible(id, arg(2)) then return false end
local job, items, results = redis.call('HMGET', at(id), 'state', 'total'), {}, {}
for index = start, math.min(start + arg(4), tonumber(job[2])) - 1 do
  items[#items + 1] = redis.call('HGET', at(id) .. ':items', index)
  results[#results + 1] = redis.call('HGET', at(id) .. ':results', index)
end
return {job[1], tonumber(job[2]), items, results}
