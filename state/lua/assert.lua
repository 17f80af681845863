-- assert.lua: asserts again which claims a process holds

local exceptions, began = KEYS[1], KEYS[2]
local token, lease, channel = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local out = { t }
epoch(began)
for i = 3, #KEYS do
	local key, a = KEYS[i], 3 + (i - 3) * 6
	local gen, mine, linger, id, exception, bad = unpack(ARGV, a + 1, a + 6)
	local c, what = read(key, token), WHAT_HELD
	if c.rec and c.rec == bad then
		redis.call('DEL', key)
		c = none()
	end
	if not c.rec then
		c.rec = mine
	elseif c.rec ~= mine then
		local same = node(c.rec) == node(mine)
		local older = made(mine) < made(c.rec) or
		    (made(mine) == made(c.rec) and mine < c.rec)
		if same then
			if older then
				c.rec = mine
			end
		elseif c.others == 0 or older then
			redis.call('DEL', key)
			c = none()
			c.rec = mine
		else
			what = WHAT_LOST
		end
	end
	if what == WHAT_HELD then
		write(key, c, token .. 'g' .. gen, lease, tonumber(linger))
		except(exceptions, id, exception == '1' and c.rec or nil, channel)
	end
	out[#out + 1] = { what, c.rec }
end
return out
