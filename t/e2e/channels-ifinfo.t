#!/usr/bin/python3
# channels-ifinfo.t: an interface query over an unsigned session is told exactly what policy says
import os
import socket
import struct

import fake
import gate
import model
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

G = 10 ** 9
# smbd tells its interfaces from the last configured to the first
REAL = [("127.0.0.11", G, 1, 7), ("127.0.0.12", 10 * G, 0, 8), ("127.0.0.13", 25 * G, 1, 9),
        ("::1", 5 * G, 1, 10)]
# what no real node on one machine would say
ODD = [("10.1.0.5", G, 1, 1), ("10.1.0.6", 2 * G, 3, 2), ("10.2.0.7", 3 * G, 0, 2),
       ("::ffff:10.1.0.8", 4 * G, 1, 4), ("fe80::1", 5 * G, 1, 5), ("169.254.3.4", 6 * G, 1, 6),
       ("0.0.0.0", 7 * G, 1, 7), ("::", 8 * G, 1, 8), ("fd00:1::9", 9 * G, 1, 9),
       ("fd00:2::a", 10 * G, 2, 0xFFFFFFFF)]

A, B, C, D = "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.2.9"
LIST = [(A, {"speed": "25G", "rss": True, "ifindex": 11}),
        (B, {"speed": "10G", "rss": False, "ifindex": 12}),
        (C, {"speed": "100M", "rss": True, "ifindex": 13})]
AUTO = [(A, {"speed": "1000000000"}), (B, {"rss": True}), (C, {"ifindex": 2}), (D, {})]
SIX = [("::1", {"speed": "40G", "rss": True, "ifindex": 3}),
       ("fd00:1::5", {"speed": "1G", "ifindex": 4}), ("10.1.0.5", {"speed": "2G", "ifindex": 5})]

PUBLIC = """\
# CTDB public addresses
127.0.1.2/24 eth0

10.1.0.6/24	eth1,eth2
  fd00:1::9/64 eth0   # with a remark
127.0.2.200/8 eth0
"""

ANN = {"mode": "announce", "list": LIST}
FIL = {"mode": "filter"}
PAS = {"mode": "pass"}
NONE = None

