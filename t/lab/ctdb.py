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
exec {program} "$@"
"""

# In CTDB_TEST_MODE ctdbd does not look which public addresses a node has.  So who is to move them
# has a host of its own, with all the usual paths.
HOST = """\
#!/bin/sh
set -e
mkdir -p /run/ctdb {base}/var
mount --bind {base} /etc/ctdb
mount --bind {base}/var /var/lib/ctdb
ctdbd 2>/etc/ctdb/ctdbd.stderr
exec {program} "$@"
"""

# What moves them; of a link it asks ethtool, which is not everywhere.
SCRIPTS = "/usr/share/ctdb/events/legacy/"
MOVERS = ("00.ctdb.script", "10.interface.script")
LINK = """\
ethtool()
{
	[ "$(cat /sys/class/net/"$1"/carrier)" = 1 ] && echo "Link detected: yes"
}
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
	ctdbd socket = {run}/ctdbd.socket
"""


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


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def make_base(base, addr, addrs, shared, program, public=()):
    """A node's CTDB_BASE, in a cluster of addrs.  program: what base/start becomes when ctdbd runs.
    public: lines of public_addresses, for a node that has a host of its own."""
    for d in ("run", "volatile", "persistent", "state", "events/legacy", "events/notification"):
        os.makedirs(os.path.join(base, d))
    for name, text in (("nodes", "".join(a + "\n" for a in addrs)),
                       ("ctdb.conf", CONF.format(base=base, addr=addr, shared=shared)),
                       ("ctdb.tunables", "RerecoveryTimeout=1\nElectionTimeout=1\n")):
        write(os.path.join(base, name), text)
    write(base + "/start", (HOST if public else START).format(base=base, program=program), 0o755)
    if public:
        write(base + "/public_addresses", "".join(line + "\n" for line in public))
        write(base + "/rc.local", LINK, 0o755)
        shutil.copy("/etc/ctdb/functions", base)
        for name in MOVERS:
            os.symlink(SCRIPTS + name, base + "/events/legacy/" + name)


def settings(run):
    """Of smb.conf, [global].  run: where ctdbd's socket is."""
    return CLUSTERED.format(run=run)


def all_ok(status, count):
    """Says "ctdb status" that so many nodes are well, and the rest are not there?"""
    return len([x for x in status.splitlines() if x.startswith("pnn:") and " OK" in x]) == count


class ClusterNode(node.Node):
    """One of the nodes at addrs, the i-th."""

    def __init__(self, lab, i, addrs, shared):
        super().__init__(lab, "n%d" % (i + 1), addrs[i], netbios="NAS")
        base = self.base = self.dir + "/ctdb"
        make_base(base, self.addr, addrs, shared, node.SMBD)
        clustered = settings(base + "/run") + "[data]"
        write(self.conf, self.text("smb.conf").replace("[data]", clustered, 1))
        self.smbd = base + "/start"

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
        return all(all_ok(n.ctdb("status"), count) for n in nodes)
    tap.wait_for(healthy, 60, message=lambda: "\n".join(
        n.ctdb("status") + n.text("ctdb/log")[-2000:] for n in nodes))
    nodes[0].add_users()
    return nodes
