# fake.py: a scripted SMB2 node that counts, and that can misbehave
"""A FakeNode answers like a server without files: NEGOTIATE (also multi-protocol), SESSION_SETUP
(everybody is a guest, unless guests=False), TREE_CONNECT, ECHO, LOGOFF and the interface query.
on_message may take any message over: it gets (peer, Msg) and returns bytes to send (whole frames),
None for the usual answer, or CLOSE.  It runs in a thread of its own."""

import os
import selectors
import socket
import struct
import threading

import node
import smb2

CLOSE = object()


def challenge():
    info = struct.pack("<HH", 2, 6) + "NAS".encode("utf-16-le") + bytes(4)
    name = "NAS".encode("utf-16-le")
    return b"NTLMSSP\0" + struct.pack("<IHHI", 2, len(name), len(name), 56) \
        + struct.pack("<I", 0xE28A8215) + os.urandom(8) + bytes(8) \
        + struct.pack("<HHI", len(info), len(info), 56 + len(name)) + bytes(8) + name + info


def entry(ip, speed=10 ** 9, caps=1, index=1, last=True):
    if ":" in ip:
        sa = struct.pack("<HHI", 0x17, 0, 0) + socket.inet_pton(socket.AF_INET6, ip)
    else:
        sa = struct.pack("<HH", 2, 0) + socket.inet_aton(ip)
    return struct.pack("<IIIIQ", 0 if last else 152, index, caps, 0, speed) + sa.ljust(128, b"\0")


def iface_list(items):
    """items: (ip, speed, caps, index)."""
    return b"".join(entry(*i, last=k + 1 == len(items)) for k, i in enumerate(items))


class Peer:
    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.buf, self.out = b"", b""
        self.guid, self.dialect = None, 0
        self.nsid = 0
        self.got = []           # commands seen
        self.last = False       # close when everything has been sent


