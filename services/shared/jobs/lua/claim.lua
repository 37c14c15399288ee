-- worker id. Each turn of the loop takes a chunk or ends a job, so it is short over all calls.
promote(16)
for priority = 1, 3 do
  while true do
    local popped = redis.call('ZPOPMIN', ready(priority))
    if #popped == 0 then break end
    local id, first, size = parsed(popped[1])
    local job = redis.call('HMGET', at(id), 'deadline', 'state', 'owner', 'request')
    if tonumber(job[1]) > 0 and tonumber(job[1]) <= NOW then
      finish(id, 'expired', 'its deadline has passed')
    else
      local c = chunk(id, first, size)
      c.state, c.attempt, c.token, c.worker = 'leased', c.attempt + 1, redis.call('INCR', P .. 'token'), arg(1)
      put_chunk(id, first, size, c)
      redis.call('ZADD', LEASED, NOW + LEASE, popped[1])
      if job[2] == 'queued' then redis.call('HSET', at(id), 'state', 'running', 'started', NOW) end
      local items = redis.call('HMGET', at(id) .. ':items', unpack(indices(first, size)))
      return {id, first, size, c.attempt, c.token, NOW + LEASE, job[3], job[4], items}
    end
  end
end
return false
