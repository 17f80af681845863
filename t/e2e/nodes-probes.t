#!/usr/bin/python3
# nodes-probes.t: what probes make of hosts allow, SMB1 alone, hung logons, loops and full queues
import collections
import concurrent.futures
import os
import re
import socket
import struct
import subprocess
import threading
import time

import fake
import gate
import netns
import node
import smb2
import tap

why = node.missing() or netns.missing()
if why:
    tap.skip_all(why)

QUICK = dict(gate.FAST, timeout="3s")
GONE = (smb2.Closed, smb2.Broken, ConnectionError, socket.timeout)


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


def served(port, guid=None, src=None, timeout=30, addr="127.0.0.1"):
    """The node that serves this client, with a logon; None: none does."""
    try:
        with smb2.Conn(addr, port, src=src, timeout=timeout) as c:
            c.negotiate([0x0302], guid=guid)
            c.login()
            return which(c)
    except GONE:
        return None


def crowd(port, guids, timeout=30):
    """All of them at once."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda guid: served(port, guid, timeout=timeout), guids))


def some(count):
    return [os.urandom(16) for _ in range(count)]


class Live:
    """Logged-on clients that must not pay."""

    def __init__(self, port, count):
        self.all = []
        for _ in range(count):
            c = smb2.Conn("127.0.0.1", port).negotiate([0x0302])
            c.tree(c.login())       # smbd may end whoever has no share after a minute
            self.all.append(c)

    def works(self):
        n = 0
        for c in self.all:
            try:
                c.echo()
                n += 1
            except GONE:
                pass
        return n == len(self.all)

    def close(self):
        for c in self.all:
            c.close()


def state(g, name, want, seconds=60):
    tap.wait_for(lambda: g.node_states()[name] == want, seconds,
                 message=lambda: "%s is %s, not %s" % (name, g.node_states()[name], want))


def hosts_allow(t):
    """The nodes let the clients' network in, and not smbgate; source = transparent."""
    host = netns.Host(t, "allow")
    host.ip("addr", "add", "10.8.0.2/24", "dev", "lo")
    host.ip("addr", "add", "10.2.0.1/32", "dev", "lo")
    host.ip("addr", "add", "10.2.0.11/24", "dev", "lo")
    with host.inside():
        n = node.Node(node.Lab(t), "n1", "10.2.0.11", extra=["hosts allow = 10.8.0.0/24"],
                      interfaces=["10.2.0.11/24"]).start()
        t.same(served(n.port, src="10.8.0.2", addr=n.addr), "n1", "direct: clients are let in")
        t.same(served(n.port, src="10.2.0.1", addr=n.addr), None,
               "direct: smbgate's address is not")
        # what leaves this machine for the node has that address, as on a machine between them
        host.ip("route", "replace", "local", "10.2.0.11", "dev", "lo", "src", "10.2.0.1", "table",
                "local")
        g = gate.Gate(t, [n], listen={"lan": "10.2.0.1:%d" % node.free_port("10.2.0.1")},
                      source="transparent").start(nodes_up=False)
        tap.wait_for(lambda: g.node_list()["n1"]["probes"] > 4, 60, message="no probes")
        t.same(g.node_states()["n1"], "unknown", "hosts allow: refused probes say nothing")
        t.ok("hosts allow" in g.log(), "hosts allow: the log says where to look", g.log()[-2000:])
        t.same(g.log().count("refuses the probes"), 1, "hosts allow: once")
        got = [served(g.port, src="10.8.0.2", addr="10.2.0.1") for _ in range(10)]
        t.same(got, ["n1"] * 10, "hosts allow: clients are served as without smbgate")
        state(g, "n1", "up")
        t.ok(True, "hosts allow: and the node that serves them is up")
        t.same(g.stop(), 0, "hosts allow: smbgate ends with status 0")


