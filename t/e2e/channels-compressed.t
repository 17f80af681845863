#!/usr/bin/python3
# channels-compressed.t: on a connection with compression, what is compressed is seen like the rest
"""The node is a fake one: Samba never chooses compression."""

import os
import struct
import threading

import fake
import gate
import smb2
import tap

FORBIDDEN = "10.99.99.99"
HERE, NOT_HERE = "127.0.0.1", "127.0.0.9"
CROWD, QUERIES = 8, 90


def lz77(data):
    return b"".join(bytes(4) + data[at:at + 32] for at in range(0, len(data), 32))


def compressed(m, chained, clear=0):
    """[MS-SMB2] 2.2.42: all but its first bytes, as LZ77 that finds nothing to save."""
    packed = lz77(m[clear:])
    if not chained:
        return b"\xfcSMB" + struct.pack("<IHHI", len(m) - clear, 2, 0, clear) + m[:clear] + packed
    return (b"\xfcSMB" + struct.pack("<IHHI", len(m), 0, 1, clear) + m[:clear] +
            struct.pack("<HHII", 2, 0, len(packed) + 4, len(m) - clear) + packed)


def uncompressed(p):
    size, _, flags, clear = struct.unpack_from("<IHHI", p, 4)
    if flags:
        size -= clear
    at = 16 + clear + (12 if flags else 0)
    rest = p[at:]
    return p[16:16 + clear] + b"".join(rest[i + 4:i + 36] for i in range(0, len(rest), 36))[:size]


class Compressor(fake.FakeNode):
    """Compresses the answers to queries; knows what compressed() makes."""
    unread = 0

    def _frame(self, p, payload):
        if payload[:4] == b"\xfcSMB":
            payload = uncompressed(payload)
            if payload[:4] != b"\xfeSMB":
                self.unread += 1
                return fake.CLOSE
        return super()._frame(p, payload)


def on_message(p, m):
    if isinstance(m, bytes):
        return None
    if m.cmd == smb2.NEGOTIATE:
        p.dialect = 0x0311
        ctx = struct.pack("<HHIHHH", 1, 38, 0, 1, 32, 1) + os.urandom(32) + bytes(2)
        ctx += struct.pack("<HHIHHIH", 3, 10, 0, 1, 0, 1, 2)
        return smb2.frame(node.negotiate_answer(m.mid, 0x0311, m, ctx, 2))
    if m.cmd == smb2.SESSION_SETUP and m.sid == 0x9999:
        bound.append(m)
    if m.cmd == smb2.IOCTL:
        return smb2.frame(compressed(node.ioctl_answer(m, node.ifaces), m.mid & 1, m.mid % 3 * 40))
    return None


def ask(c, s, how):
    """A query, sent compressed or not; (was the answer compressed?, the addresses in it)."""
    c.credits = 64
    m = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, sign=False)
    c.send_frame(m if how == 0 else compressed(m, how == 2, 0))
    p = c.recv_frame()
    packed = p[:4] == b"\xfcSMB"
    return packed, [i.ip for i in smb2.ifinfo_of(smb2.Msg(uncompressed(p) if packed else p))]


def connect(port, addr=HERE):
    c = smb2.Conn(addr, port).negotiate([0x0311])
    return c, c.login("x", "y", sign=False)


def bystanders(t, g):
    """Many queries at once, while another client sends what nobody can read."""
    told, wrong = [], []

    def client(how):
        try:
            c, s = connect(g.port)
            for _ in range(QUERIES):
                told.append(ask(c, s, how))
            c.echo(session=s)
            c.close()
        except Exception as e:
            wrong.append(repr(e))
    threads = [threading.Thread(target=client, args=(i % 3,)) for i in range(CROWD)]
    for x in threads:
        x.start()
    for i in range(5):
        c, s = connect(g.port)
        c.send_frame(b"\xfcSMB" + struct.pack("<IHHI", 200, 3, 0, 0) + bytes(80))
        c.recv_eof()
    t.ok(tap.wait_for(lambda: g.closes().get("compression") == 5, 20),
         "what cannot be read ends its connection, with a reason of its own")
    for x in threads:
        x.join()
    t.same(wrong[:3], [], "%d clients with %d queries each meanwhile: none was cut" %
           (CROWD, QUERIES))
    t.same(told, [(False, [HERE])] * (CROWD * QUERIES), "each was told the dialled address alone")


with tap.Test(60) as t:
    bound = []
    node = Compressor(t, interfaces=fake.iface_list([(FORBIDDEN, 10 ** 10, 1, 7)]),
                      on_message=on_message).start()
    c, s = connect(node.port, node.addr)
    t.same(ask(c, s, 1), (True, [FORBIDDEN]), "directly: a compressed list, with the address")
    c.close()
    g = gate.Gate(t, [node], deny=[NOT_HERE]).start()
    bystanders(t, g)

    for chained in False, True:
        c, s = connect(g.port, NOT_HERE)
        m = c.build(smb2.SESSION_SETUP, struct.pack("<HBBIIHHQ", 25, 1, 1, 0, 0, 88, 4, 0) +
                    b"none", sid=0x9999)
        c.send_frame(compressed(m, chained))
        t.same(c.recv()[0].status, 0xC00000D0,
               "a compressed bind to a forbidden address is refused")
        c.echo(session=s)
        c.close()
    t.same(bound, [], "and does not reach the node")

    # What concerns nobody passes as it is.
    c, s = connect(g.port)
    before = g.stats()["held"]
    for chained in False, True:
        c.send_frame(compressed(c.build(smb2.ECHO, struct.pack("<HH", 4, 0), session=s), chained))
        t.same(c.recv()[0].status, 0, "a compressed ECHO is answered")
    t.same(g.stats()["held"], before, "without being held")
    c.close()

    g.reload(compression="pass")
    c, s = connect(g.port)
    c.send_frame(b"\xfcSMB" + struct.pack("<IHHI", 200, 3, 0, 0) + bytes(80))
    c.recv_eof()
    t.same(node.unread, 1, "compression = pass: what cannot be read reaches the node")
