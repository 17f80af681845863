-- sync.lua: brings claims to what a process has decided, or asks for them; each in its turn

local exceptions, began, peers = unpack(KEYS, 1, 3)
local token, gen, hurry, channel, out = unpack(ARGV, 1, 5)

local mine = lease_of(peers, token)
if not mine or mine.over <= t or mine.gen ~= tonumber(gen) then
	-- Sent on a connection that is no longer this process' own, or too late: it must not count.
	return { t }
end
local _, ripe = epoch(began)
local young = hurry == '1' or not ripe

-- The exceptions of all claims in this call, asked for at once when the first one matters.
local ids, known = {}, nil
local function exceptions_known()
	if known then
		return known
	end
	known = {}
	local r = redis.pcall('HMGET', exceptions, unpack(ids))
	if r.err then
		redis.call('DEL', exceptions)
	else
		for i, id in ipairs(ids) do
			known[id] = r[i]
		end
	end
	return known
end

-- The exception of id is rec from now on; nil: there is none. All proxies are told of a change.
local function except(id, rec)
	local x = exceptions_known()
	if x[id] == rec or not (x[id] or rec) then
		return
	end
	x[id] = rec
	if rec then
		redis.call('HSET', exceptions, id, rec)
		redis.call('PEXPIRE', exceptions, NAMES_DAY_MS)
	else
		redis.call('HDEL', exceptions, id)
	end
	redis.call('PUBLISH', channel, 'x' .. id .. (rec or ''))
end

-- Does nobody live on the claim, and may nobody new? x: the exception that its asker knows of. Who
-- lives on such a node is one; in a hurry that alone tells him from one who does not.
local function is_left(c, x)
	return c.rec and ripe and c.others == 0 and is_out(out, c.rec) and
	    (hurry ~= '1' or x == '' or node(x) ~= node(c.rec))
end

-- What was said stands, and need not be repeated.
local held = { HOW_HELD }

local function answer(how, c)
	return { how, c.rec, c.others, (c.linger > t or c.stay > 0) and 1 or 0 }
end

-- Joins the claim of a client, or makes one. Where it has left a node that takes no new clients, it
-- is replaced here and now: asked for by two proxies, it would be for each of them to decide, and
-- one of them may have to do so without an answer.
local function claim(key, c, id, rec, home, exception)
	local how = HOW_JOINED
	if is_left(c, home) and not is_out(out, rec) then
		c = drop(key, c)
		except(id, nil)
	end
	-- An owner may be missing that has not said it again yet: nobody is to move the claim.
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
			except(id, c.rec)
		end
	end
	write(key, c, token, gen)
	return answer(how, c)
end

-- Moves a claim to another node, if nobody else holds it.
local function move(key, c, id, rec, from, exception, stay)
	local how = HOW_JOINED
	if not c.rec or (c.rec == from and c.others == 0) then
		c, how = drop(key, c), HOW_MOVED
		c.rec = rec
		except(id, exception == '1' and rec or nil)
	end
	write(key, c, token, gen, stay)
	return answer(how, c)
end

-- What is said of sessions: n pairs of arguments from a on. They live as long as the claim.
local function say_facts(key, c, a, n)
	local f = facts(key)
	for i = a, a + 2 * n - 2, 2 do
		local sid, said = ARGV[i], ARGV[i + 1]
		if said == '-' or (said == '?' and c.others == 0) then
			redis.call('HDEL', f, sid)
		elseif said ~= '?' then
			local r = redis.pcall('HLEN', f)
			if type(r) == 'table' or r >= NAMES_FACTS_MAX then
				redis.call('DEL', f)
			end
			redis.call('HSET', f, sid, said)
		end
	end
	if n > 0 and not c.facts then
		redis.call('HSET', key, 'f', '1')
	end
	if n > 0 or c.facts then
		redis.call('PEXPIREAT', f, c.over)
	end
end

-- Says what this process holds. Of two that hold the client on different nodes, who is known
-- keeps it against who is not; only where nobody can be known yet, the older one.
local function say(key, c, id, rec, exception, stay, a, n)
	local known = c.mine
	if not c.rec then
		c.rec = rec
	elseif node(c.rec) == node(rec) then
		if made(rec) < made(c.rec) then
			c.rec = rec
		end
	elseif c.others > 0 and (ripe or made(rec) > made(c.rec) or
	    (made(rec) == made(c.rec) and rec > c.rec)) then
		if known then
			redis.call('HDEL', key, 'o' .. token)
		end
		return answer(HOW_LOST, c)
	else
		c = drop(key, c)
		c.rec = rec
	end
	write(key, c, token, gen, stay)
	say_facts(key, c, a, n)
	except(id, exception == '1' and c.rec or nil)
	return c.rec == rec and held or answer(HOW_HELD, c)
end

-- Nobody is on it here any more; stay: nil or how long it lingers. What was placed without Redis,
-- or Redis has lost, lingers all the same.
local function release(key, id, rec, exception, stay)
	if type(redis.pcall('HGET', key, 'n')) == 'string' then
		if stay and (tonumber(redis.call('HGET', key, 'l')) or 0) < t + stay then
			redis.call('HSET', key, 'l', str(t + stay))
		end
		redis.call('HDEL', key, 'o' .. token)
	end
	local c, x = read(key, peers, token), nil
	if c.others == 0 then
		forget_facts(key, c)
	end
	if c.rec then
		if c.others == 0 then
			redis.call('PEXPIREAT', key, str(c.linger))
		end
		-- Without an answer it goes where claim() would have it.
		if is_left(c, c.rec) then
			except(id, nil)
		end
		return held
	end
	if rec ~= '' and stay and stay > 0 then
		redis.call('HSET', key, 'n', rec, 'l', str(t + stay))
		redis.call('PEXPIREAT', key, str(t + stay))
		x = exception == '1' and not is_out(out, rec) and rec or nil
	end
	-- In young data an owner may be missing: there the exception stays.
	if x or not young then
		except(id, x)
	end
	return held
end

-- In young data most claims are not there yet: of many, that is asked at once. None comes twice.
local blank = young and #KEYS > 4 and redis.call('EXISTS', unpack(KEYS, 4)) == 0

-- Where the arguments of each begin.
local answers, at, a = { t }, {}, 6
for i = 4, #KEYS do
	at[i], ids[i - 3] = a, ARGV[a + 1]
	a = a + 9 + 2 * tonumber(ARGV[a + 8])
end
for i = 4, #KEYS do
	local key = KEYS[i]
	local kind, id, rec, other, exception, stay, bad, deadline, n =
		unpack(ARGV, at[i], at[i] + 8)
	stay = tonumber(stay)
	local r
	if kind == 'r' then
		r = release(key, id, rec, exception, stay)
	elseif deadline ~= '' and t > tonumber(deadline) then
		r = { HOW_LATE }
	else
		local c = blank and none() or read(key, peers, token)
		if c.rec and c.rec == bad then
			c = drop(key, c)
		end
		if kind == 'c' then
			r = claim(key, c, id, rec, other, exception)
		elseif kind == 'm' then
			r = move(key, c, id, rec, other, exception, stay)
		else
			r = say(key, c, id, rec, exception, stay, at[i] + 9, tonumber(n))
		end
	end
	answers[#answers + 1] = r
end
return answers
