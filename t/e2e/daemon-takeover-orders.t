#!/usr/bin/python3
# daemon-takeover-orders.t: what is asked of smbgate during an upgrade, and what reaches who stays
"""Clients of SMB1, and those that have not logged on, stay in the process before; an operator's
orders reach them.  Several upgrades in a row, and orders, reloads and failures amid one."""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import gate
import node
import smb1
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

CLIENT, OTHER = "127.0.0.51", "127.0.0.52"


class Old:
    """A client of SMB1: it stays."""

    def __init__(self, g, src=CLIENT):
        self.c = smb1.Client("127.0.0.1", g.port, src=src).login().open("f-" + os.urandom(4).hex())

    def works(self):
        return self.c.alive()


class New:
    """A client with a file open, with or without its logon yet."""

    def __init__(self, g, guid=None, logon=True):
        self.c = smb2.Conn("127.0.0.1", g.port, timeout=30)
        self.c.negotiate([0x0302], guid=guid or os.urandom(16))
        self.node = self.c.server_guid.rstrip(b"\0").decode()
        if logon:
            self.login()

    def login(self):
        self.s = self.c.login(sign=True)
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "t-" + os.urandom(4).hex(), disp=5)
        return self

    def works(self):
        try:
            self.c.write(self.s, self.tid, self.fid, 0, b"works")
            return self.c.read(self.s, self.tid, self.fid, 0, 5) == b"works"
        except (smb2.Closed, OSError):
            return False


def before(g):
    """What the process before has: (connections, why); None: it has ended."""
    b = g.show("map")["state"]["before"]
    return b and (b["connections"], b["why"])


def stays(t, g, n=1):
    """An upgrade, and n connections stay; the old process."""
    old = g.takeover(gone=0)
    t.comes(lambda: (before(g) or (0, ""))[0], n, "%d connections stay behind" % n)
    return old


def ends(t, old, what):
    try:
        old.wait(40)
    except subprocess.TimeoutExpired:
        pass
    t.same(old.poll(), 0, what)


def said(g, text):
    return g.log().count(text)


def killed(t, g):
    c, new = Old(g), New(g)
    old = stays(t, g)
    g.reload(pin_linger="7s")
    t.comes(lambda: said(g, "policy reloaded: generation 2"), 2, "a reload reaches both processes")
    g.ctl("log-level", "debug")
    t.comes(lambda: said(g, "log-level is debug"), 2, "and so does log-level")
    g.ctl("log-level", "info")
    r = g.ctl("kill", OTHER)
    t.ok(r["killed"] == [] and r["before"]["pid"] == old.pid and c.works(),
         "kill: somebody else: nobody is ended, and whom that was told to is said", r)
    r = g.ctl_run("kill", CLIENT, "--force")
    t.ok(r.returncode == 0 and "Process %d, which has 1" % old.pid in r.stdout,
         "kill: a client that stayed: it is said who has it", r.stdout, r.stderr)
    t.ok(c.c.gone(), "and it is ended", g.log()[-3000:])
    ends(t, old, "and the old process ends, as nobody is left there")
    r = g.ctl_run("kill", OTHER)
    t.ok(r.returncode == 1 and "no client" in r.stderr, "from then on nobody is nobody", r.stderr)
    t.ok(new.works(), "whoever was taken over goes on")
    new.c.close()


def refused(t, g):
    """An order that is refused here is none there."""
    clients = New(g), New(g), New(g, logon=False)
    old = stays(t, g)
    r = g.ctl_run("kill", "127.0.0.1")
    t.ok(r.returncode == 1 and "are 2 clients" in r.stderr, "kill: several, without --force",
         r.stdout, r.stderr)
    gone = tap.wait_for(lambda: not clients[2].c.is_open(), 2)
    t.ok(not gone and clients[2].login().works(), "it is refused: who had stayed goes on")
    for x in clients:
        x.c.close()
    ends(t, old, "and the old process ends when nobody is left")


def drained(t, g):
    c = Old(g)
    n = next(k for k, v in g.node_list().items() if v["connections"])
    old = stays(t, g)
    t.same(g.node_list()[n]["connections"], 0, "its node has no connection here")
    g.ask({"cmd": "drain", "node": n, "deadline_ms": 10000, "force": True})
    t.same(g.ask({"cmd": "progress", "node": n})["before"], 1,
           "drain: a connection from before is still on the node")
    r = g.ctl_run("drain", n, "--deadline", "10s", "--force", "--wait")
    t.ok(r.returncode == 0 and "is empty" in r.stdout and c.c.gone(),
         "drain --wait: at the deadline it is cut, and then the node is empty", r.stdout, r.stderr)
    ends(t, old, "and the old process ends")
    g.ctl("undrain", n)


