# ad.py: a real Samba AD domain controller and a member, with a network of their own
"""A test that wants a domain calls enter() first: that moves the whole test into net, mount, UTS,
IPC and pid namespaces of its own, where NET is on the loopback interface and every server has its
standard port.  Nothing of the machine's files or network is touched, and all that was started is
gone when the test is.

    ad.enter()
    with tap.Test() as t:
        lab = ad.Domain(t).start()

GW addresses are left for smbgate; everything else connects from an address of its own choice."""

import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import krb
import netns
import node
import smb2
import tap

REALM, DOMAIN = "LAB.EXAMPLE", "LAB"
USERS = {"alice": "Alice-pw-1", "bob": "Bob-pw-2"}
ADMIN = "Admin-pw-1"
NET = "10.9.0.1/16"
DC, CLIENT, STRANGER = "10.9.0.1", "10.9.3.1", "10.9.4.1"
NODES = (("10.9.0.11", 10 ** 10, 1), ("10.9.0.12", 25 * 10 ** 9, 1), ("10.9.0.13", 10 ** 9, 0))
GW = ("10.9.1.1", "10.9.1.2", "10.9.1.3")
PORT = 445

AES256, AES128, RC4 = 18, 17, 23

SERVICES = "rpc, ldap, cldap, kdc, s3fs, winbindd"

KRB5 = """\
[libdefaults]
	default_realm = LAB.EXAMPLE
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	udp_preference_limit = 1
	default_keytab_name = FILE:{dir}/member.keytab
[realms]
	LAB.EXAMPLE = {{
		kdc = {dc}
		kpasswd_server = {dc}
	}}
[domain_realm]
	lab.example = LAB.EXAMPLE
	.lab.example = LAB.EXAMPLE
"""

HOSTS = """\
127.0.0.1 localhost
{dc} dc.lab.example dc
{nas} nas.lab.example nas
{gw} gw.lab.example gw
"""

MEMBER = """\
[global]
	workgroup = LAB
	realm = LAB.EXAMPLE
	netbios name = {netbios}
	security = ads
	password server = dc.lab.example
	kerberos method = secrets and keytab
	create krb5 conf = no
	private dir = {dir}/private
	lock directory = {dir}/lock
	state directory = {dir}/state
	cache directory = {dir}/cache
	pid directory = {dir}/pid
	ncalrpc dir = {dir}/ncalrpc
	log file = {dir}/log.%D
	log level = {loglevel}
	max log size = 0
	smb ports = {port}
	interfaces = {interfaces}
	bind interfaces only = yes
	disable netbios = yes
	name resolve order = host
	server multi channel support = yes
	server signing = {signing}
	idmap config * : backend = tdb
	idmap config * : range = 10000-19999
	idmap config LAB : backend = rid
	idmap config LAB : range = 20000-99999
	template shell = /bin/false
	winbind use default domain = no
	winbind scan trusted domains = no
	kernel oplocks = no
	kernel share modes = no
	posix locking = no
	ea support = yes
	smbd:FSCTL_SMBTORTURE = yes
	load printers = no
	disable spoolss = yes
	rpc start on demand helpers = no
	dns proxy = no
	machine password timeout = 0
{extra}
[data]
	path = {dir}/data
	read only = no
[torture]
	path = {dir}/torture
	read only = no
	vfs objects = streams_xattr
[enc]
	path = {dir}/data
	read only = no
	smb encrypt = required
"""

# What a server sees: its own /run/samba and /run/lock, its own name, the lab's names.
INNER = """\
set -e
host=$1 run=$2 top=$3
shift 3
mount -t tmpfs run /run
mkdir -p /run/samba/winbindd /run/lock
mount --bind $run /run/samba
hostname $host
exec "$@"
"""

# Directly in the directory, before the DC serves it: one process for all of it.
ACCOUNTS = """\
import sys, ldb
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.auth import system_session
lp = LoadParm(); lp.load(sys.argv[1])
db = SamDB(session_info=system_session(), lp=lp)
for pair in sys.argv[2:]:
    user, pw = pair.split(":", 1)
    db.newuser(user, pw)
db.search(db.domain_dn(), ldb.SCOPE_BASE)
for user in [p.split(":", 1)[0] for p in sys.argv[2:]] + ["Administrator"]:
    db.setexpiry("(samaccountname=%s)" % user, 0, no_expiry_req=True)
"""

