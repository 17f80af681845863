#!/usr/bin/python3
# redis-tls.t: TLS to Redis and Sentinel: who is believed, what is said of the rest, and who waits
import os
import pwd
import shutil
import socket
import threading

import certs
import fake
import gate
import node
import redis
import several
import smb2
import tap

why = redis.missing() or gate.missing()
if not why and os.geteuid() != 0:
    why = "another user needs root"
if why:
    tap.skip_all(why)

USER = "nobody"


def tls_redis(t, top, pair, name="redis", conf="", port=None, ca="ca.pem", **kw):
    """A redis-server that speaks TLS alone, and wants a certificate of its clients."""
    r = redis.Server(t, name=name, port=port, **kw)
    r.text = r.text.replace("\nport %d\n" % r.port, "\nport 0\ntls-port %d\n" % r.port)
    r.text += "tls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s/%s\n" \
        "tls-replication yes\n" % (*pair, top, ca) + conf
    r.tls = redis.context(top + "/" + ca, *pair)
    return r


def opened(g, guid=None):
    return smb2.Conn("127.0.0.1", g.port, timeout=30).negotiate(guid=guid or os.urandom(16))


def serve(g, other=None, n=3):
    """New clients: where there are two proxies, is each on one node?"""
    good = True
    for _ in range(n):
        guid = os.urandom(16)
        with opened(g, guid) as a:
            a.login()
            if other:
                with opened(other, guid) as b:
                    good &= several.which(a) == several.which(b)
    return good


def said(g, word):
    return [line for line in g.log().splitlines() if "warning: redis" in line and word in line]


class Site:
    def __init__(self, t):
        self.t, self.top, self.late = t, node.tempdir(t), several.Lateness(t)
        self.ca, self.other = certs.Authority(), certs.Authority("another authority")
        certs.write(self.top + "/ca.pem", self.ca.pem)
        certs.write(self.top + "/other.pem", self.other.pem)
        self.pair = self.ca.give(self.top, "redis", dns="redis.example")
        self.ca.give(self.top, "smbgate", address=None)
        self.nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start()
                      for i in (1, 2, 3)]

    def proxy(self, servers, name="gate", user=USER, files="smbgate", ca="ca.pem", **state):
        """As another user, who can read its files; without a certificate where files is None."""
        state.setdefault("tls", "true")
        if state["tls"] == "true":
            state["tls_ca_file"] = "ca.pem"
            if files:
                state.update(tls_cert_file="own.crt", tls_key_file="own.key")
        g = several.proxy(self.t, self.nodes, servers, name, start=False, state=state, workers=2,
                          conf='user = "%s"\n' % user)
        shutil.copy(self.top + "/" + ca, g.dir + "/ca.pem")
        self.own(g, files)
        return g

    def own(self, g, files="smbgate"):
        """Its certificate and key; only its user and root can read the key."""
        if files:
            with open("%s/%s.crt" % (self.top, files), "rb") as f:
                certs.write(g.dir + "/own.crt", f.read())
            with open("%s/%s.key" % (self.top, files), "rb") as f:
                certs.write(g.dir + "/own.key", f.read(), 0o640)
            os.chown(g.dir + "/own.key", 0, pwd.getpwnam(USER).pw_gid)


def works(t, site):
    """Two proxies, a Redis with TLS alone: control, service, one that is killed, new files."""
    r = tls_redis(t, site.top, site.pair, port=node.free_port("127.0.0.1")).start()
    try:
        got = redis.Client(r.where)("PING")
    except (OSError, EOFError, ValueError) as e:
        got = repr(e)
    t.ok(got != "PONG", "control: this Redis answers nobody in plain text", got)
    # Nobody is to be placed blindly because the machine is busy.
    a, b = (site.proxy([r.endpoint], n, timeout="5s").start() for n in ("px1", "px2"))
    several.healed(a, b)
    t.ok(serve(a, b, 12), "clients of two proxies are on one node each")
    s = several.state(a)
    t.ok(s["tls"] and s["asked"] > 0 and not s["blind"] and not any(s["errors"].values()),
         "nothing was wrong", s)
    died(t, r, a, b)
    renewed(t, site, r, a, b)
    for g in (a, b):
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)
    t.ok(r.do("EXISTS", b"".join(several.prefix(r).split(b"x")[:1]) + b"e") == 1,
         "and Redis has had it all")
    r.kill()


