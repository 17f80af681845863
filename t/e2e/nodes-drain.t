#!/usr/bin/python3
# nodes-drain.t: drain to the end, kill and move: who is ended, who is not, and where they come back
import contextlib
import json
import os
import re
import subprocess
import time

import clients
import gate
import node
import redis
import several
import smb2
import tap

why = node.missing() or redis.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

IDLE = 24
MOVES = 20
COPIES, CHUNK = 4, 300000
SECONDS = 30


class Pc:
    """A client with one connection, which comes back when it is told to."""

    def __init__(self, g):
        self.guid = os.urandom(16)
        self.come(g)

    def come(self, g):
        # On a busy machine proxies may need a moment to agree: until then it is refused.
        self.refused, end = 0, time.monotonic() + SECONDS
        while True:
            self.conn = smb2.Conn("127.0.0.1", g.port, timeout=20)
            try:
                self.conn.negotiate([0x0311], guid=self.guid)
                break
            except smb2.Closed:
                self.refused += 1
                if time.monotonic() > end:
                    raise
        self.session = self.conn.login()
        self.tid = self.conn.tree(self.session)
        self.node = several.which(self.conn)
        self.fid = None
        return self.node

    def open(self, name):
        self.fid = self.conn.create(self.session, self.tid, name)

    def name(self):
        b = self.guid
        return "%s-%s-%s-%s-%s" % (b[3::-1].hex(), b[5:3:-1].hex(), b[7:5:-1].hex(),
                                   b[8:10].hex(), b[10:].hex())


def label(n):
    return n.server_guid.rstrip(b"\0").decode()


def gone(pcs):
    return tap.wait_for(lambda: not any(p.conn.is_open() for p in pcs), SECONDS)


def ripe(g):
    """While a map is young, who comes back is placed as if Redis were not there."""
    before = g.stats().get("placed_blind", 0)
    Pc(g).conn.close()
    return g.stats().get("placed_blind", 0) == before


def crowd(g, nodes):
    """Idle clients, and one on each node with an open file."""
    pcs = [Pc(g) for _ in range(IDLE)]
    first = [p for p in pcs if p.node == label(nodes[0])]
    assert len(first) > 1 and len(first) < IDLE, "both nodes have clients"
    return pcs, first


def strangers(g, p):
    """Without a logon, on p's node: one who uses p's ClientGuid, and one of his own."""
    out = [smb2.Conn("127.0.0.1", g.port).negotiate([0x0311], guid=p.guid)]
    while len(out) < 2:
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0311])
        if several.which(c) == p.node:
            out.append(c)
        else:
            c.close()
    return out


def drained(t, g, nodes, other=None):
    """One proxy; or two: then a client with an open file through the other one stays as well."""
    what = "two proxies" if other else "one proxy"
    pcs, first = crowd(g, nodes)
    busy = first[0]
    busy.open("held.%s" % busy.name())
    rest = [p for p in pcs if p.node != label(nodes[0])]
    split = None
    if other:
        split = first[1]
        far = Pc.__new__(Pc)
        far.guid = split.guid
        far.come(other)
        far.open("far.%s" % split.name())
        t.same(far.node, split.node, "%s: a client is on one node" % what)
    stay = [busy] + ([split] if split else [])
    idle = [p for p in first if p not in stay]
    few = strangers(g, idle[-1])
    g.turn()
    gate.settle_closes(g)
    before = g.closes()
    g.ctl("drain", nodes[0].name, "--quiet", "1s")
    t.ok(gone(idle), "%s: %d idle clients are let go" % (what, len(idle)), g.log()[-1500:])
    t.ok(tap.wait_for(lambda: not any(c.is_open() for c in few), SECONDS),
         "%s: and so is who has not logged on" % what)
    t.ok(all(p.conn.is_open() for p in stay + rest), "%s: who has an open file stays" % what)
    if other:
        t.ok(far.conn.is_open(), "%s: also where that is on the other proxy" % what)
    t.same({p.come(g) for p in idle}, {label(nodes[1])}, "%s: they come back elsewhere" % what)
    got = g.closed_since(before)
    t.ok(got.pop("operator", 0) and sum(got.values()) == sum(p.refused for p in idle),
         "%s: the reason is the operator" % what, g.closed_since(before))
    t.same(g.ctl_run("drain", nodes[1].name).returncode, 1, "%s: not the last node" % what)
    if other:
        far.conn.close_file(far.session, far.tid, far.fid)
        t.ok(gone([split, far]), "%s: a closed file, and both its connections end" % what)
    deadline(t, g, nodes, busy, rest)
    g.ctl("undrain", nodes[0].name)


