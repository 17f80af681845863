#!/usr/bin/python3
# keyed-expiry.t: tickets run out on two channels: what is told then, and after a renewal
"""SMBGATE_EXPIRE=1: every protection, and smbtorture's own tests of this: two or three minutes."""
import concurrent.futures
import os
import subprocess
import threading
import time

import ad
import clients
import gate
import keyed
import krb
import model
import smb2
import tap

why = ad.missing() or clients.missing("smbtorture")
if why:
    tap.skip_all(why)
ad.enter()

# of a ticket, in seconds: longer ones for a machine that is too slow just now
LIVES = (5, 10, 20, 40)
EXPIRED = 0xC000035C
LONG = "SMBGATE_EXPIRE" in os.environ
PROTECTIONS = [p for p in keyed.PROTECTIONS if LONG or p.dialect == 0x0302 or
               p.dialect == 0x0311 and (p.sign in (1, 2) or p.cipher == 2)] \
    + [keyed.Protection(0x0311, 2, ciphers=c, security=s) for c, s in (
        ((), 1), ((2,), 3))]
TORTURE = "smb2.session.expire"
# so few at a time, that a ticket is not used up before it is used
LOGONS = threading.Semaphore(3)


class Place:
    """Straight at the node, or through smbgate: two addresses, and what each is told there."""

    def __init__(self, lab, direct):
        self.lab, self.direct = lab, direct
        self.host = "nas" if direct else "gw"
        self.addrs = lab.nas.addrs if direct else ad.GW
        self.told = [lab.nas.told if direct else keyed.told(keyed.ANNOUNCE, a, lab.nas)
                     for a in self.addrs[:2]]


class Talk:
    """A session of two channels whose ticket runs out, and somebody else's on its connection."""

    def __init__(self, place, prot, renew, number):
        self.place, self.prot, self.renew = place, prot, renew
        self.name = "expiry-%d" % number
        self.out, self.conns, self.ends = [], [], 0

    def auth(self, life=0):
        """With a fresh cache: another ticket in it would do too."""
        cache = self.place.lab.kinit("alice", self.name)
        return krb.Kerberos(cache, self.place.host + ".lab.example", life=life)

    def begin(self, life):
        self.a = self.prot.connect(self.place.addrs[0])
        self.b = self.prot.connect(self.place.addrs[1], guid=self.a.guid)
        self.conns += [self.a, self.b]
        self.other = self.prot.login(self.a, self.place.lab.auth("kerberos", self.place.host,
                                                                 "bob"))
        self.other_tid = self.a.tree(self.other, "data", self.place.host)
        with LOGONS:
            if self.renew == "replaced":
                self.quietly(life)
            self.s = self.prot.login(self.a, self.auth(life))
            self.tid = self.a.tree(self.s, "data", self.place.host)
            self.fid = self.a.create(self.s, self.tid, self.name, disp=5)
            self.a.write(self.s, self.tid, self.fid, 0, b"abc")
            self.b.login(auth=self.auth(life), bind=self.s)
            self.asks("at first")

    def quietly(self, life):
        """Another one, whose ticket runs out first, and of which nothing is heard until then."""
        self.c = self.prot.connect(self.place.addrs[0])
        self.conns.append(self.c)
        self.quiet = self.prot.login(self.c, self.auth(life))
        # smbd counts whole seconds from here
        self.ends = time.monotonic() + life + 1
        self.quiet_tid = self.c.tree(self.quiet, "data", self.place.host)

    def query(self, c, told, s=None, tid=None):
        """Its status, or what was told."""
        m = c.ifinfo_raw(s or self.s, tid or self.tid)
        if m.status:
            return "0x%08X" % m.status
        return "told" if model.wanted(smb2.ifinfo_of(m), told) else "wrong list"

    def asks(self, what):
        """On both channels: the query, a file, a tree; and the neighbour's."""
        got = []
        for c, told in ((self.a, self.place.told[0]), (self.b, self.place.told[1])):
            try:
                got.append(self.query(c, told))
                for cmd, body in ((smb2.READ, c.read_body(self.fid, 0, 3)),
                                  (smb2.CREATE, c.create_body(self.name))):
                    m = c.call(cmd, body, session=self.s, tid=self.tid)
                    got.append("0x%08X" % m.status)
                got.append("0x%08X" % c.tree(self.s, "data", self.place.host, check=False).status)
            except smb2.Closed:
                got.append("closed")
        try:
            self.a.create(self.other, self.other_tid, "neighbour-" + self.name, disp=5)
            got.append("neighbour is well")
        except smb2.Closed:
            got.append("neighbour closed")
        self.out.append((what, got))

    def asks_quietly(self):
        """The first thing that is heard of an expired session is a query."""
        got = [self.query(self.c, self.place.told[0], self.quiet, self.quiet_tid)
               for _ in range(2)]
        self.out.append(("the first query", got))

    def runs_out(self):
        return self.a.tree(self.s, "data", self.place.host, check=False).status == EXPIRED and \
            time.monotonic() > self.ends

    def again(self):
        """Another logon on it, on the second channel."""
        self.b.login(auth=self.auth(), session=self.s)

    def replaced(self):
        """A new session on a new connection, which names this one."""
        c = self.prot.connect(self.place.addrs[0], guid=self.a.guid)
        old, self.s = self.s, self.prot.login(c, self.auth(), prev=self.s.sid)
        m = self.query(c, self.place.told[0])
        self.out.append(("the new session", [m]))
        self.s = old
        self.conns.append(c)

    def close(self):
        for c in self.conns:
            c.close()
        self.conns.clear()

    def run(self):
        """All of it: what each step said."""
        for life in LIVES:
            try:
                self.out.clear()
                self.begin(life)
                if "0x%08X" % EXPIRED in self.out[0][1]:
                    raise RuntimeError("it ran out on the way")
                break
            except (smb2.Status, krb.GssError, RuntimeError) as e:
                self.close()
                if life == LIVES[-1]:
                    return ["cannot begin: %r" % e]
        try:
            if not tap.wait_for(self.runs_out, 2 * life, every=0.2):
                return "it does not run out"
            self.asks("run out")
            if self.renew == "replaced":
                self.asks_quietly()
            else:
                self.again()
                self.asks(self.renew)
            self.replaced()
            self.asks("replaced")
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError, krb.GssError) as e:
            self.out.append(repr(e))
        return self.out


