-- tick.lua: the clock, the epoch, and the drain orders of operators

local began, drains = unpack(KEYS)
local day = ARGV[1]

local e = epoch(began)
redis.call('PEXPIRE', began, day)
local d = redis.pcall('HGETALL', drains)
if d.err then
	redis.call('DEL', drains)
	d = {}
end
redis.call('PEXPIRE', drains, day)
return { t, e, unpack(d) }
