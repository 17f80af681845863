#!/usr/bin/python3
# see-capture.t: smbgatectl capture, beside tcpdump; trace; captures that are abandoned, or not read
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import capture
import clients
import gate
import node
import smb2
import tap

why = node.missing() or clients.missing("smbclient", "tcpdump", "tshark", "editcap")
if why:
    tap.skip_all(why)

MIB = 1 << 20
BLOB = os.urandom(2 * MIB)
OTHER = os.urandom(MIB)
CROWD = 100
# So many of them read a MiB while nobody reads what is captured of it.
SLOW = 30


class Seen:
    """smbgatectl capture or trace, under way when this has been made."""

    def __init__(self, t, g, *args):
        self.err = os.path.join(g.dir, "err%d" % id(self))
        with open(self.err, "w") as err:
            self.proc = t.spawn([gate.ctl_program(), "-s", g.control, "--json", *args], text=True,
                                stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL)
        self.out = ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        tap.wait_for(self.begun, 20, message=lambda: "no %s: %s" % (args[0], self.said()))

    def _read(self):
        for line in self.proc.stdout:
            self.out += line

    def said(self):
        with open(self.err) as f:
            return f.read()

    def begun(self):
        return "begins" in self.said() or self.proc.poll() is not None

    def end(self, sig=None):
        """(exit status, its last object)"""
        if sig:
            self.proc.send_signal(sig)
        status = self.proc.wait(30)
        self.reader.join()
        return status, json.loads(self.out) if self.out.startswith("{\n") else self.lines()

    def lines(self):
        return [json.loads(x) for x in self.out.splitlines()]


def pcap(path):
    subprocess.run(["editcap", "-F", "pcap", path, path + ".pcap"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path + ".pcap"


def streams(path, *ports):
    """{(client, server): frames}, whole ones alone."""
    return {(s.client, s.server): s.frames for p in ports for s in capture.streams(path, p)
            if s.whole and s.frames[0]}


def decoded(path, *ports):
    """Rows (interface, command, is it an answer) as tshark has them."""
    argv = ["tshark", "-n", "-r", path, "-Y", "smb2", "-T", "fields", "-e",
            "frame.interface_name", "-e", "smb2.cmd", "-e", "smb2.flags.response"]
    for p in ports:
        argv += ["-d", "tcp.port==%d,nbss" % p]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                       env=dict(os.environ, HOME="/nonexistent"), timeout=60)
    return [tuple(x.split("\t")) for x in r.stdout.splitlines()]


def fields(path, *names):
    """Of each packet of TCP: these fields, as numbers."""
    argv = ["tshark", "-n", "-r", path, "-T", "fields"]
    for name in names:
        argv += ["-e", name]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                       text=True, env=dict(os.environ, HOME="/nonexistent"), timeout=60)
    return [tuple(int(x) for x in line.split("\t")) for line in r.stdout.splitlines()]


def payload(path):
    """How many bytes of TCP its packets had on the wire."""
    return sum(n for n, in fields(path, "tcp.len"))


def transfer(g, *args):
    r = clients.smbclient("127.0.0.1", g.port, "put other; put blob; get blob back", *args,
                          cwd=g.dir)
    with open(g.dir + "/back", "rb") as f:
        return r.returncode == 0 and f.read() == BLOB


def read_of(path):
    with open(path, "rb") as f:
        return f.read()


def connections(g):
    return [c for x in g.clients() for c in x["connections_list"]]


