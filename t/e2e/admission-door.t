#!/usr/bin/python3
# admission-door.t: logons written oddly, in pieces, again, or in SMB1 get past no refusal
"""What real smbd takes for NTLM, or for nobody, is refused by an answer, whatever it is wrapped in;
and nobody beside it pays."""

import os
import struct
import subprocess
import threading

import ad
import clients
import gate
import node
import smb2
import tap
from smb2 import der

why = node.missing() or gate.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

ADDR = "127.0.1.1"
NTLM_BLOCKED, ACCESS_DENIED = 0xC0000418, 0xC0000022
OIDS = {k: der(6, bytes.fromhex(v)) for k, v in (
    ("ntlm", "2b06010401823702020a"), ("krb5", "2a864886f712010202"),
    ("negoex", "2b06010401823702021e"), ("iakerb", "2b0601050205"))}
AP_REQ = der(0x60, OIDS["krb5"], b"\1\0", der(0x6E, bytes(40)))


def long(octets):
    def write(tag, *parts):
        body = b"".join(parts)
        return bytes([tag, 0x80 | octets]) + len(body).to_bytes(octets, "big") + body
    return write


def eighty(tag, *parts):
    """80 LL: no octets of length, says DER; smbd takes the one that follows."""
    body = b"".join(parts)
    return bytes([tag, 0x80, len(body)]) + body if len(body) < 256 else long(5)(tag, body)


def wraps(tag, *parts):
    """A length of eight octets: the low 32 bits are the right one."""
    body = b"".join(parts)
    return bytes([tag, 0x88, 0, 0, 1, 0]) + len(body).to_bytes(4, "big") + body


class Odd(smb2.Ntlm):
    """NTLM in SPNEGO.  outer, seq, field: how lengths are written; first: a field that goes before
    the token, mechs and pre: what is offered, and a token for the first of it."""

    def __init__(self, user, password, outer=der, seq=der, field=der, first=b"", mechs="ntlm",
                 pre=None, name=None, oem=False):
        super().__init__(user, password, spnego=True)
        self.outer, self.seq, self.field, self.first = outer, seq, field, first
        self.mechs = b"".join(OIDS[m] for m in mechs.split())
        self.pre, self.name, self.oem, self.legs = pre, name, oem, 0

    def token(self, t):
        return self.first + self.field(0xA2, self.field(4, t))

    def negotiate(self):
        flags = smb2.NTLM_FLAGS & ~1 | 2 if self.oem else smb2.NTLM_FLAGS
        return b"NTLMSSP\0" + struct.pack("<II", 1, flags) + bytes(16)

    def authenticate(self, challenge):
        t = super().authenticate(challenge)
        if self.name is not None:
            t = t[:36] + struct.pack("<HHI", len(self.name), len(self.name), len(t)) + t[44:] + \
                self.name
        return t

    def step(self, token):
        self.legs += 1
        if token is None:
            first = self.negotiate() if self.pre is None else self.pre
            return self.outer(0x60, der(6, bytes.fromhex("2b0601050502")), self.seq(
                0xA0, self.seq(0x30, der(0xA0, der(0x30, self.mechs)), self.token(first))))
        if b"NTLMSSP\0" in token:
            t = self.authenticate(token[token.index(b"NTLMSSP\0"):])
        else:
            t = self.negotiate()
        return self.outer(0xA1, self.seq(0x30, self.token(t)))


class Pieces:
    """A mechanism whose first token goes in pieces."""

    def __init__(self, auth, size=20):
        self.auth, self.size, self.left = auth, size, b""

    def step(self, token):
        if not self.left:
            self.left = self.auth.step(token)
        piece, self.left = self.left[:self.size], self.left[self.size:]
        return piece

    def finish(self, token):
        self.auth.finish(token)

    @property
    def key(self):
        return self.auth.key


# name: (how it is written, is it one that smbgate reads?)
FORMS = {
    "plain": ({}, True),
    "lengths of 4 octets": ({"outer": long(4), "seq": long(4), "field": long(4)}, True),
    "lengths of 5 octets": ({"seq": long(5)}, False),
    "the message's length of 5 octets": ({"outer": long(5)}, False),
    "the token's length of 9 octets": ({"field": long(9)}, False),
    "lengths that wrap": ({"field": wraps}, False),
    "80 LL": ({"field": eighty}, False),
    "two tokens, the first rubbish": ({"first": der(0xA2, der(4, b"x" * 16))}, False),
    "two tokens, the first Kerberos": ({"first": der(0xA2, der(4, AP_REQ))}, False),
    "the MIC before the token": ({"first": der(0xA3, der(4, b""))}, False),
    "NegoEx first": ({"mechs": "negoex ntlm", "pre": b"NEGOEXTS" + bytes(88)}, True),
    "IAKERB first": ({"mechs": "iakerb ntlm", "pre": bytes(40)}, True),
    "NegoEx first, lengths of 5 octets": (
        {"mechs": "negoex ntlm", "pre": b"NEGOEXTS" + bytes(88), "seq": long(5)}, False),
}
NAMES = {"no name": None, "the name U+0000": b"\0\0", "a NUL, and more": b"\0\0a\0"}


