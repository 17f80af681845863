#!/usr/bin/python3
# relay-splice.t: payload that never comes into user space: cut, slow, stuck, cut off in the middle
import fcntl
import os
import random
import signal
import socket
import struct
import termios
import threading
import time

import fake
import gate
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

MIB = 1 << 20
FLUSH_S = 5     # FLUSH_MS of proxy/conn.c
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
RNG = random.Random(SEED)
BLOB = RNG.randbytes(9 * MIB)
PIPES_MAX, PIPES_IDLE = 32, 8       # proxy/splice.[ch]


def read_answer(m):
    """The whole frame that answers a READ: bytes of BLOB, from its offset on."""
    n, off = struct.unpack_from("<IQ", m.body, 4)
    return smb2.frame(fake.FakeNode.reply(
        m, struct.pack("<HBBIII", 17, 80, 0, n, 0, 0) + BLOB[off:off + n]))


class Node(fake.FakeNode):
    """A node with one file; sends in pieces of at most `cut` bytes, if that is set."""

    def __init__(self, t, **kw):
        super().__init__(t, on_message=self.message, on_accept=self.accepted, **kw)
        self.cut = 0
        self.users = []             # connections with a session: probes have none
        self.wrong = []
        self.written = 0

    def accepted(self, p):
        p.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def message(self, p, m):
        if isinstance(m, bytes):
            return None
        if m.cmd == smb2.SESSION_SETUP:
            self.users.append(p)
        if m.cmd == smb2.READ:
            return read_answer(m)
        if m.cmd == smb2.WRITE:
            n, off = struct.unpack_from("<IQ", m.body, 4)
            if m.body[48:] != BLOB[off:off + n]:
                self.wrong.append((m.mid, n, off))
            self.written += n
            return smb2.frame(self.reply(m, struct.pack("<HHIII", 17, 0, n, 0, 0)))
        return None

    def _flush(self, p):
        if self.cut and len(p.out) > self.cut and not p.last:
            n = p.sock.send(p.out[:RNG.randint(1, self.cut)])
            p.out = p.out[n:]
            self.sel.modify(p.sock, 3, p)
        else:
            super()._flush(p)

    def reset(self, p):
        """The node dies: RST. Only while its thread has nothing to do with p."""
        self.sel.unregister(p.sock)
        del self.peers[p.sock]
        p.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        p.sock.close()


class Client:
    """Asks for pieces of the file and knows which bytes must come, to the last one."""

    def __init__(self, addr, port):
        self.c = smb2.Conn(addr, port, timeout=20)
        self.c.negotiate([0x0210])
        self.s = self.c.guest()
        self.want = b""

    def ask(self, off, n):
        req = self.c.build(smb2.READ, self.c.read_body(bytes(16), off, n), session=self.s, tid=7)
        self.want += read_answer(smb2.Msg(req))
        self.c.send_frame(req)

    def write(self, off, n, cuts=0):
        """Sends a WRITE, in so many pieces."""
        body = struct.pack("<HHIQ", 49, 112, n, off) + bytes(32) + BLOB[off:off + n]
        f = smb2.frame(self.c.build(smb2.WRITE, body, session=self.s, tid=7))
        at = sorted(RNG.randrange(len(f)) for _ in range(cuts))
        for a, b in zip([0] + at, at + [len(f)]):
            self.c.send_raw(f[a:b])

    def take(self, most=MIB, eof=False):
        """What comes: as much as is wanted, or (eof) until the end."""
        got = bytearray()
        while eof or len(got) < len(self.want):
            try:
                part = self.c.sock.recv(RNG.randint(1, most))
            except ConnectionResetError:
                break
            if not part:
                break
            got += part
        want, self.want = self.want, b""
        return bytes(got), want

    def good(self, most=MIB):
        got, want = self.take(most)
        return got == want


def slowly(c, seconds):
    """What comes, for so long in small pieces; then all that is left."""
    got, pause, start = bytearray(), threading.Event(), time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            part = c.c.sock.recv(10000)
        except ConnectionResetError:
            break
        if not part:
            break
        got += part
        pause.wait(0.3)
    rest, want = c.take(eof=True)
    return bytes(got) + rest, want


def some():
    """A piece of the file, small or big."""
    n = RNG.choice((RNG.randint(1, 200), RNG.randint(1, 70000), RNG.randint(1, MIB), MIB))
    return RNG.randrange(len(BLOB) - n), n


def traffic(t, name, where, node):
    """Reads and writes of all sizes, several under way, in any cut."""
    for label, cut, most in (("", 0, MIB), (", the node cuts", 3000, MIB),
                             (", the client is slow", 0, 5000), (", both", 30000, 9000)):
        node.cut = cut
        c = Client(*where)
        good = []
        for _ in range(4):
            for _ in range(6):
                c.ask(*some())
            good.append(c.good(most))
        t.ok(all(good), "%s: reads come as they were sent%s" % (name, label), good)
        before = node.written
        sizes = [some() for _ in range(8)]
        for off, n in sizes:
            c.write(off, n, cuts=RNG.randint(0, 12))
            c.c.recv()
        t.ok(node.written - before == sum(n for _, n in sizes) and not node.wrong,
             "%s: writes too%s" % (name, label), node.wrong)
        c.c.close()
    node.cut = 0


