local depths = {}
for priority = 1, 3 do
  local line, oldest = ready(priority), 0
  local first = redis.call('ZRANGE', line, 0, 0)
  if #first > 0 then oldest = NOW - redis.call('HGET', at(parsed(first[1])), 'created') end
  depths[priority] = {redis.call('ZCARD', line), tonumber(redis.call('HGET', GAUGES, 'waiting:' .. priority) or 0), oldest}
end
return {depths, tonumber(redis.call('HGET', GAUGES, 'active') or 0), redis.call('ZCARD', LEASED),
  redis.call('ZCARD', DELAYED), redis.call('ZCARD', DEAD), redis.call('HGETALL', TOTALS), NOW}
