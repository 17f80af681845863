#!/usr/bin/python3
# nodes-own-trouble.t: ports used up, a route away, crowds of strangers: nothing of it is the node's
import concurrent.futures
import errno
import os
import re
import socket
import struct
import threading
import time

import fake
import gate
import netns
import node
import smb2
import tap

why = node.missing() or netns.missing("ss")
if why:
    tap.skip_all(why)

PORTS = 24
# A probe that is late is none that has failed, nor one that met no route and is told so later.
HEALTH = gate.PATIENT
GONE = (smb2.Closed, ConnectionError, socket.timeout)


class Client:
    """A logged-on client with an open file."""

    def __init__(self, addr, port, src=None):
        self.c = smb2.Conn(addr, port, src=src).negotiate([0x0302])
        try:
            self.s = self.c.login()
            self.tid = self.c.tree(self.s)
            self.fid = self.c.create(self.s, self.tid, "o-%s" % self.c.guid.hex(), disp=3)
        except BaseException:
            self.c.close()
            raise

    def works(self):
        try:
            self.c.write(self.s, self.tid, self.fid, 0, b"works")
            return self.c.read(self.s, self.tid, self.fid, 0, 5) == b"works"
        except GONE:
            return False

    def close(self):
        self.c.close()


def working(clients):
    return sum(c.works() for c in clients)


