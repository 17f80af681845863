-- move.lua: moves a claim to another node, if nobody else holds it

local claim, exceptions = unpack(KEYS)
local token, gen, lease, deadline, from, to, linger, id, exception, channel = unpack(ARGV)

if t > tonumber(deadline) then
	return { HOW_LATE, t, '', 0, 0 }
end
local c, how = read(claim, token), HOW_JOINED
if not c.rec or (c.rec == from and c.others == 0) then
	redis.call('DEL', claim)
	c = none()
	c.rec, how = to, HOW_MOVED
	except(exceptions, id, exception == '1' and c.rec or nil, channel)
end
write(claim, c, token .. 'g' .. gen, tonumber(lease), tonumber(linger))
return { how, t, c.rec, c.others, c.linger > t and 1 or 0 }
