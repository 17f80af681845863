#!/usr/bin/python3
# keyed-variants.t: logons that servers accept and few clients make: each is keyed as well
import hashlib
import os
import struct
import subprocess

from Cryptodome.Cipher import ARC4, DES
from Cryptodome.Hash import MD4

import clients
import gate
import kdc
import keyd
import keyed
import node
import smb2
import tap

why = node.missing() or gate.missing() or kdc.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

PASSWORD = node.USERS["alice"][0]
KEYED = (True, None, "alice@LABGROUP")
EXTENDED, KEY_EXCHANGE = 0x80000, 0x40000000


class Hashed(smb2.Ntlm):
    """NTLMv2 that hashes another form of the domain's name than it sends."""

    def __init__(self, sent, hashed):
        super().__init__("alice", PASSWORD, sent)
        self.hashed = hashed

    def authenticate(self, challenge):
        sent, self.domain = self.domain, self.hashed
        t = bytearray(super().authenticate(challenge))
        self.domain = sent
        field = 28                      # of the domain; its text goes to the end
        text = sent.encode("utf-16-le")
        struct.pack_into("<HHI", t, field, len(text), len(text), len(t))
        return bytes(t) + text


def desl(key, data):
    def des(k):
        bits = int.from_bytes(k, "big")
        parts = [(bits >> (49 - 7 * i) & 0x7F) << 1 for i in range(8)]
        return DES.new(bytes(parts), DES.MODE_ECB).encrypt(data)
    key += bytes(5)
    return b"".join(des(key[i:i + 7]) for i in (0, 7, 14))


class Version1(smb2.Ntlm):
    """NTLMv1 with extended session security, [MS-NLMP] 3.3.1; or without."""

    def __init__(self, extended=True):
        super().__init__("alice", PASSWORD)
        self.flags = smb2.NTLM_FLAGS if extended else smb2.NTLM_FLAGS & ~EXTENDED

    def negotiate(self):
        return b"NTLMSSP\0" + struct.pack("<II", 1, self.flags) + bytes(16)

    def authenticate(self, challenge):
        flags = struct.unpack_from("<I", challenge, 20)[0] & self.flags
        nonce, mine = challenge[24:32], os.urandom(8)
        nt_hash = MD4.new(PASSWORD.encode("utf-16-le")).digest()
        base = MD4.new(nt_hash).digest()
        if flags & EXTENDED:
            nt = desl(nt_hash, hashlib.md5(nonce + mine).digest()[:8])
            lm, base = mine + bytes(16), smb2.hmac_md5(base, nonce + mine)
        else:
            lm = nt = desl(nt_hash, nonce)
        self.key, sealed = base, b""
        if flags & KEY_EXCHANGE:
            self.key = os.urandom(16)
            sealed = ARC4.new(base).encrypt(self.key)
        head, data = b"", b""
        for text in lm, nt, b"", "alice".encode("utf-16-le"), b"", sealed:
            head += struct.pack("<HHI", len(text), len(text), 64 + len(data))
            data += text
        return b"NTLMSSP\0" + struct.pack("<I", 3) + head + struct.pack("<I", flags) + data


NTLM = (
    ("the domain as it is sent", lambda: Hashed("LabGroup", "LabGroup"), KEYED),
    ("the domain in upper case", lambda: Hashed("labgroup", "LABGROUP"), KEYED),
    ("no domain, though one is sent", lambda: Hashed("LABGROUP", ""), KEYED),
    ("NTLMv1 with extended session security", Version1, KEYED),
    ("NTLMv1", lambda: Version1(False),
     (False, "NTLM: NTLMv1 without extended session security is not supported", None)),
)


def logon(addr, port, auth):
    """A session that the node has let in: its last answer is signed, and so is what follows."""
    c = smb2.Conn(addr, port).negotiate([0x0311])
    s = c.login(auth=auth, security=2, strict=True)
    c.tree(s, "data")
    return c, s


def by_hand(t, n, g):
    for label, make, want in NTLM:
        logon(n.addr, n.port, make())[0].close()
        c, s = logon("127.0.0.1", g.port, make())
        t.same(g.keyed(s.sid), want, "%s: in directly, and here %s" % (
            label, "keyed" if want[0] else "opaque, with the reason"))
        c.close()
    # Many at once on one connection, in any form.
    forms = [make for _, make, want in NTLM if want[0]] * 4
    c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0311])
    while c.credits < 4:
        c.echo()
    got = [g.keyed(c.login(auth=make(), security=2, strict=True).sid) for make in forms]
    t.same([x for x in got if x != KEYED], [], "%d of them on one connection: keyed" % len(forms))
    c.close()


