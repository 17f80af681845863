#!/usr/bin/python3
# keyed-fire.t: crowds log on in a domain: all whom the node accepts are keyed; no secret is seen
"""NTLM and Kerberos logons, one within the other, wrong ones and abandoned ones, 24 at once, for
SMBGATE_SECONDS (CI: a few).  Meanwhile and afterwards, keys are looked for where they must not be:
in memory that may be swapped out, in logs, in Redis."""
import itertools
import os
import random
import subprocess
import threading
import time

import ad
import gate
import krb
import redis
import search
import several
import smb2
import tap

why = ad.missing() or gate.missing() or redis.missing()
if why:
    tap.skip_all(why)
ad.enter()

SECONDS = float(os.environ.get("SMBGATE_SECONDS") or 5)
SEED = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)
CROWD = 24
LOGON_FAILURE = 0xC000006D
SECRET = os.urandom(32)
UNREAD = bytes.fromhex("2b0601040182371e0a")    # a mechanism that no node here has


def children(pid):
    out = {}
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        for kid in map(int, f.read().split()):
            with open("/proc/%d/comm" % kid) as comm:
                out[comm.read().strip()] = kid
            out.update(children(kid))
    return out


def cpu(pid):
    return time.clock_gettime_ns((~pid) << 3 | 2) / 1e9


class Around(smb2.Ntlm):
    """An NTLM logon that stands still after its first leg while another one is done."""

    def __init__(self, meanwhile, *args, **kw):
        super().__init__(*args, **kw)
        self.meanwhile = meanwhile

    def step(self, token):
        if token is not None:
            self.meanwhile()
        return super().step(token)


class Crowd:
    """Clients, each of a kind at random, until the time is over."""

    def __init__(self, lab, seed):
        self.lab, self.rnd = lab, random.Random(seed)
        self.lock, self.end = threading.Lock(), time.monotonic() + SECONDS
        self.said, self.bad, self.logons = {}, [], 0
        self.cache = itertools.cycle(lab.caches)

    # -- mechanisms
    def ntlm(self, user="alice", password=None, cls=smb2.Ntlm, *args):
        return cls(*args, user, password or ad.USERS[user], ad.DOMAIN, spnego=True)

    def kerberos(self, **kw):
        return krb.Kerberos(self.lab.caches["bob"], "gw.lab.example", **kw)

    def connect(self, rnd):
        dialect = rnd.choice((0x0302, 0x0311, 0x0311, 0x0210))
        return smb2.Conn(ad.GW[0], ad.PORT, src="10.9.3.%d" % rnd.randrange(1, 200),
                         timeout=60).negotiate([dialect])

    def login(self, c, auth, **kw):
        s = c.login(auth=auth, sign=True, **kw)
        with self.lock:
            self.logons += 1
        return s

    # -- kinds: each returns when it is done, or raises
    def good_ntlm(self, rnd):
        with self.connect(rnd) as c:
            s = self.login(c, self.ntlm())
            c.echo(session=s)

    def good_kerberos(self, rnd):
        with self.connect(rnd) as c:
            s = self.login(c, self.kerberos(mutual=rnd.random() < 0.5))
            c.echo(session=s)
            c.logoff(s)

    def second_choice(self, rnd):
        """Three legs: another mechanism comes first."""
        with self.connect(rnd) as c:
            self.login(c, krb.Second(self.lab.caches["alice"], UNREAD, b"x" * 40,
                                     "gw.lab.example"))

    def within(self, rnd):
        """A Kerberos logon within an NTLM one, on one connection and on two."""
        with self.connect(rnd) as c, self.connect(rnd) as d:
            s = self.login(c, self.ntlm("alice", None, Around, lambda: (
                self.login(c, self.kerberos()), self.login(d, self.kerberos(spnego=False)))))
            c.echo(session=s)

    def wrong_password(self, rnd):
        with self.connect(rnd) as c:
            m = c.login(auth=self.ntlm("alice", "not-it"), allow=(LOGON_FAILURE,))
            if not isinstance(m, smb2.Msg):
                raise RuntimeError("a wrong password is let in")
            s = self.login(c, self.ntlm())
            c.echo(session=s)

    def wrong_ticket(self, rnd):
        with self.connect(rnd) as c:
            c.send_frame(c.setup_request(krb.forged(rnd.choice((900, 3000, 30000)))))
            if smb2.split(c.recv_frame())[0].status == 0:
                raise RuntimeError("a wrong ticket is let in")

    def abandoned(self, rnd):
        """After each leg, with a look at the answer or without, alone or beside others."""
        auth, token, sid = rnd.choice((self.ntlm, self.kerberos))(), None, 0
        with self.connect(rnd) as c:
            if rnd.random() < 0.5:
                self.login(c, self.ntlm("bob"))
            for left in reversed(range(rnd.choice((1, 2)))):
                c.send_frame(c.setup_request(auth.step(token), sid=sid))
                if left or rnd.random() < 0.5:
                    m = smb2.split(c.recv_frame())[0]
                    c.credits += m.credits
                    token, sid = m.secbuf, m.sid
                    if m.status != smb2.MORE_PROCESSING:
                        break

    def program(self, rnd):
        r = self.lab.smbclient("gw", ["ls"], user=rnd.choice(("alice", "bob")),
                               kerberos=rnd.random() < 0.5)
        if r.returncode:
            raise RuntimeError(r.stdout[-300:])
        with self.lock:
            self.logons += 1

    KINDS = ("good_ntlm", "good_kerberos", "second_choice", "within", "wrong_password",
             "wrong_ticket", "abandoned", "abandoned")

    def slot(self, number):
        rnd = random.Random(self.rnd.random())
        while time.monotonic() < self.end:
            kind = "program" if number < 3 else rnd.choice(self.KINDS)
            try:
                getattr(self, kind)(rnd)
            except (OSError, RuntimeError, krb.GssError, smb2.Closed, smb2.Status, smb2.Broken,
                    subprocess.SubprocessError) as e:
                with self.lock:
                    self.bad.append("%s: %r" % (kind, e))
            with self.lock:
                self.said[kind] = self.said.get(kind, 0) + 1

    def run(self):
        threads = [threading.Thread(target=self.slot, args=(n,)) for n in range(CROWD)]
        for th in threads:
            th.start()
        for th in threads:
            th.join(SECONDS + 120)


