#!/usr/bin/python3
# see-show.t: show clients, sessions and connections by filters, of thousands; watch on a terminal
"""Ten real clients beside SMBGATE_MANY fake ones that live, and as many that linger (CI: 500 of
each).  Every filter gives just its rows, of all three tables.  With more of them the time of an
ECHO beside a show is measured, too."""
import fcntl
import json
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import fake
import gate
import keyed
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

MANY = int(os.environ.get("SMBGATE_MANY", "500"))
REAL = 10


def source(i, lingers):
    return "127.%d.%d.%d" % (2 if lingers else 1, i // 250, i % 250 + 1)


def fakes(port, n, lingers, out):
    """One more client of each number; several threads do this at once."""
    def some(numbers):
        for i in numbers:
            c = smb2.Conn("127.0.0.1", port, src=source(i, lingers), timeout=60)
            c.negotiate([0x0302], guid=os.urandom(16))
            c.guest()
            if lingers:
                c.reset()
            else:
                out.append(c)
    threads = [threading.Thread(target=some, args=(range(k, n, 4),)) for k in range(4)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()


def reals(port):
    """Five of alice's, five of bob's; the first has moved most, then the second, and so on."""
    out = []
    for i in range(REAL):
        c = smb2.Conn("127.0.0.1", port, src="127.3.0.%d" % (i + 1), timeout=60)
        c.negotiate([0x0302], guid=os.urandom(16))
        s = c.login() if i % 2 == 0 else c.login("bob", "Bob-pw-2")
        tid = c.tree(s, "data")
        fid = c.create(s, tid, "show%d" % i)
        for _ in range(2 * (REAL - i)):
            c.write(s, tid, fid, 0, b"x" * 30000)
        out.append(c)
    return out


def request(args):
    """What smbgatectl makes of these options."""
    out, words = {}, iter(args)
    for w in words:
        out[w[2:]] = True if w in ("--live", "--lingering") else next(words)
    return out


class Shown:
    def __init__(self, t, g):
        self.t, self.g, self.slowest = t, g, 0

    def __call__(self, what, *args):
        before = time.monotonic()
        a = self.g.ask(dict({"cmd": "show", "what": what}, **request(args)))
        self.slowest = max(self.slowest, time.monotonic() - before)
        return a

    def rows(self, what, want, *args):
        """As many rows as that, all of them of these addresses: a set, or how they begin."""
        key = "client_address" if what == "connections" else "address"
        a = self(what, *args)
        got = sorted((r[key] or "").rsplit(":", 1)[0] for r in a[what])
        n, begin = want
        self.t.ok(len(got) == n == a["matched"] and all(x.startswith(begin) for x in got),
                  "show %s %s: %d" % (what, " ".join(args), n), len(got), got[:5], a["matched"])


def filters(t, g):
    show = Shown(t, g)
    real, live, gone = "127.3.0.", "127.1.", "127.2."
    every = (real, live, gone)
    r = show.rows
    r("clients", (REAL + 2 * MANY, every))
    r("clients", (REAL + MANY, (real, live)), "--live")
    r("clients", (MANY, gone), "--lingering")
    one = source(MANY - 1, True)
    r("clients", (1, one), "--client", one)
    r("clients", (0, one), "--client", one, "--live")
    subnet = min(MANY, 250)
    r("clients", (subnet, "127.2.0."), "--client", "127.2.0.0/24")
    r("clients", (MANY, live), "--listener", "old")
    guid = show("clients", "--client", source(0, False))["clients"][0]["client"]
    r("clients", (1, source(0, False)), "--client", guid)
    for what in "clients", "sessions", "connections":
        r(what, (REAL, real), "--node", "n1")
        r(what, (MANY, live), "--node", "f1", "--live", "--protection", "unsigned")
        r(what, (1, source(7, False)), "--client", source(7, False))
        r(what, (subnet, "127.1.0."), "--client", "127.1.0.0/24")
        r(what, (REAL // 2, real), "--user", "alice")
        r(what, (REAL // 2, real), "--user", "BOB", "--node", "n1")
        r(what, (0, real), "--user", "bob", "--node", "f1")
        r(what, (REAL, real), "--listener", "lan", "--live")
        r(what, (REAL, real), "--protection", "keyed")
    for what in "clients", "connections":
        a = show(what, "--sort", "bytes", "--limit", "3")
        key = "address" if what == "clients" else "client_address"
        t.same(([x[key].rsplit(":", 1)[0] for x in a[what]], a["matched"] >= REAL + MANY),
               (["127.3.0.%d" % i for i in (1, 2, 3)], True), "%s: the three that move most" % what)
    print("# the slowest answer took %.3f s" % show.slowest)
    t.ok(show.slowest < 20, "all of them came")
    for c in show("connections", "--node", "n1")["connections"]:
        user = c["user"].split("\\")[-1].split("@")[0]
        if c["open_files"] != 1 or c["outstanding"] or c["bytes_to_node"] < 60000 \
                or c["protection"] != "keyed" or user not in ("alice", "bob"):
            t.ok(False, "keys of a connection", c)
            return
    t.ok(True, "keys of a connection")


def tables(t, g):
    text = g.ctl_run("show", "clients").stdout.splitlines()
    column = text[0].index("ADDRESS")
    shown = [x[column:].split()[0].rsplit(":", 1)[0] for x in text[1:-1]]
    want = sorted([source(i, False) for i in range(MANY)] + ["127.3.0.%d" % (i + 1)
                  for i in range(REAL)], key=lambda a: [int(x) for x in a.split(".")])
    t.ok(shown == want, "the table has what lives, by address", shown[:5], want[:5])
    t.same(text[-1], "%d lingering not shown" % MANY, "and says what it leaves out")
    text = g.ctl_run("show", "clients", "--all").stdout
    t.ok(text.count("ends in ") == MANY and "not shown" not in text, "--all: they are there")
    text = g.ctl_run("show", "connections", "--columns", "node,open_files,user", "--sort", "bytes",
                     "--limit", "2").stdout.splitlines()
    t.ok(text[0].split() == ["NODE", "OPEN", "FILES", "USER"] and text[1].split()[:2] == ["n1", "1"]
         and text[-1] == "%d more not shown" % (REAL + MANY - 2), "columns, sorted, and cut", text)
    t.ok("CLIENT ADDRESS" in g.ctl_run("show", "connections").stdout, "a table of connections")
    got = g.ctl("show", "clients", "--node", "n1", "--columns", "user,node")["clients"]
    t.ok(len(got) == REAL and all(sorted(x) == ["node", "user"] for x in got),
         "columns of JSON", got)
    for what in "clients", "sessions", "connections":
        r = g.ctl_run("show", what, "--user", "nobody-at-all", "--json")
        t.same((r.returncode, json.loads(r.stdout)[what]), (1, []), "nobody is found: status 1")
    wrong = {
        2: (("clients", "--live", "--lingering"), ("clients", "--columns", "nonsense"),
            ("sessions", "--lingering"), ("nodes", "--user", "x"), ("clients", "--columns", "")),
        1: (("clients", "--sort", "nonsense"), ("clients", "--protection", "x"),
            ("clients", "--client", "nobody"), ("clients", "--limit", "-1"),
            ("connections", "--limit", "0"), ("sessions", "--client", "10.0.0.0/99")),
    }
    got = {code: {g.ctl_run("show", *args).returncode for args in lines}
           for code, lines in wrong.items()}
    t.same(got, {1: {1}, 2: {2}}, "what is wrong is said")


class Screen:
    """smbgatectl watch on a terminal of its own."""

    def __init__(self, g, *args, rows=24, columns=100):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave, self.text = slave, ""
        self.proc = subprocess.Popen([gate.ctl_program(), "-s", g.control, "watch", *args],
                                     stdin=slave, stdout=slave, stderr=slave,
                                     start_new_session=True)

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        poll = select.poll()       # select() knows the first 1,024 descriptors
        poll.register(self.master, select.POLLIN)
        while poll.poll(50):
            self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.text

    def wait(self, *words):
        """The last screen has all of these."""
        return tap.wait_for(lambda: all(w in self.read().rsplit("\x1b[H", 1)[-1] for w in words),
                            30)

    def end(self, by):
        if isinstance(by, str):
            os.write(self.master, by.encode())
        else:
            self.proc.send_signal(by)
        tap.wait_for(lambda: self.read() and self.proc.poll() is not None, 30)
        self.read()
        same = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return self.proc.returncode, self.text.endswith("\x1b[?25h\x1b[?1049l"), same


def watch(t, g, talker):
    r = g.ctl_run("watch")
    t.ok(r.returncode == 2 and "terminal" in r.stderr, "watch needs a terminal", r)
    t.same(g.ctl_run("watch", "nonsense").returncode, 2, "and nodes, clients or refusals")
    s = Screen(g)
    t.ok(s.wait("ADDRESS", "IDLE", "127."), "watch: clients", s.text[-300:])
    t.ok("\x1b[?1049h" in s.text, "on the other screen")
    busy = threading.Event()

    def talk():
        while not busy.is_set():
            for _ in range(20):
                talker.echo()
            time.sleep(0.05)
    th = threading.Thread(target=talk)
    th.start()
    where = "%s:%d" % talker.sock.getsockname()

    def first():
        lines = s.read().rsplit("\x1b[H", 1)[-1].replace("\x1b[K", "").split("\n")
        return len(lines) > 3 and lines[3].startswith(where)
    t.ok(tap.wait_for(first, 30), "the top talker is first", s.text[-300:])
    busy.set()
    th.join()
    s.size(6, 30)
    s.proc.send_signal(signal.SIGWINCH)

    def narrow():
        text = s.read().rsplit("\x1b[H", 1)[-1]
        lines = text.replace("\x1b[K", "").replace("\x1b[J", "").replace("\r", "").split("\n")
        return "ADDRESS" in text and len(lines) == 6 and all(len(x) <= 30 for x in lines)
    t.ok(tap.wait_for(narrow, 30), "a small terminal has what fits", s.text[-300:])
    t.same(s.end("q"), (0, True, True), "q ends it, and the terminal is as before")
    s = Screen(g, "nodes")
    t.ok(s.wait("NODE", "f1", "n1", "B/s"), "watch nodes", s.text[-300:])
    t.same(s.end(signal.SIGINT), (0, True, True), "SIGINT ends it as well")
    s = Screen(g, "refusals")
    t.ok(s.wait("CODE", "WHY"), "watch refusals", s.text[-300:])
    t.same(s.end(signal.SIGTERM), (0, True, True), "and SIGTERM")


def beside(t, g, c):
    """What an ECHO takes while everything is shown again and again."""
    def p99(seconds):
        took, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            before = time.monotonic()
            c.echo()
            took.append(time.monotonic() - before)
            time.sleep(0.002)
        return sorted(took)[len(took) * 99 // 100]
    own = p99(5)
    over = threading.Event()

    def again():
        while not over.is_set():
            g.ask({"cmd": "show", "what": "clients", "user": "alice"})
    th = threading.Thread(target=again)
    th.start()
    with_it = p99(5)
    over.set()
    th.join()
    print("# p99 of an ECHO: %.2f ms, and %.2f ms beside show clients" % (own * 1000,
                                                                       with_it * 1000))
    t.ok(with_it < max(2 * own, 0.02), "an ECHO does not wait for a show")


def main(t):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8 * MANY + 1000)), hard))
    lab = node.Lab(t)
    n1 = node.Node(lab, "n1", "127.0.0.11").start()
    f1 = fake.FakeNode(t).start()
    old = node.free_port("0.0.0.0")
    g = gate.Gate(t, [(n1, {"cluster": "real"}), (f1, {"cluster": "fakes"})],
                  keytab=keyed.light_keytab(t), health=gate.PATIENT)
    with open(g.conf_file) as f:
        text = f.read().replace(':%d" }' % g.port, ':%d" cluster = real }' % g.port)
    with open(g.conf_file, "w") as f:
        f.write(text + 'listen "old" { address = "0.0.0.0:%d" cluster = fakes }\n' % old)
    g.start()
    real, live, before = reals(g.port), [], time.monotonic()
    fakes(old, MANY, False, live)
    fakes(old, MANY, True, None)
    print("# %d clients came in %.1f s" % (2 * MANY, time.monotonic() - before))
    t.ok(tap.wait_for(lambda: len(g.ctl("show", "clients", "--lingering")["clients"]) == MANY, 60),
         "all who have gone linger")
    filters(t, g)
    tables(t, g)
    watch(t, g, real[4])
    if MANY >= 10000:
        beside(t, g, real[0])
    for c in real + live:
        c.close()


with tap.Test(120 + MANY // 20) as t:
    main(t)
