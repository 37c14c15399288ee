-- duty, how often.
local key, every = P .. 'turn:' .. arg(1), tonumber(arg(2))
local taken = redis.call('GET', key)
if taken and tonumber(taken) + every > NOW then return 0 end
redis.call('SET', key, NOW, 'PX', every)
return 1