def attempt(c, auth, **kw):
    """The status that c's logon ends with; 0: in."""
    try:
        c.login(auth=auth, **kw)
        return 0
    except smb2.Status as e:
        return e.status


def direct(t, n, mk):
    with smb2.Conn(n.addr, n.port) as c:
        c.negotiate([0x0302])
        return attempt(c, mk())


def takes(t, n):
    """Which of all these real smbd lets in."""
    got = {form: direct(t, n, lambda: Odd("alice", "Alice-pw-1", **kw))
           for form, (kw, _) in FORMS.items()}
    t.ok(sum(1 for v in got.values() if v == 0) >= 9 and got["plain"] == 0,
         "direct: smbd lets most of them in", got)
    names = {k: direct(t, n, lambda: Odd("", "", name=v)) for k, v in NAMES.items()}
    t.ok(not any(names.values()), "direct: smbd takes them for nobody", names)
    return [form for form, v in got.items() if v == 0]


def refused(t, g, c, bob, forms):
    """One connection, on which bob is at work: no form gets in, and bob stays."""
    for form in forms:
        kw, read = FORMS[form]
        for pieces in (False, True)[:2 if form in ("plain", "80 LL") else 1]:
            auth = Odd("alice", "Alice-pw-1", **kw)
            got = attempt(c, Pieces(auth) if pieces else auth)
            t.ok(got in ((NTLM_BLOCKED,) if read else (NTLM_BLOCKED, ACCESS_DENIED)),
                 "ntlm = refuse: %s%s: 0x%08X" % (form, ", in pieces" if pieces else "", got))
    got = attempt(c, smb2.Ntlm("alice", "Alice-pw-1"))
    t.same(got, NTLM_BLOCKED, "ntlm = refuse: raw NTLMSSP")
    t.same(c.echo(session=bob).status, 0, "ntlm = refuse: bob works on beside them")


def nobody(t, g, c, bob, forms):
    for form in forms:
        kw, read = FORMS[form]
        for name, bytes_ in NAMES.items():
            got = attempt(c, Odd("", "", name=bytes_, **kw))
            t.same(got, ACCESS_DENIED, "guest = refuse: %s, %s" % (form, name))
        got = attempt(c, Odd("alice", "Alice-pw-1", **kw))
        t.same(got, 0 if read else ACCESS_DENIED, "guest = refuse: alice, %s" % form)
    # a name in the one character set may be none in the other
    t.same(attempt(c, Odd("", "", name=b"\0a", oem=True)), ACCESS_DENIED,
           "guest = refuse: NUL and a letter, where OEM was agreed on")
    t.same(c.echo(session=bob).status, 0, "guest = refuse: bob works on beside them")


def again(t, g, forms, dialect, **kw):
    """Reauthentication of a keyed session: refused, signed, and the session goes on."""
    with smb2.Conn(ADDR, g.port) as c, smb2.Conn(ADDR, g.port) as b:
        guid = os.urandom(16)
        c.negotiate([dialect], guid=guid, **kw)
        b.negotiate([dialect], guid=guid, **kw)
        s = c.login(security=2, sign=True)
        tid = c.tree(s, "data")
        label = "0x%04X, algorithm %d" % (dialect, c.algo)
        t.same(attempt(c, Odd("alice", "Alice-pw-1"), session=s), 0, label + ": again")
        g.reload(auth={"ntlm": "refuse"})
        for form in forms:
            try:
                c.login(auth=Odd("alice", "Alice-pw-1", **FORMS[form][0]), session=s)
                t.ok(False, "%s: again, %s: refused" % (label, form))
            except smb2.Status as e:
                m = e.msg
                want = smb2.signature(c.algo, s.key_for(c), m.raw[:48] + bytes(16) + m.raw[64:],
                                      m.mid, True)
                t.ok(e.status in (NTLM_BLOCKED, ACCESS_DENIED) and m.flags & smb2.SIGNED
                     and m.sig == want, "%s: again, %s: refused 0x%08X, and signed"
                     % (label, form, e.status))
            got = attempt(b, Odd("alice", "Alice-pw-1", **FORMS[form][0]), bind=s)
            t.ok(got in (NTLM_BLOCKED, ACCESS_DENIED), "%s: a bind, %s: 0x%08X"
                 % (label, form, got))
        fid = c.create(s, tid, "door", disp=5)
        c.close_file(s, tid, fid)
        t.ok(True, label + ": the session goes on")
        g.reload(auth=None)


