# several.py: several smbgates in front of the same nodes, with a Redis in common
import json
import os
import struct
import sys
import time

import gate
import node
import smb2
import tap

SECRET = b"a cluster secret of the lab's own\n"
# No new connection waits longer for Redis, by default.
WAIT_US = 50000


class Lateness:
    """How late this machine is with what a connection waits for when Redis says nothing, without
    smbgate: a process is woken by its timer, and wakes another.  Several, as clients are."""

    CODE = "import os, struct, time\nr, w = os.pipe()\n" \
        "if os.fork():\n" \
        " while True:\n  at = time.monotonic() + 0.005\n  time.sleep(0.005)\n" \
        "  os.write(w, struct.pack('d', at))\n" \
        "worst = 0\nos.close(w)\nwhile True:\n" \
        " b = os.read(r, 8)\n if not b:\n  break\n" \
        " late = time.monotonic() - struct.unpack('d', b)[0]\n" \
        " if late > worst:\n  worst = late\n  print(int(worst * 1e6), flush=True)\n"

    def __init__(self, t, n=3):
        self.names = []
        for i in range(n):
            self.names.append("%s/late%d" % (node.tempdir(t), i))
            with open(self.names[-1], "w") as f:
                t.spawn([*gate.FIRST, sys.executable, "-c", self.CODE], stdout=f)

    def worst_us(self):
        """Since it was made."""
        worst = 0
        for name in self.names:
            with open(name) as f:
                lines = f.read().rpartition("\n")[0].split()
            worst = max(worst, int(lines[-1]) if lines else 0)
        return worst


def waited(t, gates, lateness, name):
    """Nobody has waited for Redis, but for what this machine was late."""
    us = [state(g)["wait_us_max"] for g in gates]
    late = lateness.worst_us()
    t.ok(max(us) <= WAIT_US + late, "%s: nobody waited longer than 50 ms: %r us; a timer and who "
         "it wakes are up to %d us late here without us" % (name, us, late))


def state_text(servers, **kw):
    """A state section.  kw: sentinel, user, password_file, timeout."""
    out = 'state "redis" {\n\tservers = %s\n' % gate.names(servers)
    for k, v in kw.items():
        if v is not None:
            out += '\t%s = "%s"\n' % (k.replace("_", "-"), v)
    return out + "}\n"


def proxy(t, nodes, servers, name="gate", secret=SECRET, state=None, start=True, **kw):
    """One smbgate of a cluster."""
    conf = state_text(servers, **(state or {}))
    # Proxies that do not agree on who is up do not agree on where a client goes.
    kw.setdefault("health", gate.PATIENT)
    # Nobody waits for Redis longer than 50 ms, if smbgate runs when it is time: see waited().
    kw.setdefault("argv_prefix", gate.FIRST)
    if secret:
        conf += 'cluster-secret = "cluster.secret"\n'
    g = gate.Gate(t, nodes, conf=conf + kw.pop("conf", ""), name=name, **kw)
    if secret:
        with open(g.dir + "/cluster.secret", "wb") as f:
            f.write(secret)
        os.chmod(g.dir + "/cluster.secret", 0o600)
    return g.start() if start else g


def state(g):
    return g.show("state")["state"]


def connected(g):
    s = state(g)
    return s["connected"] and s["listening"] and not s["degraded"]


def healed(*gates, seconds=60):
    """Until every worker of all of them reaches Redis."""
    tap.wait_for(lambda: all(connected(g) for g in gates), seconds,
                 message=lambda: "Redis is out of reach: %s" % "\n".join(
                     json.dumps(state(g)) for g in gates))


def settled(*gates, seconds=60):
    """Until what was said to one of them has been said to Redis."""
    healed(*gates, seconds=seconds)


def pair(t, nodes, servers, n=2, **kw):
    out = [proxy(t, nodes, servers, "gate%d" % (i + 1), **kw) for i in range(n)]
    healed(*out)
    return out


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


def opened(g, guid, **kw):
    return smb2.Conn("127.0.0.1", g.port, **kw).negotiate(guid=guid)


def prefix(r):
    """Of the keys in a Redis with one cluster."""
    for k in r.do("KEYS", "smbgate:{map}:*:*"):
        return b":".join(k.split(b":")[:3]) + b":"
    return None


def ripe(g):
    """Is Redis' data older than the time in which what is not known is placed by the hash?"""
    s = state(g)
    return bool(s["epoch"]) and time.time() * 1000 - s["epoch"] > 3500


def agree(*gates):
    """Each of them knows that all have the same nodes: before that a proxy without an answer goes
    by what it knows, smbgate.conf(5) has that gap."""
    tap.wait_for(lambda: all(x["same_nodes"] for g in gates for x in state(g)["peers"]),
                 30, message="proxies do not have the same nodes")
    said(*gates, n=6)       # it is in the answer to a tick


def said(*gates, n):
    """Each of them has had n words for Redis; there is one a second at least, sent or not."""
    before = [state(g)["commands"] for g in gates]
    tap.wait_for(lambda: all(state(g)["commands"] >= b + n for g, b in zip(gates, before)), 60,
                 message="nothing is said")


class Standing:
    """A session that lives through all of the faults, with a channel through each of these proxies:
    what it does not come through knows it by hearsay alone."""

    def __init__(self, gates):
        self.guid = os.urandom(16)
        self.channels = [opened(gates[0], self.guid)]
        self.node = which(self.channels[0])
        self.session = self.channels[0].login()
        # With a file open, a drain does not find it quiet and let it go.
        tid = self.channels[0].tree(self.session)
        self.channels[0].create(self.session, tid, "standing-" + self.guid.hex(), disp=3)
        for g in gates[1:]:
            c = opened(g, self.guid)
            self.channels.append(c)
            if which(c) == self.node:
                c.login(bind=self.session)

    def close(self):
        for c in self.channels:
            c.close()

    def alive(self):
        """Do all of its channels still answer?"""
        n = 0
        for c in self.channels:
            try:
                m = c.call(smb2.ECHO, struct.pack("<HH", 4, 0), session=self.session)
                n += m.status == 0
            except (OSError, smb2.Closed):
                pass
        return n == len(self.channels)
