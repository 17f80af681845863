#!/usr/bin/python3
# crowd-users.t: many users on one connection, many logons at once, and every way in which one ends
"""SMBGATE_USERS sessions on one connection (60; 1000 is a long run), SMBGATE_AT_ONCE logons under
way on it (40; 200), SMBGATE_LOGONS logons one after the other (105; 5000): each directly first.
Nobody is cut who is not cut directly, and afterwards smbgate holds what it held before."""
import hashlib
import os

import ad
import fake
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

# What has been freed is not to count as memory.
os.environ.setdefault("ASAN_OPTIONS",
                      "quarantine_size_mb=4:allocator_release_to_os_interval_ms=100")
USERS = int(os.environ.get("SMBGATE_USERS", "60"))
AT_ONCE = int(os.environ.get("SMBGATE_AT_ONCE", "40"))
LOGONS = int(os.environ.get("SMBGATE_LOGONS", "105"))
GW = "127.0.0.1"


class Logon:
    """A logon whose legs are sent, and their answers read, when the caller wants."""

    def __init__(self, c, user="alice", prev=0):
        self.c, self.prev, self.pre, self.sid = c, prev, c.preauth, 0
        self.auth = smb2.Ntlm(user, node.USERS[user][0])

    def send(self, token=None):
        req = self.c.setup_request(self.auth.step(token), sid=self.sid, prev=self.prev)
        self.pre = hashlib.sha512(self.pre + req).digest()
        self.mid = smb2.Msg(req).mid
        self.c.send_frame(req)
        return self

    def more(self, m):
        smb2.Conn.check(m, "first leg", smb2.MORE_PROCESSING)
        self.pre = hashlib.sha512(self.pre + m.raw).digest()
        self.sid = m.sid
        return self.send(m.secbuf)

    def done(self, m):
        smb2.Conn.check(m, "second leg")
        s = smb2.Session(m.sid)
        s.key, s.sign = self.auth.key, True
        s.signing_key = smb2.kdf(s.key, b"SMBSigningKey\0", self.pre)
        self.c.sessions[s.sid] = s
        return s


def connect(addr, port, credits=0):
    c = smb2.Conn(addr, port, timeout=60).negotiate([0x0311])
    while c.credits < credits:
        c.echo(credits=credits)
    return c


def works(c, s, name):
    """A file of one's own, written and read."""
    tid = c.tree(s)
    fid = c.create(s, tid, name, disp=5)
    c.write(s, tid, fid, 0, name.encode())
    good = c.read(s, tid, fid, 0, len(name)) == name.encode()
    c.close_file(s, tid, fid)
    return good


def listed(c, s, port, g):
    """The list that the session is told, or the node's error."""
    m = c.ifinfo_raw(s, c.tree(s))
    if m.status:
        return "%08X" % m.status
    ours = [i.ip for i in smb2.ifinfo_of(m)] == [GW]
    return "a list" if ours or port != g.port else "THE NODE'S LIST"


def attempt(what, case, *args):
    try:
        return case(*args)
    except (smb2.Closed, smb2.Broken, smb2.Status, TimeoutError) as e:
        return "%s: %s %s" % (what, type(e).__name__, e)


def both(t, g, n, name, case, want):
    """The case at the node, and then through smbgate."""
    for where, addr, port in (("directly", n.addr, n.port), ("smbgate", GW, g.port)):
        before = g.closes()
        t.same(attempt(name, case, addr, port), want, "%s: %s: %s" % (where, name, want))
    t.ok(set(g.closed_since(before)) <= {"client_eof"}, "%s: nobody was cut" % name,
         g.closed_since(before))


def many(g):
    def case(addr, port):
        with connect(addr, port) as c:
            first = c.login()
            live = [c.login(("alice", "bob")[i % 2], node.USERS[("alice", "bob")[i % 2]][0],
                            seal=i % 7 == 0) for i in range(USERS - 1)]
            good = works(c, first, "first-%d" % port)
            said = {listed(c, s, port, g) for s in (first, live[0], live[-1])}
            keyed = True
            if port == g.port:
                shown = g.sessions()
                keyed = len(shown) == USERS and all(s["keyed"] for s in shown)
            return [len({s.sid for s in live}) + 1, good, said, keyed]
    return case


