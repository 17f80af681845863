#!/usr/bin/python3
# redis-unheard.t: a client is ended everywhere, also at a proxy that just then hears nothing
"""Redis brings what one proxy tells to whoever listens at that moment.  Here the connections on
which they listen are cut first.  Who comes back is not ended by what is said again.  Nor is missed
that a client is not at home any more."""
import threading
import time

import gate
import redis
import several
import smb2
import tap
from flock import SECONDS, Pc, Watch, at_once
from way import Way

why = gate.missing() or redis.missing()
if why:
    tap.skip_all(why)

ROUNDS, CLIENTS = 12, 48


class Both(Pc):
    """One connection through each proxy; comes back through the second one as soon as it ends
    there."""

    def come(self):
        super().come()
        self.there = self.dial(self.gates[1])
        self.again, self.came_ms = None, None
        return self

    def dial(self, g):
        c = smb2.Conn("127.0.0.1", g.port, timeout=SECONDS).negotiate([0x0311], guid=self.guid)
        c.guest()
        return c

    def back(self):
        """Has the second one ended, and it has come back?"""
        if self.again is None and not self.there.is_open():
            self.again = self.dial(self.gates[1])
        return self.again is not None

    def close(self):
        for c in (self.conn, self.there, self.again):
            if c is not None:
                c.close()


def deaf(r):
    """Nobody listens, until they have connected anew.  How many did."""
    return r.do("CLIENT", "KILL", "TYPE", "pubsub")


def one_by_one(t, gates, r):
    missed = []
    for i in range(ROUNDS):
        p = Both(gates).come()
        n = deaf(r)
        said = gates[0].ask({"cmd": "kill", "who": p.name(), "force": True})
        if n != 2 or not said.get("others_told") or len(said.get("killed", ())) != 1:
            missed.append((n, said))
        if not tap.wait_for(p.back, 10, every=0.01):
            missed.append("round %d: it goes on at the other proxy" % i)
        several.healed(*gates)
        if p.again is not None:
            p.again.echo()
        p.close()
    t.same(missed, [], "%d times a client is killed through a proxy while the other one connects "
           "to Redis anew: it has ended there, too" % ROUNDS)


def crowd(t, gates, r):
    """Who is ended first comes back while others are being told again."""
    pcs = [Both(gates).come() for _ in range(CLIENTS)]
    bystanders = [Both(gates).come() for _ in range(4)]
    over = threading.Event()

    def cut():
        while not over.wait(0.05):
            deaf(r)
    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        wrong = at_once(pcs, lambda p: gates[0].ask({"cmd": "kill", "who": p.name(),
                                                     "force": True}))
    finally:
        over.set()
        cutter.join()
    t.same(wrong, [], "%d are killed, and nobody listens for long" % CLIENTS)
    t.ok(tap.wait_for(lambda: all([p.back() for p in pcs]), 30, every=0.01),
         "all have ended at both proxies, and come back")
    # Behind the last of what is told again.
    several.healed(*gates)
    quiet = time.monotonic() + 5
    while time.monotonic() < quiet:
        gone = [p for p in pcs if p.again and not p.again.is_open()]
        if gone:
            break
        tap.wait_for(lambda: False, 0.1)
    t.same(len(gone), 0, "who has come back stays")
    t.ok(all(c.is_open() for p in bystanders for c in (p.conn, p.there)), "as all others do")
    t.same([p.name() for p in pcs + bystanders if p.conn.is_open() and p in pcs], [],
           "nobody goes on at the first one")
    for p in pcs + bystanders:
        p.close()


def away(t, nodes, r):
    """A client is moved when the other proxy has asked for what it listens to, and is not heard."""
    way = Way(t, r.port)
    a = several.proxy(t, nodes, [r.endpoint], "a")
    b = several.proxy(t, nodes, [way.endpoint], "b")
    several.healed(a, b)
    several.agree(a, b)
    tap.wait_for(lambda: several.ripe(a) and several.ripe(b), 10, message="not ripe")
    p = Pc([a]).come()
    asked = threading.Event()

    def late(piece):
        if b"SUBSCRIBE" not in piece:
            return 0
        asked.set()
        return 0.8
    way.delay(up=late)
    deaf(r)
    t.ok(asked.wait(10), "a proxy connects to Redis anew")
    to = next(n for n in nodes if n.name != p.node)
    a.ask({"cmd": "move", "who": p.name(), "node": to.name})
    tap.wait_for(lambda: not p.conn.is_open(), 10, message="the client is not moved")
    tap.wait_for(lambda: several.state(a)["exceptions"] == 1, 10, message="not an exception")
    t.ok(tap.wait_for(lambda: several.state(b)["exceptions"] == 1, 10),
         "the other one, whose subscription took 0.8 s, knows as well that the client is away")
    p.conn.close()
    for g in (a, b):
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


def main(t):
    watch = Watch()
    nodes = [watch.node(t, n, "127.87.0.%d" % (i + 1)) for i, n in enumerate(("f1", "f2"))]
    r = redis.Server(t).start()
    gates = several.pair(t, nodes, [r.endpoint])
    several.agree(*gates)
    one_by_one(t, gates, r)
    crowd(t, gates, r)
    t.same(watch.twice, [], "and nobody was live on two nodes")
    for g in gates:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)
    away(t, nodes, r)


with tap.Test(deadline=150) as test:
    main(test)
