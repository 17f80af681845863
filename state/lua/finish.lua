-- finish.lua: a process ends: none of its claims has an owner there any more, from now on

local peers, all_peers, rests = unpack(KEYS)
local token = ARGV[1]

local l = lease_of(peers, token)
if l then
	redis.call('HSET', peers, token, table.concat({ str(t), str(l.gen), str(l.floor),
		str(l.floored), str(l.said) }, ' '))
end
redis.call('HDEL', all_peers, token)
redis.pcall('HDEL', rests, token)
return t
