-- tick.lua: renews a proxy's lease; the clock, the epoch, its peers, and the drains of operators

local began, drains, peers, all_peers, rests = unpack(KEYS)
local token, gen, version, tag, nodes, name, said, rest = unpack(ARGV)
gen, said = tonumber(gen), tonumber(said)

-- What a proxy of this cluster still has on drained nodes. What is no hash is nobody's, and gone.
local function rest_of(its)
	local line = redis.pcall('HGET', rests, its)
	if type(line) == 'table' then
		redis.call('DEL', rests)
	end
	return type(line) == 'string' and line or ''
end

-- Until when a line counts. If Redis' clock was set back it would be for as long as that: who is
-- there says it anew every second.
local function at_most(key, its, line, over)
	if over <= t + NAMES_LEASE_MS then
		return line, over
	end
	line = string.gsub(line, '^%d+', str(t + NAMES_LEASE_MS))
	redis.call('HSET', key, its, line)
	return line, t + NAMES_LEASE_MS
end

-- Who is there: a line each, of every cluster in this Redis; and of this one also the other line.
local seen, live, status = {}, 0, TICK_GOOD
local h = all(all_peers)
for i = 1, #h, 2 do
	local over, v, its = string.match(h[i + 1], '^(%d+) (%S+) (%S+) ')
	h[i + 1], over = at_most(all_peers, h[i], h[i + 1], tonumber(over) or 0)
	if over <= t - NAMES_LEASE_MS then
		redis.call('HDEL', all_peers, h[i])
	elseif h[i] ~= token then
		seen[#seen + 1] = h[i]
		seen[#seen + 1] = h[i + 1]
		seen[#seen + 1] = its == tag and over > t and rest_of(h[i]) or ''
		if its == tag and over > t and v ~= version then
			status = TICK_REFUSED
		end
	end
end

local mine, ripest = lease_of(peers, token), true
h = all(peers)
for i = 1, #h, 2 do
	local l = lease(h[i + 1])
	if not l or l.over <= t - NAMES_DAY_MS then
		redis.call('HDEL', peers, h[i])
		redis.pcall('HDEL', rests, h[i])
	elseif l.over > t then
		at_most(peers, h[i], h[i + 1], l.over)
		live = live + 1
	end
end
-- Who has a lease keeps it: whoever comes later is the one that differs.
if mine and mine.over > t then
	status = mine.gen > gen and TICK_REFUSED or TICK_GOOD
elseif status == TICK_GOOD then
	status = TICK_LAPSED
end
local e, ripe = epoch(began)
if status ~= TICK_REFUSED then
	-- Where nobody has had a lease, nobody has said anything for a while.
	if live == 0 and (ripe or t > e) then
		e, ripe = t, false
		redis.call('SET', began, str(e), 'PX', NAMES_DAY_MS)
	end
	local floor, floored = gen, t
	if status == TICK_LAPSED then
		said = 0
	elseif said ~= e then
		floor, floored, said = mine.floor, mine.floored, 0
	elseif mine.floor == gen then
		floored = mine.floored
	end
	redis.call('HSET', peers, token, table.concat({ str(t + NAMES_LEASE_MS), str(gen),
		str(floor), str(floored), str(said) }, ' '))
	redis.call('PEXPIRE', peers, 2 * NAMES_DAY_MS)
	redis.call('HSET', all_peers, token, table.concat({ str(t + NAMES_LEASE_MS), version, tag,
		nodes, name }, ' '))
	redis.call('PEXPIRE', all_peers, NAMES_DAY_MS)
	-- it is a hash from here on
	rest_of(token)
	redis.call('HSET', rests, token, rest)
	redis.call('PEXPIRE', rests, NAMES_DAY_MS)
end
if not ripe and t - e >= NAMES_GRACE_MS then
	-- Not before all that are there have said what they hold; but not for ever.
	h = all(peers)
	for i = 1, #h, 2 do
		local l = lease(h[i + 1])
		if l and l.over > t and l.said ~= e then
			ripest = t - e >= NAMES_RIPE_MS
		end
	end
	if ripest and status ~= TICK_REFUSED then
		redis.call('SET', began, str(e) .. ' ', 'PX', NAMES_DAY_MS)
		ripe = true
	end
end
redis.call('PEXPIRE', began, NAMES_DAY_MS)
redis.call('PEXPIRE', drains, NAMES_DAY_MS)
return { t, e, status, all(drains), seen, ripe and 1 or 0 }
