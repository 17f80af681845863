-- sweep.lua: a part of the exceptions; those without a claim are dropped

local exceptions, began = unpack(KEYS)
local cursor, prefix, grace = unpack(ARGV)

local young = t - epoch(began) < tonumber(grace)
-- A hash of many fields comes in parts, one of few as a whole.
local s = redis.pcall('HSCAN', exceptions, cursor, 'COUNT', 100)
if s.err then
	redis.call('DEL', exceptions)
	return { '0', young and 1 or 0 }
end
local out = { s[1], young and 1 or 0 }
for i = 1, #s[2], 2 do
	local id, rec = s[2][i], s[2][i + 1]
	if not young and redis.call('EXISTS', prefix .. id) == 0 then
		redis.call('HDEL', exceptions, id)
	else
		out[#out + 1] = id
		out[#out + 1] = rec
	end
end
return out
