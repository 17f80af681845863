/* script.c: the Lua scripts that change claims in Redis, each of them atomic */
#include "config.h"

#include "state/script.h"

/*
 * read() takes a claim as it is now: owners whose lease is over are forgotten, and a claim that has
 * neither owner nor linger time is none. What is not a hash under a claim's name is nobody's.
 */
#define TIME \
	"local function time()\n" \
	" local t = redis.call('TIME')\n" \
	" return t[1] * 1000 + math.floor(t[2] / 1000)\n" \
	"end\n" \
	"local t = time()\n"

#define CLAIMS TIME \
	"local function str(n) return string.format('%.0f', n) end\n" \
	"local function none() return { others = 0, mine = 0, linger = 0, last = 0 } end\n" \
	"local function read(key, token)\n" \
	" local h = redis.pcall('HGETALL', key)\n" \
	" if h.err then redis.call('DEL', key) return none() end\n" \
	" local c = none()\n" \
	" for i = 1, #h, 2 do\n" \
	"  local f, v = h[i], h[i + 1]\n" \
	"  if f == 'n' then c.rec = v\n" \
	"  elseif f == 'l' then c.linger = tonumber(v) or 0\n" \
	"  elseif string.sub(f, 1, 1) == 'o' then\n" \
	"   local over = tonumber(v) or 0\n" \
	"   if over <= t then redis.call('HDEL', key, f)\n" \
	"   else\n" \
	"    if string.sub(f, 2, 17) == token then c.mine = c.mine + 1\n" \
	"    else c.others = c.others + 1 end\n" \
	"    if over > c.last then c.last = over end\n" \
	"   end\n" \
	"  end\n" \
	" end\n" \
	" if not c.rec or (c.others + c.mine == 0 and c.linger <= t) then\n" \
	"  if #h > 0 then redis.call('DEL', key) end\n" \
	"  return none()\n" \
	" end\n" \
	" return c\n" \
	"end\n" \
	"local function write(key, c, owner, lease, linger)\n" \
	" local set = { 'n', c.rec }\n" \
	" local last = math.max(c.last, t + lease)\n" \
	" if linger then\n" \
	"  c.linger = t + lease + linger\n" \
	"  set[#set + 1] = 'l' set[#set + 1] = str(c.linger)\n" \
	" end\n" \
	" set[#set + 1] = 'o' .. owner set[#set + 1] = str(t + lease)\n" \
	" redis.call('HSET', key, unpack(set))\n" \
	" redis.call('PEXPIREAT', key, str(math.max(last, c.linger)))\n" \
	"end\n" \
	"local function except(x, id, rec, channel)\n" \
	" local old = redis.pcall('HGET', x, id)\n" \
	" if type(old) == 'table' then redis.call('DEL', x) old = false end\n" \
	" if rec then\n" \
	"  if old == rec then return end\n" \
	"  redis.call('HSET', x, id, rec)\n" \
	"  redis.call('PEXPIRE', x, 86400000)\n" \
	" elseif old then redis.call('HDEL', x, id)\n" \
	" else return end\n" \
	" redis.call('PUBLISH', channel, 'x' .. id .. (rec or ''))\n" \
	"end\n" \
	"local function age(rec) return tonumber(string.sub(rec, 2, 16)) or 0 end\n" \
	"local function node(rec) return string.sub(rec, 17, -17) end\n"

#define EPOCH \
	"local function epoch(key)\n" \
	" local e = redis.pcall('GET', key)\n" \
	" e = type(e) == 'string' and tonumber(e)\n" \
	" if not e or e > t then\n" \
	"  e = t\n" \
	"  redis.call('SET', key, string.format('%.0f', e), 'PX', 86400000)\n" \
	" end\n" \
	" return e\n" \
	"end\n"

