#!/usr/bin/python3
# speed-bench.t: bench/run tells a difference from noise, and its tables come from its JSON
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import gate
import node
import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "bench")
PROXIES = ("least-relay", "smbgate", "smbgate-again")
sys.dont_write_bytecode = True
sys.path.insert(0, BENCH)

import figures  # noqa: E402

why = gate.missing() or (None if os.geteuid() == 0 else "network namespaces need root") or \
    (None if shutil.which("make") else "no make here")
if why:
    tap.skip_all(why)


def lines(costs, name="ops-echo", unit="us/op", **more):
    """Measurements as JSON: {proxy: its costs, round by round}; None: it has failed."""
    return [json.dumps(dict({"workload": name, "proxy": p, "round": n, "unit": unit},
                            **({"failed": True} if v is None else dict(more, cost=v))))
            for p, values in costs.items() for n, v in enumerate(values)]


def row(costs):
    return figures.read(lines(costs))[0]["ops-echo"]


def noisy(rng, cost, machine):
    """In each round the machine is slower for all; each measurement has noise of its own."""
    return [cost * m * (1 + abs(rng.gauss(0, 0.03))) for m in machine]


def shares(t, rows=500):
    """Of many made-up rows: what is told from what."""
    rng, wrong, found, same = random.Random(7), 0, 0, 0
    for _ in range(rows):
        machine = [rng.choice((1, 1, 1.3, 2)) for _ in range(9)]
        r = row({p: noisy(rng, c, machine) for p, c in (
            ("least-relay", 10), ("nginx", 12), ("smbgate", 12), ("smbgate-again", 12))})
        wrong += r.ratio("smbgate", "nginx").differs(r.same())
        found += r.ratio("smbgate", "least-relay").differs(r.same())
        same += r.same().differs(r.same())
    t.ok(found == rows, "20 %% more is a difference, in all of %d rows with noise" % rows, found)
    t.ok(wrong <= rows * 0.05, "no more is one in at most 5 % of them", wrong)
    t.same(same, 0, "two of the same never differ from what two of the same show")


def known(t):
    """Ratios and intervals whose answers can be seen."""
    t.same([figures.left_out(n) for n in (1, 3, 5, 6, 8, 9, 11, 12, 20)],
           [0, 0, 0, 0, 0, 1, 1, 2, 5], "the interval of a median is the one of the sign test")
    machine = [1, 2, 1, 3, 1, 1, 5, 1, 1]
    more = [1.20, 1.10, 1.30, 1.25, 1.15, 1.22, 9.00, 1.18, 0.50]
    r = row({"least-relay": machine, "smbgate": [m * q for m, q in zip(machine, more)],
             "smbgate-again": [m * q * s for m, q, s in zip(machine, more, [
                 1, 1.01, 0.99, 1.02, 0.98, 1, 1, 1.01, 0.99])],
             "haproxy": [None] + [2 * m for m in machine[1:]], "nginx": [9] * 9})
    got = r.ratio("smbgate", "least-relay")
    t.same((round(got.median, 2), round(got.low, 2), round(got.high, 2), got.rounds),
           (1.20, 1.10, 1.30, 9), "the median of nine in-round ratios, and the second from each end")
    t.same(str(r.same()), "1.00 (0.99-1.01)", "A/A: the same twice")
    t.same(got.differs(r.same()), True, "beyond what A/A shows: a difference")
    near = row({"least-relay": [1] * 9, "smbgate": [1.02, 0.99, 1.01] * 3,
                "smbgate-again": [0.98, 1.03, 1] * 3})
    t.same(near.ratio("smbgate", "least-relay").differs(near.same()), False,
           "within what A/A shows: none")
    t.same(got.differs(None), None, "without A/A: nothing is said")
    t.same(r.ratio("smbgate", "haproxy").rounds, 8, "a round that failed for one is left out")
    t.same(r.best_peer(), "haproxy", "the best peer is the one whose median is the least")
    s = {x["proxy"]: x for x in r.summaries()}
    t.same((sorted(s), s["smbgate"]["least"], s["smbgate"]["to"]["least-relay"]),
           (["haproxy", "least-relay", "nginx", "smbgate", "smbgate-again"], 0.5,
            {"ratio": 1.2, "low": 1.1, "high": 1.3, "rounds": 9, "differs": True}),
           "each has a summary")


ABOUT = {"run": {"date": "2026-01-02", "linux": "6.1", "cpus": 2, "model": "some CPU",
                 "programs": ["haproxy 2.6"], "rounds": 3}}
WANT = """
| workload | unit | least-relay | haproxy | haproxy-splice | nginx | smbgate | to the best peer | \
to least-relay | A/A |
|---|---|---|---|---|---|---|---|---|---|
| conn | us/conn | 50.00 | 60.00 | - | - | 61.00 | haproxy 1.02 (1.02-1.02) = | 1.22 (1.22-1.22) \
| 1.03 (1.03-1.03) |
| conn, smbgate-nokeys | us/conn | 50.00 | 60.00 | - | - | 50.00 | haproxy 0.83 (0.83-0.83) \
| 1.00 (1.00-1.00) = | - |
| idle | bytes/conn | - | 3000 | - | - | 900 | haproxy 0.30 (0.30-0.30) | - | - |
| lat-echo | us/op | - | - | - | - | 18.00 | - | - | - |

| median / p99 of an answer, µs | direct | smbgate |
|---|---|---|
| lat-echo | 9.0 / 20 | 9.0 / 20 |

| CPU ms a second at rest | haproxy | smbgate |
|---|---|---|
| idle | 0.25 | 0.25 |
"""


