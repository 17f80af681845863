#!/usr/bin/python3
# hostile-wire.t: the cases of t/hostile, one by one: what becomes of each, and of a neighbour
"""See t/lab/wirecase.py for what a case is.  LEARN=1 in the environment prints what is seen, and
does not judge it."""
import os
import socket
import struct
import threading

import gate
import node
import smb2
import tap
from wirecase import F, SID, answer, cases, negotiated, smb1_negotiated, stages

why = gate.missing()
if why:
    tap.skip_all(why)

FORBIDDEN = bytes([10, 66])
LEARN = os.environ.get("LEARN")


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
