#!/usr/bin/python3
# speed-instructions.t: what an operation takes, as counts: instructions, and misses of a cache
import os
import re
import shutil
import subprocess

import gate
import node
import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Of gcc 12.2.0 on x86_64 with -O2, in the program smbgate alone, without its libraries. Who makes
# it cheaper, or knows why it must be dearer, writes the new count here. What a connection needs for
# its edges is smbgate's own, 860, and was twice that of libevent's.
COMPILER = "12.2.0 x86_64-linux-gnu"
WANT = {"echo": 1790, "read": 1840, "conn": 29690}
# The bytes of a READ come in fewer turns, or in more: twelve counts were between 1,775 and 1,873.
TOLERANCE = {"echo": 0.02, "read": 0.04, "conn": 0.02}
# Of so many connections that are active in turn none finds what it has in a cache of 32 KiB: what
# an ECHO misses there, both ways, libraries included, is what a connection has in how many
# places. Ten counts were between 14.2 and 16.1; 31 with two events of libevent's to each.
CROWD = 400
MISSES = 17.5

for program in ("valgrind", "gcc", "make"):
    if not shutil.which(program):
        tap.skip_all("no %s here" % program)
have = " ".join(subprocess.run(["gcc", option], capture_output=True, text=True).stdout.strip()
                for option in ("-dumpfullversion", "-dumpmachine"))
if have != COMPILER:
    tap.skip_all("counts are known for gcc %s, and this is %s" % (COMPILER, have))
if not os.access(ROOT + "/configure", os.X_OK):
    tap.skip_all("no configure in the tree")


def counted(path):
    """Instructions in smbgate itself, from a file of callgrind's."""
    names, total, ours, called = {}, 0, False, False
    with open(path) as f:
        for line in f:
            m = re.match(r"ob=(\(\d+\))(?: (.*))?$", line)
            if m:
                if m.group(2):
                    names[m.group(1)] = m.group(2)
                ours = names[m.group(1)].endswith("/daemon/smbgate")
                continue
            m = re.match(r"cob=(\(\d+\)) (.*)$", line)
            if m:
                names[m.group(1)] = m.group(2)
            elif line.startswith("calls="):
                called = True       # the next line is what the callee cost
            elif line[0] in "+-*0123456789":
                if ours and not called:
                    total += int(line.split()[1])
                called = False
    return total


def missed(path):
    """Misses of the data cache, but for those of the tick, which comes by time."""
    names, events, total, tick, callee, called = {}, [], 0, 0, "", False

    def misses(numbers):
        costs = dict(zip(events, map(int, numbers)))
        return costs.get("D1mr", 0) + costs.get("D1mw", 0)
    with open(path) as f:
        for line in f:
            m = re.match(r"(c?)fn=(\(\d+\))(?: (.*))?$", line)
            if m:
                names[m.group(2)] = m.group(3) or names[m.group(2)]
                callee = names[m.group(2)] if m.group(1) else callee
            elif line.startswith("events:"):
                events = line.split()[1:]
            elif line.startswith("totals:"):
                total = misses(line.split()[1:])
            elif line.startswith("calls="):
                called = True
            elif line[0] in "+-*0123456789":
                if called and callee.startswith(("worker_tick_cb", "worker_look_cb")):
                    tick += misses(line.split()[1:])
                called = False
    return total - tick


class Counted(gate.Gate):
    """smbgate under callgrind, which slows it down by some fifty times, and makes its own code."""

    def counts(self, build, mode, n, clients=1, options=(), count=counted):
        out = self.dir + "/callgrind"
        self.argv_prefix = ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + out,
                            *options]
        self.start()
        r = subprocess.run([build + "/bench/load", "-c", str(clients), "-n", str(n),
                            "127.0.0.1:%d" % self.port, mode],
                           capture_output=True, text=True, timeout=100)
        if r.returncode:
            raise RuntimeError("load: " + r.stdout + r.stderr)
        self.stop(60)
        return count(out)


with tap.Test(deadline=400) as t:
    build = node.tempdir(t)
    with open(build + "/log", "w") as log:
        for argv in (["sh", ROOT + "/configure", "CC=gcc", "CFLAGS=-O2 -g"],
                     ["make", "-j2", "daemon/smbgate", "ctl/smbgatectl", "bench/load",
                      "bench/null"]):
            r = subprocess.run(argv, cwd=build, stdout=log, stderr=log)
            if r.returncode:
                with open(build + "/log") as f:
                    t.bail("%s: %s" % (" ".join(argv), f.read()[-2000:]))
    os.environ["SMBGATE_BUILD"] = build

    class Null:
        name, endpoint = "n1", "127.0.0.1:%d" % node.free_port("127.0.0.1")
    t.spawn([build + "/bench/null", Null.endpoint], stdin=subprocess.DEVNULL)

    def started():
        # Probes come by time, not by operation: a slow machine would have more of them.
        return Counted(t, [Null], workers=1, conf="confine = false\n",
                       health=dict(gate.PATIENT, interval="1h"),
                       limits={"accept_rate": 100000, "accept_burst": 100000,
                               "unauthenticated": 10000, "unauthenticated_per_source": 10000})
    for mode, few, many in (("echo", 500, 2500), ("read", 500, 2500), ("conn", 50, 250)):
        # The difference of two runs: what starting and stopping takes is in both.
        a, b = (started().counts(build, mode, n) for n in (few, many))
        each = (b - a) / (many - few)
        t.ok(abs(each - WANT[mode]) <= TOLERANCE[mode] * WANT[mode],
             "%s: %d instructions each, within %d %% of %d" % (mode, each, 100 * TOLERANCE[mode],
                                                               WANT[mode]))
    cache = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64")
    few, many = 10 * CROWD, 30 * CROWD
    a, b = (started().counts(build, "echo", n, CROWD, cache, missed) for n in (few, many))
    each = (b - a) / (many - few)
    t.ok(each <= MISSES, "an ECHO of one of %d misses a cache %.1f times, not more than %.1f" % (
        CROWD, each, MISSES))
