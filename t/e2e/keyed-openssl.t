#!/usr/bin/python3
# keyed-openssl.t: on another machine: an older OpenSSL, one in FIPS mode, no locale C.UTF-8
"""t/lab/otherssl.c is loaded into smbgate, its guard and smbgate-keyd.  What that machine lacks is
said at the start, costs the logons that need it their keys, and nobody else anything."""
import os
import shutil
import subprocess

import ad
import gate
import keyed
import model
import node
import smb2
import tap

why = ad.missing() or gate.missing()
if not why and not shutil.which("gcc"):
    why = "no gcc"
if why:
    tap.skip_all(why)
ad.enter()

HERE = os.path.dirname(os.path.abspath(__file__))
SIGNED = keyed.Protection(0x0311, 2)
SEALED = keyed.Protection(0x0311, None, 2)
CROWD = 8


class Other:
    """A copy of the programs that runs with the other OpenSSL: smbgate-keyd is given no
    environment, so what stands in its place is a script."""

    def __init__(self, t, lib, kind):
        self.env = ["LD_PRELOAD=" + lib, "OTHER_SSL=" + kind, "ASAN_OPTIONS=" + ":".join(
            [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0", "detect_leaks=0"])]
        self.dir = node.tempdir(t)
        os.chmod(self.dir, 0o755)
        shutil.copy(gate.program(), self.dir + "/smbgate")
        shutil.copy(gate.build_dir() + "/keyd/smbgate-keyd", self.dir + "/keyd.real")
        with open(self.dir + "/smbgate-keyd", "w") as f:
            f.write('#!/bin/sh\nexec env %s "%s/keyd.real" "$@"\n' % (
                " ".join(map("'%s'".__mod__, self.env)), self.dir))
        os.chmod(self.dir + "/smbgate-keyd", 0o755)

    def prefix(self):
        """For gate.Gate(argv_prefix=): the program that it names is not the one that runs."""
        return ["env"] + self.env + ["sh", "-c", 'shift; exec "%s/smbgate" "$@"' % self.dir, "-"]


def build(t):
    lib = node.tempdir(t) + "/otherssl.so"
    os.chmod(os.path.dirname(lib), 0o755)
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", lib,
                    HERE + "/../lab/otherssl.c"], check=True)
    return lib


def units(t, lib):
    """What is computed is the same: the units' known values."""
    for kind in ("old", "fips"):
        for name in ("auth-cluster", "auth-keys", "auth-seal", "base", "nodes-place"):
            r = subprocess.run([gate.build_dir() + "/t/unit/%s.t" % name], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
                               env=dict(os.environ, **dict(
                                   x.split("=", 1) for x in Other(t, lib, kind).env)))
            t.ok(r.returncode == 0 and "not ok" not in r.stdout, "%s: unit test %s" % (kind, name),
                 r.stdout[-1500:])


def logon(lab, g, prot, kind):
    """(is it keyed, why not, is it told policy's list, do files work)"""
    c = prot.connect(ad.GW[0])
    try:
        s = prot.login(c, lab.auth(kind))
        tid = c.tree(s, "data", "gw")
        want = keyed.told(keyed.ANNOUNCE, ad.GW[0], lab.nas)
        told = model.wanted(c.ifinfo(s, tid), want)
        is_keyed, reason, _ = g.keyed(s.sid)
        return is_keyed, reason, told, keyed.traffic(c, s, tid, 50000)
    finally:
        c.close()


def domain(t, lab, kind, lacks, **kw):
    """Both kinds of logon, one beside the other, several times.  lacks: what NTLM wants."""
    path, ntlm = lab.keytab_of("%s.keytab" % kind, lab.hosts + lab.users), lacks is None
    g = keyed.start_gate(t, lab, path, **kw)
    lines = [x for x in g.log().splitlines() if "NTLM logons are not keyed" in x]
    t.same(len(lines), 0 if ntlm else 1, "%s: said at the start, or nothing to say" % kind)
    good = {}
    for i in range(CROWD):
        for auth in keyed.AUTHS:
            prot = SEALED if i % 2 else SIGNED
            try:
                got = logon(lab, g, prot, auth)
            except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
                got = repr(e), None, None, False
            good.setdefault(auth, []).append(got)
    for auth, all_ in good.items():
        if auth == "ntlm" and not ntlm:
            t.ok(all(x[0] is False and lacks in x[1] and x[3] for x in all_),
                 "%s: %s works, is opaque, and the reason names %s" % (kind, auth, lacks),
                 all_[:2])
        else:
            t.ok(all(x[0] is True and x[2] and x[3] for x in all_),
                 "%s: %s is keyed, and told policy's list" % (kind, auth), all_[:2])
    t.same(g.stop(), 0, "%s: smbgate ends with status 0" % kind)


def main(t):
    lib = build(t)
    units(t, lib)
    r = subprocess.run(Other(t, lib, "fips").prefix() + ["-", "-V"], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    t.ok(r.returncode == 0, "smbgate runs with it at all", r.stdout)
    lab = ad.Domain(t).start()
    for kind, lacks in (("old", None), ("fips", "MD5")):
        # The guard could not start a script otherwise.
        domain(t, lab, kind, lacks, conf="confine = false\n",
               argv_prefix=Other(t, lib, kind).prefix())
    # Nobody else sees it: the test has a mount namespace of its own.
    for place in ("/usr/lib/locale", "/usr/share/i18n"):
        if os.path.isdir(place):
            subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    domain(t, lab, "no locales", "C.UTF-8")


with tap.Test(deadline=200) as test:
    main(test)
