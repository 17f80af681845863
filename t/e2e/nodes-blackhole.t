#!/usr/bin/python3
# nodes-blackhole.t: a node, and a client, that vanish without a word
import ctypes
import os
import subprocess
import sys
import threading
import time

import gate
import node
import smb2
import tap

why = node.missing()
if why is None and subprocess.run(["unshare", "-n", "true"]).returncode:
    why = "no network namespaces here"
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:     # all of it in a network namespace of its own
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

HERE, THERE = "10.77.0.1", "10.77.0.2"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Far:
    """A host of its own: a second namespace at the end of a cable, which can be cut."""

    def __init__(self, t):
        self.holder = t.spawn(["unshare", "-n", "sleep", "600"])
        mine = os.readlink("/proc/self/ns/net")

        def apart():
            try:
                return os.readlink("/proc/%d/ns/net" % self.holder.pid) != mine
            except OSError:
                return False
        tap.wait_for(apart, 5, message="no second namespace")
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-n"]
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "v0", "address", "02:00:00:00:00:01", "type", "veth", "peer",
            "name", "v1", "address", "02:00:00:00:00:02", "netns", str(self.holder.pid))
        run("ip", "addr", "add", HERE + "/24", "dev", "v0")
        run("ip", "link", "set", "v0", "up")
        run("ip", "neigh", "replace", THERE, "lladdr", "02:00:00:00:00:02", "dev", "v0", "nud",
            "permanent")
        for words in ("link set lo up", "link set v1 up", "addr add %s/24 dev v1" % THERE,
                      "neigh replace %s lladdr 02:00:00:00:00:01 dev v1 nud permanent" % HERE):
            run(*self.prefix, "ip", *words.split())

    def cut(self):
        """Nothing that arrives there is heard any more, and nothing comes back."""
        run("ip", "neigh", "replace", THERE, "lladdr", "02:00:00:00:00:99", "dev", "v0", "nud",
            "permanent")
        run(*self.prefix, "ip", "neigh", "replace", HERE, "lladdr", "02:00:00:00:00:98", "dev",
            "v1", "nud", "permanent")

    def mend(self):
        run("ip", "neigh", "replace", THERE, "lladdr", "02:00:00:00:00:02", "dev", "v0", "nud",
            "permanent")
        run(*self.prefix, "ip", "neigh", "replace", HERE, "lladdr", "02:00:00:00:00:01", "dev",
            "v1", "nud", "permanent")

    def down(self):
        """Its interface is gone."""
        run(*self.prefix, "ip", "link", "set", "v1", "down")

    def up(self):
        run(*self.prefix, "ip", "link", "set", "v1", "up")
        self.mend()

    def inside(self, fn):
        """Call fn with this thread in the far namespace: sockets made there belong there."""
        back = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open("/proc/%d/ns/net" % self.holder.pid, os.O_RDONLY)
        try:
            if LIBC.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            return fn()
        finally:
            LIBC.setns(back, CLONE_NEWNET)
            os.close(back)
            os.close(there)


def run(*argv):
    subprocess.run(argv, check=True)


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


def clients_of(g, want, count):
    out = []
    while len(out) < count:
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        if which(c) == want:
            c.tree(c.login())       # smbd may end whoever has no share after a minute
            out.append(c)
        else:
            c.close()
    return out


class Eager:
    """A client that comes again as soon as it is closed, with an answer owed to it or without."""

    def __init__(self, t, g, want, busy):
        self.t, self.g, self.busy = t, g, busy
        self.c, = clients_of(g, want, 1)
        self.closed = self.served = self.where = None
        self.tries = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while self.c.is_open():
                if self.busy:
                    self.c.echo()
                time.sleep(0.02)
        except (smb2.Closed, OSError):
            pass
        self.closed = self.t.ran()
        while self.where is None and self.tries < 2000:
            self.tries += 1
            try:
                with smb2.Conn("127.0.0.1", self.g.port) as x:
                    self.where = which(x.negotiate([0x0302], guid=self.c.guid))
                    self.served = self.t.ran()
            except (smb2.Closed, OSError):
                time.sleep(0.02)


