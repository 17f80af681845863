#!/usr/bin/python3
# sweep-calls.t: any system call, and any allocation, of any conversation fails once
"""Each conversation is had once undisturbed, while the calls that smbgate's workers make for it are
counted; then again and again, and each time another one of those calls fails.  What may be tried
again costs nothing; else the connection at fault ends, or its request is refused, and it never
hangs, nor is it told what is wrong; whoever else is there is served, the next one too.

SMBGATE_SWEEP=all: every call, every error (hours); else so many of each conversation (2).
SMBGATE_SEED; SMBGATE_ONLY: these conversations, or conversations/call."""
import contextlib
import hashlib
import os
import random
import socket
import struct
import threading

import failing
import front
import gate
import keyed
import node
import smb1
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)
SWEEP = os.environ.get("SMBGATE_SWEEP", "2")
ONLY = os.environ.get("SMBGATE_ONLY", "").split("/")
HERE, DENIED = "127.0.0.1", "127.0.0.9"
ANNOUNCE = {"mode": "announce", "list": [("10.1.0.5", {"speed": "25G", "rss": True}),
                                         ("10.1.0.6", {"speed": "10G", "rss": True})]}
TOLD = ["10.1.0.5", "10.1.0.6"]
BLOCK = hashlib.sha256(b"block").digest() * 64
PATIENCE = 15       # a client waits so long for an answer


class World:
    def __init__(self, t, nodes, fault):
        self.old, self.front = node.free_port("0.0.0.0"), node.free_port("0.0.0.0")
        # limits that a run of failed logons does not reach
        self.gate = gate.Gate(
            t, nodes, workers=1, keytab=keyed.light_keytab(t), interfaces={
                "lan": ANNOUNCE, "old": ANNOUNCE, "front": ANNOUNCE}, deny=[DENIED],
            health=gate.PATIENT, unkeyed="refuse", smb1="allow", argv_prefix=fault.prefix(),
            limits={
                "unauthenticated-per-source": 1000, "accept-rate": 100000, "accept-burst": 100000},
            conf="""\
listen "old" { address = "0.0.0.0:%d"
	netbios = true }
listen "front" { address = "0.0.0.0:%d"
	proxy-protocol = { "127.0.0.1" } }
""" % (self.old, self.front)).start()

    def open(self, dialects=(0x0311,), at=HERE, port=None, say=b"", **kw):
        c = smb2.Conn(at, port or self.gate.port, timeout=PATIENCE)
        if say:
            c.send_raw(say)
        if port == self.old and c._exactly(4) != front.GRANTED:
            raise smb2.Broken("no session is granted")
        return c.negotiate(list(dialects), **kw)


def work(c, s):
    """A file is written, read and closed."""
    tid = c.tree(s)
    fid = c.create(s, tid, os.urandom(8).hex(), disp=5, options=0x1040, access=0x13019F)
    c.write(s, tid, fid, 0, BLOCK)
    same = c.read(s, tid, fid, 0, len(BLOCK)) == BLOCK
    c.close_file(s, tid, fid)
    return same


def told(c, s):
    return [i.ip for i in c.ifinfo(s, c.tree(s, "IPC$"))]


def protected(dialect, ask=True, **kw):
    """A logon with that protection, a query, and a file."""
    seal, over = kw.pop("seal", False), kw

    def has(w):
        with w.open([dialect], **over) as c:
            s = c.login(seal=seal, sign=not seal and dialect >= 0x0300)
            return (told(c, s) if ask else None), work(c, s), c.logoff(s, sealed=seal).status
    return has


def stranger(w):
    with w.open() as c:
        return c.dialect


def guest(w):
    with w.open([0x0302]) as c:
        s = c.guest()
        return told(c, s), work(c, s)


def anonymous(w):
    with w.open([0x0302]) as c:
        s = c.login("", "")
        return told(c, s)


def multi(w):
    with w.open(multi=True) as c:
        return work(c, c.login())


def compound(w):
    with w.open() as c:
        s = c.login(sign=True)
        tid = c.tree(s, "IPC$")
        parts = [keyed.echo(s), keyed.query(s, tid), keyed.query(s, tid), keyed.echo(s)]
        return [[i.ip for i in x] for x in keyed.lists(c.calls(parts))]


def bound(w):
    with w.open() as a:
        s = a.login(sign=True)
        with w.open(guid=a.guid) as b:
            b.login(bind=s)
            return told(b, s), work(b, s), work(a, s)


def bind_denied(w):
    with w.open() as a:
        s = a.login(sign=True)
        with w.open(at=DENIED, guid=a.guid) as b:
            m = b.login(bind=s, allow=(smb2.REQUEST_NOT_ACCEPTED,))
            return m.status, work(a, s)


