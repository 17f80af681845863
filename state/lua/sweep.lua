-- sweep.lua: a part of the exceptions; those without a claim are dropped, and those of clients that
-- have left a node that takes no new ones

local exceptions, began, peers = unpack(KEYS)
local cursor, prefix, out = unpack(ARGV)

local _, ripe = epoch(began)
-- A hash of many fields comes in parts, one of few as a whole.
local s = redis.pcall('HSCAN', exceptions, cursor, 'COUNT', 100)
if s.err then
	redis.call('DEL', exceptions)
	return { '0', ripe and 0 or 1 }
end
local kept = { s[1], ripe and 0 or 1 }
for i = 1, #s[2], 2 do
	local id, rec = s[2][i], s[2][i + 1]
	local c = read(prefix .. id, peers, '')
	if ripe and (not c.rec or (c.others == 0 and is_out(out, c.rec))) then
		redis.call('HDEL', exceptions, id)
	else
		kept[#kept + 1] = id
		kept[#kept + 1] = rec
	end
end
return kept
