-- release.lua: takes an owner out of a claim

local claim, exceptions, began = unpack(KEYS)
local token, gen, linger, id, channel, grace = unpack(ARGV)

linger = tonumber(linger)
local rec = redis.pcall('HGET', claim, 'n')
if type(rec) ~= 'string' then
	return t
end
if linger then
	redis.call('HSET', claim, 'l', str(t + linger))
end
redis.call('HDEL', claim, 'o' .. token .. 'g' .. gen)
local c = read(claim, token)
if c.rec then
	redis.call('PEXPIREAT', claim, str(math.max(c.last, c.linger)))
elseif t - epoch(began) >= tonumber(grace) then
	-- In young data an owner may be missing that has not asserted it again yet: there the
	-- exception stays.
	except(exceptions, id, nil, channel)
end
return t