class FakeNode:
    def __init__(self, t, name="f1", addr="127.0.0.41", port=None, guid=None, interfaces=None,
                 on_message=None, on_accept=None, guests=True):
        self.t, self.name, self.addr = t, name, addr
        self.port = port or node.free_port(addr)
        self.server_guid = (guid or name.encode()).ljust(16, b"\0")
        self.ifaces = iface_list([(addr, 10 ** 9, 1, 1)]) if interfaces is None else interfaces
        self.on_message, self.on_accept = on_message, on_accept
        self.guests = guests
        self.accepts = 0
        self.guids = {}         # ClientGuid -> number of connections
        self.commands = []      # every command seen, with its ClientGuid
        self.peers = {}
        self.listener = None
        self.thread = None

    @property
    def endpoint(self):
        return "%s:%d" % (self.addr, self.port)

    def start(self):
        self.listener = socket.create_server((self.addr, self.port), backlog=1024)
        self.listener.setblocking(False)
        self.wake_r, self.wake_w = os.pipe()
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.t.defer(self.stop)
        return self

    def stop(self):
        if self.thread:
            self.over = True
            os.write(self.wake_w, b"x")
            self.thread.join(5)
            os.close(self.wake_r)
            os.close(self.wake_w)
            self.thread = None

    def live(self):
        return len(self.peers)

    def _run(self):
        self.sel = sel = selectors.DefaultSelector()
        sel.register(self.listener, selectors.EVENT_READ, None)
        sel.register(self.wake_r, selectors.EVENT_READ, "wake")
        while not self.over:
            for key, mask in sel.select(1):
                if key.data == "wake":
                    continue
                if key.data is None:
                    try:
                        s, _ = self.listener.accept()
                    except OSError:
                        continue
                    self.accepts += 1
                    p = Peer(s, self.accepts)
                    self.peers[s] = p
                    s.setblocking(False)
                    sel.register(s, selectors.EVENT_READ, p)
                    if self.on_accept:
                        self._push(p, self.on_accept(p))
                    continue
                self._serve(key.data, mask)
        for s in list(self.peers):
            s.close()
        self.listener.close()
        sel.close()

    def _drop(self, p):
        if p.sock in self.peers:
            del self.peers[p.sock]
            self.sel.unregister(p.sock)
            p.sock.close()

    def _serve(self, p, mask):
        try:
            if mask & selectors.EVENT_READ:
                got = p.sock.recv(1 << 20)
                if not got:
                    if not p.last:
                        self._drop(p)
                    return
                p.buf += got
                while len(p.buf) >= 4:
                    n = 4 + int.from_bytes(p.buf[1:4], "big")
                    if len(p.buf) < n:
                        break
                    payload, p.buf = p.buf[4:n], p.buf[n:]
                    self._push(p, self._frame(p, payload))
                    if p.sock not in self.peers:
                        return
            if p.out:
                self._flush(p)
        except OSError:
            self._drop(p)

    def _flush(self, p):
        try:
            n = p.sock.send(p.out)
            p.out = p.out[n:]
        except BlockingIOError:
            pass
        if p.last and not p.out:
            self._drop(p)
            return
        self.sel.modify(p.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if p.out else 0), p)

    def _push(self, p, data):
        if data is CLOSE:
            self._drop(p)
        elif data:
            p.out += data
            self._flush(p)

    def _frame(self, p, payload):
        if payload[:4] == b"\xffSMB":
            p.got.append("smb1")
            if self.on_message:
                out = self.on_message(p, payload)
                if out is not None:
                    return out
            if b"SMB 2.???" in payload:
                return smb2.frame(self.negotiate_answer(0, 0x02FF))
            p.dialect = 0x0202
            return smb2.frame(self.negotiate_answer(0, 0x0202))
        parts = []
        for m in smb2.split(payload):
            p.got.append(m.cmd)
            if m.cmd == smb2.NEGOTIATE:
                p.guid = m.body[12:28]
                self.guids[p.guid] = self.guids.get(p.guid, 0) + 1
            self.commands.append((m.cmd, p.guid))
            out = self.on_message(p, m) if self.on_message else None
            if out is not None:
                return out
            parts.append(self.answer(p, m))
        out = b""
        for i, a in enumerate(parts):
            if i + 1 < len(parts):
                a += bytes(-len(a) % 8)
                a = a[:20] + struct.pack("<I", len(a)) + a[24:]
            out += a
        return smb2.frame(out) if out else b""

    # -- answers
    @staticmethod
    def reply(m, body, status=0, sid=None, tid=None, credits=None):
        return smb2.header(m.cmd, m.mid, m.sid if sid is None else sid,
                           m.tid if tid is None else tid, smb2.RESPONSE,
                           max(m.credits, 1) if credits is None else credits, max(m.charge, 1), 0,
                           m.pid, status) + body

    @classmethod
    def error(cls, m, status):
        return cls.reply(m, struct.pack("<HHI", 9, 0, 0) + b"\0", status)

    def negotiate_answer(self, mid, dialect, m=None, contexts=b"", count=0):
        blob = b""
        off = 128
        body = struct.pack("<HHHH", 65, 1, dialect, count) + self.server_guid \
            + struct.pack("<IIII", 0x7F if dialect >= 0x0300 else 1, 1 << 20, 1 << 20, 1 << 20) \
            + bytes(16) + struct.pack("<HHI", off, len(blob), off if contexts else 0) + contexts
        m = m or smb2.Msg(smb2.header(smb2.NEGOTIATE, mid))
        return self.reply(m, body, credits=8)

    def answer(self, p, m):
        if m.cmd == smb2.NEGOTIATE:
            n, = struct.unpack_from("<H", m.body, 2)
            offered = struct.unpack_from("<%dH" % n, m.body, 36)
            p.dialect = max(offered)
            ctx, count = b"", 0
            if p.dialect == 0x0311:
                ctx = struct.pack("<HHIHHH", 1, 38, 0, 1, 32, 1) + os.urandom(32)
                count = 1
            return self.negotiate_answer(m.mid, p.dialect, m, ctx, count)
        if m.cmd == smb2.SESSION_SETUP:
            o, n = struct.unpack_from("<HH", m.body, 12)
            blob = m.raw[o:o + n]
            if blob[8:12] == b"\1\0\0\0":
                p.nsid += 1
                out = challenge()
                return self.reply(m, struct.pack("<HHHH", 9, 0, 72, len(out)) + out,
                                  smb2.MORE_PROCESSING, sid=m.sid or p.number * 65536 + p.nsid)
            return self.reply(m, struct.pack("<HHHH", 9, int(self.guests), 72, 0))
        if m.cmd == smb2.TREE_CONNECT:
            return self.reply(m, struct.pack("<HBBIII", 16, 2, 0, 0, 0, 0x1F01FF), tid=7)
        if m.cmd == smb2.ECHO:
            return self.reply(m, struct.pack("<HH", 4, 0))
        if m.cmd in (smb2.LOGOFF, smb2.TREE_DISCONNECT):
            return self.reply(m, struct.pack("<HH", 4, 0))
        if m.cmd == smb2.IOCTL:
            return self.ioctl_answer(m, self.ifaces)
        if m.cmd == smb2.CANCEL:
            return b""
        return self.error(m, smb2.NOT_SUPPORTED)

    @classmethod
    def ioctl_answer(cls, m, out, out_off=112, out_len=None, code=None):
        code = struct.unpack_from("<I", m.body, 4)[0] if code is None else code
        return cls.reply(m, struct.pack("<HHI", 49, 0, code) + b"\xff" * 16
                         + struct.pack("<IIIIII", 112, 0, out_off,
                                       len(out) if out_len is None else out_len, 0, 0) + out)
