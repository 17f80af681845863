#!/usr/bin/python3
# keyed-queries.t: the node judges every interface query, and a list of any shape has one outcome
"""SMBGATE_SECONDS: how long the crowd asks while policies are loaded (3)."""
import itertools
import os
import random
import socket
import struct
import threading
import time

import fake
import gate
import keyed
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

SECONDS = float(os.environ.get("SMBGATE_SECONDS", "3"))
HERE, FORBIDDEN = "127.0.0.1", "10.66.0.9"
OURS = ["10.9.9.1", "10.9.9.2"]
ANNOUNCE = {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in OURS]}
FILTER, PASS = {"mode": "filter"}, {"mode": "pass"}
MANY, TOO_MANY = 300, 600

# label, dialect, sealed, what NEGOTIATE offers.  Of each, the node is asked in another way.
KINDS = [
    ("3.0.2 CMAC", 0x0302, False, {}),
    ("3.1.1 CMAC", 0x0311, False, {"signing": (1,)}),
    ("3.1.1 GMAC", 0x0311, False, {"signing": (2,)}),
    ("3.1.1 GMAC, no cipher", 0x0311, False, {"signing": (2,), "ciphers": ()}),
    ("3.0 sealed", 0x0300, True, {}),
    ("3.1.1 sealed", 0x0311, True, {}),
]
# Their clients want all to be signed: there a session cannot vouch for itself.
STRICT_KINDS = [(k[0] + ", must sign", *k[1:3], dict(k[3], security=3)) for k in KINDS
                if "GMAC" in k[0]]


def session(addr, port, kind, user="alice"):
    _, dialect, seal, offer = kind
    c = smb2.Conn(addr, port).negotiate([dialect], **offer)
    s = c.login(user, node.USERS[user][0], seal=seal, sign=not seal,
                security=offer.get("security", 1))
    return c, s, c.tree(s)


def ips(m):
    return [i.ip for i in smb2.ifinfo_of(m)]


def outcome(f, *args):
    """A status, the list's length where it is a list, or how the connection ended."""
    try:
        m = f(*args)
    except smb2.Closed:
        return "closed"
    except (smb2.Broken, smb2.Status) as e:
        return repr(e)
    return "0x%08X" % m.status


def spoilt(c, s, tid, how, at):
    """A query with one byte of its signature, or of its body, wrong."""
    m = bytearray(c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid))
    m[at] ^= how
    m = bytes(m)
    if s.seal:
        c.send_sealed(m, s)
    else:
        c.send_frame(m)
    return c.answers([smb2.Msg(m).mid])[0]


def ask(c, s, tid, credits=1, charge=None, **kw):
    return c.call(smb2.IOCTL, smb2.ioctl_body(**kw), session=s, tid=tid, charge=charge,
                  credits=credits)


def ended(c, s, tid):
    """After its LOGOFF: the session is nobody's."""
    c.logoff(s)
    return ask(c, s, tid)


# name, what is asked; the session is good for the next one unless it is the last
JUDGED = [
    ("no flags", lambda c, s, tid: ask(c, s, tid, flags=0)),
    ("other flags", lambda c, s, tid: ask(c, s, tid, flags=3)),
    ("a FileId", lambda c, s, tid: ask(c, s, tid, fid=bytes(16))),
    ("an input", lambda c, s, tid: ask(c, s, tid, data=b"12345678")),
    ("no room at all", lambda c, s, tid: ask(c, s, tid, max_out=0)),
    ("room for 151 bytes", lambda c, s, tid: ask(c, s, tid, max_out=151)),
    ("1 MiB for one credit", lambda c, s, tid: ask(c, s, tid, max_out=1 << 20)),
    ("1 MiB for 16 credits", lambda c, s, tid: ask(c, s, tid, max_out=1 << 20, charge=16)),
    ("4 GiB", lambda c, s, tid: ask(c, s, tid, max_out=0xFFFFFFFF)),
    ("a tree that is not there", lambda c, s, tid: ask(c, s, tid + 77)),
    ("another StructureSize", lambda c, s, tid: c.call(
        smb2.IOCTL, b"\x38" + smb2.ioctl_body()[1:], session=s, tid=tid)),
    ("an input far outside", lambda c, s, tid: c.call(
        smb2.IOCTL, smb2.ioctl_body()[:24] + struct.pack("<II", 4000, 99)
        + smb2.ioctl_body()[32:], session=s, tid=tid)),
    ("a short body", lambda c, s, tid: c.call(
        smb2.IOCTL, smb2.ioctl_body()[:20], session=s, tid=tid)),
    ("unsigned", lambda c, s, tid: c.call(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid,
                                          sign=False)),
    ("a wrong signature", lambda c, s, tid: spoilt(c, s, tid, 1, 50)),
    ("a session that is over", ended),
]


