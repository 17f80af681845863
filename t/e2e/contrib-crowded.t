#!/usr/bin/python3
# contrib-crowded.t: clients have every descriptor; operators and keepalived get their answers
import socket
import time

import fake
import gate
import netns
import smb2
import tap
from vrrp import VIP, Machine, overlap

why = netns.missing("keepalived") or gate.missing()
if why:
    tap.skip_all(why)

LIMIT, CLIENTS, KNOCKS = 400, 90, 50
SECONDS = 6         # keepalived gives up after two checks that fail, one a second
MONITORS = 16


def dial(host, addr, timeout=10):
    with host.inside():
        c = smb2.Conn(addr, 445, timeout=timeout).negotiate([0x0302])
    c.login()
    return c


def fill(host, g):
    """Clients log on at the address until no place is left."""
    hold = []
    while len(hold) < LIMIT:
        try:
            hold.append(dial(host, VIP, 2))
        except (smb2.Closed, OSError):
            if g.closes()["no_files"] and g.stats()["connections"] >= g.stats()["places"]:
                break
    return hold


def timed(t, took, what, f):
    """Notes how long it took; for ever, if it was no good."""
    start = t.ran()
    good = f()
    took.append((t.ran() - start if good else 999, what))


def quick(took, idle):
    """Nine of ten within a second, and all within the time that keepalived gives its checks, or
    little more than without clients: it is a machine that has other things to do."""
    took, more = sorted(took), 4 * idle
    return took[len(took) * 9 // 10][0] < 1 + more and took[-1][0] < 2 + more


def operate(t, m, took, n):
    """What an operator, and keepalived, ask."""
    g = m.gate
    g.write_policy(pin_linger="%dm" % (20 + n))
    for command in (["drain", "--force", "f1"], ["show", "nodes"], ["undrain", "f1"], ["reload"],
                    ["show", "clients"]):
        timed(t, took, " ".join(command), lambda c=command: g.ctl_run(*c).returncode == 0)
    for mode in ("alive", "nodes"):
        timed(t, took, "check-smbgate " + mode, lambda m=m, mode=mode: m.check(mode) == 0)


def stuck(t, m, idle):
    """Monitors that neither ask nor hang up have all of the control socket: they go first."""
    hang = []
    for _ in range(MONITORS):
        s = socket.socket(socket.AF_UNIX)
        s.connect(m.gate.control)
        hang.append(s)
    took = []
    timed(t, took, "check-smbgate alive", lambda: m.check("alive") == 0)
    t.ok(quick(took, idle), "%d monitors that say nothing: keepalived's check is answered"
         % len(hang), took)
    for s in hang:
        s.close()


def main(t):
    front, storage = netns.Lan(t, "front"), netns.Lan(t, "storage")
    nas, client = netns.Host(t, "nas"), netns.Host(t, "client")
    storage.join(nas, "10.2.0.11/24")
    front.join(client, "10.1.0.100/24")
    with nas.inside():
        f = fake.FakeNode(t, "f1", "10.2.0.11", 445, guests=False).start()
    px = [Machine(t, front, storage, f, i, workers=1, argv_prefix=["prlimit", "--nofile=%d:%d" % (
        LIMIT, LIMIT)]) for i in (1, 2)]
    for m in px:
        m.start_gate()
        m.start_keepalived()
    on = tap.wait_for(lambda: next((m for m in px if m.has()), None), 20,
                      message=lambda: px[0].log() + px[1].log())
    t.ok(tap.wait_for(lambda: all(m.priority() == 100 and m.check("nodes") == 0 for m in px), 20),
         "one machine has the address, and both are as fit")
    on = next(m for m in px if m.has())
    took = []
    for n in range(2):
        operate(t, on, took, n)
    idle = max(took)[0]
    since = t.ran()
    hold = fill(client, on.gate)
    s = on.gate.stats()
    t.ok(len(hold) >= CLIENTS and s["connections"] == s["places"],
         "%d clients at the address: every place is taken" % len(hold), s)
    with client.inside():
        knocks = [smb2.Conn(VIP, 445) for _ in range(KNOCKS)]
    took, rounds, full = [], 2, time.monotonic()
    while time.monotonic() - full < SECONDS:
        operate(t, on, took, rounds)
        rounds += 1
    t.ok(quick(took, idle), "%d rounds of drain, show, reload and checks: answered in time; %.2f s "
         "without clients" % (rounds - 2, idle), *sorted(took)[-8:])
    stuck(t, on, idle)
    moved = [(m.name, round(at - since, 2), up) for m in px for at, up in m.changes if at > since]
    both, none = overlap(px, since)
    t.ok(not moved and on.has() and both == 0 and none == 0,
         "the address stays where it is", moved, *[m.log()[-1500:] for m in px])
    t.same(on.priority(), 100, "and its machine is as fit as before")
    for c in hold:
        c.echo()
    t.ok(True, "%d clients live on" % len(hold))
    t.same(on.gate.node_list()["f1"]["probe_failures"], 0, "no probe has failed")
    for c in hold + knocks:
        c.close()


with tap.Test(deadline=120) as test:
    main(test)
