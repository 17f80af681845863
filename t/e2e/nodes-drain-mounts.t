#!/usr/bin/python3
# nodes-drain-mounts.t: Linux mounts on a drained node: idle ones move, one that writes stays
"""At a deadline that one is cut as well, and goes on at the other node."""
import os

import gate
import kernel
import netns
import node
import tap

why = gate.missing() or node.missing() or netns.missing() or kernel.missing()
if why:
    tap.skip_all(why)

CLIENT, GW = "10.8.0.4", "10.8.0.1"
MOUNTS, SECONDS, PAUSE = ("a", "b", "c"), 60, 100


def start(t):
    """client -- a machine with smbgate and two nodes that have one file system"""
    lan, gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
    lan.join(gw, GW + "/24", name="eth0")
    vm = kernel.Machine(t, [(lan, CLIENT + "/24")])
    with gw.inside():
        nodes = node.cluster(t, 2)
        os.rmdir(nodes[1].data())
        os.symlink(nodes[0].data(), nodes[1].data())
        g = gate.Gate(t, nodes, listen={"lan": GW + ":445"}).start()
    return vm.boot(), g, nodes


def connections(g, n):
    return g.node_list()[n.name]["connections"]


def goes_on(w, more=5):
    want = acks(w) + more
    return tap.wait_for(lambda: acks(w) >= want, SECONDS)


def acks(w):
    return sum(x.startswith("ACK") for x in w.lines)


def whole(t, w, n, name, what):
    """Nothing that was acknowledged is missing."""
    w.stop().wait()
    with open(n.data(name)) as f:
        there = f.read().splitlines()
    t.same([i for i in range(acks(w)) if there[i:i + 1] != ["%07d" % i]], [],
           "%s: %d acknowledged blocks are in its file" % (what, acks(w)))


def main(t):
    vm, g, (n1, n2) = start(t)
    t.diag("%.1f s: the client has booted" % t.elapsed())
    g.ctl("drain", n2.name)
    for m in MOUNTS:
        vm.mount(m, GW, vers="3.1.1", nosharesock=True)
    g.ctl("undrain", n2.name)
    vm.run("echo here > /mnt/a/whoami")
    t.same((connections(g, n1), connections(g, n2)), (3, 0), "three mounts are on one node")
    w = vm.begin("writer /mnt/c/log %d" % PAUSE)
    t.ok(goes_on(w), "one is written to")
    g.ctl("drain", n1.name, "--quiet", "1s")
    t.ok(tap.wait_for(lambda: connections(g, n1) == 1, SECONDS), "drain: idle mounts go")
    t.same([vm.run("cat /mnt/%s/whoami" % m) for m in "ab"], ["here"] * 2, "without an error")
    t.ok(tap.wait_for(lambda: connections(g, n2) == 2, SECONDS), "to the other node")
    t.ok(goes_on(w) and connections(g, n1) == 1, "and the one that is written to stays")
    whole(t, w, n1, "log", "drain")
    t.same([x for x in w.lines if x.startswith("ERR")], [], "drain: no error of it")
    t.same(g.ctl_run("drain", n1.name, "--quiet", "1s", "--wait").returncode, 0,
           "then it goes as well, and the node is empty")
    g.ctl("undrain", n1.name)
    w = vm.begin("writer /mnt/a/log2 %d" % PAUSE)
    t.ok(goes_on(w), "deadline: one is written to")
    g.ctl("drain", n2.name, "--deadline", "1s")
    t.ok(tap.wait_for(lambda: connections(g, n2) == 0, SECONDS), "deadline: the node is empty")
    t.ok(goes_on(w) and connections(g, n1) > 0, "deadline: the mount goes on at the other node")
    whole(t, w, n1, "log2", "deadline")
    t.same([vm.run("cat /mnt/%s/whoami" % m) for m in MOUNTS], ["here"] * 3, "all are there")
    t.diag("errors of the one that was cut: %s" % [x for x in w.lines if x[:3] == "ERR"])


with tap.Test(deadline=360) as test:
    main(test)
