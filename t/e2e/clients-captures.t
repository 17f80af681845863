#!/usr/bin/python3
# clients-captures.t: recorded conversations of real clients, played through smbgate: none is closed
"""The project's own recordings (t/frames) always; beside them the *.conv of the folder that
SMBGATE_CAPTURES names: clients that no test can run, Windows and macOS among them.  Where that
folder has an INDEX.md, the features that it names are looked for."""
import glob
import os
import random
import re
import struct
import threading

import gate
import smb2
import tap
import tape

SRC = os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
HOST, LAN = "127.0.0.41", "127.0.0.50"
DENIED = "127.0.0.12"      # t/frames' node announces it
LISTED = [("10.9.8.7", {"speed": "25G", "rss": True}), ("fd00::9", {"speed": "10G"})]
POLICIES = {
    "pass": {"interfaces": {"lan": {"mode": "pass"}, "nb": {"mode": "pass"}}},
    "filter": {"interfaces": {"lan": {"mode": "filter"}, "nb": {"mode": "filter"}},
               "deny": [DENIED]},
    "announce": {"interfaces": {"lan": {"mode": "announce", "list": LISTED},
                                "nb": {"mode": "announce", "list": LISTED}}},
}
COPIES = 8
SESSION_SETUP_ANDX, VC = 0x73, slice(4 + 41, 4 + 43)
# CAP_RAW_MODE in a NEGOTIATE answer of NT LM 0.12, which smbgate takes out
SMB1_NEGOTIATE, NT_WORDS, CAPABILITIES, RAW_MODE = 0x72, 17, 4 + 52, 1


def index(folder):
    """{name: features} of INDEX.md's table."""
    out = {}
    try:
        with open(os.path.join(folder, "INDEX.md")) as f:
            for line in f:
                cells = [c.strip() for c in line.split("|")]
                if len(cells) > 9 and cells[1].endswith(".conv"):
                    out[cells[1][:-5]] = [c.strip() for c in cells[7].split(",") if c.strip()]
    except FileNotFoundError:
        pass
    return out


def speaks(tp):
    """What kind of node the tape's is: its probes have to be answered alike."""
    said = tp.records[tp.front + 1][1]
    if tape.smb1(said):
        return "smb1"
    return "0202" if tape.smb1(tp.begin) and not tp.multi else "smb2"


class Node(tape.Reel):
    """One that answers probes as the servers of its kind do."""

    def __init__(self, t, kind, **kw):
        super().__init__(t, **kw)
        self.kind = kind
        self.on_message = self.probe_answer if kind != "smb2" else None

    def probe_answer(self, peer, m):
        if self.kind == "0202":
            if isinstance(m, smb2.Msg) and m.cmd == smb2.NEGOTIATE:
                return smb2.frame(self.negotiate_answer(m.mid, 0x0202, m))
            return None
        if isinstance(m, smb2.Msg):
            raise tape.Short("closed")      # a server that knows SMB1 alone
        names = m[35:].split(b"\0")
        picked = [i for i, n in enumerate(names) if n == b"\x02NT LM 0.12"]
        head = m[:4] + m[4:9] + b"\x88" + m[10:32]
        return smb2.frame(head + bytes([17]) + struct.pack("<H", picked[0]) + bytes(32) + b"\0\0")


def as_recorded(want, got):
    """The node: a frame is what was recorded, or has an ECHO for a query that smbgate answers, or
    another VcNumber for 0."""
    if want == got:
        return None
    if tape.smb1(want) and want[8] == SESSION_SETUP_ANDX and want[VC] == bytes(2) and \
            want == got[:VC.start] + bytes(2) + got[VC.stop:]:
        return None
    a, b = tape.parts(want), tape.parts(got)
    if [m.mid for m in a] == [m.mid for m in b] and any(m.cmd == smb2.ECHO for m in b) and all(
            x.cmd == y.cmd or (x.cmd, y.cmd) == (smb2.IOCTL, smb2.ECHO) for x, y in zip(a, b)):
        return None
    return tape.Reel._differs(want, got)


def listed(m):
    off, n = struct.unpack_from("<II", m.body, 32)
    return [i.ip for i in smb2.parse_ifinfo(m.raw[off:off + n])]


def told(policy, recorded):
    """The list that policy makes of the node's."""
    if policy == "announce":
        return [ip for ip, _ in LISTED]
    return [ip for ip in listed(recorded) if ip != DENIED]


def rightly(policy, x, y):
    """An answer to a query, as recorded and as it arrived."""
    if x.cmd != smb2.IOCTL or y.cmd != smb2.IOCTL or y.flags & smb2.SIGNED:
        return False
    return y.status == smb2.BUFFER_TOO_SMALL or listed(y) == told(policy, x)


def explained(tp, policy, want, got):
    """Whether a frame may reach the client changed as it is."""
    a, b = tape.parts(want), tape.parts(got)
    if speaks(tp) == "smb2" and b"\x02SMB 2.???" in tp.begin and b and \
            want == tp.records[tp.front + 1][1] and \
            struct.unpack_from("<H", b[0].body, 4)[0] == 0x02FF:
        return True         # smbgate answers it itself
    if tape.smb1(want) and want[8] == SMB1_NEGOTIATE and want[36] == NT_WORDS:
        less = bytearray(want)
        less[CAPABILITIES] &= ~RAW_MODE
        return got == less
    if policy == "pass" or len(a) != len(b):
        return False
    queries = tp.queries()
    for x, y in zip(a, b):
        if x.raw == y.raw or x.mid in queries and rightly(policy, x, y):
            continue
        if x.body != y.body or x.raw[:20] + x.raw[24:] != y.raw[:20] + y.raw[24:]:
            return False    # more than the NextCommand of a message before a changed one
    return True


