#!/usr/bin/python3
# nodes-wait.t: drain --wait at one proxy, while clients are on the node through another one
import json
import os
import re
import signal
import subprocess
import threading
import time

import gate
import redis
import several
import tap
from flock import SECONDS, Pc, Watch, order

why = gate.missing() or redis.missing()
if why:
    tap.skip_all(why)

CROWD = 100
LEASE = 5
OLD = b"0123456789abcdef"


class Wait:
    """smbgatectl drain NODE --wait, which is read as it writes.  Nobody is quiet for so long."""

    def __init__(self, t, g, n, *args):
        self.lines, self.begun, self.ended = [], time.monotonic(), None
        self.proc = t.spawn([gate.ctl_program(), "-s", g.control, *args, "drain", n.name, "--quiet",
                             "1h", "--wait"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.proc.stdout:
            self.lines.append(line.rstrip("\n"))
        self.proc.wait()
        self.ended = time.monotonic()

    def said(self, pattern, times=1):
        """That many lines from now on."""
        n = len(self.lines)
        tap.wait_for(lambda: self.ended or sum(bool(re.search(pattern, x)) for x in self.lines[n:])
                     >= times, SECONDS, message=lambda: "no %r in %r" % (pattern, self.lines[-3:]))
        if self.ended:
            raise RuntimeError("it has ended, before %r: %r" % (pattern, self.lines))

    def goes_on(self):
        return self.ended is None and self.proc.poll() is None

    def over(self):
        """Seconds from begin to end, once it has ended well."""
        tap.wait_for(lambda: self.ended, SECONDS, message=lambda: "no end: %r" % self.lines[-3:])
        if self.proc.returncode:
            raise RuntimeError("status %d: %r" % (self.proc.returncode, self.lines))
        return self.ended - self.begun


def come(g, n, count=1):
    """New clients of that node, through that proxy; nobody is on another one for long."""
    got = []
    while len(got) < count:
        p = Pc([g]).come()
        if p.node == n.name:
            got.append(p)
        else:
            p.conn.close()
    return got


def close(pcs):
    for p in pcs:
        p.conn.close()


def undrain(gates, *nodes):
    for n in nodes:
        order(gates[0], "undrain", n)
    tap.wait_for(lambda: all(x["state"] == "up" and x["drain"] is None for g in gates
                             for x in g.node_list().values()), SECONDS)


def elsewhere(g, n):
    return g.ask({"cmd": "progress", "node": n.name})["elsewhere"]


def nobody(t, gates, n):
    w = Wait(t, gates[0], n)
    t.ok(w.over() < 15 and w.lines[-1] == "%s is empty." % n.name,
         "nobody anywhere: it ends after %.1f s" % w.over(), w.lines)


def one(t, gates, n):
    """The node is drained anew at once: what B said of the earlier drain does not count."""
    a = gates[0]
    undrain(gates, n)
    p, = come(gates[1], n)
    w = Wait(t, a, n)
    host = os.uname().nodename
    w.said("0 clients, 0 connections.*; at proxy %s: 1 connection$" % re.escape(host), 3)
    t.ok(w.goes_on(), "a client at B: A waits, and says so", w.lines)
    said = [{"proxy": host, "says": "counts", "clients": 1, "connections": 1, "cut_total": 0}]
    t.comes(lambda: elsewhere(a, n), said, "a client at B: progress has it")
    t.comes(lambda: a.node_list()[n.name]["drain"]["elsewhere"], said,
            "a client at B: show nodes has it")
    o = a.ask({"cmd": "progress", "node": n.name})
    t.same((o["connections"], o["over"]), (0, False), "a client at B: none here, and not over")
    since = time.monotonic()
    p.conn.close()
    w.over()
    t.ok(w.ended - since < 10, "it has gone: A ends %.1f s later" % (w.ended - since), w.lines)
    t.same(w.lines[-1], "%s is empty." % n.name, "it has gone: the last line")


def crowd(t, gates, nodes):
    """A hundred of one node, through B; the other node is drained at the same time."""
    undrain(gates, nodes[0])
    pcs = come(gates[1], nodes[0], CROWD)
    other = come(gates[1], nodes[1])
    first, second = (Wait(t, gates[0], n, "--json") for n in nodes[:2])
    tap.wait_for(lambda: all(len(w.lines) > 1 for w in (first, second)), SECONDS)

    def left(w):
        e = json.loads(w.lines[-1])["elsewhere"]
        # Redis was slow for a moment.
        return e and [x["connections"] for x in e]
    t.comes(lambda: (left(first), left(second)), ([CROWD], [1]),
            "two drains at once: each has its own count of B's")
    close(pcs[1:])
    t.comes(lambda: left(first), [1], "%d of them go" % (CROWD - 1))
    t.ok(first.goes_on() and second.goes_on(), "and the last one is waited for")
    close(pcs[:1])
    first.over()
    t.ok(second.goes_on(), "the crowd has gone: that wait ends, and not the other one")
    t.same([json.loads(first.lines[-1])[k] for k in ("connections", "over")], [0, True],
           "the crowd has gone: the last line")
    close(other)
    second.over()
    t.ok(True, "and the other one when its client has gone")
    undrain(gates, *nodes[:2])


def deadline(t, gates, n):
    """By each proxy its own."""
    p, = come(gates[1], n)
    w = Wait(t, gates[0], n, "--deadline", "1s")
    w.over()
    t.ok(re.match(r"Proxy \S+ has cut 1 client at the deadline", w.lines[-2]) and
         not p.conn.is_open(), "deadline: whom B has cut is said", w.lines)
    p.conn.close()
    undrain(gates, n)


def older(t, gates, n, r, tag):
    """A proxy that is alive and has no such line is of an older version."""
    p, = come(gates[1], n)
    line = b"%d 3 %s %016x old" % (time.time() * 1000 + 3600000, tag, 0)
    r.do("HSET", "smbgate:{map}:peers", OLD, line)
    w = Wait(t, gates[0], n)
    w.said("; proxy old, of an older version, does not say")
    w.said("at proxy")
    p.conn.close()
    w.over()
    t.ok(re.match("Proxy old, of an older version, does not say whom", w.lines[-2]),
         "an older proxy: no end of it, and named at the end", w.lines)
    r.do("HSET", "smbgate:{map}:peers", OLD, line.replace(tag, b"ffffffff"))
    t.comes(lambda: (len(several.state(gates[0])["peers"]), len(elsewhere(gates[0], n))), (2, 1),
            "one of another cluster: it is not asked")
    r.do("HSET", "smbgate:{map}:peers", OLD, line)
    # One that has said something, which nobody understands, may have anybody.
    key = b"smbgate:{map}:%s:w" % tag
    r.do("HSET", key, OLD, b"0 ?")
    w = Wait(t, gates[0], n)
    w.said("; proxy old does not know of it yet", 2)
    t.ok(w.goes_on(), "one that makes no sense: is waited for", w.lines)
    r.do("HDEL", "smbgate:{map}:peers", OLD)
    w.over()
    t.ok(True, "and no longer when it has gone")
    undrain(gates, n)


def frozen(t, gates, n):
    """For less than its lease; and for longer, when it is not alive to anybody."""
    b = gates[1].proc.pid
    p, = come(gates[1], n)
    w = Wait(t, gates[0], n)
    w.said("at proxy")
    os.kill(b, signal.SIGSTOP)
    try:
        tap.wait_for(lambda: several.state(gates[0])["peers"][0]["age_ms"] > 1500, SECONDS)
    finally:
        os.kill(b, signal.SIGCONT)
    w.said("at proxy", 2)
    t.ok(w.goes_on(), "frozen for a moment: B counts", w.lines)
    since = time.monotonic()
    os.kill(b, signal.SIGSTOP)
    try:
        w.over()
        took = w.ended - since
        t.ok(took > LEASE - 2, "frozen for good: B counts for %.1f s, its lease" % took, w.lines)
    finally:
        os.kill(b, signal.SIGCONT)
    tap.wait_for(lambda: [x["age_ms"] < 2000 for x in several.state(gates[0])["peers"]] == [True],
                 SECONDS)
    w = Wait(t, gates[0], n)
    w.said("at proxy")
    t.ok(p.conn.is_open(), "it is back, and so is its client: who waits sees it")
    p.conn.close()
    w.over()
    undrain(gates, n)


def away(t, gates, n, server):
    """Redis stands still: nobody knows of others, and it is not over for that."""
    p, = come(gates[1], n)
    w = Wait(t, gates[0], n)
    w.said("at proxy")
    server.stop()
    w.said("; other proxies are not known")
    t.same(elsewhere(gates[0], n), None, "Redis is away: the others are not known")
    p.conn.close()
    w.said("; other proxies are not known", 2)
    t.ok(w.goes_on(), "Redis is away: it is not over")
    server.cont()
    w.over()
    several.healed(*gates)
    t.ok(True, "Redis is back: it ends")
    undrain(gates, n)


def killed(t, gates, n):
    p, = come(gates[1], n)
    w = Wait(t, gates[0], n)
    w.said("at proxy")
    since = time.monotonic()
    b, gates[1].proc = gates[1].proc, None
    t.kill_group(b)
    w.over()
    took = w.ended - since
    t.ok(LEASE - 2 < took < SECONDS, "B is killed: A ends when B's lease has, %.1f s later" % took,
         w.lines)
    p.conn.close()
    w = Wait(t, gates[0], n)
    w.over()
    t.comes(lambda: elsewhere(gates[0], n), [], "no other proxy: it ends")


def main(t):
    watch = Watch()
    nodes = [watch.node(t, "f%d" % i, "127.0.0.%d" % (40 + i)) for i in (1, 2, 3)]
    server = redis.Server(t).start()
    gates = several.pair(t, nodes, [server.endpoint], state={"timeout": "5s"})
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), SECONDS)
    tag = several.prefix(server).split(b":")[2]
    nobody(t, gates, nodes[0])
    one(t, gates, nodes[0])
    crowd(t, gates, nodes)
    deadline(t, gates, nodes[0])
    older(t, gates, nodes[0], server, tag)
    frozen(t, gates, nodes[0])
    away(t, gates, nodes[0], server)
    killed(t, gates, nodes[0])
    t.same(gates[0].stop(), 0, "A ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