def died(t, r, a, b):
    """It is killed under a crowd of newcomers, and comes back."""
    over, bad, count = threading.Event(), [], [0]

    def crowd():
        while not over.is_set():
            try:
                serve(a, b, 1)
                count[0] += 1
            except (OSError, smb2.Closed) as e:
                bad.append(repr(e))
    threads = [threading.Thread(target=crowd, daemon=True) for _ in range(4)]
    for th in threads:
        th.start()
    for _ in range(2):
        tap.wait_for(lambda n=count[0]: count[0] > n + 3, 60)
        r.kill()
        tap.wait_for(lambda n=count[0]: count[0] > n + 3, 60)
        r.start()
        several.healed(a, b)
    over.set()
    for th in threads:
        th.join(20)
    t.ok(count[0] > 8 and not bad, "killed twice under a crowd: %d are served, each" % count[0],
         bad[:5])


def renewed(t, site, r, a, b):
    """Another authority, other certificates: smbgate does not start anew for them, though it has
    given up its privileges and is confined.  Files of no use are not taken."""
    def reconnect(g):
        before = several.state(g)["connects"]
        r.kill()
        r.start()
        tap.wait_for(lambda: several.state(g)["connects"] > before, 60,
                     message=lambda: g.log()[-3000:] + repr(several.state(g)) + r.log()[-2000:])
        several.healed(g)
    pid = a.proc.pid
    certs.write(a.dir + "/own.crt", b"not a certificate\n")
    reconnect(a)
    t.ok("the old ones stay in use: tls-cert-file: " in a.log(),
         "a file of no use: it is said, and the old one stays", a.log()[-1500:])
    for g in (a, b):
        certs.write(g.dir + "/ca.pem", site.other.pem)
    site.pair = site.other.give(site.top, "redis", dns="redis.example")
    site.other.give(site.top, "smbgate", address=None)
    for g in (a, b):
        site.own(g)
    site.ca = site.other
    certs.write(site.top + "/ca.pem", site.ca.pem)
    r.tls = redis.context(site.top + "/ca.pem", *site.pair)
    reconnect(a)
    several.healed(b)
    t.ok(a.proc.pid == pid and serve(a, b), "another authority, other certificates: taken up")
    t.ok("have changed, and are read again" in a.log(), "and it is said", a.log()[-1500:])


class Cut:
    """Stands between: lets so many bytes of the server's pass, and then nothing more."""

    def __init__(self, t, port):
        self.port, self.limit, self.over, self.count = port, None, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.settimeout(0.2)
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.socks = []
        t.defer(self.stop)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.over:
            try:
                s, _ = self.listener.accept()
            except OSError:
                continue
            self.count += 1
            up = socket.create_connection(("127.0.0.1", self.port))
            self.socks += [s, up]
            threading.Thread(target=self._move, args=(s, up, None), daemon=True).start()
            threading.Thread(target=self._move, args=(up, s, self.limit), daemon=True).start()

    def _move(self, a, b, limit):
        try:
            while not self.over:
                got = a.recv(65536)
                if limit is not None:
                    got, limit = got[:limit], limit - len(got[:limit])
                    if not got:
                        return
                b.sendall(got)
                if not got:
                    return
        except OSError:
            pass

    def turn(self, limit):
        self.limit, socks, self.socks = limit, self.socks, []
        for s in socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.over = True
        self.turn(0)
        self.listener.close()


def cut(t, site):
    """Half records, in the handshake and behind it: nobody waits for it."""
    r = tls_redis(t, site.top, site.pair).start()
    between = Cut(t, r.port)
    g = site.proxy([between.endpoint], "half").start()
    several.healed(g)
    with opened(g) as standing:
        session = standing.login()
        for limit in (0, 3, 5, 130, 700, 1500, 2500):
            between.turn(limit)
            n = between.count
            t.ok(tap.wait_for(lambda n=n: several.state(g)["degraded"] and between.count > n, 60)
                 and serve(g), "stalls after %d bytes: served" % limit)
        before = several.state(g)["errors"]["timeout"]
        t.ok(tap.wait_for(lambda: several.state(g)["errors"]["timeout"] > before, 60),
             "such a handshake is given up")
        between.turn(None)
        several.healed(g)
        t.ok(standing.echo(session=session).status == 0, "it goes on: who was there is served")
    several.waited(t, [g], site.late, "half records")
    t.same(g.stop(), 0, "half records: smbgate ends with status 0")
    r.kill()


def troubled(g, word):
    """Its state, once that is what is wrong."""
    seen = []

    def there():
        seen[:] = [several.state(g)]
        return word in (seen[0]["trouble"] or "")
    tap.wait_for(there, 60)
    return seen[0]


