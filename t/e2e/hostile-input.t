#!/usr/bin/python3
# hostile-input.t: bad input closes that one connection with a counted reason; memory stays bounded
import os
import random
import resource
import socket
import struct
import time

import fake
import gate
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

F = smb2.frame
GUID = bytes(range(16))


def claim(n, kind=0):
    """A transport header that says n bytes."""
    return struct.pack(">I", kind << 24 | n)


def neg(body):
    return F(smb2.header(smb2.NEGOTIATE, 0) + body)


def nego(**kw):
    return smb2.negotiate_body([0x0300, 0x0311], GUID, **kw)


def put(data, off, fmt, *v):
    b = bytearray(data)
    struct.pack_into(fmt, b, off, *v)
    return bytes(b)


# Odd, but the node has an answer to it of its own.
LEFT = {"the node's"}


def first_frames():
    """What a connection may not begin with: name -> (bytes, reasons that fit)."""
    n = nego()
    return {
        "length 0 before anything, then noise": (claim(0) + b"noise" * 20, None),
        "length 1": (claim(1) + b"x", {"short_frame"}),
        "length 3": (claim(3) + b"\xfeSM", {"short_frame"}),
        "length 4": (claim(4) + b"\xfeSMB", {"short_frame"}),
        "length 31": (claim(31) + b"\xfeSMB" + bytes(27), {"short_frame"}),
        "length 63": (claim(63) + (b"\xfeSMB" + bytes(59)), {"short_frame", "bad_message"}),
        "a session request": (claim(68, 0x81) + bytes(68), {"bad_session_request"}),
        "type 1": (claim(64, 1) + bytes(64), {"bad_frame"}),
        "type 0x83": (claim(1, 0x83) + b"\x80", {"bad_frame"}),
        "type 0xff": (claim(0xFFFFFF, 0xFF), {"bad_frame"}),
        "16 MiB claimed": (claim(0xFFFFFF), {"long_frame"}),
        "16 MiB claimed and begun": (claim(0xFFFFFF) + b"\xfeSMB" + bytes(8000), {"long_frame"}),
        "1 MiB claimed": (claim(1 << 20), {"long_frame"}),
        "128 KiB claimed": (claim(1 << 17), {"long_frame"}),
        "a wrong protocol id": (F(b"\xfeSMC" + bytes(200)), {"bad_protocol", "bad_first",
                                                              "bad_message"}),
        "a transform first": (F(b"\xfdSMB" + bytes(200)), {"bad_protocol", "bad_first"}),
        "compression first": (F(b"\xfcSMB" + bytes(200)), {"bad_protocol", "bad_first"}),
        "SESSION_SETUP first": (F(smb2.header(smb2.SESSION_SETUP, 0) + bytes(100)), {"bad_first"}),
        "an answer": (F(smb2.header(smb2.NEGOTIATE, 0, flags=1) + n), None),
        "header size 63": (put(neg(n), 8, "<H", 63), {"bad_message", "bad_first"}),
        "header alone": (F(smb2.header(smb2.NEGOTIATE, 0)), {"bad_message", "bad_first"}),
        "body of 35 bytes": (neg(n[:35]), {"bad_message", "bad_first"}),
        "StructureSize 35": (neg(put(n, 0, "<H", 35)), {"bad_message", "bad_first"}),
        "no dialect": (neg(put(n, 2, "<H", 0)), {"bad_message", "bad_first"}),
        "65535 dialects": (neg(put(n, 2, "<H", 65535)), {"bad_message", "bad_first"}),
        "NEGOTIATE in a compound": (F(put(smb2.header(0, 0) + n + bytes(-len(n) % 8), 20, "<I",
                                          64 + len(n) + -len(n) % 8)
                                      + smb2.header(smb2.ECHO, 1) + b"\4\0\0\0"), None),
        "NextCommand past the end": (F(put(smb2.header(0, 0) + n, 20, "<I", 4096)), {
            "bad_chain", "bad_message", "bad_first"}),
        "SMB1 without a terminator": (F(smb2.smb1_negotiate(["SMB 2.???"])[:-1] + b"x"), None),
        "SMB1 with a lying ByteCount": (F(put(smb2.smb1_negotiate(["SMB 2.???"]), 33, "<H",
                                              60000)), {"bad_message", "bad_first"}),
        "SMB1, another command": (F(put(smb2.smb1_negotiate(["SMB 2.???"]), 4, "<B", 0x73)), {
            "bad_first", "bad_message", "smb1_refused"}),
    }


def refused_by_the_node():
    """NEGOTIATEs whose list of contexts is wrong: the node's to judge, and the client may go on."""
    n = nego()
    ctx, = struct.unpack_from("<I", n, 28)
    ctx -= 64
    return {
        "65535 contexts": neg(put(n, 32, "<H", 65535)),
        "contexts past the end": neg(put(n, 28, "<I", 64 + len(n))),
        "contexts far past the end": neg(put(n, 28, "<I", 0xFFFFFFF8)),
        "contexts in the header": neg(put(n, 28, "<I", 8)),
        "a context longer than the rest": neg(put(n, ctx + 2, "<H", 65535)),
        "a context cut short": neg(n[:ctx + 5]),
    }


