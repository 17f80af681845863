# keyed.py: what the tests of keyed sessions share: every protection, sessions, a domain's smbgate
import os
import struct

import ad
import gate
import model
import node
import smb2

CIPHERS = {1: "AES-128-CCM", 2: "AES-128-GCM", 3: "AES-256-CCM", 4: "AES-256-GCM"}
SIGNING = {0: "HMAC-SHA256", 1: "AES-CMAC", 2: "AES-GMAC"}
AUTHS = ("kerberos", "ntlm")

# what is said to the clients; both modes have something to hide
LIST = [(ad.GW[0], {"speed": "25G", "rss": True, "ifindex": 11}),
        (ad.GW[1], {"speed": "10G", "rss": False, "ifindex": 12}),
        (ad.GW[2], {"speed": "100G", "rss": True, "ifindex": 13})]
ANNOUNCE = {"mode": "announce", "list": LIST}
FILTER = {"mode": "filter"}
MODES = (("announce", ANNOUNCE), ("filter", FILTER))
DENY = [ad.GW[2], ad.NODES[2][0]]
ACL = model.Acl(deny=DENY)


class Protection:
    """How one session is protected.  sign and cipher: the only one offered (None: the usual)."""

    def __init__(self, dialect, sign=None, cipher=None, ciphers=(2, 1), security=1):
        self.dialect, self.sign, self.cipher, self.security = dialect, sign, cipher, security
        self.ciphers = (cipher,) if cipher else ciphers
        name = {0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}[dialect]
        self.label = "%s %s" % (name, "sealed " + CIPHERS[cipher] if cipher
                                else "signed " + SIGNING[sign])
        if not cipher and not ciphers:
            self.label += ", no cipher"
        if security & 2:
            self.label += ", must sign"

    def connect(self, addr, guid=None, src=ad.CLIENT):
        c = smb2.Conn(addr, ad.PORT, src=src)
        if self.dialect == 0x0311:
            c.negotiate([0x0311], guid=guid, ciphers=self.ciphers,
                        signing=(2, 1, 0) if self.sign is None else (self.sign,),
                        security=self.security)
            if self.cipher and c.cipher != self.cipher or (
                    self.sign is not None and c.algo != self.sign):
                raise smb2.Broken("%s: cipher %d, signing %d" % (self.label, c.cipher, c.algo))
        else:
            c.negotiate([self.dialect], guid=guid)
        return c

    def login(self, conn, auth, **kw):
        return conn.login(auth=auth, seal=bool(self.cipher), sign=not self.cipher, strict=True,
                          security=self.security, **kw)


PROTECTIONS = [Protection(d, 1) for d in (0x0300, 0x0302)] \
    + [Protection(d, None, 1) for d in (0x0300, 0x0302)] \
    + [Protection(0x0311, s) for s in (0, 1, 2)] \
    + [Protection(0x0311, None, c) for c in (1, 2, 3, 4)]


def told(section, dialled, nas):
    return model.told(ACL, section, dialled, nas.told)


def interfaces(section, *listeners):
    return {name: section for name in listeners or ("lan", "two")}


def start_gate(t, lab, keytab=None, **kw):
    """smbgate in front of the member, at the first two of its addresses."""
    kw.setdefault("interfaces", interfaces(ANNOUNCE))
    return gate.Gate(t, [lab.nas], listen={"lan": "%s:%d" % (ad.GW[0], ad.PORT),
                                           "two": "%s:%d" % (ad.GW[1], ad.PORT)},
                     keytab=keytab, deny=DENY, **kw).start()


def light_keytab(t, users=node.USERS):
    """NT hashes of the users of nodes without a domain."""
    return ad.write_keytab(node.tempdir(t) + "/keytab", [
        ad.Entry("%s@LABGROUP" % u, 1, ad.RC4, ad.nt_hash(pw)) for u, (pw, _) in users.items()])


def echo(s):
    return {"cmd": smb2.ECHO, "body": struct.pack("<HH", 4, 0), "session": s}


def query(s, tid, **kw):
    return dict({"cmd": smb2.IOCTL, "body": smb2.ioctl_body(), "session": s, "tid": tid}, **kw)


def compounds(s, tid):
    """(name, parts): the query in company."""
    q, e = query(s, tid), echo(s)
    related = query(s, 0xFFFFFFFF, flags=smb2.RELATED, sid=smb2.ANY64)
    return (("echo, query, echo", [e, q, e]), ("query, query", [q, q]),
            ("query, related query", [q, related]))


def lists(messages):
    """The interface lists among answers; any answer that failed is an error."""
    for m in messages:
        smb2.Conn.check(m, "answer in a compound")
    return [smb2.ifinfo_of(m) for m in messages if m.cmd == smb2.IOCTL]


def traffic(c, s, tid, size=200000, name="traffic"):
    """Files still work: write, read back, compare."""
    while c.credits < 16:
        c.echo(session=s)
    data = os.urandom(size)
    fid = c.create(s, tid, name, disp=5)
    c.write(s, tid, fid, 0, data)
    back = c.read(s, tid, fid, 0, size)
    c.close_file(s, tid, fid)
    return back == data