def pipes(g):
    """(number of descriptors of pipes, bytes that are in them) of smbgate."""
    n = held = 0
    where = "/proc/%d/fd" % g.proc.pid
    for name in os.listdir(where):
        path = where + "/" + name
        try:
            if not os.readlink(path).startswith("pipe:"):
                continue
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        n += 1
        held += struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
        os.close(fd)
    return n, held // 2         # both ends show the same bytes


def still(g):
    """Wait until smbgate moves nothing any more, though its workers could; what it has for
    clients."""
    last, since = g.stats(), time.monotonic()
    while time.monotonic() - since < 0.3:
        g.turn(2)
        now = g.stats()
        if now["bytes_to_client"] != last["bytes_to_client"]:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last["bytes_to_client"]


def stuck(g, node, n=1, mib=8, first=0):
    """Clients that asked for much, before that for so many bytes, and read nothing."""
    out = []
    for _ in range(n):
        c = Client("127.0.0.1", g.port)
        c.peer = node.users[-1]
        out.append(c)
    c.before = still(g)
    for c in out:
        if first:
            c.ask(0, first)
        for i in range(mib):
            c.ask(i * MIB, MIB)
    return out


def stuck_midway(g, node):
    """One client whose answer has stopped on its way: bytes are in a pipe.  How much the kernel
    takes first is its own affair, and the end of an answer leaves none there: then another."""
    for _ in range(8):
        c, = stuck(g, node, first=RNG.randrange(MIB))
        still(g)
        held = pipes(g)[1]
        if held:
            break
        c.c.close()
        gate.settle_closes(g)
    return c, held