# name, interfaces section, dialled address, addresses section, node ("real" or "odd")
CASES = [
    # -- announce without a list: the dialled address
    ("no section: the dialled address", NONE, A, {}, "real"),
    ("no section, another address", NONE, D, {}, "real"),
    ("no section, allowed", NONE, A, {"allow": ["127.0.1.0/24"]}, "real"),
    ("no section, not allowed", NONE, D, {"allow": ["127.0.1.0/24"]}, "real"),
    ("no section, denied", NONE, A, {"deny": [A]}, "real"),
    ("announce without a list", {"mode": "announce"}, B, {}, "real"),
    ("announce without a list, denied", {"mode": "announce"}, B, {"deny": ["127.0.1.0/24"]},
     "real"),
    ("announce without a list, odd node", {"mode": "announce"}, A, {}, "odd"),
    ("no section, IPv6", NONE, "::1", {}, "real"),
    ("no section, IPv6 denied", NONE, "::1", {"deny": ["::1"]}, "real"),
    ("no section, v4-mapped", NONE, "mapped:" + A, {}, "real"),
    ("no section, v4-mapped denied", NONE, "mapped:" + A, {"deny": [A]}, "real"),
    # -- announce with a list
    ("announce: the whole list", ANN, A, {}, "real"),
    ("announce: asked via another listed one", ANN, C, {}, "real"),
    ("announce: asked via an unlisted one", ANN, D, {}, "real"),
    ("announce: the node does not matter", ANN, A, {}, "odd"),
    ("announce: allow all of them", ANN, A, {"allow": ["127.0.1.0/24"]}, "real"),
    ("announce: asked via one that is not allowed", ANN, D, {"allow": ["127.0.1.0/24"]}, "real"),
    ("announce: one denied", ANN, A, {"deny": [B]}, "real"),
    ("announce: asked via the denied one", ANN, B, {"deny": [B]}, "real"),
    ("announce: two denied", ANN, A, {"deny": [B, C]}, "real"),
    ("announce: one allowed", ANN, A, {"allow": [A]}, "real"),
    ("announce: asked via a listed one, not allowed", ANN, C, {"allow": [A, B]}, "real"),
    ("announce: all denied but the unlisted one dialled", ANN, D, {"deny": ["127.0.1.0/24"]},
     "real"),
    ("announce: nothing allowed at all", ANN, A, {"allow": ["10.0.0.0/8"]}, "real"),
    ("announce: deny everything", ANN, A, {"deny": ["0.0.0.0/0", "::/0"]}, "real"),
    ("announce: longest prefix: allow inside deny", ANN, A,
     {"allow": ["127.0.1.0/31"], "deny": ["127.0.1.0/24"]}, "real"),
    ("announce: longest prefix: deny inside allow", ANN, A,
     {"allow": ["127.0.0.0/16"], "deny": ["127.0.1.2/31"]}, "real"),
    ("announce: three levels", ANN, C,
     {"allow": ["127.0.0.0/8", "127.0.1.3/32"], "deny": ["127.0.1.0/30"]}, "real"),
    ("announce: a tie is denied", ANN, A, {"allow": [A, B, C], "deny": [B]}, "real"),
    ("announce: a tie of networks is denied", ANN, D,
     {"allow": ["127.0.1.0/24", "127.0.2.0/24"], "deny": ["127.0.1.0/24"]}, "real"),
    ("announce: the order of rules does not matter", ANN, A,
     {"deny": ["127.0.1.0/24"], "allow": ["127.0.1.0/31", "127.0.0.0/8"]}, "real"),
    ("announce: an address and a network that does not hold it", ANN, A,
     {"deny": ["127.0.1.76/30", "127.0.1.2/32"]}, "real"),
    ("announce: /0 allows", ANN, A, {"allow": ["0.0.0.0/0"], "deny": ["127.0.1.3"]}, "real"),
    ("announce: a v6 allow alone forbids v4", ANN, A, {"allow": ["::1"]}, "real"),
    ("announce: ::/0 is not about v4", ANN, A, {"deny": ["::/0"]}, "real"),
    ("announce: v4-mapped deny", ANN, A, {"deny": ["::ffff:127.0.1.2"]}, "real"),
    ("announce: v4-mapped deny of a network", ANN, A, {"deny": ["::ffff:127.0.1.2/127"]}, "real"),
    ("announce: v4-mapped allow of a network", ANN, A, {"allow": ["::ffff:127.0.1.0/120"]}, "real"),
    ("announce: deny-file", ANN, A, {"deny_file": ["public"]}, "real"),
    ("announce: asked via an address of the deny-file", ANN, B, {"deny_file": ["public"]}, "real"),
    ("announce: deny-file and deny", ANN, A, {"deny": [C], "deny_file": ["public"]}, "real"),
    ("announce: a tie with the deny-file is denied", ANN, A,
     {"allow": [A, B], "deny_file": ["public"]}, "real"),
    ("announce: deny-file against a wide allow", ANN, A,
     {"allow": ["127.0.0.0/8"], "deny_file": ["public"]}, "real"),
    ("announce: two deny-files", ANN, A, {"deny_file": ["public", "second"]}, "real"),
    ("announce: values that policy leaves open", {"mode": "announce", "list": AUTO}, A, {}, "real"),
    ("announce: those, with one denied", {"mode": "announce", "list": AUTO}, A, {"deny": [B]},
     "real"),
    ("announce: IPv6 listener, mixed list", {"mode": "announce", "list": SIX}, "::1", {}, "real"),
    ("announce: IPv6 listener, v6 denied", {"mode": "announce", "list": SIX}, "::1",
     {"deny": ["fd00::/16"]}, "real"),
    ("announce: IPv6 listener, v4 denied", {"mode": "announce", "list": SIX}, "::1",
     {"deny": ["0.0.0.0/0"]}, "real"),
    ("announce: IPv6 listener, itself denied", {"mode": "announce", "list": SIX}, "::1",
     {"deny": ["::/64"]}, "real"),
    ("announce: IPv6 listener, longest prefix", {"mode": "announce", "list": SIX}, "::1",
     {"deny": ["fd00::/8"], "allow": ["fd00:1::/64", "::1", "10.0.0.0/8"]}, "real"),
    ("announce: dialled v4-mapped", ANN, "mapped:" + A, {"deny": [B]}, "real"),
    ("announce: dialled v4-mapped, denied", ANN, "mapped:" + B, {"deny": [B]}, "real"),
    # -- filter
    ("filter: nothing forbidden", FIL, A, {}, "real"),
    ("filter: one denied", FIL, A, {"deny": ["127.0.0.12"]}, "real"),
    ("filter: only some allowed", FIL, A, {"allow": [A, "127.0.0.12/31"]}, "real"),
    ("filter: v6 denied", FIL, A, {"deny": ["::/0"]}, "real"),
    ("filter: v4 denied, asked via v6", FIL, "::1", {"deny": ["0.0.0.0/0"]}, "real"),
    ("filter: all denied: an empty list", FIL, A, {"deny": ["127.0.0.0/24", "::1"]}, "real"),
    ("filter: asked via a forbidden one", FIL, D, {"deny": [D]}, "real"),
    ("filter: asked via a forbidden one that the node names", FIL, "127.0.0.12",
     {"deny": ["127.0.0.12"]}, "real"),
    ("filter: asked via v6, itself forbidden", FIL, "::1", {"deny": ["::1"]}, "real"),
    ("filter: deny-file", FIL, A, {"deny_file": ["public", "second"]}, "real"),
    ("filter: odd node: link-local, unspecified, mapped", FIL, A, {}, "odd"),
    ("filter: odd node, a network denied", FIL, A, {"deny": ["10.1.0.0/24"]}, "odd"),
    ("filter: odd node, only one allowed", FIL, A, {"allow": [A, "10.2.0.7"]}, "odd"),
    ("filter: odd node, link-local allowed by name", FIL, A,
     {"allow": [A, "fe80::/10", "169.254.0.0/16", "0.0.0.0/32"]}, "odd"),
    ("filter: odd node, deny-file", FIL, A, {"deny_file": ["public"]}, "odd"),
    ("filter: odd node, v4-mapped entry denied as v4", FIL, A, {"deny": ["10.1.0.8"]}, "odd"),
    ("filter: odd node, v4 entry denied as v4-mapped", FIL, A, {"deny": ["::ffff:10.1.0.5"]},
     "odd"),
    ("filter: odd node, all forbidden: empty", FIL, A, {"allow": [A]}, "odd"),
    ("filter: the node's list is empty", FIL, A, {}, "empty"),
    # -- pass
    ("pass", PAS, A, {}, "real"),
    ("pass: rules do not matter", PAS, A, {"deny": ["0.0.0.0/0", "::/0"]}, "real"),
    ("pass: asked via a forbidden one", PAS, D, {"deny": [D]}, "real"),
    ("pass: odd node", PAS, A, {"deny": ["10.1.0.0/24"]}, "odd"),
    ("pass: the node's list is empty", PAS, A, {}, "empty"),
]