# After the join: what the account may be called and which tickets it gets; then its keys.
EXPORT = """\
import sys, ldb
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.auth import system_session
from samba.credentials import Credentials
from samba.net import Net
import samba.dckeytab
conf, out, account = sys.argv[1:4]
lp = LoadParm(); lp.load(conf)
db = SamDB(session_info=system_session(), lp=lp)
res = db.search(db.domain_dn(), expression="(samaccountname=%s)" % account,
                attrs=["servicePrincipalName", "msDS-SupportedEncryptionTypes"])
have = {str(v).lower() for v in res[0].get("servicePrincipalName", [])}
m = ldb.Message(res[0].dn)
m["t"] = ldb.MessageElement("28", ldb.FLAG_MOD_REPLACE, "msDS-SupportedEncryptionTypes")
new = [s for s in sys.argv[4:] if s.lower() not in have]
if new:
    m["s"] = ldb.MessageElement(new, ldb.FLAG_MOD_ADD, "servicePrincipalName")
db.modify(m)
net = Net(Credentials(), lp)
for principal in [account] + sys.argv[4:]:
    net.export_keytab(keytab=out, principal=principal)
"""


# -- a network of one's own -----------------------------------------------------------------
def missing():
    """Why no domain can be run here, or None."""
    why = node.missing()
    if why:
        return why
    for p in ("samba", "samba-tool", "winbindd", "net", "kinit", "ip"):
        if shutil.which(p) is None:
            return "no %s" % p
    for f in ("samba/__init__.py", "Cryptodome/__init__.py"):
        if not os.path.exists("/usr/lib/python3/dist-packages/" + f):
            return "no python3 module " + f.split("/", 1)[0]
    if not _find("libnss_winbind.so.2"):
        return "no libnss-winbind"
    if not os.path.exists("/usr/share/samba/setup/provision.ldif"):
        return "no samba-ad-provision"
    return None


def _find(lib):
    try:
        ctypes.CDLL(lib)
        return True
    except OSError:
        return False


def _forward(pid):
    """Be the outer process: pass signals on, end as the inner one ended."""
    def stop(sig, _frame):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, stop)
    while True:
        try:
            done, status = os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(2)
        if done == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _die_with_parent():
    netns.libc.prctl(tap.PR_SET_PDEATHSIG, signal.SIGKILL)


