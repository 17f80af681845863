# keyd.py: smbgate-keyd itself, started as its guard does it, and asked as a worker asks it
"""The messages are those of auth/keymsg.h.  This is what somebody could do who has taken over a
worker: say anything, as fast as he likes."""
import ctypes
import os
import socket
import struct
import subprocess

import gate
import node

PROGRAM = os.path.join(gate.build_dir(), "keyd/smbgate-keyd")
HELLO, AP_REQ, AP_REP, CHALLENGE, AUTH, FORGET, KEY, FAIL = range(1, 9)
COUNTS = ("asked", "keys", "other_service", "old", "again", "no_reply", "slowed")


def stolen(pid):
    """The worker's end of its socket to smbgate-keyd, of a smbgate with one worker; or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd, ends = libc.syscall(434, pid, 0), []
    for n in sorted(map(int, os.listdir("/proc/%d/fd" % pid))):
        fd = libc.syscall(438, pidfd, n, 0)
        if fd < 0:
            continue
        try:
            s = socket.socket(fileno=fd)
            if s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET:
                ends.append(s)
        except OSError:
            os.close(fd)
    os.close(pidfd)
    # The first is the guard's, which was there before.
    return ends[1] if len(ends) == 2 else None


class Answer:
    def __init__(self, raw):
        self.type, mutual, n, text, self.id = struct.unpack_from("<BBIHQ", raw)
        self.mutual, self.key = bool(mutual), raw[16:16 + n].hex()
        self.text = raw[16 + n:16 + n + text].decode()

    def __repr__(self):
        return "%s %s%s" % ("key" if self.type == KEY else "no key",
                            "mutual, " if self.mutual else "", self.text)

    def __eq__(self, other):
        return (self.type, self.key, self.text) == other

    __hash__ = None


class Keyd:
    """One smbgate-keyd with this keytab, and the sockets of its workers."""

    def __init__(self, t, keytab, *args, workers=1):
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                 for _ in range(workers + 1)]
        self.err = os.path.join(node.tempdir(t), "stderr")
        self.guard, *self.workers = [ours for ours, _ in pairs]
        theirs = [their.fileno() for _, their in pairs]
        # The shell has descriptors of one digit only: these are moved there.
        script = " ".join("%d<&%d" % (3 + i, fd) for i, fd in enumerate(theirs))
        with open(self.err, "ab") as err:
            self.proc = t.spawn(
                ["bash", "-c", "exec %s %s -n %d %s" % (PROGRAM, script, workers, " ".join(args))],
                pass_fds=theirs, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        t.defer(self.stop)
        for _, their in pairs:
            their.close()
        for s in (self.guard, *self.workers):
            s.settimeout(60)
        self.id = 0
        self.give(keytab)
        while self.guard.recv(200)[:1] != b"S":
            pass
        for i in range(workers):
            assert self.answer(i).type == HELLO

    def give(self, keytab):
        with open(keytab, "rb") as f:
            socket.send_fds(self.guard, [b"F"], [f.fileno()])

    def send(self, kind, token, number=None, worker=0):
        """A message of the hex token; its exchange's number is a new one, if none is said."""
        if number is None:
            self.id += 1
            number = self.id
        data = bytes.fromhex(token)
        self.workers[worker].send(struct.pack("<BBIHQ", kind, 0, len(data), 0, number) + data)
        return number

    def answer(self, worker=0):
        return Answer(self.workers[worker].recv(2000))

    def ap(self, k, reply=True, worker=0):
        """A Kerberos logon: the last answer to it.  Without the reply it is forgotten."""
        number = self.send(AP_REQ, k["ap_req"], worker=worker)
        a = self.answer(worker)
        if a.type == KEY and a.mutual and reply:
            self.send(AP_REP, k["ap_rep"], number, worker)
            a = self.answer(worker)
        elif a.type == KEY and a.mutual:
            self.send(FORGET, "", number, worker)
        return a

    def ntlm(self, challenge, auth, worker=0):
        number = self.send(CHALLENGE, challenge, worker=worker)
        self.send(AUTH, auth, number, worker)
        return self.answer(worker)

    def counts(self):
        """What it has counted, as it tells its guard."""
        self.guard.send(b"P")
        while True:
            p = self.guard.recv(200)
            if p[:1] == b"W":
                self.guard.send(b"E")
            if p[:1] == b"O":
                return dict(zip(COUNTS, struct.unpack("<%dQ" % len(COUNTS), p[1:])))

    def log(self):
        with open(self.err, errors="replace") as f:
            return f.read()

    def stop(self):
        self.guard.close()
        return self.proc.wait(10)
