#!/usr/bin/python3
# keyed-numbers.t: a node gives numbers of old sessions to new ones, which have keys of their own
"""SMBGATE_SECONDS: how long the crowd comes and goes (2)."""
import os
import random
import threading
import time

import gate
import keyed
import node
import numbered
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

SECONDS = float(os.environ.get("SMBGATE_SECONDS", "2"))
HERE, OURS = "127.0.0.1", ["10.9.9.1"]
ANNOUNCE = {"mode": "announce", "list": [(a, {}) for a in OURS]}
KINDS = {
    "3.0.2 CMAC": (0x0302, False, {}),
    "3.1.1 CMAC": (0x0311, False, {"signing": (1,)}),
    "3.1.1 GMAC": (0x0311, False, {"signing": (2,)}),
    "3.0.2 sealed": (0x0302, True, {}),
    "3.1.1 sealed": (0x0311, True, {}),
}


class Place:
    """The node, or smbgate; and what it is asked there."""

    def __init__(self, t, n, g, kind):
        self.t, self.n, self.g = t, n, g
        self.addr, self.port = (HERE, g.port) if g else (n.addr, n.port)
        self.dialect, self.seal, self.offer = KINDS[kind]
        self.name = "%s, %s" % (kind, "through smbgate" if g else "direct")

    def connect(self, guid=None):
        return smb2.Conn(self.addr, self.port).negotiate([self.dialect], guid=guid, **self.offer)

    def login(self, c, user, **kw):
        return c.login(user, node.USERS[user][0], seal=self.seal, sign=not self.seal, **kw)

    def told(self, c, s):
        """What a query says."""
        m = c.ifinfo_raw(s, 7)
        return [i.ip for i in smb2.ifinfo_of(m)] if m.status == 0 else "0x%08X" % m.status

    def good(self):
        return OURS if self.g else [self.n.addr]

    def is_keyed(self, s, user):
        if not self.g:
            return True
        state = self.g.keyed(s.sid)
        return state[0] is True and state[2].startswith(user) or state


def one_connection(p):
    """They come and go on it."""
    out = []
    with p.connect() as c:
        keep = p.login(c, "alice")
        for i in range(4):
            user = ("bob", "alice")[i % 2]
            s = p.login(c, user)
            out.append((s.sid, p.told(c, s), p.is_keyed(s, user)))
            c.logoff(s)
        out.append((keep.sid, p.told(c, keep), p.is_keyed(keep, "alice")))
    return out, [(2, p.good(), True)] * 4 + [(1, p.good(), True)]


def forgotten(p):
    """The node has forgotten one, and gives its number to somebody on another connection."""
    with p.connect() as a, p.connect() as b:
        lost, mate = p.login(a, "alice"), p.login(a, "bob")
        p.told(a, lost)
        p.n.forget(lost.sid)
        s = p.login(b, "bob")
        out = [s.sid == lost.sid, p.told(b, s), p.is_keyed(s, "bob"), p.told(a, mate),
               p.is_keyed(mate, "bob")]
        if not p.seal:      # which ends the connection, directly too
            out += [p.told(a, lost), p.told(b, s), p.is_keyed(s, "bob"), p.told(a, mate)]
    good = p.good()
    return out, [True, good, True, good, True] + (
        [] if p.seal else ["0x%08X" % smb2.USER_SESSION_DELETED, good, True, good])


def two_connections(p):
    """Of two channels: over on one, and its number's next one bound on both."""
    out = []
    with p.connect() as a:
        with p.connect(a.guid) as b:
            for user in ("alice", "bob", "alice"):
                s = p.login(a, user)
                b.login(user, node.USERS[user][0], bind=s)
                out.append((s.sid, p.told(a, s), p.told(b, s), p.is_keyed(s, user)))
                b.logoff(s)
    return out, [(1, p.good(), p.good(), True)] * 3


def restart(p):
    """Everybody comes back, names the session that was lost, and has another one's number."""
    who = ["alice", "bob", "alice"]
    a, b = p.connect(), p.connect()
    old = [p.login(c, u) for c, u in zip((a, a, b), who)]
    told = [p.told(c, s) for c, s in zip((a, a, b), old)]
    p.n.restart()
    for c in (a, b):
        c.recv_eof()
    gone = True
    if p.g:
        gone = tap.wait_for(lambda: not p.g.sessions(), 20)
        # it may be taken for down for a moment
        tap.wait_for(lambda: p.g.node_states()[p.n.name] == "up", 20)
    a, b = p.connect(a.guid), p.connect(b.guid)
    # the second and the third name another user's new session
    new = [p.login(c, u, prev=i) for c, u, i in zip((b, a, a), who, (2, 1, 2))]
    out = [told, gone, [s.sid for s in new], [p.told(c, s) for c, s in zip((b, a, a), new)],
           [p.is_keyed(s, u) for s, u in zip(new, who)]]
    a.close()
    b.close()
    return out, [[p.good()] * 3, True, [1, 2, 3], [p.good()] * 3, [True] * 3]


