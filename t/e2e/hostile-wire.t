#!/usr/bin/python3
# hostile-wire.t: the cases of t/hostile, one by one: what becomes of each, and of a neighbour
"""A case is a section of a file of t/hostile:

    [name]
    # the rule that it is about
    on STAGE            where the conversation stands: see STAGES
    send HEX            what is sent then, by the client, or by the node for a stage of NODE;
                        "00*32" is a byte 32 times, and an indented line goes on with it
    node HEX            what comes through of it, where that is not what was sent
    verdict WHAT

WHAT: "closed REASON": smbgate ends the connection, with that reason counted, and nothing of what
was sent comes through; "cut REASON": what stood before it did. "relayed": it comes through, byte
for byte. "waits": it is not whole; nothing is said until its sender ends the connection. "answered
STATUS", or the bytes: smbgate answers, and the other side sees nothing. "changed": something else
comes through, without a forbidden address. "told": what nobody here can open, or may change, comes
through as it is, with such an address.

LEARN=1 in the environment prints what is seen in place of judging it."""
import glob
import os
import re
import socket
import struct
import threading

import gate
import node
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

F = smb2.frame
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SID, UID = 5, 7
FORBIDDEN = bytes([10, 66])
LEARN = os.environ.get("LEARN")


def negotiate(dialect, number):
    """A frame that no other case begins with."""
    guid = b"case" + struct.pack("<I", number) + bytes(8)
    return F(smb2.header(smb2.NEGOTIATE, 0, credits=31, charge=0) +
             smb2.negotiate_body([dialect], guid, salt=bytes(32)))


def answer(cmd, mid, body, status=0, sid=0):
    return smb2.header(cmd, mid, sid, 0, smb2.RESPONSE, 32, 1, 0, 0xFEFF, status) + body


def negotiated(dialect, packed=False):
    ctx, count = b"", 0
    if dialect == 0x0311:
        ctx, count = struct.pack("<HHIHHH", 1, 38, 0, 1, 32, 1) + bytes(32), 1
        if packed:
            ctx += bytes(2) + struct.pack("<HHIHHIH", 3, 10, 0, 1, 0, 1, 2)
            count = 2
    body = struct.pack("<HHHH", 65, 1, dialect, count) + b"wire".ljust(16, b"\0") + \
        struct.pack("<IIII", 0x7F if dialect >= 0x0300 else 1, 1 << 20, 1 << 20, 1 << 20) + \
        bytes(16) + struct.pack("<HHI", 128, 0, 128 if ctx else 0) + ctx
    return F(answer(smb2.NEGOTIATE, 0, body))


SETUP = F(smb2.header(smb2.SESSION_SETUP, 1, credits=31) +
          struct.pack("<HBBIIHHQ", 25, 0, 1, 1, 0, 88, 16, 0) + b"NTLMSSP\0" +
          struct.pack("<II", 3, 0))
GUEST = F(answer(smb2.SESSION_SETUP, 1, struct.pack("<HHHH", 9, 1, 72, 0), sid=SID))
QUERY = F(smb2.header(smb2.IOCTL, 2, SID, 7) + smb2.ioctl_body(one_byte=False))
ECHO = F(smb2.header(smb2.ECHO, 2, SID) + b"\4\0\0\0")
ECHOED = F(answer(smb2.ECHO, 2, b"\4\0\0\0", sid=SID))


def smb1_negotiate(number):
    m = bytearray(smb2.smb1_negotiate(["NT LM 0.12"]))
    struct.pack_into("<H", m, 26, number)
    return F(bytes(m))


def smb1_head(cmd, number, flags=0x98, mid=0, uid=0):
    return b"\xffSMB" + bytes([cmd]) + bytes(4) + bytes([flags]) + struct.pack(
        "<H", 0xC001) + bytes(12) + struct.pack("<HHHH", 0, number, uid, mid)


