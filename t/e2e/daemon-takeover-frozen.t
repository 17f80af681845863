#!/usr/bin/python3
# daemon-takeover-frozen.t: one side of an upgrade stands still, or is stopped: one of them serves
"""The successor is made by hand: it says what smbgate --takeover says, and reads what it is told
when it is time.  SIGSTOP holds the smbgate that runs."""
import json
import os
import signal
import socket
import threading
import time

import gate
import node
import smb2
import tap
from successor import ABORT, COMMIT, COMMITTED, END, ORDER, STAYS, Peer

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

ON = "this process serves on"


class Guest:
    """It has not logged on: it stays in the old process."""

    def __init__(self, g):
        self.c = smb2.Conn("127.0.0.1", g.port, timeout=30)
        self.c.negotiate([0x0302], guid=os.urandom(16))

    def works(self):
        try:
            self.c.tree(self.c.login(sign=True))
            return True
        except (smb2.Closed, OSError):
            return False

    def gone(self, seconds=30):
        return tap.wait_for(lambda: not self.c.is_open(), seconds)

    def close(self):
        self.c.close()


def much_to_tell(g):
    """Refusals, more than a socket takes in: each is of another address, and says SMB1 alone."""
    for i in range(1024):
        with smb2.Conn("127.0.0.1", g.port, src="127.77.%d.%d" % (i // 250, 1 + i % 250)) as c:
            c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
            c.recv_eof()
    if len(g.show("refusals")["refusals"]) < 1000:
        raise RuntimeError("they are not refused: %s" % g.show("refusals"))


def passes(seconds):
    """It is what the others do within that time that is looked at."""
    end = time.monotonic() + seconds
    tap.wait_for(lambda: time.monotonic() > end, seconds + 5)


def hears(p, **kw):
    """Whether what the successor says can reach anybody."""
    try:
        p.say(**kw)
        return True
    except OSError:
        return False


def serves(t, g, what):
    c = Guest(g)
    t.ok(c.works(), what, g.log()[-2000:])
    c.close()


def greeted(g):
    p = Peer(g)
    if p.greet()[-1] != END:
        raise RuntimeError("no takeover: " + g.log()[-2000:])
    p.ready()
    return p


def committing(g):
    p = greeted(g)
    if p.hear(COMMIT)[-1:] != [COMMIT]:
        raise RuntimeError("no COMMIT: " + g.log()[-2000:])
    return p


def unread(t, g):
    """The successor reads nothing once it is ready, and there is more than the socket takes."""
    much_to_tell(g)
    before = g.log().count(ON)
    p = greeted(g)
    t.comes(lambda: g.log().count(ON) > before, True, "it reads nothing: the old one serves on",
            seconds=40)
    serves(t, g, "and does so")
    t.same(p.hear(ABORT)[-1:], [ABORT], "and that is the last that it is told")
    t.ok(not hears(p, kind=COMMITTED), "nobody hears that it would serve")
    p.close()


def trickles(t, g):
    """The successor reads a packet now and then, each of which is in time."""
    before, over = g.log().count(ON), threading.Event()
    p = greeted(g)

    def read():
        while not over.wait(0.3):
            raw, fds, _, _ = socket.recv_fds(p.s, 65536, 4)
            for fd in fds:
                os.close(fd)
            if not raw:
                return
    reader = threading.Thread(target=read)
    reader.start()
    t.comes(lambda: g.log().count(ON) > before, True, "it reads too slowly: the old one serves on",
            seconds=30)
    over.set()
    reader.join(60)
    serves(t, g, "and does so")
    p.close()


def overdue(t, g):
    """The successor has all, and says nothing."""
    before = g.log().count(ON)
    guest, p = Guest(g), committing(g)
    for args in (("kill", "127.0.0.1", "--force"), ("move", "127.0.0.1", "n1", "--force"),
                 ("drain", "n1", "--force"), ("undrain", "n1"), ("log-level", "debug")):
        r = g.ctl_run(*args)
        t.ok(r.returncode == 1 and "taking over" in r.stderr and guest.c.is_open(),
             "%s amid a takeover: nothing is done, which is said" % args[0], r.stdout, r.stderr)
    t.comes(lambda: g.log().count(ON) > before, True, "it says nothing: the old one serves on",
            seconds=40)
    t.ok(not hears(p, kind=COMMITTED), "nobody hears that it would serve")
    t.same(p.hear(ABORT), [ABORT], "it is told so")
    p.close()
    serves(t, g, "the old one serves")
    guest.close()


def ask(g):
    """A connection to the control socket, accepted; what is said there comes later."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(g.control)
    g.stats()                   # whoever came later has its answer
    return s


def order(p, request):
    raw = json.dumps(request).encode()
    return hears(p, kind=ORDER, number=len(raw), piece=raw.ljust(384, b"\0"))


def goes_on(t, g, p, guest, what):
    """The successor serves; what has stayed is served by the old one, and orders reach it."""
    got = p.hear(STAYS)
    t.ok(got[-1:] == [STAYS] and guest.c.is_open() and g.alive(),
         "%s: who has stayed is served" % what, got, g.log()[-2000:])
    t.ok(order(p, {"cmd": "kill", "who": "127.0.0.1", "force": True}) and guest.gone(),
         "%s: orders reach the old one" % what, g.log()[-2000:])
    g.proc.wait(40)
    t.same(g.proc.returncode, 0, "%s: it ends when nobody is left" % what)
    p.close()
    g.start()


def stopped(t, g):
    """An operator's stop is read when the successor's word that it serves is there already."""
    guest, p = Guest(g), committing(g)
    s = ask(g)
    g.proc.send_signal(signal.SIGSTOP)
    s.sendall(b'{"cmd":"stop"}\n')
    p.say(kind=COMMITTED)
    g.proc.send_signal(signal.SIGCONT)
    t.ok("another process" in gate.answer(s).get("error", ""),
         "stop, when another one serves already: the operator is told so", g.log()[-3000:])
    goes_on(t, g, p, guest, "stop")


def late(t, g):
    """The old one stands still for longer than it waits, and the successor serves."""
    guest = Guest(g)
    p = committing(g)
    g.proc.send_signal(signal.SIGSTOP)
    p.say(kind=COMMITTED)
    passes(22)
    g.proc.send_signal(signal.SIGCONT)
    goes_on(t, g, p, guest, "the old one stood still")


def deaf(t, g):
    """The successor serves, and reads nothing for long: the old one is not gone for that."""
    guest = Guest(g)
    p = committing(g)
    p.say(kind=COMMITTED)
    passes(40)
    t.ok(g.alive() and guest.c.is_open(), "the successor stands still: who has stayed is served")
    goes_on(t, g, p, guest, "the successor stood still")


def answers(g, seconds):
    try:
        return bool(g.ask({"cmd": "show", "what": "stats"}, seconds))
    except OSError:
        return False


def waiting(g):
    """A successor that has all it needs, and has not been told to serve by the old one, which
    stands still.  None: it was too quick."""
    new, old = g.successor(), g.proc
    tap.wait_for(lambda: "process %d, smbgate" % new.pid in g.log(), 40, 0.001)
    new.send_signal(signal.SIGSTOP)
    g.stats()                   # the old one has told it all by now
    old.send_signal(signal.SIGSTOP)
    new.send_signal(signal.SIGCONT)
    if not answers(g, 5):
        return new
    g.proc = new
    old.send_signal(signal.SIGCONT)
    old.wait(40)
    return None


def elder(t, g):
    """The old one stands still, and then dies: not before that does the successor serve."""
    new = next(filter(None, (waiting(g) for _ in range(10))), None)
    if not t.ok(new and new.poll() is None, "the old one stands still: the successor waits",
                g.log()[-2000:]):
        return
    old, g.proc = g.proc, new
    old.kill()
    old.wait(40)
    t.comes(lambda: "process %d has died" % old.pid in g.log(), True, "it dies: that is seen")
    serves(t, g, "and the successor serves")


def reloaded(t, g):
    """The old one has told all, and reloads its policy before the successor serves."""
    new = next(filter(None, (waiting(g) for _ in range(10))), None)
    if not t.ok(new and new.poll() is None, "the successor waits again", g.log()[-2000:]):
        return
    old = g.proc
    new.send_signal(signal.SIGSTOP)
    old.send_signal(signal.SIGCONT)
    t.comes(lambda: "taking over" in g.ctl_run("log-level", "info").stderr, True,
            "the successor has been told all")
    g.reload(pin_linger="9s")
    new.send_signal(signal.SIGCONT)
    g.proc = new
    old.wait(40)
    t.comes(lambda: "9s" in g.policy()["text"], True, "a reload after that reaches it")


def main(t):
    n = node.Lab(t)
    g = gate.Gate(t, [node.Node(n, "n1").start()], health=gate.PATIENT,
                  limits={"logon": "5m"}).start()
    for part in (stopped, unread, trickles, overdue, late, deaf, elder, reloaded):
        part(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