def serves(t):
    """It closes on probes and serves clients: alive, but no longer than it does."""
    good, closing = set(), threading.Event()

    def on_message(p, m):
        if closing.is_set() and not isinstance(m, bytes) and p.guid not in good:
            return fake.CLOSE
        return None
    f = fake.FakeNode(t, "f1", "127.0.0.41", on_message=on_message).start()
    g = gate.Gate(t, [f]).start()
    conns = []
    for _ in range(5):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        c.login()
        good.add(c.guid)
        conns.append(c)
    closing.set()
    probes = g.node_list()["f1"]["probes"]

    def at_work():
        for c in conns:
            c.echo()
        return g.node_list()["f1"]
    while at_work()["probes"] < probes + 10:
        pass
    # where nobody has asked it for a moment, for this machine stood still, it is up once they do
    t.comes(lambda: at_work()["state"], "up", "closing on probes: a node that serves clients is up")
    state(g, "f1", "hung")
    t.ok(True, "closing on probes: it is hung when it serves nobody")
    t.ok(all(c.is_open() for c in conns), "closing on probes: live connections stay")
    for c in conns:
        c.close()
    closing.clear()
    state(g, "f1", "up")
    t.same(g.stop(), 0, "closing on probes: smbgate ends with status 0")


def full(t, nodes):
    """It serves whom it has, and closes on everybody new: smbd with as many processes as it may."""
    n = node.Node(nodes[0].lab, "full", "127.0.0.15", extra=["max smbd processes = 8"]).start()
    g = gate.Gate(t, [n, nodes[0]], health=dict(QUICK, fall=100, interval="2s")).start()
    there = []

    def at_work():
        for c in there:
            c.echo()
        return g.node_list()["full"]

    def one_more():
        try:
            c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
            c.tree(c.login())       # smbd may end whoever has no share after a minute
        except GONE:
            return at_work()["logons_held"]
        if which(c) == "full":
            there.append(c)
        else:
            c.close()
        return at_work()["logons_held"]
    tap.wait_for(one_more, 60, message=at_work)
    t.same(served(n.port, addr=n.addr), None, "direct: %d clients, and no more" % len(there))
    got = collections.Counter()
    for _ in range(30):
        at_work()
        got[served(g.port)] += 1
    t.same(got, {"n1": 30}, "it has as many as it lets in: who is new is served elsewhere")
    t.same(at_work()["state"], "up", "whom it has it serves, and is up")
    for c in there:
        c.close()
    g.reload(health=QUICK)
    t.comes(lambda: g.node_list()["full"]["logons_held"], False,
            "it is held for as long as policy says now")
    tap.wait_for(lambda: "full" in crowd(g.port, some(16)), 60, message=lambda: g.log()[-2000:])
    t.ok(True, "they have gone: it gets clients again")
    t.same(g.stop(), 0, "full: smbgate ends with status 0")
    n.kill()


def smb1_only(t, nodes):
    lab = nodes[0].lab
    old = node.Node(lab, "old", "127.0.0.14", extra=["server max protocol = NT1"]).start()

    def smbclient(addr, port):
        r = subprocess.run(["smbclient", "//%s/data" % addr, "-p", str(port), "-U",
                            "alice%Alice-pw-1",
                            "-m", "NT1", "--option=client min protocol=NT1", "-c", "ls"], text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=30)
        return r.returncode, r.stdout[-500:]
    rc, out = smbclient(old.addr, old.port)
    t.same(rc, 0, "direct: the old node serves SMB1 clients")
    g = gate.Gate(t, [old], smb1="allow", health=gate.PATIENT).start()
    probes = g.node_list()["old"]["probes"]
    tap.wait_for(lambda: g.node_list()["old"]["probes"] > probes + 3, 60, message="no probes")
    n = g.node_list()["old"]
    t.same((n["state"], n["probe_failures"]), ("up", 0), "SMB1 alone: up, and no probe has failed")
    rc, out = smbclient("127.0.0.1", g.port)
    t.ok(rc == 0, "SMB1 alone: served through smbgate", out)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        rcs = [r for r, _ in pool.map(lambda _: smbclient("127.0.0.1", g.port), range(8))]
    t.same(rcs, [0] * 8, "SMB1 alone: eight at once as well")
    # beside a node that knows SMB2; and without SMB1 it is of no use
    g.reload(nodes=[old, nodes[0]])
    t.comes(g.node_states, {"old": "up", "n1": "up"}, "SMB1 alone: beside one with SMB2")
    g.reload(smb1="refuse", nodes=[old, nodes[0]])
    state(g, "old", "hung")
    live = Live(g.port, 4)
    t.same(set(crowd(g.port, some(20))), {"n1"},
           "smb1 = refuse: it is hung, all are served elsewhere")
    t.ok(live.works(), "smb1 = refuse: bystanders go on")
    live.close()
    t.same(g.stop(), 0, "SMB1: smbgate ends with status 0")
    old.kill()