def run_out(t, lab):
    """All protections and both ways of renewal, at once, at the node and through smbgate."""
    places = [Place(lab, True), Place(lab, False)]
    talks = [Talk(p, prot, how, 0) for prot in PROTECTIONS for how in ("logs on again", "replaced")
             for p in places]
    for i, x in enumerate(talks):
        x.name = "expiry-%d" % i
    with concurrent.futures.ThreadPoolExecutor(len(talks)) as pool:
        got = list(pool.map(Talk.run, talks))
    for direct, through, x in zip(got[::2], got[1::2], talks[::2]):
        label = "%s: runs out, %s" % (x.prot.label, x.renew)
        t.ok(len(direct) > 3 and direct[1][1][1] == "0x%08X" % EXPIRED and
             direct[-1][0] == "replaced", "direct: " + label, *direct)
        t.same(through, direct, label + ": as directly")
    for x in talks:
        x.close()


def torture(t, lab):
    """smbtorture's own, at both places at once: each on a share of its own, one test at a time, for
    some of them are told of what others do in their folder."""
    out = subprocess.run(["smbtorture", "--list"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True).stdout.split()
    tests = [n for n in out if n.startswith(TORTURE)]
    who = ["-Ualice@%s%%%s" % (ad.REALM, ad.USERS["alice"]), "--use-kerberos=required"]
    procs = [t.spawn(["smbtorture", "//%s.lab.example/%s" % place, "-s", "/dev/null", "--fullname",
                      "--seed=1", *who, *tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     text=True, errors="replace", stdin=subprocess.DEVNULL, env=lab.env)
             for place in (("nas", "torture"), ("gw", "data"))]
    direct, through = [clients.results(p.communicate(timeout=250)[0]) for p in procs]
    t.ok(len(direct) == len(tests), "smbtorture, direct: %d tests" % len(tests), direct)
    for n in direct:
        t.same(through.get(n, "?")[0], direct[n][0], "smbtorture: %s: as directly: %s" % (
            n, direct[n][0]))


def main(t):
    lab = ad.Domain(t).start()
    why = gate.missing()
    if why:
        t.bail(why)
    g = keyed.start_gate(t, lab, lab.keytab)
    run_out(t, lab)
    t.comes(g.sessions, [], "nothing is known of any of them any more")
    if LONG:
        torture(t, lab)
    gate.settle_closes(g)
    t.ok(set(k for k, v in g.closes().items() if v) <= {"client_eof", "node_eof"},
         "nobody was cut by smbgate", {k: v for k, v in g.closes().items() if v})
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=400 if LONG else 120) as test:
    main(test)
