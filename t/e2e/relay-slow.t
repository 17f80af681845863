#!/usr/bin/python3
# relay-slow.t: a node dies while a client still reads, slowly, what it has said: who waits for that
import os
import socket
import struct
import threading
import time

import fake
import gate
import several
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

READ, READS = 256 * 1024, 24
SIP, SLOWLY_S = 16384, 0.3


def dial(g, guid, slow=False):
    c = smb2.Conn("127.0.0.1", g.port, timeout=20)
    if slow:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.negotiate([0x0311], guid=guid)
    c.guest()
    return c


def place(g, guid):
    """The node that the client is given, or None."""
    try:
        with dial(g, guid) as c:
            return several.which(c)
    except smb2.Closed:
        return None


def flushing(g):
    return [x for c in g.clients() for x in c["connections_list"] if x["stage"] == "flush"]


class Slow(threading.Thread):
    """Reads a little all the time."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.n, self.over = c, 0, False
        self.start()

    def run(self):
        try:
            while not self.over:
                self.n += len(self.c.sock.recv(SIP))
                time.sleep(SLOWLY_S)
        except OSError as e:
            self.over = str(e)


def main(t):
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)) for i in (1, 2)]
    owed = []

    def says_much(p, m):
        if not isinstance(m, smb2.Msg) or m.cmd != smb2.ECHO:
            return None
        owed.append(p)
        return READS * smb2.frame(fake.FakeNode.reply(m, struct.pack(
            "<HBBIII", 17, 80, 0, READ, 0, 0) + bytes(READ)))
    for n in nodes:
        n.on_message = says_much
        n.start()
    g = gate.Gate(t, nodes).start()
    guid = os.urandom(16)
    c = dial(g, guid, slow=True)
    first = next(n for n in nodes if n.name == several.which(c))
    other = next(n for n in nodes if n is not first)
    c.send_frame(c.build(smb2.ECHO, struct.pack("<HH", 4, 0)))
    taken = [0]

    def stuck():
        """It has taken nothing for a while: smbgate has more for it than the kernel takes."""
        before, taken[0] = taken[0], g.stats()["bytes_to_client"]
        return owed and taken[0] == before > 2 * SIP
    tap.wait_for(stuck, 20, 0.5, message="nothing is kept for it")
    owed[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.stop()
    tap.wait_for(lambda: flushing(g), 10, message=lambda: g.clients())
    slow = Slow(c)
    # As long as it may take until the node is known to be down.
    t.comes(lambda: place(g, guid), other.name, "a node dies, and a client still reads what it had "
            "said, slowly: by another connection it comes to another node", 8)
    n = slow.n
    t.ok(tap.wait_for(lambda: slow.n > n + SIP, 10) and flushing(g) and not slow.over,
         "and reads on", slow.over, g.log()[-1000:])
    slow.over = True
    slow.join()
    c.close()
    t.comes(lambda: len(flushing(g)), 0, "which ends with the client")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=90) as test:
    main(test)
