-- facts.lua: the facts of sessions, each for one more lease

local lease = ARGV[1]

for i = 1, #KEYS do
	local key, field, value = KEYS[i], ARGV[2 * i], ARGV[2 * i + 1]
	local r = redis.pcall('HSET', key, field, value)
	if type(r) == 'table' then
		redis.call('DEL', key)
		redis.call('HSET', key, field, value)
	end
	redis.call('PEXPIRE', key, lease)
end
return t
