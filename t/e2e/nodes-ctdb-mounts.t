#!/usr/bin/python3
# nodes-ctdb-mounts.t: Linux mounts on a node of a CTDB cluster that leaves it: they go on elsewhere
"""With one, two and three channels.  Beside them, without smbgate, a mount of a node that stays: so
long everybody stands still while the cluster recovers; and one of that node.  It takes minutes, and
runs with CTDB_LONG=1 alone."""
import os
import time

import ctdb
import gate
import kernel
import keyed
import netns
import tap

why = ctdb.missing() or gate.missing() or netns.missing() or kernel.missing()
if not why and not os.environ.get("CTDB_LONG"):
    why = "CTDB_LONG is not set"
if why:
    tap.skip_all(why)

CLIENT, GW, GW2, FIRST = "10.8.0.4", "10.8.0.1", "10.8.0.2", "10.8.0.71"
CHANNELS, PAUSE, SECONDS = (1, 2, 3), 100, 60
# What is promised: of the state that smbgate shows, and of a mount, beyond what the cluster takes
# itself.  A busy machine may be late.
STATE, STILL, LATE = 5, 6, 10
BAN = 15


class Mount:
    """Of smbgate, or of a node itself, and a file on it that is written all the time."""

    def __init__(self, vm, name, addr, **options):
        vm.mount(name, addr, vers="3.1.1", seconds=120, nosharesock=True, **options)
        self.file = "log-" + name
        self.writer = vm.writer("/mnt/%s/%s" % (name, self.file), PAUSE)
        self.guid = None
        self.mark()

    def mark(self):
        self.since = len(self.writer.lines)

    def stall(self):
        return self.writer.stall(self.since)


class Lab:
    """client -- a machine with smbgate and the nodes of a cluster, which have one file system"""

    def __init__(self, t):
        lan, gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
        lan.join(gw, GW + "/24", name="eth0")
        for a in (GW2, *("%s.%d" % (FIRST.rsplit(".", 1)[0], 71 + i) for i in range(3))):
            gw.ip("addr", "add", a + "/24", "dev", "eth0")
        self.t, self.vm = t, kernel.Machine(t, [(lan, CLIENT + "/24")])
        with gw.inside():
            self.nodes = ctdb.cluster(t, 3, FIRST)
            for n in self.nodes[1:]:
                os.rmdir(n.data())
                os.symlink(self.nodes[0].data(), n.data())
            self.g = gate.Gate(
                t, ctdb.agents(t, self.nodes), listen={"lan": "0.0.0.0:445"},
                keytab=keyed.light_keytab(t),
                health=dict(gate.FAST, interval="500ms", timeout="2s"),
                interfaces={"lan": {"mode": "announce", "list": [
                    (a, {"speed": "10G", "rss": True}) for a in (GW, GW2)]}}).start()
        self.vm.boot()
        t.diag("%.1f s: the client has booted" % t.elapsed())
        self.mounts = [self.mount(c) for c in CHANNELS]
        stays = self.nodes[0]
        self.beside = Mount(self.vm, "beside", stays.addr, port=stays.port)

    def mount(self, channels):
        before = {c["client"] for c in self.g.clients()}
        several = {"multichannel": True, "max_channels": channels} if channels > 1 else {}
        m = Mount(self.vm, "c%d" % channels, GW, **several)
        m.guid, = {c["client"] for c in self.g.clients()} - before
        return m

    def placed(self):
        """Where each mount is, and with how many connections."""
        clients = {c["client"]: c for c in self.g.clients()}
        return [(clients[m.guid]["node"], clients[m.guid]["connections"]) for m in self.mounts]

    def state(self, n, want, name, limit=STATE):
        since = time.monotonic()
        tap.wait_for(lambda: self.g.node_states()[n.name] == want, SECONDS,
                     message=lambda: "%s: %s" % (name, self.g.log()[-3000:]))
        took = time.monotonic() - since
        self.t.ok(took < limit + LATE, "%s: the node is %s" % (name, want), took)
        return took

    def gather(self, n):
        """All mounts on that node."""
        said = []

        def there(i):
            if self.placed()[i][0] != n.name:
                said[:] = [self.g.ctl_run("move", self.mounts[i].guid, n.name, "--force")]
            return self.placed()[i][0] == n.name
        for i in range(len(self.mounts)):
            tap.wait_for(lambda i=i: there(i), SECONDS, message=lambda: "it stays: %s" % said)
        self.t.comes(self.placed, [(n.name, c) for c in CHANNELS],
                     "%s: mounts with %s channels" % (n.name, CHANNELS))

    def going_on(self, mounts):
        return all([m.writer.goes_on() for m in mounts])


