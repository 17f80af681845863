#!/usr/bin/python3
# daemon-reload.t: a thousand SIGHUPs under load, one in three with a broken file
import hashlib
import os
import subprocess
import threading
import time

import gate
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

TIMES = 1000
A = "127.0.1.1"


def policy(nodes, i):
    """A valid policy that can be told from the others by what clients are told."""
    return gate.policy_text(
        nodes, deny=["10.%d.%d.0/24" % (i // 256, i % 256)], health=gate.FAST,
        interfaces={"lan": {"mode": "announce", "list": [
            (A, {"speed": str(1000000 + i), "rss": True, "ifindex": 1})]}})


def breakages(good):
    """name -> (text of a broken policy.conf, what the log must name: a line number or None)."""
    n = good.count("\n")
    return {
        "a brace too few": (good.replace("addresses {", "addresses"), None),
        "a brace too many": (good + "}\n", n + 1),
        "an unknown option": (good + "no-such-option = 1\n", n + 1),
        "an unknown section": (good + "nonsense { a = 1 }\n", n + 1),
        "a bad address": (good.replace("10.", "10.300.", 1), None),
        "a bad prefix length": (good.replace("/24", "/240", 1), None),
        "a prefix with host bits": (good.replace(".0/24", ".9/24", 1), None),
        "a missing deny-file": (good.replace("deny = ", "deny-file = { \"not-there\" }\n\tdeny = "),
                                None),
        "half of the file": (good[:len(good) // 2], None),
        "an open string": (good + "pin-linger = \"15m\n", None),
        "a bad duration": (good + "pin-linger = \"fast\"\n", n + 1),
        "a bad word": (good + "smb1 = perhaps\n", n + 1),
        "a node without an address": (good + "node \"x\" { weight = 1 }\n", None),
        "a node twice": (good + good[good.index("node"):good.index("}") + 2], None),
        "a bad mode": (good.replace("mode = announce", "mode = sometimes"), None),
        "a multicast address to announce": (good.replace('address "%s"' % A,
                                                         'address "224.0.0.1"'), None),
        "a bad speed": (good.replace("speed = \"1", "speed = \"x"), None),
        "nothing but noise": ("\x00\x01\x02\xff\n", None),
    }


class Load(threading.Thread):
    """A client that writes, reads back, compares and asks, until told to stop."""

    def __init__(self, addr, port, number):
        super().__init__(daemon=True)
        self.addr, self.port, self.number = addr, port, number
        self.rounds, self.errors, self.speeds = 0, [], []
        self.over = threading.Event()

    def run(self):
        try:
            dialects = [[0x0202], [0x0210], [0x0300], [0x0302], [0x0311]][self.number % 5]
            c = smb2.Conn(self.addr, self.port).negotiate(dialects, multi=self.number % 2 == 1
                                                          and dialects != [0x0202])
            s = c.login()
            tid = c.tree(s)
            g = smb2.Conn(self.addr, self.port).negotiate([0x0302])
            gs = g.guest()
            gt = g.tree(gs, "IPC$")
            name = "load%d" % self.number
            while not self.over.is_set():
                data = os.urandom(65536)
                fid = c.create(s, tid, name, disp=5)
                c.write(s, tid, fid, 0, data)
                back = c.read(s, tid, fid, 0, 65536)
                c.close_file(s, tid, fid)
                if hashlib.sha256(back).digest() != hashlib.sha256(data).digest():
                    self.errors.append("data differ")
                got = g.ifinfo(gs, gt)
                self.speeds.append((time.monotonic(), got[0].speed if got else None))
                self.rounds += 1
            c.close()
            g.close()
        except Exception as e:
            self.errors.append(repr(e))

    def stop(self):
        self.over.set()
        self.join(60)


def control(t, n):
    """The same load directly."""
    w = Load(n.addr, n.port, 0)
    w.start()
    tap.wait_for(lambda: w.rounds >= 5 or w.errors, 60)
    w.stop()
    t.ok(w.rounds >= 5 and not w.errors, "direct: the load works", w.errors)


def told(g):
    with smb2.Conn(A, g.port) as c:
        c.negotiate([0x0302])
        s = c.guest()
        return [(e.ip, e.speed) for e in c.ifinfo(s, c.tree(s, "IPC$"))]


def each_breakage(t, g, nodes):
    """smbgate -t and SIGHUP agree on every kind of broken file, and say file:line."""
    good = policy(nodes, 1)
    g.write_policy(text=good)
    status, out = g.check()
    t.ok(status == 0, "smbgate -t: the good file is good", out)
    g.hup()
    tap.wait_for(lambda: told(g) == [(A, 1000001)], 20)
    for name, (text, line) in breakages(good).items():
        with open(g.policy_file, "w", encoding="latin-1") as f:
            f.write(text)
        status, out = g.check()
        t.ok(status != 0, "smbgate -t: %s: status %d" % (name, status), out)
        where = "policy.conf:%s" % (line or "")
        t.ok(any(where + (":" if line else "") in x for x in out.splitlines()),
             "smbgate -t: %s: told as %s" % (name, where + (":" if line else "N:")), out)
        mark = len(g.log())
        g.hup()
        tap.wait_for(lambda: where in g.log()[mark:], 20)
        t.ok(where in g.log()[mark:], "SIGHUP: %s: logged" % name, g.log()[mark:])
        t.same(told(g), [(A, 1000001)], "SIGHUP: %s: the old policy stays" % name)
    several = good + "smb1 = perhaps\n" + "pin-linger = \"fast\"\n" \
        + "addresses { deny = { \"10.0.0.300\", \"10.0.0.0/99\" } deny-file = { \"gone\" } }\n"
    g.write_policy(text=several)
    n = good.count("\n")
    status, out = g.check()
    lines = [x for x in out.splitlines() if "policy.conf:" in x]
    t.ok(status != 0 and len(lines) >= 4 and all("policy.conf:%d:" % (n + i) in out
                                                 for i in (1, 2, 3)),
         "smbgate -t: a file with several errors: each is listed", out)
    bad_conf = g.conf_file + ".bad"
    with open(bad_conf, "w") as f:
        f.write('policy = "policy.conf"\nlisten "a" { address = "nowhere" }\nworkers = -3\n')
    r = subprocess.run([gate.program(), "-t", "-c", bad_conf], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=10)
    t.ok(r.returncode != 0 and "smbgate.conf.bad:2:" in r.stdout
         and "smbgate.conf.bad:3:" in r.stdout and "policy.conf:%d:" % (n + 1) in r.stdout,
         "smbgate -t: errors of both files at once", r.stdout)


def storm(t, g, nodes):
    """TIMES SIGHUPs; after each one the policy in force is the last valid one."""
    g.write_policy(text=policy(nodes, 0))
    g.hup()
    tap.wait_for(lambda: told(g) == [(A, 1000000)], 20)
    loads = [Load(A, g.port, i) for i in range(4)]
    for w in loads:
        w.start()
    tap.wait_for(lambda: all(w.rounds or w.errors for w in loads), 60)
    before = g.closes()
    probe = smb2.Conn(A, g.port).negotiate([0x0302])
    ps = probe.guest()
    pt = probe.tree(ps, "IPC$")
    valid, wrong, late = 0, [], []
    rejected = 0
    names = list(breakages(policy(nodes, 0)))
    for i in range(1, TIMES + 1):
        mark = os.stat(g.dir + "/stderr").st_size
        if i % 3:
            g.write_policy(text=policy(nodes, i))
            valid = i
            g.hup()
            if not tap.wait_for(lambda: probe.ifinfo(ps, pt)[0].speed == 1000000 + valid, 5, 0.001):
                late.append(i)
        else:
            text = breakages(policy(nodes, i))[names[i % len(names)]][0]
            with open(g.policy_file, "w", encoding="latin-1") as f:
                f.write(text)
            g.hup()

            def said():
                with open(g.dir + "/stderr", "rb") as f:
                    f.seek(mark)
                    return b"policy.conf:" in f.read()
            if tap.wait_for(said, 5, 0.001):
                rejected += 1
            got = probe.ifinfo(ps, pt)
            if [e.speed for e in got] != [1000000 + valid]:
                wrong.append((i, got))
        if i % 100 == 0 and str(valid % 256) not in g.ctl_run("show", "policy").stdout:
            wrong.append((i, "show policy"))
    for w in loads:
        w.stop()
    t.ok(not late, "%d SIGHUPs: every valid policy was in force within 5 s" % TIMES, late[:20])
    t.ok(not wrong, "after each broken file the last valid policy is in force", wrong[:5])
    t.same(rejected, TIMES // 3, "each broken file is logged")
    t.ok(all(not w.errors and w.rounds > 3 for w in loads),
         "load: no connection was lost, all data are identical: %s rounds" % [w.rounds
                                                                             for w in loads],
         [w.errors for w in loads])
    probe.echo()
    probe.close()
    bad = {k: v for k, v in g.closed_since(before).items() if k not in ("client_eof",
                                                                        "client_reset")}
    t.ok(not bad, "no connection was closed by smbgate or a node", bad)
    # a burst without waiting: signals may fall together, the last file counts
    for i in range(1, 200):
        g.write_policy(text=policy(nodes, i))
        g.hup()
    t.ok(tap.wait_for(lambda: told(g) == [(A, 1000199)], 20), "a burst: the last file counts",
         told(g))


def main(t):
    nodes = node.cluster(t, 2)
    control(t, nodes[0])
    why = gate.missing()
    if why:
        t.bail(why)
    g = gate.Gate(t, nodes).start()
    each_breakage(t, g, nodes)
    rss = g.rss_kb()
    storm(t, g, nodes)
    if g.sanitized():
        t.skip("memory", "built with the address sanitizer")
    else:
        t.ok(g.rss_kb() < rss + 8192, "memory: %d KiB before, %d after" % (rss, g.rss_kb()))
    fds = g.fds()
    t.ok(fds < 64, "descriptors: %d" % fds)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=400) as test:
    main(test)
