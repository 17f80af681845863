#!/usr/bin/python3
# nodes-none.t: no node takes clients: newcomers are held a moment, or reset, and who is in stays
import re
import socket
import threading
import time

import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)


def knock(g, src="127.0.0.1", seconds=30):
    """One newcomer: (how it ends, after how long)."""
    start = time.monotonic()
    try:
        with smb2.Conn("127.0.0.1", g.port, src=src, timeout=seconds) as c:
            c.negotiate([0x0302])
            return "in", time.monotonic() - start
    except smb2.Closed:
        return "closed", time.monotonic() - start
    except ConnectionResetError:
        return "reset", time.monotonic() - start


def eager(g, seconds, src="127.0.0.1", out=None):
    """A client that comes back as soon as it is closed: how often?"""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        knock(g, src)
        n += 1
    if out is not None:
        out.append(n)
    return n


def crowd(g, clients, seconds):
    """(connections of all of them, CPU seconds of smbgate)"""
    out, cpu = [], g.cpu_seconds()
    threads = [threading.Thread(target=eager, args=(g, seconds, "127.0.8.%d" % (i + 1), out))
               for i in range(clients)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    return sum(out), g.cpu_seconds() - cpu


def drain(g, nodes, how="drain"):
    for n in nodes:
        g.ctl(how, n.name, *(["--force"] if how == "drain" else []))


def how_it_ends(c):
    """The peer's end of the connection: FIN or RST?"""
    try:
        return "closed" if c.sock.recv(1) == b"" else "bytes"
    except ConnectionResetError:
        return "reset"


def held(t, g, nodes, live):
    drain(g, nodes)
    start = t.ran()
    got, took = knock(g)
    t.ok(got == "closed" and 0.8 < took and t.ran() - start < 2.5,
         "drained: a newcomer is held %.2f s, then %s" % (took, got))
    n = eager(g, 3)
    t.ok(n < 10, "drained: a client that comes back at once makes %.1f connections a second"
         % (n / 3))
    start = t.ran()
    several = [smb2.Conn("127.0.0.1", g.port) for _ in range(8)]
    for c in several:
        c.send_frame(c.build(smb2.NEGOTIATE, smb2.negotiate_body([0x0302], bytes(16))))
    ends = {how_it_ends(c) for c in several}
    took = t.ran() - start
    t.ok(ends == {"closed"} and took < 2.5, "drained: eight at once are held together: %.2f s"
         % took, ends)
    for c in live:
        c.echo()
    # of one that goes: a session that loses a channel is ended by smbd 4.17 within a minute
    with live.pop() as mine, smb2.Conn("127.0.0.1", g.port) as c:
        c.negotiate([0x0302], guid=mine.guid)
        c.login()
        t.ok(True, "drained: who is in goes on, and may add a channel")
    t.ok(tap.wait_for(lambda: re.search("no node takes clients: .*n1 is drain, n2 is drain",
                                        g.log()), 30), "the log says so", g.log()[-2000:])
    t.same(len(re.findall("no node takes clients", g.log())), 1, "once")
    t.same(g.show("nodes")["takes_clients"], False, "show nodes: takes_clients")
    t.ok("No node takes new clients" in g.ctl_run("show", "nodes").stdout, "and as text")
    back(t, g, nodes, "undrained")


def back(t, g, nodes, label):
    """Held ones are placed as soon as a node takes them."""
    for _ in range(20):
        out, before = [], g.stats()["no_node_held"]
        begun = time.monotonic()
        threads = [threading.Thread(target=lambda o=out: o.append(knock(g))) for _ in range(20)]
        for x in threads:
            x.start()
        all_held = tap.wait_for(lambda n=before: g.stats()["no_node_held"] == n + 20, 30)
        start = t.ran()
        for n in nodes:         # no program is started: there is less than a second
            g.ask({"cmd": "undrain", "node": n.name})
        passed = time.monotonic() - begun
        for x in threads:
            x.join()
        took = t.ran() - start
        if passed < 0.8:        # nobody's moment was over before
            # they would have been closed otherwise, however long it took here to see it
            t.ok(all_held and [o[0] for o in out] == ["in"] * 20,
                 "%s: 20 that are held are placed after %.2f s" % (label, took), out)
            break
        drain(g, nodes)
    else:
        drain(g, nodes, "undrain")
        t.skip("%s: 20 that are held are placed" % label, "this machine is too slow now")
    t.same(g.show("nodes")["takes_clients"], True, "%s: show nodes: takes_clients" % label)


def killed(t, g, nodes):
    """The same without any node that answers, a connect failing at once included."""
    for n in nodes:
        n.kill()
    n = eager(g, 3)
    t.ok(n < 10, "killed: a client that comes back at once makes %.1f connections a second"
         % (n / 3))
    for n in nodes:
        n.start()
    tap.wait_for(lambda: "up" in g.node_states().values(), 60, message="not up again")
    t.same(knock(g)[0], "in", "back: served")


def reset(t, g, nodes, live):
    g.reload(no_node="reset")
    drain(g, nodes)
    with socket.create_connection(("127.0.0.1", g.port), timeout=30) as s:
        start = t.ran()
        s.sendall(smb2.frame(smb2.header(smb2.NEGOTIATE, 0) + smb2.negotiate_body([0x0302],
                                                                                bytes(16))))
        try:
            got = s.recv(1)
        except ConnectionResetError:
            got = "reset"
        took = t.ran() - start
    t.ok(got == "reset" and took < 0.5, "no-node = reset: %s after %.3f s" % (got, took))
    for c in live:
        c.echo()
    t.ok(True, "no-node = reset: who is in goes on")


def compare(t, g, live):
    """Eager clients cost next to nothing when they are held."""
    n, cpu = crowd(g, 20, 3)
    t.diag("reset: %d connections, %.2f s of CPU in 3 s" % (n, cpu))
    g.reload(no_node="hold")
    m, held_cpu = crowd(g, 20, 3)
    t.ok(m < n / 10 and m <= 20 * 5, "hold: 20 eager clients make %d connections in 3 s, not %d"
         % (m, n))
    # a tick of that clock is 10 ms, and a busy machine has few of the others
    t.ok(held_cpu < max(cpu / 4, 0.1), "hold: they cost %.2f s of CPU, not %.2f s" % (held_cpu,
                                                                                  cpu))
    for c in live:
        c.echo()


def main(t):
    nodes = node.cluster(t, 2)
    live = []
    g = gate.Gate(t, nodes, health=gate.PATIENT).start()
    for _ in range(6):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        c.tree(c.login())       # smbd may end whoever has no share after a minute
        live.append(c)
    held(t, g, nodes, live)
    reset(t, g, nodes, live)
    compare(t, g, live)
    drain(g, nodes, "undrain")
    t.same(knock(g)[0], "in", "undrained: served")
    killed(t, g, nodes)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=150) as test:
    main(test)
