# flock.py: clients of scripted nodes that come back, and what the nodes see of them
"""Every client comes back as soon as it has been ended, as mounts do, and the nodes watch: whenever
one gets a NEGOTIATE, no other one may have a live connection of that client."""
import os
import socket
import struct
import threading
import time

import fake
import several
import smb2

HANDS, SECONDS = 8, 60
ESTABLISHED = 1


class Watch:
    """Of all nodes: who lives where, as the kernel has it."""

    def __init__(self):
        self.nodes, self.twice, self.seen = [], [], 0

    def met(self, mine, peer, m):
        if not isinstance(m, smb2.Msg) or m.cmd != smb2.NEGOTIATE:
            return
        self.seen += 1
        for n in self.nodes:
            for p in list(n.peers.values()):
                # Who is here may have gone since, and be back there: this thread may be late. So
                # the other one first: both are alive in the moment in which that one is.
                if n is not mine and p.guid == peer.guid and self.lives(p.sock) and \
                   self.lives(peer.sock):
                    self.twice.append("%s: %s has it" % (mine.name, n.name))

    @staticmethod
    def lives(sock):
        try:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
        except OSError:
            return False

    def node(self, t, name, addr):
        n = fake.FakeNode(t, name, addr)
        n.on_message = lambda p, m: self.met(n, p, m)
        self.nodes.append(n)
        return n.start()


class Pc:
    def __init__(self, gates):
        self.guid, self.gates, self.turn = os.urandom(16), gates, 0
        self.conn = self.node = self.at = None
        self.ends = 0

    def come(self):
        """Through one proxy and then the other, until one takes it."""
        end = time.monotonic() + SECONDS
        while True:
            g = self.at = self.gates[self.turn % len(self.gates)]
            self.turn += 1
            try:
                c = smb2.Conn("127.0.0.1", g.port, timeout=SECONDS)
                c.negotiate([0x0311], guid=self.guid)
                c.guest()
                break
            except (OSError, smb2.Closed):
                c.close()
                if time.monotonic() > end:
                    raise
        self.conn, self.node = c, several.which(c)
        return self

    def look(self):
        """Comes back if it has been ended."""
        if self.conn.is_open():
            return
        self.ends += 1
        self.conn.close()
        self.come()

    def name(self):
        a, b, c = struct.unpack("<IHH", self.guid[:8])
        return "%08x-%04x-%04x-%s-%s" % (a, b, c, self.guid[8:10].hex(), self.guid[10:].hex())


def at_once(items, f):
    """f of each, by several hands; what they raised."""
    rest, said = list(items), []

    def hand():
        while rest:
            try:
                f(rest.pop())
            except IndexError:
                return
            except Exception as e:      # noqa: BLE001: it is the test's result
                said.append(repr(e))
    threads = [threading.Thread(target=hand) for _ in range(HANDS)]
    for th in threads:
        th.start()
    for th in threads:
        th.join(SECONDS)
    return said


def order(g, cmd, n, **kw):
    return g.ask(dict(cmd=cmd, node=n.name, **kw))