static const char *const text[SCRIPT_COUNT] = {
	[SCRIPT_CLAIM] = CLAIMS EPOCH
	"local token, gen, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])\n"
	"if t > tonumber(ARGV[4]) then return { 3, t, '', 0, 0 } end\n"
	"local c, how = read(KEYS[1], token), 0\n"
	"if c.rec and c.rec == ARGV[10] then redis.call('DEL', KEYS[1]) c = none() end\n"
	"local young = ARGV[7] == '1' or t - epoch(KEYS[3]) < tonumber(ARGV[11])\n"
	/* An owner may be missing that has not said it again yet: nobody is to move the claim. */
	"if c.rec and young and c.others == 0 then how = 2 end\n"
	"if not c.rec then\n"
	" c.rec, how = ARGV[5], 1\n"
	" local x = ARGV[9] == '1'\n"
	" if young then\n"
	"  how = 2\n"
	"  if ARGV[6] ~= '' then c.rec, x = ARGV[6], false end\n"
	" end\n"
	" if x then except(KEYS[2], ARGV[8], c.rec, ARGV[12]) end\n"
	"end\n"
	"write(KEYS[1], c, token .. 'g' .. gen, lease, nil)\n"
	"return { how, t, c.rec, c.others, c.linger > t and 1 or 0 }\n",

	[SCRIPT_ASSERT] = CLAIMS EPOCH
	"local token, lease, channel = ARGV[1], tonumber(ARGV[2]), ARGV[3]\n"
	"local out = { t }\n"
	"epoch(KEYS[2])\n"
	"for i = 3, #KEYS do\n"
	" local a = 3 + (i - 3) * 6\n"
	" local key, mine, linger = KEYS[i], ARGV[a + 2], tonumber(ARGV[a + 3])\n"
	" local c, what = read(key, token), 0\n"
	" if c.rec and c.rec == ARGV[a + 6] then redis.call('DEL', key) c = none() end\n"
	" if not c.rec then c.rec = mine\n"
	" elseif c.rec ~= mine then\n"
	"  local same = node(c.rec) == node(mine)\n"
	"  local older = age(mine) < age(c.rec) or (age(mine) == age(c.rec) and mine < c.rec)\n"
	"  if same then\n"
	"   if older then c.rec = mine end\n"
	"  elseif c.others == 0 or older then\n"
	"   redis.call('DEL', key) c = none() c.rec = mine\n"
	"  else what = 1 end\n"
	" end\n"
	" if what == 0 then\n"
	"  write(key, c, token .. 'g' .. ARGV[a + 1], lease, linger)\n"
	"  except(KEYS[1], ARGV[a + 4], ARGV[a + 5] == '1' and c.rec or nil, channel)\n"
	" end\n"
	" out[#out + 1] = { what, c.rec }\n"
	"end\n"
	"return out\n",

	[SCRIPT_RELEASE] = CLAIMS EPOCH
	"local linger = tonumber(ARGV[3])\n"
	"local rec = redis.pcall('HGET', KEYS[1], 'n')\n"
	"if type(rec) ~= 'string' then return t end\n"
	"if linger then redis.call('HSET', KEYS[1], 'l', str(t + linger)) end\n"
	"redis.call('HDEL', KEYS[1], 'o' .. ARGV[1] .. 'g' .. ARGV[2])\n"
	"local c = read(KEYS[1], ARGV[1])\n"
	/* In young data an owner may be missing that has not said it again yet: the others remember. */
	"if not c.rec then\n"
	" if t - epoch(KEYS[3]) >= tonumber(ARGV[6]) then except(KEYS[2], ARGV[4], nil, ARGV[5]) end\n"
	"else redis.call('PEXPIREAT', KEYS[1], str(math.max(c.last, c.linger))) end\n"
	"return t\n",

	[SCRIPT_MOVE] = CLAIMS
	"local token, gen, lease, linger = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[7])\n"
	"if t > tonumber(ARGV[4]) then return { 3, t, '', 0, 0 } end\n"
	"local c, how = read(KEYS[1], token), 0\n"
	"if not c.rec or (c.rec == ARGV[5] and c.others == 0) then\n"
	" redis.call('DEL', KEYS[1])\n"
	" c = none()\n"
	" c.rec, how = ARGV[6], 4\n"
	" except(KEYS[2], ARGV[8], ARGV[9] == '1' and c.rec or nil, ARGV[10])\n"
	"end\n"
	"write(KEYS[1], c, token .. 'g' .. gen, lease, linger)\n"
	"return { how, t, c.rec, c.others, c.linger > t and 1 or 0 }\n",

	[SCRIPT_TICK] = TIME EPOCH
	"local e = epoch(KEYS[1])\n"
	"redis.call('PEXPIRE', KEYS[1], ARGV[1])\n"
	"local d = redis.pcall('HGETALL', KEYS[2])\n"
	"if d.err then redis.call('DEL', KEYS[2]) d = {} end\n"
	"redis.call('PEXPIRE', KEYS[2], ARGV[1])\n"
	"return { t, e, unpack(d) }\n",

	/* A hash of many fields comes in parts, one of few as a whole. */
	[SCRIPT_SWEEP] = TIME EPOCH
	"local young = t - epoch(KEYS[2]) < tonumber(ARGV[3])\n"
	"local s = redis.pcall('HSCAN', KEYS[1], ARGV[1], 'COUNT', 100)\n"
	"if s.err then redis.call('DEL', KEYS[1]) return { '0', young and 1 or 0 } end\n"
	"local out = { s[1], young and 1 or 0 }\n"
	"for i = 1, #s[2], 2 do\n"
	" if not young and redis.call('EXISTS', ARGV[2] .. s[2][i]) == 0 then\n"
	"  redis.call('HDEL', KEYS[1], s[2][i])\n"
	" else out[#out + 1] = s[2][i] out[#out + 1] = s[2][i + 1] end\n"
	"end\n"
	"return out\n",

	[SCRIPT_FACTS] = TIME
	"for i = 1, #KEYS do\n"
	" local r = redis.pcall('HSET', KEYS[i], ARGV[2 * i], ARGV[2 * i + 1])\n"
	" if type(r) == 'table' then\n"
	"  redis.call('DEL', KEYS[i])\n"
	"  redis.call('HSET', KEYS[i], ARGV[2 * i], ARGV[2 * i + 1])\n"
	" end\n"
	" redis.call('PEXPIRE', KEYS[i], ARGV[1])\n"
	"end\n"
	"return t\n",
};

const char *
script_text(enum script s)
{
	return text[s];
}