def judged(t, n, g, mode):
    """Every query that a node refuses: its own word, and the session goes on."""
    for kind in KINDS + (STRICT_KINDS if mode == "announce" else []):
        got = {}
        for where, port in ((n.addr, n.port), (HERE, g.port)):
            c, s, tid = session(where, port, kind)
            while c.credits < 64:
                c.echo(session=s)
            out = []
            for name, f in JUDGED:
                if s.seal and name in ("unsigned", "a wrong signature"):
                    continue
                status = outcome(f, c, s, tid)
                good = "closed" if not c.is_open() else ""
                if not good and f is not ended:
                    good = "%d credits" % (c.credits + c.echo(session=s).credits)
                    if status == "0x00000000" or c.ifinfo_raw(s, tid).status:
                        good += "; asks again"
                out.append((name, status, good))
                if not c.is_open():
                    c, s, tid = session(where, port, kind)
                    while c.credits < 64:
                        c.echo(session=s)
            got[port] = out
            c.close()
        for d, x in zip(got[n.port], got[g.port]):
            t.same(x, d, "%s: %s: %s: as directly: %s" % (mode, kind[0], d[0], d[1]))


HMAC_KIND = ("3.1.1 HMAC", 0x0311, False, {"signing": (0,)})
SIGNED_KINDS = [k for k in KINDS if not k[2]] + STRICT_KINDS + [HMAC_KIND]


def by_previous(c, s, kind, addr, port):
    smb2.Conn(addr, port).negotiate([c.dialect], guid=c.guid, **kind[3]).login(prev=s.sid)


def by_reauth(c, s, kind, addr, port):
    try:
        c.login("alice", "wrong", session=s)
    except smb2.Status:
        pass


def by_logoff(c, s, kind, addr, port):
    b = smb2.Conn(addr, port).negotiate([c.dialect], guid=c.guid, **kind[3])
    b.login(bind=s)
    b.logoff(s)


def by_reauth_elsewhere(c, s, kind, addr, port):
    """On a second channel."""
    b = smb2.Conn(addr, port).negotiate([c.dialect], guid=c.guid, **kind[3])
    b.login(bind=s)
    by_reauth(b, s, kind, addr, port)


def neighbour(c, kind):
    """Another user on the same connection: what asks for the list, and whether all is well."""
    other = c.login("bob", node.USERS["bob"][0], seal=kind[2], sign=not kind[2])
    tree = c.tree(other)

    def well():
        name = "neighbour-%s" % os.urandom(4).hex()
        fid = c.create(other, tree, name, disp=5)
        c.write(other, tree, fid, 0, b"abc")
        return c.read(other, tree, fid, 0, 9) == b"abc" and ask(c, other, tree).status == 0
    return well


