#!/usr/bin/python3
# daemon-check.t: smbgatectl check: a right set-up is all ok, and whatever is broken is what fails
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import types

import gate
import kdc
import netns
import node
import redis
import smb2
import tap

why = netns.missing() or gate.missing() or node.missing() or kdc.missing() or redis.missing()
if why:
    tap.skip_all(why)

IDS = """keytab-spn name-leads node-answers node-dialects node-signing node-ciphers
node-multichannel nodes-agree bypass self-loop announce-here announce-allowed clock-skew
redis-answers redis-secret redis-nodes fd-limit port-range memlock""".split()
FRONT, N1, N2, PUBLIC, WRONG = "10.1.0.5", "10.2.0.11", "10.2.0.12", "10.2.0.21", "10.2.0.31"
ADDRS = ["10.2.0.%d" % i for i in range(41, 47)]
OTHERS = iter(ADDRS)
MANY = 200
# Less than any machine has, and enough for what the policies here say.
LIMITS = ["prlimit", "--nofile=4096:4096"]
# Names of the server, as /etc/hosts would have them: by the file that is given before the program.
NAMED = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']
FEW = {"unauthenticated": 1000}
SECRET = b"a cluster secret of the lab's own\n"


def results(out):
    """id -> its results, each once."""
    found = {}
    for c in json.loads(out)["checks"]:
        found.setdefault(c["id"], set()).add(c["result"])
    return found


class Setup:
    """Both files, for a smbgate that does not run, and smbgatectl check of them."""

    def __init__(self, t, lab):
        self.t, self.lab, self.dir = t, lab, node.tempdir(t)
        self.put("secret", SECRET, 0o600)

    def put(self, name, data, mode=0o644):
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(os.path.join(self.dir, name), mode)

    def check(self, *args, nodes=None, keytab=True, listen=FRONT + ":445", state="", prefix=(),
              announce=(FRONT,), **policy):
        lab = self.lab
        conf = 'control = "none.sock"\ncluster-secret = "secret"\n'
        if keytab:
            conf += 'keytab = "%s"\n' % lab.keytab
        self.put("smbgate.conf", conf + 'listen "lan" { address = "%s" }\n' % listen + state)
        self.put("policy.conf", gate.policy_text(
            lab.nodes if nodes is None else nodes, limits=FEW,
            interfaces={"lan": {"list": [(a, {}) for a in announce]}}, **policy))
        r = subprocess.run([*LIMITS, *prefix, gate.ctl_program(), "--json", "check", "-c",
                            self.dir + "/smbgate.conf", *args], text=True, env=lab.kdc.env,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return r.returncode, r.stdout, r.stderr

    def fails(self, what, want, says, *args, **kw):
        """Just that id fails, and says so."""
        status, out, err = self.check(*args, **kw)
        found = results(out) if out else {}
        bad = sorted(i for i, r in found.items() if "fail" in r)
        text = [c["text"] for c in json.loads(out or '{"checks":[]}')["checks"]
                if c["result"] == "fail"]
        self.t.ok(status == 1 and bad == [want] and all(says in x for x in text),
                  "%s fails: %s" % (want, what), "%s\n%s%s" % (says, out, err))


class Late(threading.Thread):
    """Relays each connection to a node, whose clock it puts an hour ahead."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.to, self.name, self.endpoint = to, "late", WRONG + ":445"
        self.listener = socket.create_server((WRONG, 445))

    def run(self):
        while True:
            try:
                c = self.listener.accept()[0]
            except OSError:
                return
            with c, socket.create_connection(self.to) as n:
                for s in (c, n):
                    s.settimeout(20)
                try:
                    n.sendall(c.recv(4096))
                    answer = bytearray(n.recv(65536))
                    if len(answer) > 116 and answer[12:16] == bytes(4):
                        now, = struct.unpack_from("<Q", answer, 108)
                        struct.pack_into("<Q", answer, 108, now + 36000000000)
                    c.sendall(answer)
                except OSError:
                    pass


class Busy(threading.Thread):
    """Another address of a node, that answers one connection and leaves all others to wait."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.to, self.name, self.endpoint = to, "busy", WRONG + ":445"
        self.listener, self.open = socket.create_server((WRONG, 445)), []

    def run(self):
        while True:
            try:
                c = self.listener.accept()[0]
            except OSError:
                return
            self.open.append(c)
            if len(self.open) == 1:
                with socket.create_connection(self.to) as n:
                    for s in (c, n):
                        s.settimeout(20)
                    n.sendall(c.recv(4096))
                    c.sendall(n.recv(65536))

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(20)
        for c in self.open:
            c.close()


class LateKdc(threading.Thread):
    """Relays a question to the KDC, whose clock it puts an hour ahead."""

    def __init__(self, to):
        super().__init__(daemon=True)
        host, port = to.rsplit(":", 1)
        self.to, self.listener = (host, int(port)), socket.create_server(("127.0.0.1", 0))
        self.at = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def run(self):
        c = self.listener.accept()[0]
        with c, socket.create_connection(self.to) as n:
            for s in (c, n):
                s.settimeout(20)
            n.sendall(c.recv(4096))
            answer = n.recv(4096)
            at = answer.index(b"\xa4\x11\x18\x0f") + 4       # stime
            late = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 3600)).encode()
            c.sendall(answer[:at] + late + answer[at + 15:])