def wrong_password(w):
    with w.open() as c:
        m = c.login("alice", "wrong", allow=(smb2.LOGON_FAILURE,))
        return m.status, work(c, c.login())


def two_users(w):
    with w.open() as c:
        a, b = c.login(), c.login("bob", "Bob-pw-2")
        out = work(c, a), work(c, b), told(c, b)
        return *out, c.logoff(a).status, work(c, b)


def again(w):
    with w.open() as c:
        s = c.login(sign=True)
        c.login(session=s)
        return work(c, s), told(c, s)


def large(w, **kw):
    """Beyond what goes through a buffer: there and back by splice."""
    data = os.urandom(64) * (1 << 14)
    with w.open([0x0302]) as c:
        s = c.login(**kw)
        while c.credits < 16:
            c.echo(session=s)
        tid = c.tree(s)
        fid = c.create(s, tid, os.urandom(8).hex(), disp=5, options=0x1040, access=0x13019F)
        c.write(s, tid, fid, 0, data)
        back = c.read(s, tid, fid, 0, len(data))
        c.close_file(s, tid, fid)
        return back == data


def smb1_client(w):
    c = smb1.Raw(HERE, w.gate.port, timeout=PATIENCE).login()
    try:
        c.echo()
        return True
    finally:
        c.close()


def netbios(w):
    with w.open(port=w.old, say=front.session_request()) as c:
        s = c.login()
        return told(c, s), work(c, s)


def proxied(header):
    def has(w):
        with w.open(port=w.front, say=header(HERE, HERE, 4000, 445)) as c:
            s = c.login()
            return told(c, s), work(c, s)
    return has


def leaves(w):
    """In the middle of an answer, with a reset; and in the middle of a request."""
    with w.open([0x0302]) as c:
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "leaves", disp=3)
        for _ in range(4):
            c.send_frame(c.build(smb2.READ, c.read_body(fid, 0, 65536), session=s, tid=tid))
        c.reset()
    with w.open([0x0302]) as c:
        c.login()
        c.send_raw(struct.pack(">I", 5000) + b"\xfeSMB" + bytes(100))
    return None


def crowd(w):
    """Eight at once, each a step further in turn."""
    cs = [w.open([0x0302]) for _ in range(8)]
    try:
        ss = [c.login() for c in cs]
        return [work(c, s) for c, s in zip(cs, ss)]
    finally:
        for c in cs:
            c.close()


TALKS = {
    "a stranger": stranger, "a guest": guest, "nobody's session": anonymous,
    "2.0.2": protected(0x0202), "2.1": protected(0x0210, security=3),
    "3.0 signed": protected(0x0300), "3.0 sealed": protected(0x0300, seal=True),
    "3.0.2 signed": protected(0x0302), "3.1.1 HMAC": protected(0x0311, signing=(0,)),
    "3.1.1 CMAC": protected(0x0311, signing=(1,)), "3.1.1 GMAC": protected(0x0311, signing=(2,)),
    "3.1.1 AES-128-CCM": protected(0x0311, seal=True, ciphers=(1,)),
    "3.1.1 AES-256-GCM": protected(0x0311, seal=True, ciphers=(4,)),
    "compounds": compound, "multi-protocol": multi, "a bind": bound, "a denied bind": bind_denied,
    "a wrong password": wrong_password, "two users": two_users, "logged on again": again,
    "large": large, "large sealed": lambda w: large(w, seal=True), "SMB1": smb1_client,
    "port 139": netbios, "PROXY 1": proxied(front.v1), "PROXY 2": proxied(front.v2),
    "one that leaves": leaves, "eight at once": crowd,
}