def dead(t, n, g):
    """A session that the node has ended, in another place than where the query comes."""
    for kind in KINDS + STRICT_KINDS + [HMAC_KIND]:
        for end in (by_previous, by_reauth, by_reauth_elsewhere, by_logoff):
            got = []
            for where, port in ((n.addr, n.port), (HERE, g.port)):
                c, s, tid = session(where, port, kind)
                c.ifinfo(s, tid)
                well = neighbour(c, kind)
                end(c, s, kind, where, port)
                got.append([outcome(ask, c, s, tid)])
                if got[-1] != ["closed"]:
                    got[-1].append(well())
                if port == g.port:
                    gone = tap.wait_for(lambda: not g.session(s.sid), 20, message="its row stays")
                c.close()
            t.same(got[1], got[0], "%s: ended %s: as directly: %s" % (
                kind[0], end.__name__.replace("_", " "), got[0]))
            t.ok(gone, "%s: ended %s: nothing is known of it any more" % (
                kind[0], end.__name__.replace("_", " ")))


def at_once(addr, port, kind, spoil, told):
    """The last leg of a failing logon on the session, and behind it, at once, a query; and one
    more.  spoil: the leg fails for its signature, which ends nothing."""
    c, s, tid = session(addr, port, kind)
    well = neighbour(c, kind)
    auth = smb2.Ntlm("alice", "Alice-pw-1" if spoil else "wrong")
    c.send_frame(c.setup_request(auth.step(None), s, s.sid, sign=True))
    m, = c.recv()
    leg = bytearray(c.setup_request(auth.step(m.secbuf), s, s.sid, sign=True))
    leg[50] ^= spoil
    query = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid)
    c.send_raw(smb2.frame(bytes(leg)) + smb2.frame(query))
    out = ["0x%08X" % m.status for m in c.answers([smb2.Msg(bytes(leg)).mid, smb2.Msg(query).mid])]
    m = ask(c, s, tid)
    out += ["0x%08X" % m.status, m.status != 0 or ips(m) == told, well()]
    c.close()
    return out


def pipelined(t, n, g):
    for kind in SIGNED_KINDS:
        for spoil in (0, 1):
            direct = at_once(n.addr, n.port, kind, spoil, [n.addr])
            got = at_once(HERE, g.port, kind, spoil, OURS)
            want = list(direct)
            # Whether the session lived was not known; the next one is told.
            if spoil and kind in STRICT_KINDS:
                want[1] = "0x%08X" % smb2.NOT_SUPPORTED
            t.same(got, want, "%s: a logon on the session fails, %s: a query behind it" % (
                kind[0], "for its signature" if spoil else "and so ends it"))


def meanwhile(n, g, kind, logoff_first):
    """A query on one channel, a LOGOFF on the other, and the node hears of both at once.  g: none
    is straight at the node."""
    addr, port = (HERE, g.port) if g else (n.addr, n.port)
    c, s, tid = session(addr, port, kind)
    well = neighbour(c, kind)
    b = smb2.Conn(addr, port).negotiate([c.dialect], guid=c.guid, **kind[3])
    b.login(bind=s)
    query = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid)
    logoff = b.build(smb2.LOGOFF, struct.pack("<HH", 4, 0), session=s)
    n.pause()
    for conn, m in ((b, logoff), (c, query))[::1 if logoff_first else -1]:
        held = g.stats()["held"] if g else 0
        conn.send_frame(m)
        # it has gone on before the next one comes
        if g:
            tap.wait_for(lambda: g.stats()["held"] > held, 20, message="it is not held")
    n.cont()
    try:
        out = ["0x%08X" % c.answers([smb2.Msg(query).mid])[0].status, well()]
    except smb2.Closed:
        out = ["closed"]
    c.close()
    b.close()
    return out


WHO = (("alice", "Alice-pw-1"), ("", ""), ("alice", "Alice-pw-1"), ("bob", "Bob-pw-2"),
       ("alice", "wrong"), ("alice", "Alice-pw-1"))


