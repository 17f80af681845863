#!/usr/bin/python3
# daemon-notify.t: what the service manager is told: ready, how it stands, reloads, a hanging worker
import ctypes
import os
import re
import signal
import socket
import time

import gate
import node
import tap

why = gate.missing() or node.missing()
if why:
    tap.skip_all(why)

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


class Manager:
    """In systemd's place: what NOTIFY_SOCKET was sent, with the time at which it came."""

    def __init__(self, t):
        self.path = node.tempdir(t) + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        self.sock.setblocking(False)
        self.said = []
        t.defer(self.sock.close)

    def read(self):
        try:
            while True:
                text = self.sock.recv(4096).decode()
                self.said.append((time.monotonic(), dict(x.split("=", 1)
                                                         for x in text.splitlines())))
        except BlockingIOError:
            return self.said

    def hears(self, key, value=None, after=0, until=20):
        """Waits for the first of what is said after that time that has key, and fits."""
        def first():
            return next((x for at, x in self.read() if at > after and key in x
                         and (value is None or re.search(value, x[key]))), None)
        return tap.wait_for(first, until) and first()

    def count(self, key, after):
        return sum(1 for at, x in self.read() if at > after and key in x)


class Stopped:
    """All threads of a process but its main one stand still."""

    def __init__(self, pid):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long] + [ctypes.c_long] * 3
        self.libc.ptrace.restype = ctypes.c_long
        self.tids = [int(x) for x in os.listdir("/proc/%d/task" % pid) if int(x) != pid]

    def __enter__(self):
        for tid in self.tids:
            for what in PTRACE_SEIZE, PTRACE_INTERRUPT:
                if self.libc.ptrace(what, tid, 0, 0) == -1:
                    raise OSError(ctypes.get_errno(), "ptrace")
            os.waitpid(tid, 0x40000000)     # __WALL
        return self

    def __exit__(self, *_):
        for tid in self.tids:
            self.libc.ptrace(PTRACE_DETACH, tid, 0, 0)


def begin(t, nodes, manager, **env):
    g = gate.Gate(t, nodes)
    g.argv_prefix = ["env", *("%s=%s" % i for i in env.items()),
                     "NOTIFY_SOCKET=" + manager.path, *g.argv_prefix]
    return g.start()


def reloads(t, g, m):
    now = time.monotonic()
    g.reload()
    x = m.hears("RELOADING", "^1$", now)
    t.ok(x and abs(int(x.get("MONOTONIC_USEC", 0)) / 1e6 - time.monotonic()) < 20 and
         int(x["MONOTONIC_USEC"]) >= now * 1e6, "a reload: it is to wait", x)
    t.ok(m.hears("READY", "^1$", now) and m.hears("STATUS", "policy 2$", now),
         "and then need not any more", m.said)
    now = time.monotonic()
    g.write_policy(text="nonsense = 1\n")
    os.kill(g.proc.pid, signal.SIGHUP)
    t.ok(m.hears("RELOADING", after=now) and m.hears("READY", "^1$", now),
         "a broken policy: nor does it wait for ever", m.said)
    t.ok(m.hears("STATUS", "policy 2$", now), "and the old policy stays", m.said)
    g.write_policy()


def main(t):
    lab = node.Lab(t)
    nodes = [node.Node(lab, n).start() for n in ("n1", "n2")]
    m = Manager(t)
    g = begin(t, nodes, m, WATCHDOG_USEC=10000000)
    x = m.hears("READY")
    t.ok(x and x["READY"] == "1" and re.match(r"\d of 2 nodes up, 0 clients, policy 1$",
                                              x["STATUS"]), "ready, and how it stands", x)
    t.ok(m.hears("STATUS", "^2 of 2 nodes up, 0 clients, policy 1$"), "nodes come up", m.said)
    now = time.monotonic()
    nodes[1].stop()
    t.ok(m.hears("STATUS", "^1 of 2 nodes up", now, 40), "a node goes", m.said)
    reloads(t, g, m)

    now = time.monotonic()
    t.ok(tap.wait_for(lambda: m.count("WATCHDOG", now) >= 3, 20), "the watchdog is fed")
    with Stopped(g.proc.pid):
        t.ok(tap.wait_for(lambda: "the watchdog is not fed any more" in g.log(), 40),
             "a worker hangs: it is not", g.log()[-1000:])
        m.read()
        now = time.monotonic()
        said = tap.wait_for(lambda: m.count("WATCHDOG", now), 2)
        t.ok(not said, "and stays so", m.said[-3:])
    t.ok(tap.wait_for(lambda: m.count("WATCHDOG", now), 20), "it goes on: fed again")
    now = time.monotonic()
    g.takeover()
    x = m.hears("MAINPID", after=now)
    t.same(x and x["MAINPID"], str(g.proc.pid), "an upgrade: which process it is now")
    t.ok(m.hears("READY", "^1$", now) and tap.wait_for(lambda: m.count("WATCHDOG", now) >= 3, 20),
         "it is ready, and feeds the watchdog", m.said[-5:])
    t.same(m.count("STOPPING", now), 0, "and the one that has ended was not said to stop")
    now = time.monotonic()
    t.same(g.stop(), 0, "smbgate ends")
    t.ok(m.hears("STOPPING", "^1$", now), "and says that it does", m.said[-3:])

    quiet = Manager(t)
    g = begin(t, nodes[:1], quiet)
    now = time.monotonic()
    tap.wait_for(lambda: quiet.count("STATUS", 0) >= 1, 20)
    g.reload()
    t.ok(quiet.hears("READY", after=now), "without a watchdog")
    t.same((quiet.count("WATCHDOG", 0), g.stop()), (0, 0), "none is fed")


with tap.Test(deadline=200) as test:
    main(test)
