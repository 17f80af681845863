# node.py: real smbd nodes on loopback addresses, each with a directory of its own
"""A node runs in private mount, pid and UTS namespaces: copies of passwd and group with the lab's
users are bind-mounted there, so the machine's own files stay as they are; the host is called
labnode, so no machine's name is on the wire; killing its first process kills all of it at once."""

import errno
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import tap

USERS = {"alice": ("Alice-pw-1", 61001), "bob": ("Bob-pw-2", 61002)}
SMBD = shutil.which("smbd") or "/usr/sbin/smbd"     # SAMBA_ROOT's, if there is one: see t/lab/start

CONF = """\
[global]
	workgroup = LABGROUP
	netbios name = {netbios}
	server role = standalone server
	passdb backend = tdbsam
	private dir = {dir}/private
	lock directory = {dir}/lock
	state directory = {dir}/state
	cache directory = {dir}/cache
	pid directory = {dir}/pid
	ncalrpc dir = {dir}/ncalrpc
	log file = {dir}/log
	log level = {loglevel}
	max log size = 0
	smb ports = {port}
	interfaces = {interfaces}
	bind interfaces only = yes
	disable netbios = yes
	server multi channel support = {multichannel}
	server min protocol = {minproto}
	server signing = {signing}
	reset on zero vc = yes
	map to guest = Bad User
	guest account = nobody
	kernel oplocks = no
	kernel share modes = no
	posix locking = no
	ea support = yes
	smbd:FSCTL_SMBTORTURE = yes
	load printers = no
	disable spoolss = yes
	rpc start on demand helpers = no
	dns proxy = no
	unix password sync = no
{extra}
[data]
	path = {dir}/data
	read only = no
	guest ok = yes
[torture]
	path = {dir}/torture
	read only = no
	vfs objects = streams_xattr
[enc]
	path = {dir}/data
	read only = no
	smb encrypt = required
"""

INNER = """\
set -e
mount --bind {top}/passwd /etc/passwd
mount --bind {top}/group /etc/group
mount --bind {top}/hosts /etc/hosts
hostname labnode
exec "$@"
"""


def missing():
    """Why no node can be run here, or None."""
    if not os.path.exists(SMBD):
        return "no smbd"
    if os.geteuid() != 0:
        return "real nodes need root (mount namespaces, user changes)"
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return "no mount namespaces here"
    return None


