#!/usr/bin/python3
# front-netbios.t: clients of port 139: session requests, keepalives, long frames, bad names
import hashlib
import io
import os
import random
import subprocess
import sys
import time

import clients
import front
import gate
import node
import smb2
import tap

why = node.missing() or clients.missing("smbclient")
if why is None and subprocess.run(["unshare", "-n", "true"]).returncode:
    why = "no network namespaces here"
if why:
    tap.skip_all(why)
# Port 139 is what makes clients, and smbd, speak NetBIOS: a network of our own has it free.
if "SMBGATE_TEST_NETNS" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

GATE = "127.0.0.50"
BIG = 64 << 20
MODES = [("NT1", ["-m", "NT1", "--option=client min protocol=NT1"]),
         ("SMB2_10", ["-m", "SMB2_10"]),
         ("SMB3_11", ["-m", "SMB3_11", "--option=client min protocol=SMB3_11"])]
ASK = front.session_request()


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for b in iter(lambda: f.read(1 << 20), b""):
            h.update(b)
    return h.hexdigest()


def copies(t, label, addr, src, want, nodes, args):
    """64 MiB to the node and back."""
    back = os.path.join(src, "back.bin")
    for p in [back] + [n.data("big.bin") for n in nodes]:
        if os.path.exists(p):
            os.unlink(p)
    r = clients.smbclient(addr, 139, ["put big.bin", "get big.bin back.bin"], *args, cwd=src)
    t.ok(r.returncode == 0, label + ": smbclient puts and gets", r.stdout[-800:])
    got = [digest(n.data("big.bin")) for n in nodes if os.path.exists(n.data("big.bin"))]
    t.same(got, [want], label + ": identical on the node")
    t.ok(os.path.exists(back) and digest(back) == want, label + ": identical when back")


def ask(addr, request=ASK, port=139):
    """A connection that has sent a session request."""
    c = smb2.Conn(addr, port)
    c.send_raw(request)
    return c


def granted(t, addr, what):
    c = ask(addr)
    t.same(c._exactly(4), front.GRANTED, what + ": granted")
    return c


def works(c, dialects=(0x0302,)):
    c.negotiate(list(dialects))
    s = c.login()
    c.tree(s)
    c.echo(session=s)
    return s


def closed(t, g, c, before, want, reasons, what):
    """The peer said this and closed, for one of these reasons."""
    t.same(c.recv_eof().hex(), want.hex(), what + ": what it hears")
    t.same(front.reasons(g, before), reasons, what + ": closed and counted")
    c.close()


def names():
    body = front.encoded("NAS") + front.encoded("RAWCLIENT", 0)

    def put(at, byte):
        return body[:at] + bytes([byte]) + body[at + 1:]

    unspecified, called, calling = 0x8F, 0x82, 0x81
    return {
        "a length of 0": (front.session_request(trailer=b""), unspecified),
        "a length of 67": (front.session_request(trailer=body[:67]), unspecified),
        "a length of 511": (front.session_request(trailer=body + bytes(443)), unspecified),
        "a byte too many": (front.session_request(trailer=body + b"\0"), unspecified),
        "reserved flags": (front.session_request(trailer=body, flags=0x80), unspecified),
        "the extension flag": (front.session_request(trailer=body, flags=1), unspecified),
        "a short called name": (front.session_request(trailer=put(0, 31)), called),
        "small letters": (front.session_request(trailer=put(1, ord("e"))), called),
        "a letter beyond P": (front.session_request(trailer=put(32, ord("Q"))), called),
        "a pointer": (front.session_request(trailer=put(33, 0xC0)), called),
        "a long calling name": (front.session_request(trailer=put(34, 33)), calling),
        "a NUL in the calling name": (front.session_request(trailer=put(36, 0)), calling),
        "an open calling name": (front.session_request(trailer=put(67, 1)), calling),
        "noise": (front.session_request(trailer=bytes(68)), called),
    }


