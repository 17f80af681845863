#!/usr/bin/python3
# relay-opens.t: open files as smbgate counts them, and as smbd does; what a claim lingers for
import json
import os
import random
import subprocess
import time

import gate
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

CLIENTS = 24
# a moment for smbd to note what a connection that ended had
SECONDS = 60
DIALECTS = ([0x0202], [0x0210], [0x0300], [0x0302], [0x0311])


def open_at(n):
    """How many files smbd itself says are open there."""
    r = subprocess.run(["nsenter", "-t", str(n.listener()), "-m", "-p", "smbstatus", "-s", n.conf,
                        "--json", "-L"], capture_output=True, text=True)
    files = json.loads(r.stdout).get("open_files", {})
    return sum(len(f["opens"]) for f in files.values())


def connections(g):
    return [c for x in g.clients() for c in x["connections_list"]]


def counted(g):
    return sum(c["open_files"] for c in connections(g))


def sums(g, want):
    """What smbgate has of all the node's connections; of requests within a second or so."""
    seen = []

    def there():
        x = g.node_list()["n1"]
        seen[:] = [(x["open_files"], x["outstanding"], x["unseen"])]
        return seen[0] == want
    tap.wait_for(there, SECONDS)
    return seen[0]


class Pc:
    """A client with some trees, and files open in them."""

    def __init__(self, port, dialects, guid=None, addr="127.0.0.1"):
        self.conn = smb2.Conn(addr, port).negotiate(dialects, guid=guid)
        self.session = self.conn.login()
        self.trees = {self.conn.tree(self.session): {} for _ in range(2)}

    def open(self, name):
        tid = random.choice(list(self.trees))
        fid = self.conn.create(self.session, tid, name)
        self.trees[tid][fid] = name

    def shut(self):
        tid = random.choice(list(self.trees))
        if self.trees[tid]:
            fid, _ = self.trees[tid].popitem()
            self.conn.close_file(self.session, tid, fid)

    def twice(self):
        """What smbd refuses: the same file is closed again; and one that is not there, opened."""
        tid = next(iter(self.trees))
        fid = self.conn.create(self.session, tid, "twice")
        self.conn.close_file(self.session, tid, fid)
        body = b"\x18\0\0\0\0\0\0\0" + fid
        again = self.conn.call(smb2.CLOSE, body, session=self.session, tid=tid)
        missing = self.conn.call(smb2.CREATE, self.conn.create_body("none/at/all", disp=1),
                                 session=self.session, tid=tid)
        return again.status != 0 and missing.status != 0

    def leave(self):
        """One tree goes with its files."""
        tid, _ = self.trees.popitem()
        self.conn.check(self.conn.call(smb2.TREE_DISCONNECT, b"\4\0\0\0", session=self.session,
                                       tid=tid), "tree disconnect")

    def files(self):
        return sum(len(x) for x in self.trees.values())


def control(t, n):
    """The control run: who talks to the node itself, as smbstatus has it."""
    pc = Pc(n.port, [0x0311], addr=n.addr)
    for i in range(5):
        pc.open("control-%d" % i)
    while pc.files() > 3:
        pc.shut()
    t.same(tap.wait_for(lambda: open_at(n) == 3 and open_at(n), SECONDS), 3,
           "control: smbstatus has three open files")
    pc.conn.close()
    t.ok(tap.wait_for(lambda: open_at(n) == 0, SECONDS), "control: and then none")


def crowd(t, g, n):
    random.seed(11)
    pcs = [Pc(g.port, DIALECTS[i % len(DIALECTS)]) for i in range(CLIENTS)]
    for i in range(12):
        for k, pc in enumerate(pcs):
            if random.random() < 0.3:
                pc.shut()
            else:
                pc.open("f-%d-%d" % (k, i))
    t.ok(all(pc.twice() for pc in pcs), "crowd: what smbd refuses, it refuses")
    want = sum(pc.files() for pc in pcs)
    t.same(tap.wait_for(lambda: open_at(n) == want and open_at(n), SECONDS), want,
           "crowd: smbstatus has every file of %d clients" % CLIENTS)
    t.same(counted(g), want, "crowd: and so has smbgate")
    t.same({c["outstanding"] for c in connections(g)}, {0}, "crowd: nothing is unanswered")
    t.same(sums(g, (want, 0, 0)), (want, 0, 0), "crowd: the node's sums")
    for pc in pcs[::3]:
        pc.leave()
    for pc in pcs[1::3]:
        pc.conn.check(pc.conn.logoff(pc.session), "logoff")
        pc.trees = {}
    for pc in pcs[2::6]:
        pc.conn.reset()
        pc.trees = {}
    want = sum(pc.files() for pc in pcs)
    t.same(tap.wait_for(lambda: open_at(n) == want and open_at(n), SECONDS), want,
           "crowd: trees go, and sessions, and connections")
    tap.wait_for(lambda: counted(g) == want, SECONDS, message="smbgate counts %d" % counted(g))
    t.same(counted(g), want, "crowd: smbgate has seen it")
    for pc in pcs:
        pc.conn.close()
    tap.wait_for(lambda: not connections(g), SECONDS, message="connections stay")