class Sweep:
    def __init__(self, t, w, fault, rng):
        self.t, self.w, self.fault, self.rng = t, w, fault, rng
        self.runs = self.fired = self.cut = 0
        self.wrong, self.want = [], {}

    def sockets(self):
        top, out = "/proc/%d/fd/" % self.w.gate.proc.pid, set()
        for fd in os.listdir(top):
            with contextlib.suppress(FileNotFoundError):    # a probe's, closed by now
                if os.readlink(top + fd).startswith("socket:"):
                    out.add(int(fd))
        return out

    def neighbour(self):
        """What smbgate does for this one does not fail, whenever it does that."""
        while True:
            self.w.gate.wait_connections(0, 60)
            before = self.sockets()
            self.c = self.w.open([0x0302])
            fds = self.sockets() - before
            if len(fds) == 2:       # and no probe came or went meanwhile
                break
            self.c.close()
        self.fault.spare(fds)
        self.s = self.c.login()
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "neighbour", disp=3)
        self.c.write(self.s, self.tid, self.fid, 0, b"neighbour")

    def others(self, what):
        try:
            if self.c.read(self.s, self.tid, self.fid, 0, 9) != b"neighbour":
                self.wrong.append(what + ": the neighbour reads something else")
        except (OSError, smb2.Closed) as e:
            self.wrong.append("%s: the neighbour: %r" % (what, e))
            self.neighbour()

    def once(self, name, want, call, nth, err):
        """One run with that fault."""
        what, free = "%s, %s %d: %s" % (name, call, nth, err), err in failing.AGAIN.get(call, ())
        self.fault.arm(call, nth, err)
        self.runs += 1
        began = self.t.ran()
        try:
            got = TALKS[name](self.w)
            if got != want:
                self.wrong.append("%s: %r, not %r" % (what, got, want))
        except smb2.Status as e:
            # refused is an answer, but not one to what can be tried again
            self.cut += 1
            if free:
                self.wrong.append("%s: %s" % (what, e))
        except (smb2.Closed, ConnectionError) as e:
            self.cut += 1
            if free:
                self.wrong.append("%s: cut: %r" % (what, e))
        except TimeoutError:
            # or the machine has stood still meanwhile
            if self.t.ran() - began > PATIENCE - 1:
                self.wrong.append(what + ": no answer")
        except (OSError, smb2.Broken, ValueError, struct.error) as e:
            self.wrong.append("%s: %r" % (what, e))
        self.fault.off()
        self.fired += self.fault.fired()
        # What failed on its way to smbgate-keyd says that it is dead; the worker gets another way,
        # the later the more often that was so: within 30 s.
        tap.wait_for(self.keyed, 45, message=lambda: "no keys: " + self.w.gate.log()[-2000:])
        self.others(what)

    def talk(self, name):
        run, t = TALKS[name], self.t
        self.fault.off()
        want = run(self.w)
        self.fault.seen()
        same = run(self.w) == want
        self.w.gate.wait_connections(1)
        seen = self.fault.seen()
        self.want[name] = want
        t.ok(same, "%s: undisturbed, twice the same" % name, want)
        before = len(self.wrong)
        for call, nth, err in self.faults(seen):
            self.once(name, want, call, nth, err)
            if len(self.wrong) > before + 20:
                break
        self.after(name, want)
        t.same(self.wrong[before:], [], "%s: nobody hangs, nobody is told what is wrong, nobody "
               "else is cut" % name)

    def faults(self, seen):
        """(call, which one, error): all of them, or some: as many of a rare call as of others."""
        calls = [c for c, n in seen.items() if n and ONLY[1:] in ([], [c])]
        errs = {c: failing.AGAIN.get(c, ()) + failing.HARD.get(c, ()) for c in calls}
        if SWEEP == "all":
            return [(c, i, e) for c in calls for i in range(1, seen[c] + 1) for e in errs[c]]
        return [(c, self.rng.randint(1, seen[c]), self.rng.choice(errs[c]))
                for c in self.rng.choices([c for c in calls if errs[c]], k=int(SWEEP))]

    def keyed(self):
        """Whether a logon has its key."""
        try:
            with self.w.open([0x0302]) as c:
                told(c, c.login(sign=True))
            return True
        except (OSError, smb2.Closed, smb2.Status, smb2.Broken):
            return False

    def after(self, name, want):
        """The next one is served as the first one was."""
        g = self.w.gate
        tap.wait_for(lambda: set(g.node_states().values()) == {"up"}, 60, message=g.node_states)
        try:
            got = TALKS[name](self.w)
        except (OSError, smb2.Closed, smb2.Status, smb2.Broken) as e:
            got = repr(e)
        if got != want:
            self.wrong.append("%s: afterwards %r" % (name, got))


def small_buffers(t, s):
    """Every count that can be short is."""
    s.fault.put("small", 16384)
    got = {name: TALKS[name](s.w) for name in s.want}
    s.fault.put("small", 0)
    t.same(got, s.want, "small buffers: all is as it was")


def dates(t, s):
    """The date is set, forward and back, in the middle of it."""
    def flip():
        while not over.wait(0.01):
            s.fault.put("date", s.rng.randrange(-86400, 86400))
    over = threading.Event()
    th = threading.Thread(target=flip, daemon=True)
    th.start()
    got = {name: TALKS[name](s.w) for name in s.want}
    over.set()
    th.join()
    s.fault.put("date", 0)
    s.others("another date")
    t.same(got, s.want, "the date is set all the time: all is as it was")


def early(t, s):
    """Every timer fires early: the machine stood still, its clock did not."""
    before, ended = len(s.wrong), 0
    for name, want in s.want.items():
        over = threading.Event()
        th = threading.Thread(target=hurry, args=(s.fault, s.rng, over), daemon=True)
        th.start()
        try:
            got = TALKS[name](s.w)
            if got != want:
                s.wrong.append("timers: %s: %r, not %r" % (name, got, want))
        except (smb2.Status, smb2.Closed, ConnectionError):
            ended += 1
        except (OSError, smb2.Broken) as e:
            s.wrong.append("timers: %s: %r" % (name, e))
        over.set()
        th.join()
        s.others("timers: " + name)
    t.same(s.wrong[before:], [], "every timer fires early: %d ended, nobody hangs, nobody is told "
           "what is wrong, nobody else is cut" % ended)


