-- sweep.lua: a part of the exceptions; those without a claim are dropped

local exceptions, began, peers = unpack(KEYS)
local cursor, prefix = unpack(ARGV)

local _, ripe = epoch(began)
-- A hash of many fields comes in parts, one of few as a whole.
local s = redis.pcall('HSCAN', exceptions, cursor, 'COUNT', 100)
if s.err then
	redis.call('DEL', exceptions)
	return { '0', ripe and 0 or 1 }
end
local out = { s[1], ripe and 0 or 1 }
for i = 1, #s[2], 2 do
	local id, rec = s[2][i], s[2][i + 1]
	if ripe and not read(prefix .. id, peers, '').rec then
		redis.call('HDEL', exceptions, id)
	else
		out[#out + 1] = id
		out[#out + 1] = rec
	end
end
return out