def deadline(t, g, nodes, busy, rest):
    r = g.ctl_run("--json", "drain", nodes[0].name, "--deadline", "1s", "--wait")
    end = json.loads(r.stdout.splitlines()[-1])
    t.same((r.returncode, end["connections"], [c["client"] for c in end["cut"]]),
           (0, 0, [busy.name()]), "deadline: just who is left is cut, and listed")
    t.ok(gone([busy]) and all(p.conn.is_open() for p in rest), "deadline: nobody else is")
    t.ok(tap.wait_for(lambda: "cut at the deadline: client %s" % busy.name() in g.log() or
                      "cut at the deadline: %s" % busy.name() in g.log(), SECONDS),
         "deadline: the log says so")


def named(t, g, pc):
    """What is shown of a client, in every way that it can be written; it has an open file."""
    client = next(x for x in g.show("clients")["clients"] if x["client"] == pc.name())
    conn = client["connections_list"][0]
    session = next(x for x in g.show("sessions")["sessions"] if x["client_guid"] == pc.name())
    sid = session["session_id"]
    ways = [pc.name(), pc.name().upper(), conn["client_address"], "conn:%d" % conn["id"], sid,
            sid[2:], sid.upper(), "0x" + sid[2:].lstrip("0"), sid[2:].lstrip("0")]
    said = {w: g.ctl_run("kill", w).stderr for w in ways}
    t.ok(all("open file" in x for x in said.values()), "kill: as it is shown", said)
    found = {w: len(g.ctl("explain", w)["sessions"]) for w in ways}
    t.same(set(found.values()), {1}, "explain: as it is shown: %d ways" % len(ways))
    bad = {w: g.ctl_run("kill", w).stderr for w in ("conn:x", "10.1.0.7/8", "10.1.0.7:x")}
    t.ok(not any("no client" in x for x in bad.values()), "kill: what names nobody", bad)


def killed(t, g):
    a, b = Pc(g), Pc(g)
    b.open("killed")
    t.same(g.ctl_run("kill", "127.0.0.0/8").returncode, 1, "kill: not several clients")
    t.same(g.ctl_run("kill", b.name()).returncode, 1, "kill: not one with an open file")
    named(t, g, b)
    t.ok(a.conn.is_open() and b.conn.is_open(), "kill: nobody has ended")
    t.same(g.ctl_run("kill", a.name()).returncode, 0, "kill: one")
    t.ok(gone([a]) and b.conn.is_open(), "kill: and only that one")
    t.same(g.ctl_run("kill", "--force", "127.0.0.0/8").returncode, 0, "kill --force: a prefix")
    t.ok(gone([b]), "kill --force: all")


def moved(t, g, nodes, through):
    """From node to node, coming back through another proxy each time."""
    p = Pc(g)
    wrong = []
    for n in range(MOVES):
        to = next(x for x in nodes if label(x) != p.node)
        r = through[n % len(through)].ctl_run("move", p.name(), to.name)
        if r.returncode or p.conn.is_open() and not gone([p]):
            wrong.append(r.stderr + r.stdout)
            break
        if p.come(through[(n + 1) % len(through)]) != label(to):
            wrong.append("it came back to %s" % p.node)
    t.ok(not wrong, "%d moves, proxies: %d" % (MOVES, len(through)), wrong)
    p.conn.close()


def maintained(t, g, nodes):
    g.ctl("maint", nodes[0].name)
    t.same(g.node_states()[nodes[0].name], "maint", "maint")
    probes = g.node_list()
    tap.wait_for(lambda: g.node_list()[nodes[1].name]["probes"] >
                 probes[nodes[1].name]["probes"] + 2, SECONDS)
    t.ok(g.node_list()[nodes[0].name]["probes"] <= probes[nodes[0].name]["probes"] + 1,
         "maint: it is not probed")
    g.ctl("unmaint", nodes[0].name)
    tap.wait_for(lambda: g.node_states()[nodes[0].name] == "up", SECONDS)


def left_out(t, g, nodes):
    """A drained node goes out of the policy, and is forgotten; it comes back as a new one."""
    p = Pc(g)
    while p.node != label(nodes[0]):
        p = Pc(g)
    p.open("left-out")
    g.ctl("drain", nodes[0].name)
    g.reload(nodes=nodes[1:])

    def left():
        o = g.ask({"cmd": "progress", "node": nodes[0].name})
        return o["clients"], o["open_files"]
    t.comes(left, (1, 1), "a drain goes on when policy has no such node")
    p.conn.close_file(p.session, p.tid, p.fid)
    p.conn.close()
    t.ok(tap.wait_for(lambda: nodes[0].name not in g.node_list(), SECONDS),
         "and is over with its last client")
    g.reload(nodes=nodes)
    t.ok(tap.wait_for(lambda: g.node_list()[nodes[0].name]["state"] == "up", SECONDS) and
         g.node_list()[nodes[0].name]["drain"] is None, "the same node is a new one")