def beside_tcpdump(t, g, n):
    """The same bytes on both legs, to the last, of whoever encrypts too."""
    wire = capture.Capture(t, g.dir + "/wire", "tcp port %d or tcp port %d" % (g.port, n.port),
                           at="127.0.0.1")
    mine, heads = g.dir + "/mine", g.dir + "/heads"
    full = Seen(t, g, "capture", "127.0.0.1", "--write", mine)
    cut = Seen(t, g, "capture", "127.0.0.0/8", "--write", heads, "--heads")
    t.ok(transfer(g), "a client's file comes back while two captures have it")
    t.ok(transfer(g, "--client-protection=encrypt"), "and encrypted")
    tap.wait_for(lambda: not connections(g), 20, message="connections stay")
    status, end = full.end(signal.SIGINT)
    t.ok(status == 0 and end["ended"] == "stopped" and end["lost"] == 0 and
         end["connections"] == 2, "SIGINT ends a capture", status, end)
    t.same(cut.end(signal.SIGINT)[0], 0, "and the other")
    wire.stop()
    on_wire, in_file = (streams(p, g.port, n.port) for p in (wire.path, pcap(mine)))
    # The probes of the node's health are none of its clients.
    on_wire = {k: v for k, v in on_wire.items() if k in in_file}
    t.ok(len(in_file) == 4 and in_file == on_wire,
         "both legs of both connections are as tcpdump has them, frame by frame",
         [(k, len(v[0]), len(v[1])) for x in (in_file, on_wire) for k, v in x.items()])
    size = os.stat(mine)
    t.same(size.st_mode & 0o777, 0o600, "only its owner can read the file")
    t.ok(size.st_size == end["file_bytes"] > 8 * MIB, "so long as is said", size, end)
    rows = decoded(mine, g.port, n.port)
    t.ok({r[0] for r in rows} == {"client", "node"} and
         {r[1] for r in rows} >= {"0", "1", "3", "5", "8", "9", "6"},
         "tshark decodes it as SMB2 on two interfaces", rows[:20])
    return mine, heads


def heads_alone(t, g, n, mine, heads):
    short = decoded(heads, g.port, n.port)
    t.ok(len(short) >= len(decoded(mine, g.port, n.port)), "of the heads tshark sees each message")
    data = read_of(heads)
    t.ok(len(data) < MIB and not any(BLOB[i:i + 16] in data for i in range(0, 2 * MIB, 4096)),
         "in the file of heads there is no payload", len(data))
    t.ok(any(BLOB[i:i + 16] in read_of(mine) for i in range(0, 65536, 4096)),
         "in the other there is")
    t.ok("shares" not in data.decode("latin1") and b"NTLMSSP" not in data,
         "and no token of a logon")
    t.same(payload(heads), payload(mine), "its packets keep their lengths")


def refused(t, g, mine):
    before = read_of(mine)
    r = g.ctl_run("capture", "127.0.0.1", "--write", mine)
    t.ok(r.returncode == 1 and "File exists" in r.stderr and read_of(mine) == before,
         "a file that is there stays", r)
    r = g.ctl_run("capture", "127.0.0.1", "--write", "/dev/null", "--force")
    t.ok(r.returncode == 1 and "/dev/null: File exists; --force replaces only files" in r.stderr,
         "and a device, --force or not, which is said", r)
    r = g.ctl_run("--json", "capture", "conn:999999", "--write", g.dir + "/none")
    t.ok(r.returncode == 1 and json.loads(r.stdout)["ended"] == "no such connection",
         "a connection that is not there: exit 1", r)
    for words, status in ((("capture", "conn:x", "--write", g.dir + "/x"), 1),
                          (("capture", "127.0.0.1"), 2),
                          (("capture", "127.0.0.1", "--write", "x", "--for", "never"), 2),
                          (("trace",), 2), (("show", "nodes", "--heads"), 2)):
        r = g.ctl_run(*words)
        t.ok(r.returncode == status and r.stderr, "refused: %s" % " ".join(words[:2]), r)
    t.ok(not os.path.exists(g.dir + "/x"), "and leaves no file")


class Client:
    """One of the raw clients, with a file to read."""

    def __init__(self, g, src="127.0.0.1", name="blob", **kw):
        self.data = OTHER if name == "other" else BLOB
        self.c = smb2.Conn("127.0.0.1", g.port, src=src, timeout=60).negotiate()
        self.s = self.c.login(**kw)
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, name, access=0x120089)

    def good(self, off=0, n=MIB):
        return self.c.read(self.s, self.tid, self.fid, off, n) == self.data[off:off + n]


