#!/usr/bin/python3
# redis-shared-keys.t: a session opened through one proxy, bound through another: keyed there too

import hashlib

import ad
import gate
import node
import redis
import several
import smb2
import tap

why = node.missing() or redis.missing()
if why:
    tap.skip_all(why)

TOLD = ["10.9.9.1", "10.9.9.2"]
INTERFACES = {"lan": {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in TOLD]}}
# (label, dialect, what else is negotiated, sealed)
PROTECTIONS = [("3.0 CMAC", 0x0300, {}, False), ("3.0 sealed CCM", 0x0300, {}, True),
               ("3.1.1 CMAC", 0x0311, {"signing": (1,)}, False),
               ("3.1.1 GMAC", 0x0311, {"signing": (2,)}, False),
               ("3.1.1 HMAC", 0x0311, {"signing": (0,)}, False),
               ("3.1.1 sealed AES-128-GCM", 0x0311, {"ciphers": (2,)}, True),
               ("3.1.1 sealed AES-256-GCM", 0x0311, {"ciphers": (4,)}, True),
               ("3.1.1 sealed AES-256-CCM", 0x0311, {"ciphers": (3,)}, True)]


def keytab(t):
    """The users' NT hashes are all that NTLM needs."""
    return ad.write_keytab(node.tempdir(t) + "/keytab", [
        ad.Entry("%s@LABGROUP" % u, 1, ad.RC4, ad.nt_hash(pw))
        for u, (pw, _) in node.USERS.items()])


def connect(addr, port, dialect, kw, guid=None):
    return smb2.Conn(addr, port).negotiate([dialect], guid=guid, **kw)


def told(c, s, tid):
    return sorted(i.ip for i in c.ifinfo(s, tid))


class Opened:
    """A session through one proxy, and its second channel through another."""

    def __init__(self, first, second, dialect, kw, seal):
        security = kw.get("security", 1)
        self.a = connect("127.0.0.1", first.port, dialect, kw)
        self.s = self.a.login(seal=seal, sign=not seal, strict=True, security=security)
        self.tid = self.a.tree(self.s)
        self.b = connect("127.0.0.1", second.port, dialect, kw, self.a.guid)
        self.b.login(bind=self.s, security=security)

    def close(self):
        self.a.close()
        self.b.close()


def control(t, nodes):
    """The same without smbgate: two channels, and the node's own list on both."""
    for label, dialect, kw, seal in PROTECTIONS:
        n = nodes[0]
        a = connect(n.addr, n.port, dialect, kw)
        s = a.login(seal=seal, sign=not seal, strict=True)
        tid = a.tree(s)
        b = connect(n.addr, n.port, dialect, kw, a.guid)
        b.login(bind=s)
        t.same((told(a, s, tid), told(b, s, tid)), ([n.addr], [n.addr]),
               "direct: %s: the node's own list on both channels" % label)
        a.close()
        b.close()


def keyed(t, gates):
    for label, dialect, kw, seal in PROTECTIONS:
        for i in range(2):
            first, second = gates[i], gates[1 - i]
            o = Opened(first, second, dialect, kw, seal)
            t.same(told(o.b, o.s, o.tid), TOLD, "%s, bound through %s: the list is ours" % (
                label, second.name))
            t.same(second.keyed(o.s.sid), (True, None, "alice@LABGROUP"),
                   "%s: keyed on %s" % (label, second.name))
            t.same(told(o.a, o.s, o.tid), TOLD, "%s: and on the first channel" % label)
            o.close()
    t.ok(all(g.stats()["keys_fetched"] == len(PROTECTIONS) for g in gates),
         "each proxy had the other's keys %d times" % len(PROTECTIONS))


