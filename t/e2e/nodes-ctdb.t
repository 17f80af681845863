#!/usr/bin/python3
# nodes-ctdb.t: a real CTDB cluster: nobody throws a client off its node, and its states are heeded
"""CTDB_LONG=1: also "ctdb stop", and a ctdbd that hangs, with a line that sums up the times."""
import concurrent.futures
import os
import signal
import threading
import time
import uuid

import ctdb
import gate
import smb2
import tap

why = ctdb.missing() or gate.missing()
if why:
    tap.skip_all(why)

VICTIMS, STRANGERS = 8, 24
HERE = "127.0.0.1"


def ask(c, dialects, guid):
    """A NEGOTIATE's status."""
    req = c.build(smb2.NEGOTIATE, smb2.negotiate_body(dialects, guid), charge=0, credits=31)
    c.send_frame(req)
    m, = c.answers([smb2.Msg(req).mid])
    return m.status


def logged_on(addr, port, guid=None, dialects=(0x0311,), **kw):
    c = smb2.Conn(addr, port, **kw).negotiate(dialects, guid=guid)
    c.login()
    return c


def thrown_off(c, seconds=5):
    try:
        c.recv_eof(seconds)
        return True
    except TimeoutError:
        return False


def direct(t, nodes):
    """What the cluster does with the same GUID at another node: that this is one at all."""
    one, two = nodes[:2]
    c = logged_on(one.addr, one.port)
    with smb2.Conn(two.addr, two.port) as x:
        t.same(ask(x, [0x0311], c.guid), 0, "direct: a stranger has the client's GUID elsewhere")
        t.ok(thrown_off(c), "direct: the client is thrown off")
    c = logged_on(one.addr, one.port)
    with smb2.Conn(two.addr, two.port) as x:
        t.same((ask(x, [0x0999], os.urandom(16)), ask(x, [0x0311], c.guid)),
               (smb2.NOT_SUPPORTED, 0), "direct: so has one whose first NEGOTIATE was refused")
        t.ok(thrown_off(c), "direct: the client is thrown off")
    c = logged_on(one.addr, one.port, bytes(16), (0x0210,), src="127.0.7.1")
    with smb2.Conn(two.addr, two.port, src="127.0.7.2") as x:
        ask(x, [0x0210], bytes(16))
        t.ok(thrown_off(c), "direct: two GUIDs of zeros, from two addresses: so it is")


def stranger(g, guid, way):
    """Tries to be at another node with that GUID; how it ends."""
    with smb2.Conn(HERE, g.port) as c:
        try:
            if way == 0:
                ask(c, [0x0999], os.urandom(16))
            elif way == 1:
                c.multi_negotiate()
            return ask(c, [0x0311], guid)
        except smb2.Closed:
            return "closed"


def strangers(t, g):
    victims = [logged_on(HERE, g.port) for _ in range(VICTIMS)]
    where = {x["client"]: x["node"] for x in g.clients()}
    t.ok(len(set(where.values())) > 1, "%d clients, on all nodes" % VICTIMS, where)
    before = g.closes()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda i: stranger(g, victims[i % VICTIMS].guid, i // VICTIMS % 3),
                             range(STRANGERS)))
    t.same(ends, (["closed"] * VICTIMS + [0] * 2 * VICTIMS)[:STRANGERS], "of %d strangers, those "
           "are closed who first had another GUID" % STRANGERS)
    t.same(g.closed_since(before).get("other_guid"), VICTIMS, "which is counted")
    # all are at the victims' own nodes by now, if anywhere
    t.same([thrown_off(c, 0.2) for c in victims], [False] * VICTIMS, "no client is thrown off")
    for c in victims:
        c.echo()
        with logged_on(HERE, g.port, c.guid) as d:
            d.echo()
        c.echo()
        c.close()


def zeros(t, g):
    live = [logged_on(HERE, g.port, bytes(16), (0x0210,), src="127.0.7.%d" % i)
            for i in range(1, 7)]
    t.same([thrown_off(c, 0.2) for c in live], [False] * 6,
           "GUIDs of zeros from six addresses live side by side")
    for c in live:
        c.echo()
        c.close()


class Client(threading.Thread):
    """Opens a file again and again, and comes back when it is cut: how long it had to wait."""

    def __init__(self, port, addr=HERE):
        super().__init__(daemon=True)
        self.addr, self.port, self.guid = addr, port, os.urandom(16)
        self.over, self.worst, self.cuts, self.rounds = threading.Event(), 0, 0, 0
        self.connect()

    def connect(self):
        self.c = smb2.Conn(self.addr, self.port, timeout=30).negotiate([0x0311], guid=self.guid)
        self.s = self.c.login()
        self.tid = self.c.tree(self.s)

    def run(self):
        served = time.monotonic()
        back = True
        while not self.over.is_set():
            try:
                if not back:
                    self.connect()
                    back = True
                self.c.create(self.s, self.tid, "c%s" % self.guid.hex(), disp=3)
                now = time.monotonic()
                self.worst, served = max(self.worst, now - served), now
                self.rounds += 1
            except (smb2.Closed, smb2.Broken, OSError):
                self.cuts += back
                back = False
            self.over.wait(0.05)

    def stop(self):
        self.over.set()
        self.join(40)
        return self.worst


