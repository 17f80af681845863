#!/usr/bin/python3
# front-dialled.t: who dials a server is on that server or on none: every opening, every trouble
"""Two clients of one address dial two servers, the second while the first is there, and each reads
a file that names its server.  What they must read is in WANT.  Intercepting listeners are dialled
as TPROXY would have it, at the nodes' own addresses, with another port than the nodes'."""
import errno
import os
import queue
import re
import socket
import threading
import time

import gate
import node
import smb1
import smb2
import tap

why = gate.missing() or node.missing()
if why:
    tap.skip_all(why)

ADDR = ("127.0.37.11", "127.0.37.12")
OTHER = "127.0.37.21"           # n1's too, and nobody listens there
CLIENT = "127.0.37.99"
ZEROS = bytes(16)
REFUSED = re.compile(r"NetBIOSError\(.*remote', 255, (104|None)\)")    # reset, or closed
OPENINGS = ("SMB1", "2.0.2", "zeros", "two GUIDs", "one GUID")
ONE_CLIENT = ("zeros", "one GUID")      # to a cluster both are the same client

# What the client reads that dials n1, and then the one that dials n2; "-": it is refused.
# (situation, what clients dial): nodes on their own, of one cluster, of one cluster if both clients
# count as one.  "*": either, but the same if they count as one.
WANT = {
    ("up", "nodes"): (("n1", "n2"), ("n1", "n2"), ("n1", "n1")),
    ("up", "smbgate"): (("n1", "n2"), ("*", "*"), ("*", "*")),
    ("dead address", "nodes"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    # smbgate itself dials the other one
    ("dead address", "smbgate"): (("n1", "n2"), ("*", "*"), ("*", "*")),
    ("drained", "nodes"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    ("drained", "smbgate"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    ("hung", "nodes"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    ("hung", "smbgate"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    ("down", "nodes"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    ("down", "smbgate"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
    # Nobody says of whose cluster an address is that policy does not know.
    ("removed", "nodes"): (("-", "n2"), ("-", "n2"), ("-", "n2")),
    ("removed", "smbgate"): (("-", "n2"), ("n2", "n2"), ("n2", "n2")),
}


class World:
    """One smbgate, and what it is told of clusters: "one", "own" or "none" (no word)."""

    def __init__(self, t, nodes, kind):
        self.t, self.kind, self.nodes = t, kind, nodes
        words = {"one": ("nas", "nas"), "own": ("a", "b"), "none": (None, None)}[kind]
        self.policy_nodes = [
            (n, {k: v for k, v in (("cluster", words[i]), ("other_addresses", [OTHER][i:]))
                 if v}) for i, n in enumerate(nodes)]
        self.port = node.free_port("0.0.0.0")
        self.lan = [node.free_port("127.0.0.1") for _ in ADDR]
        conf = 'listen "nodes" { address = "0.0.0.0:%d" intercept = true }\n' % self.port
        self.gate = gate.Gate(t, self.policy_nodes, conf=conf, smb1="allow", name="gate-" + kind,
                              listen={"lan%d" % i: "127.0.0.1:%d" % p
                                      for i, p in enumerate(self.lan)},
                              no_node="hold" if kind == "own" else "reset",
                              health=gate.FAST)
        if kind == "own":
            # Where there are several, a listener says whose nodes its clients get.
            status, text = self.gate.check()
            t.ok(status == 1 and text.count("the nodes of") == 2 and "needs cluster" in text,
                 "a listener that does not say whose nodes it has, of two clusters: an error", text)
            with open(self.gate.conf_file) as f:
                text = f.read()
            for i, port in enumerate(self.lan):
                text = text.replace(':%d" }' % port, ':%d" cluster = %s }' % (port, words[i]))
            with open(self.gate.conf_file, "w") as f:
                f.write(text)

    def where(self, what, i, situation):
        """What a client dials that wants node i."""
        if what == "smbgate":
            return "127.0.0.1", self.lan[i]
        return (OTHER if situation == "dead address" and i == 0 else ADDR[i]), self.port

    def modes(self, situation):
        return [w for w in ("nodes", "smbgate") if (situation, w) in WANT]

    def want(self, situation, what, opening):
        # Without the word, smbgate's own addresses balance over both nodes as one cluster's.
        own, one, same = WANT[situation, what]
        if self.kind == "own" or (self.kind == "none" and what == "nodes"):
            return own
        return same if opening in ONE_CLIENT else one

    def quiet(self):
        tap.wait_for(lambda: not self.gate.live_connections(), 60,
                     message=lambda: self.kind + ": connections stay")


class Client:
    """What it reads: the node's name; or how it was refused."""

    def __init__(self, opening, guid, where):
        self.conn = None
        self.reads = self.dial(opening, guid, *where)

    def dial(self, opening, guid, addr, port):
        try:
            if opening == "SMB1":
                # impacket would look up the usual name, for four seconds
                self.conn = c = smb1.Client(addr, port, vc=1, timeout=30,
                                            port_name="NAS").login()
                tid = c.smb.tree_connect_andx(r"\\nas\data", None)
                fid = c.smb.nt_create_andx(tid, "whoami", disposition=1, accessMask=0x120089)
                return c.smb.read_andx(tid, fid, 0, 2).decode()
            self.conn = c = smb2.Conn(addr, port, src=CLIENT)
            c.negotiate([0x0202] if opening == "2.0.2" else [0x0302], guid=guid)
            s = c.login()
            tid = c.tree(s)
            return c.read(s, tid, c.create(s, tid, "whoami", disp=1, access=0x120089), 0,
                          2).decode()
        except smb2.Closed as e:
            return "-" if "reset" in str(e) else "- without a reset"
        except Exception as e:          # impacket raises many kinds of them
            if opening == "SMB1" and REFUSED.search(repr(e)):
                return "-"
            return repr(e)

    def close(self):
        if self.conn is not None:
            self.conn.close()


def pair(world, situation, what, opening):
    """Two clients of one address, the second while the first is there."""
    guids = {"zeros": (ZEROS, ZEROS), "one GUID": (os.urandom(16),) * 2}.get(
        opening, (os.urandom(16), os.urandom(16)))
    both = [Client(opening, guids[i], world.where(what, i, situation)) for i in (0, 1)]
    for c in both:
        c.close()
    return tuple(c.reads for c in both)


def fits(got, want, same):
    if want == ("*", "*"):
        return set(got) <= {"n1", "n2"} and (not same or got[0] == got[1])
    return (got[0][:1] if want[0] == "-" else got[0], got[1]) == want


def run(world, situation, out):
    """All cells of one smbgate: all openings at a time, and one after the other what is dialled,
    for zeros are one client whatever it dials."""
    for what in world.modes(situation):
        cells, threads = {}, []
        for opening in OPENINGS:
            def one(opening=opening):
                cells[opening] = pair(world, situation, what, opening)
            th = threading.Thread(target=one, daemon=True)
            th.start()
            threads.append(th)
        for th in threads:
            th.join(120)
        for opening in OPENINGS:
            out.put((world, situation, what, opening, cells.get(opening)))
        world.quiet()


def matrix(t, worlds, situation):
    out = queue.Queue()
    threads = [threading.Thread(target=run, args=(w, situation, out), daemon=True)
               for w in worlds]
    for th in threads:
        th.start()
    for th in threads:
        th.join(240)
    bad, n, sick = [], 0, set()
    while not out.empty():
        world, _, what, opening, got = out.get()
        want = world.want(situation, what, opening)
        n += 1
        if got is None or not fits(got, want, opening in ONE_CLIENT):
            bad.append("clusters %s, %s dial %s: they read %s, and should %s" % (
                world.kind, opening, what, got, want))
            sick.add(world)
        elif what == "nodes" and got[0] == "- without a reset":
            bad.append("clusters %s, %s dial %s: refused without a reset" % (
                world.kind, opening, what))
    t.ok(not bad and n == sum(len(w.modes(situation)) * len(OPENINGS) for w in worlds),
         "%s: %d pairs of clients are where they should be" % (situation, n), *sorted(bad),
         *(w.gate.log()[-2000:] for w in sick))
    t.diag("%.1f s" % t.elapsed())


def everywhere(worlds, state):
    for w in worlds:
        tap.wait_for(lambda w=w: w.gate.node_states().get("n1", "removed") == state, 60,
                     message=lambda: "n1 is not %s" % state)


def stays(t, worlds, situation, change, back):
    """A client lives on n1 while n1 comes to be drained or removed: further channels of it get
    there."""
    for w in worlds:
        guid, where = os.urandom(16), w.where("nodes", 0, "up")
        a = Client("two GUIDs", guid, where)
        change(w)
        b, c = Client("two GUIDs", guid, where), Client("SMB1", None, where)
        t.same((a.reads, b.reads, a.conn.is_open()), ("n1", "n1", True),
               "clusters %s, %s: a client that lives there may add a channel" % (w.kind, situation))
        t.ok(c.reads == ("n2" if w.kind == "one" and situation == "drained" else "-"),
             "clusters %s, %s: and SMB1 of the same address may not" % (w.kind, situation), c.reads)
        for x in (a, b, c):
            x.close()
        w.quiet()
    matrix(t, worlds, situation)
    for w in worlds:
        back(w)
    everywhere(worlds, "up")


def refusals(t, where, seconds):
    """An eager client: how long each of its connections takes, from the first byte to the reset."""
    took, end = [], t.ran() + seconds
    while t.ran() < end:
        since = t.ran()
        c = smb2.Conn(*where, src=CLIENT)
        try:
            c.negotiate([0x0302])
            return ["served"]
        except smb2.Closed as e:
            took.append(t.ran() - since if "reset" in str(e) else str(e))
        c.close()
    return took


def at_once(t, worlds, n1):
    """Directly the first packet is refused, and clients wait before they send another.  What is
    refused behind a connection is refused at once, and not as often as the client comes."""
    with socket.socket() as s:
        t.same(s.connect_ex((n1.addr, n1.port)), errno.ECONNREFUSED, "directly: refused at once")
    w, = [w for w in worlds if w.kind == "own"]
    began = time.monotonic()
    took = refusals(t, w.where("nodes", 0, "up"), 3)
    began = time.monotonic() - began
    t.ok(took[0] < 0.3, "through smbgate too: reset after %.3f s" % took[0])
    # two workers, and each refuses one at once every second, and holds the next
    t.ok(3 <= len(took) <= 2 * 2 * (began + 1) and max(took) < 2,
         "who comes again at once waits: %d in %.1f s" % (len(took), began), took)


def shown(t, worlds):
    for w in worlds:
        g = w.gate
        n = g.stats()["dialled_elsewhere"]
        t.ok((n > 0) == (w.kind == "one") and ("dialled_elsewhere" in g.log()) == (n > 0),
             "clusters %s: %d clients are counted and logged as dialled_elsewhere" % (w.kind, n))
        g.ctl("drain", "--force", "n1")
        i = 0 if w.kind == "one" else 1
        c = Client("two GUIDs", os.urandom(16), w.where("nodes", i, "up"))
        x, = [x for x in g.clients() if x["connections"]]
        s, = g.sessions()
        want = ("n%d" % (i + 1), "n2")
        t.same([(o["dialled"], o["node"]) for o in (x, x["connections_list"][0], s)], [want] * 3,
               "clusters %s: shown as dialled and as landed" % w.kind)
        table = g.ctl_run("show", "clients").stdout + g.ctl_run("show", "sessions").stdout
        t.same(table.count("DIALLED"), 2, "clusters %s: both are columns" % w.kind)
        c.close()
        g.ctl("undrain", "n1")
        status, text = g.check()
        said = {"one": "stand in for each other: n1, n2", "none": "gets that one or none: n1, n2",
                "own": 'cluster "a" is one node: who dials it gets it or none: n1'}[w.kind] in text
        t.ok(status == 0 and said, "clusters %s: smbgate -t says which are in force" % w.kind, text)


def main(t):
    lab = node.Lab(t)
    # impacket asks for an oplock, and answers no break of it.  With channels smbd passes a
    # connection to the process that has its ClientGuid: zeros to one of another pair's, as it ends.
    nodes = [node.Node(lab, "n%d" % (i + 1), a, extra=("oplocks = no",), multichannel=False)
             for i, a in enumerate(ADDR)]
    for n in nodes:
        with open(n.data("whoami"), "w") as f:
            f.write(n.name)
        n.start(wait=False)
    for n in nodes:
        n.wait()
    n1 = nodes[0]
    worlds = [World(t, nodes, kind) for kind in ("one", "own", "none")]
    for w in worlds:
        w.gate.start()
    matrix(t, worlds, "up")
    matrix(t, worlds, "dead address")
    everywhere(worlds, "up")
    stays(t, worlds, "drained", lambda w: w.gate.ctl("drain", "--force", "n1"),
          lambda w: w.gate.ctl("undrain", "n1"))
    stays(t, worlds, "removed", lambda w: w.gate.reload(nodes=w.policy_nodes[1:]),
          lambda w: w.gate.reload(nodes=w.policy_nodes))
    n1.pause()
    everywhere(worlds, "hung")
    matrix(t, worlds, "hung")
    n1.cont()
    everywhere(worlds, "up")
    n1.kill()
    everywhere(worlds, "down")
    matrix(t, worlds, "down")
    at_once(t, worlds, n1)
    n1.start()
    everywhere(worlds, "up")
    matrix(t, worlds, "up")
    shown(t, worlds)


with tap.Test(deadline=150) as test:
    main(test)
