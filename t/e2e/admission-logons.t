#!/usr/bin/python3
# admission-logons.t: NTLM, guests, old dialects, opaque sessions kept out; signed refusals
import os
import struct

import ad
import clients
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

ADDR, FORBIDDEN = "127.0.1.1", "127.0.1.9"
NTLM_BLOCKED, ACCESS_DENIED = 0xC0000418, 0xC0000022
NOT_SUPPORTED, NOT_ACCEPTED = 0xC00000BB, 0xC00000D0
ECHO = struct.pack("<HH", 4, 0)
USERS = 50
DIALECTS = {"2.0.2": 0x0202, "2.1": 0x0210, "3.0": 0x0300, "3.0.2": 0x0302, "3.1.1": 0x0311}


def outcome(addr, port, dialects=(0x0302,), multi=None, **login):
    """What a client gets: "in", "closed", or the status that kept it out."""
    try:
        with smb2.Conn(addr, port) as c:
            c.negotiate(list(dialects), multi=multi)
            s = c.login(**login)
            c.tree(s, "IPC$")
            return "in"
    except smb2.Status as e:
        return e.status
    except (smb2.Closed, ConnectionError):
        return "closed"


LOGONS = {
    "raw NTLMSSP": {},
    "NTLM in SPNEGO": {"auth": lambda: smb2.Ntlm("alice", "Alice-pw-1", spnego=True)},
    "anonymous": {"user": "", "password": ""},
    "a guest": {"user": "nosuchuser", "password": "x"},
}


def logons(t, where, port, want, label):
    for name, kw in LOGONS.items():
        kw = {k: v() if callable(v) else v for k, v in kw.items()}
        t.same(outcome(where, port, **kw), want.get(name, "in"), "%s: %s" % (label, name))


def ntlm_and_guests(t, n, g):
    logons(t, n.addr, n.port, {}, "direct")
    logons(t, ADDR, g.port, {}, "auth left alone")
    g.reload(auth={"ntlm": "refuse"})
    logons(t, ADDR, g.port, dict.fromkeys(LOGONS, NTLM_BLOCKED), "ntlm = refuse")
    r = clients.smbclient(ADDR, g.port, "ls")
    t.ok(r.returncode != 0 and "NTLM_BLOCKED" in r.stdout, "ntlm = refuse: smbclient is told",
         r.stdout)
    # A refusal is an answer: the connection goes on.
    g.reload(auth={"ntlm": "refuse"}, pin_linger="1s")
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0311])
        for i in range(2):
            try:
                c.login()
                t.ok(False, "refused, time %d" % i)
            except smb2.Status as e:
                t.same(e.status, NTLM_BLOCKED, "refused on one connection, time %d" % i)
        g.reload(auth=None, pin_linger=None)
        c.tree(c.login(), "data")
        t.ok(True, "and let in on it when policy has changed")
    g.reload(auth={"guest": "refuse"})
    before = g.stats()["guests_refused"]
    logons(t, ADDR, g.port, {"anonymous": ACCESS_DENIED, "a guest": ACCESS_DENIED},
           "guest = refuse")
    t.comes(lambda: g.stats()["guests_refused"], before + 2, "both are counted")
    for where in (n.addr, n.port), (ADDR, g.port):
        many_users(t, g, *where, direct=where[0] == n.addr)
    refused_and_used(t, g)
    refused_and_ahead(t, n, g)
    g.reload(auth=None)


def many_users(t, g, addr, port, direct):
    """Of a hundred users of one connection half mistype their names, and the node makes guests of
    them: the others go on, with their open files."""
    label = "direct" if direct else "guest = refuse"
    with smb2.Conn(addr, port) as c:
        c.negotiate([0x0302])
        users, said = [], []
        for i in range(USERS):
            s = c.login(*(("alice", "Alice-pw-1"), ("bob", "Bob-pw-2"))[i % 2])
            tid = c.tree(s, "data")
            c.create(s, tid, "user%d" % i, disp=3)
            users.append(s)
            try:
                said.append(c.login("nosuchuser%d" % i, "x").flags & 1)
            except smb2.Status as e:
                said.append(e.status)
        t.same(said, [1 if direct else ACCESS_DENIED] * USERS,
               "%s: %d users of one connection, and as many guests" % (label, USERS))
        t.same([c.call(smb2.ECHO, ECHO, session=s).status for s in users], [0] * USERS,
               "%s: all users go on" % label)
        if not direct:
            sids = {s.sid for s in users}
            t.same({int(x["session_id"], 16) for x in g.sessions()} ^ sids, set(),
                   "and there are no other sessions")


