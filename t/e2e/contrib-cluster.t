#!/usr/bin/python3
# contrib-cluster.t: contrib/cluster, as it is: two machines, one address; one of them dies
import json
import os
import pwd
import re
import shutil
import signal
import subprocess

import fake
import gate
import netns
import node
import redis
import several
import smb2
import tap

why = netns.missing("keepalived") or redis.missing() or gate.missing()
if not why and os.geteuid() != 0:
    why = "networks need root"
if why:
    tap.skip_all(why)

CONTRIB = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "contrib", "cluster")
VIP = "10.1.0.5"
SECRET = os.urandom(32)
PASSWORD, INTERNAL = os.urandom(12).hex(), os.urandom(12).hex()
USER = "nobody"


class Machine:
    """px1, px2 or box3: a host with copies of the files, as the README has them made."""

    def __init__(self, t, nets, made, i):
        self.t, self.i, self.name = t, i, ("px1", "px2", "box3")[i - 1]
        self.front, self.state = "10.1.0.%d" % (10 + i), "10.3.0.%d" % i
        self.host = netns.Host(t, self.name)
        lan, storage, cluster = nets
        if i < 3:
            lan.join(self.host, self.front + "/24")
            storage.join(self.host, "10.2.0.%d/24" % (20 + i))
        cluster.join(self.host, self.state + "/24")
        self.etc, self.run_dir = node.tempdir(t), node.tempdir(t)
        self.env = dict(os.environ, RUNTIME_DIRECTORY=self.run_dir, SMBGATE_USER=USER,
                        SMBGATE_CONTROL=self.run_dir + "/control.sock",
                        PATH=os.path.dirname(gate.ctl_program()) + ":" + os.environ["PATH"])
        self.procs = []
        self.install(made)

    def install(self, made):
        for name in os.listdir(CONTRIB):
            if name.endswith(".md"):
                continue
            with open(os.path.join(CONTRIB, name)) as f:
                text = f.read()
            text = text.replace("@PASSWORD@", PASSWORD).replace("@ADDRESS@", self.state)
            text = text.replace("@INTERNAL@", INTERNAL)
            text = text.replace("/etc/redis/", self.etc + "/")
            text = text.replace("/etc/keepalived/", self.etc + "/")
            if name == "check-smbgate":     # keepalived hands no environment on
                text = text.replace("smbgatectl $", gate.ctl_program() + " $").replace(
                    "${SMBGATE_CONTROL:+-s \"$SMBGATE_CONTROL\"}", "-s " + self.run_dir +
                    "/control.sock")
            if name == "redis.conf" and self.i == 2:
                text += "replicaof 10.3.0.1 6379\n"
            with open(os.path.join(self.etc, name), "w") as f:
                f.write(text)
            shutil.copymode(os.path.join(CONTRIB, name), os.path.join(self.etc, name))
        for name, data in (("cluster.secret", SECRET), ("redis.password", PASSWORD.encode())):
            with open(os.path.join(self.etc, name), "wb") as f:
                os.fchmod(f.fileno(), 0o640)
                os.fchown(f.fileno(), 0, pwd.getpwnam(USER).pw_gid)
                f.write(data)
        for name, to, mode in (("ca.crt", "ca.crt", 0o644), (self.state + ".crt", "tls.crt", 0o644),
                               (self.state + ".key", "tls.key", 0o640)):
            shutil.copy(os.path.join(made, name), os.path.join(self.etc, to))
            os.chown(os.path.join(self.etc, to), 0, pwd.getpwnam(USER).pw_gid)
            os.chmod(os.path.join(self.etc, to), mode)
        self.tls = redis.context(*(os.path.join(self.etc, n) for n in ("ca.crt", "tls.crt",
                                                                      "tls.key")))
        os.chmod(self.run_dir, 0o777)

    def spawn(self, *argv):
        with self.host.inside(), open(self.etc + "/log", "ab") as out:
            self.procs.append(self.t.spawn(list(argv), env=self.env, stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out, cwd=self.etc))
        return self.procs[-1]

    def log(self):
        with open(self.etc + "/log", errors="replace") as f:
            return f.read()

    def check(self):
        return subprocess.run([gate.program(), "-t", "-c", self.etc + "/smbgate.conf"], text=True,
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def start_redis(self):
        if self.i < 3:
            self.spawn(redis.SERVER, self.etc + "/redis.conf")

    def start_sentinel(self):
        self.spawn(redis.SENTINEL, self.etc + "/sentinel.conf")

    def start_gate(self):
        return self.spawn(gate.program(), "-c", self.etc + "/smbgate.conf")

    def start_keepalived(self):
        return self.spawn("keepalived", "-n", "-l", "-D", "-f", self.etc + "/keepalived.conf",
                          "-p", self.etc + "/pid", "-r", self.etc + "/vrrp.pid",
                          "-c", self.etc + "/checkers.pid")

    def has_address(self):
        return VIP + "/" in self.host.ip("-4", "addr", "show", "dev", "eth0").stdout

    def ctl(self, *args):
        return json.loads(subprocess.run(
            [gate.ctl_program(), "--json", *args], text=True, env=self.env, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20).stdout)

    def healthy(self):
        """Whether smbgate answers and has a node, as keepalived asks."""
        return all(subprocess.run([self.etc + "/check-smbgate", mode], env=self.env).returncode == 0
                   for mode in ("alive", "nodes"))

    def connected(self):
        """What it says of the map of claims, where it reaches Redis; else False."""
        try:
            s = self.ctl("show", "state")["state"]
        except (subprocess.CalledProcessError, ValueError):
            return False
        return s["connected"] and s["listening"] and not s["degraded"] and s

    def errors(self):
        """What has gone wrong with Redis, counted."""
        s = tap.wait_for(self.connected, 60, message=lambda: self.log()[-3000:])
        return {k: v for k, v in s["errors"].items() if v}

    def ask(self, port, *args):
        """What its Redis or its Sentinel says to the Sentinels' user."""
        with self.host.inside():
            c = redis.Client((self.state, port), tls=self.tls)
        try:
            c("AUTH", "sentinel", INTERNAL)
            return c(*args)
        finally:
            c.close()

    def die(self):
        """All of it at once, and its network with it."""
        for p in self.procs:
            p.send_signal(signal.SIGKILL)
        for p in self.procs:
            self.t.kill_group(p)
        for dev in ("eth0", "eth1", "eth2"):
            self.host.ip("link", "set", dev, "down")


def ready(m):
    try:
        flat = m.ask(26379, "SENTINEL", "master", "mymaster")
    except (OSError, redis.Error):
        return False
    x = dict(zip(flat[::2], flat[1::2]))
    return (x[b"num-other-sentinels"], x[b"num-slaves"], x[b"flags"]) == (b"2", b"1", b"master")


def follows(m):
    """Has this machine's Redis all that the master has?"""
    return b"master_link_status:up" in m.ask(6379, "INFO", "replication")


def rights(name, user):
    """What an ACL file lets a user do."""
    with open(os.path.join(CONTRIB, name)) as f:
        line = next(x for x in f if x.startswith("user %s " % user))
    return {w[1:] for w in line.split() if w[0] == "+"}


def used(m):
    """The commands that a Redis has run, within scripts or not."""
    return {x[0] for x in re.findall(r"cmdstat_(\S+?):calls=([1-9]\d*)",
                                     m.ask(6379, "INFO", "commandstats").decode())}


def acl(t, m):
    """Both directions: what is allowed is needed, and what is needed is allowed."""
    mine = rights("users.acl", "smbgate")
    known = mine | rights("users.acl", "replica") | rights("users.acl", "sentinel")
    known |= {"auth", "select"}     # the latter by a master, to its replicas
    t.comes(lambda: sorted(mine - used(m)), [], "smbgate uses all that its ACL allows")
    t.same(sorted(used(m) - known), [], "nothing else has been asked")
    with m.host.inside():
        c = redis.Client((m.state, 6379), tls=m.tls)
        d = redis.Client((m.state, 26379), tls=m.tls)
    refused = 0
    for x in (c, d):
        x("AUTH", "smbgate", PASSWORD)
    forbidden = [(c, x) for x in (("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"),
                                  ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"),
                                  ("GET", "other"), ("PUBLISH", "other", "x"),
                                  ("CLIENT", "LIST"), ("ACL", "LIST"), ("SCAN", "0"))]
    forbidden += [(d, ("SENTINEL", "FAILOVER", "mymaster")), (d, ("SENTINEL", "masters"))]
    for x, words in forbidden:
        try:
            x(*words)
        except redis.Error as e:
            refused += str(e).startswith("NOPERM")
    t.same(refused, len(forbidden), "smbgate's password is good for nothing else")


def leases(m):
    """The processes that this Redis has heard of, with smbgate's own rights: a day long."""
    with m.host.inside():
        c = redis.Client((m.state, 6379), tls=m.tls)
    c("AUTH", "smbgate", PASSWORD)
    tag = {line.split()[2] for line in c.hash("smbgate:{map}:peers").values()}.pop()
    return set(c.hash(b"smbgate:{map}:" + tag + b":p"))


def in_the_clear(m):
    """Does anybody there answer who shows no certificate?"""
    said = []
    for port in (6379, 26379):
        try:
            with m.host.inside():
                said.append(redis.Client((m.state, port), 2)("PING"))
        except (OSError, EOFError, ValueError):
            pass
    return said


def opened(client, addr, guid):
    with client.inside():
        return smb2.Conn(addr, 445).negotiate(guid=guid)


def main(t):
    nets = [netns.Lan(t, n) for n in ("front", "storage", "state")]
    made = node.tempdir(t)
    subprocess.run([CONTRIB + "/make-certificates", made, "10.3.0.1", "10.3.0.2", "10.3.0.3"],
                   check=True)
    machines = [Machine(t, nets, made, i) for i in (1, 2, 3)]
    px1, px2, box3 = machines
    nas, client = netns.Host(t, "nas"), netns.Host(t, "client")
    nets[1].join(nas, *("10.2.0.%d/24" % (10 + i) for i in (1, 2, 3)))
    nets[0].join(client, "10.1.0.100/24")
    with nas.inside():
        for i in (1, 2, 3):
            fake.FakeNode(t, "n%d" % i, "10.2.0.%d" % (10 + i), 445).start()
    for m in machines[:2]:
        r = m.check()
        t.ok(r.returncode == 0, "%s: smbgate -t takes both files" % m.name, r.stdout)
    r = subprocess.run(["keepalived", "-t", "-f", px1.etc + "/keepalived.conf"], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.ok(r.returncode == 0, "keepalived takes its file", r.stdout)
    for m in machines:
        m.start_redis()
    for m in machines:
        m.start_sentinel()
    tap.wait_for(lambda: all(ready(m) for m in machines), 40,
                 message=lambda: "Sentinel: " + "\n".join(m.log()[-800:] for m in machines))
    tap.wait_for(lambda: follows(px2), 20, message=lambda: px2.log()[-2000:])
    t.ok(not px1.healthy(), "without smbgate the machine does not want the address")
    gates = [m.start_gate() for m in (px1, px2)]
    tap.wait_for(lambda: all(m.connected() for m in (px1, px2)), 20,
                 message=lambda: px1.log()[-3000:])
    t.comes(lambda: (px1.connected() or {}).get("server"), "10.3.0.1:6379",
            "Sentinel says where Redis is")
    t.ok(tap.wait_for(lambda: px1.healthy() and px2.healthy(), 60), "both are fit for the address")
    errors = px1.errors()
    t.ok(not {"noperm", "auth", "wrongpass"} & set(errors), "the ACL lets smbgate do all it does",
         errors)
    for m in (px1, px2):
        m.start_keepalived()
        t.ok(tap.wait_for(px1.has_address, 60), "px1 has the address", m.log()[-2000:])
    t.same(in_the_clear(px1), [], "Redis and Sentinel speak to nobody without a certificate")
    clients = []
    for i in range(12):
        guid = os.urandom(16)
        c = opened(client, VIP, guid)
        c.login()
        d = opened(client, px2.front, guid)
        clients.append((guid, several.which(c), c, d))
        if several.which(d) != several.which(c):
            t.ok(False, "a client through both machines is on one node")
    t.ok(len({x[1] for x in clients}) > 1, "clients through both machines, each on one node")
    before = leases(px1)
    t.same(len(before), 2, "px1's Redis knows both processes")
    px1.die()
    t.ok(not px1.healthy(), "px1 is dead: its check fails")
    t.ok(tap.wait_for(px2.has_address, 60), "keepalived takes the address to px2",
         px2.log()[-2000:])
    same = []
    for guid, where, c, d in clients:
        c = opened(client, VIP, guid)
        c.login()
        same.append(several.which(c) == where)
        c.close()
    t.ok(all(same), "its clients come back through px2, each to its node: %d of %d" % (
        sum(same), len(same)))
    t.ok(all(d.is_open() for *_, d in clients), "px2's connections never ended")
    # its connections to px1 are not broken, only silent
    # Its epoch may have begun anew: nobody has a lease where a failover takes longer than one.
    t.comes(lambda: [(px2.connected() or {}).get(k) for k in ("server", "role")],
            ["10.3.0.2:6379", "master"], "px2's Redis is the master")
    t.same(before - leases(px2), set(), "with the data: px1's process is known there")
    same = []
    for guid, where, *_ in clients:
        with opened(client, VIP, guid) as c:
            same.append(several.which(c) == where)
    t.ok(all(same), "and says the same of every client")
    acl(t, px2)
    errors = px2.errors()
    t.ok(not {"noperm", "auth", "wrongpass", "tls"} & set(errors), "no right was missing", errors)
    gates[1].send_signal(signal.SIGTERM)
    t.same(gates[1].wait(60), 0, "px2's smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
