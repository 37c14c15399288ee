-- id, index.
local id, index = arg(1), arg(2) -- as text: only one spelling of a number is a dead letter's
local key = at(id)
if not visible(id, '') or redis.call('HEXISTS', key .. ':dead', index) == 0 then return false end
local job = redis.call('HMGET', key, 'state', 'deadline', 'priority')
local deadline = tonumber(job[2])
if job[1] == 'cancelled' or job[1] == 'expired' or (deadline > 0 and deadline <= NOW) then
  return {'refused', redis.call('HGETALL', key)}
end
redis.call('HDEL', key .. ':results', index)
redis.call('HDEL', key .. ':dead', index)
redis.call('ZREM', DEAD, id .. ':' .. index)
redis.call('HINCRBY', key, 'failed', -1)
gauge('waiting:' .. job[3], 1)
if not active(id) then
  redis.call('HSET', key, 'state', 'running')
  redis.call('HDEL', key, 'finished', 'expires', 'reason')
  redis.call('ZREM', ENDS, id)
  redis.call('ZREM', WEBHOOKS, id)
  if deadline > 0 then redis.call('ZADD', DEADLINES, deadline, id) end
  gauge('active', 1)
end
make_ready(id, tonumber(index), 1, {attempt = 0, strikes = 0, token = 0})
return {'requeued', redis.call('HGETALL', key)}