def fire(t, g, lab):
    keyd = children(g.proc.pid)["smbgate-keyd"]
    before, used = g.stats(), cpu(keyd)
    crowd = Crowd(lab, SEED)
    crowd.run()
    now, used = g.stats(), cpu(keyd) - used
    gained = {k: now[k] - before[k] for k in ("channels_keyed", "channels_opaque", "keyd_answers",
                                              "keyd_timeouts", "keyd_restarts", "keyd_wait_us")}
    t.same(crowd.bad[:5], [], "%d at once, %d logons: each ends as it ought to" % (
        CROWD, crowd.logons))
    t.same(sorted(set(crowd.KINDS) - set(crowd.said)), [], "each kind was there")
    t.same([gained["channels_opaque"], gained["keyd_timeouts"], gained["keyd_restarts"]],
           [0, 0, 0], "no session is opaque, nothing timed out")
    t.ok(gained["channels_keyed"] >= crowd.logons, "every accepted session is keyed: %d of %d"
         % (gained["channels_keyed"], crowd.logons), g.log()[-2000:])
    t.same(g.log().count("not listened to"), 0, "no worker was dropped")
    t.diag("seed %d: %s" % (SEED, crowd.said))
    n = max(1, gained["keyd_answers"])
    t.diag("%d logons keyed; smbgate-keyd: %.0f us of CPU a logon; its answers took %.0f us, %d at "
           "most" % (gained["channels_keyed"], 1e6 * used / n, gained["keyd_wait_us"] / n,
                     now["keyd_wait_us_max"]))


def needles(lab, sessions):
    """{what: bytes}, by who may have them."""
    long_term = {"%s" % e: e.key for e in lab.hosts}
    hashes = {"NT hash of " + e.principal: e.key for e in lab.users}
    live = {}
    for i, s in enumerate(sessions):
        live.update({"%s %d" % (name, i): key for name, key in (
            ("GSS key", s.full_key), ("signing key", s.signing_key), ("cipher key", s.c2s),
            ("cipher key back", s.s2c)) if key})
    return long_term, hashes, live


