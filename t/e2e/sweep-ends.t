#!/usr/bin/python3
# sweep-ends.t: at each point of a conversation, client and node end it in each order and way
"""Whoever is left hears of it, and has what was said before; whoever else is there is served, and
nothing is kept.  First one after the other, then all at once."""
import contextlib
import itertools
import os
import selectors
import socket
import struct
import threading

import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

SOON, READS, LENGTH = 15, 4, 60000


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def shut(s):
    with contextlib.suppress(OSError):      # it has been reset
        s.shutdown(socket.SHUT_WR)


WAYS = {"closes": socket.socket.close, "resets": reset, "shuts its way": shut}


class Leg:
    """A connection of smbgate's, and of this node's to the smbd behind it."""

    def __init__(self, here, there):
        self.here, self.there = here, there
        self.first, self.kept, self.holds, self.gone = b"", b"", False, False
        self.heard = threading.Event()


class Between:
    """A node that is a real smbd, but whose side of each connection is the test's."""
    name, addr = "n1", "127.0.0.1"

    def __init__(self, t, behind):
        self.behind, self.legs = behind, []
        self.listener = socket.create_server((self.addr, 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.endpoint = "%s:%d" % (self.addr, self.port)
        self.lock, self.sel = threading.Lock(), selectors.DefaultSelector()
        self.sel.register(self.listener, selectors.EVENT_READ, (self.accepted, None))
        threading.Thread(target=self.run, daemon=True).start()
        t.defer(self.listener.close)

    def run(self):
        while True:
            for key, _ in self.sel.select():
                f, leg = key.data
                with self.lock:
                    # It may have been ended since.
                    if self.sel.get_map().get(key.fd) is key:
                        f(leg)

    def accepted(self, _):
        here = self.listener.accept()[0]
        leg = Leg(here, socket.create_connection((self.behind.addr, self.behind.port)))
        for s in (leg.here, leg.there):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.legs.append(leg)
        self.sel.register(here, selectors.EVENT_READ, (self.up, leg))
        self.sel.register(leg.there, selectors.EVENT_READ, (self.down, leg))

    def up(self, leg):
        try:
            b = leg.here.recv(65536)
        except OSError:
            b = b""
        leg.first += b[:300 - len(leg.first)]
        if b:
            self.give(leg.there, b)
            return
        leg.heard.set()
        self.sel.unregister(leg.here)
        self.forget(leg)

    def down(self, leg):
        try:
            b = leg.there.recv(65536)
        except OSError:
            b = b""
        if not b:
            self.forget(leg)
        elif leg.holds:
            leg.kept += b
        else:
            self.give(leg.here, b)

    def give(self, s, b):
        try:
            s.sendall(b)
        except OSError:
            pass

    def forget(self, leg):
        """The smbd behind it is left."""
        if not leg.gone:
            leg.gone = True
            self.sel.unregister(leg.there)
            leg.there.close()

    def leg(self, c):
        """That of a client's connection, by its ClientGuid."""
        with self.lock:
            found = [x for x in self.legs if c.guid in x.first]
        return found[-1] if found else None

    def hold(self, leg):
        with self.lock:
            leg.holds = True

    def give_of(self, leg, n=None):
        """The first n bytes of what is held, or all."""
        with self.lock:
            n = len(leg.kept) if n is None else n
            self.give(leg.here, leg.kept[:n])
            leg.kept = leg.kept[n:]
        return n

    def end(self, leg, how):
        with self.lock:
            if how != "shuts its way" and not leg.heard.is_set():
                self.sel.unregister(leg.here)
            self.forget(leg)
            WAYS[how](leg.here)


class Lab:
    def __init__(self, t):
        self.node = Between(t, node.cluster(t, 1)[0])
        self.gate = gate.Gate(t, [self.node], health=gate.PATIENT, limits={
            "unauthenticated": 1000, "unauthenticated-per-source": 1000, "accept-rate": 100000,
            "accept-burst": 100000}).start()
        self.c = self.open().negotiate([0x0302])
        self.s = self.c.login()
        self.file = self.fid(self.c, self.s, "neighbour", b"neighbour")

    def open(self):
        c = smb2.Conn("127.0.0.1", self.gate.port, timeout=SOON)
        c.guid = os.urandom(16)
        return c

    def fid(self, c, s, name, data):
        tid = c.tree(s)
        fid = c.create(s, tid, name, disp=5, access=0x13019F)
        c.write(s, tid, fid, 0, data)
        return tid, fid

    def neighbour(self):
        return self.c.read(self.s, *self.file, 0, 9)


def connected(lab):
    return lab.open()


def half_negotiate(lab):
    c = lab.open()
    c.send_raw(smb2.frame(b"\xfeSMB" + bytes(200))[:60])
    return c


def negotiated(lab):
    c = lab.open()
    return c.negotiate([0x0302], guid=c.guid)


def half_logon(lab):
    c = negotiated(lab)
    c.send_frame(c.setup_request(smb2.Ntlm("alice", "Alice-pw-1").negotiate()))
    c.answers_setup(c.mid - 1)
    return c


def logged_on(lab):
    c = negotiated(lab)
    c.s = c.login()
    return c


def file_open(lab):
    c = logged_on(lab)
    while c.credits < 16:
        c.echo(session=c.s)
    c.tid, c.fid = lab.fid(c, c.s, os.urandom(8).hex(), bytes(LENGTH))
    return c


def asked(lab):
    """READs, whose answers have come no further than to the node's side."""
    c = file_open(lab)
    leg = lab.node.leg(c)
    lab.node.hold(leg)
    for _ in range(READS):
        c.send_frame(c.build(smb2.READ, c.read_body(c.fid, 0, LENGTH), session=c.s, tid=c.tid))
    tap.wait_for(lambda: len(leg.kept) > READS * LENGTH, SOON)
    c.owed = len(leg.kept)
    return c


def half_answer(lab):
    c = asked(lab)
    lab.node.give_of(lab.node.leg(c), LENGTH // 2)
    return c


def half_request(lab):
    c = file_open(lab)
    c.send_raw(smb2.frame(c.build(smb2.READ, c.read_body(c.fid, 0, LENGTH), session=c.s,
                                  tid=c.tid))[:50])
    return c


STAGES = {"connected": connected, "half a NEGOTIATE": half_negotiate, "negotiated": negotiated,
          "half a logon": half_logon, "logged on": logged_on, "a file open": file_open,
          "READs asked": asked, "half an answer": half_answer, "half a request": half_request}
# Who ends it, and how; a second one ends it once the first has.
ENDS = [(("client", a),) for a in WAYS] + [(("node", a),) for a in WAYS] + [
    x for a, b in itertools.product(("closes", "resets"), WAYS)
    for x in ((("client", a), ("node", b)), (("node", a), ("client", b)))]


class Talk:
    def __init__(self, lab, stage, ends):
        self.lab, self.ends = lab, ends
        self.what = "%s, %s" % (stage, ", then ".join("the %s %s" % x for x in ends))
        self.c = STAGES[stage](lab)
        self.leg = lab.node.leg(self.c)
        self.owed = getattr(self.c, "owed", 0)

    @staticmethod
    def possible(stage, ends):
        """Without a connection to the node, it has nothing to end."""
        return stage not in ("connected", "half a NEGOTIATE") or not any(
            who == "node" for who, _ in ends)

    def end(self):
        for who, how in self.ends:
            if who == "client":
                WAYS[how](self.c.sock)
            else:
                if self.leg.kept:
                    self.lab.node.give_of(self.leg)
                self.lab.node.end(self.leg, how)

    def wrong(self):
        """What is not as it should be, or None."""
        kinds = dict(self.ends)
        if "client" not in kinds:
            try:
                got = len(self.c.recv_eof(SOON))
            except TimeoutError:
                return self.what + ": the client hears nothing"
            if kinds["node"] != "resets" and got < self.owed:
                return "%s: %d of %d bytes came" % (self.what, got, self.owed)
        elif "node" not in kinds and self.leg:
            if not self.leg.heard.wait(SOON):
                return self.what + ": the node hears nothing"
            self.lab.node.end(self.leg, "closes")
        return None

    def over(self):
        self.c.close()


def judge(t, lab, talks, name):
    """They are ended, all in one go."""
    for x in talks:
        x.end()
    wrong = [w for w in (x.wrong() for x in talks) if w]
    # A client that has only shut its way, or a node, is left; both are gone for smbgate.
    try:
        lab.gate.wait_connections(1, SOON)
    except AssertionError as e:
        wrong.append("%s: %s" % ([x.what for x in talks][:3], e))
    for x in talks:
        x.over()
    if lab.neighbour() != b"neighbour":
        wrong.append("the neighbour")
    if name:
        t.same(wrong, [], name)
    return wrong


def main(t):
    lab = Lab(t)
    lab.gate.wait_connections(1)
    cases = [(s, e) for s in STAGES for e in ENDS if Talk.possible(s, e)]
    before = lab.gate.fds()
    for stage in STAGES:
        wrong = []
        mine = [e for s, e in cases if s == stage]
        for e in mine:
            wrong += judge(t, lab, [Talk(lab, stage, e)], None)
        t.same(wrong, [], "%s: %d ends" % (stage, len(mine)))
    judge(t, lab, [Talk(lab, s, e) for s, e in cases], "%d at once" % len(cases))
    t.comes(lambda: lab.gate.fds() <= before + 4, True, "no descriptor is left")
    t.same(lab.neighbour(), b"neighbour", "and a neighbour was served all the time")


with tap.Test(deadline=300) as t:
    main(t)
