#!/usr/bin/python3
# crowd-soak.t: faults of all kinds, in any order, under writers who remember what was acknowledged
"""Two smbgates with a shared map before three nodes.  SMBGATE_SECONDS of faults (CI: each of them
once), in an order from SMBGATE_SEED, often two at a time; SMBGATE_FAULTS: those alone that have
this in their names; SMBGATE_JSON: a file for the table.  For hours: contrib/soak."""
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time

import front
import gate
import keyed
import node
import oracle
import redis
import several
import smb2
import tap
import way

why = node.missing() or redis.missing() or gate.missing()
if why is None and subprocess.run(["unshare", "-n", "true"]).returncode:
    why = "no network namespaces here"
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:     # packets are dropped in a network of its own
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

SECONDS = float(os.environ.get("SMBGATE_SECONDS", "0"))
SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)
OURS = ["10.9.9.1", "10.9.9.2"]
ANNOUNCE = {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in OURS]}
# Only a node that says nothing for so long is left out: this machine stands still sometimes.
HEALTH = {"interval": "1s", "timeout": "2s", "rise": 1, "fall": 2, "slow_start": "0s",
          "flap_changes": 0}
PASSWORD = node.USERS["alice"][0]
BACK_S = 90             # so soon everybody has to write again, whatever has happened


class Site:
    """All that can break.  paths: which writers come which way."""

    def __init__(self, t):
        self.t = t
        self.nodes = node.cluster(t, 3)
        node.share_data(self.nodes)
        self.redis = redis.Server(t).start()
        # Each has a way to Redis of its own.
        self.ways = [way.Way(t, self.redis.port) for _ in range(2)]
        keytab = keyed.light_keytab(t)
        self.gates = [several.proxy(t, self.nodes, [w.endpoint], "gate%d" % (i + 1),
                                    health=HEALTH, keytab=keytab, interfaces={"lan": ANNOUNCE},
                                    state={"timeout": "5s"}) for i, w in enumerate(self.ways)]
        several.healed(*self.gates)
        self.paths, self.busy = {}, set()
        for g in self.gates:
            kinds = (("signed", {"sign": True}, 0x0311), ("sealed", {"seal": True}, 0x0311),
                     ("3.0.2", {"seal": True}, 0x0302), ("2.1", {}, 0x0210))
            for kind, how, dialect in kinds:
                self.writer(g, "%s-%s" % (g.name, kind), ("127.0.0.1", g.port), dialect, **how)
        for n in self.nodes:
            self.writer(n, "direct-" + n.name, (n.addr, n.port), 0x0311, sign=True)

    def writer(self, path, name, where, dialect, **how):
        w = oracle.Writer(name, lambda: where, dialect, user="alice", password=PASSWORD, **how)
        self.paths[w] = path
        w.start()

    def through(self):
        return [w for w, p in self.paths.items() if isinstance(p, gate.Gate)]

    def direct(self):
        return [w for w, p in self.paths.items() if not isinstance(p, gate.Gate)]

    def calm(self):
        """Everything is up, and everybody has written since this was asked."""
        end = time.monotonic() + BACK_S
        before = {w: w.acked for w in self.paths}
        several.healed(*self.gates, seconds=BACK_S)

        def all_well():
            return all(w.acked >= n + 2 for w, n in before.items()) and all(
                set(g.node_states().values()) == {"up"} for g in self.gates)
        tap.wait_for(all_well, end - time.monotonic(), message=lambda: "not calm: %r, %r" % (
            [w.name for w, n in before.items() if w.acked < n + 2],
            [g.node_states() for g in self.gates]))


# Each: begins, and gives what ends it, and the writers that it may cut.

def some_node(site, rng):
    """One that somebody has come to through smbgate."""
    there = {w.node for w in site.through()}
    return rng.choice([n for n in site.nodes if n.name in there] or site.nodes)


def some_gate(site, rng):
    """One that has no other fault meanwhile."""
    g = rng.choice([g for g in site.gates if g not in site.busy])
    site.busy.add(g)
    return g


