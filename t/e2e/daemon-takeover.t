#!/usr/bin/python3
# daemon-takeover.t: smbgate --takeover: not one connection is refused, cut, or told otherwise
"""SMBGATE_UPGRADES: how many upgrades in a row (3); SMBGATE_IDLE: clients that only wait (60);
SMBGATE_SEED repeats its choices."""
import os
import random
import re
import struct
import subprocess
import threading
import time

import clients
import fake
import front
import gate
import keyed
import node
import several
import smb2
import tap
from successor import ABORT, END, REFUSE, Peer, tlv

why = node.missing() or gate.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

UPGRADES = int(os.environ.get("SMBGATE_UPGRADES", "3"))
SEED = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)
RNG = random.Random(SEED)
IDLE = int(os.environ.get("SMBGATE_IDLE", "60"))
OURS = ["10.9.9.1", "10.9.9.2"]
ANNOUNCE = {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in OURS]}
PASSWORD = node.USERS["alice"][0]
CLIENT = "192.0.2.5"        # behind a balancer
PORTS = {}                  # of the other listeners


class Session:
    """A client with a file open; what it does is right, or it is an error."""

    def __init__(self, port, label, dialect=0x0311, seal=False, keyed_=True, bind=None, guid=None,
                 user="alice", first=b"", granted=b"", **offer):
        """first: sent before SMB, and what comes back for it."""
        self.label, self.keyed = label, keyed_
        self.guid = guid or os.urandom(16)
        self.c = smb2.Conn("127.0.0.1", port, timeout=30)
        self.c.send_raw(first)
        if self.c._exactly(len(granted)) != granted:
            raise smb2.Broken("%s is not let in" % label)
        self.c.negotiate([dialect], guid=self.guid, **offer)
        if bind:
            self.s, self.tid = bind.s, bind.tid
            self.c.login(user, node.USERS[user][0], bind=bind.s, strict=keyed_)
        else:
            self.s = self.c.login(user, node.USERS[user][0], seal=seal, sign=keyed_ and not seal,
                                  strict=keyed_)
            self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "t-%s" % os.urandom(4).hex(), disp=5)

    def works(self):
        data = os.urandom(3000)
        self.c.write(self.s, self.tid, self.fid, 0, data)
        return self.c.read(self.s, self.tid, self.fid, 0, len(data)) == data

    def told(self):
        return sorted(str(i.ip) for i in self.c.ifinfo(self.s, self.tid))


def successor(t, g, *more):
    """Starts one; its process."""
    with open(g.dir + "/stderr", "ab") as err:
        return t.spawn([gate.program(), "--takeover", "-c", g.conf_file, *more],
                       stdin=subprocess.DEVNULL, stdout=err, stderr=err)


def said(g):
    """What the log says of takeovers, and of the end of processes."""
    return "\n".join(x for x in g.log().splitlines()
                     if " logon of " not in x)[-4000:]


def serves(g, p):
    """Process p answers at the control socket, and says so in the log."""
    if p.poll() is not None:
        raise RuntimeError("the successor ended with %d: %s" % (p.returncode, said(g)))
    return "process %d serves" % p.pid in g.log()


def upgrade(t, g, gone=True):
    """The gate is another process now; what it was, has ended."""
    old, g.proc = g.proc, successor(t, g)
    tap.wait_for(lambda: serves(g, g.proc), 40, message=lambda: "no takeover: " + said(g))
    if gone:
        try:
            old.wait(60)
        except subprocess.TimeoutExpired:
            raise RuntimeError("the old one does not end: " + said(g))
    return old


class Strangers:
    """They come all the time, each logs on, looks, and goes."""

    def __init__(self, port, n=2):
        self.over, self.good, self.bad = threading.Event(), 0, []
        self.port = port
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for x in self.threads:
            x.start()

    def run(self):
        while not self.over.is_set():
            try:
                c = smb2.Conn("127.0.0.1", self.port, timeout=30)
                c.negotiate([0x0311], guid=os.urandom(16))
                c.tree(c.login("alice", PASSWORD, sign=True))
                c.close()
                self.good += 1
            except (OSError, smb2.Closed, smb2.Broken, smb2.Status) as e:
                self.bad.append(repr(e))

    def end(self):
        self.over.set()
        for x in self.threads:
            x.join()