def refused_and_used(t, g):
    """A client that uses the session which it was told that it has not got."""
    for how in "plain", "in a compound", "logs on again", "behind an upgrade":
        before = g.closes()
        with smb2.Conn(ADDR, g.port) as c, smb2.Conn(ADDR, g.port) as other:
            c.negotiate([0x0302])
            other.negotiate([0x0302])
            s, o, barred = c.login(), other.login(), smb2.Session()
            try:
                c.login("nosuchuser", "x")
            except smb2.Status as e:
                barred.sid = e.msg.sid
            if how == "behind an upgrade":
                g.takeover()
            try:
                if how == "in a compound":
                    c.calls([{"cmd": smb2.ECHO, "body": ECHO, "session": s},
                             {"cmd": smb2.ECHO, "body": ECHO, "session": barred}])
                elif how == "logs on again":
                    c.login(session=barred)
                else:
                    c.call(smb2.ECHO, ECHO, session=barred)
                t.ok(False, "a refused session is used, %s: it passes" % how)
            except (smb2.Closed, ConnectionError):
                t.ok("session_refused" in g.closed_for("session_refused", before),
                     "a refused session is used, %s: its connection ends" % how)
            t.same(other.call(smb2.ECHO, ECHO, session=o).status, 0, "and no other")


def refused_and_ahead(t, n, g):
    """A client that is no user does not wait until it is told no: it asks for a file at once."""
    with smb2.Conn(n.addr, n.port) as c:
        c.negotiate([0x0302])
        s = c.login()
        tid = c.tree(s)
        c.write(s, tid, c.create(s, tid, "secret"), 0, b"for users alone")
    with smb2.Conn(n.addr, n.port) as c:
        c.negotiate([0x0302])
        s = c.login()
        tid = c.tree(s)
        got = [asks_ahead(n.addr, n.port, x) for x in ("secret", "theirs")]
        t.ok(b"for users alone" in got[0], "direct: a guest reads a file, and makes one", got)
        c.create(s, tid, "theirs", access=0x80, disp=1)
        before, made = g.closes(), []
        got = [asks_ahead(ADDR, g.port, "theirs%d" % i) for i in range(10)]
        for i in range(10):
            try:
                made.append(c.create(s, tid, "theirs%d" % i, access=0x80, disp=1))
            except smb2.Status:
                pass
        t.same((got + [asks_ahead(ADDR, g.port, "secret")], made), ([b""] * 11, []),
               "guest = refuse: none comes through, not even to the node")
        t.ok("bad_sequence" in g.closed_for("bad_sequence", before), "its connections end")


def asks_ahead(addr, port, name):
    """The answer to a READ that comes right behind a logon with the wrong name, if there is one."""
    with smb2.Conn(addr, port) as c:
        c.negotiate([0x0302])
        c.login()       # brings credits
        auth = smb2.Ntlm("nosuchuser", "x")
        c.send_frame(c.setup_request(auth.negotiate()))
        m = c.recv()[0]
        s = smb2.Session(m.sid)
        c.send_frame(c.setup_request(auth.authenticate(m.secbuf), sid=m.sid))
        path = "\\\\nas\\data".encode("utf-16le")
        c.send_frame(c.compound([
            {"cmd": smb2.TREE_CONNECT, "session": s,
             "body": struct.pack("<HHHH", 9, 0, 72, len(path)) + path},
            {"cmd": smb2.CREATE, "session": s, "flags": 4,
             "body": c.create_body(name, access=0x120089)},
            {"cmd": smb2.READ, "session": s, "flags": 4,
             "body": c.read_body(b"\xff" * 16, 0, 100)}]))
        try:
            while True:
                for m in c.recv():
                    if m.cmd == smb2.READ:
                        return m.raw
        except (smb2.Closed, ConnectionError):
            return b""


def dialects(t, n, g):
    for least, number in DIALECTS.items():
        g.reload(auth={"min_dialect": least})
        for name, d in DIALECTS.items():
            t.same(outcome(ADDR, g.port, [d]), "in" if d >= number else NOT_SUPPORTED,
                   "min-dialect = %s: a client that offers %s" % (least, name))
        t.same(outcome(ADDR, g.port, DIALECTS.values()), "in",
               "min-dialect = %s: a client that offers all" % least)
        t.same(outcome(ADDR, g.port, [0x0210, 0x0302], multi=True),
               "in" if number <= 0x0302 else NOT_SUPPORTED,
               "min-dialect = %s: up to 3.0.2 behind a multi-protocol opening" % least)
    g.reload(auth=None)


