-- claim.lua: joins the claim of a client, or makes one

local claim, exceptions, began = unpack(KEYS)
local token, gen, lease, deadline, rec, home, hurry, id, exception, bad, grace, channel =
	unpack(ARGV)

if t > tonumber(deadline) then
	return { HOW_LATE, t, '', 0, 0 }
end
local c, how = read(claim, token), HOW_JOINED
if c.rec and c.rec == bad then
	redis.call('DEL', claim)
	c = none()
end
local young = hurry == '1' or t - epoch(began) < tonumber(grace)
-- An owner may be missing that has not asserted it again yet: nobody is to move the claim.
if c.rec and young and c.others == 0 then
	how = HOW_MADE_BLIND
end
if not c.rec then
	c.rec, how = rec, HOW_MADE
	local x = exception == '1'
	if young then
		how = HOW_MADE_BLIND
		if home ~= '' then
			c.rec, x = home, false
		end
	end
	if x then
		except(exceptions, id, c.rec, channel)
	end
end
write(claim, c, token .. 'g' .. gen, tonumber(lease), nil)
return { how, t, c.rec, c.others, c.linger > t and 1 or 0 }