def at_once(g):
    def case(addr, port):
        with connect(addr, port, AT_ONCE + 8) as c:
            first = c.login()
            logons = [Logon(c, ("alice", "bob")[i % 2]).send() for i in range(AT_ONCE)]
            for x, m in zip(logons, c.answers([x.mid for x in logons])):
                x.more(m)
            live = [x.done(m) for x, m in zip(logons, c.answers([x.mid for x in logons]))]
            keyed = port != g.port or all(s["keyed"] for s in g.sessions())
            good = works(c, first, "busy-%d" % port) and works(c, live[0], "one-%d" % port)
            said = {listed(c, s, port, g) for s in (first, live[0], live[-1])}
            return [len({s.sid for s in live}), good, said, keyed]
    return case


def one_ends(c, addr, port, kind, renewed):
    """One logon more, and its end; the session that the next one replaces, or 0."""
    if kind == "wrong password":
        try:
            c.login("bob", "wrong")
        except smb2.Status as e:
            return 0 if e.status == smb2.LOGON_FAILURE else None
        return None
    if kind == "given up":
        x = Logon(c, "bob").send()
        m, = c.answers([x.mid])
        return 0 if m.status == smb2.MORE_PROCESSING else None
    if kind == "connection ends":
        with connect(addr, port) as other:
            other.login("bob", node.USERS["bob"][0], prev=renewed)
            return 0
    s = c.login("bob", node.USERS["bob"][0], seal="sealed" in kind, prev=renewed)
    if kind == "replaced":
        return s.sid
    if kind == "deleted":       # on another connection the node ends it, and says so when asked
        with connect(addr, port) as other:
            other.logoff(other.login("bob", node.USERS["bob"][0], prev=s.sid))
        m = c.tree(s, check=False)
        return 0 if m.status == smb2.USER_SESSION_DELETED else None
    return 0 if c.logoff(s).status == smb2.OK else None


KINDS = ("logoff", "sealed logoff", "wrong password", "given up", "replaced", "connection ends",
         "deleted")


def churn(g, count):
    """One session works all the time, while others come and go."""
    def case(addr, port):
        with connect(addr, port) as c:
            first = c.login()
            good, renewed = works(c, first, "churn-%d" % port), 0
            for i in range(count):
                kind = KINDS[i % len(KINDS)]
                renewed = one_ends(c, addr, port, kind, renewed)
                if renewed is None:
                    return "%s: not so, at %d" % (kind, i)
            left = 1
            if port == g.port:
                tap.wait_for(lambda: len(g.sessions()) == 1, 10,
                             message=lambda: "%d sessions are left" % len(g.sessions()))
            return [good and works(c, first, "churn-%d" % port), left]
    return case


def memory(t, g, n):
    warm = churn(g, 5 * len(KINDS))
    t.same(attempt("warm", warm, GW, g.port), [True, 1], "warmed up")
    before = g.rss_kb()
    both(t, g, n, "%d logons, one after the other" % LOGONS, churn(g, LOGONS), [True, 1])
    tap.wait_for(lambda: not g.sessions(), 20)
    grown = g.rss_kb() - before
    t.ok(grown < 6000, "memory is back to where it was: %+d KiB" % grown)


def channels(g):
    """How many sessions each connection is a channel of."""
    return [c["sessions"] for x in g.clients() for c in x["connections_list"]]


def two_channels(t, g, n):
    """A session ends on one channel: the other one's connection, and who else is on it, stay."""
    def case(addr, port):
        with connect(addr, port) as a, connect(addr, port) as b:
            b.close()
            b = smb2.Conn(addr, port).negotiate([0x0311], guid=a.guid)
            s, other = a.login(), b.login("bob", node.USERS["bob"][0])
            b.login(bind=s)
            if port == g.port:
                assert len(g.session(s.sid)["channels"]) == 2
            status = a.logoff(s).status
            if port == g.port:
                tap.wait_for(lambda: not g.session(s.sid), 20)
                tap.wait_for(lambda: sorted(channels(g)) == [0, 1], 20, message=lambda: channels(g))
            out = [status, b.tree(s, check=False).status, works(b, other, "other-%d" % port)]
            b.close()
            return out
    both(t, g, n, "LOGOFF on one of two channels", case, [0, smb2.USER_SESSION_DELETED, True])