def traffic(t, g):
    """Bytes are all bytes, spliced ones too, and the node's stay."""
    before = g.node_list()["n1"]
    pc = Pc(g.port, [0x0311])
    tid = next(iter(pc.trees))
    fid = pc.conn.create(pc.session, tid, "big")
    data = os.urandom(1 << 20)
    for i in range(4):
        pc.conn.write(pc.session, tid, fid, i << 20, data)
    for i in range(2):
        pc.conn.read(pc.session, tid, fid, i << 20, 1 << 20)
    # what a client has is counted once it has it
    c, = tap.wait_for(lambda: [x for x in connections(g) if x["bytes_to_client"] > 2 << 20],
                      SECONDS, message="bytes are not counted")
    t.ok(4 << 20 < c["bytes_to_node"] < (4 << 20) + 20000, "bytes to the node", c)
    t.ok(2 << 20 < c["bytes_to_client"] < (2 << 20) + 20000, "bytes to the client", c)
    t.ok(g.stats()["bytes_spliced"] > 0, "some of them were spliced")

    def said():
        """How long ago, as smbgate has it; again where this machine stood still in between."""
        pc.conn.echo()
        return connections(g)[0]["idle_s"]
    t.ok(tap.wait_for(lambda: said() <= 2, SECONDS), "it has just said something", c)
    tap.wait_for(lambda: connections(g)[0]["idle_s"] >= 2, SECONDS, message="it is never idle")
    t.ok(tap.wait_for(lambda: said() <= 1, SECONDS), "and is not idle any more")
    pc.conn.close()
    tap.wait_for(lambda: not connections(g), SECONDS, message="a connection stays")
    after = g.node_list()["n1"]
    for key in ("bytes_to_node", "bytes_to_client"):
        t.ok(after[key] - before[key] >= c[key], "the node keeps " + key)


def sealed(t, g):
    """Without a key what is encrypted cannot be seen, and is not said to be nothing."""
    c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0311])
    s = c.login(seal=True)
    m = c.call(smb2.ECHO, b"\4\0\0\0", session=s, sealed=True)
    t.same(m.status, 0, "sealed: smbd answers")
    x, = connections(g)
    t.same((x["open_files"], x["outstanding"]), (None, None), "sealed: it cannot be seen")
    t.same(sums(g, (0, 0, 1)), (0, 0, 1), "sealed: and is counted among such")
    c.close()
    t.same(sums(g, (0, 0, 0)), (0, 0, 0), "sealed: until it is gone")


def asked(t, g):
    """What the node has not answered yet stands with the node, too."""
    pc = Pc(g.port, [0x0311])
    tid = next(iter(pc.trees))
    fid = pc.conn.create(pc.session, tid, "", access=0x1, disp=1, options=0x1)
    # a directory is watched, and nothing changes in it
    body = b"\x20\0\0\0\0\0\1\0" + fid + b"\1\0\0\0\0\0\0\0"
    pc.conn.send_frame(pc.conn.build(smb2.CHANGE_NOTIFY, body, pc.session, tid))
    t.same(sums(g, (1, 1, 0)), (1, 1, 0), "asked: one request is without an answer")
    pc.conn.close()
    t.same(sums(g, (0, 0, 0)), (0, 0, 0), "asked: and none when its client is gone")


def ready(g, how, files):
    """A client that is about to end so: (its GUID, what is left to be done)."""
    guid = os.urandom(16)
    pc = Pc(g.port, [0x0311], guid=guid)
    for i in range(files):
        pc.open("left-%s-%d" % (how, i))
    while how == "closed" and pc.files():
        pc.shut()
    if how == "logoff":
        pc.conn.check(pc.conn.logoff(pc.session), "logoff")

    def end():
        if how == "asked":
            pc.conn.send_frame(pc.conn.build(smb2.CREATE, pc.conn.create_body("asked"),
                                             pc.session, next(iter(pc.trees))))
        (pc.conn.reset if how in ("reset", "asked") else pc.conn.close)()
    return guid, end


def leave(g):
    """Many PCs, each end several times, all at one moment: their GUIDs."""
    pcs = {how: [ready(g, how, files) for _ in range(5)]
           for how, files in (("logoff", 3), ("idle", 0), ("closed", 4), ("open", 1),
                              ("reset", 2), ("asked", 0))}
    for some in pcs.values():
        for _, end in some:
            end()
    return {how: [guid for guid, _ in some] for how, some in pcs.items()}


def lingers(t, g):
    """Who has left nothing is forgotten in seconds."""
    for _ in range(10):
        left = leave(g)
        begun, start = time.monotonic(), t.ran()
        tap.wait_for(lambda: not connections(g), SECONDS, message="connections stay")
        count = len(g.clients())
        if count == 30 or time.monotonic() - begun < 3:
            break
        g.stop()        # this machine stood still: some are forgotten before anybody has looked
        g.start()
    t.same(count, 30, "linger: all may be back at once")

    tap.wait_for(lambda: len(g.clients()) <= 15, SECONDS, message="linger: none is forgotten")
    t.ok(t.ran() - start < 12, "linger: half of them are forgotten in seconds")
    kept = g.clients()
    t.same(len(kept), 15, "linger: those with something left are not")
    t.ok(all(x["linger_s"] > 800 for x in kept), "linger: they have pin-linger", kept[:2])
    ids = {bytes.fromhex(x["client"].replace("-", "")) for x in kept}
    want = {swapped(x) for how in ("open", "reset", "asked") for x in left[how]}
    t.same(ids, want, "linger: open files, a lost connection, an open that was not answered")


def swapped(guid):
    """As a GUID is written: three little-endian numbers, and eight bytes."""
    return guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]


with tap.Test(deadline=120) as t:
    n, = node.cluster(t, 1)
    g = gate.Gate(t, [n], health=gate.PATIENT).start()
    control(t, n)
    crowd(t, g, n)
    traffic(t, g)
    sealed(t, g)
    asked(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    g.start()
    lingers(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
