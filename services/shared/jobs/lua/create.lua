-- id, owner, idempotency key or '', fingerprint, request, priority, deadline or 0, most waiting items, how long the
-- idempotency key counts, number of items, the items, then first and size of each chunk.
local id, owner, key, fingerprint, priority = arg(1), arg(2), arg(3), arg(4), arg(6)
local items = tonumber(arg(10))

if redis.call('EXISTS', at(id)) == 1 then return {'new', redis.call('HGETALL', at(id))} end
local kept = P .. 'idempotency:' .. key
if key ~= '' then
  local text = redis.call('GET', kept)
  local before = text and cjson.decode(text)
  if before and before.ends > NOW and visible(before.job, '') then
    if before.fingerprint ~= fingerprint then return {'conflict'} end
    return {'same', redis.call('HGETALL', at(before.job))}
  end
end
local waiting = 0
for p = 1, 3 do waiting = waiting + (redis.call('HGET', GAUGES, 'waiting:' .. p) or 0) end
if waiting + items > tonumber(arg(8)) then return {'full', waiting} end

local seq, deadline = redis.call('INCR', P .. 'seq'), tonumber(arg(7))
redis.call('HSET', at(id), 'id', id, 'owner', owner, 'request', arg(5), 'priority', priority, 'state', 'queued',
  'total', items, 'done', 0, 'failed', 0, 'seq', seq, 'deadline', deadline, 'created', NOW)
for index = 0, items - 1 do redis.call('HSET', at(id) .. ':items', index, arg(11 + index)) end
for i = 11 + items, #ARGV - 5, 2 do
  make_ready(id, tonumber(arg(i)), tonumber(arg(i + 1)), {attempt = 0, strikes = 0, token = 0})
end
redis.call('ZADD', ALL, seq, id)
redis.call('ZADD', owned(owner), seq, id)
if deadline > 0 then redis.call('ZADD', DEADLINES, deadline, id) end
if key ~= '' then
  local document = cjson.encode({job = id, fingerprint = fingerprint, ends = NOW + arg(9)})
  redis.call('SET', kept, document, 'PX', arg(9))
end
gauge('waiting:' .. priority, items)
gauge('active', 1)
total('created', 1)
return {'new', redis.call('HGETALL', at(id))}
