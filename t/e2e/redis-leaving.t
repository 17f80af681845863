#!/usr/bin/python3
# redis-leaving.t: channels of one session leave one proxy: the others keep the session's keys
"""SMBGATE_SEED repeats a crowd."""
import os
import random
import time

import gate
import keyed
import node
import redis
import several
import smb2
import tap

why = node.missing() or redis.missing()
if why:
    tap.skip_all(why)

SEED = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)
KEYED = (True, None, "alice@LABGROUP")
SESSIONS = 16
TURNS = 60


def connect(addr, port, guid=None):
    return smb2.Conn(addr, port).negotiate([0x0311], guid=guid, ciphers=(2,))


class Session:
    """A session, and its channels: (gate, connection)."""

    def __init__(self, g):
        c = connect("127.0.0.1", g.port)
        self.s = c.login(seal=True, sign=False, strict=True)
        c.tree(self.s)
        self.guid, self.channels = c.guid, [(g, c)]

    def bind(self, g):
        """A further channel: how its gate has the session."""
        c = connect("127.0.0.1", g.port, self.guid)
        c.login(bind=self.s)
        self.channels.append((g, c))
        return g.keyed(self.s.sid)

    def leave(self, i, how="close"):
        """A channel goes, and its gate has seen it."""
        g, c = self.channels.pop(i)
        n = sum(x is g for x, _ in self.channels)
        getattr(c, how)()
        tap.wait_for(lambda: channels(g, self.s.sid) == n, 60, every=0.01,
                     message="a channel that is gone stays")

    def works(self):
        """Its channels serve it: each answer is sealed with its keys."""
        for _, c in self.channels:
            c.echo(session=self.s)

    def close(self):
        for _, c in self.channels:
            c.close()


def channels(g, sid):
    return len(g.session(sid).get("channels", ()))


def control(t, n):
    """Without smbgate: the session is there as long as it has a channel."""
    for how in "close", "reset":
        a = connect(n.addr, n.port)
        s = a.login(seal=True, sign=False, strict=True)
        b = connect(n.addr, n.port, a.guid)
        b.login(bind=s)
        getattr(a, how)()
        c = connect(n.addr, n.port, a.guid)
        c.login(bind=s)
        c.echo(session=s)
        t.ok(True, "direct: the first channel leaves (%s): the session takes another" % how)
        b.close()
        c.close()


def one(t, gates):
    a, b, c = gates
    for how in "close", "reset":
        x = Session(a)
        t.same(x.bind(b), KEYED, "a second channel, through another proxy")
        x.leave(0, how)
        t.same(x.bind(c), KEYED, "the first leaves (%s): bound through a third, keyed" % how)
        x.leave(1)
        t.same(x.bind(a), KEYED, "and through the first one again")
        x.leave(0)
        t.same(x.bind(b), KEYED, "the second one leaves, and comes back")
        x.works()
        x.close()


def over(t, gates, r):
    """The end of the session is the end of its keys, for all."""
    a, b, _ = gates
    x = Session(a)
    x.bind(b)
    x.leave(1)
    key = several.prefix(r) + b"f:*"
    r.do("FLUSHALL")
    t.ok(tap.wait_for(lambda: len(r.do("KEYS", key)) == 1, 60), "said by the one that has it")
    x.channels[0][1].logoff(x.s)
    t.ok(tap.wait_for(lambda: not r.do("KEYS", key), 60),
         "LOGOFF: nobody is told its keys any more")
    x.close()
    # Facts are with the client's claim, and nobody is on that any more.
    x = Session(a)
    t.ok(tap.wait_for(lambda: len(r.do("KEYS", key)) == 1, 60), "another one's are told")
    x.leave(0)
    t.ok(tap.wait_for(lambda: not r.do("KEYS", key), 60), "its last channel leaves: nor its")


def crowd(t, gates):
    """Many sessions join and leave in any order; each has a channel somewhere at any time."""
    t.diag("seed %d" % SEED)
    rnd = random.Random(SEED)
    all_ = [Session(rnd.choice(gates)) for _ in range(SESSIONS)]
    binds, wrong = 0, []
    for _ in range(TURNS):
        x = rnd.choice(all_)
        if len(x.channels) == 1 or (len(x.channels) < 5 and rnd.random() < 0.5):
            got = x.bind(rnd.choice(gates))
            binds += 1
            if got != KEYED:
                wrong.append(got)
        else:
            x.leave(rnd.randrange(len(x.channels)), rnd.choice(("close", "reset")))
    for x in all_:
        x.works()
    t.same(wrong, [], "%d sessions through 3 proxies, channels join and leave: %d binds, all keyed"
           % (SESSIONS, binds))
    return all_


def killed(t, gates, crowd_):
    """A proxy is killed: what another one serves is known to the third."""
    a, b, c = gates
    mine = crowd_[:8]
    for x in mine:
        for g in a, b:
            if not any(y is g for y, _ in x.channels):
                x.bind(g)
        for i in reversed(range(len(x.channels))):
            if x.channels[i][0] is c:
                x.leave(i)
    a.proc.kill()
    a.proc.wait()
    a.proc = None
    for x in crowd_:
        for y, conn in x.channels:
            if y is a:
                conn.close()
        x.channels = [y for y in x.channels if y[0] is not a]
    t.same([y for y in (x.bind(c) for x in mine) if y != KEYED], [],
           "a proxy is killed: %d sessions of another one are bound through a third, keyed" %
           len(mine))
    for x in crowd_:
        x.works()
        x.close()


def main(t):
    nodes = node.cluster(t, 2)
    control(t, nodes[0])
    if gate.missing():
        t.bail(gate.missing())
    r = redis.Server(t).start()
    # Nobody is to be opaque because this machine is busy.
    gates = several.pair(t, nodes, [r.endpoint], n=3, keytab=keyed.light_keytab(t),
                         state={"timeout": "5s"})
    one(t, gates)
    over(t, gates, r)
    killed(t, gates, crowd(t, gates))
    for g in gates[1:]:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


with tap.Test(deadline=90) as test:
    main(test)
