-- id, who asks, 'purge' or 'cancel'.
local id = arg(1)
if not visible(id, arg(2)) then return false end
if active(id) then finish(id, 'cancelled', 'its owner cancelled it') end
if arg(3) == 'purge' then
  redis.call('HSET', at(id), 'expires', NOW)
  redis.call('ZADD', ENDS, NOW, id)
  redis.call('ZREM', WEBHOOKS, id)
end
return redis.call('HGETALL', at(id))