class Bind:
    """A bind whose legs are sent, and their answers read, when the caller wants."""

    def __init__(self, c, s, user):
        self.c, self.s, self.pre = c, s, c.preauth
        self.auth = smb2.Ntlm(user, node.USERS[user][0])

    def send(self, token=None):
        req = self.c.setup_request(self.auth.step(token), self.s, self.s.sid, smb2.BINDING,
                                   sign=True)
        self.pre = hashlib.sha512(self.pre + req).digest()
        self.mid = smb2.Msg(req).mid
        self.c.send_frame(req)

    def more(self, m):
        smb2.Conn.check(m, "first leg", smb2.MORE_PROCESSING)
        self.pre = hashlib.sha512(self.pre + m.raw).digest()
        self.send(m.secbuf)

    def done(self, m):
        smb2.Conn.check(m, "second leg")
        self.s.channels[self.c] = smb2.kdf(self.auth.key, b"SMBSigningKey\0", self.pre)


def bind_all(c, sessions):
    """Binds to all (session, user), at once."""
    binds = [Bind(c, s, user) for s, user in sessions]
    for b in binds:
        b.send()
    for leg in (Bind.more, Bind.done):
        got = {}
        while len(got) < len(binds):
            for m in smb2.split(c.recv_frame()):
                c.credits += m.credits
                got[m.mid] = m
        for b, m in zip(binds, [got[b.mid] for b in binds]):
            leg(b, m)


def at_once(t, nodes, gates):
    """Users of one client bind their sessions at once, on one connection."""
    users = ("alice", "bob") * 4
    n = nodes[0]
    for label, first, second in (("direct", (n.addr, n.port), (n.addr, n.port)),
                                 ("smbgate", ("127.0.0.1", gates[0].port),
                                  ("127.0.0.1", gates[1].port))):
        with connect(*first, 0x0311, {}) as a, \
                connect(*second, 0x0311, {}, a.guid) as b:
            sessions = [(a.login(u, node.USERS[u][0], sign=True, strict=True), u) for u in users]
            tids = [a.tree(s) for s, _ in sessions]
            while b.credits < 2 * len(users):
                b.echo()
            bind_all(b, sessions)
            want = [n.addr] if label == "direct" else TOLD
            t.same([told(b, s, tid) for (s, _), tid in zip(sessions, tids)], [want] * len(users),
                   "%s: %d users bind at once on one connection: the list" % (label, len(users)))
            if label == "smbgate":
                t.same([gates[1].keyed(s.sid)[:2] for s, _ in sessions],
                       [(True, None)] * len(users), "and each is keyed there")


def facts(c, prefix):
    """key -> its fields, of what is in Redis of sessions"""
    return {k: c.hash(k) for k in c("KEYS", prefix + "f:*")}