def flood(c):
    """So many other logons begin that smbgate forgets those that were under way."""
    for _ in range(520):
        r = c.setup_request(smb2.Ntlm("x", "x").step(None))
        c.send_frame(r)
        c.answers_setup(smb2.Msg(r).mid)


class Hidden(Odd):
    """Nobody's last token in two pieces, of which the second alone looks like Kerberos.  between()
    runs after the first; what it returns is sent before the second."""

    def __init__(self, between=None):
        super().__init__("", "")
        self.between, self.left = between, []

    def step(self, token):
        if self.left:
            between, self.between = self.between, None
            return (between() if between else None) or self.left.pop(0)
        out = super().step(token)
        if token is None:
            return out
        tail = smb2.spnego_resp(AP_REQ)
        whole = smb2.spnego_resp(self.authenticate(token[token.index(b"NTLMSSP\0"):]) + tail)
        self.left = [tail]
        return whole[:-len(tail)]


class Stubborn:
    """Goes on after a refusal."""

    def __init__(self, c, s):
        self.c, self.s, self.got = c, s, []

    def send(self, blob):
        r = self.c.setup_request(blob, self.s, self.s.sid, sign=True)
        self.c.send_frame(r)
        m, = self.c.answers_setup(smb2.Msg(r).mid)
        self.got.append(m.status)
        return m

    def run(self, auth):
        m = self.send(auth.step(None))
        self.send(auth.step(m.secbuf))
        while auth.left:
            self.send(auth.step(None))
        return self.got


def forgotten(t, n, g):
    """What smbgate has forgotten, or refused in part, is no way in, and costs an answer at most."""
    t.same(direct(t, n, Hidden), 0, "direct: nobody in two pieces")
    g.reload(auth={"guest": "refuse"})
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0302])
        t.same(attempt(c, Hidden()), ACCESS_DENIED, "nobody in two pieces")
        t.same(attempt(c, Hidden(lambda: flood(c))), ACCESS_DENIED,
               "nobody in two pieces, the first of which was forgotten")
        t.same(attempt(c, smb2.Ntlm("alice", "Alice-pw-1")), 0, "and alice gets in")
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0302])
        s = c.login(security=2, sign=True)
        got = Stubborn(c, s).run(Hidden(lambda: smb2.spnego_resp(bytes(200))))
        t.same([hex(x) for x in got[2:]], [hex(ACCESS_DENIED)] * 2,
               "again: nobody in two pieces, between which another was refused")
    g.reload(auth=None)


def beside_forgotten(t, g):
    """Many users on one connection: one begins to log on again and is forgotten, and so is one who
    begins to bind."""
    with smb2.Conn(ADDR, g.port) as c, smb2.Conn(ADDR, g.port) as b:
        guid = os.urandom(16)
        for x in (c, b):
            x.negotiate([0x0302], guid=guid)
        alice, bob, carol = (c.login(security=2, sign=True) for _ in range(3))
        g.reload(auth={"guest": "refuse"})
        for x, flags in ((c, 0), (b, smb2.BINDING)):
            r = x.setup_request(smb2.Ntlm("alice", "Alice-pw-1").step(None), alice, alice.sid,
                                flags, sign=True)
            x.send_frame(r)
            m, = x.answers_setup(smb2.Msg(r).mid)
            t.same(m.status, smb2.MORE_PROCESSING, "alice begins")
            flood(x)
        good = smb2.Ntlm
        t.same([attempt(c, good("alice", "Alice-pw-1"), session=s) for s in (bob, carol)], [0, 0],
               "the others log on again")
        t.same([attempt(b, good("alice", "Alice-pw-1"), bind=s) for s in (bob, carol)], [0, 0],
               "and bind")
        t.same([attempt(c, good("alice", "Alice-pw-1"), session=alice),
                attempt(b, good("alice", "Alice-pw-1"), bind=alice)], [ACCESS_DENIED] * 2,
               "alice does neither, here")
        g.reload(auth=None)