def hung_logons(t, nodes):
    """A node that answers NEGOTIATE, and no logon while `hangs` is set."""
    hangs = threading.Event()
    hangs.set()

    def on_message(p, m):
        if hangs.is_set() and not isinstance(m, bytes) and m.cmd == smb2.SESSION_SETUP:
            return b""
        return None
    f = fake.FakeNode(t, "bad", "127.0.0.42", on_message=on_message).start()
    t.same(served(f.port, timeout=3, addr=f.addr), None,
           "direct: it leaves logons without an answer")
    # a logon at the other node may take some seconds, and all that is done while it is held too
    g = gate.Gate(t, [nodes[0], f], limits={"logon": "5s"},
                  health=dict(gate.PATIENT, logon_hold="20s")).start()
    live = Live(g.port, 0)
    clients = some(24)
    first = crowd(g.port, clients)
    lost = [x for x, where in zip(clients, first) if where is None]
    t.ok(len(lost) >= 3 and first.count("n1") == len(clients) - len(lost),
         "hung logons: %d of 24 are let down at first" % len(lost), first)
    n = tap.wait_for(lambda: g.node_list()["bad"]["logons_held"] and g.node_list()["bad"], 60)
    t.ok(n and n["logon_timeouts"] >= 3 and n["state"] == "up", "hung logons: counted, and held", n)
    again = crowd(g.port, lost[:8])
    t.same(again, ["n1"] * len(again), "hung logons: the same clients come again, and are served")
    t.same(set(crowd(g.port, some(24))), {"n1"}, "hung logons: so is everybody new")
    t.ok(tap.wait_for(lambda: "left 3 logons in a row without an answer" in g.log(), 60),
         "hung logons: said", g.log()[-2000:])
    live.close()
    hangs.clear()

    def back():
        return "bad" in crowd(g.port, some(16))
    tap.wait_for(back, 90, 0.1, message="hung logons: it never gets clients again")
    n = g.node_list()["bad"]
    t.ok(not n["logons_held"], "hung logons: over: it serves again", n)

    # who sends half a logon, or none, blames nobody
    hangs.set()
    before = g.node_list()["bad"]["logon_timeouts"]
    closes = g.closes()
    half = []
    while len(half) < 6:
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        if which(c) == "bad":
            c.send_raw(struct.pack(">I", 200) + b"\xfeSMB" if len(half) % 2 else b"")
            half.append(c)
        else:
            c.close()
    tap.wait_for(lambda: g.closed_since(closes).get("logon_timeout", 0) >= 6, 60,
                 message=lambda: g.closed_since(closes))
    t.same(g.node_list()["bad"]["logon_timeouts"], before, "half a logon is not the node's fault")
    for c in half:
        c.close()
    t.same(g.stop(), 0, "hung logons: smbgate ends with status 0")


class Named:
    def __init__(self, name, addr, port):
        self.name, self.endpoint = name, "%s:%d" % (addr, port)


