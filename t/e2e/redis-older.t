#!/usr/bin/python3
# redis-older.t: a client on two nodes, by two proxies that were away: the older claim wins
import os
import time

import fake
import gate
import redis
import several
import tap
from way import Way

why = redis.missing() or gate.missing()
if why:
    tap.skip_all(why)

# A proxy's word does not count any more.
LEASE_OVER_S = 6


def alone(way):
    way.cut()
    time.sleep(LEASE_OVER_S)


def come(g, guid):
    c = several.opened(g, guid)
    c.login()
    return c


def main(t):
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2)]
    r = redis.Server(t).start()
    ways = [Way(t, r.port) for _ in nodes]
    gates = a, b = [several.proxy(t, nodes, [w.endpoint], n) for w, n in zip(ways, "ab")]
    several.healed(*gates)
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), 15, message="not ripe")
    guid = os.urandom(16)
    old = come(a, guid)
    to = next(n.name for n in nodes if n.name != several.which(old))
    alone(ways[0])
    one = come(b, guid)
    b.ctl("move", b.clients()[0]["client"], to, "--force")
    one.close()
    new = come(b, guid)
    t.same(several.which(new), to, "a proxy is cut off: its client is moved at another one")
    alone(ways[1])
    # Who says first what it holds cannot know that there is an older claim.
    ways[1].mend()
    tap.wait_for(lambda: several.connected(b), 10, 0.01)
    ways[0].mend()
    several.healed(*gates)
    t.comes(lambda: (old.is_open(), new.is_open()), (True, False),
            "both were away: the older claim wins, though the other one was said before it")
    with come(b, guid) as c:
        t.same(several.which(c), several.which(old), "and all of the client goes there")
    t.same([g.stop() for g in gates], [0, 0], "both end with status 0")


with tap.Test(deadline=120) as test:
    main(test)