def bad(t, g):
    for what, (data, code) in names().items():
        before = g.closes()
        c = ask(GATE, data)
        closed(t, g, c, before, b"\x83\0\0\1" + bytes([code]), {"bad_session_request"}, what)
    before = g.closes()
    c = granted(t, GATE, "a first request")
    c.send_raw(ASK)
    closed(t, g, c, before, b"\x83\0\0\1\x8f", {"bad_sequence"}, "a second one")
    before = g.closes()
    c = granted(t, GATE, "a request before SMB")
    works(c)
    c.send_raw(ASK)
    closed(t, g, c, before, b"", {"bad_frame"}, "one after SMB has begun")
    before = g.closes()
    c = granted(t, GATE, "a request before a multi-protocol opening")
    c.multi_negotiate()
    c.send_raw(ASK)
    closed(t, g, c, before, b"", {"bad_frame"}, "one between the two NEGOTIATEs")
    for what, data in {"a positive answer": front.GRANTED, "a negative one": b"\x83\0\0\1\x8f",
                       "a retarget": b"\x84\0\0\6" + bytes(6), "a keepalive with a body":
                       b"\x85\0\0\1x", "type 1": b"\1\0\0\x44" + bytes(68)}.items():
        before = g.closes()
        closed(t, g, ask(GATE, data), before, b"", {"bad_frame"}, what)
    for what, data in {"a session request": ASK, "a keepalive": front.KEEPALIVE}.items():
        before = g.closes()
        closed(t, g, ask(GATE, data, 446), before, b"", {"bad_frame"},
               what + " on a listener with netbios = false")
    before = g.closes()
    with granted(t, GATE, "before a long frame") as c:
        c.send_raw(b"\0\1\xff\xff\xfeSMB")
        closed(t, g, c, before, b"", {"long_frame"}, "a first frame of 17 bits of length")


def keepalives(t, relay):
    """At any place between frames; the node hears of none."""
    for dialects, multi in (((0x0202,), None), ((0x0302,), True), ((0x0311,), None)):
        what = "keepalives, 0x%04x" % dialects[0]
        with smb2.Conn(GATE, 139) as c:
            c.send_raw(front.KEEPALIVE + ASK + 3 * front.KEEPALIVE)
            t.same(c._exactly(4), front.GRANTED, what + ": around the session request")
            if multi:
                c.multi_negotiate()
                c.send_raw(front.KEEPALIVE)
            c.negotiate(list(dialects))
            c.send_raw(front.KEEPALIVE[:3])
            c.send_raw(front.KEEPALIVE[3:] + front.KEEPALIVE)
            s = c.login()
            tid = c.tree(s)
            fid = c.create(s, tid, "keepalive", disp=5)
            for i in range(50):
                c.send_raw(front.KEEPALIVE)
                c.write(s, tid, fid, i, bytes([i]))
                c.send_raw(front.KEEPALIVE * (i % 4))
            t.same(c.read(s, tid, fid, 0, 99), bytes(range(50)), what + ": 50 writes among them")
            relay.say(front.KEEPALIVE)
            t.same(c._exactly(4), front.KEEPALIVE, what + ": the node's goes to the client")
            c.echo(session=s)
    t.same(relay.kinds("c2s"), [], "the node has been sent messages alone")


def cuts(t, seed):
    """The same bytes in any cut."""
    rand = random.Random(seed)
    for i in range(40):
        with smb2.Conn(GATE, 139) as c:
            guid = os.urandom(16)
            body = smb2.negotiate_body([0x0302], guid)
            data = front.KEEPALIVE * rand.randrange(3) + ASK + front.KEEPALIVE * rand.randrange(3) \
                + smb2.frame(c.build(smb2.NEGOTIATE, body, charge=0))
            at = 0
            while at < len(data):
                n = 1 if i == 0 else rand.choice((1, 2, 3, 4, 5, 37, 72, 200))
                c.send_raw(data[at:at + n])
                at += n
            if c._exactly(4) != front.GRANTED:
                t.ok(False, "cut %d: granted" % i)
            m, = c.recv()
            if m.status or m.cmd != smb2.NEGOTIATE:
                t.ok(False, "cut %d: NEGOTIATE is answered" % i, m)
    t.ok(True, "40 openings in random cuts, SEED=%d" % seed)


def long_frames(t, relay, g):
    """A node that is spoken to by direct TCP offers 8 MiB, and who takes it at its word lives."""
    with granted(t, GATE, "long frames") as c:
        c.negotiate([0x0311])
        t.ok(c.caps & 4 and c.max_write >= 1 << 20, "the node's offer has not been changed")
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "long", disp=5)
        while c.credits < 64:
            c.echo(session=s)
        data = os.urandom(1 << 20)
        c.write(s, tid, fid, 0, data)
        t.ok(c.read(s, tid, fid, 0, 1 << 20) == data, "a WRITE and a READ of 1 MiB")
    t.ok(relay.longest["c2s"] > 1 << 20 and relay.longest["s2c"] > 1 << 20,
         "in one frame each, longer than 17 bits say", relay.longest)


