#!/usr/bin/python3
# admission-patience.t: who types slowly is waited for, as the node does, until many do; silence
import re
import socket
import struct
import time

import gate
import netns
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)


def types(where, wrong_first):
    """A person: has negotiated, perhaps a stale password was tried; the logon comes later."""
    c = smb2.Conn(*where).negotiate([0x0302])
    if wrong_first:
        try:
            c.login("alice", "wrong")
        except smb2.Status:
            pass
    return c


def enters(c):
    try:
        c.tree(c.login())
        return "in"
    except (smb2.Closed, ConnectionError) as e:
        return type(e).__name__


def wait(seconds):
    """The passing of time is what is tested."""
    tap.wait_for(lambda: False, seconds)


def defaults(t, g):
    """40 s for a password, whatever else is going on, is a tenth of less than a half."""
    text = g.policy()["text"]
    for name, least in (("first-frame", 30), ("negotiate", 45), ("logon", 120),
                        ("client-timeout", 300)):
        got = re.search(r"%s = \"?(\d+)([ms])\"?" % name, text)
        seconds = int(got.group(1)) * {"m": 60, "s": 1}[got.group(2)]
        t.ok(seconds >= least, "by default %s is %d s" % (name, seconds))


def slow_person(t, n, g):
    """As long as 40 s would be with the defaults, 300 s for a logon, on the scale of 30 s."""
    people = {}
    for who, where in (("direct", (n.addr, n.port)), ("smbgate", ("127.0.0.1", g.port))):
        people[who + ", a password typed"] = types(where, False)
        people[who + ", after a wrong one"] = types(where, True)
    wait(4)
    for who, c in people.items():
        t.same(enters(c), "in", "%s: logs on" % who)
        c.close()


def slowloris(t, n, g):
    """Strangers that stay: under pressure the oldest go, and others are served meanwhile."""
    person = types(("127.0.0.1", g.port), False)
    before = g.closes()
    start = time.monotonic()
    crowd, ages, waits = [], [], []
    friend = types(("127.0.0.1", g.port), False)
    friend.login()
    while time.monotonic() - start < 12 or len(ages) <= 20:
        # what has gone comes again
        crowd = [(c, at) for c, at in crowd if alive(c, at, ages)]
        while len(crowd) < 60:
            since, got = time.monotonic(), stranger(g)      # it is no older than that
            if got is None:
                break
            crowd.append((got, since))
        at = t.ran()
        tries = 0
        while True:
            tries += 1
            try:
                with smb2.Conn("127.0.0.1", g.port, src="127.0.9.9") as c:
                    c.negotiate([0x0302])
                    c.login()
                break
            except (smb2.Closed, ConnectionError):
                pass
        took, at = t.ran() - at, t.ran()
        enters(smb2.Conn(n.addr, n.port).negotiate([0x0302]))
        # beside what it takes on this machine just now
        waits.append((took - (t.ran() - at), tries))
        friend.echo()
    closed = g.closed_since(before)
    t.ok(closed.get("logon_timeout", 0) > 20, "slowloris: the oldest are closed: %s" % closed)
    t.ok(ages and 2.5 < min(ages) < 8, "slowloris: each had a tenth of the time: %.1f to %.1f s"
         % (min(ages), max(ages)))
    # where strangers have every place, one is free after a tenth of 30 s and a tick, at the latest
    t.ok(max(w[0] for w in waits) < 4.5,
         "slowloris: a newcomer is in after at most %.2f s, %d tries;"
         " %d came" % (max(w[0] for w in waits), max(w[1] for w in waits), len(waits)))
    t.ok(not person.is_open(), "slowloris: who was there before, without a logon, went too")
    t.ok(friend.is_open(), "slowloris: who has logged on goes on")
    person.close()
    for c, _ in crowd:
        c.close()
    tap.wait_for(lambda: g.stats()["unauthenticated"] == 0, 20, message="strangers stay counted")
    person = types(("127.0.0.1", g.port), True)
    wait(4)
    t.same(enters(person), "in", "the crowd is gone: there is patience again")