def source(i):
    """Every client dials an address of its own, or it would run out of ports itself."""
    return "127.0.%d.%d" % (2 + i // 200, 1 + i % 200)


def fill(g, limit, closed, first=0):
    """Clients until one is turned away; a refusal by anything but smbgate's ports is a fault."""
    out = []
    for i in range(limit):
        try:
            out.append(Client(source(first + i), g.port))
        except GONE:
            if g.closed_since(closed):
                break
            raise
    return out


def crowd(g, count, first):
    """So many at once; how many were served."""
    def one(i):
        try:
            Client(source(first + i), g.port).close()
            return 1
        except GONE:
            return 0
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        return sum(pool.map(one, range(count)))


def direct_ports(t, n):
    got = []
    try:
        for _ in range(PORTS + 1):
            got.append(Client(n.addr, n.port))
        t.ok(False, "direct: ports end")
    except OSError as e:
        t.same(e.errno, errno.EADDRNOTAVAIL,
               "direct: %d connected, then no port is left" % len(got))
    t.same(working(got), len(got), "direct: who is connected goes on")
    for c in got:
        c.close()


def well(t, g, live, what):
    """Nobody pays, and no node is blamed."""
    t.same(working(live), len(live), "%s: all %d live clients go on" % (what, len(live)))
    nodes = g.node_list()
    t.ok(all(n["state"] == "up" and n["probe_failures"] == 0 for n in nodes.values()),
         "%s: every node is up, and no probe has failed" % what, nodes)


def ports(t, host, nodes, pool):
    what = "pool" if pool else "own"
    more = dict(source="pool", source_pool=pool) if pool else {}
    g = gate.Gate(t, nodes, health=HEALTH, **more).start()
    fit = PORTS * max(1, len(pool or ()))
    t.same({n["ports"] for n in g.node_list().values()}, {fit},
           "%s: show nodes: %d ports" % (what, fit))
    g.turn()        # who looked whether it listens is counted
    closed = g.closes()
    live = fill(g, 2 * fit + 5, closed)
    gone = g.closed_since(closed)
    t.ok(set(gone) == {"own_ports"} and len(live) >= fit, "%s: %d live clients, then ports are out"
         % (what, len(live)), gone)
    before = g.stats()
    t.ok(before["own_ports"] > 0, "%s: counted" % what)
    t.same(before["node_connect_failed"], 0,
           "%s: and no connect counted as failed by a node" % what)
    # a crowd at the door does no harm, nor do the probes that find no port
    crowd(g, 60, 600)
    failed = g.closed_since(closed)
    t.ok(failed["own_ports"] > 20 and set(failed) <= {"own_ports", "client_eof", "client_reset"},
         "%s: a crowd is turned away for that reason" % what, failed)
    if not pool:
        probes = g.stats()["own_ports"]
        tap.wait_for(lambda: g.stats()["own_ports"] > probes + 1, 60,
                     message="own: no probe ran out of ports")
    well(t, g, live, what)
    lines = re.findall(r"cannot dial node .*ip_local_port_range.*source = pool", g.log())
    t.ok(0 < len(lines) <= 3, "%s: said with the cure, once a minute and thread" % what,
         g.log()[-3000:])
    # with the end of a probe
    t.ok(tap.wait_for(lambda: re.search(
        r"\d+ of about %d local ports toward it are in use" % fit, g.log()), 60),
         "%s: warned of before" % what, g.log()[-3000:])
    # the cure
    for c in live[::2]:
        c.close()
    rest = live[1::2]
    start = t.ran()
    tap.wait_for(lambda: crowd(g, 1, 900), 60, 0.2)
    took = t.ran() - start
    t.ok(took < 5, "%s: ports are free: served after %.1f s" % (what, took))
    well(t, g, rest, what + ", after")
    for c in rest:
        c.close()
    t.same(g.stop(), 0, "%s: smbgate ends with status 0" % what)


def used_up(t):
    host = netns.Host(t, "one")
    host.sysctl("ipv4.ip_local_port_range", "40000 %d" % (40000 + PORTS - 1))
    with host.inside():
        nodes = node.cluster(t, 2)
        direct_ports(t, nodes[0])
        ports(t, host, nodes, None)
        ports(t, host, nodes, ["127.0.1.1", "127.0.1.2"])


def route_away(t):
    """One router between smbgate and the nodes; smbgate's machine loses its route for a moment."""
    lan, wan = netns.Lan(t), netns.Lan(t)
    px, rt, nas = (netns.Host(t, n) for n in ("px", "rt", "nas"))
    lan.join(px, "10.1.0.2/24")
    lan.join(rt, "10.1.0.1/24")
    wan.join(rt, "10.2.0.1/24")
    wan.join(nas, "10.2.0.9/24", "10.2.0.10/24")
    rt.forward()
    px.route("default", "10.1.0.1")
    nas.route("default", "10.2.0.1")
    lab = node.Lab(t)
    with nas.inside():
        nodes = [node.Node(lab, "r%d" % i, "10.2.0.%d" % (8 + i),
                           interfaces=["10.2.0.%d/24" % (8 + i)]).start() for i in (1, 2)]
    with px.inside():
        g = gate.Gate(t, nodes, health=HEALTH).start()
        straight = [Client(n.addr, n.port) for n in nodes]
        live = [Client(source(i), g.port) for i in range(20)]
        g.turn()
        closed = g.closes()
        probes = {k: n["probe_failures"] for k, n in g.node_list().items()}
        px.ip("route", "del", "default")
        try:
            smb2.Conn(nodes[0].addr, nodes[0].port)
            t.ok(False, "direct: no route")
        except OSError as e:
            t.same(e.errno, errno.ENETUNREACH, "direct: who dials is told that there is no route")
        served = crowd(g, 40, 100)
        # probes meet it, too
        tap.wait_for(lambda: g.stats()["own_network"] > 85, 60,
                     message=lambda: "own_network: %s" % g.stats()["own_network"])
        t.same((served, g.closed_since(closed)), (0, {"own_network": 40}),
               "route away: 40 who dial are turned away, for that reason")
        t.same({k: (n["state"], n["probe_failures"]) for k, n in g.node_list().items()},
               {k: ("up", n) for k, n in probes.items()}, "route away: no node is blamed")
        px.route("default", "10.1.0.1")
        start = t.ran()
        tap.wait_for(lambda: crowd(g, 1, 200), 60, 0.05)
        took = t.ran() - start
        t.ok(took < 2, "route is back: served after %.2f s" % took)
        t.same(working(straight), 2, "direct: live clients have gone on")
        t.same(working(live), 20, "route away: so have all 20 live clients")
        t.ok("no interface or route of this machine leads there" in g.log(), "said, with the cure",
             g.log()[-2000:])
        for c in live + straight:
            c.close()
        t.same(g.stop(), 0, "route away: smbgate ends with status 0")


def time_waits(addr):
    """Sockets in TIME_WAIT whose peer is that node."""
    raw, = struct.unpack("=I", socket.inet_aton(addr))
    with open("/proc/thread-self/net/tcp") as f:
        return len(re.findall(r"(?m)^ *\d+: \S+ %08X:\S+ 06 " % raw, f.read()))


def strangers(addr, port, seconds, per_second, negotiate):
    """From eight addresses: they come, ask perhaps, and go. How many they were."""
    hello = smb2.frame(smb2.header(smb2.NEGOTIATE, 0)
                       + smb2.negotiate_body([0x0302], os.urandom(16)))
    end, counts = time.monotonic() + seconds, [0] * 8

    def run(k):
        next_at = time.monotonic()
        while time.monotonic() < end:
            with socket.socket() as s:
                s.settimeout(5)
                s.bind(("127.0.9.%d" % (1 + k), 0))
                try:
                    s.connect((addr, port))
                    if negotiate:
                        # a GUID of its own
                        h = hello[:4 + 64 + 12] + os.urandom(16) + hello[4 + 64 + 28:]
                        s.sendall(h)
                        s.recv(4096)
                    counts[k] += 1
                except OSError:
                    pass
            next_at += 8 / per_second
            time.sleep(max(0, next_at - time.monotonic()))
    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    return sum(counts)


def flood(t):
    host = netns.Host(t, "flood")
    with host.inside():
        n = fake.FakeNode(t, "f1", "127.0.0.41").start()
        g = gate.Gate(t, [n], health=HEALTH).start()
        count = strangers(n.addr, n.port, 1, 100, True)
        t.ok(time_waits(n.addr) > count / 2,
             "direct: %d strangers leave %d ports in TIME_WAIT, their own"
             % (count, time_waits(n.addr)))
        live = []
        for i in range(20):
            c = smb2.Conn(source(i), g.port).negotiate([0x0302])
            live.append((c, c.login()))
        waits = time_waits(n.addr)
        worst, stop, cut = [0.0], threading.Event(), []

        def work():
            while not stop.is_set():
                for c, s in live:
                    start = time.monotonic()
                    try:
                        c.echo()
                    except GONE as e:
                        cut.append(e)
                    worst[0] = max(worst[0], time.monotonic() - start)
        worker = threading.Thread(target=work)
        worker.start()
        asked = n.accepts
        a = strangers("127.0.0.1", g.port, 5, 1000, True)
        b = strangers("127.0.0.1", g.port, 3, 1000, False)
        stop.set()
        worker.join()
        tap.wait_for(lambda: g.live_connections() == 20, 60)
        t.ok(n.accepts - asked > a / 2,
             "%d strangers a second came to the node through smbgate, %d a "
             "second said nothing" % (a / 5, b / 3), n.accepts - asked)
        t.ok(time_waits(n.addr) <= waits, "they leave no port toward the node in TIME_WAIT",
             waits, time_waits(n.addr))
        t.same(cut, [],
               "20 live clients worked meanwhile; the longest answer took %.2f s" % worst[0])
        t.same(g.node_states()["f1"], "up", "the node is up")
        for c, _ in live:
            c.close()
        t.same(g.stop(), 0, "strangers: smbgate ends with status 0")


def main(t):
    why = gate.missing()
    if why:
        t.bail(why)
    used_up(t)
    route_away(t)
    flood(t)


with tap.Test(deadline=240) as test:
    main(test)
