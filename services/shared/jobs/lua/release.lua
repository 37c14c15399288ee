-- id, first, size, token, worker id, 1 for a strike or 0, how long to wait, reason, result of an item that is buried.
local id, first, size = arg(1), tonumber(arg(2)), tonumber(arg(3))
local c = active(id) and chunk(id, first, size)
if not c or c.state ~= 'leased' or c.token ~= tonumber(arg(4)) or c.worker ~= arg(5) then return {'lost', ''} end
return {give_back(id, first, size, c, tonumber(arg(6)), NOW + arg(7), arg(8), arg(9))}
