#!/usr/bin/python3
# nodes-takeover.t: smbgate --takeover while nodes are in trouble, drained, or in maintenance
"""What is known of nodes, and of the connections that wait for them, is as it was before."""
import os
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

QUICK = {"interval": "300ms", "timeout": "1s", "rise": 2, "fall": 3, "slow_start": "0s",
         "flap_changes": 0}
FLAPS = dict(QUICK, flap_changes=2, flap_window="1h", flap_hold="1h")
CLIENTS = 16        # each begins to wait a fifth of a second after the one before
CUTS = ("node_down", "node_hung", "node_reset", "node_eof")


class Client:
    """Logged on, with an open file."""

    def __init__(self, g, n=None):
        """On that node."""
        while True:
            self.c = smb2.Conn("127.0.0.1", g.port, timeout=60).negotiate([0x0302])
            self.node = self.c.server_guid.rstrip(b"\0").decode()
            if n is None or self.node == n.name:
                break
            self.c.close()
        self.s = self.c.login()
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "u-%s" % os.urandom(8).hex(), disp=3)

    def works(self):
        try:
            self.c.write(self.s, self.tid, self.fid, 0, b"works")
            return self.c.read(self.s, self.tid, self.fid, 0, 9) == b"works"
        except (smb2.Closed, OSError):
            return False


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def cut_off(nodes):
    """Nothing passes to these nodes, and back."""
    addrs = ", ".join(n.addr for n in nodes)
    ports = ", ".join(str(n.port) for n in nodes)
    nft("table inet f {\n chain in {\n  type filter hook input priority 0\n"
        "  ip saddr { %s } tcp sport { %s } drop\n  ip daddr { %s } tcp dport { %s } drop\n }\n}\n"
        % (addrs, ports, addrs, ports))


def at(end):
    tap.wait_for(lambda: time.monotonic() >= end, 60, 0.02)


def probed(g, n):
    """It was, as often as it would take to be up."""
    probes = g.node_list()[n.name]["probes"]
    tap.wait_for(lambda: g.node_list()[n.name]["probes"] > probes + QUICK["rise"] + 1, 20)


def away(t, nodes):
    """No node is to be reached, bytes are repeated for longer than node-timeout: nobody is cut."""
    g = gate.Gate(t, nodes, health=QUICK, tcp={"node_timeout": "2s"}).start()
    cl = [Client(g) for _ in range(CLIENTS)]
    idle = [Client(g) for _ in range(4)]
    before, good = g.closes(), []
    cut_off(nodes)
    begin = time.monotonic()

    def run(i):
        at(begin + 0.2 * i)
        if cl[i].works():
            good.append(i)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(CLIENTS)]
    for x in threads:
        x.start()
    tap.wait_for(lambda: set(g.node_states().values()) == {"down"}, 20,
                 message=lambda: "nodes are not down: %s" % g.node_states())
    at(begin + 4.5)
    g.takeover()
    t.same(set(g.node_states().values()), {"down"}, "away: the new process knows it")
    at(max(begin + 9, time.monotonic() + 2))
    closed = {k: v for k, v in g.closed_since(before).items() if k in CUTS}
    nft("flush ruleset\n")
    for x in threads:
        x.join(60)
    t.same((len(good), closed), (CLIENTS, {}),
           "away: %d clients waited through it, and none was cut" % CLIENTS)
    t.ok(all(x.works() for x in idle), "away: nor an idle one")
    for x in cl + idle:
        x.c.close()
    t.same(g.stop(), 0, "away: smbgate ends with status 0")


def one_down(t, nodes):
    """It is down, then held down for it flaps: no newcomer is sent there by the new process."""
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=FLAPS).start()
    stays = Client(g, n2)
    cut_off([n1])
    tap.wait_for(lambda: g.node_states()[n1.name] == "down", 20)
    since = g.node_list()[n1.name]
    g.takeover()
    t.same((g.node_states(), {Client(g).node for _ in range(12)}),
           ({n1.name: "down", n2.name: "up"}, {n2.name}), "down: newcomers go elsewhere")
    t.ok(g.node_list()[n1.name]["probe_failures"] >= since["probe_failures"],
         "down: probes are counted on")
    for want in ("up", "down"):
        if want == "up":
            nft("flush ruleset\n")
        else:
            cut_off([n1])
        tap.wait_for(lambda: g.node_states()[n1.name] == want, 20)
    nft("flush ruleset\n")
    tap.wait_for(lambda: g.node_list()[n1.name]["held_down"], 20,
                 message=lambda: "it is not held down: %s" % g.node_list()[n1.name])
    g.takeover()
    probed(g, n1)
    t.same(g.node_states()[n1.name], "down", "flapping: it is held down by the new process, too")
    t.ok(stays.works(), "down: the other node's client works")
    stays.c.close()
    t.same(g.stop(), 0, "down: smbgate ends with status 0")


def drained(t, nodes):
    """A deadline is that of the drain, and not of the process."""
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=QUICK).start()
    mine, other = Client(g, n1), Client(g, n2)
    begin = time.monotonic()
    g.ctl("drain", n1.name, "--deadline", "30s")
    ordered = time.monotonic()
    at(ordered + 3)
    g.takeover()
    drain = g.node_list()[n1.name]["drain"]
    took = time.monotonic() - begin
    t.ok(g.node_states()[n1.name] == "drain" and
         28 - took <= drain["deadline_s"] <= 31 - (time.monotonic() - ordered),
         "drain: %s s after %.1f s" % (drain["deadline_s"], took), drain)
    t.ok(mine.works() and {Client(g).node for _ in range(8)} == {n2.name},
         "drain: who has a file open stays, and newcomers go elsewhere")
    tap.wait_for(lambda: not mine.c.is_open(), 60, message="the deadline passes")
    took = time.monotonic() - begin
    t.ok(30 <= took < 40, "drain: the deadline is where it was: after %.1f s" % took)
    t.ok(other.works(), "drain: and nobody else is cut")
    g.ctl("undrain", n1.name)
    g.ctl("maint", n2.name, "--force")
    mine = Client(g, n1)
    g.takeover()
    t.same((g.node_states(), {Client(g).node for _ in range(8)}),
           ({n1.name: "up", n2.name: "maint"}, {n1.name}), "maint: newcomers go elsewhere")
    probes = g.node_list()[n2.name]["probes"]
    probed(g, n1)
    t.same(g.node_list()[n2.name]["probes"], probes, "maint: it is not probed")
    t.ok(mine.works(), "maint: the other node's client works")
    g.ctl("unmaint", n2.name)
    t.ok(tap.wait_for(lambda: g.node_states()[n2.name] == "up", 20), "maint: and it ends")
    t.same(g.stop(), 0, "drain: smbgate ends with status 0")


def main(t):
    why = gate.missing()
    if why:
        t.bail(why)
    front.own_network()
    lab = node.Lab(t)
    nodes = [node.Node(lab, "n%d" % i, "127.0.0.1%d" % i).start() for i in (1, 2)]
    for part in (away, one_down, drained):
        part(t, nodes)


with tap.Test(deadline=180) as test:
    main(test)