def at_node(site, n):
    return {w for w in site.paths if w.node == n.name}


def at_gate(site, g):
    return {w for w, p in site.paths.items() if p is g}


def smbd_killed(site, rng):
    n = some_node(site, rng)
    there = at_node(site, n)
    n.kill()
    return n.start, there


def smbd_stopped(site, rng):
    n = some_node(site, rng)
    n.pause()
    return n.cont, at_node(site, n)


def one_smbd_killed(site, rng):
    """One client's process alone: which client that is, is smbd's business."""
    n = some_node(site, rng)
    there = at_node(site, n)
    mine = n.serving()
    if mine:
        try:
            os.kill(rng.choice(mine), signal.SIGKILL)
        except ProcessLookupError:      # a probe's, which has gone
            pass
    return lambda: None, there


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def node_vanished(site, rng):
    """Nothing reaches it, and nothing comes from it; nobody is told."""
    n = some_node(site, rng)
    nft("table inet soak { chain in { type filter hook input priority 0;"
        " ip daddr %s drop; ip saddr %s drop; }; }" % (n.addr, n.addr))
    return lambda: nft("delete table inet soak"), at_node(site, n)


def client_vanished(site, rng):
    """Nobody hears of its end; it comes back under the same name."""
    w = rng.choice(site.through())
    w.vanish()
    return lambda: None, {w}


def client_asleep(site, rng):
    """It has asked for something, and does not take the answer."""
    w = rng.choice(site.through())
    w.sleep()
    return w.wake, set()


def drained(site, rng):
    n, g = some_node(site, rng), some_gate(site, rng)
    g.ctl("drain", n.name)

    def undrain():
        g.ctl("undrain", n.name)
    return undrain, set()


def reloaded(site, rng):
    g = some_gate(site, rng)
    g.reload(pin_linger="%ds" % rng.randrange(2, 5))
    return lambda: None, set()


def upgraded(site, rng):
    some_gate(site, rng).takeover()
    return lambda: None, set()


def smbgate_killed(site, rng):
    g = some_gate(site, rng)
    os.kill(g.proc.pid, signal.SIGKILL)
    g.proc.wait()
    g.proc = None
    return lambda: g.start(nodes_up=False), at_gate(site, g)


def smbgate_stopped(patient):
    def fault(site, rng):
        g = some_gate(site, rng)
        g.proc.send_signal(signal.SIGSTOP)
        return lambda: g.proc.send_signal(signal.SIGCONT), set() if patient else at_gate(site, g)
    return fault


def descriptors_gone(site, rng):
    """smbgate gets no more of them; what it has goes on."""
    g = some_gate(site, rng)
    was = resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, (g.fds(), was[1]))
    return lambda: resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, was), set()


def helper_killed(name):
    def fault(site, rng):
        g = some_gate(site, rng)
        pid = tap.wait_for(lambda: g.processes().get(name), 10)
        os.kill(pid, signal.SIGKILL)
        return lambda: tap.wait_for(lambda: g.processes().get(name), 10,
                                    message="no %s again" % name), set()
    return fault


def redis_killed(site, _):
    site.redis.kill()
    return site.redis.start, set()


def redis_stopped(site, _):
    site.redis.stop()
    return site.redis.cont, set()


def redis_full(site, _):
    site.redis.do("CONFIG", "SET", "maxmemory", "1")
    return lambda: site.redis.do("CONFIG", "SET", "maxmemory", "0"), set()


def redis_slow(site, _):
    for w in site.ways:
        w.delay(0.2, 0.2)
    return lambda: [w.delay() for w in site.ways], set()


def redis_cut_off(site, rng):
    """From one of the two."""
    w = rng.choice(site.ways)
    w.cut()
    return w.mend, set()


def redis_flushed(site, _):
    site.redis.do("FLUSHALL")
    return lambda: None, set()


