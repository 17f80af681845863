# oracle.py: clients that write numbered blocks, and remember which of them were acknowledged
"""A Writer has a session of its own, and one file.  Each block is written at its own place, and
flushed; only then it counts as acknowledged.  After an error the client comes back, as a mount
does, and writes the same block again.  What was acknowledged has to be in the file in the end."""

import os
import socket
import struct
import threading
import time

import smb2

BLOCK = 64
TROUBLE = (OSError, smb2.Closed, smb2.Broken, smb2.Status)
WAITS_S = 10        # for an answer, as a client that has given up on its server
TCP_REPAIR = 19


def block(name, number):
    return ("%s %012d " % (name, number)).encode().ljust(BLOCK - 1, b".") + b"\n"


class Writer(threading.Thread):
    """where() is asked at each coming: (address, port).  login: what smb2.Conn.login() takes."""

    def __init__(self, name, where, dialect=0x0311, pause=0.02, **login):
        super().__init__(daemon=True)
        self.name, self.where, self.dialect, self.login = name, where, dialect, login
        self.pause = pause
        self.file = "o-%s-%s" % (name, os.urandom(4).hex())
        self.guid = os.urandom(16)
        self.over, self.lock = threading.Event(), threading.Lock()
        self.awake, self.vanishing = threading.Event(), threading.Event()
        self.awake.set()
        self.acked, self.lost_link, self.notes = 0, 0, []
        self.last, self.longest = time.monotonic(), 0.0
        self.node = None        # where it is, by the server's GUID
        self.conn = None

    # -- for the test's thread
    def longest_gap(self):
        """The longest time between two acknowledgements since this was asked last."""
        with self.lock:
            longest = max(self.longest, time.monotonic() - self.last)
            self.longest = 0.0
            return longest

    def sleep(self):
        """It takes no answer, until wake()."""
        self.awake.clear()

    def wake(self):
        self.awake.set()

    def vanish(self):
        """It is gone without a word to anybody, and comes back."""
        self.vanishing.set()

    def end(self):
        self.over.set()
        self.awake.set()
        self.join(WAITS_S * 3)
        return self

    def wrong(self, folder):
        """What the file has of the acknowledged blocks that it should not, or None."""
        with open(os.path.join(folder, self.file), "rb") as f:
            data = f.read()
        for i in range(self.acked):
            got = data[i * BLOCK:(i + 1) * BLOCK]
            if got != block(self.name, i):
                return "block %d of %d of %s: %r" % (i, self.acked, self.name, got)
        if len(data) > (self.acked + 1) * BLOCK:
            return "%d blocks behind the last of %s" % (len(data) // BLOCK - self.acked, self.name)
        return None

    # -- its own thread
    def _come(self):
        self.conn = smb2.Conn(*self.where(), timeout=WAITS_S)
        self.conn.negotiate([self.dialect], guid=self.guid)
        self.node = self.conn.server_guid.rstrip(b"\0").decode()
        self.s = self.conn.login(**self.login)
        self.tid = self.conn.tree(self.s)
        self.fid = self.conn.create(self.s, self.tid, self.file)

    def _write(self):
        self.conn.write(self.s, self.tid, self.fid, self.acked * BLOCK,
                        block(self.name, self.acked))
        body = struct.pack("<HHI", 24, 0, 0) + self.fid
        m = self.conn.build(smb2.FLUSH, body, session=self.s, tid=self.tid)
        if self.s.seal:
            self.conn.send_sealed(m, self.s)
        else:
            self.conn.send_frame(m)
        self.awake.wait()
        self.conn.check(self.conn.answers([smb2.Msg(m).mid])[0], "flush")
        with self.lock:
            now = time.monotonic()
            self.acked += 1
            self.longest, self.last = max(self.longest, now - self.last), now

    def _leave(self):
        if self.conn:
            try:
                self.conn.close()
            except OSError:
                pass
        self.conn = None

    def run(self):
        while not self.over.is_set():
            try:
                if self.vanishing.is_set() and self.conn is not None:
                    self.vanishing.clear()
                    # Closed then, it is without FIN or RST.
                    self.conn.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
                    self._leave()
                if self.conn is None:
                    self._come()
                self._write()
                self.over.wait(self.pause)
            except TROUBLE as e:
                if self.conn is not None and self.conn.sessions:
                    self.lost_link += 1
                    self.notes.append("%s at block %d: %r" % (self.name, self.acked, e))
                self._leave()
                self.over.wait(0.05)
        self._leave()