def copying(t, g, nodes):
    """Copies go on while their node is drained, also those that stand still for longer than that
    takes; an idle client goes."""
    copies = [clients.Copy(t, "127.0.0.1", g.port, "copied-%d" % n) for n in range(COPIES)]
    for c in copies:
        c.feed(CHUNK)
    tap.wait_for(lambda: sum(x["open_files"] for x in g.node_list().values()) == COPIES,
                 SECONDS)
    for n in nodes:
        idle = Pc(g)
        while idle.node != label(n):
            idle = Pc(g)
        g.ctl("drain", n.name, "--quiet", "1s")
        t.ok(gone([idle]), "copies: who is idle goes")
        for c in copies:
            c.feed(CHUNK)
        g.ctl("undrain", n.name)
    ends = [c.end(SECONDS) for c in copies]
    t.same([e for e in ends if e[0]], [], "copies: %d, no error" % COPIES)
    there = []
    for c in copies:
        for n in nodes:
            with contextlib.suppress(OSError), open(n.data(c.name), "rb") as f:
                there.append(f.read() == c.sent)
    t.same(there, [True] * COPIES, "copies: all bytes are there")


def stop(t, g, *args):
    """smbgatectl stop --wait, which has been answered."""
    w = t.spawn([gate.ctl_program(), "-s", g.control, *args], text=True, bufsize=1,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return w, w.stdout.readline()


def stopped(t, g):
    """Who waits sees how far it is, whom the deadline has cut, and the end."""
    p, q = Pc(g), Pc(g)
    q.open("stopped")
    # Much longer than 1 s: this process may stand still before it looks at both.
    w, first = stop(t, g, "stop", "--drain", "10s", "--quiet", "1s", "--wait")
    t.ok(gone([p]) and q.conn.is_open(), "stop --drain: a quiet client goes first")
    out, err = w.communicate(timeout=SECONDS)
    t.same(g.proc.wait(SECONDS), 0, "stop --drain: it ends with status 0")
    t.ok(gone([q]), "stop --drain: and with it who is left")
    t.same((w.returncode, first), (0, "smbgate takes nobody new, and stops within 10 seconds.\n"),
           "stop --wait: and so does who waits for it")
    t.ok(re.search(r"(?m)^smbgate: \d clients?, \d connections?, 1 open files, \d s left$", out),
         "stop --wait: how far it is", out, err)
    t.ok(re.search(r"\Acut at the deadline: client %s at \S+, user \S*alice, node \S+, "
                   r"1 open files\n"
                   r"smbgate has stopped.\n\Z" % q.name(), "".join(out.splitlines(True)[-2:])),
         "stop --wait: whom the deadline has cut, and the end", out, err)


def stopped_early(t, quick, other):
    """Nobody is left before the deadline; and a smbgate that is ended while it is waited for."""
    p = Pc(quick)
    w, first = stop(t, quick, "--json", "stop", "--drain", "1h", "--quiet", "1s", "--wait")
    out, err = w.communicate(timeout=SECONDS)
    t.ok(gone([p]) and quick.proc.wait(SECONDS) == 0 and w.returncode == 0 and json.loads(
        out.splitlines()[-1]) == {"stopped": True, "cut": [], "cut_total": 0},
         "stop --wait: it ends with its last client, long before the deadline", first + out + err)
    q = Pc(other)
    q.open("stopped-early")
    w, first = stop(t, other, "stop", "--drain", "1h", "--wait")
    other.stop()
    out, err = w.communicate(timeout=SECONDS)
    t.ok(w.returncode == 1 and "has ended before its clients had gone" in err,
         "stop --wait: it is ended by a signal: status 1", first + out + err)


def main(t):
    nodes = node.cluster(t, 2)
    if gate.missing():
        t.bail(gate.missing())
    g = gate.Gate(t, nodes, health=gate.PATIENT).start()
    drained(t, g, nodes)
    killed(t, g)
    moved(t, g, nodes, [g])
    maintained(t, g, nodes)
    left_out(t, g, nodes)
    copying(t, g, nodes)
    stopped(t, g)
    # Nobody is to be placed blindly because the machine is busy.
    gates = several.pair(t, nodes, [redis.Server(t).start().endpoint], state={"timeout": "3s"},
                         health=gate.PATIENT)
    for g in gates:
        tap.wait_for(lambda g=g: ripe(g), SECONDS)
    drained(t, gates[0], nodes, gates[1])
    moved(t, gates[0], nodes, gates)
    stopped_early(t, *gates)


with tap.Test(deadline=300) as test:
    main(test)