with tap.Test(deadline=240) as t:
    t.diag("SEED=%d" % SEED)
    node = Node(t, name="n1").start()
    traffic(t, "direct", (node.addr, node.port), node)

    # What comes through the pumps' unit tests byte by byte is here moved by the kernel.
    g = gate.Gate(t, [node], workers=1, limits={"logon": "300s"}, health=gate.PATIENT).start()
    empty = pipes(g)
    t.same(empty[1], 0, "no bytes in smbgate's pipes")
    before = g.stats()
    traffic(t, "through", ("127.0.0.1", g.port), node)
    now = g.stats()
    moved = sum(now[k] - before[k] for k in ("bytes_to_node", "bytes_to_client"))
    spliced = now["bytes_spliced"] - before["bytes_spliced"]
    t.ok(spliced > moved / 2, "most of it was spliced", "%d of %d bytes" % (spliced, moved))
    t.comes(lambda: pipes(g)[1], 0, "nothing is left in a pipe")

    # A pipe whose bytes nobody takes.
    c, held = stuck_midway(g, node)
    t.ok(held > 0, "a client that does not read leaves bytes in a pipe", pipes(g))
    other = Client("127.0.0.1", g.port)
    other.ask(0, MIB)
    t.ok(other.good(), "another client is served meanwhile")
    t.ok(c.good(100000), "the slow one gets everything when it reads")
    t.comes(lambda: pipes(g)[1], 0, "and the pipe is empty")

    c.c.close()
    gate.settle_closes(g)

    # Its client dies. Once a second smbgate would find out anyway.
    took = []
    for _ in range(3):
        c, closes = stuck(g, node)[0], g.closes()
        c.c.reset()
        began = t.ran()
        t.same(tap.wait_for(lambda: g.closed_since(closes), 60), {"client_reset": 1},
               "the death of a client is seen while it is not read")
        took.append(t.ran() - began)
    t.ok(max(took) < 0.5, "and at once", took)
    t.comes(lambda: pipes(g)[1], 0, "its bytes are gone with it")
    other.ask(*some())
    other.ask(MIB, MIB)
    t.ok(other.good(), "and reach nobody else")

    # The node dies: what it said is delivered, and no byte more or less.
    c, held = stuck_midway(g, node)
    closes = g.closes()
    node.reset(c.peer)
    # Its end is counted when the client has everything: it has not, so only the leg is gone.
    tap.wait_for(lambda: [x for x in g.clients() if x.get("stage") == "flush"], 1)
    got, want = c.take(eof=True)
    total = g.stats()["bytes_to_client"]
    t.ok(held > 0 and got == want[:len(got)] and len(got) == total - c.before,
         "a node that dies: what it had sent arrives, from the pipe too",
         "%d bytes in the pipe, %d of %d arrived, %s" % (
             held, len(got), total - c.before,
             "as sent" if got == want[:len(got)] else "not as sent"))
    t.same(g.wait_closed(closes), {"node_reset": 1}, "and the connection ends with the reason")

    # The same, and its client takes much longer than one has that takes nothing.
    c, held = stuck_midway(g, node)
    closes = g.closes()
    node.reset(c.peer)
    tap.wait_for(lambda: [x for x in g.clients() if x.get("stage") == "flush"], 1)
    got, want = slowly(c, 3 * FLUSH_S)
    total = g.stats()["bytes_to_client"]
    t.ok(held > 0 and got == want[:len(got)] and len(got) == total - c.before,
         "a node that dies: who is slow gets it as well",
         "%d of %d bytes arrived" % (len(got), total - c.before))
    t.same(g.wait_closed(closes), {"node_reset": 1}, "and ends with the reason")
    # But whoever drains the node does not wait for it.
    c, held = stuck_midway(g, node)
    closes = g.closes()
    node.reset(c.peer)
    tap.wait_for(lambda: [x for x in g.clients() if x.get("stage") == "flush"], 1)
    g.ctl("drain", node.name, "--force", "--quiet", "1h")
    got, want = slowly(c, 3 * FLUSH_S)
    t.ok(held > 0 and got == want[:len(got)] and len(got) < g.stats()["bytes_to_client"] - c.before,
         "a node that dies, and is drained: who is slow is given up after a while")
    t.same(g.wait_closed(closes), {"node_reset": 1}, "and ends with the reason")
    g.ctl("undrain", node.name)
    # And one that takes nothing is not waited for.
    c, held = stuck_midway(g, node)
    closes = g.closes()
    node.reset(c.peer)
    t.same(g.wait_closed(closes, 60), {"node_reset": 1}, "who takes nothing is given up")
    c.c.close()
    # Nor is anybody whom an operator ends, however slow: the end of a drain waits for them.
    c, held = stuck_midway(g, node)
    closes = g.closes()
    reader = threading.Thread(target=slowly, args=(c, 4 * FLUSH_S))
    reader.start()
    newest = max(x["id"] for x in g.show("connections")["connections"])
    g.ask({"cmd": "kill", "who": "conn:%d" % newest, "force": True})
    t.same(g.wait_closed(closes, 2 * FLUSH_S + 2), {"operator": 1},
           "whom an operator ends has so long, and no more")
    reader.join()
    other.ask(2 * MIB, MIB)
    t.ok(other.good(), "others go on")

    # Bytes and a reset in one: both are there when smbgate looks, and the second is not told again.
    c, peer, closes = Client("127.0.0.1", g.port), node.users[-1], g.closes()
    said = smb2.frame(smb2.header(smb2.ECHO, 999, flags=smb2.RESPONSE) + struct.pack("<HH", 4, 0))
    os.kill(g.proc.pid, signal.SIGSTOP)
    try:
        peer.sock.sendall(said)
        node.reset(peer)
    finally:
        os.kill(g.proc.pid, signal.SIGCONT)
    try:
        got = c.c.recv_eof(30)
    except TimeoutError:
        got = "nothing, and no end"
    t.same(got, said, "the bytes arrive, and then the end")
    t.same(g.wait_closed(closes), {"node_reset": 1}, "which was the node's reset")
    c.c.close()

    # A client that ends in the middle of a WRITE: the node has all that it sent.
    c = Client("127.0.0.1", g.port)
    peer = node.users[-1]
    body = struct.pack("<HHIQ", 49, 112, MIB, 0) + bytes(32) + BLOB[:MIB]
    half = smb2.frame(c.c.build(smb2.WRITE, body, session=c.s, tid=7))[:700000]
    c.c.send_raw(half)
    c.c.sock.shutdown(socket.SHUT_WR)
    tap.wait_for(lambda: peer.sock not in node.peers, 60)
    t.ok(peer.buf == half, "half a WRITE and an end arrive whole",
         "%d of %d bytes" % (len(peer.buf), len(half)))
    c.c.close()

    # More slow clients than there are pipes.  One whose answer happens to have stopped at its end
    # has none: then there are others, until all are lent, and eight more.
    many = stuck(g, node, PIPES_MAX, mib=6)
    still(g)
    while pipes(g)[0] - empty[0] < 2 * PIPES_MAX and len(many) < 2 * PIPES_MAX:
        many += stuck(g, node, mib=6, first=RNG.randrange(MIB))
        still(g)
    many += stuck(g, node, 8, mib=6)
    still(g)
    n, held = pipes(g)
    t.ok(n - empty[0] == 2 * PIPES_MAX and held > 0, "so many pipes are lent, and no more",
         "%d clients, %d descriptors, %d at first" % (len(many), n, empty[0]))
    other.ask(3 * MIB, MIB)
    t.ok(other.good(), "without a pipe bytes are copied")
    t.ok(all([c.good(200000) for c in many]), "every slow client gets its own bytes")
    tap.wait_for(lambda: pipes(g)[0] - empty[0] <= 2 * PIPES_IDLE and not pipes(g)[1], 60)
    n, held = pipes(g)
    t.ok(n - empty[0] <= 2 * PIPES_IDLE and held == 0, "the pipes are given back",
         "%d descriptors, %d bytes" % (n - empty[0], held))
    for c in many + [other]:
        c.c.close()
    t.comes(g.live_connections, 0, "no connection is left")