def again_and_again(addr, port, kind, second, told):
    """A session logs on again: as nobody, as another user, wrongly, rightly; what it hears, and
    what its neighbour does.  second: on a second channel."""
    c, s, tid = session(addr, port, kind)
    out, b = [], c
    if second:
        b = smb2.Conn(addr, port).negotiate([c.dialect], guid=c.guid, **kind[3])
        b.login(bind=s)
    well = neighbour(c, kind)
    try:
        for user, password in WHO:
            try:
                b.login(user, password, session=s)
                out.append("in")
            except smb2.Status as e:
                out.append("0x%08X" % e.status)
            m = ask(b, s, tid)
            out.append("0x%08X" % m.status)
            if m.status == 0 and ips(m) != told:
                out.append("another list")
        out.append(well())
    except smb2.Closed:
        out.append("closed")
    c.close()
    b.close()
    return out


def logoffs(t, n, g):
    """A session ends on another channel while a query is on its way: nobody else has to do with
    it."""
    for kind in [k for k in SIGNED_KINDS if "GMAC" in k[0]]:
        for first in (False, True):
            allowed = ["0x%08X" % x for x in (0, smb2.USER_SESSION_DELETED)]
            if first and kind in STRICT_KINDS:
                # whether the session lived was not known
                allowed.append("0x%08X" % smb2.NOT_SUPPORTED)
            direct, got = [[meanwhile(n, x, kind, first) for _ in range(2)] for x in (None, g)]
            t.ok(all(x[0] in allowed[:2] and x[1] for x in direct), "direct: %s: a LOGOFF %s" % (
                kind[0], "before a query" if first else "behind a query"), direct)
            t.ok(all(x[0] in allowed and x[-1] is True for x in got),
                 "%s: and through smbgate" % kind[0], got, direct)


def reauths(t, n, g):
    for kind in KINDS:
        for second in (False, True):
            got = [again_and_again(*x) for x in (
                (n.addr, n.port, kind, second, [n.addr]),
                (HERE, g.port, kind, second, OURS))]
            t.same(got[1], got[0], "%s: logs on again%s: as directly: %s" % (
                kind[0], " on its second channel" if second else "", " ".join(map(str, got[0]))))


def reloads(t, n, g):
    """A policy is loaded between a question and its answer: one of the two is told, never less."""
    want = {"announce": OURS, "filter": [n.addr], "pass": [n.addr], "dialled": [HERE]}
    for kind in KINDS:
        for old, new in itertools.permutations((ANNOUNCE, FILTER, PASS), 2):
            g.reload(interfaces={"lan": old})
            c, s, tid = session(HERE, g.port, kind)
            n.pause()
            m = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid)
            held = g.stats()["held"]
            if s.seal:
                c.send_sealed(m, s)
            else:
                c.send_frame(m)
            seen = tap.wait_for(lambda: g.stats()["held"] > held, 20)
            g.reload(interfaces={"lan": new})
            n.cont()
            m, = c.answers([smb2.Msg(m).mid])
            told = ips(m) if m.status == 0 else m
            # nothing but the dialled address is left where another request has stood in
            good = [want[old["mode"]], want[new["mode"]]]
            if "GMAC" in kind[0] and old is ANNOUNCE:
                good.append(want["dialled"])
            t.ok(seen and told in good, "%s: from %s to %s while the node thinks: told %s" % (
                kind[0], old["mode"], new["mode"], told), good)
            c.close()


def entry(ip, nxt=0, family=2):
    e = bytearray(fake.entry(ip))
    struct.pack_into("<I", e, 0, nxt)
    struct.pack_into("<H", e, 24, family)
    return bytes(e)


OK = "127.0.0.41"
TWO = entry(OK, 152) + entry(FORBIDDEN)
BUFFER_OVERFLOW, NO_MORE_FILES, INVALID_RESPONSE = 0x80000005, 0x80000006, 0xC00000C3

