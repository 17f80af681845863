# kdc.py: throw-away Kerberos realms on loopback, and logons at their services
import hmac
import os
import re
import shutil
import struct
import subprocess

import gate
import node
import tap

REALM = "LAB.EXAMPLE"
os.environ["PATH"] += ":/usr/sbin:/sbin"
TOOLS = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit", "klist"]
GSS = os.path.join(gate.build_dir(), "t/gss")


def missing():
    """What is not there, or None."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return "no %s (Debian: krb5-kdc krb5-admin-server krb5-user)" % tool
    return None if os.access(GSS, os.X_OK) else "%s is not built (make check TESTS=)" % GSS


# Service: the enctypes of its keys.
SERVICES = {
    "cifs/aes256": "aes256-cts-hmac-sha1-96:normal",
    "cifs/aes128": "aes128-cts-hmac-sha1-96:normal",
    "cifs/sha2": "aes256-cts-hmac-sha384-192:normal",
    "cifs/sha2s": "aes128-cts-hmac-sha256-128:normal",
    "cifs/rc4": "rc4-hmac:normal",
}


def ntlm_messages(user, domain, hash_, challenge=b"abcdefgh", avs=b""):
    """CHALLENGE, AUTHENTICATE and the session key (hex), as an NTLMv2 client makes them.  avs: what
    it says in its response."""
    chal = b"NTLMSSP\0" + struct.pack("<I", 2) + bytes(12) + challenge + bytes(16)

    def mac(key, data):
        return hmac.new(key, data, "md5").digest()
    u, d = user.encode("utf-16-le"), domain.encode("utf-16-le")
    owf = mac(hash_, user.upper().encode("utf-16-le") + d)
    blob = b"\1\1" + bytes(14) + os.urandom(8) + bytes(4) + avs + bytes(14)
    proof = mac(owf, challenge + blob)
    parts, body, fields = [b"", proof + blob, d, u, b"", b""], b"", b""
    for p in parts:
        fields += struct.pack("<HHI", len(p), len(p), 64 + len(body))
        body += p
    auth = b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", 1) + body
    return chal.hex(), auth.hex(), mac(owf, proof).hex()


class Kdc:
    """A realm in a directory: krb5kdc on a port of loopback, everything else under there.  pac:
    tickets have one; a standalone smbd refuses these."""

    def __init__(self, t, pac=True):
        self.t, self.dir, self.made = t, node.tempdir(t), {}
        port = node.free_port("127.0.0.1")
        etypes = ("aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 "
                  "aes128-cts-hmac-sha256-128 rc4-hmac")
        with open(self.dir + "/krb5.conf", "w") as f:
            f.write("""[libdefaults]
default_realm = %s
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
clockskew = 200000
permitted_enctypes = %s
[realms]
%s = {
 kdc = 127.0.0.1:%d
}
""" % (REALM, etypes, REALM, port))
        with open(self.dir + "/kdc.conf", "w") as f:
            f.write("""[kdcdefaults]
kdc_listen = 127.0.0.1:%d
kdc_tcp_listen = 127.0.0.1:%d
[realms]
%s = {
 database_name = %s/principal
 key_stash_file = %s/stash
 acl_file = %s/acl
 master_key_type = aes256-cts-hmac-sha1-96
 supported_enctypes = aes256-cts-hmac-sha1-96:normal
 max_life = 10h
 disable_pac = %s
}
[logging]
kdc = FILE:%s/kdc.log
default = FILE:%s/default.log
""" % (port, port, REALM, *[self.dir] * 3, "false" if pac else "true", *[self.dir] * 2))
        self.env = dict(os.environ, KRB5_CONFIG=self.dir + "/krb5.conf",
                        KRB5_KDC_PROFILE=self.dir + "/kdc.conf", KRB5CCNAME=self.dir + "/cc",
                        KRB5_KTNAME=self.dir + "/server.keytab", KRB5RCACHENAME="none:",
                        LSAN_OPTIONS="detect_leaks=0")
        self.run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        self.kadmin("addprinc -pw Alice-pw-1 alice")
        for name, etypes in SERVICES.items():
            self.kadmin("addprinc -e %s -randkey %s" % (etypes, name))
            # More than one session enctype for services that could not take another.
            self.keytab(name, "server.keytab")
        self.proc = t.spawn(["krb5kdc", "-n", "-r", REALM], env=self.env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        t.defer(t.kill_group, self.proc)
        tap.wait_for(self.kinit, 60, message="the KDC does not serve")

    def run(self, *argv, check=True, **kw):
        r = subprocess.run(argv, env=self.env, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=60, **kw)
        if check and r.returncode:
            raise RuntimeError("%s: %s" % (" ".join(argv), r.stdout))
        return r

    def kadmin(self, query):
        return self.run("kadmin.local", "-r", REALM, "-q", query)

    def keytab(self, name, path):
        """Append the newest keys of a principal to a keytab, without making new ones."""
        self.kadmin("ktadd -norandkey -k %s/%s %s" % (self.dir, path, name))
        return self.dir + "/" + path

    def add_user(self, name, password):
        """One whose NT hash is in the keytab: the hash."""
        self.kadmin("addprinc -e rc4-hmac:normal -pw %s %s" % (password, name))
        self.keytab(name, "server.keytab")
        keys = self.run("klist", "-k", "-K", self.dir + "/server.keytab").stdout
        return bytes.fromhex(re.search(name + r"@\S+ \(0x([0-9a-f]{32})\)", keys)[1])

    def kinit(self):
        return self.run("kinit", "alice", input="Alice-pw-1\n", check=False).returncode == 0

    def stock(self, rnd, how):
        """A logon of that kind at one of some services."""
        return self.tokens(how, "cifs/" + rnd.choice(("aes256", "aes128", "sha2", "rc4")), 100)

    def tokens(self, how, service, ahead=1):
        """A logon: {"ap_req": hex, "ap_rep": hex, "key": hex}, with the key both ends have.  Each
        is another one; ahead: so many are made at once, for those who ask for many."""
        ready = self.made.setdefault((how, service), [])
        if not ready:
            ready += self.many(how, service, ahead)
        return ready.pop()

    def many(self, how, service, n):
        out = self.run(GSS, how, "%s@%s" % (service, REALM), str(n)).stdout
        return [dict(line.split() for line in part.splitlines())
                for part in out.split("--\n") if part]
