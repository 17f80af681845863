#!/usr/bin/python3
# nodes-agent.t: 64 nodes with agents, of which some hang, lie, trickle or say nothing
import os

import agent
import fake
import gate
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

NODES = 64
# What the i-th node's agent does: by i % 8, and what is shown of it.
WAYS = (b"up ready\n", [], b"HTTP/1.0 400 Bad request\r\n", [b"u", b"p"] + [b" "] * 10000,
        b"drain #on purpose\r\n", None, b"x" * 100000, b"75% up\n")
SAYS = ("up", "nothing", "nothing", "nothing", "drain", "nothing", "nothing", "up")
# Who says nothing keeps nobody waiting for long; and who is late some times, for this machine is
# busy, is neither hung nor without an agent.
HEALTH = dict(gate.FAST, interval="300ms", timeout="300ms", fall=20)


class Node:
    """One of many addresses of the same server."""

    def __init__(self, i, port, agents):
        self.name, self.addr, self.port = "n%d" % i, "127.2.0.%d" % (i + 1), port
        self.endpoint = "%s:%d" % (self.addr, port)
        self.opts = {"agent": "%s:%d" % (self.addr, agents)}


def number(name):
    return int(name[1:])


def clients(port, count):
    out = []
    for _ in range(count):
        c = smb2.Conn("127.0.0.1", port).negotiate([0x0302], guid=os.urandom(16))
        c.login()
        out.append(c)
    return out


def ways(t, g):
    """Each does as it is said, and nobody waits for another."""
    def there():
        nodes = g.node_list()
        return all(n["agent"]["says"] == SAYS[number(k) % 8] and
                   (SAYS[number(k) % 8] != "nothing" or n["agent"]["failures"] >= 3)
                   for k, n in nodes.items()) and nodes
    nodes = tap.wait_for(there, 60, message=lambda: {
        k: n["agent"] for k, n in g.node_list().items()})
    t.ok(nodes, "%d agents: what each says, and that others say nothing" % NODES)
    t.same({k for k, n in nodes.items() if n["state"] == "drain"},
           {"n%d" % i for i in range(NODES) if i % 8 == 4}, "drained are those whose agent says so")
    t.same({n["state"] for n in nodes.values()}, {"up", "drain"}, "all others are up")
    t.same({n["agent"]["why"] for k, n in nodes.items() if number(k) % 8 == 4}, {"on purpose"},
           "with the reason")
    t.same({n["agent"]["weight_percent"] for k, n in nodes.items() if number(k) % 8 == 7}, {75},
           "a share of the weight")
    before = {k: (n["probes"], n["agent"]["asked"]) for k, n in nodes.items()}

    def all_go_on():
        return all(n["probes"] >= before[k][0] + 4 and n["agent"]["asked"] >= before[k][1] + 3
                   for k, n in g.node_list().items())
    tap.wait_for(all_go_on, 60)
    now = {k: (n["probes"] - before[k][0], n["agent"]["asked"] - before[k][1])
           for k, n in g.node_list().items()}
    # one that waited for the others' silence would be 40 times slower
    t.ok(min(p for p, _ in now.values()) * 4 >= max(p for p, _ in now.values()),
         "probes come at one pace, whatever the agents do", now)
    t.ok(min(a for _, a in now.values()) * 4 >= max(a for _, a in now.values()),
         "and so do the questions to agents", now)
    text = g.ctl_run("show", "nodes").stdout
    t.ok("n4: its agent says drain, weight 100%: on purpose" in text and
         "n7: its agent says up, weight 75%" in text, "show nodes says it", text[-1500:])


