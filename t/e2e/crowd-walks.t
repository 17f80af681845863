#!/usr/bin/python3
# crowd-walks.t: users, channels and logons at random, many at once: the same as directly
"""A walk is made of steps on a few connections of one client, at the node and through smbgate: a
step is some requests that are sent at once.  Logons begin, go on with a right or a wrong password,
or are given up; they are new ones, binds, reauthentications, by the same user or another, and name
any session as their PreviousSessionId; queries come alone and in compounds with those of other
users; sessions log off, connections end.  What is answered is the same, but for the list, which is
ours, and for what doc/KEYS.md says of GMAC.  SMBGATE_SECONDS: how long (5); SMBGATE_SEED."""
import hashlib
import os
import random
import struct
import time

import ad
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

SECONDS = float(os.environ.get("SMBGATE_SECONDS", "5"))
SEED = int(os.environ.get("SMBGATE_SEED", "1"))
STEPS, CONNS = 40, 4
GW = "127.0.0.1"
WRONG = "wrong"
CMAC, GMAC = (1,), (2,)
# how many of the sessions are sealed; what is negotiated
WALKS = {"CMAC": (0, 0x0311, {"signing": CMAC}), "GMAC": (0, 0x0311, {"signing": GMAC}),
         "3.0.2": (0, 0x0302, {}), "sealed": (1, 0x0311, {"ciphers": (2,)}),
         "3.0.2, sealed": (1, 0x0302, {}), "some sealed": (.5, 0x0311, {"signing": CMAC}),
         "GMAC, some sealed": (.5, 0x0311, {"signing": GMAC})}
LOGOFF = {"cmd": smb2.LOGOFF, "body": struct.pack("<HH", 4, 0)}
ECHO = {"cmd": smb2.ECHO, "body": struct.pack("<HH", 4, 0)}
QUERY = {"cmd": smb2.IOCTL, "body": smb2.ioctl_body()}
REQUESTS = {"query": QUERY, "echo": ECHO, "logoff": LOGOFF}


class Logon:
    def __init__(self, c, kind, user, password, session=None, prev=0, seal=False):
        self.c, self.kind, self.s, self.prev, self.seal = c, kind, session, prev, seal
        self.auth, self.pre, self.blob = smb2.Ntlm(user, password), c.preauth, None
        self.sid = session.sid if session else 0

    def request(self):
        signed = self.s is not None and self.s.key_for(self.c) is not None
        m = self.c.setup_request(self.auth.step(self.blob), self.s if signed else None, self.sid,
                                 smb2.BINDING if self.kind == "bind" else 0, self.prev,
                                 sign=signed)
        self.pre = hashlib.sha512(self.pre + m).digest()
        return m

    def answer(self, m):
        """The session, where there is a new one."""
        if m.status == smb2.MORE_PROCESSING:
            self.pre = hashlib.sha512(self.pre + m.raw).digest()
            self.sid, self.blob = m.sid, m.secbuf
        if m.status:
            return None
        new = self.c.dialect == 0x0311
        key = lambda label, old, context: smb2.kdf(  # noqa: E731
            self.auth.key, label if new else old, self.pre if new else context)
        signing = key(b"SMBSigningKey\0", b"SMB2AESCMAC\0", b"SmbSign\0")
        if self.kind == "again":
            return None
        if self.kind == "bind":
            self.s.channels[self.c] = signing
            return None
        s = smb2.Session(m.sid)
        s.signing_key, s.sign, s.seal = signing, True, self.seal
        s.c2s = key(b"SMBC2SCipherKey\0", b"SMB2AESCCM\0", b"ServerIn \0")
        s.s2c = key(b"SMBS2CCipherKey\0", b"SMB2AESCCM\0", b"ServerOut\0")
        return s