def crowd(g):
    """One of each kind, and a second channel."""
    port = g.port
    out = [
        Session(port, "signed CMAC", signing=(1,)),
        Session(port, "signed GMAC", signing=(2,)),
        Session(port, "3.0.2 signed", dialect=0x0302),
        Session(port, "sealed GCM", seal=True),
        Session(port, "3.0 sealed", dialect=0x0300, seal=True),
        Session(port, "2.1", dialect=0x0210),
        Session(port, "unsigned", dialect=0x0210, keyed_=False),
        Session(port, "2.0.2, SMB1 first", dialect=0x0202, multi=["NT LM 0.12", "SMB 2.002"]),
    ]
    out.append(Session(PORTS["old"], "port 139", first=front.session_request(calling="TAKEN"),
                       granted=front.GRANTED))
    out.append(Session(PORTS["front"], "behind a balancer",
                       first=front.v2(CLIENT, "127.0.0.1", 50123, 445)))
    out.append(Session(port, "second channel", bind=out[0], guid=out[0].guid, signing=(1,)))
    return out


def cut_frames(s):
    """A WRITE and a query, each cut somewhere; what finishes them, and looks at the answers."""
    data = os.urandom(60000)
    while s.c.credits < 16:
        s.c.echo(session=s.s)
    body = struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), 0, s.fid, 0, 0, 0, 0, 0) + data
    m = s.c.build(smb2.WRITE, body, session=s.s, tid=s.tid)
    raw = struct.pack(">I", len(m)) + m
    cut = RNG.choice([1, 3, 4, 40, 70, 5000, 30000])
    s.c.send_raw(raw[:cut])

    def finish():
        s.c.send_raw(raw[cut:])
        got, = s.c.answers([smb2.Msg(m).mid])
        s.c.check(got, "a WRITE over an upgrade")
        return s.c.read(s.s, s.tid, s.fid, 0, len(data)) == data
    return finish


def shown(g):
    """What is said of the client behind a balancer, and of the one at port 139."""
    return sorted((c["listener"], c["client_address"] if c["listener"] == "front" else
                   c["netbios_name"]) for x in g.clients() for c in x["connections_list"]
                  if c["listener"] != "lan")


def balance(g):
    """Connections that were accepted, and neither live nor have ended."""
    closed = sum(g.closes().values())
    return g.stats()["accepted"] - closed - g.live_connections()


def upgrades(t, g):
    all_ = crowd(g)
    waiting = [Session(g.port, "idle", dialect=0x0210, keyed_=False) for _ in range(IDLE)]
    strangers, copied = Strangers(g.port), copies(t, g, node.tempdir(t) + "/file")
    for k in range(UPGRADES):
        half = cut_frames(all_[0])
        with open(g.conf_file) as f:
            conf = f.read()
        with open(g.conf_file, "w") as f:       # who goes on has more workers, and fewer again
            f.write(re.sub(r"workers = \d+", "workers = %d" % (2 + (UPGRADES - 1 - k) % 2),
                           conf))
        upgrade(t, g)
        t.ok(half(), "upgrade %d: a WRITE that was cut in the middle" % (k + 1))
        bad = [s.label for s in all_ if not s.works()]
        t.same(bad, [], "upgrade %d: every session works" % (k + 1))
        told = {s.label: s.told() for s in all_ if s.told() != OURS}
        t.same(told, {}, "upgrade %d: everybody is told policy's list" % (k + 1))
        t.same(shown(g), [("front", CLIENT + ":50123"), ("old", "TAKEN")],
               "upgrade %d: names and addresses are known" % (k + 1))
    strangers.end()
    done, broken = copied()
    t.ok(done and not broken, "%d copies by smbclient are what was copied" % len(done), *broken)
    t.ok(not strangers.bad and strangers.good > UPGRADES,
         "%d strangers came: none was refused or cut" % strangers.good, *strangers.bad[:5], said(g))
    t.same([s.label for s in waiting if not s.works()], [], "those that waited work")
    late = Session(g.port, "late channel", bind=all_[0], guid=all_[0].guid, signing=(1,))
    t.ok(late.works() and late.told() == OURS, "a channel binds to a session from before")
    t.same({bool(x["keyed"]) for x in g.sessions() if x["session_id"] ==
            "0x%016x" % all_[3].s.sid}, {True}, "a sealed session is shown as keyed")
    for s in all_ + waiting + [late]:
        s.c.close()
    t.ok(tap.wait_for(lambda: balance(g) == 0, 20),
         "every connection that was accepted has ended once, in whichever process", balance(g),
         g.closes())