def rules(spec, files):
    denied = []
    for f in spec.get("deny_file", ()):
        denied += model.public_addresses(files[f])
    return model.Acl(spec.get("allow"), spec.get("deny"), denied)


class Bench:
    """smbgate, its nodes, and a way to ask."""

    def __init__(self, t):
        self.t = t
        lab = node.Lab(t)
        spec = "%s%s;speed=%d%s,if_index=%d"
        self.real = node.Node(lab, "real", "127.0.0.11", interfaces=[
            spec % (ip, "/128" if ":" in ip else "/8", s, ",capability=RSS" if c else "", i)
            for ip, s, c, i in reversed(REAL)]).start()
        self.nomc = node.Node(lab, "nomc", "127.0.0.21", multichannel=False).start()
        self.odd = fake.FakeNode(t, "odd", "127.0.0.41", interfaces=fake.iface_list(ODD)).start()
        self.empty = fake.FakeNode(t, "empty", "127.0.0.42", interfaces=b"").start()
        self.lists = {"real": REAL, "odd": ODD, "empty": []}
        self.turn = 0
        self.mapped = False

    def start_gate(self):
        self.port, self.port6 = node.free_port("0.0.0.0"), node.free_port("::")
        self.g = gate.Gate(self.t, [self.real], listen={
            "lan": "0.0.0.0:%d" % self.port, "six": "[::]:%d" % self.port6}).start()
        self.files = {"public": PUBLIC, "second": "127.0.0.13/24 eth0\n127.0.1.3/24\n::1/64 lo\n"}
        for f, text in self.files.items():
            with open(os.path.join(self.g.dir, f), "w") as out:
                out.write(text)
        with socket.socket() as s:      # does the IPv6 listener take IPv4 as well?
            s.settimeout(2)
            self.mapped = s.connect_ex(("127.0.0.1", self.port6)) == 0

    def policy(self, section, spec, kind="real", **more):
        n = getattr(self, kind)
        both = {"lan": section, "six": section} if section else None
        kw = {k: spec.get(k) for k in ("allow", "deny", "deny_file")}
        self.g.reload(nodes=[n], interfaces=both, **kw, **more)

    def connect(self, dialled):
        """A connection to that local address, and the address as the rules see it."""
        if dialled.startswith("mapped:"):
            return smb2.Conn(dialled[7:], self.port6), dialled[7:]
        return smb2.Conn(dialled, self.port6 if ":" in dialled else self.port), dialled

    def session(self, dialled, kind=None):
        """An unsigned session, each time of another kind."""
        kinds = [([0x0300], "user"), ([0x0311], "guest"), ([0x0302], "user"), ([0x0210], "user"),
                 ([0x0311], "anonymous"), ([0x0202, 0x0210, 0x0300], "guest")]
        dialects, who = kind or kinds[self.turn % len(kinds)]
        self.turn += 1
        c, _ = self.connect(dialled)
        c.negotiate(dialects, multi=self.turn % 3 == 0)
        s = {"user": c.login, "guest": c.guest,
             "anonymous": lambda: c.login("", "")}[who]()
        return c, s, c.tree(s, "IPC$")