class Mute(threading.Thread):
    """Many nodes: each answers every NEGOTIATE with what that one answers, and nothing else."""

    def __init__(self, to, n):
        super().__init__(daemon=True)
        with smb2.Conn(*to) as c:
            c.record = []
            c.negotiate([0x0302])
        self.answer = next(x for way, x in c.record if way == 1)
        self.listener = socket.create_server(("0.0.0.0", 4455), backlog=1024)
        self.nodes = [types.SimpleNamespace(name="m%d" % i, endpoint="127.1.%d.%d:4455" % (
            i // 200, i % 200 + 1)) for i in range(n)]
        self.open = []

    def run(self):
        while True:
            try:
                c = self.listener.accept()[0]
            except OSError:
                return
            c.settimeout(20)
            try:
                c.recv(4096)
                c.sendall(self.answer)
            except OSError:
                pass
            self.open.append(c)


class Lab:
    def __init__(self, t):
        self.lab = node.Lab(t)
        self.nodes = [self.node(n, a).start() for n, a in (("n1", N1), ("n2", N2))]
        self.kdc = kdc.Kdc(t)
        self.keytab = self.kdc.dir + "/server.keytab"
        with open(self.kdc.dir + "/krb5.conf") as f:
            self.kdc_at = re.search(r"\n kdc = (\S+)", f.read())[1]

    def node(self, name, addr, *extra, **kw):
        return node.Node(self.lab, name, addr, port=445, extra=extra, **kw)


def right(t, lab, s):
    """Two nodes, a KDC, Redis, and a smbgate that runs; then other proxies in that Redis."""
    r = redis.Server(t).start()

    def start(name, secret=SECRET, nodes=lab.nodes, listen=FRONT + ":445"):
        g = gate.Gate(t, nodes, listen={"lan": listen}, name=name, keytab=lab.keytab,
                      argv_prefix=LIMITS, limits=FEW,
                      interfaces={"lan": {"list": [(FRONT, {})]}},
                      conf='cluster-secret = "secret"\nstate "redis" { servers = { "%s" } }\n'
                      % r.endpoint)
        with open(g.dir + "/secret", "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(secret)
        return g.start()
    g = start("gate")

    s.put("hosts", "%s aes256 aes128\n" % FRONT)

    def check(*args):
        p = subprocess.run([*NAMED, s.dir + "/hosts", gate.ctl_program(), "check", "-c",
                            g.conf_file, *args], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return p.returncode, p.stdout, p.stderr
    args = ("--name", "aes256", "--name", "aes128", "--kdc", lab.kdc_at)
    tap.wait_for(lambda: g.show("state")["state"]["connected"], 20)
    status, out, err = check("--json", *args)
    found = results(out) if out else {}
    t.same({i: found.get(i) for i in IDS}, {i: {"ok"} for i in IDS}, "a right set-up: all are ok")
    t.same((status, sorted(set(found) - set(IDS)), err), (0, ["gateway"], ""),
           "status 0, and beside them just what is asked of a gateway")
    t.ok(all(set(c) == {"id", "result", "good", "what", "text", "fix"} and c["fix"] is None
             for c in json.loads(out)["checks"]), "each with all keys", out)
    status, out, err = check(*args)
    t.ok(status == 0 and "fail" not in out and
         "the keytab has cifs/aes256@LAB.EXAMPLE, kvno 1, as the KDC" in out, "in words", out)
    # The others: who has another secret, or other nodes.
    for want, kw in (("redis-secret", {"secret": b"another secret of the lab\n"}),
                     ("redis-nodes", {"nodes": [(n, {"weight": 7}) for n in lab.nodes]})):
        other = start(want, listen="%s:446" % FRONT, **kw)

        def bad(want=want):
            out = check("--json")[1]
            return sorted(i for i, r in results(out).items() if "fail" in r) == [want]
        t.ok(tap.wait_for(bad, 20), "%s fails: another proxy" % want, check()[1])
        other.stop()
    r.stop()
    tap.wait_for(lambda: not g.show("state")["state"]["connected"], 20)
    status, out, err = check("--json")
    t.ok(status == 1 and results(out)["redis-answers"] == {"fail"}, "redis-answers fails: a "
         "smbgate that runs is without it", out)
    g.stop()


def names(t, lab, s):
    """Where they lead, and whose they are; the keytab may have keys of the account alone."""
    s.put("hosts", "%s nas\n%s old\n%s public\n" % (FRONT, N1, PUBLIC))
    for name, want in (("nas", ("ok", "it leads to smbgate")),
                       ("old", ("warn", "it leads to 10.2.0.11, node n1: its clients pass by")),
                       ("public", ("warn", "10.2.0.21, where smbgate neither listens nor is")),
                       ("nowhere.invalid", ("warn", "finds no address of it: "))):
        out = s.check("--name", name, prefix=NAMED + [s.dir + "/hosts"])[1]
        said = [(c["result"], c["text"]) for c in json.loads(out)["checks"]
                if c["id"] == "name-leads"]
        t.ok(len(said) == 1 and said[0][0] == want[0] and want[1] in said[0][1],
             "name-leads: %s: %s" % (name, want[1]), out)
    for who in ("NAS$", "cifs/nas"):
        lab.kdc.kadmin("addprinc -randkey " + who)
    keytab, lab.keytab = lab.keytab, lab.kdc.dir + "/account.keytab"
    lab.kdc.kadmin("ktadd -norandkey -k %s NAS$" % lab.keytab)
    args = ("--kdc", lab.kdc_at, "--name")
    out = s.check(*args, "nas")[1]
    t.ok(results(out)["keytab-spn"] == {"ok"} and "has NAS$@LAB.EXAMPLE, kvno 1, as the KDC" in out,
         "the keytab has the account's key alone: that is one of the name's", out)
    s.fails("no account has the name", "keytab-spn",
            "no account has cifs/other@LAB.EXAMPLE: clients get no ticket", *args, "other")
    lab.keytab = keytab


def each(t, lab, s):
    """smbgate does not run."""
    status, out, err = s.check()
    t.ok(status == 0 and {i for i, r in results(out).items() if "skip" in r} ==
         {"redis-answers", "redis-secret", "redis-nodes"}, "without Redis: that is skipped", out)
    s.fails("no key of that name", "keytab-spn", "no key of cifs/nas.lab.example",
            "--name", "nas.lab.example", "--kdc", lab.kdc_at)
    lab.kdc.kadmin("cpw -e aes128-cts-hmac-sha1-96:normal -randkey cifs/aes128")
    s.fails("a newer key at the KDC", "keytab-spn", "with kvno 1, and the KDC 2",
            "--name", "aes128", "--kdc", lab.kdc_at)
    names(t, lab, s)
    s.fails("no KDC", "keytab-spn", "Cannot contact any KDC",
            "--name", "aes256", "--kdc", "127.0.0.1:9")
    s.fails("Redis is down", "redis-answers", "Connection refused",
            state='state "redis" { servers = { "127.0.0.1:9" } }')
    s.fails("a listener has a node's address", "self-loop", "is smbgate's own listener",
            listen=N1 + ":445")
    s.fails("an address of nobody's", "announce-here", "10.9.9.9 is announced, and on no",
            announce=(FRONT, "10.9.9.9"))
    s.fails("a forbidden one", "announce-allowed", "the section addresses forbids it", deny=[FRONT])
    s.fails("few descriptors", "fd-limit", "700 descriptors",
            prefix=["prlimit", "--nofile=700:700"])
    s.fails("little locked memory", "memlock", "64 KiB may be locked",
            prefix=["prlimit", "--memlock=65536:65536"])
    late = Late((N1, 445))
    late.start()
    s.fails("a node's clock is an hour ahead", "clock-skew", "s ahead of this machine's",
            nodes=[late])
    late.listener.shutdown(socket.SHUT_RDWR)
    late.listener.close()
    busy = Busy((N1, 445))
    busy.start()
    status, out, err = s.check(nodes=[lab.nodes[0], busy])
    t.same([c for c in json.loads(out)["checks"] if c["result"] == "fail"], [],
           "a node is too busy to answer each offer: that is no fault of its smb.conf")
    t.same(results(out)["node-dialects"], {"ok", "skip"}, "and is said")
    busy.stop()
    kdc_ahead = LateKdc(lab.kdc_at)
    kdc_ahead.start()
    s.fails("the KDC's clock is an hour ahead", "clock-skew", "s ahead of this machine's",
            "--kdc", kdc_ahead.at)
    mute = Mute((N1, 445), MANY)
    mute.start()
    began = time.monotonic()
    status, out, err = s.check(nodes=mute.nodes)
    t.same(sum(c["id"] == "bypass" and c["result"] == "skip" for c in json.loads(out)["checks"]),
           MANY, "%d nodes that answer nothing else: each is given up" % MANY)
    t.ok(time.monotonic() - began < MANY, "all of them at once: %.1f s"
         % (time.monotonic() - began))
    mute.listener.shutdown(socket.SHUT_RDWR)
    for c in mute.open:
        c.close()


def nodes(t, lab, s):
    """Each time another one."""
    def other(what, want, says, *extra, more=(), alone=True, **kw):
        n = lab.node(want, next(OTHERS), *extra, **kw).start()
        s.fails(what, want, says, nodes=[n] if alone else [lab.nodes[0], n], **dict(more))
        n.stop()
    lab.nodes[1].stop()
    s.fails("a node is down", "node-answers", "Connection refused")
    other("less than min-dialect", "node-dialects", "it speaks 2.0.2, 2.1, 3.0, 3.0.2",
          "server max protocol = SMB3_02",
          more={"auth": {"min_dialect": "3.1.1"}})
    other("signing is required, and there is no keytab", "node-signing",
          "signing is required", signing="mandatory",
          more={"keytab": False})
    other("no encryption", "node-ciphers", "it knows no cipher", "smb encrypt = off")
    other("no multichannel", "node-multichannel", "no multichannel", multichannel=False)
    other("another smb.conf", "nodes-agree", "differs from n1 in its dialects",
          "server smb3 signing algorithms = AES-128-CMAC",
          alone=False)
    other("a public address is told, and answers", "bypass", "tells clients " + PUBLIC,
          interfaces=["%s/32;speed=1000000000,capability=RSS" % a for a in (ADDRS[-1], PUBLIC)])


def main(t):
    host = netns.Host(t, "one")
    with host.inside():
        for a in (FRONT, N1, N2, PUBLIC, WRONG, *ADDRS):
            host.ip("address", "add", a + "/32", "dev", "lo")
        lab = Lab(t)
        s = Setup(t, lab)
        right(t, lab, s)
        each(t, lab, s)
        host.sysctl("ipv4.ip_local_port_range", "30000 31000")
        s.fails("few ports", "port-range", "1001 local ports")
        host.sysctl("ipv4.ip_local_port_range", "32768 60999")
        nodes(t, lab, s)


with tap.Test(deadline=180) as test:
    main(test)
