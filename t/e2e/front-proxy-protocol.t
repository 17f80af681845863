#!/usr/bin/python3
# front-proxy-protocol.t: the PROXY protocol: whose header is believed, and every rule judged by it
import os
import random
import shutil
import socket
import struct
import time

import clients
import front
import gate
import node
import smb2
import tap

why = node.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

LISTED, ALSO_LISTED, UNLISTED = "127.0.9.1", "127.0.9.77", "127.0.8.1"
CLIENT, GOOD, FORBIDDEN = "192.0.2.5", "198.51.100.7", "198.51.100.9"
CLIENT6, GOOD6, FORBIDDEN6 = "2001:db8::5", "2001:db8:1::7", "2001:db8:1::9"
NOT_LISTED = {"bad_frame"}
BAD_HEADER = {"bad_proxy_header"}


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_crc(src, dst, sport, dport, wrong=0):
    h = front.v2(src, dst, sport, dport, b"\4\0\5noise" + b"\3\0\4" + bytes(4))
    return h[:-4] + struct.pack(">I", crc32c(h) ^ wrong)


class Front:
    """smbgate with a listener that believes LISTED peers, and one that believes nobody."""

    def __init__(self, t, nodes):
        self.port, self.port6 = node.free_port("0.0.0.0"), node.free_port("::1")
        self.old = node.free_port("0.0.0.0")
        self.g = gate.Gate(t, nodes, workers=1, conf="""\
listen "front" { address = "0.0.0.0:%d"
	proxy-protocol = { "127.0.9.0/24" } }
listen "front6" { address = "[::1]:%d"
	proxy-protocol = { "::1" } }
listen "old" { address = "0.0.0.0:%d"
	netbios = true
	proxy-protocol = { "127.0.9.0/24" } }
""" % (self.port, self.port6, self.old)).start()

    def open(self, header=b"", src=LISTED, to="127.0.0.1", port=None):
        if src and ":" in src:
            to, port, src = "::1", self.port6, None
        c = smb2.Conn(to, port or self.port, src=src)
        c.send_raw(header)
        return c

    def shown(self):
        """(client, local, listener) of every connection."""
        return [(c["client_address"], c["local_address"], c["listener"])
                for x in self.g.clients() for c in x["connections_list"]]


def at(addr, port):
    return "[%s]:%d" % (addr, port) if ":" in addr else "%s:%d" % (addr, port)


def serve(c):
    c.negotiate([0x0302])
    s = c.login()
    return s, c.tree(s, "IPC$")


def ends(t, f, c, before, reasons, what):
    t.same(c.recv_eof(), b"", what + ": hears nothing")
    t.same(front.reasons(f.g, before), reasons, what + ": closed and counted")
    c.close()


