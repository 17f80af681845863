#!/usr/bin/python3
# daemon-takeover-mounts.t: upgrades under a Linux client that writes over several channels
"""SMBGATE_UPGRADES: how many (3).  Each block that is written is numbered, and synced."""
import os
import re
import subprocess

import gate
import kernel
import keyed
import netns
import node
import tap

why = gate.missing() or node.missing() or netns.missing() or kernel.missing()
if why:
    tap.skip_all(why)

UPGRADES = int(os.environ.get("SMBGATE_UPGRADES", "3"))
CLIENT, GW, GW2 = "10.8.0.4", "10.8.0.1", "10.8.0.2"
MOUNTS = {"plain": {}, "signed": {"sec": "ntlmsspi"}, "sealed": {"seal": True}}
PAUSE = 20


def start(t):
    """client -- a machine with smbgate and a node"""
    lan, gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
    lan.join(gw, GW + "/24", name="eth0")
    gw.ip("addr", "add", GW2 + "/24", "dev", "eth0")
    vm = kernel.Machine(t, [(lan, CLIENT + "/24")])
    with gw.inside():
        nodes = node.cluster(t, 1)
        g = gate.Gate(t, nodes, listen={"lan": "0.0.0.0:445"}, keytab=keyed.light_keytab(t),
                      interfaces={"lan": {"mode": "announce", "list": [
                          (a, {"speed": "10G", "rss": True}) for a in (GW, GW2)]}}).start()
    return vm.boot(), gw, g, nodes[0]


def upgrade(t, gw, g):
    with gw.inside(), open(g.dir + "/stderr", "ab") as err:
        new = t.spawn([gate.program(), "--takeover", "-c", g.conf_file],
                      stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    old, g.proc = g.proc, new
    tap.wait_for(lambda: "process %d serves" % new.pid in g.log() or new.poll() is not None, 60)
    if new.poll() is not None:
        raise RuntimeError("the successor ended: " + g.log()[-3000:])
    old.wait(60)


def acks(w):
    return sum(x.startswith("ACK") for x in w.lines)


def goes_on(w, more=5):
    want = acks(w) + more
    return tap.wait_for(lambda: acks(w) >= want, 60)


def main(t):
    vm, gw, g, n = start(t)
    t.diag("%.1f s: the client has booted" % t.elapsed())
    for name, options in MOUNTS.items():
        vm.mount(name, GW, vers="3.1.1", nosharesock=True, multichannel=True, max_channels=3,
                 **options)
    t.ok(tap.wait_for(lambda: g.live_connections() == 9, 60), "three mounts, three channels each",
         g.live_connections())
    writers = {m: vm.begin("writer /mnt/%s/log-%s %d" % (m, m, PAUSE)) for m in MOUNTS}
    t.ok(all([goes_on(w) for w in writers.values()]), "all are written to")
    before, closes = g.stats(), g.closes()
    for k in range(UPGRADES):
        upgrade(t, gw, g)
        t.ok(all([goes_on(w) for w in writers.values()]), "upgrade %d: all go on" % (k + 1))
    t.same((g.live_connections(), g.stats()["accepted"], g.closed_since(closes)),
           (9, before["accepted"], {}), "the same nine connections, and none was accepted or closed")
    said = vm.run("cat /proc/fs/cifs/Stats")
    t.ok(re.search(r"^0 session 0 share reconnects$", said, re.M), "the client knows of nothing",
         said[:500])
    for m, w in writers.items():
        w.stop().wait()
        with open(n.data("log-" + m)) as f:
            there = f.read().splitlines()
        t.same([i for i in range(acks(w)) if there[i:i + 1] != ["%07d" % i]], [],
               "%s: %d acknowledged blocks are in its file" % (m, acks(w)))
        t.same([x for x in w.lines if x.startswith("ERR")], [], m + ": no error")
        stalls = sorted(int(x.split()[3]) for x in w.lines if x.startswith("ACK"))
        t.diag("%s: longest time between two blocks %d ms, median %d ms" % (
            m, stalls[-1], stalls[len(stalls) // 2]))
    with gw.inside():
        t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
