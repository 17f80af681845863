#!/usr/bin/python3
# nodes-health.t: nodes that die, hang, flap, drain and come back, and what their clients see
import collections
import threading
import time

import agent
import fake
import gate
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

# Whom nobody has stopped is not to be hung because this machine is busy.
QUICK = dict(gate.FAST, timeout="3s")


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


class Client:
    """A logged-on client with an open file."""

    def __init__(self, g, guid=None, prev=0):
        self.g = g
        self.c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302], guid=guid)
        self.guid = self.c.guid
        self.node = which(self.c)
        self.s = self.c.login(prev=prev)
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "h-%s" % self.guid.hex(), disp=3)

    def works(self):
        self.c.write(self.s, self.tid, self.fid, 0, b"works")
        return self.c.read(self.s, self.tid, self.fid, 0, 9) == b"works"

    def channel(self):
        """The node that a further connection of this client reaches."""
        with smb2.Conn("127.0.0.1", self.g.port) as c:
            return which(c.negotiate([0x0302], guid=self.guid))

    def close(self):
        self.c.close()


def some(g, count):
    return [Client(g) for _ in range(count)]


def spread(g, count, seconds=60):
    """Where new clients go: so many of them, or as many as come in that time."""
    out = collections.Counter()
    end = time.monotonic() + seconds
    for _ in range(count):
        if time.monotonic() > end:
            break
        with smb2.Conn("127.0.0.1", g.port) as c:
            out[which(c.negotiate([0x0302]))] += 1
    return out


def state(g, n, want, seconds=60):
    tap.wait_for(lambda: g.node_states()[n.name] == want, seconds,
                 message=lambda: "%s is %s, not %s" % (n.name, g.node_states()[n.name], want))


def served(g, guid=None, most=100):
    """A client that comes again when it is turned away, so many times at most; (node, tries)."""
    tries = 0
    while tries < most:
        tries += 1
        try:
            with smb2.Conn("127.0.0.1", g.port) as c:
                return which(c.negotiate([0x0302], guid=guid)), tries
        except (smb2.Closed, ConnectionError):
            pass
    return None, tries


def killed(t, nodes):
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=QUICK).start()
    cl = some(g, 16)
    mine = [x for x in cl if x.node == n1.name]
    rest = [x for x in cl if x.node != n1.name]
    t.ok(mine and rest, "clients live on both nodes: %d, %d" % (len(mine), len(rest)))
    before = g.closes()
    start = t.ran()
    n1.kill()
    gone = tap.wait_for(lambda: not any(x.c.is_open() for x in mine), 30, 0.005)
    took = t.ran() - start
    t.ok(gone and took < 1, "killed: its clients are closed after %.3f s" % took)
    got = g.wait_closed(before)
    t.ok(sum(got.values()) >= len(mine), "killed: counted: %s" % got)
    t.ok(all(x.works() for x in rest), "killed: the other node's clients go on")
    fresh = [served(g) for _ in range(20)]
    t.ok(all(f[0] == n2.name for f in fresh), "killed: new clients are served at once, "
         "after at most %d tries" % max(f[1] for f in fresh), fresh)
    back = []
    for x in mine:
        where, _ = served(g, x.guid)
        back.append(Client(g, x.guid, prev=x.s.sid) if where else None)
    t.ok(all(b and b.node == n2.name and b.works() for b in back),
         "killed: its clients come back on the other node and work there")
    state(g, n1, "down")
    t.ok(True, "killed: show nodes says down")

    n1.start()
    state(g, n1, "up")
    t.ok(all(x.channel() == n2.name for x in back + rest),
         "it is back: who lives elsewhere now stays there with new channels")
    t.ok(all(x.works() for x in back + rest), "it is back: all go on")
    t.ok(spread(g, 40)[n1.name] > 5, "it is back: new clients come to it")
    for x in cl + back:
        x.close()

    n1.kill()
    n2.kill()
    state(g, n1, "down")
    state(g, n2, "down")
    before = g.closes()
    begun, start = time.monotonic(), t.ran()
    where, tries = served(g, most=3)
    t.ok(where is None and time.monotonic() - begun > 3 * 0.8 and t.ran() - start < 3 * 1.5,
         "no node at all: held, then closed, %d times" % tries)
    t.ok("no_node" in g.closed_since(before), "no node at all: counted", g.closed_since(before))
    n1.start()
    n2.start()
    state(g, n1, "up")
    state(g, n2, "up")
    t.ok(served(g)[0] is not None, "nodes are back: served")
    t.same(g.stop(), 0, "killed: smbgate ends with status 0")