def lost_keepalive(t, far, n1, limit, short):
    """A break of three seconds, in which idle connections ask their node for a sign of life: each
    after two, three or four seconds."""
    tcp = {"keepalive-idle": "4s", "keepalive-interval": "2s", "keepalive-count": 3}
    if limit:
        tcp["node-timeout"] = limit
    g = gate.Gate(t, [n1], health={"interval": "60s", "timeout": "1s", "rise": 1, "fall": 9},
                  tcp=tcp).start()
    mine = clients_of(g, "n1", 10)
    tap.wait_for(lambda: False, 2)      # keepalives are set at the first tick
    for c in mine:
        c.echo()
    before = g.closes()
    tap.wait_for(lambda: False, 1.2)
    far.cut()
    tap.wait_for(lambda: False, 3)
    far.mend()
    # Until the last of them would have been cut.
    tap.wait_for(lambda: False, 4)
    gone = [c for c in mine if not c.is_open()]
    what = "node-timeout %s: " % (limit or "by default")
    t.same(bool(gone), short, what + "%d of ten idle clients are cut by a lost keepalive" % len(
        gone))
    for c in mine:
        if c not in gone:
            c.echo()
    t.same(sum(g.closed_since(before).values()), len(gone), what + "as counted")
    for c in mine:
        c.close()
    t.same(g.stop(), 0, what + "smbgate ends with status 0")


def vanishes(t, far, n1, n2, how, cut, mend):
    """With the policy as it comes."""
    g = gate.Gate(t, [n1, n2], health={"slow-start": "0s"}).start()
    idle = [Eager(t, g, "n1", False) for _ in range(6)]
    busy = [Eager(t, g, "n1", True) for _ in range(6)]
    rest = [Eager(t, g, "n2", True) for _ in range(3)]
    two = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302], guid=idle[0].c.guid)
    t.same(which(two), "n1", how + ": one of the clients has two connections")
    two.login()
    before = g.closes()
    cut()
    start = t.ran()
    for x in idle + busy:
        x.thread.join(60)
    for name, some, limit in (("idle", idle, 12), ("busy", busy, 8)):
        took = [x.closed - start if x.closed else 99 for x in some]
        t.ok(max(took) <= limit, "%s: %s clients are closed after %.1f to %.1f s" % (
            how, name, min(took), max(took)), g.log()[-2000:])
        later = max((x.served or 1e9) - x.closed for x in some if x.closed)
        t.ok(all(x.where == "n2" for x in some), "%s: %s clients are served elsewhere, %.2f s "
             "later, after at most %d tries" % (how, name, later, max(x.tries for x in some)),
             g.log()[-2000:])
    # another worker may have it, which looks at its own in its own time
    t.comes(two.is_open, False, how + ": so is the second connection of a client")
    t.comes(lambda: g.node_states()["n1"], "down", how + ": show nodes says down")
    got = g.closed_since(before)
    t.ok(got.get("node_down") == len(idle + busy) + 1, how + ": counted: %s" % got)
    t.ok(all(x.closed is None for x in rest), how + ": the other node's clients go on")
    mend()
    tap.wait_for(lambda: g.node_states()["n1"] == "up", 60, message="not up again")
    t.same(g.stop(), 0, how + ": smbgate ends with status 0")


def nowhere_to_go(t, far, n1, n2):
    """No other node takes clients: closing leads nowhere, however long it takes."""
    # Probes notice it before the kernel does: from then on it is not to end anybody.
    g = gate.Gate(t, [n1, (n2, {"state": "drain"})], health=dict(gate.FAST, timeout="1s"), tcp={
        "keepalive-idle": "1s", "keepalive-interval": "1s", "keepalive-count": 2,
        "node-timeout": "4s"}).start()
    idle, busy = clients_of(g, "n1", 3), clients_of(g, "n1", 3)
    before = g.closes()
    far.cut()
    tap.wait_for(lambda: g.node_states()["n1"] == "down", 60, message="not down")
    for c in busy:
        c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0"))
    start = time.monotonic()
    tap.wait_for(lambda: not all(c.is_open() for c in idle + busy) or
                 time.monotonic() - start > 9, 12)
    t.ok(all(c.is_open() for c in idle + busy), "vanished, and no other node takes clients: nobody "
         "is closed", g.closed_since(before))
    far.mend()
    for c in busy:
        c.sock.settimeout(60)
        t.same(c.recv()[0].status, 0, "mended: the answer comes")
    for c in idle:
        c.echo()
    tap.wait_for(lambda: g.node_states()["n1"] == "up", 60, message="not up again")
    far.cut()
    g.reload(nodes=[n1, n2])
    t.ok(tap.wait_for(lambda: not any(c.is_open() for c in idle + busy), 60),
         "vanished, and another node does: closed")
    far.mend()
    t.same(g.stop(), 0, "smbgate ends with status 0")