def two_nodes(t, nodes):
    """Two nodes give the same numbers, and one of them starts again: the other's stay."""
    g = gate.Gate(t, nodes, keytab=keyed.light_keytab(t), interfaces={"lan": ANNOUNCE},
                  name="two").start()
    p = Place(t, nodes[0], g, "3.1.1 GMAC")
    live = []
    for i in range(12):
        c = p.connect()
        live.append((c, p.login(c, ("alice", "bob")[i % 2])))
    on = {n.name: [x for x in live if x[0].server_guid == n.server_guid] for n in nodes}
    names = {k: {s.sid for _, s in v} for k, v in on.items()}
    t.ok(all(names.values()) and set.intersection(*names.values()), "two nodes: the same numbers",
         names)
    t.same([p.told(c, s) for c, s in live], [OURS] * 12, "two nodes: each is told policy's list")
    t.same([s["keyed"] for s in g.sessions()], [True] * 12, "two nodes: each is keyed")
    nodes[0].restart()
    for c, _ in on[nodes[0].name]:
        c.recv_eof()
        c.close()
    rest = on[nodes[1].name]
    t.same([p.told(c, s) for c, s in rest], [OURS] * len(rest),
           "two nodes: one starts again: the other's sessions go on")
    tap.wait_for(lambda: g.node_states()[nodes[0].name] == "up", 20)
    more = [(c, p.login(c, "bob")) for c in [p.connect() for _ in range(8)]]
    t.same([p.told(c, s) for c, s in rest + more], [OURS] * (len(rest) + 8),
           "two nodes: and so do those beside new ones of their numbers")
    for c, _ in rest + more:
        c.close()
    t.same(g.stop(), 0, "two nodes: smbgate ends with status 0")


class Passer(threading.Thread):
    """Logs on, asks, logs off, or leaves it at that; on two connections."""

    def __init__(self, t, n, g, i, over):
        super().__init__(daemon=True)
        self.p = Place(t, n, g, list(KINDS)[i % len(KINDS)])
        self.rand, self.over = random.Random(i), over
        self.wrong, self.count = [], 0

    def run(self):
        try:
            while not self.over.is_set():
                self.once()
        except Exception as e:      # pylint: disable=broad-except
            self.wrong.append(repr(e))

    def once(self):
        p = self.p
        user = self.rand.choice(("alice", "bob"))
        with p.connect() as a, p.connect(a.guid) as b:
            for _ in range(4):
                s = p.login(a, user)
                told = [p.told(a, s)]
                if self.rand.random() < 0.5:
                    b.login(user, node.USERS[user][0], bind=s)
                    told.append(p.told(b, s))
                if told != [OURS] * len(told):
                    self.wrong.append(told)
                self.count += 1
                if self.rand.random() < 0.7:
                    a.logoff(s)


def crowd(t, n, g):
    over = threading.Event()
    them = [Passer(t, n, g, i, over) for i in range(15)]
    for x in them:
        x.start()
    time.sleep(SECONDS)     # that long, not until something
    over.set()
    for x in them:
        x.join(60)
    wrong = [(x.p.name, x.wrong[:3]) for x in them if x.wrong or x.is_alive()]
    t.ok(not wrong and all(x.count for x in them), "a crowd has %d sessions of few numbers: each "
         "is told policy's list" % sum(x.count for x in them), wrong[:5])


def main(t):
    nodes = [numbered.NumberedNode(t, "k%d" % i, "127.0.0.%d" % (60 + i)).start() for i in (1, 2)]
    g = gate.Gate(t, nodes[:1], keytab=keyed.light_keytab(t), interfaces={"lan": ANNOUNCE}).start()
    before = g.closes()
    for kind in KINDS:
        for place in (None, g):
            for case in (one_connection, forgotten, two_connections, restart):
                p = Place(t, nodes[0], place, kind)
                try:
                    got, want = case(p)
                    t.same(got, want, "%s: %s" % (p.name, case.__doc__.strip()))
                except (smb2.Closed, smb2.Broken, smb2.Status, TimeoutError) as e:
                    t.ok(False, "%s: %s: %r" % (p.name, case.__doc__.strip(), e))
                tap.wait_for(lambda: not nodes[0].sessions and not g.sessions(), 20)
    crowd(t, nodes[0], g)
    gate.settle_closes(g)
    t.same(set(g.closed_since(before)) - {"client_eof", "node_eof"}, set(),
           "nobody was cut by smbgate")
    t.same(g.stop(), 0, "smbgate ends with status 0")
    two_nodes(t, nodes)


with tap.Test(deadline=120) as test:
    main(test)