def memory(t, g, lab, sessions):
    long_term, hashes, live = needles(lab, sessions)
    kids = dict(children(g.proc.pid), smbgate=g.proc.pid)
    sanitized = g.sanitized()
    secrets = dict(long_term, **hashes, **live, **{"cluster-secret": SECRET})
    warned = "session keys may be swapped out" in g.log()
    warned_keyd = "libkrb5's copies of keys may be swapped out" in g.log()
    t.ok(search.find(os.getpid(), {"secret": SECRET}), "what is in this very process is found")
    allowed = {"smbgate": set(live) | {"cluster-secret"},
               "smbgate-keyd": set(long_term) | set(hashes) | {k for k in live if "GSS" in k}}
    for name, pid in sorted(kids.items()):
        found = search.find(pid, secrets)
        t.same(sorted(set(found) - allowed.get(name, set())), [],
               "%s has no secret that is not its own" % name)
        loose = {k: v for k, v in found.items() if not all(m.locked for m in v)}
        if sanitized:
            t.skip("%s: locked" % name, "sanitizers lock nothing")
        elif name == "smbgate":
            t.ok("cluster-secret" in found and any(k in live for k in found),
                 "smbgate has the secret and keys of sessions", sorted(found))
            t.ok(not [k for k in loose if not (warned and k in live)],
                 "smbgate: %d secrets in locked memory alone%s" % (
                     len(found), ", or as it has warned" if warned else ""), loose)
        elif name == "smbgate-keyd":
            t.ok(set(hashes) <= set(found) and set(long_term) <= set(found),
                 "smbgate-keyd has the keytab", sorted(found))
            t.ok(not [k for k in loose if not (warned_keyd and k in long_term)],
                 "smbgate-keyd: %d secrets in locked memory alone%s" % (
                     len(found), ", or as it has warned" if warned_keyd else ""), loose)
            t.same(sorted(k for k in hashes if any(m.dumped for m in found[k])), [],
                   "smbgate-keyd: users' hashes are where no core has them")
    return secrets


def contents(r):
    """All keys and values."""
    out, c = [], r.client()
    for key in c("KEYS", "*"):
        kind = c("TYPE", key)
        read = {"hash": ("HGETALL", key), "set": ("SMEMBERS", key), "string": ("GET", key),
                "zset": ("ZRANGE", key, 0, -1), "list": ("LRANGE", key, 0, -1)}.get(kind)
        if read is None:
            continue    # its time is over
        got = c(*read)
        out += [key, *(got if isinstance(got, list) else [got])]
    c.close()
    return b"\n".join(out)


def text(t, g, r, secrets):
    """Nothing of it is written down."""
    tap.wait_for(lambda: len(contents(r)) > 500, 20)
    values = contents(r)
    t.ok(len(values) > 500, "Redis has something of these sessions", values[:300])
    log = g.log().encode(errors="surrogateescape") + "\n".join(
        str(g.ask({"cmd": "show", "what": w})) for w in ("sessions", "clients", "stats", "state",
                                                         "policy")).encode()
    for where, data in (("a log or a report", log), ("Redis", values)):
        t.same([k for k, v in secrets.items() if any(x in data for x in search.texts(v))], [],
               "no secret is in " + where)


def cores(t, g):
    """Whatever happens to them, none leaves a core, and nobody of their user looks into them."""
    limits, owners = {}, {}
    for name, pid in dict(children(g.proc.pid), smbgate=g.proc.pid).items():
        with open("/proc/%d/limits" % pid) as f:
            limits[name] = [x.split()[4:6] for x in f if x.startswith("Max core")][0]
        # The kernel's way to show that a process is not to be dumped.
        owners[name] = os.stat("/proc/%d/environ" % pid).st_uid
    t.same(set(map(tuple, limits.values())), {("0", "0")}, "no cores: %s" % sorted(limits))
    t.same(set(owners.values()), {0}, "they cannot be dumped, whose processes they may be")


def main(t):
    lab = ad.Domain(t).start()
    r = redis.Server(t).start()
    conf = several.state_text([r.endpoint]) + 'cluster-secret = "cluster.secret"\n'
    g = gate.Gate(t, [lab.nas], keytab=lab.keytab, conf=conf + 'user = "nobody"\n',
                  listen={"lan": "%s:%d" % (ad.GW[0], ad.PORT)})
    with open(g.dir + "/cluster.secret", "wb") as f:
        f.write(SECRET)
    os.chmod(g.dir + "/cluster.secret", 0o600)
    g.start()
    fire(t, g, lab)
    with smb2.Conn(ad.GW[0], ad.PORT) as c, smb2.Conn(ad.GW[0], ad.PORT) as d:
        c.negotiate([0x0311], ciphers=(4,))
        d.negotiate([0x0302])
        sessions = [c.login(auth=lab.auth("kerberos"), seal=True),
                    c.login(auth=lab.auth("ntlm", user="bob"), sign=True),
                    d.login(auth=lab.auth("kerberos", user="bob"), sign=True)]
        t.same([g.keyed(s.sid)[0] for s in sessions], [True] * 3, "three live sessions are keyed")
        c.echo(session=sessions[0])
        text(t, g, r, memory(t, g, lab, sessions))
    cores(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=int(SECONDS) + 240) as test:
    main(test)