def second_frames():
    """After the answer 0x02FF only an SMB2 NEGOTIATE may come."""
    n = nego()
    return {
        "SMB1 again": F(smb2.smb1_negotiate(smb2.MULTI)),
        "SESSION_SETUP": F(smb2.header(smb2.SESSION_SETUP, 1) + bytes(60)),
        "noise": F(bytes(100)),
        "a bad NEGOTIATE": F(smb2.header(0, 1) + put(n, 2, "<H", 65535)),
    }


def chain(*nexts, tail=64):
    """ECHOs with these NextCommand values, at the right places if they are right."""
    out = b""
    for i, n in enumerate(nexts):
        m = smb2.header(smb2.ECHO, 50 + i, nxt=n & 0xFFFFFFFF) + b"\4\0\0\0" + bytes(4)
        out += m
    return out + bytes(tail)


def later_frames(c, s, tid):
    """What may not come on a live, logged-on connection: name -> (bytes, reasons)."""
    q = smb2.ioctl_body()
    h = smb2.header
    echo = h(smb2.ECHO, c.mid) + b"\4\0\0\0" + bytes(4)
    tiny = b"".join(h(smb2.ECHO, 50, nxt=72) + b"\4\0\0\0" + bytes(4) for _ in range(2000))
    return {
        "length 1": (claim(1) + b"x", {"short_frame"}),
        "length 3": (claim(3) + b"\xfeSM", {"short_frame"}),
        "length 63": (claim(63) + b"\xfeSMB" + bytes(59), {"short_frame"}),
        "type 0x81": (claim(68, 0x81) + bytes(68), {"bad_frame"}),
        "type 2": (claim(64, 2) + bytes(64), {"bad_frame"}),
        "16 MiB claimed": (claim(0xFFFFFF) + b"\xfeSMB", LEFT),
        "compression": (F(b"\xfcSMB" + bytes(100)), {"bad_protocol"}),
        "SMB1": (F(smb2.smb1_negotiate(["NT LM 0.12"])), {"bad_protocol", "bad_sequence"}),
        "no protocol at all": (F(b"\0\0\0\0" + bytes(100)), {"bad_protocol"}),
        "NextCommand 8": (F(chain(8)), {"bad_chain"}),
        "NextCommand 63": (F(chain(63)), {"bad_chain"}),
        "NextCommand unaligned": (F(chain(65)), {"bad_chain"}),
        "NextCommand past the end": (F(chain(4096)), {"bad_chain"}),
        "NextCommand to the very end": (F(chain(72, tail=0)), LEFT),
        "NextCommand leaves a stub": (F(chain(72, tail=8)), {"bad_chain"}),
        "NextCommand huge": (F(chain(0xFFFFFFF8)), {"bad_chain"}),
        "NextCommand backwards": (F(chain(72, -72)), {"bad_chain"}),
        "NextCommand to a second one that loops": (F(chain(72, 0x80000000)), {"bad_chain"}),
        "2000 parts": (F(tiny + echo), {"bad_chain", "bad_message", "node_eof", "node_reset"}),
        "a second NEGOTIATE": (F(h(0, c.mid) + nego()), {"bad_sequence", "bad_message"}),
        "an answer from a client": (F(h(smb2.ECHO, c.mid, flags=1) + b"\4\0\0\0"), {
            "bad_message", "bad_sequence", None}),
        "a query cut in its body": (F(h(smb2.IOCTL, c.mid, s.sid, tid) + q[:20]), {
            "bad_message", "node_eof", "node_reset", None}),
        "a query with input past the end": (F(h(smb2.IOCTL, c.mid, s.sid, tid)
                                              + put(q, 24, "<II", 120, 5000)), {
            "bad_message", None}),
        "SESSION_SETUP cut": (F(h(smb2.SESSION_SETUP, c.mid, s.sid) + struct.pack("<HB", 25, 1)),
                              {"bad_message"}),
        "SESSION_SETUP, blob past the end": (F(h(smb2.SESSION_SETUP, c.mid, s.sid) + struct.pack(
            "<HBBIIHHQ", 25, 1, 1, 1, 0, 88, 60000, 0) + bytes(8)), {"bad_message", None}),
        "SESSION_SETUP, blob in the header": (F(h(smb2.SESSION_SETUP, c.mid, s.sid) + struct.pack(
            "<HBBIIHHQ", 25, 0, 1, 1, 0, 4, 8, 0) + bytes(8)), {"bad_message", None}),
        "a transform of 4 GiB": (F(b"\xfdSMB" + bytes(32) + struct.pack("<IHHQ", 0xFFFFFFF0, 0, 1,
                                                                       s.sid) + bytes(64)), {
            "bad_message", "short_frame", "node_eof", "node_reset"}),
        "a transform header cut": (F(b"\xfdSMB" + bytes(40)), {
            "bad_message", "short_frame", "node_eof", "node_reset"}),
    }


class Witness:
    """A connection that nothing of this may disturb."""

    def __init__(self, g, addr="127.0.0.1"):
        self.c = smb2.Conn(addr, g.port, src="127.0.3.1").negotiate([0x0302])
        self.s = self.c.login()
        self.tid = self.c.tree(self.s)

    def fine(self):
        self.c.echo(session=self.s)
        return True