class World:
    """The node, or smbgate: its connections, sessions and logons, by the walk's numbers."""

    def __init__(self, addr, port, how, ours):
        self.addr, self.port, self.how, self.ours = addr, port, how, ours
        self.guid, self.conns, self.sessions, self.logons = os.urandom(16), {}, {}, {}

    def connect(self, i):
        c = smb2.Conn(self.addr, self.port, timeout=30)
        c.negotiate([self.how[1]], guid=self.guid, **self.how[2])
        while c.credits < 60:
            c.echo(credits=60)
        self.conns[i] = c

    def requests(self, c, op, *args):
        """The bytes of a frame, and for each of its messages what to call with the answer."""
        if op == "logon":
            li, kind, user, password, si, prev, seal = args
            prev = self.sessions[prev].sid if prev in self.sessions else 0
            self.logons[li] = Logon(c, kind, user, password,
                                    None if kind == "new" else self.sessions[si], prev, seal)
            self.logons[li].number = si
        if op in ("logon", "goes on"):
            x = self.logons[args[0]]
            m = x.request()
            return m, [(smb2.Msg(m).mid, lambda a: self.logged_on(x, a))]
        sessions = [self.sessions[si] for _, si in args]
        first = sessions[0]
        m = c.compound([dict(REQUESTS[cmd], session=s, sign=not first.seal)
                        for (cmd, _), s in zip(args, sessions)])
        calls = [(x.mid, lambda a, s=s: self.said(c, s, a))
                 for x, s in zip(smb2.split(m), sessions)]
        return smb2.seal(c.cipher, first.c2s, first.sid, m) if first.seal else m, calls

    def logged_on(self, x, m):
        s = x.answer(m)
        if s:
            self.sessions[x.number] = s
        return "%08X" % m.status

    def said(self, c, s, m):
        if m.cmd != smb2.IOCTL or m.status:
            return "%08X" % m.status
        how = "sealed" if m.sealed else "signed" if m.flags & smb2.SIGNED else "bare"
        if how == "signed" and m.sig != smb2.signature(
                c.algo, s.key_for(c), m.raw[:48] + bytes(16) + m.raw[64:], m.mid, True):
            how = "signed wrongly"
        told = [i.ip for i in smb2.ifinfo_of(m)]
        return "the list, " + how if told == self.ours else "%r, %s" % (told, how)

    def receive(self, c, got):
        p = c.recv_frame()
        sealed = p[:4] == b"\xfdSMB"
        if sealed:
            sid, = struct.unpack_from("<Q", p, 44)
            # The node may give a number again.
            s = [x for x in self.sessions.values() if x.sid == sid][-1]
            p = smb2.unseal(c.cipher, s.s2c, p)
        for m in smb2.split(p):
            m.sealed = sealed
            c.credits += m.credits
            if not (m.status == smb2.PENDING and m.flags & smb2.ASYNC):
                got[m.mid] = m

    def step(self, ci, ops):
        """What each message is answered with; None: the connection ends."""
        c, calls, got = self.conns[ci], [], {}
        try:
            for op in ops:
                m, more = self.requests(c, *op)
                c.send_frame(m)
                calls += more
            while any(mid not in got for mid, _ in calls):
                self.receive(c, got)
        except smb2.Closed:
            pass
        said = [f(got[mid]) if mid in got else None for mid, f in calls]
        return None if None in said else said


