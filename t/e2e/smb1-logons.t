#!/usr/bin/python3
# smb1-logons.t: SMB1 logons, signed, chained, many at once, and VcNumber 0 among neighbours
"""SMBGATE_CROWD is how many clients ask at once (16)."""
import concurrent.futures
import os
import time

import gate
import node
import redis
import several
import smb2
import tap

why = node.missing() or gate.missing()
if not why:
    try:
        import smb1
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)

CROWD = int(os.environ.get("SMBGATE_CROWD", "16"))
HERE, THERE = "127.0.0.51", "127.0.0.52"
BAD_NETWORK_NAME, LOGON_FAILURE = 0xC00000CC, 0xC000006D
MODERN = {"2.1": 0x0210, "3.1.1": 0x0311}


def modern(addr, port, src, dialect, workstation="PC1", user="alice", password="Alice-pw-1"):
    c = smb2.Conn(addr, port, src=src).negotiate([dialect])
    c.tree(c.login(auth=smb2.Ntlm(user, password, workstation=workstation)))
    return c


def signing(addr, port, claim):
    """An SMB1 client that has logged on; claim: its FLAGS2 say that it signs, whatever it does."""
    c = smb1.Client(addr, port, vc=0, name="PC9")
    if claim:
        c.smb._SignatureRequired = True
    return c.login()


class Neighbours:
    """Of each kind, behind the addresses of whoever logs on and of somebody else."""

    def __init__(self, addr, port, node_name=""):
        self.conns = {"SMB1": smb1.Raw(addr, port, THERE).login("bob", "Bob-pw-2")}
        for src in (HERE, THERE):
            for name, d in MODERN.items():
                self.conns["%s at %s" % (name, src)] = modern(addr, port, src, d)

    def gone(self):
        return [k for k, c in self.conns.items() if not c.is_open()]

    def close(self):
        for c in self.conns.values():
            c.close()


def delta(g, before, *names):
    after = g.stats()
    return [after[x] - before[x] for x in names]


COUNTS = ("vc_zero", "vc_renumbered", "vc_signed")


def second_logon(c):
    try:
        c.login("bob", "Bob-pw-2")
        return "logged on"
    except Exception:                # impacket raises many kinds of them
        return "closed"


def signed(t, lab):
    """A second logon with VcNumber 0 on a connection that signs, and on one that says so."""
    for mode, claim, want, count in (("mandatory", False, "closed", [3, 2, 1]),
                                     ("auto", True, "logged on", [4, 4, 0])):
        n = node.Node(lab, "s-%s-%d" % (mode, claim), "127.0.0.11", signing=mode,
                      extra=["ntlm auth = ntlmv1-permitted"]).start()
        g = gate.Gate(t, [n], smb1="allow", name="signed").start()
        name = "server signing = %s, %s" % (mode, "claimed" if claim else "as the node wants it")
        c = signing(n.addr, n.port, claim)
        t.same(second_logon(c), "logged on", "direct: %s: a second logon" % name)
        c.close()
        near = Neighbours("127.0.0.1", g.port) if mode == "auto" else None
        far = modern("127.0.0.1", g.port, THERE, 0x0311)
        stats, before = g.stats(), g.closes()
        c = signing("127.0.0.1", g.port, claim)
        t.same(second_logon(c), want, "through smbgate, %s: a second logon with VcNumber 0" % name)
        t.same(delta(g, stats, *COUNTS), count, "%s: renumbered, or counted as signed" % name)
        g.turn()
        gate.settle_closes(g)
        t.same(g.closed_since(before).get("smb1_signed", 0), count[2],
               "%s: its end says why" % name)
        t.ok(far.is_open() and not (near and near.gone()), "%s: nobody else has ended" % name,
             near and near.gone())
        c.close()
        if mode == "mandatory":
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                got = set(pool.map(lambda _: second_logon(signing("127.0.0.1", g.port, False)),
                                   range(CROWD)))
            t.same(got, {"closed"}, "%d at once: each ends itself" % CROWD)
            t.ok(far.is_open(), "and nobody else")
        t.same(g.stop(), 0, "signed: smbgate ends with status 0")
        n.kill()