def hung(t, nodes):
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=dict(QUICK, hang="3s")).start()
    cl = some(g, 16)
    mine = [x for x in cl if x.node == n1.name]
    rest = [x for x in cl if x.node != n1.name]
    n1.pause()
    state(g, n1, "hung")
    t.ok(True, "stopped: show nodes says hung")
    t.same(set(spread(g, 20)), {n2.name}, "stopped: nobody new is sent to it")
    t.ok(all(x.c.is_open() for x in mine), "stopped: its clients are not closed for that")
    t.ok(all(x.works() for x in rest), "stopped: the other node's clients go on")
    n1.cont()
    state(g, n1, "up")
    t.ok(all(x.works() for x in mine), "continued: its clients go on as if nothing had been")

    n1.pause()
    state(g, n1, "hung")
    waiting, idle = mine[0], mine[1:]
    before = g.closes()
    begun, start = time.monotonic(), t.ran()
    waiting.c.send_frame(waiting.c.build(smb2.ECHO, b"\4\0\0\0"))
    tap.wait_for(lambda: not waiting.c.is_open(), 60)
    took = t.ran() - start
    t.ok(not waiting.c.is_open() and 2 < time.monotonic() - begun and took < 15,
         "hung with an answer owed: closed after %.1f s" % took)
    t.ok("node_hung" in g.closed_since(before), "counted", g.closed_since(before))
    t.ok(all(x.c.is_open() for x in idle), "who waits for nothing stays")
    n1.cont()
    state(g, n1, "up")
    t.ok(all(x.works() for x in idle), "and goes on")

    g.ctl_run("drain", "--force", n2.name)
    before = g.closes()
    n1.pause()
    state(g, n1, "hung")
    waiting = idle[0]
    waiting.c.send_frame(waiting.c.build(smb2.ECHO, b"\4\0\0\0"))
    start = time.monotonic()
    tap.wait_for(lambda: not waiting.c.is_open() or time.monotonic() - start > 6, 60)
    t.ok(waiting.c.is_open(), "hung, and no other node takes clients: who waits is not closed",
         g.closed_since(before))
    n1.cont()
    t.ok(waiting.c.recv()[0].status == 0, "and gets the answer")
    g.ctl_run("undrain", n2.name)
    state(g, n1, "up")
    for x in cl:
        x.close()
    t.same(g.stop(), 0, "hung: smbgate ends with status 0")


def hung_beside(t, nodes):
    """A client of a hung node has other connections there, which wait for nothing."""
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=dict(QUICK, hang="3s")).start()
    mine = Client(g)
    while mine.node != n1.name:
        mine.close()
        mine = Client(g)
    beside = [Client(g, mine.guid), smb2.Conn("127.0.0.1", g.port).negotiate([0x0302],
                                                                             guid=mine.guid)]
    n1.pause()
    state(g, n1, "hung")
    mine.c.send_frame(mine.c.build(smb2.ECHO, b"\4\0\0\0"))
    tap.wait_for(lambda: not mine.c.is_open(), 60)
    t.same(served(g, mine.guid)[0], n2.name, "hung: a client with idle connections beside the one "
           "that waits comes back elsewhere")
    n1.cont()
    state(g, n1, "up")
    for x in beside:
        x.close()
    t.same(g.stop(), 0, "hung, beside: smbgate ends with status 0")