def other_user(g, user, mode):
    """A session is logged on to again, and its first user's next session names it.  What the node
    says of it then; whether smbgate knows; who else is on its connection; the list."""
    def case(addr, port):
        with connect(addr, port) as a, connect(addr, port) as b:
            s, mate = a.login(), a.login("bob", node.USERS["bob"][0])
            tid = a.tree(s)
            a.login(user, node.USERS[user][0], session=s)
            b.login(prev=s.sid)
            # Where that is in doubt, nothing may be told the first time.
            a.ifinfo_raw(s, tid)
            m = a.ifinfo_raw(s, tid)
            known = port != g.port or bool(g.session(s.sid)) == (m.status == 0)
            return [m.status, known, works(a, mate, "mate-%d" % port),
                    m.status or mode == "filter" or listed(a, s, port, g)]
    return case


def reauthenticated(t, g, n):
    """smbd lets another user have a session, who is then not replaced by its first one's."""
    for mode in ("announce", "filter"):
        g.reload(interfaces={"lan": {"mode": mode}})
        both(t, g, n, "%s, logged on to again by the same user, and replaced" % mode,
             other_user(g, "alice", mode), [smb2.USER_SESSION_DELETED, True, True,
                                         smb2.USER_SESSION_DELETED])
        both(t, g, n, "%s, by another user, and not replaced" % mode, other_user(g, "bob", mode),
             [0, True, True, mode == "filter" or "a list"])
    g.reload(interfaces=None)


def replaced_meanwhile(g):
    """What a session asks stands behind the logon that replaces it."""
    def case(addr, port):
        with connect(addr, port, 16) as c:
            s, mate = c.login(), c.login("bob", node.USERS["bob"][0])
            tid = c.tree(s)
            x = Logon(c, prev=s.sid).send()
            m, = c.answers([x.mid])
            x.more(m)
            q = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid)
            c.send_frame(q)
            got = c.answers([x.mid, smb2.Msg(q).mid])
            return [[m.status for m in got], works(c, mate, "renewed-%d" % port)]
    return case


def replaced(t, g, n):
    for mode in ("announce", "filter"):
        g.reload(interfaces={"lan": {"mode": mode}})
        both(t, g, n, "%s, asked for while it is replaced" % mode, replaced_meanwhile(g),
             [[0, smb2.USER_SESSION_DELETED], True])
    g.reload(interfaces=None)


def unanswered(t):
    """Queries that are never answered, more than there used to be room for."""
    f = fake.FakeNode(t, on_message=lambda p, m: b"" if not isinstance(m, bytes) and
                      m.cmd == smb2.IOCTL else None).start()
    g = gate.Gate(t, [f]).start()
    with smb2.Conn(GW, g.port).negotiate([0x0302]) as c:
        s = c.login()
        before = g.closes()
        for _ in range(700):
            c.credits = 100
            c.send_frame(c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, sign=False))
        c.credits = 100
        t.same(c.echo().status, 0, "700 queries are never answered: the connection goes on")
        t.same(g.closed_since(before), {}, "nobody was cut")
    t.same(g.stop(), 0, "smbgate ends with status 0")


def main(t):
    n = node.Node(node.Lab(t)).start()
    keytab = ad.write_keytab(node.tempdir(t) + "/keys", ad.user_entries(
        {u: pw for u, (pw, _) in node.USERS.items()}))
    g = gate.Gate(t, [n], keytab=keytab).start()
    both(t, g, n, "%d users on one connection" % USERS, many(g), [USERS, True, {"a list"}, True])
    tap.wait_for(lambda: not g.sessions(), 20)
    both(t, g, n, "%d logons at once" % AT_ONCE, at_once(g), [AT_ONCE, True, {"a list"}, True])
    tap.wait_for(lambda: not g.sessions(), 20)
    two_channels(t, g, n)
    reauthenticated(t, g, n)
    replaced(t, g, n)
    memory(t, g, n)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    unanswered(t)


with tap.Test(deadline=int(os.environ.get("SMBGATE_SECONDS", "120"))) as test:
    main(test)