def loops(t):
    """A node's address is smbgate's own listener; it goes elsewhere, and moves here again."""
    lan = netns.Lan(t)
    px, nas = netns.Host(t, "px"), netns.Host(t, "nas")
    lan.join(px, "10.1.0.2/24")
    lan.join(nas, "10.1.0.3/24")

    def move(there, gone):
        gone.ip("addr", "del", "10.1.0.5/32", "dev", "lo")
        there.ip("addr", "add", "10.1.0.5/32", "dev", "lo")
    nas.ip("addr", "add", "10.1.0.5/32", "dev", "lo")
    with nas.inside():
        vip = fake.FakeNode(t, "vip", "10.1.0.5", node.free_port("0.0.0.0")).start()
    port = vip.port
    with px.inside():
        n = node.cluster(t, 1)[0]
        # found out by its clients, long before the next probe
        health = dict(gate.PATIENT, interval="2s")
        g = gate.Gate(t, [n, vip], listen={"lan": "0.0.0.0:%d" % port}, deny_file=["public"],
                      health=health)
        with open(g.dir + "/public", "w") as f:
            f.write("10.1.0.5/24 eth0\n")
        rc, out = g.check()
        t.ok(rc == 0 and 'node "vip": its address is in a deny-file' in out,
             "-t: a public address of CTDB is warned of", out)
        t.ok('node "n1"' not in out, "-t: and no other", out)
        move(px, nas)
        rc, out = g.check()
        where = re.search(r"policy\.conf:(\d+): node \"vip\": 10\.1\.0\.5:%d is smbgate's own "
                          r"listener \"lan\"" % port, out)
        with open(g.policy_file) as f:
            line = f.read().split("\n")[int(where.group(1)) - 1] if where else ""
        t.ok(rc != 0 and "10.1.0.5" in line, "-t: refused, with its line", rc, out)

        g.start(nodes_up=False)
        state(g, "n1", "up")
        # by who accepts it first, and then by who has sent it
        t.comes(lambda: (g.node_states(), g.closes()["own_probe"] > 0),
                ({"n1": "up", "vip": "loop"}, True),
                "started all the same: not used, and the probe is recognised")
        live = Live(g.port, 4)
        t.same(set(crowd(g.port, some(40))), {"n1"}, "a crowd is served by the other node")
        before = g.generation()
        g.write_policy(pin_linger="1s")
        r = g.ctl_run("reload")
        t.ok(r.returncode != 0 and "smbgate's own listener" in r.stdout + r.stderr
             and g.generation() == before, "a reload is refused", r.stdout + r.stderr)

        move(nas, px)
        state(g, "vip", "up")
        got = crowd(g.port, some(40))
        t.same(set(got), {"n1", "vip"}, "the address has gone: a node like any other")
        there = []
        while len(there) < 8:
            guid = os.urandom(16)
            if served(g.port, guid) == "vip":
                there.append(guid)
        fds = g.fds()
        move(px, nas)
        start = t.ran()
        crowd(g.port, there + some(24), 2)
        worst = g.fds()
        state(g, "vip", "loop")
        took = t.ran() - start
        t.ok(took < 5, "it moved here: found out after %.1f s" % took)
        t.ok(worst < fds + 150, "no descriptors are eaten", fds, worst)
        t.same(set(crowd(g.port, there + some(24))), {"n1"}, "all are served by the other node")
        t.ok(live.works(), "bystanders go on")
        live.close()
        t.same(g.stop(), 0, "loop: smbgate ends with status 0")


FALL = 10


def unknown(t, nodes):
    """Nobody says anything: not up, and not down before it is sure."""
    s = socket.create_server(("127.0.0.43", 0), backlog=1024)
    port = s.getsockname()[1]
    quiet = Named("quiet", "127.0.0.43", port)
    # it takes a while to be sure, in which the other node is sure to answer
    g = gate.Gate(t, [nodes[0], quiet], health=dict(gate.FAST, timeout="300ms", fall=FALL))
    for _ in range(10):
        n = g.start(nodes_up=False).node_list()["quiet"]
        if n["probe_failures"] < FALL:
            break
        g.stop()        # this machine was too slow to look in time
    t.same((n["state"], n["probe_failures"] < FALL), ("unknown", True),
           "no probe has told: unknown")
    state(g, "quiet", "hung")
    live = Live(g.port, 4)

    # its queue is not filled: half as many probes as before, one at a time, each ends with a reset
    s.settimeout(2)
    while g.node_list()["quiet"]["probes"] < FALL + 3:
        time.sleep(0.02)
    start, before = time.monotonic(), g.node_list()["quiet"]["probes"]
    tap.wait_for(lambda: g.node_list()["quiet"]["probes"] >= before + 5, 60)
    took = time.monotonic() - start
    t.ok(took > 5 * 0.4 * 0.8, "a silent node: 5 probes in %.1f s, at an interval of 0.2 s" % took)
    total = g.node_list()["quiet"]["probes"]
    kinds = []
    for _ in range(total):
        c, _ = s.accept()
        c.settimeout(2)
        try:
            while c.recv(4096):
                pass
            kinds.append("end")
        except ConnectionResetError:
            kinds.append("reset")
        except socket.timeout:
            kinds.append("open")
        c.close()
    t.ok(kinds.count("reset") >= total - 1 and "end" not in kinds,
         "each of %d probes ended with a reset"
         % total, kinds)
    t.ok(live.works(), "bystanders go on")
    t.same(set(crowd(g.port, some(20))), {"n1"}, "everybody is served elsewhere")
    live.close()
    s.close()
    t.same(g.stop(), 0, "unknown: smbgate ends with status 0")


def main(t):
    why = gate.missing()
    if why:
        t.bail(why)
    nodes = node.cluster(t, 1)
    hosts_allow(t)
    serves(t)
    full(t, nodes)
    smb1_only(t, nodes)
    hung_logons(t, nodes)
    loops(t)
    unknown(t, nodes)


with tap.Test(deadline=240) as test:
    main(test)
