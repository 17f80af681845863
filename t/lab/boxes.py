# boxes.py: machines with the files of contrib/cluster, installed as its README says
"""px1 and px2 have smbgate, Redis and a Sentinel, and keepalived for VIP; box3 has a Sentinel."""
import json
import os
import pwd
import shutil
import signal
import subprocess

import gate
import netns
import node
import redis
import tap

CONTRIB = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "contrib", "cluster")
VIP = "10.1.0.5"
SECRET = os.urandom(32)
PASSWORD, INTERNAL = os.urandom(12).hex(), os.urandom(12).hex()
USER = "nobody"


def certificates(t):
    """What make-certificates makes for all three; the folder."""
    made = node.tempdir(t)
    subprocess.run([CONTRIB + "/make-certificates", made, "10.3.0.1", "10.3.0.2", "10.3.0.3"],
                   check=True)
    return made


class Machine:
    """px1, px2 or box3: a host with copies of the files, as the README has them made.  nets: for
    clients, nodes and the state.  edit: (file, old, new) that a site would change in them."""

    def __init__(self, t, nets, made, i, edit=()):
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
        self.install(made, edit)

    def install(self, made, edit):
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
            for _, old, new in (e for e in edit if e[0] == name):
                if old not in text:
                    raise ValueError("%s has no %r" % (name, old))
                text = text.replace(old, new)
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
        return self.spawn(redis.SERVER, self.etc + "/redis.conf") if self.i < 3 else None

    def start_sentinel(self):
        return self.spawn(redis.SENTINEL, self.etc + "/sentinel.conf")

    def start_gate(self):
        return self.spawn(gate.program(), "-c", self.etc + "/smbgate.conf")

    def start_keepalived(self):
        # a check that is late gives the address up
        return self.spawn(*gate.FIRST, "keepalived", "-n", "-l", "-D",
                          "-f", self.etc + "/keepalived.conf", "-p", self.etc + "/pid",
                          "-r", self.etc + "/vrrp.pid", "-c", self.etc + "/checkers.pid")

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

    def all_up(self, n):
        """Have so many nodes answered it, and each one's agent with them?"""
        nodes = self.ctl("show", "nodes")["nodes"]
        return sum(x["state"] == "up" and x["probes"] > x["probe_failures"] for x in nodes) == n

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


def settled(machines):
    """Until the Sentinels know each other and the replica has what the master has."""
    tap.wait_for(lambda: all(ready(m) for m in machines), 40,
                 message=lambda: "Sentinel: " + "\n".join(m.log()[-800:] for m in machines))
    tap.wait_for(lambda: follows(machines[1]), 20, message=lambda: machines[1].log()[-2000:])
