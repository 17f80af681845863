#!/usr/bin/python3
# daemon-takeover-mounts.t: upgrades under a Linux client that writes over several channels
"""SMBGATE_UPGRADES: how many (3).  Each block that is written is numbered, and synced; beside that,
a file is copied to each mount and back, again and again."""
import hashlib
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
# What is read has come from the node; there and back, and the same bytes each time.
COPY = """cp /tmp/blob /mnt/%(m)s/bulk-%(m)s && cp /mnt/%(m)s/bulk-%(m)s /tmp/back-%(m)s &&
cmp /tmp/blob /tmp/back-%(m)s && echo COPIED || echo FAILED"""
COPIES = "while [ ! -e /run/stop-$ID ]; do %s; done" % " ".join(COPY.split("\n"))


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


def copied(step):
    return step.lines.count("COPIED")


def goes_on(writers, copies):
    """Each writes on; of each mount a copy that has begun by now ends, and one more."""
    want = [copied(c) + 2 for c in copies]
    return all([w.goes_on() for w in writers]) and tap.wait_for(
        lambda: all(copied(c) >= n for c, n in zip(copies, want)), 90)


def knows_nothing(t, vm):
    """The kernel has lost no connection, and has made none anew."""
    said = vm.run("cat /proc/fs/cifs/Stats")
    t.ok(re.search(r"^0 session 0 share reconnects$", said, re.M), "the client knows of nothing",
         said[:500])
    said = vm.run("cat /proc/fs/cifs/DebugData")
    t.same((re.findall(r"TCP status: (\d+) Instance: (\d+)", said), "NEED_RECONNECT" in said),
           ([("1", "1")] * 9, False), "DebugData: nine connections, each of them the first one")


def gap(w, first, end):
    return max([int(x.split()[3]) for x in w.lines[first:end] if x[:3] == "ACK"]) / 1000


def main(t):
    vm, gw, g, n = start(t)
    t.diag("%.1f s: the client has booted" % t.elapsed())
    for name, options in MOUNTS.items():
        vm.mount(name, GW, vers="3.1.1", nosharesock=True, multichannel=True, max_channels=3,
                 cache="none", **options)
    t.ok(tap.wait_for(lambda: g.live_connections() == 9, 60), "three mounts, three channels each",
         g.live_connections())
    vm.run("dd if=/dev/urandom of=/tmp/blob bs=64k count=32")
    blob = vm.run("md5sum < /tmp/blob").split()[0]
    writers = {m: vm.writer("/mnt/%s/log-%s" % (m, m), PAUSE) for m in MOUNTS}
    copies = {m: vm.begin(COPIES % {"m": m}) for m in MOUNTS}
    t.ok(goes_on(writers.values(), copies.values()) and goes_on(writers.values(), copies.values()),
         "all are written to")
    quiet = {m: len(w.lines) for m, w in writers.items()}
    before, closes = g.stats(), g.closes()
    for k in range(UPGRADES):
        upgrade(t, gw, g)
        t.ok(goes_on(writers.values(), copies.values()), "upgrade %d: all go on" % (k + 1))
    t.same((g.live_connections(), g.stats()["accepted"], g.closed_since(closes)),
           (9, before["accepted"], {}), "the same nine connections, and none was accepted or closed")
    knows_nothing(t, vm)
    for m, w in writers.items():
        copies[m].stop().wait(60)
        t.ok("FAILED" not in copies[m].lines, "%s: %d copies there and back are what was copied" % (
            m, copied(copies[m])), copies[m].lines[-5:])
        with open(n.data("bulk-" + m), "rb") as f:
            t.same(hashlib.md5(f.read()).hexdigest(), blob, m + ": and so is the last one, there")
        t.same(w.lost(n.data("log-" + m)), [], "%s: %d acknowledged blocks are in its file" % (
            m, w.acks()))
        t.same(w.errors(), [], m + ": no error")
        t.diag("%s: longest time between two blocks %.3f s; before all upgrades %.3f s" % (
            m, w.stall(quiet[m]), gap(w, 0, quiet[m])))
    with gw.inside():
        t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180 + 30 * UPGRADES) as test:
    main(test)
