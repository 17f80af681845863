#!/usr/bin/python3
# proxy-reserve.t: clients have every descriptor but the reserve: an operator is served all the same
import re
import time

import fake
import gate
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

LIMIT, CLIENTS = 400, 90


def client(g, timeout=10):
    c = smb2.Conn("127.0.0.1", g.port, timeout=timeout).negotiate([0x0302])
    c.login()
    return c


def asks(t, g, *command):
    """Ask smbgatectl: what it has said, and how long that took."""
    start = t.ran()
    r = g.ctl_run(*command)
    return r, t.ran() - start


def timed(t, g, idle, *command):
    """Ask smbgatectl: within a second, or little more than without clients?"""
    r, took = asks(t, g, *command)
    t.ok(r.returncode == 0 and took < 1 + 4 * idle, "all taken: smbgatectl %s: %.2f s"
         % (" ".join(command), took), r.stdout + r.stderr)


def fill(t, g):
    """Clients log on until no place is left."""
    hold = []
    while len(hold) < LIMIT:
        c = again(g)
        if c:
            hold.append(c)
            continue
        g.turn()        # that one has ended
        if g.closes()["no_files"] and g.stats()["connections"] >= g.stats()["places"]:
            break
    return hold


def full(t, g, hold, f, idle):
    s = g.stats()
    t.same(s["connections"], s["places"], "every place is taken: %d" % s["places"])
    knocks = [smb2.Conn("127.0.0.1", g.port) for _ in range(50)]
    cpu, start = g.cpu_seconds(), time.monotonic()
    for n in range(3):
        timed(t, g, idle, "drain", "--force", f.name)
        t.same(g.node_states()[f.name], "drain", "all taken: drained")
        timed(t, g, idle, "undrain", f.name)
        timed(t, g, idle, "show", "clients")
        g.write_policy(pin_linger="%dm" % (20 + n))
        generation = g.generation()
        timed(t, g, idle, "reload")
        t.same(g.generation(), generation + 1, "all taken: reloaded")
    probes = g.node_list()[f.name]["probes"]
    t.ok(tap.wait_for(lambda: g.node_list()[f.name]["probes"] > probes + 2, 60),
         "all taken: probes go on")
    t.same(g.node_list()[f.name]["probe_failures"], 0, "all taken: no probe failed")
    peers = [g.ctl_run("show", "nodes").returncode for _ in range(20)]
    t.same(set(peers), {0}, "all taken: smbgatectl 20 times")
    used = (g.cpu_seconds() - cpu) / (time.monotonic() - start)
    t.ok(used < 0.5 or g.sanitized(), "all taken: %.0f %% of one CPU" % (used * 100))
    t.ok(g.fds() < LIMIT, "descriptors: %d of %d" % (g.fds(), LIMIT))
    for c in hold:
        c.echo()
    t.ok(True, "all taken: %d clients go on" % len(hold))
    t.ok(tap.wait_for(lambda: re.search(
        "out of descriptors for clients: .* places are taken", g.log()), 30),
         "the log says so", g.log()[-2000:])
    t.ok(len(re.findall("out of descriptors for clients", g.log())) == 1, "once")
    for c in knocks:
        c.close()


def main(t):
    f = fake.FakeNode(t, "f1", "127.0.0.41", guests=False).start()
    g = gate.Gate(t, [f], workers=1, health=gate.PATIENT,
                  argv_prefix=["prlimit", "--nofile=%d:%d" % (LIMIT, LIMIT)]).start()
    idle, wait = g.fds(), asks(t, g, "show", "clients")[1]
    hold = fill(t, g)
    t.ok(len(hold) >= CLIENTS, "%d clients fit into %d descriptors" % (len(hold), LIMIT))
    full(t, g, hold, f, wait)
    hold.pop().close()
    fresh = tap.wait_for(lambda: again(g), 30, 0.1)
    t.ok(fresh, "one goes: one is served")
    for c in hold + [fresh]:
        c.close()
    t.ok(tap.wait_for(lambda: g.stats()["connections"] == 0 and g.fds() <= idle + 4, 60),
         "all gone: %d descriptors, as before (%d)" % (g.fds(), idle))
    hold = fill(t, g)
    t.ok(len(hold) >= CLIENTS, "and %d fit again: no place is lost" % len(hold))
    for c in hold:
        c.close()
    t.ok(tap.wait_for(lambda: g.stats()["connections"] == 0, 60), "all gone again")
    strangers(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


def again(g):
    try:
        return client(g, 2)
    except (smb2.Closed, OSError):
        return None


def strangers(t, g):
    """They get no further than random early drop: who knocks some times gets in and logs on."""
    crowd, tries = [], 0
    friend = client(g)
    for _ in range(400):
        try:
            c = smb2.Conn("127.0.0.1", g.port, timeout=1)
            c.negotiate([0x0302])
            crowd.append(c)
        except (smb2.Closed, OSError):
            pass
    places = g.stats()["places"]
    got = None
    while got is None and tries < 400:
        tries += 1
        got = again(g)
        # a stranger comes back for each that was turned away
        try:
            crowd.append(smb2.Conn("127.0.0.1", g.port, timeout=1))
        except OSError:
            pass
    t.ok(got, "%d strangers at %d places: a client gets in at try %d" % (len(crowd), places, tries))
    friend.echo()
    for c in crowd + [friend] + ([got] if got else []):
        c.close()


with tap.Test(deadline=120) as test:
    main(test)
