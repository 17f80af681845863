#!/usr/bin/python3
# redis-shared-keys.t: a session opened through one proxy, bound through another: keyed there too

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
        self.a = connect("127.0.0.1", first.port, dialect, kw)
        self.s = self.a.login(seal=seal, sign=not seal, strict=True)
        self.tid = self.a.tree(self.s)
        self.b = connect("127.0.0.1", second.port, dialect, kw, self.a.guid)
        self.b.login(bind=self.s)

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


def kept(t, gates, r):
    """What is in Redis, for how long, and what is not in it."""
    prefix = several.prefix(r).decode()
    tap.wait_for(lambda: not r.do("KEYS", prefix + "s:*"), 10, message="facts stay")
    o = Opened(gates[0], gates[1], 0x0311, {"ciphers": (2,)}, True)
    c = r.client()
    keys = c("KEYS", prefix + "s:*")
    t.same(len(keys), 1, "one key in Redis for the session")
    ttl = c("PTTL", keys[0])
    t.ok(0 < ttl <= 60000, "that lives at most 60 s: %d ms" % ttl)
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
        other = Opened(gates[0], gates[0], 0x0311, {"ciphers": (2,)}, True)
        if several.which(other.a) == several.which(o.a):
            break
        other.close()
    tap.wait_for(lambda: len(c("KEYS", prefix + "s:*")) == 2, 5, message="facts stay")
    theirs = next(k for k in c("KEYS", prefix + "s:*") if k != keys[0])
    mine = c.hash(keys[0])
    for field, value in mine.items():
        c("HSET", theirs, field, value)
    b = connect("127.0.0.1", gates[1].port, 0x0311, {"ciphers": (2,)}, other.a.guid)
    b.login(bind=other.s)
    t.ok(not gates[1].keyed(other.s.sid)[0],
         "another session's keys under its name: opaque, and the bind works: %r" % (
             gates[1].keyed(other.s.sid),))
    b.close()
    other.close()
    # renewed while it lives
    before = c("PTTL", keys[0])
    tap.wait_for(lambda: c("PTTL", keys[0]) > before, 30, message="never renewed")
    t.ok(True, "renewed while the session lives")
    # lost, and said again
    c("FLUSHALL")
    tap.wait_for(lambda: c("EXISTS", keys[0]), 10, message="never said again")
    t.ok(True, "said again after a FLUSHALL")
    o.a.logoff(o.s)
    t.ok(tap.wait_for(lambda: not c("EXISTS", keys[0]), 5), "gone with the LOGOFF")
    o.close()


def elsewhere(t, nodes, gates, r):
    """DESIGN 5, rule 2: a bind that reaches another node than its session's never gets there."""
    a = connect("127.0.0.1", gates[0].port, 0x0311, {})
    s = a.login()
    home = several.which(a)
    before = gates[1].stats()["binds_refused_node"]
    # Another GUID, so another client to the map: some of them are sent to another node.
    while True:
        b = connect("127.0.0.1", gates[1].port, 0x0311, {})
        if several.which(b) != home:
            break
        b.close()
    m = b.login(bind=s, allow=(smb2.REQUEST_NOT_ACCEPTED,))
    t.same(m.status, smb2.REQUEST_NOT_ACCEPTED,
           "a bind on another node than %s's is refused" % home)
    t.same(gates[1].stats()["binds_refused_node"], before + 1, "by the other proxy itself")
    b.close()
    a.close()


def without(t, nodes, r, label, **kw):
    """No secret, or nobody to ask: the second channel works and is opaque."""
    gates = several.pair(t, nodes, [r.endpoint], interfaces=INTERFACES, keytab=keytab(t), **kw)
    o = Opened(gates[0], gates[1], 0x0311, {"ciphers": (2,)}, True)
    t.ok(gates[0].keyed(o.s.sid)[0], "%s: the first channel is keyed" % label)
    t.same(gates[1].keyed(o.s.sid)[:2], (False, "the session's first channel is opaque"),
           "%s: the second one is opaque, and works" % label)
    n = next(x for x in nodes if x.name == several.which(o.a))
    t.same(told(o.b, o.s, o.tid), [n.addr], "%s: and is told what the node says" % label)
    t.ok(not [k for k in r.do("KEYS", "*") if b":s:" in k], "%s: nothing of it is in Redis" % label)
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
    gates = several.pair(t, nodes, [r.endpoint], interfaces=INTERFACES, keytab=keytab(t))
    keyed(t, gates)
    kept(t, gates, r)
    elsewhere(t, nodes, gates, r)
    stopped(t, gates, r)
    for g in gates:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)
    r.do("FLUSHALL")
    without(t, nodes, r, "no cluster secret", secret=None)


with tap.Test(deadline=200) as test:
    main(test)
