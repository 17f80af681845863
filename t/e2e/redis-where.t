#!/usr/bin/python3
# redis-where.t: which Redis: what a Sentinel says, the first of several, a slot of a Redis Cluster
import os
import time

import fake
import gate
import node
import redis
import several
import smb2
import tap

why = redis.missing() or gate.missing()
if why:
    tap.skip_all(why)

def opened(g, guid=None):
    return smb2.Conn("127.0.0.1", g.port, timeout=30).negotiate(guid=guid or os.urandom(16))


def split(a, b, n=12):
    """New clients through both proxies: how many are on two nodes?"""
    bad = 0
    for _ in range(n):
        guid = os.urandom(16)
        with opened(a, guid) as x:
            x.login()
            with opened(b, guid) as y:
                bad += several.which(x) != several.which(y)
    return bad


def at(g, r):
    s = several.state(g)
    return several.connected(g) and s["server"] == r.endpoint


def there(t, gates, r, name, seconds=6):
    start = t.ran()
    good = tap.wait_for(lambda: all(at(g, r) for g in gates), 60)
    took = t.ran() - start
    t.ok(good and took < seconds, "%s: all are there after %.1f s" % (name, took),
         *[several.state(g) for g in gates], gates[0].log()[-2000:])


class Says:
    """A Sentinel that says what it is told to, to those with the right password."""

    def __init__(self, t):
        self.t, self.master, self.password, self.asked = t, [], "pw-1", 0
        self.server = redis.Hostile(t, self.answer)

    def answer(self, args, peer):
        if args[0] == b"AUTH":
            if args[1:] != [b"gate", self.password.encode()]:
                return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
            peer["in"] = True
            return b"+OK\r\n"
        if not peer.get("in"):
            return b"-NOAUTH Authentication required.\r\n"
        self.asked += 1
        r = self.master[self.asked % len(self.master)]
        return redis.encode(*r.endpoint.split(":"))