def moved(t, g):
    """A client that has connections in both processes."""
    guid = os.urandom(16)
    a, b = New(g, guid), New(g, guid, logon=False)
    old = stays(t, g)
    to = next(k for k in g.node_list() if k != a.node)
    r = g.ctl("move", g.clients()[0]["client"], to, "--force")
    t.ok([x["moved"] for x in r["moves"]] == [True] and not a.c.is_open() and not b.c.is_open(),
         "move: its connections have ended in both", r)
    ends(t, old, "and the old process with them")
    c = New(g, guid)
    t.same(c.node, to, "it comes back to the other node")
    c.c.close()


def many(t, g):
    """The same of many at once."""
    guids = [os.urandom(16) for _ in range(60)]
    clients = [(New(g, x), New(g, x, logon=False)) for x in guids]
    old = stays(t, g, len(guids))
    to = clients[0][1].node
    r = json.loads(g.ctl_run("--json", "move", "127.0.0.1", to, "--force").stdout)
    there = sum(a.node == to for a, _ in clients)
    t.same(sorted(x["how"] for x in r["moves"]),
           ["it is on node \"%s\" already" % to] * there + ["moved"] * (len(guids) - there),
           "many are moved at once: the process before ends them all")
    for x in sum(clients, ()):
        x.c.close()
    ends(t, old, "and ends itself when nobody is left")


def frozen(t, g):
    """The process before stands still: nobody waits for it."""
    c = Old(g)
    old = stays(t, g)
    old.send_signal(signal.SIGSTOP)
    longest = 0
    for _ in range(600):
        began = time.monotonic()
        g.ask({"cmd": "log-level", "level": "info"})
        longest = max(longest, time.monotonic() - began)
        if longest > 10:
            break
    t.ok(longest < 5, "many orders that it does not read keep nobody waiting", longest)
    t.same(g.ask({"cmd": "kill", "who": OTHER})["before"]["told"], False,
           "and who orders something is told so")
    old.send_signal(signal.SIGCONT)
    c.c.close()
    ends(t, old, "it goes on, and ends")


def chained(t, g):
    """Two upgrades while somebody has not logged on: who has, goes through both."""
    h, c = New(g, logon=False), Old(g)
    guid = os.urandom(16)
    a, b = New(g, guid), New(g, guid, logon=False)
    first = stays(t, g, 3)
    second = stays(t, g, 3)
    third = stays(t, g, 3)
    t.ok(all(x.poll() is None for x in (first, second, third)),
         "three upgrades: whoever has something, or leads there, stays")
    h.login()
    t.comes(lambda: before(g)[0], 2, "a client that logs on comes all the way")
    a.c.close()
    t.comes(lambda: g.live_connections(), 1, "one of two connections of a client goes")
    d = New(g, guid)
    t.same(d.node, b.node, "it comes back to where its other one is, two upgrades ago")
    g.ctl("kill", CLIENT, "--force")
    t.ok(c.c.gone(), "an order reaches the first process")
    b.login()
    for x, name in ((first, "first"), (second, "second"), (third, "third")):
        ends(t, x, "the %s process ends when nobody is left" % name)
    t.same([x.works() for x in (h, b, d)], [True] * 3, "nobody was cut on the way")
    for x in (h, b, d):
        x.c.close()


def stopped(t, g):
    """SIGTERM ends what smbgate has, wherever that is; so does stop."""
    for drain in (False, True):
        c, new = Old(g), New(g)
        old, now = stays(t, g), g.proc
        if drain:
            new.c.close()
            r = g.ctl_run("stop", "--drain", "3s", "--wait")
            t.ok(r.returncode == 0 and "smbgate has stopped" in r.stdout, "stop --drain --wait",
                 r.stdout, r.stderr)
            g.proc = None
            ends(t, now, "the process that serves ends")
        else:
            t.same(g.stop(), 0, "SIGTERM")
        ends(t, old, "and the one before it")
        t.ok(c.c.gone() and not os.path.exists(g.control), "nobody is left, nor a control socket")
        g.start()


def stuck(t, g):
    """stop --drain, and the process before stands still: what has a deadline ends."""
    c = Old(g)
    old, now = stays(t, g), g.proc
    old.send_signal(signal.SIGSTOP)
    try:
        r = g.ctl_run("stop", "--drain", "2s", "--wait")
    except subprocess.TimeoutExpired as e:
        r = e
        now.terminate()
    t.ok(getattr(r, "returncode", None) == 0, "stop --drain: the process before stands still", r)
    g.proc = None
    ends(t, now, "the process that serves ends")
    old.send_signal(signal.SIGCONT)
    ends(t, old, "and so does the other one, once it goes on")
    t.ok(c.c.gone(), "with its client")
    g.start()


class Paused:
    """A successor that has read its files, and stands still."""

    def __init__(self, g):
        self.p = g.successor()
        tap.wait_for(lambda: "process %d, smbgate" % self.p.pid in g.log(), 40, 0.001)
        self.p.send_signal(signal.SIGSTOP)
        self.amid = "process %d serves" % self.p.pid not in g.log()

    def go_on(self):
        self.p.send_signal(signal.SIGCONT)
        return self.p


