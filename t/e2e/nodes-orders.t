#!/usr/bin/python3
# nodes-orders.t: orders of operators that meet each other, or a bad moment, through two proxies
"""Whatever they are, each is answered, nobody is left behind whom nobody reads, no client is live
on two nodes, and in the end everything is as it was."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import agent
import gate
import redis
import several
import smb2
import tap
from flock import SECONDS, Pc, Watch, at_once, order

why = gate.missing() or redis.missing()
if why:
    tap.skip_all(why)

CLIENTS, BURST = 120, 100
NAMES = ("no such", "n\u00f6de \u2603", "n" * 1500, 'f1"', "f1\n", "f1 ", "F1", "", "../f1", "%s%n")


def settled(gates):
    """All orders are over, and count on both proxies."""
    def there():
        return all(n["state"] == "up" and n["drain"] is None
                   for g in gates for n in g.node_list().values())
    return tap.wait_for(there, SECONDS, message=lambda: str([g.node_list() for g in gates]))


def heard(pcs):
    """What those say who get no answer.  Who has been let go meanwhile comes back."""
    def one(p):
        try:
            p.conn.echo()
        except (smb2.Closed, ConnectionError):
            p.look()
    return at_once(pcs, one)


def of(pcs, n):
    return [p for p in pcs if p.node == n.name]


def named(t, gates, nodes, p):
    """What names no node, and a node that is where it is to be already."""
    said = {(cmd, x): gates[0].ctl_run(cmd, *args, x) for x in NAMES
            for cmd, args in (("drain", ()), ("move", (p.name(),)))}
    wrong = {x: r.stderr for x, r in said.items()
             if r.returncode not in (1, 2) or "node" not in r.stderr or r.stderr.count("\n") != 1}
    t.same(wrong, {}, "%d names of no node: each is refused in a line" % len(NAMES))
    raw = [gates[0].ask({"cmd": "drain", "node": x}) for x in (None, 7, ["f1"], {"a": 1}, True)]
    t.ok(all(set(r) == {"error"} for r in raw), "nor is what is no text", raw)
    g = p.at
    r = g.ask({"cmd": "move", "who": p.name(), "node": p.node})
    t.ok("on node \"%s\" already" % p.node in r.get("error", ""), "a move to where it is", r)
    t.ok(p.conn.is_open() and settled(gates), "and nothing comes of it")


def talk(path, data, half):
    """One connection to the control socket: all of that, or the first half and no more."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(SECONDS)
        s.connect(path)
        s.sendall(data[:len(data) // 2] if half else data + b"\n")
        if half:
            return None
        out = b""
        while True:
            got = s.recv(65536)
            if not got:
                return json.loads(out)
            out += got


def burst(t, gates, nodes, pcs):
    """All at once, on one socket; every fifth goes away in the middle of what it says."""
    quiet = {"quiet_ms": 3600000, "force": True}
    kinds = [{"cmd": "drain", **quiet}, {"cmd": "undrain"}, {"cmd": "maint", **quiet},
             {"cmd": "progress"}, {"cmd": "unmaint"}]
    said, threads = [], []

    def one(i):
        request = dict(kinds[i % 5], node=nodes[i % 2].name)
        try:
            said.append(talk(gates[0].control, json.dumps(request).encode(), i % 5 == 4))
        except (OSError, ValueError) as e:
            said.append(repr(e))
    for i in range(BURST):
        threads.append(threading.Thread(target=one, args=(i,)))
        threads[-1].start()
    for th in threads:
        th.join(SECONDS)
    t.same((len(said), [x for x in said if not isinstance(x, (dict, type(None)))]), (BURST, []),
           "%d orders at once: each is answered" % BURST)
    for n in nodes:
        order(gates[1], "undrain", n)
    settled(gates)
    t.same((heard(pcs), [p.ends for p in pcs if p.ends]), ([], []), "and nobody has noticed")


def again(t, gates, nodes):
    """The same order once more: its deadline begins anew, at the other proxy as well."""
    def left(g):
        drain = g.node_list()[nodes[0].name]["drain"]
        return drain and drain["deadline_s"]
    for turn in range(2):
        if turn > 0:
            began = time.monotonic()
            tap.wait_for(lambda: time.monotonic() > began + 6, 10)
        order(gates[0], "drain", nodes[0], quiet_ms=3600000, deadline_ms=600000)
        t.comes(lambda: [598 <= (left(g) or 0) <= 600 for g in gates], [True, True],
                "drain: both proxies have its deadline", seconds=10)
    order(gates[0], "undrain", nodes[0])
    settled(gates)


def undrained(t, gates, nodes, pcs):
    """Called off, at the other proxy, while clients are being let go."""
    there, rest = of(pcs, nodes[0]), of(pcs, nodes[1])
    for p in pcs:
        p.ends = 0
    order(gates[0], "drain", nodes[0], quiet_ms=500)
    t.ok(tap.wait_for(lambda: any(not p.conn.is_open() for p in there), SECONDS),
         "undrain: the first of %d clients go" % len(there))
    order(gates[1], "undrain", nodes[0])
    settled(gates)
    stayed = sum(p.conn.is_open() for p in there)
    # Who was not to be read any more is read again.
    t.same(heard(pcs), [], "undrain: all are served; of that node %d have stayed" % stayed)
    t.ok(all(p.ends == 0 for p in rest), "undrain: nobody of the other node has ended")


class Talker:
    """Says something all the time, so that it is not let go."""

    def __init__(self, p):
        self.p, self.over = p, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.over.wait(0.02):
                self.p.conn.echo()
        except (OSError, smb2.Closed):
            pass

    def end(self):
        self.over.set()
        self.thread.join(SECONDS)


def dies(t, gates, nodes, pcs):
    """Two operators wait for a node that is drained, and it dies meanwhile."""
    talkers = [Talker(p) for p in of(pcs, nodes[0])[:4]]
    waits = [t.spawn([gate.ctl_program(), "-s", g.control, "--json", "drain", nodes[0].name,
                      "--quiet", "1h", "--wait"], stdout=subprocess.PIPE, text=True)
             for g in (gates[0], gates[0], gates[1])]
    # The order's own answer comes first.
    first = [[json.loads(w.stdout.readline()) for _ in range(2)][1] for w in waits]
    t.ok(all(x["clients"] > 0 and x["remaining_s"] is None for x in first),
         "three wait for a drained node", first)
    nodes[0].stop()
    ends = [(w.communicate(timeout=SECONDS)[0].splitlines()[-1:], w.returncode) for w in waits]
    t.same([(json.loads(x[0])["connections"], status) for x, status in ends], [(0, 0)] * 3,
           "it dies, and is empty: each is told, status 0")
    for x in talkers:
        x.end()
    t.ok(all(g.node_list()[nodes[0].name]["draining"] for g in gates), "and is drained still")
    t.same(at_once(pcs, Pc.look), [], "its clients come back")
    t.same({p.node for p in pcs}, {nodes[1].name}, "elsewhere")
    nodes[0].start()
    tap.wait_for(lambda: all(g.node_states()[nodes[0].name] == "drain" for g in gates), SECONDS)
    order(gates[1], "undrain", nodes[0])
    t.ok(settled(gates), "it is there again, and is undrained")


def moves(g, p, to):
    r = g.ask({"cmd": "move", "who": p.name(), "node": to.name, "force": True})
    return r["moves"][0]["number"]


def over(g, number):
    """How a move ends."""
    end, r = time.monotonic() + SECONDS, {}
    while not r.get("over"):
        r = g.ask({"cmd": "moved", "number": number})
        if "error" in r or time.monotonic() > end:
            raise RuntimeError(r)
        time.sleep(0.02)
    return r


def killed(t, gates, nodes, pcs):
    """Each is moved by one proxy and killed by both, at the same moment."""
    some = [p for p in pcs if p.at is gates[0]][:24]
    ends = []

    def one(p):
        to = next(n for n in nodes if n.name != p.node)
        number = moves(gates[0], p, to)
        for g in gates:
            g.ask({"cmd": "kill", "who": p.name(), "force": True})
        ends.append(over(gates[0], number))
    t.same(at_once(some, one), [], "kill during a move: each of %d is answered" % len(some))
    t.ok(tap.wait_for(lambda: not any(p.conn.is_open() for p in some), SECONDS),
         "kill during a move: all have ended")
    t.same(([x for x in ends if not x["moved"]], at_once(some, Pc.look)), ([], []),
           "kill during a move: all are moved, and come back")


def frozen(t, gates, nodes, p, watch):
    """It has a connection through each proxy; the other one stands still while it is moved, for
    longer than its lease: smbgate.conf(5) has that its connection then lives until it goes on."""
    before = len(watch.twice)
    p.gates, p.turn = gates, 0
    p.conn.close()
    p.come()
    far = smb2.Conn("127.0.0.1", gates[1].port, timeout=SECONDS)
    far.negotiate([0x0311], guid=p.guid)
    far.guest()
    t.same(several.which(far), p.node, "frozen: a client through both proxies is on one node")
    to = next(n for n in nodes if n.name != p.node)
    os.kill(gates[1].proc.pid, signal.SIGSTOP)
    try:
        end = over(gates[0], moves(gates[0], p, to))
        p.gates = gates[:1]
        p.look()
        t.ok(p.node == (to.name if end["moved"] else several.which(far)),
             "frozen: it is where the move says: %s" % end["how"], end, p.node)
    finally:
        os.kill(gates[1].proc.pid, signal.SIGCONT)
    if end["moved"]:
        t.ok(tap.wait_for(lambda: not far.is_open(), SECONDS),
             "frozen: its old connection ends when the other one goes on")
    else:
        t.ok(far.is_open(), "frozen: its other connection is where it was")
    t.ok(len(watch.twice) <= before + 1, "frozen: nobody else is on two nodes", watch.twice)
    del watch.twice[before:]
    p.gates = gates
    several.healed(*gates)
    t.same(heard([p]), [], "frozen: it is served")
    far.close()


def mixed(t, gates, nodes, pcs, word):
    """A node's agent, its probes and two operators, each with another opinion."""
    n, other = nodes
    for i in range(30):
        word[0] = (b"down\n", b"up\n", b"drain\n", b"10%\n", b"maint\n", b"x\n")[i % 6]
        order(gates[i % 2], ("drain", "maint", "undrain", "unmaint")[i % 4], n, force=True,
              quiet_ms=1000 * (1 + i % 2), deadline_ms=i % 3 * 2000)
        order(gates[(i + 1) % 2], ("undrain", "drain")[i % 2], other, quiet_ms=1000)
        at_once(pcs[::7], Pc.look)
    word[0] = b"up\n"
    for x in nodes:
        order(gates[0], "undrain", x)
    settled(gates)
    t.same((at_once(pcs, Pc.look), heard(pcs)), ([], []),
           "agent, drain and maint at once: in the end all are served")


def main(t):
    watch = Watch()
    nodes = [watch.node(t, "f%d" % i, "127.0.0.%d" % (40 + i)) for i in (1, 2)]
    word = [b"up\n"]
    agents = agent.Crowd(t, lambda _: word[0])
    gates = several.pair(t, [(nodes[0], {"agent": "127.0.0.1:%d" % agents.port}), nodes[1]],
                         [redis.Server(t).start().endpoint], state={"timeout": "5s"})
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), SECONDS)
    pcs = [Pc(gates) for _ in range(CLIENTS)]
    t.same(at_once(pcs, Pc.come), [], "%d clients" % CLIENTS)
    named(t, gates, nodes, pcs[0])
    burst(t, gates, nodes, pcs)
    again(t, gates, nodes)
    undrained(t, gates, nodes, pcs)
    killed(t, gates, nodes, pcs)
    frozen(t, gates, nodes, pcs[0], watch)
    dies(t, gates, nodes, pcs)
    mixed(t, gates, nodes, pcs, word)
    t.same(watch.twice[:5], [], "%d NEGOTIATEs: none of a client that is live on another node"
           % watch.seen)
    for p in pcs:
        p.conn.close()
    t.same([g.stop() for g in gates], [0, 0], "both proxies end with status 0")


with tap.Test(deadline=300) as test:
    main(test)