def main(t):
    far = Far(t)
    lab = node.Lab(t)
    n1 = node.Node(lab, "n1", THERE, port=1445, prefix=far.prefix, interfaces=[
        THERE + "/24;speed=1000000000"]).start()
    n2 = node.Node(lab, "n2", "127.0.0.12").start()
    c = smb2.Conn(n1.addr, n1.port).negotiate([0x0302])
    far.cut()
    c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0"))
    c.sock.settimeout(1)
    try:
        c.recv()
        t.ok(False, "direct: cut off, the node is silent")
    except TimeoutError:
        t.ok(c.is_open(), "direct: cut off, the node is silent, and the connection stays")
    far.mend()
    c.sock.settimeout(60)
    t.ok(c.recv()[0].status == 0, "direct: mended, the answer comes")
    c.close()
    why = gate.missing()
    if why:
        t.bail(why)

    # On a busy machine the other node needs a while for its answer as well.
    g = gate.Gate(t, [n1, n2], health={"interval": "200ms", "timeout": "1s", "rise": 1,
                                       "fall": 4, "slow_start": "0s"},
                  tcp={"node-timeout": "30s"}).start()
    mine, rest = clients_of(g, "n1", 10), clients_of(g, "n2", 5)
    far.cut()
    tap.wait_for(lambda: False, 0.4)
    far.mend()
    for c in mine + rest:
        c.echo()
    t.ok(True, "a break of less than four probes: nobody notices")
    before = g.closes()
    far.cut()
    start = t.ran()
    gone = tap.wait_for(lambda: not any(c.is_open() for c in mine), 60, 0.01)
    took = t.ran() - start
    t.ok(gone and took < 10, "vanished: its idle clients are closed after %.1f s" % took)
    t.comes(lambda: g.node_states()["n1"], "down", "vanished: show nodes says down")
    got = g.closed_since(before)
    t.ok(got.get("node_down") == len(mine), "vanished: counted: %s" % got)
    for c in rest:
        c.echo()
    for c in mine:
        with smb2.Conn("127.0.0.1", g.port) as x:
            t.same(which(x.negotiate([0x0302], guid=c.guid)), "n2",
                   "vanished: a client of it is served elsewhere")
    far.mend()
    tap.wait_for(lambda: g.node_states()["n1"] == "up", 60, message="not up again")
    t.ok(True, "mended: up again")
    t.same(g.stop(), 0, "smbgate ends with status 0")

    vanishes(t, far, n1, n2, "vanished", far.cut, far.mend)
    vanishes(t, far, n1, n2, "interface down", far.down, far.up)
    nowhere_to_go(t, far, n1, n2)

    g = gate.Gate(t, [n1], health={"interval": "60s", "timeout": "1s", "rise": 1, "fall": 9},
                  tcp={"node-timeout": "2s"}).start()
    c, = clients_of(g, "n1", 1)
    before = g.closes()
    far.cut()
    start = t.ran()
    c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0"))
    gone = tap.wait_for(lambda: not c.is_open(), 60, 0.01)
    took = t.ran() - start
    t.ok(gone and took < 10, "vanished between probes, with a request on its way: closed after "
         "%.1f s" % took)
    t.ok(g.wait_closed(before), "counted: %s" % g.closed_since(before))
    far.mend()
    t.same(g.stop(), 0, "smbgate ends with status 0")

    lost_keepalive(t, far, n1, None, False)
    lost_keepalive(t, far, n1, "5s", True)

    g = gate.Gate(t, [n2], listen={"lan": HERE + ":4450"}, tcp={
        "keepalive-idle": "1s", "keepalive-interval": "1s", "keepalive-count": 2,
        "client-timeout": "3s"}).start()
    c = far.inside(lambda: smb2.Conn(HERE, 4450, src=THERE).negotiate([0x0302]))
    c.login()
    t.same(n2.connections() > 0, True, "a far client has logged on")
    before = g.closes()
    far.cut()
    start = t.ran()
    got = g.wait_closed(before, 60)
    took = t.ran() - start
    t.ok(got and took < 15, "a client that vanishes is noticed after %.1f s: %s" % (took, got))
    # between two probes
    t.comes(n2.connections, 0, "and the node learns it")
    c.close()
    far.mend()
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
