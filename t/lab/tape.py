# tape.py: recorded conversations (.conv, see record.py), played again with smbgate between the ends
"""A Tape is a conversation; a Reel is the node that speaks its part; play() is the client.  Both go
through the tape in its order, each waiting for what the other has to say first, and compare every
frame that arrives with the recorded one."""

import os
import socket
import struct
import threading

import fake
import smb2

SESSION_REQUEST, KEEPALIVE = 0x81, 0x85


def smb1(frame):
    return frame[4:8] == b"\xffSMB"


def parts(frame):
    """The SMB2 messages of a frame; none where it is something else."""
    return smb2.split(frame[4:]) if frame[4:8] == b"\xfeSMB" else []


class Tape:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-len(".conv")]
        self.netbios = False
        self.records = []
        with open(path, "rb") as f:
            data = f.read()
        while data:
            way, n = struct.unpack_from("<BI", data)
            self.records.append((way, data[5:5 + n]))
            data = data[5 + n:]
        first = self.records[0][1]
        # smbgate grants NetBIOS sessions itself: the node sees none of that.
        self.front = 2 if first[0] == SESSION_REQUEST else 0
        self.netbios = bool(self.front)
        self.begin = self.records[self.front][1]
        # An SMB1 NEGOTIATE that leads to another one: smbgate answers it, and says it again.
        self.multi = smb1(self.begin) and any(
            way == 0 and m.cmd == smb2.NEGOTIATE for way, b in self.records for m in parts(b))

    def messages(self, way):
        return [m for w, b in self.records if w == way for m in parts(b)]

    def sessions(self):
        """Ids of the sessions that are alive when the tape ends, as its answers tell."""
        asked = {m.mid: m for m in self.messages(0)}
        alive = []
        for m in self.messages(1):
            if m.status == smb2.OK and m.cmd == smb2.SESSION_SETUP and m.sid not in alive:
                alive.append(m.sid)
            q = asked.get(m.mid)
            if m.status == smb2.OK and q is not None and q.cmd == smb2.LOGOFF and m.sid in alive:
                alive.remove(m.sid)
        return alive

    def queries(self):
        """{MessageId: query} of interface queries."""
        return {m.mid: m for m in self.messages(0) if m.cmd == smb2.IOCTL
                and struct.unpack_from("<I", m.body, 4)[0] == smb2.IFINFO}


class Short(Exception):
    """A connection ended, or said nothing more, in the middle of a tape."""


def read_frame(s):
    def exactly(n):
        got = b""
        while len(got) < n:
            try:
                some = s.recv(n - len(got))
            except socket.timeout:
                raise Short("nothing more comes") from None
            except OSError as e:
                raise Short(e.strerror) from None
            if not some:
                raise Short("closed")
            got += some
        return got

    head = exactly(4)
    return head + exactly(int.from_bytes(head[1:4], "big"))


def send_cut(s, data, cut):
    """cut: None, or a function that says how many bytes come next."""
    pos = 0
    while pos < len(data):
        n = cut(len(data) - pos) if cut else len(data)
        s.sendall(data[pos:pos + n])
        pos += n


class Reel(fake.FakeNode):
    """Plays tape[direction 1] to whoever begins as the tape does; all others are probes, which a
    FakeNode answers.  difference(want, got): bytes to answer with at once, None if got is as good
    as what was recorded, or raises."""

    def __init__(self, t, **kw):
        super().__init__(t, **kw)
        self.tape, self.cut, self.faults = None, None, []
        self.accepted = lambda want, got: None if want == got else self._differs(want, got)

    @staticmethod
    def _differs(want, got):
        raise Short("got %s..., recorded is %s..." % (got[:90].hex(), want[:90].hex()))

    def load(self, tape, cut=None):
        self.tape, self.cut, self.faults = tape, cut, []

    def _run(self):
        self.listener.setblocking(True)
        self.listener.settimeout(0.2)
        while not self.over:
            try:
                s, _ = self.listener.accept()
            except (TimeoutError, OSError):
                continue
            self.accepts += 1
            threading.Thread(target=self._serve_one, args=(s, self.accepts), daemon=True).start()
        self.listener.close()

    def _serve_one(self, s, number):
        tape = self.tape
        with s:
            s.settimeout(30)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                got = read_frame(s)
                if tape is None or got != tape.begin:
                    self._probed(s, number, got)
                    return
            except (Short, OSError):
                return
            try:
                self._play(s, tape, got)
            except (Short, OSError) as e:
                self.faults.append("node: %s" % e)
                return
            try:
                s.recv(1)
            except OSError:
                pass

    def _probed(self, s, number, got):
        peer = fake.Peer(s, number)
        while True:
            s.sendall(self._frame(peer, got[4:]))
            got = read_frame(s)

    def _play(self, s, tape, got):
        for i, (way, want) in enumerate(tape.records[tape.front:]):
            if want[0] == KEEPALIVE:
                continue
            try:
                if way:
                    send_cut(s, want, self.cut)
                    continue
                got = got or read_frame(s)
                answer = self.accepted(want, got)
                got = None
                if answer:
                    s.sendall(answer)
            except Short as e:
                raise Short("record %d: %s" % (i + tape.front, e)) from None


def play(where, tape, cut=None, before_end=None):
    """The client's part; returns [(recorded, arrived)] of the frames that were not the same."""
    changed = []
    with socket.create_connection(where, timeout=30) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i, (way, want) in enumerate(tape.records):
            try:
                if not way:
                    send_cut(s, want, cut)
                    continue
                got = read_frame(s)
            except Short as e:
                raise Short("record %d: %s" % (i, e)) from None
            except OSError as e:
                raise Short("record %d: %s" % (i, e.strerror)) from None
            if got != want:
                changed.append((want, got))
        if before_end:
            before_end(s)
    return changed