def closed(c, data, reasons=None):
    """Send; whether the peer then closes."""
    seconds = 3 if reasons == LEFT else 30
    try:
        c.send_raw(data)
        c.recv_eof(seconds)
        return True
    except smb2.Closed:
        return True
    except TimeoutError:
        return False


def judge(t, g, name, gone, before, reasons, witness):
    got = g.wait_closed(before) if gone else {}
    if reasons == LEFT:
        t.ok(not gone, "%s: left to the node" % name, "counted: %s" % got)
        witness.fine()
        return
    one = sum((got or {}).values()) == 1
    fits = reasons is None or (set(got or {}) <= {r for r in reasons if r} and one)
    t.ok(gone and one and fits, "%s: closed: %s" % (name, ", ".join(got or {}) or "no"),
         "closed: %s, counted: %s, expected: %s" % (gone, got, reasons))
    witness.fine()


def judged_by_the_node(t, g, n, w):
    for name, data in refused_by_the_node().items():
        got = []
        for addr, port in ((n.addr, n.port), ("127.0.0.1", g.port)):
            with smb2.Conn(addr, port) as c:
                c.send_raw(data)
                m, = c.recv()
                got.append(m.status)
        t.ok(got[0] == got[1] != 0, "first: %s: 0x%08X, as directly" % (name, got[1]), got)
        w.fine()


def before_negotiate(t, g, w):
    for name, (data, reasons) in first_frames().items():
        before = g.closes()
        with smb2.Conn("127.0.0.1", g.port) as c:
            judge(t, g, "first: " + name, closed(c, data, reasons), before, reasons, w)
    for name, data in second_frames().items():
        before = g.closes()
        with smb2.Conn("127.0.0.1", g.port) as c:
            c.multi_negotiate()
            judge(t, g, "second: " + name, closed(c, data), before, None, w)


def after_logon(t, g, w):
    c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0300])
    s = c.login()
    names = list(later_frames(c, s, 0))
    c.close()
    for name in names:
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0300])
        s = c.login()
        tid = c.tree(s, "IPC$")
        data, reasons = later_frames(c, s, tid)[name]
        g.wait_connections(2)       # this one, and the witness
        before = g.closes()
        if None in reasons:     # the node may answer it with an error as well
            try:
                c.send_raw(data)
                m, = c.recv()
                t.ok(m.status != 0, "later: %s: the node's error 0x%08X" % (name, m.status))
                c.close()
                w.fine()
                continue
            except smb2.Closed:
                gone = True
        else:
            gone = closed(c, data, reasons)
        judge(t, g, "later: " + name, gone, before, reasons, w)
        c.close()
    c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0300])
    s = c.login()
    c.send_raw(claim(0, 0x85))
    c.echo(session=s)
    t.ok(True, "a keepalive does no harm")
    c.close()


def controls(t, n):
    """The well-formed forms of all that is made wrong above are good, directly."""
    with smb2.Conn(n.addr, n.port) as c:
        c.send_raw(neg(nego()))
        m, = c.recv()
        t.ok(m.status == 0, "direct: the NEGOTIATE is good")
    with smb2.Conn(n.addr, n.port) as c:
        c.negotiate([0x0300])
        s = c.login()
        tid = c.tree(s, "IPC$")
        c.echo()
        echo = {"cmd": smb2.ECHO, "body": b"\4\0\0\0"}
        t.ok(all(m.status == 0 for m in c.calls([echo, echo, echo])), "direct: the compound is")
        t.ok(c.ifinfo(s, tid), "direct: the query is")
        c.send_raw(claim(0, 0x85))
        c.echo(session=s)
        t.ok(True, "direct: a keepalive does no harm")


def time_limits(t, nodes):
    """Absolute deadlines, which bytes that trickle in do not move."""
    g = gate.Gate(t, nodes, limits={"first-frame": "2s", "negotiate": "3s",
                                    "logon": "4s"}).start()
    w = Witness(g)
    start, ran = time.monotonic(), t.ran()
    before = g.closes()
    silent = [smb2.Conn("127.0.0.1", g.port) for _ in range(20)]
    tricklers = [smb2.Conn("127.0.0.1", g.port) for _ in range(5)]
    half, data = [smb2.Conn("127.0.0.1", g.port) for _ in range(5)], neg(nego())
    for c in half:
        c.send_raw(data[:30])
    nologon = [smb2.Conn("127.0.0.1", g.port).negotiate([0x0302]) for _ in range(5)]
    multi = smb2.Conn("127.0.0.1", g.port)
    multi.multi_negotiate()
    started = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
    started.send_frame(started.setup_request(smb2.Ntlm("alice", "x").negotiate()))
    started.recv()
    chatty = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
    over = {}
    everyone = {"silent": silent, "trickling": tricklers, "half a frame": half,
                "no logon": nologon, "multi-protocol start alone": [multi],
                "half a logon": [started], "echoes without a logon": [chatty]}
    i = 0
    while t.ran() - ran < 20 and any(c.sock for cs in everyone.values() for c in cs):
        for kind, cs in everyone.items():
            for c in cs:
                if c.sock and not c.is_open():
                    over.setdefault(kind, []).append((time.monotonic() - start, t.ran() - ran))
                    c.close()
        try:
            for c in tricklers:
                if c.sock:
                    c.send_raw(data[i % len(data):i % len(data) + 1])
            if chatty.sock:
                chatty.echo()
        except smb2.Closed:
            pass
        i += 1
        w.fine()
        time.sleep(0.05)
    for kind, least, most in (("silent", 1.9, 5.0), ("trickling", 1.9, 5.0),
                              ("half a frame", 1.9, 5.0), ("no logon", 3.8, 9.0),
                              ("multi-protocol start alone", 1.9, 9.0),
                              ("half a logon", 3.8, 9.0), ("echoes without a logon", 3.8, 9.0)):
        got = over.get(kind, [])
        t.ok(len(got) == len(everyone[kind]) and all(least <= x and y <= most for x, y in got),
             "deadline: %s: closed after %s s" % (kind, "%.1f" % max(got)[0] if got else "no"),
             ["%.2f (%.2f)" % x for x in got])
    reasons = g.closed_since(before)
    t.ok(reasons.get("first_frame_timeout", 0) >= 30 and reasons.get("logon_timeout", 0) >= 7,
         "deadlines are counted: %s" % reasons)
    t.ok(w.fine(), "who has logged on knows no deadline")
    t.same(g.stop(), 0, "deadlines: smbgate ends with status 0")