def disabled(t, lab, n):
    """Its public addresses are to go elsewhere; smbd serves on."""
    lab.gather(n)
    closes = lab.g.closes()
    n.ctdb("disable")
    lab.state(n, "drain", "ctdb disable")
    t.ok(lab.going_on(lab.mounts), "ctdb disable: the mounts go on")
    n.ctdb("enable")
    lab.state(n, "up", "ctdb enable", SECONDS)
    t.same((lab.g.closed_since(closes), [w for w, _ in lab.placed()]), ({}, [n.name] * 3),
           "ctdb disable: where they were, and no connection has ended")


def leaves(t, lab, n, name, away, back):
    """back None: by itself."""
    lab.gather(n)
    alone = Mount(lab.vm, "alone-" + name, n.addr, port=n.port)
    t.ok(lab.going_on([*lab.mounts, alone]), "%s: all are written to" % name)
    for m in [*lab.mounts, lab.beside, alone]:
        m.mark()
    closes = lab.g.closes()
    away()
    took = lab.state(n, "down", "ctdb " + name)
    tap.wait_for(lambda: all(w != n.name and c for w, c in lab.placed()), SECONDS,
                 message=lambda: "%s %s" % (lab.placed(), lab.g.log()[-3000:]))
    t.ok(lab.going_on(lab.mounts), "ctdb %s: the mounts go on elsewhere" % name, lab.placed())
    t.ok(set(lab.g.closed_since(closes)) >= {"node_agent"}, "ctdb %s: for the agent's word" % name,
         lab.g.closed_since(closes))
    if back:
        back()
    lab.state(n, "up", "ctdb %s: and back" % name, SECONDS)
    t.ok(lab.going_on([*lab.mounts, lab.beside, alone]), "ctdb %s: all go on" % name)
    stalls, cluster = [m.stall() for m in lab.mounts], lab.beside.stall()
    t.ok(max(stalls) < cluster + STILL + LATE, "ctdb %s: a mount stands still for %.1f s at most, "
         "the cluster for %.1f s" % (name, max(stalls), cluster), stalls)
    t.diag("SUMMARY ctdb %s: down after %.2f s; longest stall with 1, 2, 3 channels: %s s; of a "
           "mount of another node, without smbgate: %.2f s; errors: %s" % (
               name, took, ", ".join("%.2f" % s for s in stalls), cluster,
               [m.writer.errors(m.since) for m in lab.mounts]))
    t.diag("SUMMARY ctdb %s: straight to the node: %.2f s; errors: %s" % (
        name, alone.stall(), alone.writer.errors(alone.since)))
    t.same(alone.writer.lost(lab.nodes[0].data(alone.file)), [],
           "%s: %d acknowledged blocks of it" % (name, alone.writer.acks()))


def main(t):
    lab = Lab(t)
    n = lab.nodes[1]
    t.ok(lab.going_on(lab.mounts), "%d mounts are written to" % len(lab.mounts))
    disabled(t, lab, n)
    leaves(t, lab, n, "ban", lambda: n.ctdb("ban", str(BAN)), None)
    leaves(t, lab, n, "stop", lambda: n.ctdb("stop"), lambda: n.ctdb("continue"))
    for c, m in zip(CHANNELS, lab.mounts):
        t.same(m.writer.lost(lab.nodes[0].data(m.file)), [],
               "channels: %d: each of %d acknowledged blocks is in its file" % (
                   c, m.writer.acks()))


with tap.Test(deadline=240) as test:
    main(test)
