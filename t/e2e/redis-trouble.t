#!/usr/bin/python3
# redis-trouble.t: a Redis that answers, and does not serve: full, forbidden, unable to save
import os
import threading
import time

import fake
import gate
import redis
import several
import smb2
import tap

why = redis.missing() or gate.missing()
if why:
    tap.skip_all(why)

NEWCOMERS = 20
STANDING = 5
RIGHTS = "+@hash +@string +@keyspace +@pubsub +@connection +@scripting +time -@dangerous +role"
USER = ["SETUSER", "smbgate", "on", ">pw", "~smbgate:*", "&smbgate:*"]


def client(g):
    c = smb2.Conn("127.0.0.1", g.port, timeout=30).negotiate([0x0302])
    c.login()
    return c


def said(g, word):
    return [line for line in g.log().splitlines() if "warning: redis" in line and word in line]


def connections(r):
    """How many Redis has had, but for those of this test's own."""
    return int(dict(line.split(":", 1) for line in r("INFO", "stats").decode().split("\r\n")
                    if ":" in line)["total_connections_received"])


def claims(r):
    return len(r("KEYS", "smbgate:*:c:*"))


class Case:
    """A Redis that gets into trouble under clients, and out of it."""

    def __init__(self, t, r, g, name, word, cure):
        self.t, self.r, self.g, self.name, self.word, self.cure = t, r, g, name, word, cure
        self.admin = r.client()

    def trouble(self, begin, end):
        t, g = self.t, self.g
        standing = [client(g) for _ in range(STANDING)]
        before = {w: len(said(g, w)) for w in (self.word, "")}
        begin()
        conns = connections(self.admin)
        start = t.ran()
        new = [client(g) for _ in range(NEWCOMERS)]
        took = t.ran() - start
        t.ok(took < 5, "%s: %d newcomers are served, in %.1f s" % (self.name, len(new), took))
        tap.wait_for(lambda: several.state(g)["degraded"], 60)
        s = several.state(g)
        t.ok(s["degraded"] and g.stats()["state_degraded"], self.name + ": degraded", s)
        t.ok(self.word in (s["trouble"] or ""), "%s: show says %r" % (self.name, s["trouble"]))
        t.ok(self.word in g.ctl_run("show", "map").stdout, self.name + ": and so for people")
        # Some tries long.
        tries = sum(s["errors"].values())
        t.ok(tap.wait_for(lambda: sum(several.state(g)["errors"].values()) >= tries + 3, 60),
             self.name + ": it is tried again")
        lines = said(g, self.word)[before[self.word]:]
        t.ok(len(lines) == 1, self.name + ": one line says so", *lines)
        t.ok(lines and self.cure in lines[0], self.name + ": and what helps", lines)
        t.ok(len(said(g, "")) - before[""] == 1, self.name + ": and no other",
             *said(g, "")[before[""]:])
        # The one that is subscribed is made again: nothing could be tried on it.
        n = connections(self.admin) - conns
        t.ok(n <= 1, "%s: %d new connections to Redis" % (self.name, n))
        end()
        several.healed(g)
        t.same(several.state(g)["trouble"], None, self.name + ", and is over")
        want = STANDING + NEWCOMERS
        t.ok(tap.wait_for(lambda: claims(self.admin) == want, 60),
             self.name + ", over: Redis knows all %d clients" % want, claims(self.admin))
        for c in standing + new:
            c.echo()
        t.ok(True, self.name + ": nobody was cut")
        for c in standing + new:
            c.close()
        tap.wait_for(lambda: g.live_connections() == 0, 60)