def under_way(t, g):
    """A connection that is there already, and is spliced."""
    c, other = Client(g), Client(g, src="127.0.0.9")
    t.ok(c.good() and g.stats()["bytes_spliced"] > 0, "its payload is spliced")
    row, = [x for x in connections(g) if x["client_address"] == "127.0.0.1:%d" %
            c.c.sock.getsockname()[1]]
    path = g.dir + "/one"
    one = Seen(t, g, "capture", "conn:%d" % row["id"], "--write", path, "--for", "10m")
    t.same({x["id"] for x in connections(g) if x["captured"]}, {row["id"]},
           "show marks the one that is captured")
    before = g.stats()["bytes_spliced"]
    t.ok(c.good(MIB), "it is served")
    t.same(g.stats()["bytes_spliced"], before, "and not spliced meanwhile")
    t.ok(other.good() and g.stats()["bytes_spliced"] > before, "another one is")
    c.c.close()
    status, end = one.end()
    t.ok(status == 0 and end["ended"] == "connection", "it ends with its connection", end)
    t.ok(BLOB[MIB + 4096:MIB + 8192] in read_of(path), "what had been spliced is in the file")
    t.ok(BLOB[4096:8192] not in read_of(path), "and nothing from before")
    path = g.dir + "/sized"
    full = Seen(t, g, "capture", "127.0.0.9", "--write", path, "--size", "300000")
    t.ok(other.good(), "a capture fills its file")
    status, end = full.end()
    t.ok(status == 0 and end["ended"] == "size" and 300000 <= os.stat(path).st_size < MIB,
         "and ends", end, os.stat(path))
    timed = Seen(t, g, "capture", "127.0.0.9", "--write", path, "--for", "1s", "--force")
    t.same(timed.end()[1]["ended"], "time", "another ends by its time")
    t.comes(lambda: any(x["captured"] for x in connections(g)), False,
            "no connection is marked any more")
    before = g.stats()["bytes_spliced"]
    t.ok(other.good() and g.stats()["bytes_spliced"] > before, "and it is spliced again")
    other.c.close()
    for said in (r"capture of conn:%d begins, for 600 s: asked by uid 0" % row["id"],
                 r"capture of conn:%d ended: connection; 1 connections" % row["id"]):
        t.ok(tap.wait_for(lambda s=said: re.search(s, g.log()), 20), "the log has: " + said[:30])


def traced(t, g):
    seen = Seen(t, g, "trace", "127.0.0.7")
    wrong = smb2.Conn("127.0.0.1", g.port, src="127.0.0.7").negotiate()
    try:
        wrong.login(password="wrong")
    except smb2.Status:
        pass
    wrong.close()
    c = Client(g, src="127.0.0.7")
    c.c.ifinfo(c.s)
    c.c.close()
    tap.wait_for(lambda: seen.out.count('"event":"closed"') == 2, 20)
    status, lines = seen.end(signal.SIGINT)
    t.ok(status == 0 and lines[-1]["ended"] == "stopped" and lines[-1]["connections"] == 2,
         "a trace of two connections", lines[-1:])
    by = {}
    for x in lines[:-1]:
        by.setdefault(x["connection"], []).append((x["event"], x["text"]))
    first, second = by.values()
    for rows, want in ((first, ["begin", "route", "stage", "negotiate", "logon", "closed"]),
                       (second, ["begin", "route", "stage", "negotiate", "logon", "session",
                                 "query", "told", "closed"])):
        events = iter(e for e, _ in rows)
        t.ok(all(w in events for w in want), "in order: " + ", ".join(want), rows)
    t.ok(("route", "to node n1, by hash") in second or
         ("route", "to node n1, by claim") in second, "by what its node was chosen", second)
    t.ok(any("refuses: 0xc000006d" in x for _, x in first), "a wrong password is seen", first)
    t.ok(any(e == "session" and "no key" in x for e, x in second), "and why there is no key")
    t.ok(any(e == "negotiate" and x.startswith("dialect 3.1.1") for e, x in second), "the dialect")


