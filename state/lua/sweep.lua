-- sweep.lua: a part of the exceptions; those without a claim are dropped, and those of clients that
-- have left a node that takes no new ones: they have an empty record

local exceptions, began, peers = unpack(KEYS)
local cursor, prefix, out, channel = unpack(ARGV)

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
		-- Who knew of it would take it for one that was lost.
		redis.call('HDEL', exceptions, id)
		redis.call('PUBLISH', channel, 'x' .. id)
		rec = ''
	end
	kept[#kept + 1] = id
	kept[#kept + 1] = rec
end
return kept