def at_once(t, n, g):
    """Many logons in flight on one connection."""
    def burst(addr, port):
        c = smb1.Raw(addr, port, HERE)
        c.send(*[c.logon("alice", "Alice-pw-1", vc=0, mid=k + 1) for k in range(40)])
        got = [c.answer() for _ in range(40)]
        c.close()
        return {s for s, _ in got}, len({u for _, u in got})
    direct = burst(n.addr, n.port)
    t.same(direct, ({0}, 40), "direct: forty logons at once succeed")
    t.same(burst("127.0.0.1", g.port), direct, "through smbgate: as well")
    g.reload(vc_reset="user")
    victim = smb1.Raw("127.0.0.1", g.port, HERE).login("bob", "Bob-pw-2")
    old = smb1.Raw("127.0.0.1", g.port, HERE).login()
    c = smb1.Raw("127.0.0.1", g.port, HERE)
    stats = g.stats()
    c.send(c.logon("alice", "Alice-pw-1", vc=0, mid=1), c.logon("bob", "wrong", mid=2))
    t.same([c.answer()[0] for _ in range(2)], [0, LOGON_FAILURE],
           "alice, with VcNumber 0, and a refused bob right behind her")
    t.ok(tap.wait_for(lambda: not old.is_open(), 60), "alice's older connection has ended")
    t.ok(victim.is_open(), "bob's has not")
    t.same(delta(g, stats, "vc_resets", "logon_failures"), [1, 1], "one of each is counted")
    c2 = smb1.Raw("127.0.0.1", g.port, HERE)
    c2.send(c2.logon("bob", "wrong", vc=0, mid=1), c2.logon("alice", "Alice-pw-1", mid=2))
    t.same([c2.answer()[0] for _ in range(2)], [LOGON_FAILURE, 0],
           "a refused bob with VcNumber 0, and alice behind him")
    t.ok(c.is_open() and victim.is_open(), "end nothing")
    for x in (victim, old, c, c2):
        x.close()


def chained(t, n, g):
    """A logon and a TREE_CONNECT that fails, in one message."""
    g.reload(vc_reset="user")

    def chain(addr, port):
        c = smb1.Raw(addr, port, HERE)
        c.send(c.logon("alice", "Alice-pw-1", vc=0, tree="NOTTHERE"))
        status, c.uid = c.answer()
        return c, status
    d, status = chain(n.addr, n.port)
    t.same(status, BAD_NETWORK_NAME, "direct: the answer is that of the TREE_CONNECT")
    t.ok(d.is_open(), "direct: the logon holds")
    stats = g.stats()
    c, status = chain("127.0.0.1", g.port)
    t.same(status, BAD_NETWORK_NAME, "through smbgate: the same answer")
    t.ok(c.is_open(), "the logon holds")
    t.same(delta(g, stats, "logged_on", "logon_failures", "vc_resets"), [1, 0, 1],
           "and is one, whose VcNumber 0 counts")
    stages = [x["stage"] for r in g.clients() for x in r["connections_list"]]
    t.same(stages, ["relay"], "the logon's deadline is over")
    d.close()
    c.close()


def ahead(t, n, g):
    """Requests that are sent behind a NEGOTIATE without waiting for its answer."""
    def run(*more):
        def at(addr, port):
            c = smb1.Raw(addr, port, negotiate=False)
            neg, nobody = c.negotiation(), c.logon("", None)
            known = {"NEGOTIATE": neg, "nobody's logon": nobody, "SMB2": b"\xfeSMB" + bytes(124),
                     "ECHO": c.message(0x2B, b"\1\0", b"x", mid=9, tid=0xFFFF)}
            c.send(neg, *[known[x] for x in more])
            out = []
            try:
                for _ in range(1 + len(more)):
                    r = c.recv()
                    out.append((r[4], r[5:9]))
            except OSError:
                out.append("closed")
            c.close()
            return out
        return at
    for more in (["nobody's logon", "ECHO"], ["NEGOTIATE"], ["SMB2"]):
        direct = run(*more)(n.addr, n.port)
        t.same(run(*more)("127.0.0.1", g.port), direct,
               "a NEGOTIATE with %s right behind it: %d answers, as directly" % (
                   " and ".join(more), len(direct)))


def old(t, g):
    """Who speaks old protocols: a crowd of each kind, and none of the others."""
    here = "127.0.0.1"
    conns = [smb1.Raw(here, g.port, HERE).login() for _ in range(CROWD)]
    conns.append(smb1.Client(here, g.port, vc=1, name="OLDPC", src=HERE).login("bob", "Bob-pw-2"))
    conns.append(modern(here, g.port, HERE, 0x0202, "XP7"))
    conns.append(modern(here, g.port, THERE, 0x0311, "W\u00e4ch\x1bter", "bob", "Bob-pw-2"))
    nobody = smb2.Conn(here, g.port).negotiate([0x0311])
    nobody.login("", "")
    seen = []

    def there():
        """A row each; who came before has gone, and may not be gone yet."""
        seen[:] = g.ctl("show", "clients", "--old")["old"]
        return len(seen) == len(conns)
    tap.wait_for(there, 60)
    rows = list(seen)
    got = sorted({(r["client_address"].split(":")[0], r["dialect"], r["authentication"],
                   r["user"], r["machine"], r["node"]) for r in rows}, key=str)
    t.same(got, sorted([
        (HERE, "SMB1", "NTLMv1", "LABGROUP\\alice", None, "n1"),
        (HERE, "SMB1", "NTLMv2", "bob", "OLDPC", "n1"),
        (HERE, "2.0.2", "NTLMv2", "alice", "XP7", "n1"),
        (THERE, "3.1.1", "NTLMv2", "bob", "W\u00e4ch?ter", "n1")], key=str),
        "show clients --old: machine, user, dialect and authentication of each")
    t.same(len(rows), CROWD + 3, "a row each")
    text = g.ctl_run("show", "clients", "--old").stdout
    t.ok(text.splitlines()[0].split()[:5] == ["ADDRESS", "MACHINE", "USER", "DIALECT",
                                              "AUTHENTICATION"] and "OLDPC" in text, "as a table",
         text)
    t.same(g.ctl_run("show", "stats", "--old").returncode, 2, "--old goes with show clients alone")
    for c in conns + [nobody]:
        c.close()


