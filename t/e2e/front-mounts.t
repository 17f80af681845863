#!/usr/bin/python3
# front-mounts.t: Linux mounts two servers through an intercepting smbgate, and one of them restarts
"""Both are at the same time mounted without smbgate: the control run.  Each is mounted in every
dialect, from one address, and written to all the time."""
import os
import time

import gate
import kernel
import netns
import node
import tap
import vpn

why = gate.missing() or node.missing() or netns.missing() or kernel.missing()
if why:
    tap.skip_all(why)

CLIENT, GW, INSIDE = "10.8.0.4", "10.8.0.1", "10.2.0.1"
# The first two are intercepted, the others are reached directly; of each two the first restarts.
NODES = {"n1": "10.2.0.11", "n2": "10.2.0.12", "n3": "10.2.0.13", "n4": "10.2.0.14"}
AWAY, STAYS = ("n1", "n3"), ("n2", "n4")
VERSIONS = ("1.0", "2.0", "2.1", "3.1.1")
NEW = ("1.0", "3.1.1")
PAUSE = 200
# What writes to a server that is away may say, intercepted or not. The last: a page is to be
# written again, and its file cannot be opened, for "Host is down" (Linux 6.1, cifs_writev_requeue).
AWAY_SAYS = {"Host is down", "Resource temporarily unavailable", "Bad file descriptor"}


class Net:
    """client -- gateway -- nas, which has an address for each node"""

    def __init__(self, t):
        self.outer, inner = netns.Lan(t, "vpn"), netns.Lan(t, "storage")
        self.gw, self.nas = netns.Host(t, "gw"), netns.Host(t, "nas")
        self.outer.join(self.gw, GW + "/24", name="wg0")
        inner.join(self.gw, INSIDE + "/24", name="eth1")
        self.gw.forward()
        inner.join(self.nas, *(a + "/24" for a in NODES.values()))
        self.nas.route("default", INSIDE)
        lab = node.Lab(t)
        self.nodes = {k: node.Node(lab, k, a, 445, interfaces=[a + "/24"])
                      for k, a in NODES.items()}
        for n in self.nodes.values():
            with open(n.data("whoami"), "w") as f:
                f.write(n.name)
        self.start(*self.nodes)

    def start(self, *names):
        with self.nas.inside():
            for k in names:
                self.nodes[k].start(wait=False)
            for k in names:
                self.nodes[k].wait()


class Mount:
    """Of one node, in one dialect, and a file that is written meanwhile."""

    def __init__(self, vm, version, name):
        self.vm, self.node, self.name = vm, name, "%s-%s" % (version, name)
        self.step = vm.mounting(self.name, NODES[name], vers=version)

    def shell(self, command):
        return self.vm.begin("cd /mnt/%s && %s" % (self.name, command))

    def write(self):
        self.writer = self.vm.begin("writer /mnt/%s/log-%s %s" % (self.name, self.name, PAUSE))

    def acks(self):
        return sum(x.startswith("ACK") for x in self.writer.lines)

    def errors(self):
        return {x.split(" ", 3)[3] for x in self.writer.lines if x.startswith("ERR")}

    def goes_on(self, more=3, seconds=40):
        """So many blocks more are acknowledged."""
        want = self.acks() + more
        return tap.wait_for(lambda: self.acks() >= want, seconds)

    def lost(self, n):
        """Blocks that were acknowledged, and are not in its file on that node."""
        with open(n.data("log-" + self.name)) as f:
            there = f.read().splitlines()
        return [i for i in range(self.acks()) if there[i:i + 1] != ["%07d" % i]]


def smbgate(t, net):
    net.gw.run(os.path.join(vpn.CONTRIB, "routing"), "up")
    net.gw.run("nft", "-f", os.path.join(vpn.CONTRIB, "nftables.conf"))
    with net.gw.inside():
        g = gate.Gate(t, [net.nodes["n1"], net.nodes["n2"]], listen={},
                      conf='listen "vpn" { address = "127.0.0.1:445" intercept = true }\n',
                      smb1="allow", source="transparent")
        return g.start()


def while_away(t, g, vm, mounts):
    """Its mounts wait; others go on, and new ones fail as they do directly."""
    t.ok(all([m.goes_on() for m in mounts if m.node in STAYS]), "mounts of others go on")
    for v in NEW:
        took, said = {}, {}
        for n in AWAY:
            since = time.monotonic()
            s = vm.mounting("new-" + n, NODES[n], vers=v).wait(check=False)
            took[n], said[n] = time.monotonic() - since, s.text().rsplit(": ", 1)[-1]
        t.ok(said["n1"] == said["n3"], "a new mount at %s fails as directly: %s" % (
            v, said["n3"]), said)
        t.diag("after %.2f s, and directly after %.2f s" % (took["n1"], took["n3"]))
    tap.wait_for(lambda: g.closes().get("no_node", 0) >= 8, 20)
    t.diag("%.1f s: away for long enough" % t.elapsed())


def main(t):
    net = Net(t)
    g = smbgate(t, net)
    vm = kernel.Machine(t, [(net.outer, CLIENT + "/24")], {"default": GW}).boot()
    t.diag("%.1f s: the client has booted" % t.elapsed())
    mounts = [Mount(vm, v, n) for v in VERSIONS for n in NODES]
    for m in mounts:
        m.step.wait()
    reads = [m.shell("cat whoami; echo > only-" + m.name) for m in mounts]
    t.same([r.wait().text() for r in reads], [m.node for m in mounts],
           "%d mounts of one client: each reads its own node" % len(mounts))
    for m in mounts:
        m.write()
    t.ok(all([m.goes_on() for m in mounts]), "all are written to")
    for n in AWAY:
        net.nodes[n].kill()
    while_away(t, g, vm, mounts)
    net.start(*AWAY)
    t.ok(all([m.goes_on() for m in mounts]), "a node is back, and its mounts go on")
    again = [vm.mounting("again-" + n, NODES[n], vers=v) for v in NEW for n in AWAY]
    t.same([s.wait(check=False).status for s in again], [0] * len(again), "and new ones work")
    for w in [m.writer.stop() for m in mounts]:
        w.wait()
    t.same([(m.name, m.lost(net.nodes[m.node])) for m in mounts], [(m.name, []) for m in mounts],
           "%d acknowledged blocks: each is in its file" % sum(m.acks() for m in mounts))
    for k, n in net.nodes.items():
        t.same(sorted(os.listdir(n.data())), sorted(
            ["whoami"] + [x + m.name for m in mounts if m.node == k for x in ("log-", "only-")]),
            "%s has the files that were written to it, and no others" % k)
    t.same([m.name for m in mounts if m.errors() - (AWAY_SAYS if m.node in AWAY else set())], [],
           "no errors but those that a restart costs directly")
    t.diag("such errors: %s" % {m.name: m.errors() for m in mounts if m.errors()})
    t.same(g.stats()["dialled_elsewhere"], 0, "smbgate sent nobody elsewhere")


with tap.Test(deadline=240) as test:
    main(test)