# name, status, list, what filter tells
SHAPES = [
    ("two", 0, TWO, [OK]),
    ("none", 0, b"", []),
    ("a family that nobody knows", 0, entry(OK, 152) + entry(FORBIDDEN, family=10), [OK]),
    ("Next 156", 0, entry(OK, 156) + bytes(4) + entry(FORBIDDEN), INVALID_RESPONSE),
    ("Next far outside", 0, entry(OK, 0x7FFFFFF8) + entry(FORBIDDEN), INVALID_RESPONSE),
    ("the last has Next too", 0, entry(OK, 152) + entry(FORBIDDEN, 152), INVALID_RESPONSE),
    ("the last is cut", 0, TWO[:-12], INVALID_RESPONSE),
    ("8 bytes behind", 0, TWO + bytes(8), [OK]),
    ("300", 0, b"".join(entry("10.66.1.%d" % (i % 250 + 1), 152) for i in range(299))
     + entry(FORBIDDEN), ["10.66.1.%d" % (i % 250 + 1) for i in range(299)]),
    ("430", 0, b"".join(entry("10.66.1.%d" % (i % 250 + 1), 152) for i in range(429))
     + entry(FORBIDDEN), ["10.66.1.%d" % (i % 250 + 1) for i in range(429)]),
    ("under BUFFER_OVERFLOW", BUFFER_OVERFLOW, TWO, [OK]),
    ("under NO_MORE_FILES", NO_MORE_FILES, TWO, [OK]),
    ("under 0x104", 0x104, TWO, [OK]),
    ("cut, under BUFFER_OVERFLOW", BUFFER_OVERFLOW, TWO[:200], INVALID_RESPONSE),
    ("under an error", smb2.NOT_SUPPORTED, TWO, smb2.NOT_SUPPORTED),
]


def shapes(t):
    """Lists as odd nodes make them, under odd statuses: nothing forbidden, and nobody is cut."""
    now = {}

    def on_message(p, m):
        if isinstance(m, bytes) or m.cmd != smb2.IOCTL:
            return None
        a = fake.FakeNode.ioctl_answer(m, now["list"])
        return smb2.frame(a[:8] + struct.pack("<I", now["status"]) + a[12:])

    f = fake.FakeNode(t, on_message=on_message).start()
    g = gate.Gate(t, [f], deny=[FORBIDDEN], interfaces={"lan": ANNOUNCE}, name="odd").start()
    for mode, section in (("announce", ANNOUNCE), ("filter", FILTER)):
        g.reload(interfaces={"lan": section})
        c = smb2.Conn(HERE, g.port).negotiate([0x0302])
        s = c.guest()
        tid = c.tree(s)
        for name, status, data, want in SHAPES:
            now.update(list=data, status=status)
            if mode == "announce":
                want, status = (want, 0) if want == smb2.NOT_SUPPORTED else (OURS, 0)
            m = c.ifinfo_raw(s, tid)
            told = ips(m) if len(m.raw) >= 112 else m.status
            t.ok(told == want and m.status == (status if isinstance(want, list) else want)
                 and socket.inet_aton(FORBIDDEN) not in m.raw and c.echo(),
                 "%s: a list %s: told %s" % (mode, name, "a list" if isinstance(want, list)
                                            else "0x%08X" % want), m, told)
        c.close()
    gate.settle_closes(g)
    t.same({k for k, v in g.closes().items() if v}, {"client_eof"}, "odd lists: nobody is cut")
    t.ok(g.stats()["ifinfo_malformed"], "odd lists: those that cannot be read are counted")
    g.stop()


