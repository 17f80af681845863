-- common.lua: what the scripts share; every one of them runs behind this text

-- Redis' clock, in milliseconds
local function time()
	local t = redis.call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end
local t = time()

-- as a whole number: Lua itself would write a large one with an exponent
local strs = {}
local function str(n)
	strs[n] = strs[n] or string.format('%.0f', n)
	return strs[n]
end

-- HGETALL, of what is no hash: nothing, and it is gone
local function all(key)
	local h = redis.pcall('HGETALL', key)
	if h.err then
		redis.call('DEL', key)
		h = {}
	end
	return h
end

-- when this data began, and whether all have said since what they hold; data without an epoch
-- begins now
local function epoch(key)
	local e = redis.pcall('GET', key)
	local began, ripe = string.match(type(e) == 'string' and e or '', '^(%d+)( ?)$')
	began = tonumber(began)
	if not began or began > t then
		began, ripe = t, ''
		redis.call('SET', key, str(began), 'PX', NAMES_DAY_MS)
	end
	return began, ripe ~= ''
end

-- The lease of a token, out of its line in the hash of all: until when it is believed, the number
-- of its connection, the first number whose statements count, since when that is, and of which
-- data it has said all.
local function lease(line)
	local l = {}
	l.over, l.gen, l.floor, l.floored, l.said =
		string.match(line or '', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
	for k, v in pairs(l) do
		l[k] = tonumber(v)
	end
	return l.over and l or nil
end
local leases = {}
local function lease_of(peers, token)
	local l = leases[token]
	if l == nil then
		local line = redis.pcall('HGET', peers, token)
		l = lease(type(line) == 'string' and line or nil) or false
		leases[token] = l
	end
	return l
end

-- of a record: when its claim was made, and its node's identity
local function made(rec)
	return tonumber(string.sub(rec, 2, 16)) or 0
end
local function node(rec)
	return string.sub(rec, 17, -17)
end

-- Is it of a node that takes no new clients? out has those, each between two line feeds.
local function is_out(out, rec)
	return string.find(out, '\n' .. node(rec) .. '\n', 1, true) ~= nil
end

-- of a claim: the hash of what is known of its client's sessions
local function facts(key)
	return (string.gsub(key, ':c:', ':f:', 1))
end
local function forget_facts(key, c)
	if c.facts then
		redis.call('DEL', facts(key))
		redis.call('HDEL', key, 'f')
		c.facts = nil
	end
end

local function none()
	return { others = 0, mine = false, linger = 0, stay = 0 }
end

-- There is no claim.
local function drop(key, c)
	forget_facts(key, c)
	redis.call('DEL', key)
	return none()
end

-- The claim as it is now. An owner counts while its proxy has a lease, and has said it on a
-- connection that counts. A claim that has neither owner nor linger time is none; where nobody is
-- on it, no session is left. What is no hash under a claim's name is nobody's.
local function read(key, peers, token)
	local h, c, dead = all(key), none(), {}
	local ended = 0
	for i = 1, #h, 2 do
		local f, v = h[i], h[i + 1]
		if f == 'n' then
			c.rec = #v < NAMES_RECORD_MAX and v or nil
		elseif f == 'l' then
			c.linger = tonumber(v) or 0
		elseif f == 's' then
			c.stay = tonumber(v) or 0
		elseif f == 'f' then
			c.facts = true
		elseif string.sub(f, 1, 1) == 'o' then
			local whose = string.sub(f, 2)
			local l, gen = lease_of(peers, whose), tonumber(v) or 0
			local counts = l and gen >= l.floor
			if counts and l.over > t then
				if whose == token then
					c.mine = true
				else
					c.others = c.others + 1
				end
			else
				dead[#dead + 1] = f
				if l then
					ended = math.max(ended, counts and l.over or l.floored)
				end
			end
		end
	end
	if c.rec and #dead > 0 then
		if c.stay > 0 and ended > 0 and ended + c.stay > c.linger then
			c.linger = ended + c.stay
			redis.call('HSET', key, 'l', str(c.linger))
		end
		redis.call('HDEL', key, unpack(dead))
	end
	local held = c.others > 0 or c.mine
	if #dead > 0 and not held then
		forget_facts(key, c)
	end
	if not c.rec or (not held and c.linger <= t) then
		return #h > 0 and drop(key, c) or c
	end
	return c
end

-- The claim with an owner; stay: nil or how long it lingers should its proxy not live to say so.
local function write(key, c, token, gen, stay)
	c.stay = stay or c.stay
	if stay then
		redis.call('HSET', key, 'n', c.rec, 'o' .. token, gen, 's', str(stay))
	else
		redis.call('HSET', key, 'n', c.rec, 'o' .. token, gen)
	end
	c.over = str(math.max(t + NAMES_CLAIM_MS + c.stay, c.linger))
	redis.call('PEXPIREAT', key, c.over)
end
