-- how long the lease is. Each turn of the loop takes a webhook or drops one, so it is short over all calls.
while true do
  local id = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', NOW, 'LIMIT', 0, 1)[1]
  if not id then return false end
  if visible(id, '') then
    local key, token = at(id), redis.call('INCR', P .. 'token')
    local attempt = redis.call('HINCRBY', key, 'webhook_attempt', 1)
    redis.call('HSET', key, 'webhook_token', token)
    redis.call('ZADD', WEBHOOKS, NOW + arg(1), id)
    return {redis.call('HGETALL', key), attempt, token}
  end
  redis.call('ZREM', WEBHOOKS, id) -- nobody could look at the job any more
  total('webhooks_given_up', 1)
end