def keyed_bind(t, n, g, dialect, algorithms, signed):
    """Refused for the address: signed where that harms nobody, and the session goes on."""
    with smb2.Conn(ADDR, g.port) as a, smb2.Conn(FORBIDDEN, g.port) as b:
        guid = os.urandom(16)
        a.negotiate([dialect], guid=guid, **algorithms)
        s = a.login(security=2, sign=True)
        t.ok(g.session(s.sid)["keyed"], "%s: keyed" % signed[0])
        b.negotiate([dialect], guid=guid, **algorithms)
        m = b.login(bind=s, allow=(NOT_ACCEPTED,))
        t.same(m.status, NOT_ACCEPTED, "%s: a bind on a forbidden address" % signed[0])
        t.same(bool(m.flags & smb2.SIGNED), signed[1], "%s: its refusal is signed or not"
               % signed[0])
        if signed[1]:
            want = smb2.signature(b.algo, s.signing_key, m.raw[:48] + bytes(16) + m.raw[64:],
                                  m.mid, True)
            t.ok(want == m.sig, "%s: with the session's key" % signed[0])
        t.ok(a.echo(session=s).status == 0, "%s: the first channel goes on" % signed[0])


def keyed(t, n, g):
    sign = lambda *algos: {"signing": algos}  # noqa: E731
    keyed_bind(t, n, g, 0x0302, {}, ("3.0.2 CMAC", True))
    keyed_bind(t, n, g, 0x0311, sign(1), ("3.1.1 CMAC", True))
    keyed_bind(t, n, g, 0x0311, sign(2), ("3.1.1 GMAC", False))
    g.reload(unkeyed="refuse")
    t.same(outcome(ADDR, g.port, [0x0311], security=2), "in", "unkeyed = refuse: alice is keyed")
    t.same(outcome(ADDR, g.port, [0x0311], user="bob", password="Bob-pw-2", security=2),
           ACCESS_DENIED,
           "unkeyed = refuse: bob, whose hash the keytab lacks")
    for dialect, security in ((0x0302, 2), (0x0311, 1)):
        with smb2.Conn(ADDR, g.port) as c:
            c.negotiate([dialect])
            users, said = [], []
            for _ in range(10):
                users.append(c.login(security=security, sign=True))
                said.append(c.login("bob", "Bob-pw-2", security=security,
                                    allow=(ACCESS_DENIED,)).status)
            t.same((said, [c.echo(session=s).status for s in users]),
                   ([ACCESS_DENIED] * 10, [0] * 10),
                   "unkeyed = refuse, %04x: ten users and bob ten times on one connection: he is "
                   "told so, and they go on" % dialect)
    kept = [x for x in g.show("refusals")["refusals"] if x["code"] == "unkeyed_refused"]
    t.ok(sum(x["count"] for x in kept) == 21 and all(x["user"].endswith("bob") for x in kept),
         "each is kept, his", kept)
    g.reload(unkeyed=None)
    t.same(outcome(ADDR, g.port, [0x0311], user="bob", password="Bob-pw-2", security=2), "in",
           "unkeyed = pass: bob")
    t.ok(tap.wait_for(lambda: "is opaque:" in g.log()), "and one line of the log says why",
         g.log()[-1500:])


def findings(g, who):
    return [f for x in g.ctl("explain", who)["sessions"] for f in x["findings"]]


def explained(t, n, g):
    with smb2.Conn(ADDR, g.port) as a, smb2.Conn(FORBIDDEN, g.port) as b:
        a.negotiate([0x0311])
        s = a.login(security=2, sign=True)
        t.ok(any("has not asked" in f for f in findings(g, "alice")), "explain: it has not asked",
             findings(g, "alice"))
        a.ifinfo(s, a.tree(s, "IPC$"))
        sid = "0x%016x" % s.sid
        for who in ("alice@lab", sid, sid[2:].upper()):
            t.ok(any("without RSS" in f and ADDR in f for f in findings(g, who)),
                 "explain %s: one address, no RSS" % who, findings(g, who))
        b.negotiate([0x0210])
        b.guest()
        said = " ".join(findings(g, "127.0.0.1"))
        t.ok("came with SMB 3.0" in said and "a guest's" in said and FORBIDDEN in said,
             "explain by address: the guest at the forbidden one too", said)
        t.same(g.ctl_run("explain", "nobody@nowhere").returncode, 1, "explain: nobody")
        r = g.ctl_run("explain", "alice")
        t.ok(r.returncode == 0 and "alice@LAB.EXAMPLE" in r.stdout and "without RSS" in r.stdout,
             "explain for people", r.stdout)


with tap.Test(deadline=120) as t:
    n, = node.cluster(t, 1)
    keytab = ad.write_keytab(node.tempdir(t) + "/keytab", [
        ad.Entry("alice@LAB.EXAMPLE", 1, ad.RC4, ad.nt_hash("Alice-pw-1"))])
    g = gate.Gate(t, [n], deny=[FORBIDDEN]).start()
    ntlm_and_guests(t, n, g)
    dialects(t, n, g)
    g.stop()
    g = gate.Gate(t, [n], deny=[FORBIDDEN], keytab=keytab, name="keyed").start()
    keyed(t, n, g)
    explained(t, n, g)