def hung_partly(t):
    """It serves some connections yet: of a client that waits on another one, these stay."""
    silent, muted = threading.Event(), set()

    def on_message(p, m):
        return b"" if p.number in muted or (silent.is_set() and m.cmd == smb2.NEGOTIATE) else None
    f1 = fake.FakeNode(t, "f1", "127.0.0.41", on_message=on_message).start()
    f2 = fake.FakeNode(t, "f2", "127.0.0.42").start()
    g = gate.Gate(t, [f1, f2], health=dict(QUICK, timeout="1s", hang="3s")).start()
    where = None
    while where != "f1":
        waits = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        where = which(waits)
    there = {p.number for p in f1.peers.values() if p.guid == waits.guid}
    lives = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302], guid=waits.guid)
    idle = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302], guid=waits.guid)
    for c in (waits, lives, idle):
        c.login()
    muted |= there
    silent.set()
    state(g, f1, "hung")
    waits.send_frame(waits.build(smb2.ECHO, b"\4\0\0\0"))
    tap.wait_for(lambda: lives.echo() and not waits.is_open(), 60)
    t.ok(tap.wait_for(lambda: lives.echo() and not idle.is_open(), 20),
         "hung in part: a client's connections that are silent as well end with the one that waits")
    for _ in range(5):
        lives.echo()
    t.ok(lives.is_open(), "hung in part: the one that is served stays")
    t.same(g.closes()["node_hung"], 2, "hung in part: counted")
    lives.close()
    t.same(g.stop(), 0, "hung in part: smbgate ends with status 0")


def drained(t, nodes):
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=QUICK).start()
    cl = some(g, 16)
    mine = [x for x in cl if x.node == n1.name]
    r = g.ctl_run("drain", "--force", n1.name)
    t.ok(r.returncode == 0, "smbgatectl drain", r.stdout + r.stderr)
    state(g, n1, "drain")
    t.same(set(spread(g, 30)), {n2.name}, "drain: nobody new is sent to it")
    t.ok(all(x.works() for x in cl), "drain: everybody goes on")
    t.ok(all(x.channel() == n1.name for x in mine),
         "drain: who lives there gets new channels there")
    g.reload(pin_linger="10m")
    t.same(g.node_states()[n1.name], "drain", "drain: a reload does not end it")
    r = g.ctl_run("undrain", n1.name)
    t.ok(r.returncode == 0, "smbgatectl undrain", r.stdout + r.stderr)
    state(g, n1, "up")
    t.ok(spread(g, 40)[n1.name] > 5, "undrain: new clients come again")
    for verb in ("drain", "undrain"):
        r = g.ctl_run(verb, "no-such-node")
        t.ok(r.returncode != 0 and "no node" in r.stdout + r.stderr,
             "smbgatectl %s of an unknown node fails" % verb, r.stdout + r.stderr)
    g.reload(nodes=[(n1, {"state": "maint"}), n2])
    t.comes(lambda: g.node_states()[n1.name], "maint", "maint: show nodes says so")
    t.same(set(spread(g, 30)), {n2.name}, "maint: nobody new is sent to it")
    g.reload(nodes=nodes)
    state(g, n1, "up")
    for x in cl:
        x.close()
    t.same(g.stop(), 0, "drain: smbgate ends with status 0")


def slow_start(t, nodes):
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=dict(QUICK, slow_start="6s")).start()
    t.ok(spread(g, 60)[n1.name] > 15, "slow start: not at the very start")
    first = collections.Counter()
    # until enough have come while it was young: it comes back again where this machine was slow
    for _ in range(8):
        n1.kill()
        state(g, n1, "down")
        begun = time.monotonic()
        n1.start()
        state(g, n1, "up")
        start = time.monotonic()
        came = spread(g, 100, 2)
        if time.monotonic() - begun < 3.5:
            first += came
        if sum(first.values()) >= 60:
            break
    count = sum(first.values())
    if count >= 60:
        t.ok(first[n1.name] < 0.35 * count, "slow start: at first %s" % dict(first))
    else:
        t.skip("slow start: at first", "this machine is too slow now: %d clients" % count)
    t.ok(tap.wait_for(lambda: time.monotonic() - start > 6.5, 60) and spread(g, 100)[n1.name] > 30,
         "slow start: then its whole share")
    t.same(g.stop(), 0, "slow start: smbgate ends with status 0")