def many(t, lab, count, max_out):
    """A real node of so many addresses, asked by sessions of every protection."""
    n = node.Node(lab, "many%d" % count, "127.0.0.21", interfaces=[
        "127.0.0.21/8;speed=1000000000"] + ["127.1.%d.%d/8;speed=1000000000" % (
            i // 200, i % 200 + 1) for i in range(count)]).start()
    g = gate.Gate(t, [n], keytab=keyed.light_keytab(t), deny=["127.1.1.0/24"], gmac="resign",
                  name="many").start()
    for kind in KINDS:
        c, s, tid = session(n.addr, n.port, kind)
        direct = asks_for(c, s, tid, max_out)
        all_of_them = set(ips(direct))
        c.close()
        for mode, section in (("announce", ANNOUNCE), ("filter", FILTER), ("pass", PASS)):
            g.reload(interfaces={"lan": section})
            c, s, tid = session(HERE, g.port, kind)
            m = asks_for(c, s, tid, max_out)
            told = set(ips(m)) if m.status == 0 else m.status
            if mode == "announce":
                want = set(OURS)
            elif mode == "pass":
                want = all_of_them
            elif count == TOO_MANY:     # less is asked for than the client does
                want = smb2.BUFFER_TOO_SMALL
            else:
                want = {a for a in all_of_them if not a.startswith("127.1.1.")}
            t.ok(len(all_of_them) == count + 1 and told == want and c.echo(session=s),
                 "%s: %s: a node of %d addresses, %d bytes of room" % (
                     mode, kind[0], len(all_of_them), max_out), m)
            c.close()
    g.stop()
    n.stop()


def before_a_logon(t):
    """[MS-SMB2] 3.3.5.17: a node may end a connection that says ECHO before its first logon."""
    there, refused = set(), []

    def on_message(p, m):
        if isinstance(m, bytes):
            return None
        if m.cmd == smb2.ECHO and p not in there:
            return fake.CLOSE
        if m.cmd == smb2.SESSION_SETUP and m.sid not in (0, p.number * 65536 + p.nsid):
            refused.append(m.sid)
            return smb2.frame(fake.FakeNode.error(m, smb2.USER_SESSION_DELETED))
        if m.cmd == smb2.TREE_CONNECT:
            there.add(p)
        return None

    f = fake.FakeNode(t, on_message=on_message).start()
    g = gate.Gate(t, [f], deny=["127.0.1.9"], auth={"ntlm": "refuse"}, name="strict").start()
    for dialect in (0x0300, 0x0302, 0x0311):
        c = smb2.Conn("127.0.1.9", g.port).negotiate([dialect])
        s = smb2.Session(0x1234)
        s.signing_key = bytes(16)
        for _ in range(3):
            c.send_frame(c.setup_request(smb2.Ntlm("a", "b").negotiate(), s, s.sid, smb2.BINDING,
                                         sign=True))
            m, = c.recv()
            t.same((m.status, m.sid), (smb2.REQUEST_NOT_ACCEPTED, s.sid),
                   "%x: a bind before a logon is refused, whatever the node thinks of ECHO"
                   % dialect)
        c.close()
    for dialect in (0x0202, 0x0210, 0x0302, 0x0311):
        c = smb2.Conn(HERE, g.port).negotiate([dialect])
        for _ in range(3):
            try:
                c.login("a", "b")
                t.ok(False, "%x: ntlm = refuse" % dialect)
            except (smb2.Status, smb2.Closed) as e:
                t.same(getattr(e, "status", e), 0xC0000418,
                       "%x: a logon is refused, whatever the node thinks of ECHO" % dialect)
        c.close()
    t.ok(len(refused) == 21 and 0x1234 not in refused,
         "the node has had one request for each, of a session that nobody has", refused)
    g.stop()


def asks_for(c, s, tid, max_out):
    while c.credits < 64:
        c.echo(session=s)
    return ask(c, s, tid, max_out=max_out, charge=max_out >> 16)


class Crowd(threading.Thread):
    """Two users of one connection: one asks, now and then in a broken way; the other works.  Others
    come and fail."""

    def __init__(self, port, i, over):
        super().__init__(daemon=True)
        self.kind, self.port, self.over = KINDS[i % len(KINDS)], port, over
        self.rand = random.Random(i)
        self.asked = self.broken = self.worked = self.ended = 0
        self.wrong = []

    def run(self):
        try:
            c, s, tid = session(HERE, self.port, self.kind)
            _, dialect, seal, _ = self.kind
            other = c.login("bob", node.USERS["bob"][0], seal=seal, sign=not seal)
            t2 = c.tree(other)
            fid = c.create(other, t2, "crowd%d" % id(self), disp=5)
            while c.credits < 64:
                c.echo(session=other)
            while not self.over.is_set():
                self.query(c, s, tid)
                if self.rand.random() < 0.2:
                    self.third(c, seal)
                data = os.urandom(100)
                c.write(other, t2, fid, 0, data)
                if c.read(other, t2, fid, 0, 100) != data:
                    self.wrong.append("a file")
                self.worked += 1
            c.close()
        except Exception as e:      # pylint: disable=broad-except
            self.wrong.append(repr(e))

    def third(self, c, seal):
        """A third user, whose session ends because a logon on it fails."""
        s = c.login("bob", node.USERS["bob"][0], seal=seal, sign=not seal)
        tid = c.tree(s)
        by_reauth(c, s, None, None, None)
        # sealed it would end the connection, directly too
        status = 0 if seal else ask(c, s, tid).status
        if status != (0 if seal else smb2.USER_SESSION_DELETED):
            self.wrong.append("after a failed logon 0x%08X" % status)
        self.ended += 1

    def query(self, c, s, tid):
        if self.rand.random() < 0.3:
            bad = [f for name, f in JUDGED if f is not ended and not (
                s.seal and name in ("unsigned", "a wrong signature"))]
            self.rand.choice(bad)(c, s, tid)
            self.broken += 1
            return
        m = ask(c, s, tid)
        told = ips(m) if m.status == 0 else m
        if told not in (OURS, ["127.0.0.11"], OURS[:1], [HERE]):
            self.wrong.append("told %r" % told)
        self.asked += 1


def crowd(t, n, g):
    """Many ask while policies are loaded: nobody is cut, and nobody is told what no policy says."""
    gate.settle_closes(g)
    before, over = g.closes(), threading.Event()
    one = dict(ANNOUNCE, list=ANNOUNCE["list"][:1])
    them = [Crowd(g.port, i, over) for i in range(24)]
    for x in them:
        x.start()
    end, loads = time.monotonic() + SECONDS, 0
    for section in itertools.cycle((ANNOUNCE, FILTER, one)):
        g.reload(interfaces={"lan": section})
        loads += 1
        # on a busy machine some have not asked yet
        late = time.monotonic() - end
        if late > 60 or late > 0 and all(x.wrong or (x.asked and x.worked) for x in them):
            break
    over.set()
    for x in them:
        x.join(60)
    wrong = [(x.kind[0], x.wrong[:2]) for x in them if x.wrong or x.is_alive()]
    gate.settle_closes(g)
    cut = {k: v for k, v in g.closed_since(before).items() if k != "client_eof"}
    t.ok(not wrong and not cut and all(x.asked and x.worked for x in them),
         "a crowd of %d asked %d times, %d times wrongly, and %d times wrote and read, while %d "
         "sessions ended in a failed logon, during %d reloads: all is well" % (
             len(them), sum(x.asked for x in them), sum(x.broken for x in them),
             sum(x.worked for x in them), sum(x.ended for x in them), loads),
         wrong[:6], cut)


def main(t):
    lab = node.Lab(t)
    n = node.Node(lab, "n1").start()
    g = gate.Gate(t, [n], keytab=keyed.light_keytab(t), deny=[FORBIDDEN],
                  health=dict(gate.FAST, interval="60s"), interfaces={"lan": ANNOUNCE}).start()
    for mode, section in (("announce", ANNOUNCE), ("filter", FILTER)):
        g.reload(interfaces={"lan": section})
        judged(t, n, g, mode)
    g.reload(interfaces={"lan": ANNOUNCE})
    dead(t, n, g)
    reauths(t, n, g)
    pipelined(t, n, g)
    logoffs(t, n, g)
    reloads(t, n, g)
    many(t, lab, MANY, 65536)
    many(t, lab, TOO_MANY, 1 << 20)
    shapes(t)
    before_a_logon(t)
    crowd(t, n, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=300) as test:
    main(test)