def believed(t, f):
    """Good headers from listed peers: the addresses in them are the connection's."""
    pairs = [("v1", front.v1, CLIENT, GOOD, CLIENT, GOOD), ("v1", front.v1, CLIENT6, GOOD6, CLIENT6,
             GOOD6), ("v2", front.v2, CLIENT, GOOD, CLIENT, GOOD),
             ("v2", front.v2, CLIENT6, GOOD6, CLIENT6, GOOD6),
             ("v2 with TLVs and a checksum", with_crc, CLIENT, GOOD, CLIENT, GOOD),
             ("v2 with TLVs and a checksum", with_crc, CLIENT6, GOOD6, CLIENT6, GOOD6),
             ("v1, mapped", front.v1, "::ffff:" + CLIENT, "::ffff:" + GOOD, CLIENT, GOOD),
             ("v2, mapped", front.v2, "::ffff:" + CLIENT, "::ffff:" + GOOD, CLIENT, GOOD)]
    for src in (LISTED, ALSO_LISTED, "::1"):
        for name, make, a, b, client, local in pairs:
            with f.open(make(a, b, 50123, 445), src) as c:
                s, tid = serve(c)
                what = "%s from %s for %s" % (name, src, a)
                t.comes(f.shown, [(at(client, 50123), at(local, 445),
                                   "front6" if ":" in src else "front")], what + ": shown")
                t.same([e.ip for e in c.ifinfo(s, tid)], [local], what + ": what it is told of")
    for name, header in {
            "v1 UNKNOWN": b"PROXY UNKNOWN\r\n",
            "v1 UNKNOWN with words": b"PROXY UNKNOWN 192.0.2.5 198.51.100.7 1 2\r\n",
            "v2 LOCAL": front.v2_raw(front.LOCAL, 0, b""),
            "v2 LOCAL with addresses": front.v2(CLIENT, GOOD, 1, 2, command=front.LOCAL),
            "v2 UNSPEC": front.v2_raw(front.PROXY, 0, b""),
            "v2 UNSPEC with noise": front.v2_raw(front.PROXY, 0, bytes(range(99)))}.items():
        with f.open(header) as c:
            s, tid = serve(c)
            me = "%s:%d" % c.sock.getsockname()
            t.comes(f.shown, [(me, "127.0.0.1:%d" % f.port, "front")], name + ": the socket's own")
            t.same([e.ip for e in c.ifinfo(s, tid)], ["127.0.0.1"], name + ": and told of it")
    with f.open(front.v2(CLIENT, GOOD, 50123, 139), port=f.old) as c:
        c.send_raw(front.KEEPALIVE + front.session_request(calling="BEHIND"))
        t.same(c._exactly(4), front.GRANTED, "in front of a NetBIOS session request")
        serve(c)
        t.comes(f.shown, [(at(CLIENT, 50123), at(GOOD, 139), "old")], "and shown")
    with f.open(src=UNLISTED) as c:
        serve(c)
        t.comes(lambda: [x[0] for x in f.shown()], ["%s:%d" % c.sock.getsockname()],
                "an unlisted peer needs none")


def dialled_a_node(t, f, n):
    """The proxy has intercepted a client that dialled the node: that is no loop."""
    for make in (front.v1, front.v2):
        with f.open(make(CLIENT, n.addr, 50123, n.port)) as c:
            c.negotiate([0x0302])
    t.ok("is not used" not in f.g.log() and f.g.stats()["no_node_held"] == 0,
         "the node's address in a header: it serves on", f.g.log()[-1000:])


def refused(t, f):
    good1, good2 = front.v1(CLIENT, GOOD, 50123, 445), front.v2(CLIENT, GOOD, 50123, 445)
    nego = smb2.frame(smb2.header(smb2.NEGOTIATE, 0) + smb2.negotiate_body([0x0302], bytes(16)))
    for name, header in {"v1": good1, "v2": good2}.items():
        before = f.g.closes()
        ends(t, f, f.open(header + nego, UNLISTED), before, NOT_LISTED, "unlisted, " + name)
        before = f.g.closes()
        ends(t, f, f.open(header + nego, LISTED, port=f.g.port), before, NOT_LISTED,
             "a listener without proxies, " + name)
        before = f.g.closes()
        ends(t, f, f.open(header + header + nego), before, NOT_LISTED, "twice, " + name)
        before = f.g.closes()
        c = f.open(front.session_request() + header, UNLISTED, port=f.old)
        t.same(c.recv_eof(), front.GRANTED,
               "behind a session request, %s: no more than that" % name)
        t.same(front.reasons(f.g, before), NOT_LISTED, "behind a session request, " + name)
    for name, data in {
            "SMB without a header": nego,
            "a session request without a header": front.session_request(),
            "a keepalive in front": front.KEEPALIVE + good2,
            "empty lines": b"\r\n\r\n\r\n",
            "v1 without CR": good1.replace(b"\r", b""),
            "v1, too long": b"PROXY UNKNOWN " + b"x" * 200,
            "v1, UDP": good1.replace(b"TCP", b"UDP"),
            "v1, another family's address": front.v1(CLIENT, GOOD, 1, 2).replace(b"TCP4", b"TCP6"),
            "v1, a port too many": good1.replace(b"\r", b" 7\r"),
            "v1, a port too large": front.v1(CLIENT, GOOD, 65536, 445),
            "v2, version 1": good2.replace(b"\x21\x11", b"\x11\x11"),
            "v2, a command that there is not": good2.replace(b"\x21\x11", b"\x22\x11"),
            "v2, UDP": good2.replace(b"\x21\x11", b"\x21\x12"),
            "v2, Unix": front.v2_raw(front.PROXY, 0x31, bytes(216)),
            "v2, too short": front.v2_raw(front.PROXY, 0x11, bytes(11)),
            "v2, half a TLV": front.v2(CLIENT, GOOD, 1, 2, b"\4\0\5no"),
            "v2, 4 KiB and more": front.v2_raw(front.PROXY, 0x11, b"", length=4081),
            "v2, a wrong checksum": with_crc(CLIENT, GOOD, 1, 2, wrong=1)}.items():
        before = f.g.closes()
        ends(t, f, f.open(data), before, BAD_HEADER, name)
    t.same(f.g.live_connections(), 0, "no node has been troubled")