def too_late(t, g):
    """Keepalives and a session request buy no time."""
    g.reload(limits={"first-frame": "700ms"})
    for what, begin in {"keepalives alone": b"", "a session request and keepalives": ASK}.items():
        before, start, ran = g.closes(), time.monotonic(), t.ran()
        c = smb2.Conn(GATE, 139)
        c.send_raw(begin)
        try:
            while t.ran() - ran < 5:
                c.send_raw(front.KEEPALIVE)
                time.sleep(0.05)    # the pace of a client, not a wait for something
                if not c.is_open() and not begin:
                    break
        except smb2.Closed:
            pass
        took = time.monotonic() - start
        t.ok(0.6 < took and t.ran() - ran < 5, what + ": over after %.2f s" % took)
        t.same(front.reasons(g, before), {"first_frame_timeout"}, what + ": counted")
        c.close()
    g.reload(limits=None)


def connections(g):
    return [c for x in g.clients() for c in x["connections_list"]]


def impacket(t, addr, label, g=None):
    from impacket import smbconnection
    for name, dialect in (("its own choice", None), ("SMB1", smbconnection.SMB_DIALECT),
                          ("2.1", 0x0210), ("3.0", 0x0300)):
        c = smbconnection.SMBConnection("NAS", addr, myName="IMPACKET", sess_port=139,
                                        preferredDialect=dialect, timeout=10)
        c.login("alice", "Alice-pw-1")
        data, out = os.urandom(300000), []
        c.putFile("data", "impacket", io.BytesIO(data).read)
        c.getFile("data", "impacket", out.append)
        t.ok(b"".join(out) == data, "%s: impacket, %s: 300 kB there and back" % (label, name))
        if g:
            t.ok("IMPACKET" in [x["netbios_name"] for x in connections(g)],
                 "%s: impacket, %s: shown by its NetBIOS name" % (label, name))
        c.logoff()
        c.close()


def main(t):
    front.own_network()
    seed = int(os.environ.get("SEED", time.time_ns() & 0xFFFFFFFF))
    lab = node.Lab(t)
    nbt = node.Node(lab, "n1", "127.0.0.11", port=139).start()
    real = node.Node(lab, "n2", "127.0.0.12", port=445).start()
    src = node.tempdir(t)
    with open(src + "/big.bin", "wb") as f:
        f.write(os.urandom(BIG))
    want = digest(src + "/big.bin")

    # what smbd itself does on port 139
    for name, args in MODES:
        copies(t, "direct, " + name, nbt.addr, src, want, [nbt], args)
    with granted(t, nbt.addr, "direct") as c:
        works(c)
    with granted(t, nbt.addr, "direct, a second request") as c:
        c.send_raw(ASK)
        t.same(c.recv_eof(), b"", "direct: a second request ends the connection")
    with ask(nbt.addr, front.KEEPALIVE + ASK + front.KEEPALIVE) as c:
        t.same(c._exactly(4), front.GRANTED, "direct: keepalives around the request")
        works(c)
    impacket(t, nbt.addr, "direct")
    why = gate.missing()
    if why:
        t.bail(why)

    relay = front.Relay(t, real, "127.0.0.13", 445)
    g = gate.Gate(t, [relay], listen={"lan": GATE + ":445"}, smb1="allow",
                  conf='listen "old" { address = "%s"\n netbios = true }\n' % GATE
                  + 'listen "bare" { address = "%s:446"\n netbios = false }\n' % GATE).start()
    for name, args in MODES:
        copies(t, "through, " + name, GATE, src, want, [real], args)
    t.ok(relay.longest["c2s"] > 0x1FFFF and relay.longest["s2c"] > 0x1FFFF,
         "smbclient sends and takes more than 17 bits of length on port 139", relay.longest)
    t.same(relay.kinds("c2s"), [], "the node has heard no NetBIOS")
    with granted(t, GATE, "through") as c:
        works(c)
        t.ok([x for x in connections(g) if x["netbios_name"] == "RAWCLIENT"
              and x["listener"] == "old"], "shown by its NetBIOS name", connections(g))
    with smb2.Conn(GATE, 139) as c:
        works(c)
        t.ok(True, "SMB without a session request is served")
    with smb2.Conn(GATE, 445) as c:
        works(c)
        t.same([x["netbios_name"] for x in connections(g) if x["listener"] == "lan"], [None],
               "no NetBIOS name on the other listener")
    impacket(t, GATE, "through", g)
    long_frames(t, relay, g)
    keepalives(t, relay)
    cuts(t, seed)
    bad(t, g)
    too_late(t, g)
    with granted(t, GATE, "after all that") as c:
        works(c)
    t.ok(g.stats()["netbios_sessions"] > 10, "sessions are counted: %d"
         % g.stats()["netbios_sessions"])
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=200) as test:
    main(test)