def smb1_negotiated(number):
    return F(smb1_head(0x72, number) + b"\x11" + struct.pack(
        "<HBHHIIIIQHB", 0, 3, 50, 1, 16644, 65536, 0, 0x8000005C, 0, 0, 0) +
        struct.pack("<H", 16) + b"wire" * 4)


def smb1_setup(number):
    return F(smb1_head(0x73, number, 0x18, 1) + b"\x0c\xff\0" + struct.pack(
        "<HHHHIHIIH", 0, 16644, 2, 1, 0, 4, 0, 0x80000054, 9) + b"blob" + bytes(5))


def smb1_guest(number):
    return F(smb1_head(0x73, number, mid=1, uid=UID) + b"\x04\xff\0" + struct.pack(
        "<HHH", 0, 1, 0) + struct.pack("<H", 3) + bytes(3))


def stages(number):
    """name -> ([(what the client sends, what the node answers)], what the client asks last)."""
    out = {"fresh": ([], None), "netbios": ([], None), "proxied": ([], None)}
    multi = bytearray(smb2.smb1_negotiate(smb2.MULTI))
    struct.pack_into("<H", multi, 26, number)
    out["multi"] = ([(F(bytes(multi)), None)], None)    # smbgate answers that itself
    for name, dialect, packed in (("2.0.2", 0x0202, False), ("2.1", 0x0210, False),
                                  ("3.0", 0x0300, False), ("3.1.1", 0x0311, False),
                                  ("packed", 0x0311, True)):
        first = (negotiate(dialect, number), negotiated(dialect, packed))
        out[name] = ([first], None)
        out[name + " guest"] = ([first, (SETUP, GUEST)], None)
        out["node %s negotiate" % name] = ([], first[0])
        out["node %s setup" % name] = ([first], SETUP)
        out["node %s query" % name] = ([first, (SETUP, GUEST)], QUERY)
        out["node %s echo" % name] = ([first, (SETUP, GUEST)], ECHO)
    one = (smb1_negotiate(number), smb1_negotiated(number))
    out["smb1"] = ([one], None)
    out["smb1 guest"] = ([one, (smb1_setup(number), smb1_guest(number))], None)
    out["node smb1 negotiate"] = ([], one[0])
    out["node smb1 setup"] = ([one], smb1_setup(number))
    return out


class Link:
    """A connection that has reached the node: all that came over it."""

    def __init__(self, sock):
        self.sock, self.got, self.over = sock, b"", False