# name, what it does, how long it lasts, and of what it is the trouble: two at once are of two
FAULTS = [f for f in (
    ("smbd killed, back after 1 s", smbd_killed, 1.0, "node"),
    ("smbd of one client killed", one_smbd_killed, 0.2, "node"),
    ("smbd stopped for 6 s", smbd_stopped, 6.0, "node"),
    ("node vanishes for 12 s", node_vanished, 12.0, "node"),
    ("node drained for 1 s", drained, 1.0, "node"),
    ("policy reloaded", reloaded, 0.2, "gate"),
    ("smbgate upgraded", upgraded, 0.2, "gate"),
    ("smbgate killed, back after 1 s", smbgate_killed, 1.0, "gate"),
    ("smbgate stopped for 3 s", smbgate_stopped(True), 3.0, "gate"),
    # for longer than its lease, and than clients wait
    ("smbgate stopped for 40 s", smbgate_stopped(False), 40.0, "gate"),
    ("no descriptors left for 2 s", descriptors_gone, 2.0, "gate"),
    ("client vanishes", client_vanished, 0.2, "client"),
    ("client asleep for 6 s", client_asleep, 6.0, "client"),
    ("smbgate-keyd killed", helper_killed("smbgate-keyd"), 0.2, "keyd"),
    ("keyd's guard killed", helper_killed("smbgate-guard"), 0.2, "keyd"),
    ("Redis killed, back after 1 s", redis_killed, 1.0, "redis"),
    ("Redis stopped for 2 s", redis_stopped, 2.0, "redis"),
    ("Redis flushed", redis_flushed, 0.2, "redis"),
    ("Redis out of memory for 2 s", redis_full, 2.0, "redis"),
    ("Redis 0.4 s away for 3 s", redis_slow, 3.0, "redis"),
    ("Redis cut off from one for 3 s", redis_cut_off, 3.0, "redis"),
) if os.environ.get("SMBGATE_FAULTS", "") in f[0] and (SECONDS or f[2] < 20)]


class Row:
    """What one fault has cost each time, in seconds between two acknowledgements."""

    def __init__(self):
        self.ours, self.direct, self.cut = [], [], 0

    def said(self):
        return {"times": len(self.ours), "cut": self.cut,
                "median_s": round(statistics.median(self.ours), 3),
                "worst_s": round(max(self.ours), 3),
                "direct_median_s": round(statistics.median(self.direct), 3),
                "direct_worst_s": round(max(self.direct), 3)}


def injected(site, rng, faults, innocent):
    """These faults, one within the other; the longest gap of ours, and of those who go directly."""
    for w in site.paths:
        w.longest_gap()
    before = {w: w.lost_link for w in site.paths}
    victims, undo = set(), []
    for _, fault, lasts, _ in faults:
        end, may = fault(site, rng)
        victims |= may
        undo.append((time.monotonic() + lasts, end))
    for at, end in sorted(undo, key=lambda x: x[0]):
        threading.Event().wait(max(0.0, at - time.monotonic()))
        end()
    site.calm()
    site.busy.clear()
    cut = {w for w, n in before.items() if w.lost_link > n}
    for w in cut - victims - set(site.direct()):
        innocent.append("%s: %s" % (" + ".join(f[0] for f in faults), w.notes[-1]))
    return (max(w.longest_gap() for w in site.through()),
            max(w.longest_gap() for w in site.direct()), len(cut - set(site.direct())))


def newcomer(site, wrong, what):
    """Who comes behind a fault is keyed, and told policy's list, by either."""
    for g in site.gates:
        try:
            with smb2.Conn("127.0.0.1", g.port, timeout=30) as c:
                c.negotiate([0x0311], guid=os.urandom(16))
                s = c.login("alice", PASSWORD, sign=True)
                told = sorted(str(i.ip) for i in c.ifinfo(s, c.tree(s, "IPC$")))
                if told != OURS:
                    wrong.append("%s, %s: %r" % (what, g.name, told))
        except oracle.TROUBLE as e:
            wrong.append("%s, %s: %r" % (what, g.name, e))