def table(t, b):
    t.ok(b.mapped, "a listener on [::] takes IPv4 too")
    for name, section, dialled, spec, kind in CASES:
        b.policy(section, spec, kind)
        c, s, tid = b.session(dialled)
        want = model.told(rules(spec, b.files), section, dialled.replace("mapped:", ""),
                          b.lists[kind])
        if section == PAS:
            want = b.lists[kind]
        try:
            got = c.ifinfo(s, tid)
            t.ok(model.wanted(got, want) if section != PAS else
                 [e.key() for e in got] == [tuple(w) for w in want], name,
                 "got:  %r" % got, "want: %r" % (want,), "session: %x" % c.dialect)
            c.echo(session=s)
            shown = [x for x in b.g.sessions() if int(x["session_id"], 16) == s.sid]
            t.ok(len(shown) == 1 and (section == PAS or [
                (str(model.fold(a["address"])), a["speed"], a["ifindex"])
                for a in shown[0]["addresses"]] == [(e.ip, e.speed, e.index) for e in got]),
                name + ": show sessions tells what the client was told", shown)
        except (smb2.Status, smb2.Broken, smb2.Closed) as e:
            t.ok(False, name, repr(e), "want: %r" % (want,))
        c.close()


def sizes(t, b):
    """MaxOutputResponse: a list that does not fit is refused whole."""
    for mode, section, n, nodes in (("announce", ANN, 3, 4), ("filter", FIL, 4, 4),
                                    ("one", NONE, 1, 4)):
        b.policy(section, {})
        c, s, tid = b.session(A, ([0x0300], "user"))
        for room in (0, 1, 151, 152, 303, 304, 152 * n - 1, 152 * n, 152 * n + 1, 65536):
            m = c.ifinfo_raw(s, tid, max_out=room)
            fits = room >= 152 * n
            t.same(hex(m.status), hex(smb2.OK if fits else smb2.BUFFER_TOO_SMALL),
                   "%s, %d entries in %d bytes" % (mode, n, room))
            if fits and not m.status:
                t.ok(len(smb2.ifinfo_of(m)) == n, "%s: all %d of them" % (mode, n))
        c.echo()
        c.close()
    b.policy(FIL, {"deny": ["127.0.0.12", "127.0.0.13", "::1"]})
    c, s, tid = b.session(A, ([0x0300], "user"))
    t.same(hex(c.ifinfo_raw(s, tid, max_out=152).status), hex(smb2.BUFFER_TOO_SMALL),
           "filter: the node's own refusal passes")
    c.close()
    b.policy(FIL, {"deny": ["127.0.0.0/24", "::1"]})
    c, s, tid = b.session(A, ([0x0300], "user"))
    m = c.ifinfo_raw(s, tid)
    t.ok(m.status == 0 and smb2.IoctlReply(m).out_len == 0, "empty: success with no output", m)
    c.close()


