# gate.py: run smbgate with a configuration made from Python values, and ask smbgatectl
"""All names of JSON keys that tests look at are in KEYS: nothing else knows them."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import node
import tap

KEYS = {
    "nodes": "nodes", "node_name": "name", "node_state": "state",
    "node_connections": "connections", "node_probes": "probes",
    "clients": "clients", "sessions": "sessions",
    "policy": "policy", "generation": "generation", "policy_text": "text",
    "stats": "stats", "closes": "closed", "session_id": "session_id",
    "keyed": "keyed", "opaque_because": "opaque_because", "principal": "principal",
}


def build_dir():
    return os.path.abspath(os.environ.get("SMBGATE_BUILD", "."))


def program():
    return os.path.join(build_dir(), "daemon", "smbgate")


def ctl_program():
    return os.path.join(build_dir(), "ctl", "smbgatectl")


def missing():
    """Why smbgate cannot be run, or None."""
    for p in (program(), ctl_program()):
        if not os.access(p, os.X_OK):
            return "%s is not built (SMBGATE_BUILD names the build directory)" % p
    return None


def value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, list):
        return names(v)
    if re.fullmatch(r"[a-z]+", v):
        return v
    return '"%s"' % v


def names(items):
    return "{ %s }" % ", ".join('"%s"' % i for i in items)


def section(head, fields, indent="\t"):
    out = head + " {\n"
    for k, v in fields.items():
        out += "%s%s = %s\n" % (indent, k.replace("_", "-"), value(v))
    return out + "}\n"


def policy_text(nodes, allow=None, deny=None, deny_file=None, interfaces=None, health=None,
                limits=None, tcp=None, auth=None, **top):
    """nodes: Node-like objects, or (object, {weight, state}).  interfaces: listener ->
    {"mode": .., "list": [(address, {speed, rss, ifindex}), ..]}.  Other keywords are top-level
    settings (pin_linger="1s" and so on)."""
    out = "# policy.conf, made by a test\n"
    for n in nodes:
        n, opts = n if isinstance(n, tuple) else (n, {})
        out += section('node "%s"' % n.name, dict(address=n.endpoint, **opts))
    if allow is not None or deny is not None or deny_file is not None:
        out += "addresses {\n"
        for k, v in (("allow", allow), ("deny", deny), ("deny-file", deny_file)):
            if v is not None:
                out += "\t%s = %s\n" % (k, names(v))
        out += "}\n"
    for listener, spec in (interfaces or {}).items():
        out += 'interfaces "%s" {\n' % listener
        if "mode" in spec:
            out += "\tmode = %s\n" % spec["mode"]
        for addr, opts in spec.get("list", ()):
            out += "\t" + section('address "%s"' % addr, opts, "\t\t").replace("\n}", "\n\t}")
        out += "}\n"
    for name, fields in (("health", health), ("limits", limits), ("tcp", tcp), ("auth", auth)):
        if fields:
            out += section(name, fields)
    for k, v in top.items():
        out += "%s = %s\n" % (k.replace("_", "-"), value(v))
    return out


# quick to see a change, and without the memory that slow start and flap damping have; but a node
# on a machine that is busy, or stands still for a moment, is not left out for that
FAST = {"interval": "200ms", "timeout": "4s", "rise": 1, "fall": 2, "slow_start": "0s",
        "flap_changes": 0}
# Each probe of a real smbd is a fork, 50 ms of a processor: three proxies that ask two nodes five
# times a second are a load under which any test is red.  So this is what a test has that does not
# ask for FAST.
EASY = dict(FAST, interval="1s")
# The same where no probe is to fail because its node, or this machine, is slow to answer.
PATIENT = dict(EASY, timeout="10s")
# A site's machines are not busy with other tests: where how long something takes is looked at, it
# is as on a machine of its own.
FIRST = ("nice", "-n", "-15")


def answer(s):
    """What the control socket says to a request, to its end."""
    out = b""
    while True:
        got = s.recv(65536)
        if not got:
            return json.loads(out)
        out += got


class Gate:
    """One smbgate.  listen: name -> "address:port" (made for 0.0.0.0 when missing).  keytab: a
    file of keys, for keyed sessions."""

    def __init__(self, t, nodes, listen=None, workers=2, conf="", argv_prefix=(), name="gate",
                 keytab=None, **policy):
        self.t, self.nodes, self.name = t, nodes, name
        self.dir = node.tempdir(t)
        self.listen = listen or {"lan": "0.0.0.0:%d" % node.free_port("0.0.0.0")}
        self.port = int(next(iter(self.listen.values())).rsplit(":", 1)[1])
        self.control = self.dir + "/control.sock"
        self.conf_file = self.dir + "/smbgate.conf"
        self.policy_file = self.dir + "/policy.conf"
        self.argv_prefix = list(argv_prefix)
        policy.setdefault("health", EASY)
        self.policy_args = policy
        self.proc, self.looks = None, 0
        with open(self.conf_file, "w") as f:
            f.write('policy = "policy.conf"\nworkers = %d\ncontrol = "control.sock"\n' % workers)
            if keytab:
                f.write('keytab = "%s"\n' % keytab)
            for k, v in self.listen.items():
                f.write('listen "%s" { address = "%s" }\n' % (k, v))
            f.write(conf)
        self.write_policy()

    def write_policy(self, text=None, nodes=None, **changes):
        """Write policy.conf: the arguments so far with these changes, or this very text."""
        if nodes is not None:
            self.nodes = nodes
        self.policy_args.update(changes)
        if text is None:
            text = policy_text(self.nodes, **{k: v for k, v in self.policy_args.items()
                                              if v is not None})
        with open(self.policy_file, "w") as f:
            f.write(text)
        return text

    def start(self, nodes_up=True, stderr=None, pass_fds=()):
        """stderr: a descriptor in place of the file that log() reads."""
        err = (open(self.dir + "/stderr", "ab") if stderr is None else
               os.fdopen(os.dup(stderr), "wb"))
        self.proc = self.t.spawn(self.argv_prefix + [program(), "-c", self.conf_file],
                                 stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                 pass_fds=pass_fds)
        err.close()
        self.t.defer(self.stop)
        self.looks = 0
        tap.wait_for(self._listening, 60,
                     message=lambda: "smbgate does not listen: " + self.log()[-3000:])
        if nodes_up and self.nodes:
            tap.wait_for(self.probed, 60,
                         message=lambda: "nodes do not come up: " + self.log()[-3000:])
        tap.wait_for(self._looked, 3)
        return self

    def successor(self, *args):
        """Starts one that is to go on; its process."""
        with open(self.dir + "/stderr", "ab") as err:
            return self.t.spawn(self.argv_prefix + [program(), "--takeover", "-c", self.conf_file,
                                                    *args],
                                stdin=subprocess.DEVNULL, stdout=err, stderr=err)

    def takeover(self, gone=60):
        """An upgrade: the gate is another process now, and what it was has ended within so many
        seconds, unless gone is 0.  What it was."""
        old, self.proc = self.proc, self.successor()
        tap.wait_for(lambda: "process %d serves" % self.proc.pid in self.log() or
                     self.proc.poll() is not None, 60,
                     message=lambda: "no takeover: " + self.log()[-3000:])
        if self.proc.poll() is not None:
            raise RuntimeError("the successor ended with %d: %s" % (self.proc.returncode,
                                                                    self.log()[-3000:]))
        if gone:
            try:
                old.wait(gone)
            except subprocess.TimeoutExpired:
                raise RuntimeError("the old one does not end: " + self.log()[-3000:])
        return old

    def probed(self):
        """Every node has answered a probe."""
        nodes = self.node_list()
        return all(n[KEYS["node_state"]] in ("up", "drain") and n[KEYS["node_probes"]]
                   for n in nodes.values())

    def _looked(self):
        """The connections by which _listening() has looked are over, and counted."""
        s = self.stats()
        return s["silent"] >= self.looks or \
            s["accepted"] >= self.looks and s["connections"] == 0

    def _listening(self):
        if self.proc.poll() is not None:
            raise RuntimeError("smbgate ended with %d: %s" % (self.proc.returncode, self.log()))
        for where in self.listen.values():
            addr, port = where.rsplit(":", 1)
            addr = addr.strip("[]")
            addr = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(addr, addr)
            with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET) as s:
                s.settimeout(1)
                if s.connect_ex((addr, int(port))):
                    return False
            self.looks += 1
        with socket.socket(socket.AF_UNIX) as s:    # it has its name before it listens
            return s.connect_ex(self.control) == 0

    def stop(self, seconds=30):
        """SIGTERM; returns the exit status.  A crash or a hang is noted in the output."""
        if self.proc is None:
            return None
        p, self.proc = self.proc, None
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(seconds)
            except subprocess.TimeoutExpired:
                self.t.ok(False, "%s stops on SIGTERM" % self.name)
        if p.poll() not in (0, None):
            self.t.ok(False, "%s ended with status %s" % (self.name, p.returncode),
                      self.log()[-6000:])
        self.t.kill_group(p)
        return p.returncode

    def processes(self):
        """The processes that belong to it: name -> pid."""
        out, todo = {}, [self.proc.pid]
        while todo:
            pid = todo.pop()
            try:
                with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                    todo += map(int, f.read().split())
                with open("/proc/%d/status" % pid) as f:
                    out[f.readline().split()[1]] = pid
            except OSError:
                continue
        return out

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def hup(self):
        self.proc.send_signal(signal.SIGHUP)

    def reload(self, **changes):
        """Write a policy and SIGHUP; wait until it is in force."""
        before = self.generation()
        self.write_policy(**changes)
        self.hup()
        tap.wait_for(lambda: self.generation() != before, 60,
                     message=lambda: "the new policy is not in force: " + self.log()[-2000:])
        self.turn()

    def turn(self, times=3):
        """Every worker has gone through its loop since, more than once: it has the policy and the
        orders that it was given before, and has seen what had come to its sockets."""
        for _ in range(times):
            tap.wait_for(lambda: "error" not in self.ask({
                "cmd": "show", "what": "connections", "user": "nobody of that name"}), 60,
                message="the workers do not turn")

    def log(self):
        with open(self.dir + "/stderr", errors="replace") as f:
            return f.read()

    def check(self, *args):
        """smbgate -t: (exit status, output)."""
        r = subprocess.run([program(), "-t", "-c", self.conf_file, *args], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        return r.returncode, r.stdout

    # -- memory and descriptors
    def sanitized(self):
        """Built with the address sanitizer: its memory is not the program's."""
        with open("/proc/%d/maps" % self.proc.pid) as f:
            return "libasan" in f.read()

    def rss_kb(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.proc.pid) as f:
            f = f.read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_wait_seconds(self):
        """How long its threads, together, could have run and had no CPU: others had them."""
        total, top = 0, "/proc/%d/task/" % self.proc.pid
        for tid in os.listdir(top):
            with open(top + tid + "/schedstat") as f:
                total += int(f.read().split()[1])
        return total / 1e9

    # -- smbgatectl
    def ctl_run(self, *args):
        return subprocess.run([ctl_program(), "-s", self.control, *args], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)

    def ctl(self, *args):
        r = self.ctl_run("--json", *args)
        if r.returncode:
            raise RuntimeError("smbgatectl %s: %s%s" % (" ".join(args), r.stdout, r.stderr))
        return json.loads(r.stdout)

    def ask(self, request, seconds=30):
        """The control protocol itself, without the program."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            s.connect(self.control)
            s.sendall(json.dumps(request).encode() + b"\n")
            return answer(s)

    def show(self, what):
        return self.ask({"cmd": "show", "what": what})

    def node_list(self):
        return {n[KEYS["node_name"]]: n for n in self.show("nodes")[KEYS["nodes"]]}

    def node_states(self):
        return {k: n[KEYS["node_state"]] for k, n in self.node_list().items()}

    def live_connections(self):
        """Connections to nodes, all nodes together."""
        return sum(n[KEYS["node_connections"]] for n in self.node_list().values())

    def clients(self):
        return self.show("clients")[KEYS["clients"]]

    def sessions(self):
        return self.show("sessions")[KEYS["sessions"]]

    def session(self, sid):
        """What is known of the session with that id; {} while there is none."""
        for s in self.sessions():
            if int(s[KEYS["session_id"]], 16) == sid:
                return s
        return {}

    def keyed(self, sid):
        """(keyed?, why not, principal) of a session."""
        s = self.session(sid)
        return tuple(s.get(KEYS[k]) for k in ("keyed", "opaque_because", "principal"))

    def policy(self):
        return self.show("policy")[KEYS["policy"]]

    def generation(self):
        return self.policy()[KEYS["generation"]]

    def stats(self):
        return self.show("stats")[KEYS["stats"]]

    def closes(self):
        """Closed connections by reason."""
        return self.stats()[KEYS["closes"]]

    def closed_since(self, before):
        """Reasons whose count grew since closes() gave before."""
        return {k: v - before.get(k, 0) for k, v in self.closes().items() if v > before.get(k, 0)}

    def wait_closed(self, before, seconds=20):
        """closed_since() as soon as it is not empty."""
        return tap.wait_for(lambda: self.closed_since(before), seconds)

    def closed_for(self, reason, before, seconds=20):
        """closed_since() once that reason is among them: others may be counted first."""
        tap.wait_for(lambda: reason in self.closed_since(before), seconds)
        return self.closed_since(before)

    def wait_connections(self, n=0, seconds=20):
        """Until clients have so many connections.  Whatever else there was is counted by then: a
        node may hurry or not when a client has closed."""
        tap.wait_for(lambda: self.stats()["connections"] == n, seconds,
                     message=lambda: "%d connections" % self.stats()["connections"])


def settle_closes(gate, looks=10):
    """Wait until no close has been counted for a moment, that is, between so many looks."""
    last, same = gate.closes(), 0
    while same < looks:
        time.sleep(0.02)
        now = gate.closes()
        last, same = now, same + 1 if now == last else 0
