#!/usr/bin/python3
# redis-proxy-death.t: one of two proxies is killed under writing clients: they go on by the other
"""SMBGATE_KILLS is the number of kills (3; a release: 50)."""
import os
import random
import signal
import struct
import threading
import time

import gate
import node
import redis
import several
import smb2
import tap

why = node.missing() or redis.missing()
if why:
    tap.skip_all(why)

KILLS = int(os.environ.get("SMBGATE_KILLS", "3"))
SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)
WRITERS = 6
BLOCK = 4096
BATCH = 0x09


def durable_create(name, create_guid, again=None):
    """A CREATE that asks for a durable handle (v2) with a batch oplock; again: for the old one."""
    n = name.encode("utf-16-le")
    if again is None:
        tag, data = b"DH2Q", struct.pack("<II8x", 60000, 0) + create_guid
    else:
        tag, data = b"DH2C", again + create_guid + struct.pack("<I", 0)
    off = 120 + len(n) + (-len(n) % 8)
    ctx = struct.pack("<IHHHHI", 0, 16, 4, 0, 24, len(data)) + tag + bytes(4) + data
    return struct.pack("<HBBIQQIIIIIHHII", 57, 0, BATCH, 2, 0, 0, 0x12019F, 0x80, 7,
                       5 if again is None else 1, 0x40, 120, len(n), off, len(ctx)) \
        + n + bytes(-len(n) % 8) + ctx


def contexts(m):
    """The create contexts of an answer, by name."""
    off, size = struct.unpack_from("<II", m.body, 80)
    out, at = {}, off
    while size:
        nxt, no, nl, _, do, dl = struct.unpack_from("<IHHHHI", m.raw, at)
        out[m.raw[at + no:at + no + nl]] = m.raw[at + do:at + do + dl]
        if not nxt:
            break
        at += nxt
    return out