def compounds(t, b):
    """In every position of compounds; the other answers are untouched."""
    b.policy(ANN, {"deny": [B]})
    want = model.told(rules({"deny": [B]}, b.files), ANN, A, REAL)
    c, s, tid = b.session(A, ([0x0300], "user"))
    c.echo()
    echo = {"cmd": smb2.ECHO, "body": struct.pack("<HH", 4, 0)}
    q = {"cmd": smb2.IOCTL, "body": smb2.ioctl_body(), "session": s, "tid": tid}
    small = dict(q, body=smb2.ioctl_body(max_out=300))
    other = dict(q, body=smb2.ioctl_body(code=smb2.VALIDATE_NEGOTIATE, max_out=24, data=struct.pack(
        "<I", 0x7F) + c.guid + struct.pack("<HHH", 1, 1, 0x0300)))
    names = {id(echo): "echo", id(q): "query", id(small): "small query", id(other): "other ioctl"}
    for parts in ([q, echo], [echo, q], [echo, q, echo], [q, q], [q, q, q], [echo, q, q, echo],
                  [q, echo, q, echo, q], [echo] * 7 + [q], [small, q], [q, small, echo],
                  [q, other], [other, q]):
        name = "compound: " + " + ".join(names[id(p)] for p in parts)
        try:
            out = c.calls(parts)
        except (smb2.Closed, smb2.Broken) as e:
            t.ok(False, name, repr(e))
            c, s, tid = b.session(A, ([0x0300], "user"))
            continue
        good = True
        for p, m in zip(parts, out):
            if p is q:
                good = good and m.status == 0 and model.wanted(smb2.ifinfo_of(m), want)
            elif p is small:
                good = good and m.status == smb2.BUFFER_TOO_SMALL
            else:
                good = good and m.status == 0
        t.ok(good, name, out)
    rel = {"flags": smb2.RELATED, "session": None, "sid": smb2.ANY64, "tid": 0xFFFFFFFF}
    first = dict(echo, session=s, tid=tid)
    for parts in ([first, dict(q, **rel)], [q, dict(q, **rel)],
                  [first, dict(q, **rel), dict(q, **rel)]):
        out = c.calls(parts)
        t.ok(all(model.wanted(smb2.ifinfo_of(m), want) for m in out if m.cmd == smb2.IOCTL),
             "related compound of %d" % len(parts), out)
    # several questions in flight, each in a frame of its own
    sent = [c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid) for _ in range(20)]
    for m in sent:
        c.send_frame(m)
    out = c.answers([smb2.Msg(m).mid for m in sent])
    t.ok(all(model.wanted(smb2.ifinfo_of(m), want) for m in out), "twenty in flight")
    # all of it byte by byte
    m = c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid)
    for x in smb2.frame(m):
        c.send_raw(bytes([x]))
    out = c.answers([smb2.Msg(m).mid])
    t.ok(model.wanted(smb2.ifinfo_of(out[0]), want), "a question that trickles in")
    c.close()