def memory(t, nodes):
    """Thousands of claims of 16 MiB, and of frames that are allowed but never end."""
    quiet = fake.FakeNode(t, "f1", "127.0.0.41").start()
    g = gate.Gate(t, [quiet], limits={"first-frame": "60s", "negotiate": "60s", "logon": "60s",
                                      "unauthenticated-per-source": 16384,
                                      "accept-rate": 0}).start()
    w = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
    ws = w.guest()
    rss = g.rss_kb()
    for i in range(3000):
        with smb2.Conn("127.0.0.1", g.port) as c:
            try:
                c.send_raw(claim(0xFFFFFF) + b"\xfeSMB" + bytes(3000))
            except (smb2.Closed, ConnectionError):
                pass
    t.ok(g.rss_kb() - rss < 16384, "3000 claims of 16 MiB: %d KiB more" % (g.rss_kb() - rss))
    hold = []
    for i in range(2000):
        c = smb2.Conn("127.0.0.1", g.port)
        c.send_raw(claim(4000) + b"\xfeSMB" + bytes(3900))
        hold.append(c)
    grown = g.rss_kb() - rss
    t.ok(grown < 2000 * 32, "2000 first frames that do not end: %d KiB more" % grown)
    w.echo(session=ws)
    for c in hold:
        c.close()
    hold = []
    for i in range(300):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        s = c.guest()
        head = smb2.header(smb2.WRITE, c.mid, s.sid, 7) + struct.pack("<HHIQ", 49, 112, 1 << 20, 0)
        c.send_raw(claim((1 << 20) + 112) + head)
        c.send_raw(bytes(300000))
        hold.append(c)
    grown = g.rss_kb() - rss
    t.ok(grown < 300 * 300 + 64 * 1024, "300 writes of 1 MiB that do not end: %d KiB more" % grown)
    for c in hold:
        c.close()
    hold = []
    for i in range(300):        # held frames: logons that do not end
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        c.send_raw(claim(65000) + smb2.header(smb2.SESSION_SETUP, c.mid) + bytes(50000))
        hold.append(c)
    grown = g.rss_kb() - rss
    t.ok(grown < 300 * 150 + 64 * 1024, "300 logons that do not end: %d KiB more" % grown)
    w.echo(session=ws)
    t.ok(True, "the witness goes on")
    for c in hold:
        c.close()
    w.close()
    t.ok(tap.wait_for(lambda: g.fds() < 64, 20), "no descriptor stays: %d" % g.fds())
    t.same(g.stop(), 0, "memory: smbgate ends with status 0")
    quiet.stop()


def slow_reader(t, nodes):
    """Who asks and does not read costs a bounded amount."""
    n = nodes[0]
    g = gate.Gate(t, [n]).start()
    with open(n.data("slow"), "wb") as f:
        f.truncate(64 << 20)
    os.chmod(n.data("slow"), 0o666)
    rss = g.rss_kb()
    hold = []
    for i in range(20):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "slow", disp=1)
        while c.credits < 24 * 16:
            c.echo(credits=256)
        asked = [c.build(smb2.READ, c.read_body(fid, k << 20, 1 << 20), session=s, tid=tid,
                         charge=16) for k in range(24)]
        for m in asked:
            c.send_frame(m)
        hold.append((c, [smb2.Msg(m).mid for m in asked]))
    tap.wait_for(lambda: False, 1)
    grown = g.rss_kb() - rss
    t.ok(grown < 20 * 3 * 1024, "20 clients that do not read 24 MiB each: %d KiB more" % grown)
    c, mids = hold[0]
    got = sum(len(m.raw) for m in c.answers(mids))
    t.ok(got > 24 << 20, "one of them reads after all: %d bytes" % got)
    for c, _ in hold:
        c.close()
    t.same(g.stop(), 0, "slow readers: smbgate ends with status 0")