def copies(t, g, path):
    """smbclient copies a file there and back, again and again; True: it was always the same."""
    with open(path, "wb") as f:
        f.write(os.urandom(24 << 20))
    over, done, bad = threading.Event(), [], []

    def run():
        while not over.is_set() or not done:
            name = os.urandom(4).hex()
            r = clients.smbclient("127.0.0.1", g.port, "put %s %s; get %s %s.back; del %s" % (
                path, name, name, path, name), timeout=90)
            with open(path, "rb") as a, open(path + ".back", "rb") as b:
                (done if r.returncode == 0 and a.read() == b.read() else bad).append(r.stdout)
                if bad:
                    return

    x = threading.Thread(target=run)
    x.start()

    def end():
        over.set()
        x.join()
        return done, bad
    return end


# -- the protocol by hand

def stays(t, g, sessions, what):
    """Whoever has not been acknowledged is served by the old one, and so are strangers."""
    stranger = Session(g.port, "stranger", dialect=0x0210, keyed_=False)
    bad = [s.label for s in sessions + [stranger] if not s.works()]
    t.ok(not bad and g.alive(), what, bad, said(g))
    stranger.c.close()


def liars(t, g):
    sessions = [Session(g.port, "s%d" % i, dialect=0x0210, keyed_=False) for i in range(6)]
    mode = os.stat(g.control + ".takeover").st_mode & 0o777
    t.same(mode, 0o600, "where successors ask, nobody else may")
    p = Peer(g)
    t.same(p.greet(protocol=99)[-1], REFUSE, "another protocol is refused before anything is given")
    p.close()
    stays(t, g, sessions, "... and the old one serves")
    p, q = Peer(g), Peer(g)
    t.ok(p.greet()[-1] == END and q.hear(REFUSE) == [REFUSE], "one at a time")
    p.close()
    q.close()
    stays(t, g, sessions, "one that dies when it has the sockets")
    for what in ("unanswered", "garbage", "a wrong serial", "garbage to the main socket"):
        p = Peer(g)
        p.greet()
        p.ready()
        n, fds, way = p.offer()
        if what == "garbage":
            way.send(b"nonsense")
        elif what == "a wrong serial":
            way.send(tlv(serial=n + 7))
        elif what == "garbage to the main socket":
            p.s.send(b"nonsense")
        else:
            p.close()
        if what != "unanswered":
            p.hear(ABORT)
        for fd in fds:
            os.close(fd)
        p.close()
        stays(t, g, sessions, "one that has connections, %s: all are served here" % what)
    p = Peer(g)
    p.greet()
    p.ready()
    n, fds, way = p.offer()
    way.send(tlv(serial=n))
    for fd in fds:
        os.close(fd)
    p.close()
    alive = tap.wait_for(lambda: sum(s.c.is_open() for s in sessions) == 5, 60)
    t.ok(alive, "one that dies behind its answer: that connection ends, and no other")
    stays(t, g, [s for s in sessions if s.c.is_open()], "... which are served here")
    for s in sessions:
        s.c.close()


def lives_or_ends(s):
    try:
        return s.works() or "wrong"
    except (smb2.Closed, OSError) as e:
        return "hangs" if isinstance(e, TimeoutError) else "over"


