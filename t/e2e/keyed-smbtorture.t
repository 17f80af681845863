#!/usr/bin/python3
# keyed-smbtorture.t: smbtorture on signed and on encrypted keyed sessions: results as directly
import collections
import subprocess

import ad
import clients
import gate
import keyed
import leases
import smb2
import tap

why = ad.missing() or clients.missing("smbtorture")
if why:
    tap.skip_all(why)
ad.enter()

SUITES = ["smb2.connect", "smb2.session", "smb2.compound", "smb2.credits", "smb2.read",
          "smb2.ioctl", "smb2.durable-open", "smb2.lock", "smb2.multichannel.generic"]
# these wait for tickets to run out: keyed-expiry.t has them
SLOW = "smb2.session.expire"


class Kind:
    """How sessions are protected, and who logs on."""

    def __init__(self, protection, kerberos):
        self.protection, self.kerberos = protection, kerberos
        self.label = "%s, %s" % (protection, "Kerberos" if kerberos else "NTLM")

    def options(self):
        user = ad.USERS["alice"]
        who = ["-Ualice@%s%%%s" % (ad.REALM, user), "--use-kerberos=required"] if self.kerberos \
            else ["-U%s\\alice%%%s" % (ad.DOMAIN, user), "--use-kerberos=off"]
        return ["--client-protection=" + self.protection] + who


KINDS = [Kind(p, k) for p in ("sign", "encrypt") for k in (True, False)]


def names(suite):
    """What to ask smbtorture for: the suite, or all of it but what waits."""
    out = subprocess.run(["smbtorture", "--list"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True).stdout.split()
    all_of_it = [n for n in out if n.startswith(suite + ".") or n == suite]
    return [n for n in all_of_it if not n.startswith(SLOW)] if suite == "smb2.session" else [suite]


def run(lab, host, kind, tests, seconds=180):
    argv = ["smbtorture", "//%s.lab.example/torture" % host, "-s", "/dev/null", "--fullname",
            "--seed=1", *kind.options(), *tests]
    try:
        r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           errors="replace", timeout=seconds, stdin=subprocess.DEVNULL, env=lab.env)
    except subprocess.TimeoutExpired as e:
        return {"(the suite ends)": ("hangs", str(e.stdout)[-1500:])}
    return clients.results(r.stdout) or {"(the suite runs)": ("fails", r.stdout[-1500:])}


def results(detail):
    return {k: v[0] for k, v in detail.items()}


def difference(a, b):
    return sorted(k for k in set(a) | set(b) if a.get(k) != b.get(k))


def compare(t, lab, kind, suite, tests, direct, out):
    """Through smbgate; what differs is run again, directly, to see whether it is stable there."""
    detail = run(lab, "gw", kind, tests)
    got = results(detail)
    hard = [k for k in difference(direct, got) if k not in out]
    unstable = 0
    for _ in range(2):
        if not hard:
            break
        again = results(run(lab, "nas", kind, tests))
        soft = [k for k in hard if direct.get(k) != again.get(k)]
        for k in soft:
            t.diag("unstable, directly: %s: %s, then %s" % (k, direct.get(k), again.get(k)))
        unstable += len(soft)
        hard = [k for k in hard if k not in soft]
    for k in hard:
        t.diag("differs: %s: direct %s, through %s" % (k, direct.get(k), got.get(k)))
        t.diag(detail.get(k, ("", ""))[1])
    t.ok(not hard, "through, %s: %s: %d results, all as directly" % (kind.label, suite, len(got)),
         "differ: %s" % hard)
    return len(got), unstable


def main(t):
    lab = ad.Domain(t).start()

    def enter():
        c = smb2.Conn(lab.nas.addr, lab.nas.port, src=ad.CLIENT).negotiate([0x0210])
        s = c.login(auth=lab.auth("ntlm", "nas"))
        return c, s, c.tree(s)
    out = leases.left_out(t, enter)
    suites = {s: names(s) for s in SUITES}
    direct = {}
    for kind in KINDS:
        for suite, tests in suites.items():
            direct[kind, suite] = results(run(lab, "nas", kind, tests))
        every = collections.Counter(r for s in SUITES for r in direct[kind, s].values())
        t.ok(every["success"] > 100 and not every["hangs"] and not every["fails"],
             "direct, %s: %s" % (kind.label, dict(every)))
    why = gate.missing()
    if why:
        t.bail(why)
    g = keyed.start_gate(t, lab, lab.keytab)
    compared = unstable = 0
    for kind in KINDS:
        for suite, tests in suites.items():
            n, u = compare(t, lab, kind, suite, tests, direct[kind, suite], out)
            compared += n
            unstable += u
    t.ok(compared >= 600, "%d results compared, %d of them unstable directly" % (compared,
                                                                                unstable))
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=400) as test:
    main(test)
