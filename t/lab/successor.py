# successor.py: a successor by hand: what smbgate --takeover says to the smbgate that runs
import os
import select
import socket
import struct

HELLO, REFUSE, SOCKET, END, PATH, READY = range(1, 7)
COMMIT, COMMITTED, ABORT, STAYS, STATE, ORDER = range(8, 14)


def tlv(**kw):
    kinds = {"kind": 1, "protocol": 2, "pid": 4, "serial": 1, "why": 2, "number": 9, "piece": 17}
    out = b""
    for k, v in kw.items():
        v = v if isinstance(v, bytes) else v.encode() if isinstance(v, str) else \
            struct.pack("<I", v)
        out += struct.pack("<HI", kinds[k], len(v)) + v
    return out


def fields(raw):
    out = {}
    while raw:
        kind, n = struct.unpack_from("<HI", raw)
        out[kind] = raw[6:6 + n]
        raw = raw[6 + n:]
    return out


class Peer:
    """A successor that says what it is told to."""

    def __init__(self, g):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(30)
        self.s.connect(g.control + ".takeover")
        self.ways = []

    def say(self, fds=(), **kw):
        socket.send_fds(self.s, [tlv(**kw)], fds)

    def hear(self, want):
        """The packets up to one of that kind, or the end."""
        got = []
        while True:
            raw, fds, _, _ = socket.recv_fds(self.s, 65536, 4)
            for fd in fds:
                os.close(fd)
            if not raw:
                return got
            got.append(fields(raw)[1][0])
            if got[-1] == want:
                return got

    def greet(self, protocol=2):
        self.say(kind=HELLO, protocol=protocol, pid=os.getpid())
        return self.hear(END if protocol == 2 else REFUSE)

    def ready(self, ways=2):
        for _ in range(ways):
            a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            a.settimeout(30)
            self.say([b.fileno()], kind=PATH)
            b.close()
            self.ways.append(a)
        self.say(kind=READY)

    def offer(self):
        """Of whichever worker has a connection: (serial, descriptors, way)."""
        way = select.select(self.ways, [], [], 30)[0][0]
        raw, fds, _, _ = socket.recv_fds(way, 1 << 20, 4)
        return fields(raw[:7])[1][0], fds, way

    def close(self):
        for x in [self.s] + self.ways:
            x.close()
