-- id, first, size, token, worker id, a letter for each item (d: done, f: failed), then their results.
local id, first, size, flags = arg(1), tonumber(arg(2)), tonumber(arg(3)), arg(6)
local c = chunk(id, first, size)
if not c or c.token ~= tonumber(arg(4)) or c.worker ~= arg(5) then return {'lost', ''} end
if c.state == 'completed' then -- the same word again: its answer was lost
  return {'completed', active(id) and '' or redis.call('HGET', at(id), 'state')}
end
if c.state ~= 'leased' or not active(id) then return {'lost', ''} end
local done, failed = 0, 0
for i = 1, size do
  local new = redis.call('HSETNX', at(id) .. ':results', first + i - 1, arg(6 + i))
  if string.sub(flags, i, i) == 'd' then done = done + new else failed = failed + new end
end
redis.call('ZREM', LEASED, member(id, first, size))
c.state = 'completed'
put_chunk(id, first, size, c)
return {'completed', tally(id, done, failed)}
