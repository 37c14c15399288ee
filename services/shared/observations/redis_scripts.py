"""What the server does in one step for observations, in Lua.

A revision is the server's time in microseconds, or one more than the last: so it rises, and does not come again after
the server has lost its data. Whole numbers are exact in Lua, and as a sorted set's scores, to 2^53: the year 2255.
"""

_REVISION = """
local function revision(key)
  local time = redis.call('TIME')
  local last = tonumber(redis.call('GET', key) or '0')
  local next = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
  redis.call('SET', key, next)
  return next
end
"""

# KEYS: the revision; then for each release its documents and their order.
# ARGV: seconds; then for each release a field that should be there ('' for none), how many are written, and those.
# Says at which places (from 0) the field was not there: the server has lost something.
PUBLISH = (
    _REVISION
    + """
local now, lost, at = revision(KEYS[1]), {}, 2
for i = 2, #KEYS, 2 do
  if ARGV[at] ~= '' and redis.call('HEXISTS', KEYS[i], ARGV[at]) == 0 then
    lost[#lost + 1] = (i - 2) / 2
  end
  local last = at + 1 + 2 * ARGV[at + 1]
  for j = at + 2, last, 2 do
    redis.call('HSET', KEYS[i], ARGV[j], ARGV[j + 1])
    redis.call('ZADD', KEYS[i + 1], now, ARGV[j])
  end
  redis.call('EXPIRE', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
  at = last + 1
end
return lost
"""
)

# KEYS: for each release its documents, their order, and its feedback.
# ARGV: for each release the revisions of documents and of feedback that are known.
# One text for all, a JSON list: the protocol's parser takes ten microseconds for each element of an answer. For each
# release [how many documents there are, [[field, document], ...], the newest revision, its feedback if that is new].
EVIDENCE = """
local text = {}
local function say(...)
  for _, part in ipairs({...}) do
    text[#text + 1] = part
  end
end
for i = 1, #KEYS, 3 do
  local at, comma = i - (i - 1) / 3, ''
  local since = ARGV[at]
  say(i == 1 and '[[' or ',[', redis.call('ZCARD', KEYS[i + 1]), ',[')
  local fresh = redis.call('ZRANGEBYSCORE', KEYS[i + 1], '(' .. since, '+inf', 'WITHSCORES')
  for j = 1, #fresh, 2 do
    local document = redis.call('HGET', KEYS[i], fresh[j])
    if document then
      say(comma, '[', cjson.encode(fresh[j]), ',', document, ']')
      since, comma = fresh[j + 1], ','
    end
  end
  local feedback = 'null'
  local there = redis.call('HGET', KEYS[i + 2], 'revision') or '0'
  if there ~= ARGV[at + 1] then
    local fields, flat = {}, redis.call('HGETALL', KEYS[i + 2])
    for j = 1, #flat, 2 do
      fields[flat[j]] = flat[j + 1]
    end
    feedback = there == '0' and '{}' or cjson.encode(fields)
  end
  say('],', since, ',', feedback, ']')
end
say(']')
return table.concat(text)
"""

# KEYS: the token's mark, the counts, the revision. ARGV: seconds of the mark and of the counts, names with amounts.
FEEDBACK = (
    _REVISION
    + """
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then
  return 0
end
for i = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[2], 'revision', revision(KEYS[3]))
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""
)