def one_of_many(t, g, n, many):
    """One of many busy ones is captured, then gone in the middle of a request."""
    one = Client(g, src="127.0.0.8")
    path = g.dir + "/lone"
    seen = Seen(t, g, "capture", "127.0.0.8:%d" % one.c.sock.getsockname()[1], "--write", path)
    before = g.stats()["bytes_spliced"]
    good = [one.good(i * 4096, 4096) and c.good(0, MIB // 4) for i, c in enumerate(many)]
    spliced = g.stats()["bytes_spliced"] - before
    # the first reading of a connection takes in up to 128 KiB
    t.ok(all(good) and spliced >= CROWD * MIB // 16,
         "one of %d is captured, and all the others are spliced as ever" % CROWD, spliced)
    one.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.c.send_frame(one.c.build(smb2.READ, one.c.read_body(one.fid, 0, MIB), session=one.s,
                                 tid=one.tid, charge=16))
    one.c.close()
    status, end = seen.end()
    t.ok(status == 0 and (end["ended"], end["connections"], end["lost"]) == ("connection", 1, 0),
         "it goes in the middle of a request, and the capture ends", end)
    data = read_of(path)
    legs = {frozenset(ports) for ports in fields(path, "tcp.srcport", "tcp.dstport")}
    t.same(({n.port, g.port} & set().union(*legs), len(legs)), ({n.port, g.port}, 2),
           "its file has its two legs alone")
    t.ok(BLOB[4096:8192] in data and not any(OTHER[i:i + 32] in data
                                             for i in range(0, MIB // 4, 1024)),
         "its bytes, and none of the others'")


def crowd(t, g, many):
    """Many connections, captured twice: by one that does not read, and one that is killed."""
    neighbour = Client(g, src="127.0.0.9")
    stuck = Seen(t, g, "capture", "127.0.1.0/24", "--write", g.dir + "/stuck")
    killed = Seen(t, g, "capture", "127.0.1.0/24", "--write", g.dir + "/killed")
    t.same(sum(x["captured"] for x in connections(g)), CROWD, "a prefix captures %d" % CROWD)
    os.kill(stuck.proc.pid, signal.SIGSTOP)
    good = [c.good() for c in many[:SLOW // 2]]
    killed.proc.kill()
    killed.end()
    good += [c.good() for c in many[SLOW // 2:SLOW]]
    t.ok(all(good), "all of them are served, though nobody reads what is captured")
    t.ok(neighbour.good(), "and their neighbour")
    tap.wait_for(lambda: "capture of 127.0.1.0/24 ended" in g.log(), 20,
                 message="who was killed has a place still")
    more = [Seen(t, g, "trace", "127.0.2.0/24") for _ in range(3)]
    r = g.ctl_run("trace", "127.0.2.0/24")
    t.ok(r.returncode == 1 and "as many" in r.stderr, "the fifth at a time is refused", r)
    t.ok(g.ctl("ready")["good"], "and other requests are answered")
    for x in more:
        t.same(x.end(signal.SIGINT)[0], 1, "a trace of nobody: exit 1")
    for c in many:
        c.c.close()
    os.kill(stuck.proc.pid, signal.SIGCONT)
    status, end = stuck.end(signal.SIGINT)
    # SLOW MiB came over each leg, and half as much is kept for who does not read
    t.ok(status == 0 and end["lost"] > 0 and end["lost_bytes"] + end["bytes"] > 2 * SLOW * MIB and
         end["connections"] == CROWD, "what was not read in time is lost, and counted", end)
    tap.wait_for(lambda: "capture of 127.0.1.0/24 ended: stopped" in g.log(), 20)
    t.same(g.log().count("capture of 127.0.1.0/24 ended"), 2, "the killed one has ended, too")
    neighbour.c.close()


with tap.Test(deadline=240) as t:
    n, = node.cluster(t, 1)
    g = gate.Gate(t, [n], workers=2, limits={"accept_rate": 100000, "accept_burst": 100000},
                  health=gate.PATIENT).start()
    for name, data in (("blob", BLOB), ("other", OTHER)):
        with open(g.dir + "/" + name, "wb") as f:
            f.write(data)
    files = beside_tcpdump(t, g, n)
    heads_alone(t, g, n, *files)
    refused(t, g, files[0])
    under_way(t, g)
    traced(t, g)
    many = [Client(g, src="127.0.1.%d" % (1 + i), name="other") for i in range(CROWD)]
    one_of_many(t, g, n, many)
    crowd(t, g, many)
    t.ok(tap.wait_for(lambda: g.stats()["connections"] == 0, 20), "no connection is left")
    late = Seen(t, g, "capture", "127.0.0.1", "--write", g.dir + "/late")
    g.stop()
    status, last = late.end()
    t.ok(status == 1 and "smbgate has ended" in last["error"], "smbgate ends before a capture",
         last)