def by_smbclient(t, n, g):
    """Samba's client, told to speak as old ones did."""
    for label, options in (("NTLMv2", ()), ("NTLMv1", ("client ntlmv2 auth = no",)),
                           ("NTLMv1, raw NTLMSSP", ("client ntlmv2 auth = no",
                                                    "client use spnego = no"))):
        for addr, port in ((n.addr, n.port), ("127.0.0.1", g.port)):
            before = g.stats()
            r = subprocess.run(
                ["smbclient", "//%s/data" % addr, "-p", str(port), "-U", "alice%" + PASSWORD,
                 "--client-protection=sign", "-c", "ls",
                 *["--option=" + o for o in options]], text=True, timeout=60,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            now = g.stats()
            counts = tuple(now[k] - before[k] for k in ("channels_keyed", "channels_opaque"))
            t.ok(r.returncode == 0 and counts == ((1, 0) if port == g.port else (0, 0)),
                 "smbclient, %s, %s" % (label, "keyed" if port == g.port else "directly"),
                 r.stdout, counts)


REALMS = "TREE2.NET", "ROOT.COM", "TREE3.ORG"


class Trusts:
    """Three realms in a row.  Their KDCs know no path between the first and the last, and leave it
    to servers to say whether they want one: TRANSITED-POLICY-CHECKED is not set."""

    def __init__(self, t):
        first, middle, last = REALMS
        self.t, self.dir = t, node.tempdir(t)
        self.ports = {r: node.free_port("127.0.0.1") for r in REALMS}
        base = "[libdefaults]\ndefault_realm = %s\ndns_lookup_kdc = false\n" % first \
            + "dns_canonicalize_hostname = false\nrdns = false\n[realms]\n" + "".join(
                "%s = {\n kdc = 127.0.0.1:%d\n}\n" % x for x in self.ports.items())
        self.write("kdc-krb5.conf", base)
        # Clients and servers know it.
        self.write("krb5.conf", base + "[capaths]\n%s = {\n %s = %s\n %s = .\n}\n" % (
            first, last, middle, middle) + "%s = {\n %s = .\n}\n" % (middle, last))
        self.write("kdc.conf", "[realms]\n" + "".join("""%s = {
 database_name = %s/db-%s
 key_stash_file = %s/stash-%s
 kdc_listen = 127.0.0.1:%d
 kdc_tcp_listen = 127.0.0.1:%d
 reject_bad_transit = false
}
""" % (r, self.dir, r, self.dir, r, p, p) for r, p in self.ports.items()))
        self.env = dict(os.environ, KRB5_CONFIG=self.dir + "/krb5.conf",
                        KRB5_KDC_PROFILE=self.dir + "/kdc.conf", KRB5CCNAME=self.dir + "/cc",
                        KRB5_KTNAME=self.dir + "/keytab", KRB5RCACHENAME="none:",
                        LSAN_OPTIONS="detect_leaks=0")
        for r in REALMS:
            self.run("kdb5_util", "create", "-s", "-P", "master", "-r", r)
        for near, far in ((first, middle), (middle, last)):
            for r in near, far:
                self.kadmin(r, "addprinc -pw trust-%s krbtgt/%s@%s" % (near, far, near))
        self.kadmin(first, "addprinc -pw Alice-pw-1 alice@" + first)
        self.kadmin(last, "addprinc -randkey cifs/nas@" + last)
        self.kadmin(last, "ktadd -norandkey -k %s/keytab cifs/nas@%s" % (self.dir, last))
        os.chmod(self.dir + "/keytab", 0o600)
        for r in REALMS:
            p = t.spawn(["krb5kdc", "-n", "-r", r], stdin=subprocess.DEVNULL,
                        env=dict(self.env, KRB5_CONFIG=self.dir + "/kdc-krb5.conf"),
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            t.defer(t.kill_group, p)
        tap.wait_for(lambda: self.run("kinit", "alice@" + first, input="Alice-pw-1\n",
                                      check=False).returncode == 0, 60)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def run(self, *argv, check=True, **kw):
        r = subprocess.run(argv, env=self.env, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=30, **kw)
        if check and r.returncode:
            raise RuntimeError("%s: %s" % (" ".join(argv), r.stdout))
        return r

    def kadmin(self, realm, query):
        self.run("kadmin.local", "-r", realm, "-q", query)


def transited(t):
    lab = Trusts(t)
    k = keyd.Keyd(t, lab.dir + "/keytab")
    for how in "plain", "mutual", "dce":
        out = lab.run(kdc.GSS, how, "cifs/nas@" + REALMS[2], "10").stdout
        logons = [dict(line.split() for line in part.splitlines())
                  for part in out.split("--\n") if part]
        t.same([k.ap(x) for x in logons],
               [(keyd.KEY, x["key"], "alice@" + REALMS[0]) for x in logons],
               "two trusts away, %s: 10 of 10 keys are those of client and server" % how)
    flags = lab.run("klist", "-f").stdout
    _, _, mine = flags[flags.index("cifs/nas@"):].partition("Flags: ")
    t.ok("T" not in mine, "and the KDC had not checked the path", flags)


def main(t):
    n, = node.cluster(t, 1, extra=["ntlm auth = yes"])
    g = gate.Gate(t, [n], keytab=keyed.light_keytab(t)).start()
    by_hand(t, n, g)
    by_smbclient(t, n, g)
    t.same(g.stats()["keyd_unmatched"], 0, "nothing was asked that the node had not accepted")
    t.same(g.stop(), 0, "smbgate ends with status 0")
    transited(t)


with tap.Test(deadline=90) as test:
    main(test)