def down(t, g, crowd):
    """Half of the nodes' agents say that they are down: their clients go."""
    live = clients(g.port, 40)
    away = {"n%d" % i for i in range(0, NODES, 2)}
    where = {c["client"]: c["node"] for c in g.clients()}
    t.ok(not {number(n) % 8 for n in where.values()} & {4}, "no client is at a drained node", where)
    leave = sum(n in away for n in where.values())
    before = g.closes()
    crowd.say = lambda addr: b"down #test\n" if int(addr.rsplit(".", 1)[1]) % 2 else b"up ready\n"
    tap.wait_for(lambda: g.closed_since(before).get("node_agent") == leave, 60,
                 message=lambda: (leave, g.closed_since(before), g.log()[-2000:]))
    t.same(g.closed_since(before), {"node_agent": leave}, "the clients of half of the nodes go: %d"
           % leave)
    # a node without clients may be asked after the last of the others' clients has gone
    t.comes(lambda: {k for k, s in g.node_states().items() if s == "down"}, away, "which are down")
    stay = [c for c in live if not gone(c)]
    t.same(len(stay), len(live) - leave, "the others stay")
    for c in live:
        if c not in stay:
            with smb2.Conn("127.0.0.1", g.port) as d:
                d.negotiate([0x0302], guid=c.guid)
                d.login()
    t.ok(True, "who comes back is served elsewhere")
    # where nobody else would take them they stay
    gate.settle_closes(g)
    before = g.closes()
    crowd.say = lambda addr: b"drain\n"
    tap.wait_for(lambda: set(g.node_states().values()) == {"drain"}, 60)
    crowd.say = lambda addr: b"stopped\n"
    tap.wait_for(lambda: set(g.node_states().values()) == {"down"}, 60)
    t.same(g.closed_since(before), {}, "all agents say stopped: no client goes")
    for c in stay:
        c.echo()
    crowd.say = lambda addr: None
    tap.wait_for(lambda: set(g.node_states().values()) == {"up"}, 60)
    t.ok("the probes alone count" in g.log(), "the agents say no more: the probes alone count")
    for c in stay:
        c.close()


def fewer(t, g, crowd):
    """fall becomes less than what agents have missed already: they are forgotten all the same."""
    crowd.say = lambda addr: b"drain\n"
    tap.wait_for(lambda: set(g.node_states().values()) == {"drain"}, 60)
    g.reload(health=dict(HEALTH, fall=100))
    before = {k: n["agent"]["failures"] for k, n in g.node_list().items()}
    crowd.say = lambda addr: None
    tap.wait_for(lambda: all(n["agent"]["failures"] > before[k] + 3
                             for k, n in g.node_list().items()), 60)
    g.reload(health=dict(HEALTH, fall=2))
    t.comes(lambda: set(g.node_states().values()), {"up"},
            "fewer misses are enough from now on, and there have been more: the probes alone count")
    g.reload(health=HEALTH)


def gone(c):
    try:
        c.echo()
        return False
    except (smb2.Closed, OSError):
        return True


def main(t):
    server = fake.FakeNode(t, "n0", "0.0.0.0").start()
    crowd = agent.Crowd(t, lambda addr: WAYS[(int(addr.rsplit(".", 1)[1]) - 1) % 8])
    nodes = [Node(i, server.port, crowd.port) for i in range(NODES)]
    g = gate.Gate(t, [(n, n.opts) for n in nodes], health=HEALTH).start(nodes_up=False)
    tap.wait_for(lambda: "unknown" not in g.node_states().values(), 30)
    ways(t, g)
    fds = g.fds()
    down(t, g, crowd)
    t.ok(tap.wait_for(lambda: g.fds() <= fds + 8, 60), "no descriptor is left", fds, g.fds())
    fewer(t, g, crowd)
    # the operator's word is above the agent's
    crowd.say = lambda addr: b"up ready\n"
    g.ctl("drain", "n1")
    g.ctl("maint", "n2")
    tap.wait_for(lambda: g.node_list()["n1"]["agent"]["says"] == "up", 20)
    t.same([g.node_states()[k] for k in ("n1", "n2")], ["drain", "maint"],
           "an operator's drain and maint are above the agent's word")
    g.reload(nodes=nodes)
    t.same({n["agent"] is None for n in g.node_list().values()}, {True},
           "a reload without agents: none is asked")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
