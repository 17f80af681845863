#!/usr/bin/python3
# nodes-evidence.t: nodes that take no new connections, and go on serving those they have
"""Each trouble is laid upon clients behind smbgate and, beside them, upon clients of the node: none
of the former may be cut where none of the latter is."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import front
import gate
import netns
import node
import smb2
import tap

why = node.missing() or netns.missing()
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:     # all of it in a network namespace of its own
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

# quick to see a node's trouble; all times of connections are the defaults
QUICK = {"interval": "300ms", "timeout": "300ms", "rise": 2, "fall": 3, "slow_start": "0s",
         "flap_changes": 0}
# longer than smbgate takes to call a silent connection dead
LONG = 6
CUTS = ("node_down", "node_hung", "node_reset", "node_eof")


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


class Client:
    """Logged on, with an open file."""

    def __init__(self, addr, port, guid=None):
        self.c = smb2.Conn(addr, port, timeout=40).negotiate([0x0302], guid=guid)
        self.node = which(self.c)
        self.s = self.c.login()
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "e-%s" % os.urandom(8).hex(), disp=3)

    def works(self):
        try:
            self.c.write(self.s, self.tid, self.fid, 0, b"works")
            return self.c.read(self.s, self.tid, self.fid, 0, 9) == b"works"
        except (smb2.Closed, OSError):
            return False

    def close(self):
        self.c.close()


def on(g, n, count):
    """So many clients of smbgate on that node."""
    out = []
    while len(out) < count:
        c = Client("127.0.0.1", g.port)
        if c.node == n.name:
            out.append(c)
        else:
            c.close()
    return out


class Busy:
    """Clients that work all the time, in a thread."""

    def __init__(self, clients):
        self.clients, self.rounds, self.over = list(clients), 0, False
        self.dead = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over:
            for c in self.clients:
                if c not in self.dead and not c.works():
                    self.dead.append(c)
            self.rounds += 1
            time.sleep(0.05)

    def stop(self):
        self.over = True
        self.thread.join(60)
        return len(self.clients) - len(self.dead)


def states(g, want, seconds=10):
    return tap.wait_for(lambda: all(g.node_states()[k] in v for k, v in want.items()), seconds,
                        0.05)


def pass_time(seconds):
    """The step itself takes so long."""
    end = time.monotonic() + seconds
    tap.wait_for(lambda: time.monotonic() > end, seconds + 1, 0.05)


def served_on(g, nodes, seconds):
    """New clients reach every one of the nodes."""
    left = {n.name for n in nodes}

    def one_more():
        with contextlib.suppress(smb2.Closed, OSError):
            with smb2.Conn("127.0.0.1", g.port, timeout=5) as c:
                left.discard(which(c.negotiate([0x0302])))
        return not left
    return tap.wait_for(one_more, seconds)


def trouble(t, name, g, nodes, hit, begin, end, want=None, last=LONG, meanwhile=None, cured=True):
    """hit: the nodes in trouble; want: the state that they come to.  cured: they are to take new
    clients within 5 s after end()."""
    idle = [c for n in hit for c in on(g, n, 3)]
    busy = [c for n in hit for c in on(g, n, 3)]
    direct = [Client(n.addr, n.port) for n in hit for _ in range(3)]
    before = g.closes()
    works = Busy(busy + direct[:1])
    begin()
    try:
        if want:
            t.ok(states(g, {n.name: want for n in hit}), "%s: %s is %s" % (
                name, " and ".join(n.name for n in hit), " or ".join(want)), g.log()[-2000:])
        if meanwhile:
            meanwhile()
        pass_time(last)
    finally:
        end()
    start = t.ran()
    alive = works.stop()
    idle_alive = sum(c.works() for c in idle)
    direct_alive = sum(c.works() for c in direct)
    t.ok(direct_alive == len(direct), "%s: direct: %d of %d live" % (
        name, direct_alive, len(direct)))
    t.ok(alive == len(busy) + 1, "%s: %d of %d busy clients live, in %d rounds" % (
        name, alive, len(busy) + 1, works.rounds), g.log()[-2000:])
    t.ok(idle_alive == len(idle), "%s: %d of %d idle clients live" % (name, idle_alive, len(idle)),
         g.log()[-2000:])
    cut = {k: v for k, v in g.closed_since(before).items() if k in CUTS}
    t.ok(not cut, "%s: no connection was cut for its node" % name, cut)
    if cured:
        up = states(g, {n.name: ("up",) for n in nodes}, 5)
        took = t.ran() - start
        t.ok(up and took < 5 and served_on(g, nodes, 5), "%s: cured: all nodes take clients after "
             "%.1f s" % (name, took), g.node_states())
    for c in idle + busy + direct:
        c.close()


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def flush():
    nft("flush ruleset\n")


def at(nodes):
    return "ip daddr { %s } tcp dport { %s }" % (", ".join(n.addr for n in nodes),
                                                 ", ".join(str(n.port) for n in nodes))


def rule(text):
    return lambda: nft("table inet f {\n chain in {\n  type filter hook input priority 0\n"
                       "  %s\n }\n}\n" % text)


def firewalls(t, nodes):
    n1 = nodes[0]
    syn = " tcp flags & (syn|ack) == syn "
    g = gate.Gate(t, nodes, health=QUICK).start()
    for name, hit, what, want in (
            ("SYNs to one node dropped", [n1], "drop", ("down",)),
            ("SYNs to all nodes dropped", nodes, "drop", ("down",)),
            ("SYNs to one node refused", [n1], "reject with tcp reset", ("down",)),
            ("ICMP unreachable", [n1], "reject with icmp host-unreachable", None),
            ("ICMP prohibited", nodes, "reject with icmp admin-prohibited", None)):
        trouble(t, name, g, nodes, hit, rule(at(hit) + syn + what), flush, want)
    t.same(g.stop(), 0, "firewalls: smbgate ends with status 0")


def limited(t, nodes):
    """A firewall, or a server, that allows so many connections of one address."""
    n1 = nodes[0]
    g = gate.Gate(t, nodes, health=QUICK).start()

    def one_more():
        pushed = []
        for _ in range(12):
            with contextlib.suppress(smb2.Closed, OSError):
                pushed.append(smb2.Conn("127.0.0.1", g.port).negotiate([0x0302]))
        where = [which(c) for c in pushed]
        t.ok(where and n1.name not in where, "so many connections allowed: newcomers go elsewhere",
             where)
        for c in pushed:
            c.close()
    held = []

    def fill():
        """SYNs alone are judged: those who were there before count for nothing."""
        nft("table inet f {\n set a { type ipv4_addr; flags dynamic; }\n chain in {\n"
            "  type filter hook input priority 0\n  %s tcp flags & (syn|ack) == syn "
            "add @a { ip saddr ct count over 4 } reject with tcp reset\n }\n}\n" % at([n1]))
        refused = 0
        while len(held) < 20 and refused < 20:
            try:
                held.append(socket.create_connection((n1.addr, n1.port), 5))
            except ConnectionRefusedError:      # a probe may have the last place, and goes
                refused += 1
                tap.wait_for(lambda: False, 0.05)
        t.ok(len(held) < 20, "so many connections allowed: %d more" % len(held))

    def empty():
        flush()
        for x in held:
            x.close()
    trouble(t, "so many connections allowed", g, nodes, [n1], fill, empty, ("down",),
            meanwhile=one_more)
    t.same(g.stop(), 0, "so many connections allowed: smbgate ends with status 0")


def listeners(t, nodes):
    """Who listens stands, or is gone; those who serve go on."""
    n1 = nodes[0]
    g = gate.Gate(t, nodes, health=QUICK).start()
    pid = n1.listener()

    def stop():
        os.kill(pid, signal.SIGSTOP)
    trouble(t, "the listening smbd stopped", g, nodes, [n1], stop,
            lambda: os.kill(pid, signal.SIGCONT), ("hung",))

    full = []

    def stop_and_fill():
        stop()
        for _ in range(400):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((n1.addr, n1.port))
            full.append(s)

    def go_on():
        for s in full:
            s.close()
        os.kill(pid, signal.SIGCONT)
    trouble(t, "and its queue is full", g, nodes, [n1], stop_and_fill, go_on, ("down", "hung"))

    t.same(g.stop(), 0, "listeners: smbgate ends with status 0")

    # smbd's children end with it; other servers' do not
    r = front.Relay(t, n1, n1.addr, node.free_port(n1.addr))
    g = gate.Gate(t, [r, nodes[1]], health=QUICK).start()
    trouble(t, "the listening process killed", g, [r, nodes[1]], [r],
            lambda: r.listener.shutdown(socket.SHUT_RDWR), lambda: None, ("down",), cured=False)
    t.same(g.stop(), 0, "the listening process killed: smbgate ends with status 0")


def stopped(t, nodes):
    """Whoever serves stands for a while, and a client has sent more than buffers take."""
    n1 = nodes[0]
    # hung well within 12 s, and not because smbd is slow to start a process
    g = gate.Gate(t, nodes, health=dict(QUICK, timeout="2s"), tcp={"node-timeout": "10s"}).start()
    pids = [p for p in n1.pids()[1:] if p != n1.listener()]

    def all_but_the_listener():
        pids[:] = [p for p in n1.pids()[1:] if p != n1.listener()]
        for p in list(pids):
            try:
                os.kill(p, signal.SIGSTOP)
            except ProcessLookupError:      # a probe's
                pids.remove(p)

    def go_on():
        for p in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGCONT)
    for name, stop, cont, want in (
            ("all of the node stopped", n1.pause, n1.cont, "hung"),
            ("those that serve stopped", all_but_the_listener, go_on, "up")):
        name += " for 12 s, and no room for a client's bytes"
        mine, = on(g, n1, 1)
        direct = Client(n1.addr, n1.port)
        done, threads = [], []
        for x in (direct, mine):
            while x.c.credits < 100:
                x.c.echo()
        before = g.closes()
        stop()
        for x in (direct, mine):
            def push(x=x):
                x.c.write(x.s, x.tid, x.fid, 0, bytes(6 * 1024 * 1024))
                done.append(x)
            threads.append(threading.Thread(target=push, daemon=True))
            threads[-1].start()
        pass_time(12)           # longer than tcp node-timeout
        now = g.node_states()[n1.name]
        cont()
        for th in threads:
            th.join(30)
        cut = {k: v for k, v in g.closed_since(before).items() if k in CUTS}
        t.same(now, want, name + ": state")
        t.ok(direct in done, name + ": direct: written")
        t.ok(mine in done and not cut, name + ": written", cut)
        for x in (direct, mine):
            x.close()
        t.ok(states(g, {n1.name: ("up",)}, 5), name + ": up")
    t.same(g.stop(), 0, "stopped: smbgate ends with status 0")


def away(t, nodes):
    """Nothing passes to any node, and back."""
    g = gate.Gate(t, nodes, health=QUICK).start()
    addrs = ", ".join(n.addr for n in nodes)
    trouble(t, "all nodes away for 15 s", g, nodes, nodes, rule(
        "ip saddr { %s } tcp sport { %s } drop\n  %s drop" % (
            addrs, ", ".join(str(n.port) for n in nodes), at(nodes))),
        flush, ("down",), last=15 - 1.2, cured=False)
    t.ok(states(g, {n.name: ("up",) for n in nodes}, 5) and served_on(g, nodes, 5),
         "all nodes away for 15 s: cured")
    t.same(g.stop(), 0, "all nodes away: smbgate ends with status 0")


def crowd(t, nodes):
    """200 connections of one node, some of them at work, and the others' bystanders."""
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=QUICK).start()
    first = [on(g, n, 1)[0] for n in nodes]
    cl = [Client("127.0.0.1", g.port, first[0].c.guid) for _ in range(200)]
    by = [Client("127.0.0.1", g.port, first[1].c.guid) for _ in range(20)]
    t.ok({c.node for c in cl} == {n1.name} and {c.node for c in by} == {n2.name},
         "crowd: 200 connections on one node, 20 on the other")
    works = [Busy(cl[i:60:4]) for i in range(4)] + [Busy(by)]
    before = g.closes()
    rule(at([n1]) + " tcp flags & (syn|ack) == syn drop")()
    t.ok(states(g, {n1.name: ("down",)}), "crowd: the node is down for newcomers")
    pass_time(LONG)
    alive = [w.stop() for w in works]
    slowest = min(w.rounds for w in works)
    t.ok(sum(alive[:4]) == 60 and alive[4] == 20 and slowest > 3, "crowd: 60 busy clients, and 20 "
         "of the other node, work on: %s, %d rounds" % (alive, slowest))
    idle = sum(c.works() for c in cl[60:])
    flush()
    cut = {k: v for k, v in g.closed_since(before).items() if k in CUTS}
    t.ok(idle == 140 and not cut, "crowd: %d of 140 idle ones live" % idle, cut)
    t.ok(states(g, {n1.name: ("up",)}, 5), "crowd: up again")
    t.ok(all(c.works() for c in cl[::10] + by), "crowd: and go on")
    for c in cl + by + first:
        c.close()
    t.same(g.stop(), 0, "crowd: smbgate ends with status 0")


