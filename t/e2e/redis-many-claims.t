#!/usr/bin/python3
# redis-many-claims.t: what a claim and a logon cost in Redis; with many claims it is the same
"""SMBGATE_CLAIMS is the number of claims (50000; a release: 1000000)."""
import os
import re

import fake
import gate
import redis
import several
import tap

why = gate.missing() or redis.missing()
if why:
    tap.skip_all(why)

CLAIMS = int(os.environ.get("SMBGATE_CLAIMS", "50000"))
LOGONS = 200
# As smbgate writes them: a record, and the end of the linger time.
FILL = """
for i = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  local key = ARGV[1] .. 'c:' .. string.sub(redis.sha1hex(tostring(i)), 1, 32)
  redis.call('HSET', key, 'n', ARGV[4], 'l', ARGV[5])
  redis.call('PEXPIRE', key, 3600000)
end
return 0
"""


def info(r, section, key):
    return re.search(rb"%s:([^\r]*)" % key.encode(), r.do("INFO", section)).group(1)


def memory(r):
    return int(info(r, "memory", "used_memory"))


def evalsha(r):
    """(calls, microseconds) of scripts so far."""
    m = re.search(rb"cmdstat_evalsha:calls=(\d+),usec=(\d+)", r.do("INFO", "commandstats"))
    return int(m.group(1)), int(m.group(2))


def logons(g, n):
    """n clients come, log on, add a channel, and go."""
    for _ in range(n):
        guid = os.urandom(16)
        with several.opened(g, guid) as c:
            c.login()
            with several.opened(g, guid) as d:
                d.login()


def measured(t, r, g, what):
    """Scripts for each logon, and the time of one."""
    r.do("CONFIG", "RESETSTAT")
    before = several.state(g)
    logons(g, LOGONS)
    after = several.state(g)
    calls, us = evalsha(r)
    t.diag("%s: %.2f commands a client with two connections; a script takes %.1f us; "
           "mean wait %d us" % (
        what, (after["commands"] - before["commands"]) / LOGONS, us / calls,
        after["wait_us_mean"]))
    return us / calls, (after["asked"] - before["asked"]) / LOGONS, \
        (after["commands"] - before["commands"]) / LOGONS, after["known"] - before["known"]


def main(t):
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    r = redis.Server(t).start()
    # Each asks Redis, and waits for what it says: nobody is placed blindly.
    gates = several.pair(t, nodes, [r.endpoint], state={"timeout": "5s"})
    logons(gates[0], 20)
    few, asked, commands, known = measured(t, r, gates[0], "few claims")
    t.ok(asked == 1, "a client that comes asks Redis once: %.2f" % asked)
    t.ok(known == LOGONS, "and not for its further channels: %d of %d known" % (known, LOGONS))
    t.ok(commands <= 3.5, "%.2f commands a client with two guests' logons: claim, firm, release; "
         "the facts of a session that can be bound go with them" % commands)
    prefix = several.prefix(r).decode()
    key = r.do("KEYS", prefix + "c:*")[0]
    real = r.client().hash(key)
    t.diag("a claim: %d bytes by MEMORY USAGE" % r.do("MEMORY", "USAGE", key))
    before, had = memory(r), r.do("DBSIZE")
    c = r.client()
    for i in range(1, CLAIMS + 1, 5000):
        c("EVAL", FILL, "0", prefix, i, min(i + 4999, CLAIMS), real[b"n"], real[b"l"])
    n = r.do("DBSIZE") - had
    per = (memory(r) - before) / n
    t.ok(n >= CLAIMS * 0.99 and per < 600, "%d claims: %.0f bytes of Redis' memory each" % (n, per))
    lots, asked, commands, _ = measured(t, r, gates[0], "%d claims" % n)
    t.ok(lots < 3 * few + 30, "a script takes as long as with few: %.1f us, %.1f us" % (few, lots))
    t.ok(asked == 1 and commands <= 7.5, "and nothing more is asked")
    guid = os.urandom(16)
    with several.opened(gates[0], guid) as a, several.opened(gates[1], guid) as b:
        t.same(several.which(a), several.which(b), "a client is on one node")
    for g in gates:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


with tap.Test(deadline=120 + CLAIMS // 5000) as test:
    main(test)