def same_user(t, g):
    """Two PCs of one user behind one address, who name no machine."""
    g.reload(vc_reset="identity")
    one = smb1.Raw("127.0.0.1", g.port, HERE).login()
    stats = g.stats()
    two = smb1.Raw("127.0.0.1", g.port, HERE).login(vc=0)
    t.ok(tap.wait_for(lambda: delta(g, stats, "vc_nameless") == [1], 60) and one.is_open(),
         "identity: two PCs of one user that name no machine do not end each other")
    one.close()
    two.close()


def resets(t, r, gates):
    """PC1 has started anew: all that it had goes, on both nodes and both proxies, and no more."""
    old, kept = {}, {}
    for g in gates:
        for name, d in MODERN.items():
            where = "%s through %s" % (name, g.name)
            old[where] = modern("127.0.0.1", g.port, HERE, d)
            kept["PC2, " + where] = modern("127.0.0.1", g.port, HERE, d, "PC2")
            kept["a PC1 elsewhere, " + where] = modern("127.0.0.1", g.port, THERE, d)
        old["SMB1 through " + g.name] = smb1.Client("127.0.0.1", g.port, vc=1, name="PC1",
                                                    src=HERE).login()
        kept["SMB1, nameless, through " + g.name] = smb1.Raw("127.0.0.1", g.port, HERE).login()
    old = {k: c if hasattr(c, "is_open") else Impacket(c) for k, c in old.items()}
    counts = [sum(x["connections"] > 0 for x in g.node_list().values()) for g in gates]
    t.same(counts, [2, 2], "connections of PC1 and of others on two nodes through two proxies")
    born = time.monotonic()
    # what is about as old as the logon is not taken for older on another proxy
    tap.wait_for(lambda: time.monotonic() - born > 1.2, 60)
    c = smb1.Client("127.0.0.1", gates[0].port, vc=0, name="PC1", src=HERE)
    young = modern("127.0.0.1", gates[1].port, HERE, 0x0311)
    before = [g.closes() for g in gates]
    heard = r.client()
    heard("SUBSCRIBE", several.prefix(r) + b"news")
    c.login()
    t.ok(tap.wait_for(lambda: not any(x.is_open() for x in old.values()), 60),
         "every older connection of PC1 has ended",
         [k for k, x in old.items() if x.is_open()])
    for g in gates:
        g.turn()
        gate.settle_closes(g)
    t.same([k for k, x in kept.items() if not x.is_open()], [], "and none of anybody else")
    t.ok(young.is_open(), "nor PC1's own that began later, through the other proxy")
    t.same([g.closed_since(b).get("vc_reset") for g, b in zip(gates, before)], [3, 3],
           "counted on both proxies")
    t.ok(Impacket(c).is_open(), "nor the one that asked")
    said = heard.reply()[2]
    while said[:1] != b"v":
        said = heard.reply()[2]
    after = [g.closes() for g in gates]
    for forged in (said, b"v" + b"0" * 16 + said[17:], said[:17] + b"0" * 16 + said[33:],
                   said[:-1] + bytes([said[-1] ^ 1]), b"v" + b"0" * 32 + b"rubbish", b"v"):
        r.do("PUBLISH", several.prefix(r) + b"news", forged)
    for g in gates:
        g.turn()
        gate.settle_closes(g)
    t.same([g.closed_since(b).get("vc_reset") for g, b in zip(gates, after)], [None, None],
           "the same message again, and forged ones, end nothing")
    heard.close()
    for x in list(kept.values()) + [young, c]:
        x.close()


class Impacket:
    """The end of a connection that impacket reads from."""

    def __init__(self, c):
        self.c = c

    def is_open(self):
        self.c.sock.setblocking(False)
        try:
            return self.c.sock.recv(1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


def main(t):
    lab = node.Lab(t)
    signed(t, lab)
    nodes = [node.Node(lab, "n%d" % i, "127.0.0.%d" % (12 + i), signing="disabled",
                       extra=["ntlm auth = ntlmv1-permitted"]).start() for i in (1, 2)]
    g = gate.Gate(t, nodes[:1], smb1="allow").start()
    at_once(t, nodes[0], g)
    chained(t, nodes[0], g)
    ahead(t, nodes[0], g)
    old(t, g)
    same_user(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    if redis.missing():
        t.diag("left out, two proxies: " + redis.missing())
        return
    r = redis.Server(t).start()
    gates = several.pair(t, nodes, [r.endpoint], smb1="allow", vc_reset="identity")
    resets(t, r, gates)
    t.same([x.stop() for x in gates], [0, 0], "both proxies end with status 0")


with tap.Test(deadline=90) as test:
    main(test)