def password(g, text):
    with open(g.dir + "/sentinel.pw.new", "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(text + "\n")
    os.rename(g.dir + "/sentinel.pw.new", g.dir + "/sentinel.pw")


def sentinel(t, nodes, a, b):
    """It changes its mind while the old master is alive, and nothing ends by itself."""
    s, late = Says(t), several.Lateness(t)
    s.master = [a]
    gates = []
    for name in ("px1", "px2"):
        g = several.proxy(t, nodes, [s.server.endpoint], name, start=False, state={
            "sentinel": "mymaster", "sentinel_user": "gate",
            "sentinel_password_file": "sentinel.pw"})
        password(g, "pw-1")
        gates.append(g.start())
    there(t, gates, a, "a Sentinel with a password")
    with opened(gates[0]) as standing:
        session = standing.login()
        for i in range(4):
            r = (b, a)[i % 2]
            s.master = [r]
            there(t, gates, r, "it says another one")
        t.same(split(*gates), 0, "it has said another one four times: no client is on two nodes")
        a.stop()        # hangs, and is not the master any more
        s.master = [b]
        there(t, gates, b, "the master hangs")
        t.same(split(*gates), 0, "the master hangs: no client is on two nodes")
        a.cont()
        # It lies: every answer is another one.
        s.master = [a, b]
        for _ in range(8):
            with opened(gates[0]) as c:
                c.login()
        s.master = [b]
        there(t, gates, b, "a Sentinel that contradicts itself, and ends it")
        t.ok(standing.echo(session=session).status == 0, "who was connected goes on")
    several.waited(t, gates, late, "Sentinel")
    rotated(t, s, gates, b)
    for g in gates:
        t.same(g.stop(), 0, "Sentinel: %s ends with status 0" % g.name)


def rotated(t, s, gates, r):
    """Its password changes: the map works on, and the file is read again."""
    s.password = "pw-2"
    s.server.hang_up()
    tap.wait_for(lambda: all(several.state(g)["errors"]["wrongpass"] for g in gates), 60)
    t.ok(all(at(g, r) for g in gates), "the Sentinel's password has changed: Redis goes on")
    t.ok(tap.wait_for(lambda: all("WRONGPASS" in g.log() for g in gates), 60), "and it is said")
    asked = s.asked
    for g in gates:
        password(g, "pw-2")
    t.ok(tap.wait_for(lambda: s.asked > asked + 4, 60), "the new one in the file is found")


def first_of_two(t, nodes, a, b):
    """Both are masters, and smbgate has both in its servers."""
    late = several.Lateness(t)
    gates = [several.proxy(t, nodes, [a.endpoint, b.endpoint], n, workers=4)
             for n in ("px1", "px2")]
    there(t, gates, a, "two masters: the first")
    a.kill()
    there(t, gates, b, "two masters: the first is away")
    a.start()
    there(t, gates, a, "two masters: the first is back", 10)
    t.same(split(*gates), 0, "two masters: no client is on two nodes")
    t.ok("is a master, too" in gates[0].log(), "two masters: it is said", gates[0].log()[-2000:])
    several.waited(t, gates, late, "two masters")
    for g in gates:
        t.same(g.stop(), 0, "two masters: %s ends with status 0" % g.name)


def clustered(t, nodes):
    """Each of two masters of a Cluster is asked first once: one of them has our slot."""
    bus = [node.free_port("127.0.0.1") for _ in (1, 2)]
    m = [redis.Server(t, "cluster-enabled yes\ncluster-port %d\n" % bus[i],
                      name="m%d" % (i + 1)).start() for i in (0, 1)]
    for i, (first, last) in enumerate(((0, 8191), (8192, 16383))):
        m[i].do("CLUSTER", "ADDSLOTSRANGE", first, last)
        m[i].do("CONFIG", "SET", "cluster-node-timeout", "2000")
    m[0].do("CLUSTER", "MEET", "127.0.0.1", m[1].port, bus[1])
    tap.wait_for(lambda: all(b"cluster_state:ok" in r.do("CLUSTER", "INFO") and
                             b"cluster_known_nodes:2" in r.do("CLUSTER", "INFO") for r in m), 60,
                 message="the Cluster does not come up")
    late = several.Lateness(t)
    gates = [several.proxy(t, nodes, [m[i].endpoint], "px%d" % (i + 1)) for i in (0, 1)]
    several.healed(*gates)
    t.ok(len({several.state(g)["server"] for g in gates}) == 1,
         "a Cluster: both are where our slot is")
    t.same(split(*gates), 0, "a Cluster: no client is on two nodes")
    gates[0].ctl("drain", nodes[0].name)
    t.ok(tap.wait_for(lambda: gates[1].node_states()[nodes[0].name] == "drain", 60),
         "a Cluster: a drain reaches the other proxy")
    t.same([several.state(g)["errors"]["crossslot"] for g in gates], [0, 0],
           "a Cluster: all names are in one slot")
    several.waited(t, gates, late, "a Cluster")
    gates[0].ctl("undrain", nodes[0].name)
    for g in gates:
        t.same(g.stop(), 0, "a Cluster: %s ends with status 0" % g.name)


def rotating(t, nodes):
    """A password is refused, and the file has another one by then: that is not waited for."""
    turns, name = 60, []

    def answer(args, peer):
        if args[0] != b"AUTH":
            return redis.greeting(args, peer) or b":1\r\n"
        n = int(args[1])
        if n >= turns:
            return b"+OK\r\n"
        write(n + 1)
        return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"

    def write(n):
        with open(name[0] + ".new%d" % n, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("%d\n" % n)
        os.rename(name[0] + ".new%d" % n, name[0])
    h = redis.Hostile(t, answer)
    g = several.proxy(t, nodes, [h.endpoint], start=False, state={"password_file": "pw"})
    name.append(g.dir + "/pw")
    write(0)
    t0 = time.monotonic()
    g.start()
    t.ok(tap.wait_for(lambda: several.state(g)["connects"], 6),
         "a password that changes %d times while it is refused: in after %.1f s" % (
             turns, time.monotonic() - t0), several.state(g))
    t.same(g.stop(), 0, "rotating: smbgate ends with status 0")


def evicts(t, nodes):
    r = redis.Server(t, "maxmemory 100mb\nmaxmemory-policy volatile-ttl\n").start()
    g = several.proxy(t, nodes, [r.endpoint])
    several.healed(g)
    t.ok(tap.wait_for(lambda: several.state(g)["eviction"], 60), "Redis says what it throws out")
    s = several.state(g)
    t.same((s["eviction"], s["degraded"]), ("volatile-ttl", False), "an eviction policy is shown")
    said = [x for x in g.log().splitlines() if "maxmemory-policy is volatile-ttl" in x]
    t.ok(len(said) == 1 and "set noeviction" in said[0], "and said, once", *said)
    t.ok("maxmemory-policy is volatile-ttl" in g.ctl_run("show", "map").stdout, "and for people")
    t.same(g.stop(), 0, "an eviction policy: smbgate ends with status 0")


def main(t):
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    a, b = (redis.Server(t, name=n).start() for n in ("a", "b"))
    sentinel(t, nodes, a, b)
    first_of_two(t, nodes, a, b)
    clustered(t, nodes)
    rotating(t, nodes)
    evicts(t, nodes)


with tap.Test(deadline=120) as test:
    main(test)
