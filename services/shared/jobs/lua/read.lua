-- id, who asks.
if not visible(arg(1), arg(2)) then return false end
return redis.call('HGETALL', at(arg(1)))