def amid(t, g):
    """Orders while the other process begins."""
    new = New(g)
    x = Paused(g)
    if t.ok(x.amid, "a successor stands still before it serves"):
        g.reload(pin_linger="8s")
        t.ok("another takeover is under way" in second_one(g), "one takeover at a time")
    old, g.proc = g.proc, x.go_on()
    ends(t, old, "then it serves")
    t.ok("8s" in g.policy()["text"] and new.works(),
         "with the policy that was reloaded meanwhile", g.policy()["text"][-500:])
    x = Paused(g)
    old, g.proc = g.proc, None
    g.ctl("stop")
    ends(t, old, "stopped amid a takeover: smbgate ends")
    x.go_on()
    x.p.wait(40)
    t.ok(x.p.returncode == 1 and not new.works() and not os.path.exists(g.control) and
         not os.path.exists(g.control + ".takeover"), "and so does who was to go on",
         x.p.returncode, g.log()[-2000:])
    g.start()


def second_one(g):
    p = g.successor()
    p.wait(40)
    return g.log()


def no_room(t, g):
    """A successor with too few descriptors for all: nothing is given."""
    clients = [New(g) for _ in range(20)]
    g.argv_prefix = ["prlimit", "--nofile=128:128"]
    p = g.successor()
    g.argv_prefix = []
    p.wait(40)
    t.ok(p.returncode == 1 and "has 20 connections, and there are descriptors for" in g.log(),
         "too few descriptors: the other one is not asked for more", g.log()[-1500:])
    t.same([x.works() for x in clients], [True] * 20, "and serves on")
    for x in clients:
        x.c.close()


def stranger(t, g):
    """Somebody else listens where smbgate did."""
    top = node.tempdir(t)
    os.chmod(top, 0o777)
    path = top + "/control.sock.takeover"
    code = "import os, socket\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX, " \
        "socket.SOCK_SEQPACKET)\ns.bind(%r)\ns.listen()\nprint('up', flush=True)\n" \
        "c, _ = s.accept()\nprint(len(c.recv(1000)), flush=True)\n" % path
    p = t.spawn([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    with open(g.conf_file) as f:
        conf = f.read().replace('"control.sock"', '"%s/control.sock"' % top)
    with open(top + "/smbgate.conf", "w") as f:
        f.write(conf.replace('"policy.conf"', '"%s"' % g.policy_file))
    r = subprocess.run([gate.program(), "--takeover", "-c", top + "/smbgate.conf"], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    t.ok(r.returncode == 1 and "neither root nor who smbgate runs as listens there" in r.stdout,
         "a stranger listens there: smbgate says nothing to them", r.stdout)
    t.same(p.stdout.readline().strip(), "0", "not one byte")


def asked(t, g):
    """Whoever asks in the moment of an upgrade has an answer, or is told to ask again."""
    over, answers, broken = threading.Event(), [], []

    def look(ask):
        while not over.is_set():
            try:
                answers.append(ask())
            except (OSError, ValueError) as e:
                broken.append(repr(e))

    def page():
        with urllib.request.urlopen("http://127.0.0.1:%d/status.json" % g.http, timeout=20) as f:
            return json.load(f)
    asks = [lambda r=r: g.ask(r) for r in ({"cmd": "ready"}, {"cmd": "show", "what": "clients"},
                                           {"cmd": "show", "what": "nodes"})]
    threads = [threading.Thread(target=look, args=(x,)) for x in asks + [page]]
    program = subprocess.Popen(["sh", "-c", 'while "$1" -s "$2" show clients; do :; done', "sh",
                                gate.ctl_program(), g.control], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    for x in threads:
        x.start()
    for _ in range(15):
        g.takeover()
    over.set()
    for x in threads:
        x.join(60)
    t.same(broken, [], "15 upgrades: %d answers, each of them whole" % len(answers))
    t.same([x for x in answers if "error" in x and not x.get("again")], [],
           "%d were told to ask again" % sum("again" in x for x in answers))
    t.same(program.poll(), None, "smbgatectl does that by itself")
    program.kill()
    t.same(program.communicate(timeout=20)[1], "", "without a word")


def main(t):
    nodes = node.cluster(t, 2)
    http = node.free_port("127.0.0.1")
    g = gate.Gate(t, nodes, smb1="allow", no_guid="address", health=gate.PATIENT,
                  limits={"logon": "5m"}, conf='http = "127.0.0.1:%d"\n' % http)
    g.http = http
    g.start()
    for part in (asked, killed, refused, drained, moved, many, frozen, chained, stopped, stuck,
                 amid, no_room, stranger):
        part(t, g)
        t.ok(tap.wait_for(lambda: g.stats()["connections"] == 0 and before(g) is None, 40),
             "%s: nobody is left" % part.__name__, g.stats()["connections"], before(g))
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=300) as test:
    main(test)