def large_compounds(t, b):
    """A compound too long to be held: passes, unless it holds what must be seen."""
    b.policy(ANN, {})
    for label, conn in (("direct", lambda: smb2.Conn(b.real.addr, b.real.port)),
                        ("through", lambda: b.connect(A)[0])):
        c = conn().negotiate([0x0302])
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "large", disp=5)
        while c.credits < 64:
            c.echo(credits=256)
        for size in (1000, 60000, 70000, 300000, 1 << 20):
            data = os.urandom(size)
            write = {"cmd": smb2.WRITE, "session": s, "tid": tid, "charge": (size + 65535) // 65536,
                     "body": struct.pack("<HHIQ", 49, 112, size, 0) + fid + bytes(16) + data}
            echo = {"cmd": smb2.ECHO, "body": struct.pack("<HH", 4, 0)}
            out = c.calls([echo, write, echo])
            t.ok(all(m.status == 0 for m in out) and c.read(s, tid, fid, 0, size) == data,
                 "%s: a compound with %d bytes" % (label, size), out)
            read = {"cmd": smb2.READ, "session": s, "tid": tid, "charge": write["charge"],
                    "body": c.read_body(fid, 0, size)}
            out = c.calls([read, echo])
            t.ok(all(m.status == 0 for m in out) and data in out[0].raw,
                 "%s: a compound answer with %d bytes" % (label, size))
            query = {"cmd": smb2.IOCTL, "body": smb2.ioctl_body(), "session": s, "tid": tid}
            before = b.g.closes() if label == "through" else None
            for parts in ([write, query], [query, write], [read, query], [query, read, echo]):
                try:
                    out = c.calls(parts)
                    got = [smb2.ifinfo_of(m) for m in out if m.cmd == smb2.IOCTL][0]
                    t.ok(label == "direct" or
                         model.wanted(got, model.told(model.Acl(), ANN, A, REAL)),
                         "%s: with a query and %d bytes: %s" % (label, size, "the node's list"
                                                               if label == "direct" else "told"))
                except smb2.Closed:
                    t.ok(label == "through" and "unseen_compound" in b.g.closed_for(
                        "unseen_compound", before),
                         "%s: with a query and %d bytes: closed, counted" % (label, size))
                    c = conn().negotiate([0x0302])
                    s = c.login()
                    tid = c.tree(s)
                    fid = c.create(s, tid, "large", disp=3)
                    while c.credits < 64:
                        c.echo(credits=256)
                    for p in (write, read, query):
                        p.update(session=s, tid=tid)
                    write["body"] = write["body"][:16] + fid + write["body"][32:]
                    read["body"] = c.read_body(fid, 0, size)
                    before = b.g.closes()
        c.close()


def pending(t, b):
    """A node that says STATUS_PENDING first; final answers are asynchronous then."""
    def slow(p, m):
        if not isinstance(m, smb2.Msg) or m.cmd != smb2.IOCTL:
            return None
        aid = 77 + m.mid

        def asynchronous(msg):
            return msg[:16] + struct.pack("<I", smb2.RESPONSE | smb2.ASYNC) + msg[20:32] \
                + struct.pack("<Q", aid) + msg[40:]
        interim = asynchronous(fake.FakeNode.error(m, smb2.PENDING))
        final = asynchronous(fake.FakeNode.reply(m, fake.FakeNode.ioctl_answer(
            m, fake.iface_list(ODD))[64:], credits=0))
        return smb2.frame(interim) + smb2.frame(fake.FakeNode.reply(
            smb2.Msg(smb2.header(smb2.OPLOCK_BREAK, smb2.ANY64)), bytes(24), credits=0,
            )[:24] + struct.pack("<Q", smb2.ANY64) + bytes(32) + bytes(24)) + smb2.frame(final)
    b.odd.on_message = slow
    b.policy(FIL, {"deny": ["10.1.0.0/16"]}, "odd")
    want = model.told(rules({"deny": ["10.1.0.0/16"]}, b.files), FIL, A, ODD)
    c, s, tid = b.session(A, ([0x0300], "user"))
    try:
        m = c.ifinfo_raw(s, tid)
        t.ok(len(c.pendings) == 1 and m.flags & smb2.ASYNC and m.async_id == 77 + m.mid,
             "pending: interim and final answer come, with their AsyncId", c.pendings, m)
        t.ok(model.wanted(smb2.ifinfo_of(m), want), "pending: the final one is rewritten",
             smb2.ifinfo_of(m), want)
    except (smb2.Closed, smb2.Broken) as e:
        t.ok(False, "pending: answered", repr(e))
    b.odd.on_message = None
    c.close()