def killed(t, g, rounds=2):
    """SIGKILL for either side, at any moment: every connection lives, or ends at once."""
    for k in range(2 * rounds):
        sessions = [Session(g.port, "k%d" % i, dialect=0x0210, keyed_=False) for i in range(12)]
        new, old = successor(t, g), g.proc
        wait = RNG.random() * 0.3
        who = new if k % 2 else old
        tap.wait_for(lambda: "takeover from process %d" % old.pid in g.log() or
                     new.poll() is not None, 20)
        end = time.monotonic() + wait
        tap.wait_for(lambda: time.monotonic() > end or serves(g, new), 5)
        who.kill()
        who.wait(60)
        left = old if who is new else new
        if who is old:
            tap.wait_for(lambda: left.poll() is not None or "process %d has ended" % old.pid in
                         g.log(), 40)
        if left.poll() is not None:    # the old one had handed over, or nothing was given yet
            g.proc = None
            t.kill_group(left)
            for s in sessions:
                s.c.close()
            g.start()
            t.ok(True, "killed after %.2f s: both ended" % wait)
            continue
        g.proc = left
        got = [lives_or_ends(s) for s in sessions]
        t.ok(set(got) <= {True, "over"}, "%s killed after %.2f s: %d live, %d have ended" % (
            "old" if who is old else "new", wait, got.count(True), got.count("over")), got, said(g))
        for s in sessions:
            s.c.close()
        if "process %d serves" % new.pid in g.log() and who is new:
            left.wait(60)
            g.proc = None
            g.start()
        else:
            stays(t, g, [], "... and it serves")


def numbers(t, tries=12):
    """It dies while it gives: who comes then has none of the numbers that have gone over."""
    f = fake.FakeNode(t).start()
    for _ in range(tries):
        g = gate.Gate(t, [f], name="numbers").start()
        # As many as there are, from the first one on.
        clients = [several.opened(g, os.urandom(16)) for _ in range(150)]
        for c in clients:
            c.guest()
        old, g.proc = g.proc, successor(t, g)
        where, few = "/proc/%d/fd" % g.proc.pid, None
        while g.proc.poll() is None and not serves(g, g.proc):
            n = len(os.listdir(where))
            if few is None and "takeover from process %d" % old.pid in g.log():
                few = n
            if few is not None and n > few + 60:
                break
        t.kill_group(old)
        amid = tap.wait_for(lambda: "process %d has ended" % old.pid in g.log(), 60) and \
            "has died; what it has not handed over" in g.log()
        if amid:
            clients += [several.opened(g, os.urandom(16)) for _ in range(40)]
            ids = [c["id"] for x in g.clients() for c in x["connections_list"]]
        for c in clients:
            c.close()
        g.stop()
        if amid and len(ids) > 60:
            break
    t.ok(amid and len(ids) > 60, "the old one died while it gave: %d live" % len(ids))
    t.ok(len(set(ids)) == len(ids), "and nobody has another one's number", sorted(ids))


def known(g):
    """What a process knows beside its connections, and counts."""
    s, n = g.stats(), g.node_list()["n1"]
    return ({k: s[k] for k in ("accepted", "logged_on", "bytes_to_node", "refusals")
             if k in s}, {k: n[k] for k in ("logons", "logons_failed", "bytes_to_node",
                                            "bytes_to_client", "probes") if k in n})


def estate(t, g):
    """Counters go on, and what was said and seen is known."""
    s = Session(g.port, "counted")
    before = known(g)
    g.ctl("log-level", "debug", "--for", "10m")
    for _ in range(2):
        upgrade(t, g)
        t.same(g.node_states(), {"n1": "up"}, "upgrade: the node's state is known")
        after = known(g)
        less = [(k, b[k], a[k]) for b, a in zip(before, after) for k in b if a[k] < b[k]]
        t.same(less, [], "no counter is less than before")
        t.same(after[0]["accepted"], before[0]["accepted"], "and nobody is counted twice")
        before = after
    t.same(g.ctl("log-level")["level"], "debug", "an operator's log-level stays")
    t.ok(s.works(), "and the session works")
    s.c.close()
    # No claim is held for a process that has ended.
    t.ok(tap.wait_for(lambda: all(c["linger_s"] for c in g.clients()), 40),
         "claims linger when their clients have gone", g.clients())


def main(t):
    t.diag("seed %d" % SEED)
    lab = node.Lab(t)
    n = node.Node(lab, "n1").start()
    PORTS.update((k, node.free_port("0.0.0.0")) for k in ("old", "front"))
    g = gate.Gate(t, [n], keytab=keyed.light_keytab(t), interfaces=dict.fromkeys(
        ("lan", "old", "front"), ANNOUNCE), conf="""
listen "old" { address = "0.0.0.0:%(old)d"
	netbios = true }
listen "front" { address = "0.0.0.0:%(front)d"
	proxy-protocol = { "127.0.0.0/8" } }
""" % PORTS).start()
    upgrades(t, g)
    estate(t, g)
    liars(t, g)
    killed(t, g)
    numbers(t)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