def enter():
    """Go on in namespaces of our own.  Returns in a grandchild; the child is their first process
    and reaps what daemons leave; the process that called waits."""
    sys.stdout.flush()
    try:
        netns.unshare(netns.CLONE_NEWNS | netns.CLONE_NEWNET | netns.CLONE_NEWUTS
                      | netns.CLONE_NEWIPC | netns.CLONE_NEWPID)
    except OSError as e:
        tap.skip_all("no namespaces: %s" % e)
    pid = os.fork()
    if pid:
        _forward(pid)
    _die_with_parent()
    pid = os.fork()
    if pid:
        _forward(pid)       # when this one ends the kernel ends all that is left
    _die_with_parent()
    for cmd in ("mount --make-rprivate /", "mount -t proc proc /proc", "hostname labhost",
                "ip link set lo up", "ip addr add %s dev lo" % NET):
        subprocess.run(cmd.split(), check=True)
    # net ads join would write /etc/krb5.keytab, given half a chance
    subprocess.run(["mount", "--bind", "/etc", "/etc"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", "/etc"], check=True)
    # clients keep caches, whatever their configuration says
    for d in ("/run", "/var/lib/samba", "/var/cache/samba", "/var/log/samba"):
        if os.path.isdir(d):
            subprocess.run(["mount", "-t", "tmpfs", "lab", d], check=True)
    for d in ("/run/samba", "/run/lock", "/var/lib/samba/private"):
        os.makedirs(d, exist_ok=True)


# -- keytabs --------------------------------------------------------------------------------
class Entry:
    """One key of a keytab."""

    def __init__(self, principal, kvno, etype, key, name_type=1, stamp=0):
        self.principal, self.kvno, self.etype, self.key = principal, kvno, etype, key
        self.name_type, self.stamp = name_type, stamp

    def __repr__(self):
        return "%s kvno %d etype %d" % (self.principal, self.kvno, self.etype)

    def but(self, **kw):
        """A copy with other fields."""
        e = Entry(self.principal, self.kvno, self.etype, self.key, self.name_type, self.stamp)
        e.__dict__.update(kw)
        return e

    def pack(self):
        def counted(b):
            return struct.pack(">H", len(b)) + b
        name, realm = self.principal.rsplit("@", 1)
        parts = name.split("/")
        out = struct.pack(">H", len(parts)) + counted(realm.encode())
        out += b"".join(counted(p.encode()) for p in parts)
        out += struct.pack(">IIBH", self.name_type, self.stamp, self.kvno & 0xFF, self.etype)
        out += counted(self.key) + struct.pack(">I", self.kvno)
        return struct.pack(">i", len(out)) + out


def write_keytab(path, entries):
    """Whole or not at all, as a careful administrator does it; for its owner alone."""
    with open(path + ".new", "wb") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(b"\x05\x02" + b"".join(e.pack() for e in entries))
    os.rename(path + ".new", path)
    return path


def read_keytab(path):
    with open(path, "rb") as f:
        b = f.read()
    if b[:2] != b"\x05\x02":
        raise ValueError("not a keytab: " + path)
    out, off = [], 2
    while off + 4 <= len(b):
        size, = struct.unpack_from(">i", b, off)
        off += 4
        end = off + abs(size)
        if size > 0:
            def counted(o):
                n, = struct.unpack_from(">H", b, o)
                return b[o + 2:o + 2 + n], o + 2 + n
            n, = struct.unpack_from(">H", b, off)
            realm, o = counted(off + 2)
            parts = []
            for _ in range(n):
                p, o = counted(o)
                parts.append(p.decode())
            kind, stamp, kvno, etype = struct.unpack_from(">IIBH", b, o)
            key, o = counted(o + 11)
            if end - o >= 4:
                kvno = struct.unpack_from(">I", b, o)[0] or kvno
            out.append(Entry("/".join(parts) + "@" + realm.decode(), kvno, etype, key, kind,
                             stamp))
        off = end
    return out


def nt_hash(password):
    from Cryptodome.Hash import MD4
    return MD4.new(password.encode("utf-16-le")).digest()


def user_entries(users=USERS):
    """NT hashes are rc4-hmac keys."""
    return [Entry("%s@%s" % (u, REALM), 1, RC4, nt_hash(pw)) for u, pw in users.items()]


def wrong(entries):
    """The same names and numbers, other keys."""
    return [e.but(key=os.urandom(len(e.key))) for e in entries]


def other_kvno(entries, by=7):
    """The same keys under a number that no ticket has."""
    return [e.but(kvno=e.kvno + by) for e in entries]


# -- the domain -----------------------------------------------------------------------------
class Domain:
    """A DC and one member.  .keytab holds everything that the proxy may have."""

    def __init__(self, t, nodes=NODES, signing="auto", extra=(), loglevel=1, net=NET, gw=GW[0]):
        """net: the DC's address, in its network.  gw: the one that clients know."""
        self.t = t
        self.dir = node.tempdir(t)
        self.net, self.dc = net, net.split("/")[0]
        self.nas = self.member(nodes, signing, extra, loglevel)
        self.krb5 = self._file("krb5.conf", KRB5.format(dir=self.dir, dc=self.dc))
        hosts = self._file("hosts", HOSTS.format(dc=self.dc, nas=nodes[0][0], gw=gw))
        nss = self._file("nsswitch", "passwd: files winbind\ngroup: files winbind\nhosts: files\n")
        resolv = self._file("resolv", "nameserver %s\n" % self.dc)
        # for this process and all that it starts, and for nobody else
        for src, dst in ((hosts, "/etc/hosts"), (nss, "/etc/nsswitch.conf"),
                         (resolv, "/etc/resolv.conf"), (self.krb5, "/etc/krb5.conf")):
            if os.path.exists(dst):
                subprocess.run(["mount", "--bind", src, os.path.realpath(dst)], check=True)
        os.environ["KRB5_CONFIG"] = self.krb5
        self.env = dict(os.environ, LC_ALL="C.UTF-8", KRB5_CONFIG=self.krb5)
        self.env.pop("KRB5CCNAME", None)
        self.proc = None
        self.times = {}

    def member(self, *args):
        return Member(self, *args)

    def _file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def run(self, argv, check=True, **kw):
        kw.setdefault("timeout", 400)
        r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env=self.env, stdin=subprocess.DEVNULL, errors="replace", **kw)
        if check and r.returncode:
            raise RuntimeError("%s: %d: %s" % (" ".join(argv[:6]), r.returncode,
                                               r.stdout[-3000:]))
        return r

    def inside(self, host, argv):
        """argv as it is run on that host: own first process, own /run."""
        run = os.path.join(self.dir, host + "-run")
        os.makedirs(run, exist_ok=True)
        os.chmod(run, 0o755)
        return ["unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "--propagation",
                "private", "sh", "-c", INNER, "host", host, run, self.dir] + argv

    def serve(self, host, argv):
        with open(os.path.join(self.dir, host + ".stderr"), "ab") as err:
            p = self.t.spawn(self.inside(host, argv), stdin=subprocess.DEVNULL, stdout=err,
                             stderr=err, env=self.env)
        self.t.defer(self.t.kill_group, p)
        return p

    def text(self, name):
        try:
            with open(os.path.join(self.dir, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def start(self):
        clock = time.monotonic()

        def step(name):
            nonlocal clock
            self.times[name] = time.monotonic() - clock
            clock = time.monotonic()
        self.provision()
        step("provision")
        self.start_dc()
        step("dc")
        self.nas.join()
        step("join")
        self.nas.start(wait=False)
        self.make_keytab()
        step("keytab")
        self.nas.wait()
        step("member")
        step("tickets")
        return self

    def start_dc(self):
        self.proc = self.serve("dc", ["samba", "-s", self.conf, "--no-process-group", "-F"])
        for port in (389, 88, 445, 135):
            self._listens(self.dc, port, self.proc, "dc.stderr")

    def make_keytab(self):
        self.export()
        self.users = user_entries()
        self.keytab = write_keytab(os.path.join(self.dir, "smbgate.keytab"),
                                   self.hosts + self.users)

    def export(self):
        """The member's keys as the DC has them now in .hosts, and fresh tickets for all users."""
        path = os.path.join(self.dir, "hosts.keytab")
        if os.path.exists(path):
            os.unlink(path)
        self.python(EXPORT, self.conf, path, self.nas.netbios + "$", "cifs/gw.lab.example",
                    "cifs/nas.lab.example")
        self.hosts = read_keytab(path)
        self.caches = {u: self.kinit(u) for u in USERS}

    def python(self, script, *args):
        return self.run(["/usr/bin/python3", "-c", script, *args])

    def provision(self):
        top = os.path.join(self.dir, "dc")
        os.mkdir(top)
        self.run(self.inside("dc", [
            "samba-tool", "domain", "provision", "--realm=" + REALM, "--domain=" + DOMAIN,
            "--host-name=dc", "--host-ip=" + self.dc, "--server-role=dc", "--dns-backend=NONE",
            "--function-level=2008_R2", "--adminpass=" + ADMIN, "--targetdir=" + top,
            "--option=interfaces=%s" % self.net, "--option=bind interfaces only=yes",
            "--option=server services=" + SERVICES, "--option=log file=%s/log" % top,
            "--option=pid directory=%s/pid" % top, "--option=ncalrpc dir=%s/ncalrpc" % top,
            "--option=rpc start on demand helpers=no", "--option=load printers=no",
            "--option=ntlm auth=ntlmv2-only", "--option=disable netbios=yes"]))
        for d in ("pid", "ncalrpc"):
            os.makedirs(os.path.join(top, d), exist_ok=True)
        self.conf = os.path.join(top, "etc", "smb.conf")
        self.python(ACCOUNTS, self.conf, *["%s:%s" % i for i in USERS.items()])

    def _listens(self, addr, port, proc, log, seconds=120):
        def up():
            if proc.poll() is not None:
                raise RuntimeError("ended: " + self.text(log)[-3000:])
            with socket.socket() as s:
                s.settimeout(1)
                return s.connect_ex((addr, port)) == 0
        tap.wait_for(up, seconds, message=lambda: "%s:%d does not answer: %s" % (
            addr, port, self.text(log)[-3000:]))

    def kinit(self, user, name=None):
        """A fresh credential cache of that user; its name."""
        cache = "FILE:%s/cc-%s" % (self.dir, name or user)
        subprocess.run(["kinit", "-c", cache, "%s@%s" % (user, REALM)], env=self.env, text=True,
                       input=USERS[user] + "\n", check=True, stdout=subprocess.DEVNULL,
                       timeout=60)
        return cache

    def as_user(self, user="alice", kerberos=True):
        """(arguments, environment) with which Samba's clients log on as that user."""
        if kerberos:    # with -N, Samba 4.25 does not look for the ticket
            return ["--use-kerberos=required"], dict(self.env, KRB5CCNAME=self.caches[user])
        return (["--use-kerberos=off", "-U%s\\%s%%%s" % (DOMAIN, user, USERS[user])], self.env)

    def smbclient(self, host, script, *args, share="data", user="alice", kerberos=True, cwd=None,
                  timeout=60):
        """Run a list of smbclient commands; the CompletedProcess."""
        who, env = self.as_user(user, kerberos)
        return subprocess.run(
            ["smbclient", "//%s.lab.example/%s" % (host, share), "-s", "/dev/null",
             "--option=interfaces=" + CLIENT + "/16", *who, *args, "-c", "; ".join(script)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd, text=True,
            errors="replace", timeout=timeout, stdin=subprocess.DEVNULL)

    def auth(self, kind, host="gw", user="alice"):
        """A mechanism for the raw client: "kerberos" or "ntlm"."""
        if kind == "kerberos":
            return krb.Kerberos(self.caches[user], host + ".lab.example")
        return smb2.Ntlm(user, USERS[user], DOMAIN, spnego=True)

    def keytab_of(self, name, entries):
        """A keytab file of that name in the domain's directory."""
        return write_keytab(os.path.join(self.dir, name), entries)


def first(proc):
    """The first process of the host that Domain.serve() has started, as seen from here."""
    with open("/proc/%d/task/%d/children" % (proc.pid, proc.pid)) as f:
        return int(f.read().split()[0])


class Member:
    """One smbd of the domain, with winbindd.  Looks like a node to gate.Gate.  interfaces: what
    smb.conf says of them, in place of what nodes makes it say."""

    def __init__(self, domain, nodes, signing="auto", extra=(), loglevel=1, name="nas",
                 netbios=None, interfaces=None):
        self.domain, self.t, self.name = domain, domain.t, name
        self.netbios = netbios or name.upper()
        self.addrs = [n[0] for n in nodes]
        self.addr, self.port = self.addrs[0], PORT
        self.dir = os.path.join(domain.dir, name)
        for d in ("", "private", "lock", "state", "cache", "pid", "ncalrpc", "data", "torture"):
            os.makedirs(os.path.join(self.dir, d), exist_ok=True)
        os.chmod(self.dir, 0o755)
        os.chmod(self.dir + "/data", 0o777)
        os.chmod(self.dir + "/torture", 0o777)
        self.conf = os.path.join(self.dir, "smb.conf")
        # smbd tells its interfaces from the last configured to the first
        self.told = [(ip, speed, caps, 21 + i) for i, (ip, speed, caps) in enumerate(nodes)]
        interfaces = interfaces or ['"%s/16;speed=%d%s,if_index=%d"' % (
            ip, speed, ",capability=RSS" if caps else "", index)
            for ip, speed, caps, index in reversed(self.told)]
        with open(self.conf, "w") as f:
            f.write(MEMBER.format(dir=self.dir, netbios=self.netbios, port=self.port,
                                  interfaces=" ".join(interfaces), signing=signing,
                                  loglevel=loglevel, extra="".join("\t%s\n" % e for e in extra)))

    @property
    def endpoint(self):
        return "%s:%d" % (self.addr, self.port)

    def inside(self, argv):
        """argv as it is run on this host before it has started."""
        return self.domain.inside(self.name, argv)

    def join(self):
        self.domain.run(self.inside([
            "net", "ads", "join", "-s", self.conf, "-S", "dc.lab.example", "--no-dns-updates",
            "-U", "Administrator%" + ADMIN]))

    def same_account(self, other):
        """In place of join(): be another node of that member's, with its secrets."""
        shutil.copy(other.dir + "/private/secrets.tdb", self.dir + "/private/")

    def change_password(self):
        """The machine account's, as winbindd does it once a month."""
        self.domain.run(["nsenter", "-t", str(self.first()), "-m", "-u", "-p", "net", "ads",
                         "changetrustpw", "-s", self.conf])

    def start(self, wait=True):
        # one host, two daemons: the shell is its first process and reaps
        script = ("winbindd -s $1 --no-process-group -F & smbd -s $1 --no-process-group -F & "
                  "while :; do sleep 3600 & wait $!; done")
        self.proc = self.domain.serve(self.name, ["sh", "-c", script, self.name, self.conf])
        if wait:
            self.wait()
        return self

    def wait(self):
        self.domain._listens(self.addr, self.port, self.proc, self.name + ".stderr")
        # winbindd tells of a user: then smbd can make a token
        pid = self.first()

        def known():
            r = subprocess.run(["nsenter", "-t", str(pid), "-m", "getent", "passwd", "LAB\\alice"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return r.returncode == 0
        tap.wait_for(known, 120, message=lambda: "winbindd knows nobody: " + self.log()[-3000:])

    def first(self):
        return first(self.proc)

    def log(self):
        return "".join(self.domain.text(os.path.join(self.name, f))
                       for f in sorted(os.listdir(self.dir)) if f.startswith("log."))

    def data(self, *path):
        return os.path.join(self.dir, "data", *path)
