-- id, first, size, token, worker id, a letter for each item (d: done, f: failed), then their results.
local id, first, size, flags = arg(1), tonumber(arg(2)), tonumber(arg(3)), arg(6)
local c = chunk(id, first, size)
if not c or c.token ~= tonumber(arg(4)) or c.worker ~= arg(5) then return {'lost', ''} end
if c.state == 'completed' then -- the same word again: its answer was lost
  return {'completed', active(id) and '' or redis.call('HGET', at(id), 'state')}
end
if c.state ~= 'leased' or not active(id) then return {'lost', ''} end
local results, new, done, failed = at(id) .. ':results', {}, 0, 0
for i, before in ipairs(redis.call('HMGET', results, unpack(indices(first, size)))) do
  if not before then
    new[#new + 1], new[#new + 2] = first + i - 1, arg(6 + i)
    if string.sub(flags, i, i) == 'd' then done = done + 1 else failed = failed + 1 end
  end
end
if #new > 0 then redis.call('HSET', results, unpack(new)) end
redis.call('ZREM', LEASED, member(id, first, size))
c.state = 'completed'
put_chunk(id, first, size, c)
return {'completed', tally(id, done, failed)}