def routed(t):
    """smbgate's own route to the nodes is away for a second, and somebody dials."""
    lan, wan = netns.Lan(t), netns.Lan(t)
    px, rt, nas = (netns.Host(t, n) for n in ("px", "rt", "nas"))
    lan.join(px, "10.1.0.2/24")
    lan.join(rt, "10.1.0.1/24")
    wan.join(rt, "10.2.0.1/24")
    wan.join(nas, "10.2.0.11/24", "10.2.0.12/24")
    rt.forward()
    px.route("default", "10.1.0.1")
    nas.route("default", "10.2.0.1")
    lab = node.Lab(t)
    with nas.inside():
        nodes = [node.Node(lab, "n%d" % i, "10.2.0.1%d" % i, port=11445,
                           interfaces=["10.2.0.1%d/24" % i]).start() for i in (1, 2)]
    with px.inside():
        g = gate.Gate(t, nodes, health=QUICK).start()

        def dial():
            with contextlib.suppress(smb2.Closed, OSError):
                smb2.Conn("127.0.0.1", g.port, timeout=1).negotiate([0x0302])
        trouble(t, "no route for 1 s", g, nodes, nodes,
                lambda: px.ip("route", "del", "default"),
                lambda: px.route("default", "10.1.0.1"), None, last=1, meanwhile=dial)
        t.same(g.stop(), 0, "no route: smbgate ends with status 0")


def main(t):
    why = gate.missing()
    if why:
        t.bail(why)
    front.own_network()
    lab = node.Lab(t)
    nodes = [node.Node(lab, "n%d" % i, "127.0.0.1%d" % i).start() for i in (1, 2)]
    for part in (firewalls, limited, stopped, away, crowd, listeners):
        part(t, nodes)
    routed(t)


with tap.Test(deadline=300) as test:
    main(test)