def crowd(t, g, forms):
    """All at once: whom the policy lets in gets in."""
    out = {}

    def one(i, mk):
        try:
            with smb2.Conn(ADDR, g.port) as c:
                c.negotiate([0x0302])
                for _ in range(3):
                    out.setdefault(i, []).append(attempt(c, mk()))
        except (smb2.Closed, ConnectionError) as e:
            out.setdefault(i, []).append(repr(e))

    g.reload(auth={"guest": "refuse"})
    odd = [f for f in forms if not FORMS[f][1]]
    who = [("odd %d" % i, lambda f=odd[i % len(odd)]: Odd("", "", **FORMS[f][0]))
           for i in range(16)] + \
        [("honest %d" % i, lambda: smb2.Ntlm("alice", "Alice-pw-1", spnego=True))
         for i in range(12)]
    threads = [threading.Thread(target=one, args=x) for x in who]
    for x in threads:
        x.start()
    real = clients.smbclient(ADDR, g.port, "ls", "-t", "60")
    for x in threads:
        x.join()
    t.ok(all(v == [0] * 3 for k, v in out.items() if k[0] == "h") and real.returncode == 0,
         "a crowd: 12 honest ones and smbclient get in", out, real.stdout)
    t.ok(all(v == [ACCESS_DENIED] * 3 for k, v in out.items() if k[0] == "o"),
         "a crowd: 16 nobodies do not", out)
    g.reload(auth=None)


def smb1(t, n, g):
    """SMB1 cannot be answered: its connection ends, and is counted."""
    def run(addr, port, user, *args):
        return subprocess.run(["smbclient", "-s", "/dev/null", "-m", "NT1", "-p", str(port),
                                   "--option=client min protocol=NT1", *args, "-U", user,
                               "//%s/data" % addr, "-c", "ls"], env=clients.ENV,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30,
                              check=False).returncode

    # without extended security smbclient sends NTLMv1, which these nodes refuse
    plain = ("--option=client use spnego = no", "--option=client ntlmv2 auth = no")
    for user, name in (("alice%Alice-pw-1", "alice"), ("%", "nobody")):
        t.same(run(n.addr, n.port, user), 0, "SMB1, direct: %s" % name)
        for auth, reason in (({"ntlm": "refuse"}, "ntlm_refused"),
                             ({"guest": "refuse"}, "guest_refused")):
            g.reload(auth=auth)
            before = g.closes()
            want = reason == "guest_refused" and name == "alice"
            t.same(run(ADDR, g.port, user) == 0, want, "SMB1: %s, %s" % (auth, name))
            if not want:
                t.ok(reason in g.closed_for(reason, before), "SMB1: %s, %s: counted" % (
                    auth, name))
    g.reload(auth={"ntlm": "refuse"})
    before = g.closes()
    t.ok(run(ADDR, g.port, "alice%Alice-pw-1", *plain) != 0, "SMB1 without extended security")
    t.ok("ntlm_refused" in g.closed_for("ntlm_refused", before),
         "SMB1 without extended security: counted")
    g.reload(auth=None)


def main(t):
    n, = node.cluster(t, 1)
    keytab = ad.write_keytab(node.tempdir(t) + "/keytab", [
        ad.Entry("alice@LAB.EXAMPLE", 1, ad.RC4, ad.nt_hash("Alice-pw-1"))])
    g = gate.Gate(t, [n], keytab=keytab, smb1="allow").start()
    forms = takes(t, n)
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0302])
        bob = c.login("bob", "Bob-pw-2")
        g.reload(auth={"ntlm": "refuse"})
        refused(t, g, c, bob, forms)
        g.reload(auth={"guest": "refuse"})
        nobody(t, g, c, bob, forms)
        g.reload(auth=None)
        for form in forms:
            t.same(attempt(c, Odd("alice", "Alice-pw-1", **FORMS[form][0])), 0,
                   "nothing refused: %s" % form)
    # refused in the middle, as behind NegoEx, smbd waits for the rest, and serves nothing else
    some = ["plain", "lengths of 5 octets", "two tokens, the first Kerberos"]
    again(t, g, some, 0x0302)
    again(t, g, some[:2], 0x0311, signing=(2,))
    forgotten(t, n, g)
    beside_forgotten(t, g)
    crowd(t, g, forms)
    smb1(t, n, g)
    t.ok(g.stats()["logons_unread"] > 0 and "its token cannot be read" in g.log(),
         "what was not read is counted, and logged")
    t.ok("logon_unread" not in {k for k, v in g.closes().items() if v},
         "and no connection ended for it", g.closes())


with tap.Test(deadline=100) as test:
    main(test)
