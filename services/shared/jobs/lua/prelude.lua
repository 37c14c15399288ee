-- What every script of the job store begins with. A script runs alone on the server: it is the transaction.
-- Times are whole milliseconds, which Lua's numbers hold and print exactly.
--
-- job:<id>          hash    owner, request, priority, state, total, done, failed, seq, created, started, finished …
-- job:<id>:items    hash    index -> item                 job:<id>:results  hash  index -> result
-- job:<id>:chunks   hash    <first>:<size> -> state, attempt, strikes, token, worker
-- job:<id>:dead     hash    index -> why and when it was buried
-- ready:<priority>  sorted  chunks by their job's place in line     leased, delayed  sorted  chunks by time
-- all, owner:<id>   sorted  jobs by place                           ends, deadlines  sorted  jobs by time
-- dead              sorted  <id>:<index> by time                    garbage          sorted  swept jobs with blobs left
-- webhooks          sorted  ended jobs by when to tell their owner  turn:<duty>      string  when it was taken
local P = 'grayscale:jobs:'
local LEASED, DELAYED, ENDS, DEADLINES = P .. 'leased', P .. 'delayed', P .. 'ends', P .. 'deadlines'
local DEAD, GARBAGE, ALL, WEBHOOKS = P .. 'dead', P .. 'garbage', P .. 'all', P .. 'webhooks'
local TOTALS, GAUGES = P .. 'totals', P .. 'gauges'

local NOW = tonumber(ARGV[1])
if not NOW then -- the server's clock, where the caller has none of its own
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end
local LEASE, KEEP, STRIKES, ATTEMPTS = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function arg(i) return ARGV[5 + i] end
local function at(id) return P .. 'job:' .. id end
local function ready(priority) return P .. 'ready:' .. priority end
local function owned(owner) return P .. 'owner:' .. owner end
local function total(name, by) redis.call('HINCRBY', TOTALS, name, by) end
local function gauge(name, by) redis.call('HINCRBY', GAUGES, name, by) end

-- The index is padded so that chunks of one job, whose score is the same, sort in input order.
local function member(id, first, size) return string.format('%s/%08d/%d', id, first, size) end
local function parsed(name)
  local id, first, size = string.match(name, '^(.+)/(%d+)/(%d+)$')
  return id, tonumber(first), tonumber(size)
end

-- The items of a chunk, for one call of the server in place of one each, which take longer than what they do.
local function indices(first, size)
  local all = {}
  for i = 1, size do all[i] = first + i - 1 end
  return all
end

local function chunk(id, first, size)
  local text = redis.call('HGET', at(id) .. ':chunks', first .. ':' .. size)
  return text and cjson.decode(text)
end
local function put_chunk(id, first, size, c)
  redis.call('HSET', at(id) .. ':chunks', first .. ':' .. size, cjson.encode(c))
end

local function active(id)
  local state = redis.call('HGET', at(id), 'state')
  return state == 'queued' or state == 'running'
end

-- Whether a job is there for who asks: '' for everybody, '=<owner>' for one.
local function visible(id, asked)
  local job = redis.call('HMGET', at(id), 'owner', 'expires')
  if not job[1] or (asked ~= '' and asked ~= '=' .. job[1]) then return false end
  return not job[2] or tonumber(job[2]) > NOW
end

local function make_ready(id, first, size, c)
  local job = redis.call('HMGET', at(id), 'priority', 'seq')
  c.state = 'ready'
  put_chunk(id, first, size, c)
  redis.call('ZADD', ready(job[1]), job[2], member(id, first, size))
end

local function finish(id, state, reason)
  local key = at(id)
  local job = redis.call('HMGET', key, 'priority', 'total', 'done', 'failed')
  local missing = job[2] - job[3] - job[4]
  if missing > 0 then
    local places = {ready = ready(job[1]), leased = LEASED, delayed = DELAYED}
    local chunks = redis.call('HGETALL', key .. ':chunks')
    for i = 1, #chunks, 2 do
      local place = places[cjson.decode(chunks[i + 1]).state]
      if place then
        local first, size = string.match(chunks[i], '^(%d+):(%d+)$')
        redis.call('ZREM', place, member(id, tonumber(first), tonumber(size)))
      end
    end
    gauge('waiting:' .. job[1], -missing)
  end
  redis.call('HSET', key, 'state', state, 'reason', reason, 'finished', NOW, 'expires', NOW + KEEP)
  redis.call('ZADD', ENDS, NOW + KEEP, id)
  redis.call('ZREM', DEADLINES, id)
  gauge('active', -1)
  total(state, 1)
  redis.call('HINCRBY', key, 'ends', 1)
  if cjson.decode(redis.call('HGET', key, 'request')).callback_url ~= '' then
    redis.call('HSET', key, 'webhook_attempt', 0, 'webhook_token', 0)
    redis.call('ZADD', WEBHOOKS, NOW, id)
  end
end

-- Counts new results; the state in which the job ended by them, '' when it goes on.
local function tally(id, done, failed)
  local key = at(id)
  local job = redis.call('HMGET', key, 'priority', 'total')
  local all_done = redis.call('HINCRBY', key, 'done', done)
  local all_failed = redis.call('HINCRBY', key, 'failed', failed)
  total('done', done)
  total('failed', failed)
  gauge('waiting:' .. job[1], -done - failed)
  if all_done + all_failed < tonumber(job[2]) then return '' end
  local state = all_done > 0 and 'succeeded' or 'failed'
  finish(id, state, '')
  return state
end

local function bury(id, first, size, c, reason, body)
  local key, failed = at(id), 0
  for index = first, first + size - 1 do
    failed = failed + redis.call('HSETNX', key .. ':results', index, body)
    redis.call('HSET', key .. ':dead', index, cjson.encode({reason = reason, attempts = c.attempt, at = NOW}))
    redis.call('ZADD', DEAD, NOW, id .. ':' .. index)
  end
  c.state = 'buried'
  put_chunk(id, first, size, c)
  total('buried', size)
  return tally(id, 0, failed)
end

-- `retry.fate_of`, and what follows from it; the outcome, and how the job ended by it ('' when it goes on).
local function give_back(id, first, size, c, strike, due, reason, body)
  redis.call('ZREM', LEASED, member(id, first, size))
  c.strikes, c.token = c.strikes + strike, 0
  if c.strikes >= STRIKES and size > 1 then
    c.state = 'split'
    put_chunk(id, first, size, c)
    for index = first, first + size - 1 do make_ready(id, index, 1, {attempt = 0, strikes = 0, token = 0}) end
    total('split', 1)
    return 'split', ''
  end
  if c.strikes >= STRIKES or c.attempt >= ATTEMPTS then return 'buried', bury(id, first, size, c, reason, body) end
  total('retried', 1)
  if due <= NOW then
    make_ready(id, first, size, c)
  else
    c.state = 'delayed'
    put_chunk(id, first, size, c)
    redis.call('ZADD', DELAYED, due, member(id, first, size))
  end
  return 'retry', ''
end

-- Chunks whose backoff is over.
local function promote(limit)
  local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, limit)
  for _, name in ipairs(due) do
    redis.call('ZREM', DELAYED, name)
    local id, first, size = parsed(name)
    make_ready(id, first, size, chunk(id, first, size))
  end
  return #due
end