def last_bytes(t, nodes):
    """Who sends and leaves at once: the other side gets all of it, then the end."""
    got = []

    def node_side(p, m):
        if not isinstance(m, smb2.Msg):
            return None
        if m.cmd == smb2.WRITE:
            got.append(m.raw[112:])
            return b""
        if m.cmd == smb2.READ:
            p.last = True
            return b"".join(F(fake.FakeNode.reply(m, struct.pack("<HBBII", 17, 80, 0, 1 << 20, 0)
                                                  + bytes(4) + d, smb2.OK)) for d in data)
        return None

    f = fake.FakeNode(t, "last", "127.0.0.45", on_message=node_side).start()
    data = [os.urandom(1 << 20) for _ in range(4)]
    g = None
    for label in ("direct", "through"):
        if label == "through":
            g = gate.Gate(t, [f]).start()
        addr, port = ("127.0.0.1", g.port) if g else (f.addr, f.port)
        for i in range(5):
            got.clear()
            live = f.live()
            with smb2.Conn(addr, port) as c:
                c.negotiate([0x0302])
                s = c.guest()
                for k, d in enumerate(data):
                    c.send_frame(smb2.header(smb2.WRITE, c.mid + 16 * k, s.sid, 7, charge=16)
                                 + struct.pack("<HHIQ", 49, 112, 1 << 20, k << 20) + bytes(32) + d)
                c.sock.shutdown(socket.SHUT_WR)
                c.recv_eof(10)
            tap.wait_for(lambda: f.live() <= live and len(got) == 4, 20)
            t.ok(got == data, "%s: a client that leaves: the node gets its last 4 MiB" % label,
                 sum(map(len, got)))
        for i in range(5):
            with smb2.Conn(addr, port) as c:
                c.negotiate([0x0302])
                s = c.guest()
                c.send_frame(c.build(smb2.READ, c.read_body(bytes(16), 0, 1 << 20), session=s,
                                     tid=7))
                if i % 2:       # not read until long after the node has gone
                    tap.wait_for(lambda: False, 0.3)
                out = c.recv_eof(10)
            t.ok(all(d in out for d in data), "%s: a node that leaves: the client gets its last "
                 "4 MiB" % label, len(out))
    t.same(g.stop(), 0, "last bytes: smbgate ends with status 0")
    f.stop()


