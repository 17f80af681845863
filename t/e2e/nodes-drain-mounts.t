#!/usr/bin/python3
# nodes-drain-mounts.t: a node under load is drained: idle mounts move, who copies stays
"""Linux mounts and smbclients.  At a deadline those that are left are cut: just those, and mounts
go on at the other node."""
import json
import os
import subprocess

import clients
import gate
import kernel
import netns
import node
import tap

why = gate.missing() or node.missing() or netns.missing() or kernel.missing() or \
    clients.missing("smbclient")
if why:
    tap.skip_all(why)

CLIENT, GW = "10.8.0.4", "10.8.0.1"
MOUNTS, COPIES, SECONDS, PAUSE = ("a", "b", "c"), 3, 60, 100
CHUNK = 300000
# On a mount: a file that is copied there and read back, again and again.
COPYING = "dd if=/dev/urandom of=/tmp/large bs=1024 count=1024 2> /dev/null; " \
    "until [ -e /run/stop-$ID ]; do cp /tmp/large /mnt/c/large || echo failed; " \
    "cmp /tmp/large /mnt/c/large || echo differs; echo copied; done"


class Lab:
    """clients -- a machine with smbgate and two nodes that have one file system"""

    def __init__(self, t):
        lan, self.gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
        lan.join(self.gw, GW + "/24", name="eth0")
        self.t, self.vm = t, kernel.Machine(t, [(lan, CLIENT + "/24")])
        with self.gw.inside():
            self.nodes = node.cluster(t, 2)
            os.rmdir(self.nodes[1].data())
            os.symlink(self.nodes[0].data(), self.nodes[1].data())
            self.g = gate.Gate(t, self.nodes, listen={"lan": GW + ":445"}).start()
        self.vm.boot()
        t.diag("%.1f s: the client has booted" % t.elapsed())

    def only(self, n):
        """New clients go to that node, and nobody has to go."""
        for x in self.nodes:
            self.g.ctl("undrain", x.name)
        if n:
            other, = [x for x in self.nodes if x is not n]
            self.g.ctl("drain", other.name, "--quiet", "1h")

    def copy(self, name):
        """A smbclient, which has begun."""
        before = self.there()
        with self.gw.inside():
            c = clients.Copy(self.t, GW, 445, name)
        c.feed(CHUNK)
        tap.wait_for(lambda: sum(self.there().values()) > sum(before.values()) and os.path.exists(
            self.nodes[0].data(name)), SECONDS)
        return c

    def there(self):
        """Connections of each node."""
        return {k: n["connections"] for k, n in self.g.node_list().items()}

    def come(self, want, name):
        self.t.comes(lambda: [self.there()[n.name] for n in self.nodes], want, name)

    def drain(self, n, *args):
        """smbgatectl drain --wait, meanwhile."""
        return self.t.spawn([gate.ctl_program(), "-s", self.g.control, "--json", "drain", n.name,
                             "--wait", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)

    def drained(self, waits):
        """Its end: (exit status, whom the deadline has cut)."""
        last = json.loads(waits.communicate(timeout=3 * SECONDS)[0].splitlines()[-1])
        return waits.returncode, sorted(c["client"] for c in last["cut"])

    def equal(self, copies, what):
        ends = [c.end() for c in copies]
        self.t.same([e for e in ends if e[0]], [], "%s: smbclients: no error" % what)
        with_all = []
        for c in copies:
            with open(self.nodes[0].data(c.name), "rb") as f:
                with_all.append(f.read() == c.sent)
        self.t.same(with_all, [True] * len(copies), "%s: and all bytes are there" % what)

    def whole(self, w, name, what):
        self.t.same(w.lost(self.nodes[0].data(name)), [],
                    "%s: each of %d acknowledged blocks is in its file" % (what, w.acks()))


def under_load(t, lab):
    """Nobody meets the deadline."""
    n1, _ = lab.nodes
    lab.only(n1)
    for m in MOUNTS:
        lab.vm.mount(m, GW, seconds=120, vers="3.1.1", nosharesock=True)
    lab.vm.run("echo here > /mnt/a/whoami")
    copies = [lab.copy("copied-%d" % i) for i in range(COPIES)]
    w, large = lab.vm.writer("/mnt/c/log", PAUSE), lab.vm.begin(COPYING)
    lab.only(None)
    lab.come([len(MOUNTS) + COPIES, 0], "three mounts and three smbclients are on one node")
    t.ok(w.goes_on(), "a mount is written to")
    large.line("copied", SECONDS)
    waits = lab.drain(n1, "--quiet", "1s", "--deadline", "1h")
    # A mount is back within milliseconds, so nobody may see the moment without it.
    t.comes(lambda: lab.there()[n1.name], 1 + COPIES, "drain: two idle mounts go")
    t.same([lab.vm.run("cat /mnt/%s/whoami" % m) for m in "ab"], ["here"] * 2, "without an error")
    lab.come([1 + COPIES, 2], "to the other node")
    for c in copies:
        c.feed(CHUNK)
    large.line("copied", SECONDS, len(large.lines))
    t.ok(w.goes_on(), "and the one that is written to goes on")
    lab.come([1 + COPIES, 2], "where it was, and so do the smbclients")
    lab.equal(copies, "drain")
    lab.whole(w, "log", "drain")
    large.stop().wait(SECONDS)
    t.same((w.errors(), set(large.lines)), ([], {"copied"}), "drain: no error on the mount, and "
           "%d copies of a file are equal" % len(large.lines))
    t.same(lab.drained(waits), (0, []), "then all have gone, and none was cut")
    t.same(lab.there()[n1.name], 0, "drain: the node is empty")


def at_deadline(t, lab):
    """Who is left on a node is cut, and nobody else is."""
    n1, n2 = lab.nodes
    t.same([lab.vm.run("cat /mnt/%s/whoami" % m) for m in MOUNTS], ["here"] * 3,
           "deadline: three mounts")
    lab.come([0, len(MOUNTS)], "deadline: on one node")
    lab.only(n1)
    other = [lab.copy("other")]
    lab.only(n2)
    copies = [lab.copy("cut-%d" % i) for i in range(COPIES)]
    lab.only(None)
    w = lab.vm.writer("/mnt/a/log2", PAUSE)
    t.ok(w.goes_on(), "deadline: one is written to")
    lab.come([1, len(MOUNTS) + COPIES], "deadline: and all but one smbclient are there")
    meant = sorted(c["client"] for c in lab.g.clients() if c["node"] == n2.name and
                   c["connections"])
    closes = lab.g.closes()
    t.same(lab.drained(lab.drain(n2, "--quiet", "1h", "--deadline", "1s")), (0, meant),
           "deadline: the %d clients of that node are listed" % len(meant))
    t.same(lab.g.closed_since(closes), {"operator": len(meant)}, "deadline: and just they are cut")
    t.ok(w.goes_on(), "deadline: the mount goes on at the other node")
    other[0].feed(CHUNK)
    lab.equal(other, "deadline: of the other node")
    t.ok(all(c.end()[0] for c in copies), "deadline: smbclients say that they were cut")
    lab.whole(w, "log2", "deadline")
    t.same([lab.vm.run("cat /mnt/%s/whoami" % m) for m in MOUNTS], ["here"] * 3, "all are there")
    t.diag("errors of the one that was cut: %s" % w.errors())


def main(t):
    lab = Lab(t)
    under_load(t, lab)
    at_deadline(t, lab)


with tap.Test(deadline=360) as test:
    main(test)
