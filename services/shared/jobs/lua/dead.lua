-- index to start at, how many.
local found = {}
for _, name in ipairs(redis.call('ZREVRANGE', DEAD, arg(1), arg(1) + arg(2) - 1)) do
  local id, index = string.match(name, '^(.+):(%d+)$')
  local why, item = redis.call('HGET', at(id) .. ':dead', index), redis.call('HGET', at(id) .. ':items', index)
  found[#found + 1] = {id, tonumber(index), why, item}
end
return found