class Writer(threading.Thread):
    """Writes numbered blocks, and notes which were acknowledged.  When its connection breaks, it
    comes back through whichever proxy answers, and asks for its durable handle."""

    def __init__(self, gates, i, direct=None):
        super().__init__(daemon=True)
        self.gates, self.direct = gates, direct
        self.guid, self.create_guid = os.urandom(16), os.urandom(16)
        self.name = "w%d-%s" % (i, self.guid.hex()[:8])
        self.acked, self.nodes = [], []
        self.reopened = self.fresh = 0
        self.gaps = []
        self.over = threading.Event()
        self.error = None
        self.session = self.fid = None

    def connect(self):
        """Through any proxy that takes it."""
        end = time.monotonic() + 60
        while time.monotonic() < end and not self.over.is_set():
            for g in random.sample(self.gates, len(self.gates)):
                try:
                    c = several.opened(g, self.guid) if g else smb2.Conn(
                        *self.direct).negotiate(guid=self.guid)
                    s = c.login(prev=self.session.sid if self.session else 0)
                    return c, s
                except (OSError, smb2.Closed):
                    continue
            self.over.wait(0.02)
        raise TimeoutError("no proxy takes %s" % self.name)

    def open(self):
        self.c, s = self.connect()
        self.session = s
        self.nodes.append(several.which(self.c))
        self.tid = self.c.tree(s)
        again = self.fid
        m = self.c.call(smb2.CREATE, durable_create(self.name, self.create_guid, again), session=s,
                        tid=self.tid)
        if again is not None and m.status:
            # the handle is gone: the file is not
            self.fresh += 1
            self.create_guid = os.urandom(16)
            body = bytearray(durable_create(self.name, self.create_guid))
            struct.pack_into("<I", body, 36, 3)     # open it, do not empty it
            m = self.c.call(smb2.CREATE, bytes(body), session=s, tid=self.tid)
        self.c.check(m, "create " + self.name)
        if again is None and b"DH2Q" not in contexts(m):
            raise smb2.Broken("%s: no durable handle: %r" % (self.name, contexts(m)))
        if again is not None and not self.fresh:
            self.reopened += 1
        self.fid = m.body[64:80]

    def run(self):
        try:
            self.open()
            i = 0
            while not self.over.is_set():
                try:
                    self.c.write(self.session, self.tid, self.fid, i * BLOCK,
                                 struct.pack("<I", i) * (BLOCK // 4))
                    self.acked.append(i)
                    i += 1
                except (OSError, smb2.Closed):
                    broke = time.monotonic()
                    self.c.close()
                    self.open()
                    self.gaps.append(time.monotonic() - broke)
        except Exception as e:      # noqa: B902  it is the test's to judge
            self.error = e

    def missing(self, data):
        """Acknowledged blocks that are not in the file."""
        return [i for i in self.acked
                if data[i * BLOCK:(i + 1) * BLOCK] != struct.pack("<I", i) * (BLOCK // 4)]


def control(t, n):
    """Direct: smbd gives durable handles, and keeps them when a connection breaks."""
    w = Writer([None], 99, (n.addr, n.port))
    w.open()
    w.c.reset()
    w.open()
    t.same((w.reopened, w.fresh), (1, 0),
           "direct: a durable handle is there after a broken connection")
    w.c.close()


def main(t):
    t.diag("seed %d, %d kills" % (SEED, KILLS))
    random.seed(SEED)
    nodes = node.cluster(t, 3)
    control(t, nodes[0])
    if gate.missing():
        t.bail(gate.missing())
    r = redis.Server(t).start()
    # Where a client is, Redis says: nobody is to be placed blindly because the machine is busy.
    gates = several.pair(t, nodes, [r.endpoint], state={"timeout": "5s"})
    writers = [Writer(gates, i) for i in range(WRITERS)]
    for w in writers:
        w.start()
    tap.wait_for(lambda: all(len(w.acked) > 5 or w.error for w in writers), 60,
                 message="nobody writes")
    for i in range(KILLS):
        victim = gates[i % 2]
        time.sleep(random.uniform(0.1, 0.3))
        before = [len(w.acked) for w in writers]
        p, victim.proc = victim.proc, None
        p.send_signal(signal.SIGKILL)
        t.kill_group(p)
        tap.wait_for(lambda: all(len(w.acked) > n + 20 or w.error for w, n in zip(writers, before)),
                     60, message="nobody writes after the kill")
        victim.start()
        several.healed(*gates)
    for w in writers:
        w.over.set()
    for w in writers:
        w.join(90)
    t.same([w.error for w in writers if w.error], [], "%d clients wrote through %d kills" % (
        WRITERS, KILLS))
    back = [w.reopened + w.fresh for w in writers]
    t.ok(sum(back) >= KILLS, "they came back %d times" % sum(back))
    t.ok(all(len(set(w.nodes)) == 1 for w in writers), "each to its own node",
         *[w.nodes for w in writers])
    t.same([w.fresh for w in writers], [0] * WRITERS, "and every durable handle was there")
    for w in writers:
        w.c.close()
    acked = sum(len(w.acked) for w in writers)
    lost = 0
    for w in writers:
        n = next(x for x in nodes if x.name == w.nodes[0])
        with open(n.data(w.name), "rb") as f:
            lost += len(w.missing(f.read()))
    t.ok(lost == 0 and acked > 100, "%d acknowledged writes, %d of them lost" % (acked, lost))
    gaps = [g for w in writers for g in w.gaps]
    t.diag("back after %.2f s (mean), %.2f s (longest)" % (
        sum(gaps) / max(len(gaps), 1), max(gaps or [0])))
    # A client of a proxy that is gone for good is still where it was, for the other one.
    guid = os.urandom(16)
    gates[0].ctl("drain", nodes[0].name)
    c = several.opened(gates[0], guid)
    c.login()
    p, gates[0].proc = gates[0].proc, None
    p.send_signal(signal.SIGKILL)
    t.kill_group(p)
    with several.opened(gates[1], guid) as d:
        t.same(several.which(d), several.which(c), "a claim of a dead proxy stands")
    t.same(gates[1].stop(), 0, "the other one ends with status 0")


with tap.Test(deadline=90 + KILLS * 10) as test:
    main(test)