class Lingering(fake.FakeNode):
    """It does not close by itself what a client has closed that had logged on."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.kept = []

    def _drop(self, p):
        if p.sock not in self.peers or smb2.SESSION_SETUP not in p.got:
            super()._drop(p)
            return
        del self.peers[p.sock]
        self.sel.unregister(p.sock)
        self.kept.append(p.sock)


def goodbyes(t, nodes):
    """A client leaves, and the node does not hurry: is there anything to wait for?"""
    echo = []

    def held(p, m):
        if isinstance(m, smb2.Msg) and m.cmd == smb2.ECHO:
            echo.append(F(fake.FakeNode.reply(m, b"\4\0\0\0", smb2.OK)))
            return b""
        return None

    f = Lingering(t, "lingers", "127.0.0.46", on_message=held).start()
    g = gate.Gate(t, [f], health={"interval": "60s", "timeout": "10s"}).start()
    before = g.closes()

    def left(how):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        s = c.guest()
        how(c, s)
        tap.wait_for(lambda: f.kept, 20, message="the node does not hear of it")
        return c, f.kept.pop()

    def leave(c, s):
        c.close()

    def log_off(c, s):
        c.logoff(s)
        c.close()

    def ask_on(c, s):
        c.logoff(s)
        c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0"))
        tap.wait_for(lambda: echo, 20, message="no ECHO came")
        c.sock.shutdown(socket.SHUT_WR)

    _, sock = left(leave)
    t.same(g.live_connections(), 1, "a client that just leaves: the node may have something to say")
    sock.close()
    t.ok(tap.wait_for(lambda: g.live_connections() == 0, 20), "and then it is over")
    _, sock = left(log_off)
    t.ok(tap.wait_for(lambda: g.live_connections() == 0, 20), "one that logged off before: it is "
         "over, whatever the node thinks")
    sock.close()
    c, sock = left(ask_on)
    sock.sendall(echo[0])
    t.same(c.sock.recv(1 << 16), echo[0],
           "one that logged off and asked for more gets its answer")
    sock.close()
    c.close()
    t.ok(tap.wait_for(lambda: g.live_connections() == 0, 20), "and it is over")
    t.same(g.closed_since(before), {"client_eof": 3}, "they all ended because the client did")
    t.same(g.stop(), 0, "goodbyes: smbgate ends with status 0")
    f.stop()


# -- hostile nodes
def on(cmd, make):
    def fn(p, m):
        if isinstance(m, smb2.Msg) and m.cmd == cmd and not getattr(p, "probe", False):
            return make(p, m)
        return None
    return fn


def hostile(t, nodes):
    """A node that answers garbage hurts its own clients only."""
    good = nodes[0]
    FN = fake.FakeNode
    bad = FN(t, "bad", "127.0.0.43").start()
    g = gate.Gate(t, [good, bad], health={"interval": "60s", "timeout": "1s", "rise": 1,
                                          "fall": 9}).start()
    for _ in range(100):
        w = Witness(g)
        if w.c.server_guid == good.server_guid:
            break
        w.c.close()
    # clients of the bad node are found by their GUID
    guids = []
    while len(guids) < 3:
        x = os.urandom(16)
        with smb2.Conn("127.0.0.1", g.port) as c:
            if c.negotiate([0x0302], guid=x).server_guid == bad.server_guid:
                guids.append(x)
    guid = guids[0]
    g.reload(interfaces={"lan": {"mode": "filter"}}, deny=["10.66.0.0/16"])
    one = fake.entry("10.66.0.1")

    def lst(raw, **kw):
        return lambda p, m: F(FN.ioctl_answer(m, raw, **kw))

    def answer(p, m):
        return bad.answer(p, m)

    ask = {
        "NEGOTIATE: noise": (smb2.NEGOTIATE, lambda p, m: F(os.urandom(200))),
        "NEGOTIATE: not even a frame": (smb2.NEGOTIATE, lambda p, m: b"HTTP/1.1 400 Bad\r\n\r\n"),
        "NEGOTIATE: short": (smb2.NEGOTIATE, lambda p, m: F(answer(p, m)[:80])),
        "NEGOTIATE: size 64": (smb2.NEGOTIATE, lambda p, m: F(put(answer(p, m), 64, "<H", 64))),
        "NEGOTIATE: blob past the end": (smb2.NEGOTIATE, lambda p, m: F(put(
            answer(p, m), 64 + 56, "<HH", 128, 60000))),
        "NEGOTIATE: dialect 0x02FF": (smb2.NEGOTIATE, lambda p, m: F(put(
            answer(p, m), 64 + 4, "<H", 0x02FF))),
        "NEGOTIATE: 65535 contexts": (smb2.NEGOTIATE, lambda p, m: F(put(put(
            answer(p, m), 64 + 4, "<HH", 0x0311, 65535), 64 + 60, "<I", 128))),
        "NEGOTIATE: another MessageId": (smb2.NEGOTIATE, lambda p, m: F(put(
            answer(p, m), 24, "<Q", 99))),
        "NEGOTIATE: a request comes back": (smb2.NEGOTIATE, lambda p, m: F(m.raw)),
        "NEGOTIATE: an SMB1 answer": (smb2.NEGOTIATE, lambda p, m: F(b"\xffSMBr" + bytes(40))),
        "NEGOTIATE: 16 MiB claimed": (smb2.NEGOTIATE, lambda p, m: claim(0xFFFFFF) + bytes(100)),
        "NEGOTIATE: type 0x83": (smb2.NEGOTIATE, lambda p, m: claim(1, 0x83) + b"\x82"),
        "NEGOTIATE: it closes": (smb2.NEGOTIATE, lambda p, m: fake.CLOSE),
        "logon: short": (smb2.SESSION_SETUP, lambda p, m: F(answer(p, m)[:66])),
        "logon: size 8": (smb2.SESSION_SETUP, lambda p, m: F(FN.reply(
            m, struct.pack("<HHHH", 8, 1, 72, 0)))),
        "logon: success twice": (smb2.SESSION_SETUP, lambda p, m: F(FN.reply(
            m, struct.pack("<HHHH", 9, 1, 72, 0), sid=5)) * 2),
        "logon: blob past the end": (smb2.SESSION_SETUP, lambda p, m: F(FN.reply(
            m, struct.pack("<HHHH", 9, 1, 72, 9999), sid=5))),
        "logon: NextCommand loops": (smb2.SESSION_SETUP, lambda p, m: F(put(
            answer(p, m) + bytes(200), 20, "<I", 8))),
        "logon: a compressed answer": (smb2.SESSION_SETUP, lambda p, m: F(b"\xfcSMB" + bytes(90))),
        "query: answered twice": (smb2.IOCTL, lambda p, m: F(FN.ioctl_answer(
            m, bad.ifaces)) * 2),
        "query: another's MessageId": (smb2.IOCTL, lambda p, m: F(put(FN.ioctl_answer(
            m, one), 24, "<Q", m.mid + 1000))),
        "list: cut": (smb2.IOCTL, lst(one[:100])),
        "list: one byte": (smb2.IOCTL, lst(b"\0")),
        "list: Next 8": (smb2.IOCTL, lst(put(one * 3, 0, "<I", 8))),
        "list: Next 151": (smb2.IOCTL, lst(put(one * 3, 0, "<I", 151))),
        "list: Next past the end": (smb2.IOCTL, lst(put(one * 3, 0, "<I", 152 * 3))),
        "list: Next huge": (smb2.IOCTL, lst(put(one * 3, 0, "<I", 0xFFFFFF68))),
        "list: OutputCount past the end": (smb2.IOCTL, lst(one, out_len=60000)),
        "list: OutputCount 4 GiB": (smb2.IOCTL, lst(one, out_len=0xFFFFFFFF)),
        "list: OutputOffset in the header": (smb2.IOCTL, lst(one, out_off=0)),
        "list: OutputOffset past the end": (smb2.IOCTL, lst(one, out_off=0xFFFFFFF0)),
        "list: another CtlCode": (smb2.IOCTL, lst(one, code=0x00060194)),
        "list: 400 entries": (smb2.IOCTL, lst(fake.iface_list([("10.66.1.1", 1, 1, 1)] * 400))),
        "list: 3000 entries": (smb2.IOCTL, lst(fake.iface_list([("10.66.1.1", 1, 1, 1)] * 3000))),
        "list: an unknown family": (smb2.IOCTL, lst(put(one, 24, "<H", 99))),
        "list: IPv4 told as IPv6": (smb2.IOCTL, lst(put(one, 24, "<H", 0x17))),
        "STATUS_PENDING twice": (smb2.IOCTL, lambda p, m: F(put(FN.error(
            m, smb2.PENDING), 16, "<I", 3)) * 2 + F(FN.ioctl_answer(m, one))),
    }
    for name, (cmd, make) in ask.items():
        bad.on_message = on(cmd, make)
        before = g.closes()
        out, leak = "answered", False
        c = smb2.Conn("127.0.0.1", g.port, timeout=3)
        try:
            c.negotiate([0x0302], guid=guid)
            s = c.guest()
            m = c.ifinfo_raw(s, 7)
            leak = m.status == 0 and b"\x0a\x42" in m.raw[112:]
            if m.status:
                out = "answered 0x%08X" % m.status
            c.echo(session=s)
        except (smb2.Closed, ConnectionError):
            out = "closed"
        except (smb2.Broken, smb2.Status, struct.error) as e:
            out = "told as it is (%s)" % type(e).__name__
        except TimeoutError:
            out = "waits"
        counted = g.wait_closed(before) if out == "closed" else {}
        t.ok(not leak, "node: %s: %s%s: no forbidden address comes out" % (
            name, out, " " + str(counted) if counted else ""))
        if out == "closed":
            t.ok(sum(counted.values()) >= 1, "node: %s: counted" % name)
        c.close()
        w.fine()
    bad.on_message = None
    # a node that floods
    bad.on_accept = None
    c = smb2.Conn("127.0.0.1", g.port, timeout=3)
    bad.on_message = on(smb2.ECHO, lambda p, m: b"".join(F(FN.reply(
        m, b"\4\0\0\0")) for _ in range(100000)))
    rss = g.rss_kb()
    try:
        c.negotiate([0x0302], guid=guid)
        s = c.guest()
        c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0", session=s))
        tap.wait_for(lambda: False, 1)
    except smb2.Closed:
        pass
    t.ok(g.rss_kb() - rss < 16384, "node: 7 MB of answers to a client that does not read: %d KiB"
         % (g.rss_kb() - rss))
    c.close()
    bad.on_message = None
    t.ok(w.fine(), "node: the witness on the good node goes on")
    t.ok(g.alive(), "node: smbgate lives")
    t.same(g.stop(), 0, "hostile node: smbgate ends with status 0")
    bad.stop()


def mute_node(t, nodes):
    """A node that takes the NEGOTIATE and says nothing."""
    mute = fake.FakeNode(t, "mute", "127.0.0.44").start()
    g = gate.Gate(t, [mute], health={"interval": "60s", "timeout": "1s", "rise": 1, "fall": 9},
                  limits={"first-frame": "500ms", "negotiate": "1s", "logon": "3s"}).start()
    mute.on_message = lambda p, m: b""
    before = g.closes()
    with smb2.Conn("127.0.0.1", g.port) as c:
        start, ran = time.monotonic(), t.ran()
        try:
            c.negotiate([0x0302])
            t.ok(False, "mute node: closed")
        except smb2.Closed:
            took = time.monotonic() - start
            t.ok(0.8 < took and t.ran() - ran < 5, "mute node: closed after %.1f s" % took)
    t.ok("negotiate_timeout" in g.closed_for("negotiate_timeout", before), "mute node: counted",
         g.closed_since(before))
    t.same(g.stop(), 0, "mute node: smbgate ends with status 0")
    mute.stop()


def knock(g, src):
    """A connection, or None where it was refused at once."""
    try:
        return smb2.Conn("127.0.0.1", g.port, src=src)
    except ConnectionError:
        return None


def crowd(t, nodes):
    """Rate and number of strangers per source; another source does not feel it."""
    g = gate.Gate(t, nodes, limits={"unauthenticated-per-source": 20, "unauthenticated": 60,
                                    "accept-rate": 100000, "accept-burst": 100000}).start()
    w = Witness(g)
    before = g.closes()

    def inside(cs):
        return sum(c is not None and c.is_open() for c in cs)

    hold = [knock(g, "127.0.9.1") for _ in range(30)]
    t.comes(lambda: inside(hold), 20, "strangers of one source: 20 of 30 stay")
    t.comes(lambda: g.closed_since(before).get("unauthenticated_source"), 10, "counted")
    with smb2.Conn("127.0.0.1", g.port, src="127.0.9.2") as c:
        c.negotiate([0x0302])
        t.ok(c.login().sid, "another source is served")
    more = [knock(g, "127.0.9.%d" % (3 + i // 15)) for i in range(60)]
    t.ok(tap.wait_for(lambda: g.closed_since(before).get("unauthenticated_limit", 0) > 0, 20),
         "strangers in all: counted", g.closed_since(before))
    t.ok(inside(hold + more) <= 60, "strangers in all: at most 60")
    t.ok(w.fine(), "who has logged on is not counted among them")
    for c in hold + more:
        if c:
            c.close()

    def fresh():
        try:
            c = smb2.Conn("127.0.0.1", g.port, src="127.0.9.1").negotiate([0x0302])
            return c.login()
        except (smb2.Closed, ConnectionError):
            return None
    t.ok(tap.wait_for(fresh, 20), "when they have gone, the source is served again")
    t.same(g.stop(), 0, "crowd: smbgate ends with status 0")

    g = gate.Gate(t, nodes, limits={"accept-rate": 20, "accept-burst": 20}).start()
    w = Witness(g)
    before, stats = g.closes(), g.stats()
    start = time.monotonic()
    hold = [knock(g, "127.0.9.1") for _ in range(60)]
    took = time.monotonic() - start
    for c in hold:
        try:
            if c:
                c.negotiate([0x0302])
        except (smb2.Closed, ConnectionError):
            c.close()
    slowed = g.stats()["accept_delayed"] - stats["accept_delayed"]
    refused = g.closed_since(before).get("accept_rate", 0)
    name = "rate: of 60 at once, %d are made to wait, %d refused" % (slowed, refused)
    if took < 1:
        t.ok(60 - 20 - 20 * took - 2 <= slowed + refused <= 41, name, "%.2f s" % took)
        t.ok(slowed >= 10, "rate: waiting comes before refusing")
    else:
        t.skip(name, "this machine is too slow now: %.1f s" % took)
    for c in hold:
        if c:
            c.close()
    stats = g.stats()
    with smb2.Conn("127.0.0.1", g.port, src="127.0.9.2") as c:
        c.negotiate([0x0302])
    t.same(g.stats()["accept_delayed"], stats["accept_delayed"],
           "rate: another source does not wait")
    t.ok(w.fine(), "rate: who is in goes on")
    t.same(g.stop(), 0, "rate: smbgate ends with status 0")


def descriptors(t, nodes):
    """Out of descriptors: no spinning, nothing lost, and it recovers."""
    n = 256
    g = gate.Gate(t, nodes, argv_prefix=["prlimit", "--nofile=%d:%d" % (n, n)]).start()
    w = Witness(g)
    hold = []
    for i in range(400):
        try:
            c = smb2.Conn("127.0.0.1", g.port, timeout=0.2)
            c.send_raw(neg(nego()))
            hold.append(c)
        except (smb2.Closed, OSError):
            pass
    cpu = g.cpu_seconds()
    start = time.monotonic()
    while time.monotonic() - start < 1.5:
        w.fine()
        time.sleep(0.1)
    used = (g.cpu_seconds() - cpu) / (time.monotonic() - start)
    t.ok(used < 0.3, "no descriptors left: %.0f %% of one CPU" % (used * 100))
    t.ok(g.fds() <= n, "descriptors: %d of %d" % (g.fds(), n))
    for c in hold:
        c.close()
    done = None

    def again():
        try:
            with smb2.Conn("127.0.0.1", g.port, timeout=10) as c:
                c.negotiate([0x0302])
                return c.login()
        except (smb2.Closed, OSError):
            return None
    done = tap.wait_for(again, 40)
    t.ok(done, "descriptors are back: served")
    s, k = g.stats(), g.closes()
    t.ok(s.get("accept_paused", 0) > 0 or k.get("no_files", 0) > 0,
         "counted: accepting paused %s times, closed for it: %s" % (s.get("accept_paused"),
                                                                   k.get("no_files")))
    t.ok(w.fine(), "the witness goes on")
    t.same(g.stop(), 0, "descriptors: smbgate ends with status 0")


def fuzz(t, g, w, seconds=8):
    """Mutated real conversations from several clients; the seed is printed."""

    seed = int.from_bytes(os.urandom(4), "big")
    t.diag("seed %d" % seed)
    rnd = random.Random(seed)
    where = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "frames")
    convs = []
    for f in sorted(os.listdir(where)):
        if f.endswith(".conv"):
            with open(os.path.join(where, f), "rb") as fh:
                b, off, out = fh.read(), 0, []
                while off < len(b):
                    d, n = struct.unpack_from("<BI", b, off)
                    if d == 0:
                        out.append(b[off + 5:off + 5 + n])
                    off += 5 + n
                convs.append(out)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        c = smb2.Conn("127.0.0.1", g.port, timeout=0.05)
        try:
            for fr in rnd.choice(convs)[:rnd.randint(1, 12)]:
                fr = bytearray(fr)
                for _ in range(rnd.choice([0, 0, 0, 1, 2, 8])):
                    fr[rnd.randrange(len(fr))] = rnd.choice([0, 1, 0x7F, 0x80, 0xFF,
                                                             rnd.randrange(256)])
                c.send_raw(bytes(fr))
                if rnd.random() < 0.7:
                    c.sock.recv(65536)
        except (smb2.Closed, OSError):
            pass
        c.close()
        count += 1
        if count % 50 == 0:
            w.fine()
    t.ok(g.alive() and w.fine(), "%d mutated conversations: smbgate and the witness live" % count)


def main(t):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    nodes = node.cluster(t, 1)
    controls(t, nodes[0])
    why = gate.missing()
    if why:
        t.bail(why)
    g = gate.Gate(t, nodes).start()
    w = Witness(g)
    before_negotiate(t, g, w)
    judged_by_the_node(t, g, nodes[0], w)
    after_logon(t, g, w)
    fuzz(t, g, w)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    for part in (time_limits, memory, slow_reader, last_bytes, goodbyes, hostile, mute_node, crowd,
                 descriptors):
        part(t, nodes)


with tap.Test(deadline=400) as test:
    main(test)