def written(t, tmp):
    """The tables of a run, and a page with them."""
    conn = {"least-relay": [50] * 3, "haproxy": [60] * 3, "smbgate": [61] * 3,
            "smbgate-again": [62.83] * 3, "smbgate-nokeys": [50] * 3}
    made = lines({"smbgate": [999] * 3}, "conn", "us/conn") + [json.dumps(ABOUT)] + \
        lines(conn, "conn", "us/conn") + \
        lines({"haproxy": [3000] * 3, "smbgate": [900] * 3}, "idle", "bytes/conn",
              idle_cpu_ms_per_s=0.25) + \
        lines({"direct": [0] * 3, "smbgate": [18] * 3}, "lat-echo", p50_us=9, p99_us=20) + \
        [json.dumps({"summary": "conn", "proxy": "smbgate"})]
    text = figures.tables(*figures.read(made))
    t.same(text[text.index("\n\n") + 1:], WANT, "the tables of a run, the later one of two")
    t.ok(text.startswith("2026-01-02, Linux 6.1, 2 CPUs (some CPU), haproxy 2.6; 3 rounds."),
         "their first line says when and where", text)
    page, half = tmp + "/page.md", tmp + "/half.md"
    for path, old in ((page, "a\n\n%s\nold\n%s\n\nb\n"), (half, "a\n%s\nb\n")):
        with open(path, "w") as f:
            f.write(old % ((figures.BEGIN, figures.END) if path == page else figures.BEGIN))
    for _ in range(2):
        figures.write(page, text)
    with open(page) as f:
        t.same(f.read(), "a\n\n%s\n\n%s\n%s\n\nb\n" % (figures.BEGIN, text, figures.END),
               "they are written between two lines of a page, again and again")
    try:
        figures.write(half, text)
        t.ok(False, "a page without both lines is an error")
    except ValueError:
        t.ok(True, "a page without both lines is an error")


def run(*argv):
    """Asked to end, it takes all with it that it has started."""
    p = subprocess.Popen([BENCH + "/run", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    try:
        out, err = p.communicate(timeout=150)
    finally:
        p.terminate()
    return subprocess.CompletedProcess(argv, p.returncode, out, err)


def real(t, tmp):
    """A short run, and its tables."""
    out = tmp + "/run.json"
    r = run("--build", gate.build_dir(), "--quick", "--seconds", "0.1", "--only", "ops-echo,conn",
            "--proxies", ",".join(PROXIES), "--json", out)
    t.ok(r.returncode == 0, "bench/run runs", r.stdout, r.stderr)
    with open(out) as f:
        said = [json.loads(line) for line in f]
    t.same([m["proxy"] for m in said if m.get("workload") == "conn"],
           [PROXIES[(i + n) % 3] for n in range(3) for i in range(3)],
           "each round begins with another proxy")
    t.ok(all(m["cost"] > 0 and m["errors"] == 0 for m in said if "workload" in m),
         "each measurement has a cost and no error", said)
    t.same(sorted((m["summary"], m["proxy"]) for m in said if "summary" in m),
           [(w, p) for w in ("conn", "ops-echo") for p in PROXIES],
           "there is a summary of each workload and proxy")
    table = run("--table", out).stdout
    t.ok(r.stdout.endswith("\n\n" + table) and
         all("\n| %s |" % w in table for w in ("conn", "ops-echo")),
         "the tables that it has printed come from its JSON, too", table, r.stdout)
    page = shutil.copy(figures.PAGE, tmp)
    r = run("--table", out, "--write", page)
    with open(page) as f:
        t.ok(r.returncode == 0 and table in f.read(), "doc/PERFORMANCE.md has a place for them",
             r.stderr)


def paced(t):
    """At a fixed rate, an answer is as late as it is after its request was due."""
    null = "127.0.0.1:%d" % node.free_port("127.0.0.1")
    p = t.spawn([gate.build_dir() + "/bench/null", null], stdin=subprocess.DEVNULL)
    host, port = null.split(":")
    tap.wait_for(lambda: subprocess.run(
        [gate.build_dir() + "/bench/load", "-n", "1", null, "echo"],
        capture_output=True).returncode == 0, 10, message="null does not answer")
    load = subprocess.Popen([gate.build_dir() + "/bench/load", "-c", "10", "-r", "500", "-t", "1",
                             null, "echo"], stdout=subprocess.PIPE, text=True)
    while load.stdout.readline() != "begin\n":
        pass
    time.sleep(0.2)
    os.kill(p.pid, signal.SIGSTOP)
    time.sleep(0.4)
    os.kill(p.pid, signal.SIGCONT)
    got = json.loads(load.stdout.read().replace("end\n", ""))
    t.same((load.wait(), got["ops"], got["errors"]), (0, 500, 0),
           "500 a second are 500, also with a server that stands still for 0.4 s")
    # 200 of them were due while it did: a tenth of all waited for 0.3 s and more.
    t.ok(got["p99_us"] > 300000 and got["mean_us"] > 40000,
         "those that were due then have waited since then", got)


with tap.Test(deadline=200) as t:
    tmp = node.tempdir(t)
    known(t)
    shares(t)
    written(t, tmp)
    real(t, tmp)
    paced(t)
