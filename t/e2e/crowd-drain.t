#!/usr/bin/python3
# crowd-drain.t: 200 clients are drained, moved and moved again, through two proxies that disagree
import os
import threading
import time

import gate
import redis
import several
import smb2
import tap
from flock import SECONDS, Pc, Watch, at_once, order

why = gate.missing() or redis.missing()
if why:
    tap.skip_all(why)

CLIENTS = int(os.environ.get("SMBGATE_CLIENTS", "200"))
PACE = 32


class Working:
    """A client that says something all the time."""

    def __init__(self, pc):
        self.pc, self.n, self.error, self.over = pc, 0, None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.over:
                self.pc.conn.echo()
                self.n += 1
                time.sleep(0.02)
        except (OSError, smb2.Closed, smb2.Status) as e:
            self.error = repr(e)

    def end(self):
        self.over = True
        self.thread.join(SECONDS)
        return self.error


def disagree(t, gates, nodes):
    """Orders of all kinds, at once, on both proxies and of both nodes; nobody has been quiet for
    that long.  Then they are of one mind."""
    kinds = ("drain", "undrain", "maint", "unmaint", "drain")

    def some(i):
        order(gates[i % 2], kinds[i % 5], nodes[i // 2 % 2], quiet_ms=3600000, force=True,
              deadline_ms=i % 3 * 3600000)
    def stands(g):
        return sorted((x["name"], x["state"], x["draining"]) for x in g.node_list().values())

    t.same(at_once(range(60), some), [], "60 orders that overlap: each is answered")
    # Of those that several proxies are given within some milliseconds, any may be the last one.
    t.ok(tap.wait_for(lambda: stands(gates[0]) == stands(gates[1]), SECONDS),
         "and both proxies go by the same ones", [g.node_list() for g in gates])
    for n in nodes:
        order(gates[0], "undrain", n)
    t.ok(tap.wait_for(lambda: all(x["state"] == "up" and x["drain"] is None for g in gates
                                  for x in g.node_list().values()), SECONDS),
         "and the last one counts on both proxies",
         [g.node_list() for g in gates])


def drained(t, gates, nodes, pcs):
    """All of one node, paced; but for one that works, and those of the other node."""
    first, rest = ([p for p in pcs if (p.node == nodes[0].name) == here] for here in (True, False))
    work, others = Working(first[0]), first[1:]
    since = time.monotonic()
    # Longer than this machine stands still: who works is quiet meanwhile.
    order(gates[0], "drain", nodes[0], quiet_ms=6000)
    t.ok(tap.wait_for(lambda: not any(p.conn.is_open() for p in others), SECONDS),
         "%d quiet clients are let go" % len(others),
         [g.log()[-600:] for g in gates])
    took = time.monotonic() - since
    t.ok(took >= len(others) / PACE / len(gates) - 1, "paced: it takes %.1f s" % took)
    t.same(at_once(others, Pc.look), [], "each comes back")
    t.same({p.node for p in others}, {nodes[1].name}, "to the other node")
    t.ok(all(p.conn.is_open() for p in rest), "whose %d clients stay" % len(rest))
    # It is quiet as soon as it ends.
    order(gates[1], "undrain", nodes[0])
    tap.wait_for(lambda: all(x["state"] == "up" for g in gates for x in g.node_list().values()),
                 SECONDS)
    t.ok(work.n > 10 and work.end() is None, "and so does who works: %d requests" % work.n)


def cut(t, gates, nodes, pcs):
    """A deadline: just those that are listed, by each proxy its own."""
    there = [p for p in pcs if p.node == nodes[1].name]
    order(gates[0], "drain", nodes[1], quiet_ms=3600000, deadline_ms=1000)
    t.ok(tap.wait_for(lambda: not any(p.conn.is_open() for p in there), SECONDS),
         "deadline: all %d are cut" % len(there))
    t.comes(lambda: sorted(c["client"] for g in gates for c in g.ask(
        {"cmd": "progress", "node": nodes[1].name})["cut"]), sorted(p.name() for p in there),
            "deadline: and listed, once")
    t.ok(all(p.conn.is_open() for p in pcs if p not in there), "deadline: nobody else")
    order(gates[0], "undrain", nodes[1])
    t.same(at_once(pcs, Pc.look), [], "deadline: they come back")


def move(p, nodes):
    to, end = next(n for n in nodes if n.name != p.node), time.monotonic() + SECONDS
    before, r = p.ends, {}
    # Where it lives just now.
    while "moves" not in r:
        g = p.at
        r = g.ask({"cmd": "move", "who": p.name(), "node": to.name})
        if time.monotonic() > end:
            raise TimeoutError(r)
    while not r.get("over"):
        r = dict(r, **g.ask({"cmd": "moved", "number": r["moves"][0]["number"]}))
        time.sleep(0.02)
    if not r["moved"] or not tap.wait_for(lambda: p.ends > before and p.node == to.name, SECONDS):
        raise RuntimeError("%s is on %s: %s" % (p.name(), p.node, r))


def moved(t, nodes, pcs):
    """Each is moved to the other node, and comes back at once, through the other proxy."""
    over = threading.Event()

    def back():
        while not over.is_set():
            for p in pcs:
                p.look()
    coming = threading.Thread(target=back, daemon=True)
    coming.start()
    said = at_once(pcs, lambda p: move(p, nodes))
    over.set()
    coming.join(SECONDS)
    t.same(said[:5], [], "%d moves" % len(pcs))


def main(t):
    watch = Watch()
    nodes = [watch.node(t, "f%d" % i, "127.0.0.%d" % (40 + i)) for i in (1, 2)]
    # Nobody is to be placed blindly because the machine is busy.
    gates = several.pair(t, nodes, [redis.Server(t).start().endpoint], state={"timeout": "5s"})
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), SECONDS)
    pcs = [Pc(gates) for _ in range(CLIENTS)]
    t.same(at_once(pcs, Pc.come), [], "%d clients" % CLIENTS)
    disagree(t, gates, nodes)
    t.same([p.name() for p in pcs if not p.conn.is_open()], [], "nobody has ended for that")
    drained(t, gates, nodes, pcs)
    cut(t, gates, nodes, pcs)
    moved(t, nodes, pcs)
    t.same(watch.twice[:5], [], "%d NEGOTIATEs: none of a client that is live on another node"
           % watch.seen)
    for p in pcs:
        p.conn.close()
    t.same([g.stop() for g in gates], [0, 0], "both proxies end with status 0")


with tap.Test(deadline=240) as test:
    main(test)