def cuts(t, f, seed):
    rand = random.Random(seed)
    for i in range(60):
        c = f.open()
        header = rand.choice((front.v1, front.v2, with_crc))(CLIENT, GOOD, 1000 + i, 445)
        data = header + smb2.frame(c.build(smb2.NEGOTIATE, smb2.negotiate_body(
            [0x0302], os.urandom(16)), charge=0))
        pos = 0
        while pos < len(data):
            n = 1 if i < 3 else len(data) if i < 6 else rand.choice((1, 2, 5, 12, 16, 28, 60, 200))
            c.send_raw(data[pos:pos + n])
            pos += n
        m, = c.recv()
        local = [x for x in f.shown() if x[0] == at(CLIENT, 1000 + i)]
        if m.status or m.cmd != smb2.NEGOTIATE or not local:
            t.ok(False, "cut %d" % i, m, local)
        c.close()
    t.ok(True, "60 headers and NEGOTIATEs in random cuts, SEED=%d" % seed)
    f.g.reload(limits={"first-frame": "500ms"})
    for name, part in {"nothing": b"", "half of v1": b"PROXY TCP4 1", "half of v2":
                       front.v2(CLIENT, GOOD, 1, 2)[:20], "a header alone":
                       front.v2(CLIENT, GOOD, 1, 2)}.items():
        before, start, ran = f.g.closes(), time.monotonic(), t.ran()
        ends(t, f, f.open(part), before, {"first_frame_timeout"}, name + ", and no more")
        t.ok(0.4 < time.monotonic() - start and t.ran() - ran < 5, name + ": in time")
    f.g.reload(limits=None)


def rules(t, f):
    """A bind is judged by the address in the header, and so is what is announced."""
    f.g.reload(deny=[FORBIDDEN, FORBIDDEN6], interfaces={"front": {"mode": "announce", "list": [
        (GOOD, {"speed": "10G"}), (FORBIDDEN, {}), (GOOD6, {})]}})
    for make, client, good, forbidden in ((front.v1, CLIENT, GOOD, FORBIDDEN),
                                          (front.v2, CLIENT6, GOOD6, FORBIDDEN6)):
        what = make.__name__ + ", " + good
        a = f.open(make(client, good, 1, 445))
        s, tid = serve(a)
        t.same(sorted(e.ip for e in a.ifinfo(s, tid)), sorted([GOOD, GOOD6]),
               what + ": the list without what is forbidden")
        b = f.open(make(client, good, 2, 445))
        b.negotiate([0x0302], guid=a.guid)
        b.login(bind=s)
        t.ok(True, what + ": a bind by way of it")
        c = f.open(make(client, forbidden, 3, 445))
        c.negotiate([0x0302], guid=a.guid)
        m = c.login(bind=s, allow=(smb2.REQUEST_NOT_ACCEPTED,))
        t.same(getattr(m, "status", 0), smb2.REQUEST_NOT_ACCEPTED,
               what + ": a bind by way of %s is refused" % forbidden)
        a.echo(session=s)
        for x in (a, b, c):
            x.close()
    f.g.reload(deny=None, interfaces=None)


def nego_frame(c):
    return smb2.frame(c.build(smb2.NEGOTIATE, smb2.negotiate_body([0x0302], os.urandom(16)),
                              charge=0))