def kept(t, gates, r):
    """What is in Redis, for how long, and what is not in it."""
    prefix = several.prefix(r).decode()
    c = r.client()
    t.ok(tap.wait_for(lambda: not facts(c, prefix), 60),
         "clients without connections leave nothing of their sessions")
    o = Opened(gates[0], gates[1], 0x0311, {"ciphers": (2,)}, True)
    mine = facts(c, prefix)
    t.same([len(h) for h in mine.values()], [1], "one field of one key for the session")
    key, = mine
    claim = key.replace(b":f:", b":c:")
    t.ok(abs(c("PTTL", key) - c("PTTL", claim)) < 10000,
         "that lives as long as the client's claim: %d ms" % c("PTTL", key))
    everything = b""
    for k in c("KEYS", "*"):
        everything += k + (b"".join(c("HGETALL", k)) if c("TYPE", k) == "hash" else c("GET", k))
    found = [name for name, x in (
        ("user", b"alice"), ("USER", "alice".encode("utf-16-le")), ("session key", o.s.key),
        ("signing key", o.s.signing_key), ("cipher key", o.s.c2s), ("cipher key", o.s.s2c),
        ("GUID", o.a.guid), ("SessionId", b"%016x" % o.s.sid)) if x in everything]
    t.same(found, [], "neither names nor keys nor the client's GUID are in Redis")
    # bound to its session: put under another number it opens nothing
    while True:
        before = facts(c, prefix)
        other = Opened(gates[0], gates[0], 0x0311, {"ciphers": (2,)}, True)
        tap.wait_for(lambda: set(facts(c, prefix)) - set(before), 20, message="no facts")
        theirs, = set(facts(c, prefix)) - set(before)
        if several.which(other.a) == several.which(o.a):
            break
        other.close()
    sid, = c.hash(theirs)
    false, = mine[key].values()
    while True:
        c("HSET", theirs, sid, false)
        b = connect("127.0.0.1", gates[1].port, 0x0311, {"ciphers": (2,)}, other.a.guid)
        b.login(bind=other.s)
        if c.hash(theirs).get(sid) == false:
            break
        b.close()       # the true one was said again meanwhile
        tap.wait_for(lambda: not gates[1].session(other.s.sid), 60, message="it stays")
    t.ok(not gates[1].keyed(other.s.sid)[0],
         "another session's keys under its name: opaque, and the bind works: %r" % (
             gates[1].keyed(other.s.sid),))
    # what is no hash, or has too many fields, is begun anew
    c("DEL", theirs)
    c("SET", theirs, "no hash")
    a2 = other.a.login("bob", node.USERS["bob"][0])
    t.ok(tap.wait_for(lambda: c("TYPE", theirs) == "hash" and len(c.hash(theirs)) == 1, 20),
         "what is no hash is replaced")
    c("HSET", theirs, *sum(([b"%032d" % i, b"x"] for i in range(1100)), []))
    other.a.logoff(a2)
    other.a.login("bob", node.USERS["bob"][0])
    t.ok(tap.wait_for(lambda: len(c.hash(theirs)) == 1, 20), "what is too much goes")
    b.close()
    other.close()
    t.ok(tap.wait_for(lambda: not c("EXISTS", theirs), 20), "gone with the client's connections")
    # through whichever proxy: one of two ends, and the session lives on
    o.a.close()
    tap.wait_for(lambda: len(gates[0].sessions()) == 0, 20, message="it stays there")
    d = connect("127.0.0.1", gates[0].port, 0x0311, {"ciphers": (2,)}, o.a.guid)
    d.login(bind=o.s)
    t.ok(gates[0].keyed(o.s.sid)[0], "its first channel has gone: keyed on a new one, there")
    d.close()
    o.close()


def flushed(t, gates, r):
    """Redis has lost it, and the session ends when one proxy has said it again, maybe not both."""
    prefix = several.prefix(r).decode()
    c = r.client()
    said = gone = 0
    for i in range(15):
        tap.wait_for(lambda: not facts(c, prefix), 60, message="it stays")
        o = Opened(gates[i % 2], gates[1 - i % 2], 0x0311, {"ciphers": (2,)}, True)
        key, = facts(c, prefix)
        c("FLUSHALL")
        said += bool(tap.wait_for(lambda: c("EXISTS", key), 20, 0.001))
        o.b.logoff(o.s)
        gone += bool(tap.wait_for(lambda: not c("EXISTS", key), 20))
        o.close()
    t.same((said, gone), (15, 15), "said again after a FLUSHALL, and gone with the LOGOFF")


def by_logoff(o, kw, port):
    o.b.logoff(o.s)


def by_previous(o, kw, port):
    """A new session names it, while it has a channel there."""
    o.c = connect("127.0.0.1", port, 0x0311, kw, o.a.guid)
    o.c.login(prev=o.s.sid)


def by_stranger(o, kw, port):
    """The same where nothing is known of it."""
    o.b.close()
    tap.wait_for(lambda: not o.second.session(o.s.sid), 60, message="its row stays")
    by_previous(o, kw, port)


def ended(t, gates, mode):
    """A session that ends through one proxy, under GMAC, is asked for through the other: nobody
    else on the connection has to do with it."""
    for strict, ciphers in ((1, (2,)), (3, (2,) if mode == "filter" else ())):
        kw = {"signing": (2,), "security": strict, "ciphers": ciphers}
        for end in (by_logoff, by_previous, by_stranger):
            o = Opened(gates[0], gates[1], 0x0311, kw, False)
            o.second = gates[1]
            other = o.a.login("bob", node.USERS["bob"][0], sign=True, security=strict)
            tid = o.a.tree(other)
            label = "%s, GMAC%s%s, ended %s through the other proxy" % (
                mode, "" if ciphers else ", no cipher", ", must sign" if strict == 3 else "",
                end.__name__.replace("_", " "))
            end(o, kw, gates[1].port)
            gone = tap.wait_for(lambda: not gates[0].session(o.s.sid), 60)
            try:
                got = ["0x%08X" % o.a.ifinfo_raw(o.s, o.tid).status]
                got.append(o.a.ifinfo_raw(other, tid).status)
            except smb2.Closed:
                got = ["closed"]
            t.same([gone, *got], [True, "0x%08X" % smb2.USER_SESSION_DELETED, 0], label)
            o.close()


