-- try.lua: whether all that the other scripts do works here, on a name of its own

local key = KEYS[1]

redis.call('SET', key, '1', 'PX', NAMES_GRACE_MS)
if redis.call('GET', key) ~= '1' then
	return redis.error_reply('ERR what was written is not there')
end
redis.call('DEL', key)
redis.call('HSET', key, 'a', '1', 'b', '2')
redis.call('HGET', key, 'a')
redis.call('HMGET', key, 'a', 'b')
redis.call('HGETALL', key)
redis.call('HLEN', key)
redis.call('HSCAN', key, '0')
redis.call('HDEL', key, 'a')
redis.call('PEXPIRE', key, NAMES_GRACE_MS)
redis.call('PEXPIREAT', key, str(t + NAMES_GRACE_MS))
redis.call('DEL', key)
redis.call('PUBLISH', key, '')
return t