def free_port(addr):
    """A port that nothing listens on, below those that outgoing connections take: one of these
    could slip in before the port is used."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        top = min(int(f.read().split()[0]), 32768)
    while True:
        port = random.randrange(min(15000, top // 2), top)
        with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET) as s:
            try:
                s.bind((addr, port))
                return port
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise


def tempdir(t):
    d = tempfile.mkdtemp(prefix="sgt-")
    os.chmod(d, 0o755)
    t.defer(shutil.rmtree, d, True)
    return d


def _inside(top, argv):
    return ["unshare", "-m", "-u", "--propagation", "private", "sh", "-c", INNER.format(top=top),
            "node"] + argv


class Lab:
    """What the nodes of one test share: user files and a passdb to copy."""

    def __init__(self, t, users=USERS):
        self.t = t
        self.dir = tempdir(t)
        self.users = users
        self.passdb = None
        with open(self.dir + "/hosts", "w") as out:
            out.write("127.0.0.1 localhost labnode.lab.example labnode\n::1 localhost\n")
        with open("/etc/passwd") as f, open(self.dir + "/passwd", "w") as out:
            out.write(f.read())
            for u, (_, uid) in users.items():
                out.write("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (u, uid, uid))
        with open("/etc/group") as f, open(self.dir + "/group", "w") as out:
            out.write(f.read())
            for u, (_, uid) in users.items():
                out.write("%s:x:%d:\n" % (u, uid))

    def add_users(self, conf, private):
        """Fill the node's passdb; the first one made is copied for the others."""
        if self.passdb is None:
            for u, (pw, _) in self.users.items():
                subprocess.run(_inside(self.dir, ["smbpasswd", "-c", conf, "-s", "-a", u]),
                               input="%s\n%s\n" % (pw, pw), text=True, check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.passdb = self.dir + "/passdb.tdb"
            shutil.copy(private + "/passdb.tdb", self.passdb)
        else:
            shutil.copy(self.passdb, private + "/passdb.tdb")


class Node:
    """One smbd.  interfaces: a list of smb.conf interface strings in place of the default one
    (the node's own address, 1 Gbit/s, RSS).  prefix: what the command begins with (nsenter ...)."""

    def __init__(self, lab, name="n1", addr="127.0.0.11", port=None, netbios=None, signing="auto",
                 multichannel=True, interfaces=None, extra=(), loglevel=1, minproto="NT1",
                 prefix=()):
        self.lab, self.t, self.name, self.addr = lab, lab.t, name, addr
        self.port = port or free_port(addr)
        self.dir = os.path.join(lab.dir, name)
        self.netbios = netbios or name.upper()
        self.proc, self.prefix, self.smbd = None, list(prefix), SMBD
        for d in ("private", "lock", "state", "cache", "pid", "ncalrpc", "data", "torture"):
            os.makedirs(os.path.join(self.dir, d))
        os.chmod(self.dir, 0o755)
        os.chmod(self.dir + "/data", 0o777)
        os.chmod(self.dir + "/torture", 0o777)
        if interfaces is None:
            interfaces = ['%s/8;speed=1000000000,capability=RSS' % addr]
        self.conf = self.dir + "/smb.conf"
        with open(self.conf, "w") as f:
            f.write(CONF.format(
                netbios=self.netbios, dir=self.dir, port=self.port, signing=signing,
                loglevel=loglevel, multichannel="yes" if multichannel else "no",
                minproto=minproto, interfaces=" ".join('"%s"' % i for i in interfaces),
                extra="".join("\t%s\n" % e for e in extra)))
        lab.add_users(self.conf, self.dir + "/private")

    @property
    def endpoint(self):
        return "%s:%d" % (self.addr, self.port)

    @property
    def server_guid(self):
        """What NEGOTIATE tells: the netbios name in lower case, padded."""
        return self.netbios.lower().encode()[:16].ljust(16, b"\0")

    def start(self, wait=True):
        err = open(self.dir + "/stderr", "ab")
        argv = self.prefix + [
            "unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "--propagation",
            "private", "sh", "-c", INNER.format(top=self.lab.dir), "node",
            self.smbd, "-s", self.conf, "--no-process-group", "-F"]
        self.proc = self.t.spawn(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        err.close()
        self.t.defer(self.stop)
        if wait:
            self.wait()
        return self

    def wait(self, seconds=60):
        """Until it answers a TCP connection."""
        def up():
            if self.proc.poll() is not None:
                raise RuntimeError("%s ended: %s" % (self.name, self.text("stderr")[-2000:]))
            with socket.socket(socket.AF_INET6 if ":" in self.addr else socket.AF_INET) as s:
                s.settimeout(1)
                return s.connect_ex((self.addr, self.port)) == 0
        tap.wait_for(up, seconds, message="%s does not answer" % self.name)

    def pids(self):
        """Every process of this node, as seen from outside its namespace, a parent before its
        children: the numbers say nothing of that, for they begin anew."""
        if self.proc is None:
            return []
        kids = {}
        for p in os.listdir("/proc"):
            if p.isdigit():
                try:
                    with open("/proc/%s/stat" % p) as f:
                        ppid = int(f.read().rsplit(")", 1)[1].split()[1])
                    kids.setdefault(ppid, []).append(int(p))
                except (OSError, IndexError):
                    pass
        out, todo = [], [self.proc.pid]
        while todo:
            p = todo.pop()
            out.append(p)
            todo += kids.get(p, [])
        return out

    def listener(self):
        """The process that accepts connections: the first of those that have the socket."""
        want = "%08X:%04X" % (struct.unpack("=I", socket.inet_aton(self.addr))[0], self.port)
        with open("/proc/thread-self/net/tcp") as f:
            inode, = [x[9] for x in map(str.split, f) if x[1] == want and x[3] == "0A"]
        for pid in self.pids():
            try:
                for fd in os.listdir("/proc/%d/fd" % pid):
                    if os.readlink("/proc/%d/fd/%s" % (pid, fd)) == "socket:[%s]" % inode:
                        return pid
            except OSError:
                pass
        raise RuntimeError("nobody listens for %s" % self.name)

    def serving(self):
        """The processes of clients, not those that smbd has for itself, which have names."""
        out = []
        for pid in self.pids()[2:]:
            try:
                with open("/proc/%d/comm" % pid) as f:
                    if f.read().startswith(("smbd[", "smbd\n")):
                        out.append(pid)
            except OSError:
                pass
        return out

    def _signal(self, sig):
        for p in self.pids()[1:]:
            try:
                os.kill(p, sig)
            except ProcessLookupError:
                pass

    def kill(self):
        """SIGKILL for all of it at once."""
        if self.proc and self.proc.poll() is None:
            pids = self.pids()
            if len(pids) > 1:
                os.kill(pids[1], signal.SIGKILL)
            self.t.kill_group(self.proc)
            # Nobody is left who would take a connection.
            tap.wait_for(lambda: not any(map(alive, pids)), 10)

    stop = kill

    def pause(self):
        self._signal(signal.SIGSTOP)

    def cont(self):
        self._signal(signal.SIGCONT)

    def text(self, name="log"):
        """The log (or another file of the node's directory) so far."""
        try:
            with open(os.path.join(self.dir, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_size(self):
        try:
            return os.stat(self.dir + "/log").st_size
        except FileNotFoundError:
            return 0

    def log_from(self, offset):
        with open(self.dir + "/log", "rb") as f:
            f.seek(offset)
            return f.read().decode(errors="replace")

    def connections(self):
        """Established TCP connections at the node's port."""
        return connections(self.addr, self.port)

    def data(self, *path):
        return os.path.join(self.dir, "data", *path)


def share_data(nodes):
    """One file system behind all, as clusters have it: what a client has put at one node it finds
    at each other."""
    for n in nodes[1:]:
        os.rmdir(n.data())
        os.symlink(nodes[0].data(), n.data())


def alive(pid):
    """Does the process run?  One that is only waited for does not."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def connections(addr, port):
    """Number of established connections whose local end is addr:port."""
    if ":" in addr:
        raw = socket.inet_pton(socket.AF_INET6, addr)
        want = "".join("%08X" % struct.unpack("=I", raw[i:i + 4]) for i in range(0, 16, 4))
        table = "/proc/thread-self/net/tcp6"
    else:
        want = "%08X" % struct.unpack("=I", socket.inet_aton(addr))
        table = "/proc/thread-self/net/tcp"
    want += ":%04X" % port
    with open(table) as f:
        return len(re.findall(r"(?m)^ *\d+: %s \S+ 01 " % want, f.read()))


def cluster(t, count, first=11, lab=None, **kw):
    """count nodes n1.. on 127.0.0.<first>.. with different netbios names, started."""
    lab = lab or Lab(t)
    nodes = [Node(lab, "n%d" % (i + 1), "127.0.0.%d" % (first + i), **kw) for i in range(count)]
    for n in nodes:
        n.start(wait=False)
    for n in nodes:
        n.wait()
    return nodes