def stranger(t, nodes, gates):
    """A bind with another GUID than the session's: nobody tells smbgate of that session, and the
    node refuses it, as directly."""
    def refusal(port, addr, a, s):
        while True:
            b = connect(addr, port, 0x0311, {})
            if several.which(b) == several.which(a):
                break
            b.close()
        m = b.login(bind=s, allow=(smb2.REQUEST_NOT_ACCEPTED, smb2.USER_SESSION_DELETED))
        b.close()
        return m.status
    n = nodes[0]
    got = []
    for first, second in (((n.addr, n.port), (n.addr, n.port)),
                          (("127.0.0.1", gates[0].port), ("127.0.0.1", gates[1].port))):
        a = connect(*first, 0x0311, {})
        s = a.login()
        got.append(refusal(second[1], second[0], a, s))
        a.close()
    t.same("0x%08X" % got[1], "0x%08X" % got[0],
           "a bind with another GUID, through another proxy: what the node says directly")


def without(t, nodes, r, label, **kw):
    """No secret, or nobody to ask: the second channel works and is opaque."""
    gates = several.pair(t, nodes, [r.endpoint], interfaces=INTERFACES, keytab=keytab(t), **kw)
    o = Opened(gates[0], gates[1], 0x0311, {"ciphers": (2,)}, True)
    t.ok(gates[0].keyed(o.s.sid)[0], "%s: the first channel is keyed" % label)
    t.same(gates[1].keyed(o.s.sid)[:2], (False, "the session's first channel is opaque"),
           "%s: the second one is opaque, and works" % label)
    n = next(x for x in nodes if x.name == several.which(o.a))
    t.same(told(o.b, o.s, o.tid), [n.addr], "%s: and is told what the node says" % label)
    t.ok(not [k for k in r.do("KEYS", "*") if b":f:" in k], "%s: nothing of it is in Redis" % label)
    o.close()
    for g in gates:
        t.same(g.stop(), 0, "%s: %s ends with status 0" % (label, g.name))


def stopped(t, gates, r):
    """Redis hangs: a bind waits a moment, and is opaque."""
    a = connect("127.0.0.1", gates[0].port, 0x0311, {"ciphers": (2,)})
    s = a.login(seal=True, sign=False, strict=True)
    b = connect("127.0.0.1", gates[1].port, 0x0311, {"ciphers": (2,)}, a.guid)
    r.stop()
    b.login(bind=s)
    t.ok(not gates[1].keyed(s.sid)[0], "Redis hangs: bound, and opaque")
    r.cont()
    several.healed(*gates)
    c = connect("127.0.0.1", gates[1].port, 0x0311, {"ciphers": (2,)}, a.guid)
    c.login(bind=s)
    for x in (a, b, c):
        x.close()


def main(t):
    nodes = node.cluster(t, 3)
    control(t, nodes)
    if gate.missing():
        t.bail(gate.missing())
    r = redis.Server(t).start()
    # a bind waits longer for its keys than by default: the machine may be busy
    gates = several.pair(t, nodes, [r.endpoint], interfaces=INTERFACES, keytab=keytab(t),
                         state={"timeout": "5s"})
    keyed(t, gates)
    at_once(t, nodes, gates)
    ended(t, gates, "announce")
    for g in gates:
        g.reload(interfaces={"lan": {"mode": "filter"}})
    ended(t, gates, "filter")
    for g in gates:
        g.reload(interfaces=INTERFACES)
    kept(t, gates, r)
    flushed(t, gates, r)
    stranger(t, nodes, gates)
    stopped(t, gates, r)
    for g in gates:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)
    r.do("FLUSHALL")
    without(t, nodes, r, "no cluster secret", secret=None)


with tap.Test(deadline=200) as test:
    main(test)