class Sizes:
    """Memory, descriptors and claims of each gate in calm moments."""

    def __init__(self, site):
        self.site, self.rows = site, []

    def take(self):
        self.rows.append([(g.rss_kb(), g.fds(), several.state(g)["claims"])
                          for g in self.site.gates])

    def grown(self):
        """Medians of the last third far above those of the first."""
        out, third = [], max(1, len(self.rows) // 3)
        for i, g in enumerate(self.site.gates):
            for k, (what, spare) in enumerate((("RSS", 8192), ("descriptors", 16), ("claims", 24))):
                if what == "RSS" and g.sanitized():
                    continue
                first, last = (statistics.median(r[i][k] for r in part)
                               for part in (self.rows[:third], self.rows[-third:]))
                if last > first * 1.2 + spare:
                    out.append("%s of %s: %d, then %d" % (what, g.name, first, last))
        return out


def soak(t, site, rng):
    rows, innocent, wrong, sizes = {f[0]: Row() for f in FAULTS}, [], [], Sizes(site)
    todo, since, n, pairs = [], time.monotonic(), 0, 0
    while todo or n == 0 or time.monotonic() - since < SECONDS:
        if not todo:
            todo = rng.sample(FAULTS, len(FAULTS))
        faults = [todo.pop()]
        if SECONDS and len(FAULTS) > 5 and rng.random() < 0.3:
            faults += rng.sample([f for f in FAULTS if f[3] != faults[0][3]], 1)
            pairs += 1
        ours, direct, cut = injected(site, rng, faults, innocent)
        if len(faults) == 1:
            row = rows[faults[0][0]]
            row.ours.append(ours)
            row.direct.append(direct)
            row.cut += cut
        newcomer(site, wrong, " + ".join(f[0] for f in faults))
        sizes.take()
        n += 1
    t.same(innocent[:8], [], "%d faults, %d of them two at once: nobody is cut by what is not his"
           % (n + pairs, pairs))
    t.same(wrong[:8], [], "behind each, new clients are keyed and told policy's list")
    t.same(sizes.grown(), [], "memory, descriptors and claims stay: %r" % sizes.rows[-1])
    return {k: r.said() for k, r in rows.items() if r.ours}


def table(t, rows, lost):
    t.diag("%-32s %5s %4s %8s %8s %8s %8s" % ("fault", "times", "cut", "median", "worst", "direct",
                                            "worst"))
    for k, r in rows.items():
        t.diag("%-32s %5d %4d %8.2f %8.2f %8.2f %8.2f" % (
            k, r["times"], r["cut"], r["median_s"], r["worst_s"], r["direct_median_s"],
            r["direct_worst_s"]))
    if os.environ.get("SMBGATE_JSON"):
        with open(os.environ["SMBGATE_JSON"], "w") as f:
            json.dump({"seed": SEED, "seconds": SECONDS, "rows": rows, **lost}, f, indent=1)


def main(t):
    t.diag("seed %d, %g s" % (SEED, SECONDS))
    front.own_network()
    site = Site(t)
    tap.wait_for(lambda: all(w.acked >= 3 for w in site.paths), 60,
                 message=lambda: "nobody writes: %r" % [w.notes for w in site.paths])
    rows = soak(t, site, random.Random(SEED))
    for w in site.paths:
        w.over.set()
    for w in site.paths:
        w.end()
    acked = sum(w.acked for w in site.paths)
    wrong = [x for x in (w.wrong(site.nodes[0].data()) for w in site.paths) if x]
    t.same(wrong, [], "%d acknowledged blocks: none lost, none wrong" % acked)
    table(t, rows, {"acknowledged": acked, "wrong": len(wrong)})
    for g in site.gates:
        # Whoever has vanished is found by a keepalive.
        t.ok(tap.wait_for(lambda: not g.live_connections(), 60), "%s: no connection is left" %
             g.name)
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


with tap.Test(deadline=int(SECONDS) + 300) as test:
    main(test)