def started(t, r, nodes, **kw):
    """A smbgate with the user, whose rights are just these."""
    g = several.proxy(t, nodes, [r.endpoint], start=False, workers=2, pin_linger="0s",
                      state={"user": "smbgate", "password_file": "pw"}, **kw)
    with open(g.dir + "/pw", "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("pw\n")
    return g.start()


def flushed(r):
    r.do("FLUSHALL")


def full(t, nodes):
    r = redis.Server(t).start()
    r.do("ACL", *USER, *RIGHTS.split())
    g = started(t, r, nodes)
    several.healed(g)
    Case(t, r, g, "full", "OOM command not allowed", "raise maxmemory").trouble(
        lambda: r.do("CONFIG", "SET", "maxmemory", "1"),
        lambda: r.do("CONFIG", "SET", "maxmemory", "0"))
    flushed(r)
    case = Case(t, r, g, "an ACL that is narrowed", "executing the script can't run",
                "its ACL user lacks something")
    case.trouble(lambda: r.do("ACL", "SETUSER", "smbgate", "-hset"),
                 lambda: r.do("ACL", "SETUSER", "smbgate", "+hset"))
    t.same(g.stop(), 0, "smbgate ends with status 0")


def forbidden(t, nodes):
    """From the start: it connects, greets, loads its scripts, and none of them may do its work."""
    r = redis.Server(t).start()
    r.do("ACL", *USER, *RIGHTS.split()[1:])
    g = started(t, r, nodes)
    c = client(g)
    s = several.state(g)
    t.ok(s["degraded"] and not s["connected"], "an ACL without +@hash: degraded", s)
    t.ok(tap.wait_for(lambda: several.state(g)["errors"]["noperm"] >= 8, 60), "tried and tried")
    t.ok(len(said(g, "")) == 1, "an ACL without +@hash: one line", *said(g, ""))
    r.do("ACL", "SETUSER", "smbgate", "+@hash")
    several.healed(g)
    admin = r.client()
    t.ok(tap.wait_for(lambda: claims(admin) == 1, 60), "it is given: Redis knows the client")
    c.close()
    t.same(g.stop(), 0, "smbgate ends with status 0")


def unsaved(t, nodes):
    """The disk is full; /proc is no disk at all."""
    r = redis.Server(t, "dir /proc\n").start()
    r.do("ACL", *USER, *RIGHTS.split())
    g = started(t, r, nodes)
    several.healed(g)

    def begin():
        r.do("CONFIG", "SET", "save", "3600 1")
        r.do("SET", "something", "1")
        r.do("BGSAVE")
        tap.wait_for(lambda: b"rdb_last_bgsave_status:err" in r.do("INFO", "persistence"), 60)
    Case(t, r, g, "unable to save", "MISCONF", "save \"\"").trouble(
        begin, lambda: r.do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no"))
    t.same(g.stop(), 0, "smbgate ends with status 0")


def password(t, nodes):
    """It is changed in the careful way: for a while both are good."""
    r = redis.Server(t).start()
    r.do("ACL", *USER, *RIGHTS.split())
    g = started(t, r, nodes)
    several.healed(g)
    c = client(g)
    r.do("ACL", "SETUSER", "smbgate", ">new")
    with open(g.dir + "/pw.new", "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("new\n")
    os.rename(g.dir + "/pw.new", g.dir + "/pw")
    r.do("ACL", "SETUSER", "smbgate", "<pw")
    before = several.state(g)["connects"]
    for kind in ("normal", "pubsub"):
        try:
            r.do("CLIENT", "KILL", "TYPE", kind)
        except EOFError:
            pass
    tap.wait_for(lambda: several.state(g)["connects"] > before, 60)
    several.healed(g)
    t.same(several.state(g)["errors"]["wrongpass"], 0, "a new password: it is used at once")
    # And one that Redis does not know: it is not hammered.
    with open(g.dir + "/pw", "w") as f:
        f.write("wrong\n")
    for kind in ("normal", "pubsub"):
        try:
            r.do("CLIENT", "KILL", "TYPE", kind)
        except EOFError:
            pass
    tap.wait_for(lambda: several.state(g)["errors"]["wrongpass"] >= 24, 60)
    admin = r.client()
    conns, start = connections(admin), time.monotonic()
    tap.wait_for(lambda: connections(admin) - conns >= 9, 3, every=0.2)
    rate = (connections(admin) - conns) / (time.monotonic() - start)
    t.ok(rate < 3, "a wrong password: %.1f connections a second" % rate)
    t.ok(len(said(g, "WRONGPASS")) == 1, "a wrong password: one line", *said(g, "WRONGPASS"))
    with open(g.dir + "/pw", "w") as f:
        f.write("new\n")
    several.healed(g)
    c.echo()
    t.ok(True, "the right one again: it is found by itself, and nobody was cut")
    c.close()
    t.same(g.stop(), 0, "smbgate ends with status 0")


def other_version(t, nodes):
    """A proxy with other records is there: who comes later has no part in the map, and says nothing
    in it."""
    r = redis.Server(t).start()
    g = several.proxy(t, nodes, [r.endpoint], name="v1")
    several.healed(g)
    c = client(g)
    tag = several.prefix(r).decode().split(":")[2]
    t.same(g.stop(), 0, "the last of one version ends")
    c.close()
    admin = r.client()
    later = int(time.time() * 1000) + 3600000
    over, there = threading.Event(), r.client()

    def lives():
        """It renews its lease, as any that is alive does."""
        while True:
            there("HSET", "smbgate:{map}:peers", "f" * 16,
                  "%d X %s %s old" % (time.time() * 1000 + 5000, tag, "0" * 16))
            if over.wait(0.5):
                return
    other = threading.Thread(target=lives)
    other.start()
    t.defer(over.set)
    orders = "smbgate:{map}:%s:d" % tag
    theirs = b"X%015dmaint%s" % (later, b"m" * 16)
    g = several.proxy(t, nodes, [r.endpoint], name="v2")
    t.ok(tap.wait_for(lambda: several.state(g)["refusing"], 20),
         "it is not in the map, and says so")
    field = g.ctl("show", "nodes")["nodes"][0]
    admin("HSET", orders, "%s=%s" % (field["name"], field["address"]), theirs)
    g.ctl("drain", "f1")
    before = several.state(g)
    try:
        client(g).close()
        served = True
    except (OSError, EOFError, smb2.Closed):
        served = False
    t.ok(not served, "a client that it does not know is refused")
    ticks = several.state(g)["commands"]
    tap.wait_for(lambda: several.state(g)["commands"] >= ticks + 4, 20)
    after = several.state(g)
    t.same(list(admin.hash(orders).values()), [theirs], "an order of the others' stays theirs")
    t.same(after["errors"]["bad_value"], before["errors"]["bad_value"],
           "what they have is not called bad")
    over.set()
    other.join()
    admin("HDEL", "smbgate:{map}:peers", "f" * 16)
    admin("DEL", orders)
    several.healed(g)
    client(g).close()
    t.ok(tap.wait_for(lambda: admin.hash(orders), 20),
         "they have gone: it is in the map, and its own order is there")
    t.same(g.stop(), 0, "smbgate ends with status 0")


def main(t):
    nodes = [fake.FakeNode(t, "f1", "127.0.0.41").start(),
             fake.FakeNode(t, "f2", "127.0.0.42").start()]
    full(t, nodes)
    forbidden(t, nodes)
    unsaved(t, nodes)
    password(t, nodes)
    other_version(t, nodes)


with tap.Test(deadline=120) as test:
    main(test)