def state(t, g, node, want, name, limit=5):
    since = t.ran()
    tap.wait_for(lambda: g.node_states()[node.name] == want, 60, message=lambda: g.log()[-3000:])
    took = t.ran() - since
    # The limit is what smbgate promises; a machine that stood still may take longer.
    t.ok(took < limit + 10, "%s: the node is %s" % (name, want), took)
    return took


def leaves(t, g, node, away, back, name):
    """A node leaves its cluster and comes back: who lives on it is served elsewhere."""
    clients, mine = [], []
    while len(clients) < 60 and (len(mine) < 2 or len(clients) - len(mine) < 2):
        clients.append(Client(g.port))
        where = {x["client"]: x["node"] for x in g.clients()}
        if where[str(uuid.UUID(bytes_le=clients[-1].guid))] == node.name:
            mine.append(clients[-1])
    t.ok(len(mine) >= 2, "%s: clients live on the node" % name, where)
    alone = Client(node.port, node.addr)
    before = g.closes()
    for c in [*clients, alone]:
        c.start()
    since = time.monotonic()
    away()
    state(t, g, node, "down", name)
    took = time.monotonic() - since
    tap.wait_for(lambda: g.closed_since(before).get("node_agent") == len(mine), 30,
                 message=lambda: g.log()[-3000:])
    seen = [c.rounds for c in clients]
    tap.wait_for(lambda: all(c.rounds > n for c, n in zip(clients, seen)), 60,
                 message=lambda: "%s\n%s" % ([c.rounds for c in clients], g.log()[-3000:]))
    t.comes(lambda: node.name in {x["node"] for x in g.clients() if x["connections"]}, False,
            "%s: all are served, by other nodes" % name)
    t.same(g.closed_since(before).get("node_agent"), len(mine), "%s: its clients alone were cut"
           % name)
    back()
    state(t, g, node, "up", name + ": and back", 60)
    direct = alone.stop()
    waited = {c: c.stop() for c in clients}
    worst = max(waited[c] for c in mine)
    others = max(waited[c] for c in clients if c not in mine)
    t.same([c.cuts for c in clients if c not in mine], [0] * (len(clients) - len(mine)),
           "%s: the others' connections lived through it" % name)
    t.ok(worst < 30, "%s: a client waits %.1f s at most" % (name, worst), worst)
    t.diag("SUMMARY %s: down after %.2f s; %d clients, at most %.2f s without service; those of "
           "other nodes, while the cluster recovered: %.2f s; direct, at that node, until it was "
           "back: %.2f s" % (name, took, len(mine), worst, others, direct))
    for c in [*clients, alone]:
        c.c.close()


def hangs(t, g, node):
    """All nodes freeze with a ctdbd that hangs: no agent's silence cuts anybody."""
    pids, before, since = node.ctdbd(), g.closes(), time.monotonic()
    t.ok(pids, "the processes of ctdbd", pids)
    live = [logged_on(HERE, g.port) for _ in range(8)]
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    took = state(t, g, node, "hung", "ctdbd hangs")
    t.same([c for c in live if thrown_off(c, 0.2)], [], "ctdbd hangs: nobody is cut for it")
    for p in pids:
        os.kill(p, signal.SIGCONT)
    state(t, g, node, "up", "ctdbd goes on", 60)
    t.ok("node_agent" not in g.closed_since(before), "ctdbd hangs: no agent has ended anything")
    t.diag("SUMMARY ctdbd hangs: hung after %.2f s, and all was well %.2f s after it had stopped"
           % (took, time.monotonic() - since))


def states(t, nodes):
    """ctdb disable and ban, as the agent of contrib/ctdb tells them."""
    n = nodes[1]
    g = gate.Gate(t, ctdb.agents(t, nodes),
                  health=dict(gate.FAST, interval="500ms", timeout="2s")).start()
    tap.wait_for(lambda: {x["agent"]["says"] for x in g.node_list().values()} == {"up"}, 30)
    live = [logged_on(HERE, g.port) for _ in range(8)]
    n.ctdb("disable")
    state(t, g, n, "drain", "ctdb disable")
    t.same(g.node_list()[n.name]["agent"]["why"], "Disabled", "and why is shown")
    for c in live:
        c.echo()
        c.close()
    t.ok(True, "ctdb disable: who lives there stays")
    n.ctdb("enable")
    state(t, g, n, "up", "ctdb enable")
    leaves(t, g, n, lambda: n.ctdb("ban", "600"), lambda: n.ctdb("unban"), "ctdb ban")
    if os.environ.get("CTDB_LONG"):
        leaves(t, g, n, lambda: n.ctdb("stop"), lambda: n.ctdb("continue"), "ctdb stop")
        hangs(t, g, n)
    t.same(g.stop(), 0, "smbgate ends with status 0")


def main(t):
    nodes = ctdb.cluster(t, 3)
    direct(t, nodes)
    states(t, nodes)
    g = gate.Gate(t, nodes).start()
    strangers(t, g)
    zeros(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