def flapping(t, nodes):
    n1, n2 = nodes
    g = gate.Gate(t, nodes, health=dict(QUICK, flap_changes=3, flap_window="60s",
                                        flap_hold="4s")).start()
    n1.kill()
    state(g, n1, "down")
    n1.start()
    state(g, n1, "up")
    begun, start = time.monotonic(), t.ran()
    n1.kill()
    state(g, n1, "down")
    n1.start()
    up = tap.wait_for(lambda: g.node_states()[n1.name] == "up", 60)
    took = t.ran() - start
    t.ok(up and 4 < time.monotonic() - begun and took < 15,
         "flapping: the third change is held for a while: %.1f s" % took)
    t.ok(spread(g, 40)[n1.name] > 5, "flapping: then it serves again")
    t.same(g.stop(), 0, "flapping: smbgate ends with status 0")


def flapping_alone(t, nodes):
    """The other node is of another cluster: nobody is better off without the one that flaps."""
    n1, n2 = nodes
    g = gate.Gate(t, [(n1, {"cluster": "a"}), (n2, {"cluster": "b"})],
                  health=dict(QUICK, flap_changes=2, flap_window="60s", flap_hold="1h"))
    with open(g.conf_file, "a") as f:
        f.write('listen "a" { address = "127.0.0.1:%d" cluster = "a" }\n' % g.port)
    with open(g.conf_file) as f:
        text = f.read()
    with open(g.conf_file, "w") as f:
        f.write(text.replace('listen "lan" { address = "0.0.0.0:%d" }\n' % g.port, ""))
    g.start()
    for _ in range(2):
        n1.kill()
        state(g, n1, "down")
        n1.start()
        state(g, n1, "up")
    t.ok("n1 changes too often" in g.log() and served(g)[0] == n1.name,
         "flapping, and no other node of its cluster: it serves at once", g.log()[-1500:])
    t.same(g.stop(), 0, "flapping alone: smbgate ends with status 0")


def sooner(t, nodes):
    """A reload that asks more often, or holds down for less, counts from then on."""
    n1, n2 = nodes
    crowd = agent.Crowd(t, lambda addr: b"up\n")
    mine = [(n1, {"agent": "%s:%d" % (n1.addr, crowd.port)}), n2]
    g = gate.Gate(t, mine, health=dict(QUICK, interval="1h")).start()
    g.reload(health=QUICK)
    t.ok(tap.wait_for(lambda: g.node_list()[n1.name]["probes"] > 3, 20), "interval = 1h, and then "
         "not: it is probed", g.node_list()[n1.name])
    t.ok(tap.wait_for(lambda: g.node_list()[n1.name]["agent"]["asked"] > 3, 20), "and so is its "
         "agent asked", g.node_list()[n1.name])
    held = dict(QUICK, flap_changes=1, flap_window="1h", flap_hold="1h")
    for better in (dict(held, flap_changes=0), dict(held, flap_hold="1s")):
        g.reload(health=held)
        n1.kill()
        state(g, n1, "down")
        n1.start()
        t.comes(lambda: g.node_list()[n1.name]["held_down"], True, "flapping: held down")
        g.reload(health=better)
        t.comes(lambda: g.node_states()[n1.name], "up", "flap-changes = %d, flap-hold = %s: no more"
                % (better["flap_changes"], better["flap_hold"]))
    t.same(g.stop(), 0, "sooner: smbgate ends with status 0")


def control(t, nodes):
    """What a client sees of these things directly."""
    n1 = nodes[0]
    c = smb2.Conn(n1.addr, n1.port).negotiate([0x0302])
    s = c.login()
    n1.pause()
    c.send_frame(c.build(smb2.ECHO, b"\4\0\0\0", session=s))
    t.ok(c.is_open(), "direct: a stopped node just does not answer")
    n1.cont()
    t.ok(c.recv()[0].status == 0, "direct: until it is continued")
    n1.kill()
    t.ok(tap.wait_for(lambda: not c.is_open(), 30), "direct: a killed node's client is closed")
    n1.start()


def main(t):
    nodes = node.cluster(t, 2)
    control(t, nodes)
    why = gate.missing()
    if why:
        t.bail(why)
    hung_partly(t)
    for part in (killed, hung, hung_beside, drained, slow_start, flapping, flapping_alone, sooner):
        part(t, nodes)


with tap.Test(deadline=300) as test:
    main(test)
