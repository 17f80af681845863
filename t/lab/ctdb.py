# ctdb.py: smbds that are one CTDB cluster, on addresses of one host
"""Each node has its ctdbd beside its smbd, in the same namespaces, for the one asks whether the
other's processes live.  All that they write is in the node's own directory (CTDB_TEST_MODE)."""
import os
import shutil
import subprocess

import agent
import node
import tap

AGENT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                     "contrib", "ctdb", "smbgate-agent")

START = """\
#!/bin/sh
export CTDB_BASE={base} CTDB_TEST_MODE=1
ctdbd 2>{base}/ctdbd.stderr
exec {smbd} "$@"
"""

CONF = """\
[logging]
	location = file:{base}/log
	log level = NOTICE
[cluster]
	node address = {addr}
	cluster lock = {shared}/lock
	leader timeout = 2
[database]
	volatile database directory = {base}/volatile
	persistent database directory = {base}/persistent
	state database directory = {base}/state
[legacy]
	realtime scheduling = false
"""

CLUSTERED = """\
	clustering = yes
	ctdbd socket = {base}/run/ctdbd.socket
[data]"""


def missing():
    """Why no cluster can be run here, or None."""
    if os.environ.get("SAMBA_ROOT"):
        return "SAMBA_ROOT: its smbd does not go with this machine's ctdbd"
    for p in ("ctdbd", "ctdb"):
        if shutil.which(p) is None:
            return "no " + p
    return node.missing()


def _name(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return None


class ClusterNode(node.Node):
    """One of the nodes at addrs, the i-th."""

    def __init__(self, lab, i, addrs, shared):
        super().__init__(lab, "n%d" % (i + 1), addrs[i], netbios="NAS")
        base = self.base = self.dir + "/ctdb"
        for d in ("run", "volatile", "persistent", "state", "events/legacy",
                  "events/notification"):
            os.makedirs(os.path.join(base, d))
        for name, text in (("nodes", "".join(a + "\n" for a in addrs)),
                           ("ctdb.conf", CONF.format(base=base, addr=self.addr, shared=shared)),
                           ("ctdb.tunables", "RerecoveryTimeout=1\nElectionTimeout=1\n")):
            self._write("ctdb/" + name, text)
        self._write("smb.conf", self.text("smb.conf").replace(
            "[data]", CLUSTERED.format(base=base), 1))
        self._write("start", START.format(base=base, smbd=node.SMBD))
        os.chmod(self.dir + "/start", 0o755)
        self.smbd = self.dir + "/start"

    def _write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def env(self):
        """With which the programs of CTDB mean this node."""
        return dict(os.environ, CTDB_BASE=self.base, CTDB_TEST_MODE="1")

    def ctdb(self, *args):
        return subprocess.run(["ctdb", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=self.env()).stdout

    def add_users(self):
        """Of the whole cluster, whose passdb is in CTDB: what a node had alone before is not it."""
        for u, (pw, _) in self.lab.users.items():
            subprocess.run(["nsenter", "-t", str(self.pids()[1]), "-m", "-u", "-p", "smbpasswd",
                            "-c", self.conf, "-s", "-a", u], input="%s\n%s\n" % (pw, pw),
                           text=True, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

    def ctdbd(self):
        """The process ids of this node's ctdbd and what it has started."""
        return [p for p in self.pids() if _name(p) == "ctdbd"]


def agents(t, nodes):
    """The nodes as gate.Gate takes them, each with the agent of contrib/ctdb."""
    return [(n, {"agent": agent.Program(t, n.addr, [AGENT], n.env()).endpoint}) for n in nodes]


def cluster(t, count, first="127.0.0.71"):
    """count nodes, of which every ctdbd knows all the others, and every smbd answers."""
    lab, shared = node.Lab(t), node.tempdir(t)
    net, last = first.rsplit(".", 1)
    addrs = ["%s.%d" % (net, int(last) + i) for i in range(count)]
    nodes = [ClusterNode(lab, i, addrs, shared) for i in range(count)]
    for n in nodes:
        n.start(wait=False)
    for n in nodes:
        n.wait(60)

    def healthy():
        return all(len([x for x in n.ctdb("status").splitlines()
                        if x.startswith("pnn:") and " OK" in x]) == count for n in nodes)
    tap.wait_for(healthy, 60, message=lambda: "\n".join(
        n.ctdb("status") + n.text("ctdb/log")[-2000:] for n in nodes))
    nodes[0].add_users()
    return nodes
