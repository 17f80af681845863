#!/usr/bin/python3
# redis-takeover.t: smbgate --takeover with a shared map: sessions stay where they are, for all
"""SMBGATE_UPGRADES: how many upgrades in a row (2)."""
import os
import subprocess
import threading

import fake
import gate
import keyed
import node
import redis
import several
import smb2
import tap
from flock import order

why = node.missing() or redis.missing()
if why:
    tap.skip_all(why)

UPGRADES = int(os.environ.get("SMBGATE_UPGRADES", "2"))
SESSIONS = 24
OURS = ["10.9.9.1", "10.9.9.2"]
ANNOUNCE = {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in OURS]}
PASSWORD = node.USERS["alice"][0]


class Session:
    """A client's session; bind: of that one, on a further channel."""

    def __init__(self, g, bind=None, seal=False):
        self.c = smb2.Conn("127.0.0.1", g.port, timeout=30)
        self.c.negotiate([0x0311], guid=bind.c.guid if bind else os.urandom(16))
        if bind:
            self.c.login("alice", PASSWORD, bind=bind.s, strict=True)
        self.s = bind.s if bind else self.c.login("alice", PASSWORD, sign=not seal, seal=seal,
                                                  strict=True)
        self.tid = bind.tid if bind else self.c.tree(self.s)

    def works(self):
        """It reaches the node, and is told policy's list."""
        try:
            self.c.create(self.s, self.tid, "t-%s" % os.urandom(4).hex(), disp=5)
            told = sorted(str(i.ip) for i in self.c.ifinfo(self.s, self.tid))
            return True if told == OURS else told
        except (smb2.Closed, smb2.Status, smb2.Broken, OSError) as e:
            return repr(e)


def upgrade(t, g):
    with open(g.dir + "/stderr", "ab") as err:
        new = t.spawn([gate.program(), "--takeover", "-c", g.conf_file],
                      stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    old, g.proc = g.proc, new
    tap.wait_for(lambda: "process %d serves" % new.pid in g.log() or new.poll() is not None, 60)
    if new.poll() is not None:
        raise RuntimeError("the successor ended: " + g.log()[-3000:])
    old.wait(60)


class Strangers:
    """They come all the time, each through both proxies: its channels are to meet."""

    def __init__(self, gates):
        self.over, self.good, self.bad = threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.run, args=(gates,)) for _ in range(2)]
        for x in self.threads:
            x.start()

    def run(self, gates):
        while not self.over.is_set():
            try:
                one = Session(gates[0])
                two = Session(gates[1], bind=one)
                if two.works() is not True:
                    self.bad.append(two.works())
                one.c.close()
                two.c.close()
                self.good += 1
            except (smb2.Closed, smb2.Status, smb2.Broken, OSError) as e:
                self.bad.append(repr(e))

    def end(self):
        self.over.set()
        for x in self.threads:
            x.join()


def round_(t, a, b, sessions, what):
    """An upgrade of one proxy; everybody works, and channels bind through either."""
    upgrade(t, a)
    t.same([x.works() for x in sessions], [True] * SESSIONS, what + ": all work")


def bind_all(t, a, b, sessions, what):
    more = [Session(b if i % 3 else a, bind=x) for i, x in enumerate(sessions)]
    t.same([x.works() for x in more], [True] * SESSIONS,
           what + ": channels bind, most through the other proxy")
    upgrade(t, b)
    t.same([x.works() for x in sessions + more], [True] * 2 * SESSIONS,
           what + ": and go over with that one's upgrade")
    for x in more:
        x.c.close()


def ordered(t, a, b, r, n, what, state, f):
    """An order without Redis, and an upgrade: the others are told by the successor."""
    r.kill()
    # nobody is quiet for so long
    order(a, what, n, quiet_ms=3600000, force=True)
    f()
    r.start()
    several.healed(a, b)
    t.comes(lambda: [g.node_states()[n.name] for g in (a, b)], [state] * 2,
            "%s without Redis: both proxies follow once it is back" % what)


def moved(t):
    """A client that is not where the hash would have it, and known to be, and a node that takes
    nobody new: also without Redis."""
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    r = redis.Server(t).start()
    a, b = several.pair(t, nodes, [r.endpoint])
    tap.wait_for(lambda: all(several.ripe(g) for g in (a, b)), 15, message="not ripe")
    order(a, "drain", nodes[2])
    tap.wait_for(lambda: b.node_states()["f3"] == "drain", 20, message="no drain")
    several.agree(a, b)
    guid = os.urandom(16)
    with several.opened(b, guid) as c:
        c.login()
        to = next(n.name for n in nodes[:2] if n.name != several.which(c))
        b.ctl("move", b.clients()[0]["client"], to, "--force")
    c = several.opened(b, guid)
    tap.wait_for(lambda: several.state(a)["exceptions"], 30, message="not heard of")
    r.kill()
    tap.wait_for(lambda: not several.connected(a) and not several.connected(b), 10)
    upgrade(t, a)
    with several.opened(a, guid) as d:
        t.same((several.which(c), several.which(d)), (to, to),
               "an upgrade without Redis: a client that was moved is on one node")
    c.close()
    bad = []
    for _ in range(24):
        guid = os.urandom(16)
        with several.opened(a, guid) as c, several.opened(b, guid) as d:
            where = {several.which(x) for x in (c, d)}
            if len(where) > 1 or "f3" in where:
                bad.append(where)
    t.same(bad, [], "and so is who is new, and not on the one that all have drained")
    t.same((a.stop(), b.stop()), (0, 0), "both end with status 0")


def main(t):
    nodes = node.cluster(t, 2)
    r = redis.Server(t).start()
    # Nobody is to be opaque because this machine is busy.
    a, b = several.pair(t, nodes, [r.endpoint], keytab=keyed.light_keytab(t),
                        interfaces={"lan": ANNOUNCE}, state={"timeout": "5s"})
    sessions = [Session(a, seal=i % 2 == 0) for i in range(SESSIONS)]
    strangers = Strangers((a, b))
    for k in range(UPGRADES):
        what = "upgrade %d" % (k + 1)
        round_(t, a, b, sessions, what)
        bind_all(t, a, b, sessions, what)
    strangers.end()
    t.ok(strangers.good > UPGRADES and not strangers.bad,
         "%d clients came meanwhile, through both: none was refused, or met a stranger's node" %
         strangers.good, *strangers.bad[:5])
    ordered(t, a, b, r, nodes[0], "drain", "drain",
            lambda: round_(t, a, b, sessions, "without Redis"))
    # each session is a client's, and its keys are said again with that one's claim
    tap.wait_for(lambda: len(r.do("KEYS", "smbgate:*:f:*")) >= SESSIONS, 60,
                 message="not all is said again")
    bind_all(t, a, b, sessions, "and when it is back")
    t.comes(lambda: len({p["name"] for p in several.state(b).get("peers", [])}), 1,
            "the other proxy has one peer, as before")
    ordered(t, a, b, r, nodes[0], "undrain", "up",
            lambda: round_(t, a, b, sessions, "without Redis once more"))
    for x in sessions:
        x.c.close()
    t.same((a.stop(), b.stop()), (0, 0), "both end with status 0")
    moved(t)


with tap.Test(deadline=180) as test:
    main(test)
