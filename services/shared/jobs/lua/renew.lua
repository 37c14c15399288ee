-- id, first, size, token, worker id.
local id, first, size = arg(1), tonumber(arg(2)), tonumber(arg(3))
local c = active(id) and chunk(id, first, size)
if not c or c.state ~= 'leased' or c.token ~= tonumber(arg(4)) or c.worker ~= arg(5) then return 0 end
redis.call('ZADD', LEASED, NOW + LEASE, member(id, first, size))
return NOW + LEASE