def per_source(t, f, what, opened):
    """opened(client, n): a connection of that client.  Three without a logon, no more."""
    before = f.g.closes()
    mine = [opened(CLIENT, i).negotiate([0x0302]) for i in range(3)]
    t.ok(_opens(opened, CLIENT) is None, what + ": a fourth of one client is closed")
    t.same(front.reasons(f.g, before), {"unauthenticated_source"}, what + ": and counted")
    other = [opened("192.0.2.%d" % (100 + i), i).negotiate([0x0302]) for i in range(10)]
    t.ok(True, what + ": ten of others")
    mine[0].login()
    again = opened(CLIENT, 4).negotiate([0x0302])
    t.ok(True, what + ": who has logged on is a stranger no more")
    mine.pop().close()
    back = tap.wait_for(lambda: _opens(opened, CLIENT), 20)
    t.ok(back, what + ": and who has gone makes room")
    for x in mine + other + [again, back]:
        x.close()


def _opens(opened, client):
    """A connection that is served, or None."""
    try:
        return opened(client, 9).negotiate([0x0302])
    except (smb2.Closed, ConnectionError):
        return None


def limits(t, f):
    f.g.reload(limits={"unauthenticated_per_source": 3})
    # the control: the same, where the client is the peer
    loop = {CLIENT: UNLISTED}
    per_source(t, f, "no proxy", lambda a, i: f.open(
        src=loop.setdefault(a, "127.0.7." + a.rsplit(".")[-1])))
    settled(f)
    per_source(t, f, "behind a proxy", lambda a, i: f.open(front.v2(a, GOOD, 100 + i, 445)))
    settled(f)
    quiet = [f.open() for _ in range(12)]
    with f.open(front.v2(CLIENT, GOOD, 1, 445)) as c:
        c.negotiate([0x0302])
    settled(f)
    t.ok(all(c.is_open() for c in quiet), "a proxy may have more connections than a client")
    for c in quiet:
        c.send_raw(front.v1(CLIENT, GOOD, 2, 445))
    t.ok(tap.wait_for(lambda: sum(not c.is_open() for c in quiet) == 9, 20),
         "twelve of them turn out to be one client's: nine are closed",
         sum(not c.is_open() for c in quiet))
    for c in quiet:
        c.close()
    settled(f)
    # a source is one, whichever way it comes
    direct = [f.open(src=UNLISTED).negotiate([0x0302]) for _ in range(3)]
    before = f.g.closes()
    ends(t, f, f.open(front.v2(UNLISTED, GOOD, 1, 445)), before, {"unauthenticated_source"},
         "one that is known from elsewhere")
    for c in direct:
        c.close()
    settled(f)
    f.g.reload(limits={"accept_rate": 4, "accept_burst": 1})
    late = [f.open() for _ in range(4)]
    said = [front.v2(CLIENT, GOOD, i, 445) + nego_frame(c) for i, c in enumerate(late)]
    before, start, ran = f.g.stats()["accept_delayed"], time.monotonic(), t.ran()
    # They come when their headers do, and these at once.
    for c, data in zip(late, said):
        c.send_raw(data)
    delayed = (lambda: f.g.stats()["accept_delayed"] - before)
    t.ok(tap.wait_for(lambda: delayed() == 2, 20), "accept rate: two of four have to wait",
         delayed())
    with f.open(front.v2("192.0.2.99", GOOD, 1, 445)) as c:
        c.negotiate([0x0302])
        t.same(delayed(), 2, "accept rate: another client does not")
    t.ok(all(c.recv()[0].cmd == smb2.NEGOTIATE for c in late), "accept rate: all are served")
    took = time.monotonic() - start
    t.ok(0.4 < took and t.ran() - ran < 5, "accept rate: the last of four after %.2f s" % took)
    before = f.g.closes()
    more = [f.open(front.v2(CLIENT, GOOD, 10 + i, 445)) for i in range(10)]
    t.ok(tap.wait_for(lambda: "accept_rate" in f.g.closed_since(before), 20),
         "accept rate: far above it some are closed", f.g.closed_since(before))
    for c in late + more:
        c.close()
    f.g.reload(limits=None)


def settled(f):
    tap.wait_for(lambda: f.g.stats()["unauthenticated"] == 0, 20,
                 message=lambda: "strangers are left: %r" % f.g.stats())


