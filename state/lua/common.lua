-- common.lua: what the scripts share; every one of them runs behind this text

-- Redis' clock, in milliseconds
local function time()
	local t = redis.call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end
local t = time()

-- as a whole number: Lua itself would write a large one with an exponent
local function str(n)
	return string.format('%.0f', n)
end

-- when this data began; data without an epoch begins now
local function epoch(key)
	local e = redis.pcall('GET', key)
	e = type(e) == 'string' and tonumber(e)
	if not e or e > t then
		e = t
		redis.call('SET', key, str(e), 'PX', NAMES_DAY_MS)
	end
	return e
end

-- of a record: when its claim was made, and its node's identity
local function made(rec)
	return tonumber(string.sub(rec, 2, 16)) or 0
end
local function node(rec)
	return string.sub(rec, 17, -17)
end

-- A claim: its record, its owners by whose they are, when it ceases to linger, and when the last
-- of its owners ceases to be believed.
local function none()
	return { others = 0, mine = 0, linger = 0, last = 0 }
end

-- The claim as it is now: owners whose lease is over are forgotten, and a claim that has neither
-- owner nor linger time is none. What is no hash under a claim's name is nobody's.
local function read(key, token)
	local h = redis.pcall('HGETALL', key)
	if h.err then
		redis.call('DEL', key)
		return none()
	end
	local c = none()
	for i = 1, #h, 2 do
		local f, v = h[i], h[i + 1]
		if f == 'n' then
			c.rec = v
		elseif f == 'l' then
			c.linger = tonumber(v) or 0
		elseif string.sub(f, 1, 1) == 'o' then
			local over = tonumber(v) or 0
			if over <= t then
				redis.call('HDEL', key, f)
			else
				if string.sub(f, 2, 17) == token then
					c.mine = c.mine + 1
				else
					c.others = c.others + 1
				end
				if over > c.last then
					c.last = over
				end
			end
		end
	end
	if not c.rec or (c.others + c.mine == 0 and c.linger <= t) then
		if #h > 0 then
			redis.call('DEL', key)
		end
		return none()
	end
	return c
end

-- The claim with owner (a token, 'g', a generation) for one more lease; linger: nil or
-- milliseconds behind that.
local function write(key, c, owner, lease, linger)
	local set = { 'n', c.rec }
	local last = math.max(c.last, t + lease)
	if linger then
		c.linger = t + lease + linger
		set[#set + 1] = 'l'
		set[#set + 1] = str(c.linger)
	end
	set[#set + 1] = 'o' .. owner
	set[#set + 1] = str(t + lease)
	redis.call('HSET', key, unpack(set))
	redis.call('PEXPIREAT', key, str(math.max(last, c.linger)))
end

-- The exception of id is rec from now on; nil: there is none. All proxies are told of a change.
local function except(x, id, rec, channel)
	local old = redis.pcall('HGET', x, id)
	if type(old) == 'table' then
		redis.call('DEL', x)
		old = false
	end
	if rec then
		if old == rec then
			return
		end
		redis.call('HSET', x, id, rec)
		redis.call('PEXPIRE', x, NAMES_DAY_MS)
	elseif old then
		redis.call('HDEL', x, id)
	else
		return
	end
	redis.call('PUBLISH', channel, 'x' .. id .. (rec or ''))
end