class Stage:
    """A node of one kind behind a smbgate, and what is expected of it."""

    def __init__(self, t, kind):
        self.t, self.kind = t, kind
        self.node = Node(t, kind, addr=HOST).start()
        self.node.accepted = as_recorded
        ports = [gate.node.free_port("0.0.0.0") for _ in range(2)]
        self.where = {False: (LAN, ports[0]), True: (LAN, ports[1])}
        self.gate = gate.Gate(t, [self.node], listen={"lan": "%s:%d" % self.where[False]},
                              conf='listen "nb" { address = "%s:%d"\n netbios = true }\n'
                              % self.where[True], smb1="allow", **POLICIES["pass"])
        self.gate.start()

    def run(self, tp, policy, cut, what):
        """One tape, once; returns what was wrong."""
        # Whoever was there before has gone, and is counted.
        self.gate.wait_connections(0)
        closes, wrong, seen = self.gate.closes(), [], {}
        self.node.load(tp, cut)

        def at_end(s):
            seen["sessions"] = [int(x["session_id"], 16) for x in self.gate.sessions()]
            seen["channels"] = sum(len(x["channels"]) for x in self.gate.sessions())
            seen["closed"] = self.gate.closed_since(closes)

        try:
            changed = tape.play(self.where[tp.netbios], tp, cut, at_end)
            wrong += ["changed: %s" % got.hex() for want, got in changed
                      if not explained(tp, policy, want, got)]
        except tape.Short as e:
            wrong.append("client: %s %s" % (e, self.gate.closed_since(closes)))
        wrong += self.node.faults
        if seen:
            if set(seen["closed"]) - {"client_eof"}:    # those of the run before
                wrong.append("closed: %s" % seen["closed"])
            if sorted(seen["sessions"]) != sorted(tp.sessions()):
                wrong.append("sessions %s, recorded %s" % (seen["sessions"], tp.sessions()))
            if seen["channels"] < len(tp.sessions()):
                wrong.append("channels: %d" % seen["channels"])
        return ["%s %s %s: %s" % (tp.name, policy, what, w[:400]) for w in wrong]

    def crowd(self, tp, policy, rng):
        """The same tape several times at once, in pieces of any size."""
        wrong = []
        self.node.load(tp, lambda left: rng.randint(1, min(left, 200)))

        def one():
            try:
                tape.play(self.where[tp.netbios], tp, self.node.cut)
            except tape.Short as e:
                wrong.append("%s %s, one of %d at once: %s" % (tp.name, policy, COPIES, e))

        all_ = [threading.Thread(target=one) for _ in range(COPIES)]
        for th in all_:
            th.start()
        for th in all_:
            th.join(120)
        return wrong + ["%s %s crowd, %s" % (tp.name, policy, f) for f in self.node.faults]


def check_index(t, tapes, features):
    """The recordings are what their index says, by the same reading that judges smbgate."""
    wrong = []
    for tp in tapes:
        has = features.get(tp.name)
        if has is None:
            continue
        many = [int(f[8:]) for f in has if f.startswith("sessions")]
        if bool(tp.queries()) != ("ifquery" in has):
            wrong.append("%s: %d queries" % (tp.name, len(tp.queries())))
        if many and len(tp.sessions()) != many[0]:
            wrong.append("%s: %d sessions" % (tp.name, len(tp.sessions())))
        if tp.netbios != ("nbss139" in has):
            wrong.append("%s: port 139 or not" % tp.name)
    t.same(wrong, [], "the index says what is in %d recordings" % len(features))


def main(t):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    t.diag("SEED=%d" % seed)
    rng = random.Random(seed)
    folder = os.environ.get("SMBGATE_CAPTURES")
    paths = sorted(glob.glob(SRC + "/t/frames/*.conv"))
    if folder:
        found = sorted(glob.glob(folder + "/*.conv"))
        t.ok(found, "SMBGATE_CAPTURES has conversations: %d" % len(found))
        paths += found
    else:
        t.skip("conversations of Windows, macOS and others", "SMBGATE_CAPTURES names no folder")
    tapes = [tape.Tape(p) for p in paths]
    if folder:
        check_index(t, tapes, index(folder))
    only = os.environ.get("ONLY")
    tapes = [tp for tp in tapes if not only or re.search(only, tp.name)]
    stages = {}
    for tp in tapes:
        if speaks(tp) not in stages:
            stages[speaks(tp)] = Stage(t, speaks(tp))
    results = {tp.name: [] for tp in tapes}
    for policy, settings in POLICIES.items():
        for s in stages.values():
            s.gate.reload(**dict({"deny": None}, **settings))
        for tp in tapes:
            s, bad = stages[speaks(tp)], results[tp.name]
            bad += s.run(tp, policy, None, "whole")
            size = sum(len(b) for _, b in tp.records)
            if size < 4000 and policy == "announce":
                bad += s.run(tp, policy, lambda left: 1, "byte by byte")
            bad += s.run(tp, policy, lambda left: rng.randint(1, min(left, 300)), "in pieces")
            if policy == "announce":
                bad += s.crowd(tp, policy, rng)
    for tp in tapes:
        t.ok(not results[tp.name], "%s: %d frames, %d sessions, %d queries"
             % (tp.name, len(tp.records), len(tp.sessions()), len(tp.queries())),
             *results[tp.name][:6])


with tap.Test(240) as t:
    main(t)