def refused(t, site):
    """A server that is not to be believed, or does not believe us, or speaks otherwise."""
    good = tls_redis(t, site.top, site.pair, name="good").start()
    def bad(name, ca=site.ca, **kw):
        return tls_redis(t, site.top, ca.give(site.top, name, **kw), name=name)
    stranger = bad("stranger", certs.Authority("a stranger"))
    expired, later = bad("expired", days=(-2, -1)), bad("later", days=(1, 2))
    elsewhere = bad("elsewhere", address="127.0.0.9", dns="127.0.0.1")
    for r in (stranger, expired, later, elsewhere):
        r.tls = redis.context(site.top + "/ca.pem", *site.pair)
        r.tls.check_hostname = False
        r.tls.verify_mode = 0
        r.start()
    plain = redis.Server(t, name="plain").start()
    web = redis.Hostile(t, lambda args, peer: b"HTTP/1.1 400 Bad Request\r\n\r\n", raw=True)
    alert = redis.Hostile(t, lambda args, peer: b"\x15\x03\x03\x00\x02\x02\x46")
    mute = redis.Hostile(t, lambda args, peer: b"")
    cases = [
        ("an unknown authority", stranger, {}, "tls", "unable to get local issuer certificate"),
        ("an expired certificate", expired, {}, "tls", "certificate has expired"),
        ("one that is not valid yet", later, {}, "tls", "certificate is not yet valid"),
        ("another machine's certificate", elsewhere, {}, "tls", "IP address mismatch"),
        ("another name", good, {"tls_name": "db.example"}, "tls", "hostname mismatch"),
        ("no certificate of ours", good, {"files": None}, None, "cert"),
        ("a Redis in plain text", plain, {}, "timeout", "TLS is not answered"),
        ("another server in plain text", web, {}, "tls", "does not speak it"),
        ("TLS, and we do not", good, {"tls": "false", "files": None}, "closed", "set tls = true"),
        ("an alert, and we do not", alert, {"tls": "false", "files": None}, "protocol",
         "set tls = true"),
        ("nobody answers", mute, {}, "timeout", "TLS is not answered"),
    ]
    gates = [(site.proxy([r.endpoint], "gate%d" % i, **state).start(), name, counter, word)
             for i, (name, r, state, counter, word) in enumerate(cases)]
    for g, name, counter, word in gates:
        counted = [counter] if counter else ["tls", "closed"]
        t.ok(tap.wait_for(lambda g=g, c=counted: sum(
            several.state(g)["errors"][x] for x in c) >= 4, 60),
             "%s: tried again and again" % name, several.state(g))
        # Of the server's alert and its end, one or the other comes first, and is said.
        s = troubled(g, word)
        t.ok(s["degraded"] and not s["connected"] and word in (s["trouble"] or ""),
             "%s: degraded, for %r" % (name, s["trouble"]), s, g.log()[-1500:])
        t.ok(1 <= len(said(g, word)) <= len(counted),
             "%s: one line says so" % name, *said(g, ""))
        t.ok(serve(g), "%s: clients are served" % name)
        several.waited(t, [g], site.late, name)
    named = site.proxy([good.endpoint], "named", tls_name="redis.example").start()
    several.healed(named)
    t.ok(serve(named), "the right name: served")
    for g in [named] + [x[0] for x in gates]:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


def wrong_files(t, site):
    """What smbgate -t says of files that cannot work."""
    g = site.proxy(["127.0.0.1:1"], "check")
    t.same(g.check()[0], 0, "good files: smbgate -t takes them")
    for name, do, word in (
            ("a key for all to read", lambda: os.chmod(g.dir + "/own.key", 0o644),
             "tls-key-file: it has owner"),
            ("another certificate's key", lambda: shutil.copy(
                site.top + "/stranger.key", g.dir + "/own.key"), "key values mismatch"),
            ("no key", lambda: os.unlink(g.dir + "/own.key"), "tls-key-file: No such file"),
            ("no authority", lambda: certs.write(g.dir + "/ca.pem", b"nothing\n"), "tls-ca-file")):
        do()
        os.path.exists(g.dir + "/own.key") and "read" not in name and os.chmod(
            g.dir + "/own.key", 0o600)
        status, text = g.check()
        t.ok(status != 0 and word in text, "%s: smbgate -t refuses that" % name, text)


def main(t):
    site = Site(t)
    works(t, site)
    cut(t, site)
    refused(t, site)
    wrong_files(t, site)


with tap.Test(deadline=120) as test:
    main(test)