def stranger(g):
    try:
        return smb2.Conn("127.0.0.1", g.port, src="127.0.9.1").negotiate([0x0302])
    except (smb2.Closed, ConnectionError):
        return None


def alive(c, at, ages):
    if c.is_open():
        return True
    ages.append(time.monotonic() - at)
    c.close()
    return False


def silence(t, g, port, data, what, end):
    """Load balancers look whether somebody listens: counted, and no line each."""
    before, lines = g.stats()["silent"], g.log()
    for _ in range(10):
        s = socket.create_connection(("127.0.0.1", port), 10)
        s.sendall(data)
        if end == "wait":
            s.settimeout(20)
            try:
                s.recv(1)
            except ConnectionResetError:
                pass
        if end == "rst":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    t.ok(tap.wait_for(lambda: g.stats()["silent"] == before + 10, 20), "%s: counted" % what,
         g.stats()["silent"] - before)
    t.same(g.log()[len(lines):], "", "%s: no line" % what)


def load_balancers(t, n):
    port = node.free_port("127.0.0.1")
    g = gate.Gate(t, [n], listen={"lan": "127.0.0.1:%d" % node.free_port("127.0.0.1")},
                  conf='listen "lb" { address = "127.0.0.1:%d" proxy-protocol = { "127.0.0.1" } }\n'
                  % port, limits={"first-frame": "300ms"}).start()
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"
    for end in ("fin", "rst", "wait"):
        silence(t, g, g.port, b"", "connect, " + end, end)
        silence(t, g, port, b"", "to a listener with proxy-protocol: connect, " + end, end)
        silence(t, g, port, local, "PROXY LOCAL, " + end, end)
    before, lines = g.closes(), len(g.log())
    with socket.create_connection(("127.0.0.1", g.port), 20) as s:
        s.sendall(b"\0\0\0")
        s.recv(1)
    g.closed_for("first_frame_timeout", before)
    t.ok(tap.wait_for(lambda: "no complete first message" in g.log()[lines:]),
         "half a header: that is said")
    t.same(g.stop(), 0, "smbgate ends with status 0")


def sleeper(t, lab):
    """A laptop sleeps longer than keepalive asks, with a file open."""
    lan = netns.Lan(t)
    laptop, gw = netns.Host(t, "laptop"), netns.Host(t, "gw")
    lan.join(laptop, "10.1.0.2/24")
    lan.join(gw, "10.1.0.1/24")
    with gw.inside():
        n = node.Node(lab, "n9", addr="10.1.0.1", interfaces=["10.1.0.1/24"]).start()
        g = gate.Gate(t, [n], listen={"lan": "10.1.0.1:%d" % node.free_port("10.1.0.1")},
                      tcp={"keepalive-idle": "1s", "keepalive-interval": "1s",
                           "keepalive-count": 2}).start()
    live = []
    for who, port in (("direct", n.port), ("smbgate", g.port)):
        with laptop.inside():
            c = smb2.Conn("10.1.0.1", port).negotiate([0x0302])
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "sleeper-" + who, disp=5)
        c.write(s, tid, fid, 0, b"kept")
        live.append((who, c, s, tid, fid))
    lan.switch.ip("link", "set", "p0", "down")
    wait(8)
    lan.switch.ip("link", "set", "p0", "up")
    for who, c, s, tid, fid in live:
        try:
            got = c.read(s, tid, fid, 0, 4)
        except (smb2.Closed, ConnectionError, TimeoutError) as e:
            got = type(e).__name__
        t.same(got, b"kept", "%s: asleep for four times keepalive: the open file is there" % who)
    t.same(g.stop(), 0, "smbgate ends with status 0")


def main(t):
    lab = node.Lab(t)
    n = node.Node(lab).start()
    g = gate.Gate(t, [n]).start()
    defaults(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    g = gate.Gate(t, [n], limits={"logon": "30s", "unauthenticated": 60}).start()
    slow_person(t, n, g)
    slowloris(t, n, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    load_balancers(t, n)
    why_not = netns.missing()
    if why_not:
        t.skip("a laptop that sleeps", why_not)
    else:
        sleeper(t, lab)


with tap.Test(deadline=150) as test:
    main(test)