class Wire:
    """A node that says what it was told to, frame by frame, to whom begins with a frame that it
    knows; to others what a good node says to a NEGOTIATE and to an ECHO."""

    def __init__(self, t):
        self.name, self.addr = "wire", "127.0.0.47"
        self.sock = socket.create_server((self.addr, 0), backlog=64)
        self.port = self.sock.getsockname()[1]
        self.endpoint = "%s:%d" % (self.addr, self.port)
        self.plans, self.links, self.changed = {}, {}, threading.Condition()
        threading.Thread(target=self.run, daemon=True).start()
        t.defer(self.sock.close)

    def run(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    @staticmethod
    def usual(m):
        if b"SMB 2.???" in m:
            return negotiated(0x02FF)
        if m[4:8] == b"\xffSMB":
            return smb1_negotiated(0)
        h = smb2.Msg(m[4:])
        if h.cmd == smb2.NEGOTIATE:
            return negotiated(0x0302)
        if h.cmd == smb2.SESSION_SETUP:
            return F(answer(h.cmd, h.mid, struct.pack("<HHHH", 9, 1, 72, 0), sid=SID + 1))
        return F(answer(h.cmd, h.mid, b"\4\0\0\0", sid=h.sid))

    def serve(self, s):
        link, buf, plan = Link(s), b"", None
        try:
            while True:
                got = s.recv(1 << 16)
                if not got:
                    break
                buf += got
                if link.got == b"" and len(buf) >= 4:   # whose is it?
                    whole = 4 + int.from_bytes(buf[1:4], "big")
                    if len(buf) < whole:
                        continue
                    with self.changed:
                        plan = self.plans.get(buf[:whole])
                        if plan is not None:
                            self.links[buf[:whole]] = link
                with self.changed:
                    link.got += got
                    self.changed.notify_all()
                while len(buf) >= 4 and len(buf) >= 4 + int.from_bytes(buf[1:4], "big"):
                    n = 4 + int.from_bytes(buf[1:4], "big")
                    out = self.usual(buf[:n]) if plan is None else plan.pop(0) if plan else b""
                    buf = buf[n:]
                    if out:
                        s.sendall(out)
        except (OSError, smb2.Broken, struct.error):
            pass
        s.close()
        with self.changed:
            link.over = True
            self.changed.notify_all()


class Case:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.field = {"send": b"", "node": None, "on": "", "verdict": ""}


def unhex(text):
    out = b""
    for word in text.split():
        digits, _, times = word.partition("*")
        out += bytes.fromhex(digits) * int(times or 1)
    return out


def cases():
    for path in sorted(glob.glob(os.path.join(HERE, "hostile", "*.txt"))):
        case, text = None, open(path, encoding="ascii").read()
        for line in re.sub(r"\n[ \t]+(?=\S)", " ", text).splitlines():
            if line.startswith("["):
                if case:
                    yield case
                case = Case(line[1:-1], os.path.basename(path)[:-4])
            elif line and not line.startswith("#"):
                key, _, value = line.partition(" ")
                case.field[key] = unhex(value) if key in ("send", "node") else value
        yield case


class Place:
    """A gate, its node, and a neighbour on its one worker."""

    def __init__(self, t, wire, **policy):
        self.ports = {k: node.free_port("0.0.0.0") for k in ("netbios", "proxied")}
        self.wire = wire
        self.g = gate.Gate(t, [wire], workers=1, conf="""\
listen "netbios" { address = "0.0.0.0:%(netbios)d"
	netbios = true }
listen "proxied" { address = "0.0.0.0:%(proxied)d"
	proxy-protocol = { "127.0.0.1" } }
""" % self.ports, health={"interval": "60s", "timeout": "5s", "rise": 1, "fall": 9},
            limits={"accept-rate": 100000, "accept-burst": 100000},
            interfaces={k: {"mode": "filter"} for k in ("lan", "netbios", "proxied")},
            deny=["10.66.0.0/16"], **policy).start()
        self.neighbour = smb2.Conn("127.0.0.1", self.g.port, src="127.0.3.1").negotiate([0x0302])
        self.s = self.neighbour.guest()
        self.closed = self.g.closes()

    def how(self):
        """The reason of the one connection that has ended since."""
        tap.wait_for(lambda: self.g.closed_since(self.closed), 20, 0.002)
        new = self.g.closed_since(self.closed)
        self.closed = self.g.closes()
        return "+".join("%s*%d" % kv if kv[1] > 1 else kv[0] for kv in sorted(new.items()))


def frames(sock, n):
    """So many bytes, or what there was in the end."""
    out = b""
    while len(out) < n:
        got = sock.recv(n - len(out))
        if not got:
            break
        out += got
    return out


def exchange(c, ask, reply):
    c.sendall(ask)
    got = frames(c, 4)
    got += frames(c, int.from_bytes(got[1:], "big"))
    if reply and got != reply:
        raise RuntimeError("the conversation does not come so far: " + got.hex())


def told(data):
    """An answer in short."""
    if data[4:8] == b"\xfeSMB":
        return "answered 0x%08X" % struct.unpack_from("<I", data, 12)
    return "answered %s" % data.hex()


def client_says(p, c, case, plan_key):
    """What becomes of what the client sends."""
    sent = case.field["send"]
    want = case.field["node"] if case.field["node"] is not None else sent
    link = p.wire.links.get(plan_key)
    base = len(link.got) if link else 0
    if plan_key is None:
        plan_key = want
        p.wire.plans[want] = []
    try:
        c.sendall(sent)
        if case.field["verdict"] == "waits":
            c.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    heard, ended = b"", False

    def look():
        nonlocal heard, ended, link
        link = link or p.wire.links.get(plan_key)
        try:
            got = c.recv(1 << 16)
            heard += got
            ended = not got
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        arrived = link and len(link.got) - base >= len(want)
        # Where the case says what comes through, an answer of smbgate's own is not all there is.
        return ended or arrived or (heard and case.field["node"] is None)
    c.setblocking(False)
    seen = tap.wait_for(look, 1 if LEARN else 20, 0.002)
    through = link.got[base:] if link else b""
    c.close()
    reason = p.how()
    if heard:
        return told(heard) + (" and relayed" if through == want else "")
    if not seen or (ended and reason == "client_eof"):
        return "waits" if want.startswith(through) else "changed"
    if through == want:
        return "relayed"
    if through and ended and want.startswith(through):
        return "cut " + reason
    return "changed" if through else "closed " + reason


def node_says(p, c, case, asked, plan_key):
    """What becomes of what the node answers."""
    sent = case.field["send"]
    want = case.field["node"] if case.field["node"] is not None else sent
    p.wire.plans[plan_key].append(sent)
    c.sendall(asked)
    heard, ended = b"", False
    if case.field["verdict"] == "waits":
        def arrived():
            link = p.wire.links.get(plan_key)
            return link and link.got.endswith(asked)
        tap.wait_for(arrived, 20, 0.002)
        p.wire.links[plan_key].sock.shutdown(socket.SHUT_RDWR)

    def look():
        nonlocal heard, ended
        try:
            got = c.recv(1 << 16)
            heard += got
            ended = not got
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        return ended or len(heard) >= len(want)
    c.setblocking(False)
    seen = tap.wait_for(look, 1 if LEARN or case.field["verdict"] == "changed" else 20, 0.002)
    c.close()
    reason = p.how()
    if FORBIDDEN in heard[112:]:
        return "told" if heard == want else "changed, and told"
    if heard == want:
        return "relayed"
    if heard and not want.startswith(heard):
        return "changed"
    if heard and len(heard) < len(want) and ended and reason != "node_eof":
        return "cut " + reason
    return "closed " + reason if seen and ended and reason != "node_eof" else "waits"


def judge(p, case, number):
    steps, asked = stages(number)[case.field["on"]]
    port = p.ports.get(case.field["on"], p.g.port)
    c = socket.create_connection(("127.0.0.1", port), 10)
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = steps[0][0] if steps and steps[0][1] else asked
    if key is not None:
        p.wire.plans[key] = [reply for _, reply in steps]
    for ask, reply in steps:
        exchange(c, ask, reply)
    return client_says(p, c, case, key) if asked is None else node_says(p, c, case, asked, key)


def main(t):
    wire = Wire(t)
    place = {False: Place(t, wire), True: Place(t, wire, smb1="allow")}
    all_cases = list(cases())
    names = [c.where + ": " + c.name for c in all_cases]
    t.ok(len(set(names)) == len(names), "%d cases, each with a name" % len(names))
    for number, case in enumerate(all_cases):
        p = place["smb1" in case.field["on"]]
        got = judge(p, case, number)
        if LEARN:
            print("LEARN\t%s\t%s\t%s" % (case.where, case.name, got), flush=True)
        else:
            want = case.field["verdict"]
            # What came through is lost where the end of the connection overtakes it.
            if want.startswith("cut ") and got == "closed " + want[4:]:
                got = want
            t.same(got, want, names[number])
        p.neighbour.echo(session=p.s)
    for p in place.values():
        p.neighbour.echo(session=p.s)
        t.same(p.g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=120) as test:
    main(test)