def late(t, s):
    """Each timer is two seconds late where nothing else wakes its loop: no answer waits for one."""
    s.fault.put("late", 2000)
    got = {}
    for name in s.want:
        try:
            got[name] = TALKS[name](s.w)
        except (OSError, smb2.Status, smb2.Closed, smb2.Broken) as e:
            got[name] = repr(e)
    s.fault.put("late", 0)
    s.others("late timers")
    t.same(got, s.want, "every timer is late, by up to two seconds: all is as it was")


def hurry(fault, rng, over):
    while not over.wait(0.02):
        fault.put("since", fault.get("since") + rng.choice((1, 2, 5, 60, 3600)))


def no_way_back(t, s):
    """No descriptor is left, so nobody is accepted for a moment; when that is over, there is no
    memory to listen again."""
    s.fault.arm("accept4", 1, "EMFILE")
    with socket.create_connection((HERE, s.w.gate.port)):
        tap.wait_for(s.fault.fired, 20, 0.001)
        s.fault.arm("epoll_ctl", 1, "ENOSPC")
        t.ok(tap.wait_for(s.fault.fired, 20), "the listener cannot be listened to again")
    s.fault.off()
    try:
        got = stranger(s.w)
    except (OSError, smb2.Closed) as e:
        got = repr(e)
    t.same(got, 0x0311, "and is listened to a moment later")


ORDERS = [{"cmd": "show", "what": w} for w in (
    "nodes", "clients", "sessions", "connections", "stats", "policy", "state", "refusals")] + [
    {"cmd": "explain", "who": HERE}, {"cmd": "reload"}, {"cmd": "kill", "who": "conn:999999"},
    {"cmd": "drain", "node": "n1"}, {"cmd": "undrain", "node": "n1"},
    {"cmd": "log-level", "level": "info"}]


def asked(w, order, seconds=30):
    """How many members the answer has, None where there is none."""
    try:
        return len(w.gate.ask(order, seconds))
    except (OSError, ValueError):
        return None


def orders(t, s):
    """The main thread's calls: an order is done, refused or not answered, and costs nobody else
    anything.  The same order is done the next time."""
    before, fired = len(s.wrong), 0
    for order in ORDERS:
        what = "order %s" % " ".join(map(str, order.values()))
        want = asked(s.w, order)
        s.fault.put("main", 1)
        s.fault.seen()
        asked(s.w, order)
        seen = s.fault.seen()
        for call, nth, err in s.faults({k: seen[k] for k in seen if k != "accept4"}):
            s.fault.arm(call, nth, err)
            asked(s.w, order, 3)
            s.fault.off()
            fired += s.fault.fired()
            s.others("%s, %s %d: %s" % (what, call, nth, err))
        s.fault.put("main", 0)
        if want is None or asked(s.w, order) is None:
            s.wrong.append(what + ": no answer")
    s.w.gate.ctl("undrain", "n1")
    t.same(s.wrong[before:], [], "an operator's orders, %d calls fail: nobody is cut, and the next "
           "order is answered" % fired)
    t.comes(lambda: set(s.w.gate.node_states().values()), {"up"}, "and all nodes are up")


def main(t):
    t.diag("seed %d" % SEED)
    fault = failing.build(t)
    nodes = node.cluster(t, 2, extra=["ntlm auth = ntlmv1-permitted"])
    w = World(t, nodes, fault)
    s = Sweep(t, w, fault, random.Random(SEED))
    s.neighbour()
    stranger(w)
    w.gate.wait_connections(1)
    fds = w.gate.fds()
    for name in TALKS:
        if not ONLY[0] or name in ONLY[0].split(","):
            s.talk(name)
    t.diag({k: v for k, v in w.gate.closes().items() if v})
    t.diag("%d runs: in %d of them a call failed, %d ended or were refused" % (
        s.runs, s.fired, s.cut))
    t.ok(s.fired > s.runs * 0.7, "the calls were made and failed", s.fired, s.runs)
    no_way_back(t, s)
    orders(t, s)
    small_buffers(t, s)
    dates(t, s)
    late(t, s)
    early(t, s)
    w.gate.wait_connections(1)
    t.comes(lambda: w.gate.fds() <= fds + 64, True, "no descriptor is left over")
    s.c.close()
    t.same(w.gate.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=20000 if SWEEP == "all" else 240 + 20 * int(SWEEP)) as test:
    main(test)
