#!/usr/bin/python3
# nodes-asked.t: thousands of idle clients of a node in doubt, and a network with room for hundreds
"""The node takes no new connections, and is otherwise well: each of the connections to it asks for
a sign of life once a second.  The network takes a few hundred packets at once, and more than all of
these in a second: nobody is lost who does not ask in the same moment as all others."""
import os
import subprocess
import sys
import time
import types

import gate
import tap

why = gate.missing()
if why is None and subprocess.run(["unshare", "-n", "true"]).returncode:
    why = "no network namespaces here"
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:     # all of it in a network namespace of its own
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

CLIENTS, STEP = 2000, 500
AT_ONCE, A_SECOND = 300, 6000
ASKED_S = 12            # four without an answer end a connection, after five seconds at the soonest
LIMITS = {"unauthenticated": 100000, "unauthenticated-per-source": 100000,
          "connections-per-source": 100000, "accept-rate": 100000, "accept-burst": 100000}
HEALTH = {"interval": "200ms", "timeout": "1s", "rise": 1, "fall": 100, "slow_start": "0s",
          "flap_changes": 0}


def nft(*rules):
    for r in rules:
        subprocess.run(["nft", r], check=True)


def come(t, g):
    for n in range(STEP, CLIENTS + 1, STEP):
        t.spawn([gate.build_dir() + "/bench/load", "-u", "-c", str(STEP), "127.0.0.1:%d" % g.port,
                 "idle"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        tap.wait_for(lambda n=n: g.stats()["logged_on"] >= n, 60, 0.05,
                     lambda: "%d log on" % g.stats()["logged_on"])


def main(t):
    nodes = [types.SimpleNamespace(name="n%d" % i, endpoint="127.0.0.%d:1445" % (1 + i))
             for i in (1, 2)]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for n in nodes:
        t.spawn([gate.build_dir() + "/bench/null", n.endpoint], stdin=subprocess.DEVNULL)
    g = gate.Gate(t, nodes[:1], workers=1, limits=LIMITS, health=HEALTH).start()
    come(t, g)
    # The other one: clients of a node in doubt have somewhere to go.
    g.write_policy(nodes=nodes)
    g.ask({"cmd": "reload"})
    tap.wait_for(lambda: len(g.node_list()) == 2 and g.probed(), 30)
    closes = g.closes()
    to = "ip daddr 127.0.0.2 tcp dport 1445"
    nft("add table ip asked",
        "add chain ip asked i { type filter hook input priority 0; }",
        "add rule ip asked i %s tcp flags & (syn|ack) == syn drop" % to,
        "add rule ip asked i %s limit rate over %d/second burst %d packets counter drop" % (
            to, A_SECOND, AT_ONCE))
    tap.wait_for(lambda: "n1: probe failed" in g.log(), 30)
    time.sleep(ASKED_S)
    t.ok(g.log().count("n1: probe failed") > 3, "a node in doubt", g.log()[-2000:])
    t.same((g.closed_since(closes), g.node_list()["n1"]["connections"]), ({}, CLIENTS),
           "keeps its %d idle clients, of whom each asks it once a second" % CLIENTS)


subprocess.run(["make", "-s", "-C", gate.build_dir(), "bench/null", "bench/load"], check=True)
with tap.Test(deadline=180) as test:
    main(test)