def channels(t, b):
    """Each channel is told by the address that it dialled."""
    spec = {"deny": [D]}
    b.policy(ANN, spec)
    acl = rules(spec, b.files)
    a, s, tid = b.session(A, ([0x0302], "user"))
    for addr, can in ((B, True), (D, False)):
        c, _ = b.connect(addr)
        c.negotiate([0x0302], guid=a.guid)
        if can:
            c.login(bind=s)
            t.ok(model.wanted(c.ifinfo(s, tid, sign=False), model.told(acl, ANN, addr, REAL)),
                 "second channel: told the list, asked on it")
        else:
            other = c.login()
            t.ok(model.wanted(c.ifinfo(other, c.tree(other, "IPC$")),
                              model.told(acl, ANN, addr, REAL)),
                 "a connection at the forbidden address is told that one alone")
        c.close()
    t.ok(model.wanted(a.ifinfo(s, tid), model.told(acl, ANN, A, REAL)),
         "the first channel: still so")
    a.close()


def listeners(t, b):
    """Each listener has a section of its own; a policy change is felt by live connections."""
    b.g.reload(nodes=[b.real], allow=None, deny=None, deny_file=None,
               interfaces={"lan": ANN, "six": {"mode": "announce", "list": SIX}})
    acl = model.Acl()
    c4, s4, t4 = b.session(A, ([0x0300], "user"))
    c6, s6, t6 = b.session("::1", ([0x0300], "user"))
    t.ok(model.wanted(c4.ifinfo(s4, t4), model.told(acl, ANN, A, REAL)),
         "listener lan: its own list")
    t.ok(model.wanted(c6.ifinfo(s6, t6), model.told(acl, {"list": SIX}, "::1", REAL)),
         "listener six: its own list")
    b.g.reload(interfaces={"lan": PAS})
    t.same([e.key() for e in c4.ifinfo(s4, t4)], REAL, "reload: the live connection: pass")
    t.ok(model.wanted(c6.ifinfo(s6, t6), model.told(acl, None, "::1", REAL)),
         "reload: the listener without a section: the dialled address")
    c4.close()
    c6.close()


def errors(t, b):
    """What the node refuses, it refuses."""
    d = smb2.Conn(b.nomc.addr, b.nomc.port).negotiate([0x0300])
    ds = d.login()
    want = {x: d.ifinfo_raw(ds, d.tree(ds, x)).status for x in ("IPC$", "data")}
    d.close()
    t.ok(all(want.values()), "direct: no multichannel at the node: errors 0x%08X on IPC$, 0x%08X"
         % tuple(want.values()))
    for mode, section in (("announce", ANN), ("filter", FIL), ("pass", PAS)):
        b.policy(section, {}, "nomc")
        c, s, tid = b.session(A, ([0x0300], "user"))
        for share, status in want.items():
            m = c.ifinfo_raw(s, c.tree(s, share))
            t.same(hex(m.status), hex(status), "%s: no multichannel at the node: %s" % (mode,
                                                                                       share))
        c.close()
    b.policy(ANN, {})
    c, s, tid = b.session(A, ([0x0300], "user"))
    m = c.call(smb2.IOCTL, smb2.ioctl_body(fid=bytes(16)), session=s, tid=tid)
    d = smb2.Conn(b.real.addr, b.real.port).negotiate([0x0300])
    ds = d.login()
    w = d.call(smb2.IOCTL, smb2.ioctl_body(fid=bytes(16)), session=ds, tid=d.tree(ds, "IPC$"))
    t.ok(m.status == w.status != 0, "a query with a FileId fails as it does directly: 0x%08X, "
         "0x%08X" % (m.status, w.status))
    c.close()
    d.close()
    # a guest session has no key: a message that only claims to be signed is no way past policy
    c, s, tid = b.session(A, ([0x0311], "guest"))
    body = smb2.ioctl_body()
    m = c.build(smb2.IOCTL, body, session=s, tid=tid, flags=smb2.SIGNED)
    try:
        c.send_frame(m[:48] + b"\xa5" * 16 + m[64:])
        got, = c.answers([smb2.Msg(m).mid])
        t.ok(got.status != 0 or not set(e.ip for e in smb2.ifinfo_of(got)) & {r[0] for r in REAL},
             "claimed to be signed: the node's list does not get out", got)
    except smb2.Closed:
        t.ok(True, "claimed to be signed: closed")
    c.close()