class Walk:
    """What is done next, and what is known of it: the same in both worlds."""

    def __init__(self, rnd, how, worlds):
        self.r, self.how, self.worlds = rnd, how, worlds
        self.conns, self.sessions, self.logons, self.n = set(), {}, {}, 0

    def number(self):
        self.n += 1
        return self.n

    def here(self, ci):
        return [i for i, s in self.sessions.items() if ci in s["conns"] and not s["over"]]

    def logon(self, ci):
        """A session has one logon under way on a connection, or has it for good."""
        r, kind, si, prev = self.r, "new", self.number(), None
        busy = {x["session"] for x in self.logons.values() if x["conn"] == ci}
        again = [i for i in self.here(ci) if i not in busy]
        bind = [i for i, s in self.sessions.items()
                if ci not in s["conns"] and not s["over"] and i not in busy]
        z = r.random()
        if again and z < .35:
            kind, si = "again", r.choice(again)
        elif bind and z < .7:
            kind, si = "bind", r.choice(bind)
        elif self.sessions and r.random() < .2:
            prev = r.choice(list(self.sessions))
        user = r.choice(("alice", "bob"))
        if kind != "new" and r.random() < .9:
            user = self.sessions[si]["user"]
        password = WRONG if r.random() < .15 else node.USERS[user][0]
        li = self.number()
        self.logons[li] = {"conn": ci, "kind": kind, "session": si, "user": user, "more": False}
        return ("logon", li, kind, user, password, si, prev, r.random() < self.how[0])

    def ask(self, here):
        r = self.r
        parts = [(r.choice(("query", "query", "echo")), r.choice(here))
                 for _ in range(r.choice((1, 1, 1, 2, 3)))]
        if r.random() < .1:
            parts.append(("logoff", r.choice(here)))
            self.sessions[parts[-1][1]]["over"] = True
        return ("ask", *parts)

    def ops(self, ci):
        out, gone_on = [], set()
        for _ in range(self.r.choice((1, 1, 2, 3, 5, 8))):
            under_way = [i for i, x in self.logons.items()
                         if x["conn"] == ci and x["more"] and i not in gone_on]
            here, z = self.here(ci), self.r.random()
            if under_way and z < .35:
                li = self.r.choice(under_way)
                gone_on.add(li)
                out.append(("goes on", li))
            elif z < .5 or not here:
                out.append(self.logon(ci))
            else:
                out.append(self.ask(here))
        return out

    def lose(self, ci):
        for w in self.worlds:
            w.conns.pop(ci).close()
        self.conns.discard(ci)
        for s in self.sessions.values():
            s["conns"].discard(ci)
            s["over"] |= not s["conns"]
        for i in [i for i, x in self.logons.items() if x["conn"] == ci]:
            del self.logons[i]

    def learn(self, ci, ops, said):
        said = iter(said)
        for op in ops:
            if op[0] == "ask":
                for _, si in op[1:]:
                    self.sessions[si]["over"] |= next(said) == "C0000203"
                continue
            x, status = self.logons[op[1]], next(said)
            x["more"] = status == "C0000016"
            if x["more"]:
                continue
            del self.logons[op[1]]
            if status == "00000000" and x["kind"] == "new":
                self.sessions[x["session"]] = {"conns": {ci}, "user": x["user"], "over": False}
            elif status == "00000000":
                self.sessions[x["session"]]["conns"].add(ci)
            elif x["kind"] == "again":
                self.sessions[x["session"]]["over"] |= status in ("C000006D", "C0000203")

    def same(self, direct, ours):
        if direct is None or ours is None:
            return direct == ours
        # GMAC leaves a query no way in company, or while its session is in doubt.
        refused = "%08X" % smb2.NOT_SUPPORTED if self.how[2].get("signing") == GMAC else None
        return all(a == b or b == refused for a, b in zip(direct, ours))

    def step(self):
        """What was done and differs, or None."""
        if len(self.conns) < 2 or (len(self.conns) < CONNS and self.r.random() < .05):
            ci = self.number()
            self.conns.add(ci)
            for w in self.worlds:
                w.connect(ci)
            return None
        ci = self.r.choice(sorted(self.conns))
        if self.r.random() < .02:
            self.lose(ci)
            return None
        ops = self.ops(ci)
        said = [w.step(ci, ops) for w in self.worlds]
        if not self.same(*said):
            return ops, said
        if said[0] is None:
            self.lose(ci)
        else:
            self.learn(ci, ops, said[0])
        return None


def walk(t, g, n, name, seed, mode):
    how = WALKS[name]
    worlds = [World(n.addr, n.port, how, [n.addr]),
              World(GW, g.port, how, [GW] if mode == "announce" else [n.addr])]
    w = Walk(random.Random(seed), how, worlds)
    for i in range(STEPS):
        differs = w.step()
        if differs:
            t.ok(False, "%s, %s, seed %d, step %d: the same as directly" % (mode, name, seed, i),
                 "\n".join(map(repr, (differs[0], *differs[1]))))
            break
    for ci in list(w.conns):
        w.lose(ci)
    return not differs


def main(t):
    n = node.Node(node.Lab(t)).start()
    keytab = ad.write_keytab(node.tempdir(t) + "/keys", ad.user_entries(
        {u: pw for u, (pw, _) in node.USERS.items()}))
    g = gate.Gate(t, [n], keytab=keytab).start()
    seed = SEED
    for mode in ("announce", "filter"):
        g.reload(interfaces={"lan": {"mode": mode}})
        end, good, done = time.monotonic() + SECONDS / 2, 0, 0
        while done == 0 or (time.monotonic() < end and good == done):
            for name in WALKS:
                good += walk(t, g, n, name, seed, mode)
                done += 1
                seed += 1
        t.same(good, done, "%s: %d walks of %d steps, the last with seed %d" % (
            mode, done, STEPS, seed - 1))
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=int(SECONDS) + 300) as test:
    main(test)
