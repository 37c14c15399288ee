-- reason, result of an item that is buried, the most of each kind.
local ended, most = {}, tonumber(arg(3))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', NOW, 'LIMIT', 0, most)) do
  finish(id, 'expired', 'its deadline has passed')
  ended[#ended + 1] = id
end
local lapsed = redis.call('ZRANGEBYSCORE', LEASED, '-inf', NOW, 'LIMIT', 0, most)
for _, name in ipairs(lapsed) do
  local id, first, size = parsed(name)
  local _, state = give_back(id, first, size, chunk(id, first, size), 1, NOW, arg(1), arg(2))
  if state ~= '' then ended[#ended + 1] = id end
end
if #lapsed > 0 then total('lapsed', #lapsed) end
return {#lapsed, promote(most), ended}