def signed(t, b):
    """Without a key, a signed answer passes as it is, and is counted."""
    for label, dialects, kw in (("3.0 CMAC", [0x0300], {}), ("3.1.1 GMAC", [0x0311], {}),
                                ("3.1.1 CMAC", [0x0311], {"signing": (1,)}),
                                ("2.1 HMAC", [0x0210], {})):
        b.policy(ANN, {"deny": ["0.0.0.0/0"]}, unkeyed="pass")
        before = b.g.stats()
        c, _ = b.connect(A)
        c.negotiate(dialects, **kw)
        s = c.login(sign=True)
        m = c.ifinfo_raw(s, c.tree(s, "IPC$"))
        t.ok(m.flags & smb2.SIGNED and getattr(m, "sig_ok", False),
             label + ": the node's signature")
        t.same([e.key() for e in smb2.ifinfo_of(m)], REAL, label + ": the node's list")
        t.ok(tap.wait_for(lambda w=before: b.g.stats()["ifinfo_opaque"] > w["ifinfo_opaque"]),
             label + ": counted")
        c.close()
    for label, dialects, kw in (("3.0 AES-128-CCM", [0x0300], {}),
                                ("3.1.1 AES-128-GCM", [0x0311], {"ciphers": (2,)}),
                                ("3.1.1 AES-256-CCM", [0x0311], {"ciphers": (3,)})):
        c, _ = b.connect(A)
        c.negotiate(dialects, **kw)
        s = c.login()
        m = c.ifinfo_raw(s, c.tree(s, "IPC$", sealed=True, sign=False), sealed=True, sign=False)
        t.ok(m.sealed and [e.key() for e in smb2.ifinfo_of(m)] == REAL,
             label + ": a sealed query passes")
        c.close()
    b.policy(ANN, {}, unkeyed="refuse")
    before = b.g.closes()
    c, _ = b.connect(A)
    c.negotiate([0x0300])
    s = c.login()
    try:
        c.ifinfo_raw(s, 0, sealed=True)
        t.ok(False, "unkeyed = refuse: a sealed frame: closed")
    except smb2.Closed:
        t.ok("unkeyed" in b.g.closed_for("unkeyed", before),
             "unkeyed = refuse: a sealed frame: closed")
    c.close()
    before = b.g.closes()
    c, _ = b.connect(A)
    c.negotiate([0x0300])
    try:
        s = c.login(sign=True)
        c.ifinfo_raw(s, c.tree(s, "IPC$"))
        t.ok(False, "unkeyed = refuse: closed")
    except smb2.Closed:
        t.ok("unkeyed" in b.g.closed_for("unkeyed", before),
             "unkeyed = refuse: closed, and counted")
    c.close()
    c, s, tid = b.session(A, ([0x0300], "user"))
    t.ok(model.wanted(c.ifinfo(s, tid), model.told(model.Acl(), ANN, A, REAL)),
         "unkeyed = refuse: an unsigned session goes on and is told the list")
    c.close()
    b.g.reload(unkeyed="pass")


def direct(t, b):
    for kind, dialects, who in (("3.0", [0x0300], "login"), ("3.1.1 guest", [0x0311], "guest")):
        c = smb2.Conn(b.real.addr, b.real.port).negotiate(dialects)
        s = getattr(c, who)()
        m = c.ifinfo_raw(s, c.tree(s, "IPC$"))
        t.ok(not m.flags & smb2.SIGNED, "direct, %s: the answer is unsigned" % kind)
        t.same([e.key() for e in smb2.ifinfo_of(m)], REAL, "direct, %s: the node's list" % kind)
        c.close()
    c = smb2.Conn(b.odd.addr, b.odd.port).negotiate([0x0300])
    s = c.guest()
    t.same([e.key() for e in c.ifinfo(s, c.tree(s))],
           ODD, "direct: the scripted node's list")
    c.close()


def main(t):
    b = Bench(t)
    direct(t, b)
    why = gate.missing()
    if why:
        t.bail(why)
    b.start_gate()
    t.diag("%d cases in the table; IPv6 listener takes IPv4: %s" % (len(CASES), b.mapped))
    table(t, b)
    sizes(t, b)
    compounds(t, b)
    large_compounds(t, b)
    pending(t, b)
    channels(t, b)
    listeners(t, b)
    errors(t, b)
    signed(t, b)
    t.same(b.g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=300) as test:
    main(test)
