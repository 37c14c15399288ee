-- how many.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', NOW, 'LIMIT', 0, arg(1))) do
  local key = at(id)
  for _, index in ipairs(redis.call('HKEYS', key .. ':dead')) do redis.call('ZREM', DEAD, id .. ':' .. index) end
  redis.call('ZREM', owned(redis.call('HGET', key, 'owner')), id)
  redis.call('ZREM', ALL, id)
  redis.call('ZREM', ENDS, id)
  if redis.call('ZREM', WEBHOOKS, id) == 1 then total('webhooks_given_up', 1) end
  redis.call('UNLINK', key, key .. ':results', key .. ':chunks', key .. ':dead')
  redis.call('ZADD', GARBAGE, NOW, id)
end
local swept = {}
for _, id in ipairs(redis.call('ZRANGE', GARBAGE, 0, arg(1) - 1)) do
  swept[#swept + 1] = {id, redis.call('HVALS', at(id) .. ':items')}
end
return swept