HAPROXY = """\
global
	stats socket {dir}/admin
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	source 127.0.9.1
{proxies}
"""


def haproxy(t, f, n):
    """A proxy that others wrote, with a real client in front of it."""
    if shutil.which("haproxy") is None:
        t.skip("haproxy in front", "no haproxy")
        return
    ways = {"v1": "send-proxy", "v2": "send-proxy-v2", "v2 with a checksum":
            "send-proxy-v2 proxy-v2-options crc32c,unique-id", "v2 with checks":
            "send-proxy-v2 check check-send-proxy inter 100"}
    where, text, d = {}, "", node.tempdir(t)
    for i, (name, option) in enumerate(ways.items()):
        for addr in ("127.0.0.1", "::1"):
            port = node.free_port(addr)
            where[name, addr] = port
            text += "listen l%d%s\n\tbind %s\n\tunique-id-format %%pid-%%rt\n" \
                "\tserver s 127.0.0.1:%d %s\n" % (i, "" if ":" in addr else "v4", at(addr, port),
                                                 f.port, option)
    with open(d + "/haproxy.cfg", "w") as out:
        out.write(HAPROXY.format(dir=d, proxies=text))
    err = open(d + "/err", "wb")
    p = t.spawn(["haproxy", "-db", "-f", d + "/haproxy.cfg"], stderr=err, stdout=err)
    t.defer(t.kill_group, p)

    def listens():
        for (_, addr), port in where.items():
            with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET) as s:
                if s.connect_ex((addr, port)):
                    return False
        return True
    tap.wait_for(listens, 60, message=lambda: "haproxy: " + open(d + "/err").read())
    for (name, addr), port in where.items():
        what = "haproxy, %s, %s" % (name, addr)
        with smb2.Conn(addr, port) as c:
            serve(c)
            t.ok((at(*c.sock.getsockname()[:2]), at(addr, port), "front") in f.shown(),
                 what + ": the client and what it dialled", f.shown())
        if ":" not in addr:
            src = node.tempdir(t)
            with open(src + "/sent", "wb") as out:
                out.write(os.urandom(3 << 20))
            r = clients.smbclient(addr, port, "put sent; get sent back; del sent", cwd=src)
            t.ok(r.returncode == 0 and open(src + "/sent", "rb").read() ==
                 open(src + "/back", "rb").read(), what + ": smbclient copies", r.stdout[-800:])
    t.ok(tap.wait_for(lambda: f.g.stats()["proxy_headers"] > 40, 60),
         "haproxy's own checks come with LOCAL headers", f.g.stats()["proxy_headers"])
    t.ok("bad_proxy_header" not in f.g.closed_since(t.before), "none of its headers is refused",
         f.g.closed_since(t.before))


def main(t):
    n = node.Node(node.Lab(t), "n1", "127.0.0.11").start()
    seed = int(os.environ.get("SEED", time.time_ns() & 0xFFFFFFFF))
    with smb2.Conn(n.addr, n.port) as c:
        s, tid = serve(c)
        t.same([e.ip for e in c.ifinfo(s, tid)], [n.addr], "direct: a client without a header")
    for name, header in {"v1": front.v1(CLIENT, GOOD, 1, 445), "v2":
                         front.v2(CLIENT, GOOD, 1, 445)}.items():
        with smb2.Conn(n.addr, n.port) as c:
            c.send_raw(header)
            try:
                c.sock.settimeout(2)
                c.negotiate([0x0302])
                t.ok(False, "direct: smbd knows no header, " + name)
            except (smb2.Closed, smb2.Broken, OSError):
                t.ok(True, "direct: smbd knows no header, " + name)
    why = gate.missing()
    if why:
        t.bail(why)
    f = Front(t, [n])
    believed(t, f)
    dialled_a_node(t, f, n)
    f.g.wait_connections(0)
    refused(t, f)
    cuts(t, f, seed)
    rules(t, f)
    limits(t, f)
    settled(f)
    t.before = f.g.closes()
    haproxy(t, f, n)
    t.same(f.g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=200) as test:
    main(test)
