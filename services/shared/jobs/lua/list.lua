-- who asks, how many, the job before the page or ''.
local line = arg(1) == '' and ALL or owned(string.sub(arg(1), 2))
local from = '+inf'
if arg(3) ~= '' then
  local seq = redis.call('ZSCORE', line, arg(3))
  if not seq then return false end
  from = '(' .. seq
end
local jobs = {}
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', line, from, '-inf', 'LIMIT', 0, arg(2))) do
  if visible(id, arg(1)) then jobs[#jobs + 1] = redis.call('HGETALL', at(id)) end
end
return jobs
