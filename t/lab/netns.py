# netns.py: hosts and networks of a test's own, as network namespaces
"""A Host is a network namespace without a name: this process holds it by a descriptor, so it is
gone when the test is, however that ends.  Whatever happens inside() it, in the calling thread,
happens on that host: sockets that are opened, programs that are started (Node, Gate, smbclient),
files of /proc/sys/net and /proc/thread-self/net.

    lan, wan = netns.Lan(t), netns.Lan(t)
    client, nat, nas = (netns.Host(t, n) for n in ("client", "nat", "nas"))
    lan.join(client, "10.1.0.2/24", "fd01::2/64")
    lan.join(nat, "10.1.0.1/24", "fd01::1/64")
    wan.join(nat, "10.2.0.1/24", name="out")
    wan.join(nas, "10.2.0.9/24")
    client.route("default", "10.1.0.1")
    nat.forward()
    nat.masquerade("out")
    with nas.inside():
        n = node.Node(node.Lab(t), addr="10.2.0.9", port=445, interfaces=["10.2.0.9/24"]).start()
    with client.inside():
        c = smb2.Conn(n.addr, n.port)

Everything is gone when the test is: nothing is named, nothing is left on the machine."""

import contextlib
import ctypes
import os
import shutil
import subprocess

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MINE = "/proc/thread-self/ns/net"

libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    """unshare(2) for this thread."""
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))


def setns(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


def missing(*programs):
    """Why no hosts can be made here, or None.  programs: what else of the kind is needed."""
    for p in ("ip", "nft") + programs:
        if shutil.which(p) is None:
            return "no %s" % p
    # in a process of its own: this one stays where it is
    script = "import netns, sys\ntry: netns.unshare(netns.CLONE_NEWNET)\n" \
             "except OSError as e: sys.exit(str(e))"
    r = subprocess.run(["/usr/bin/python3", "-B", "-c", script], text=True, stderr=subprocess.PIPE,
                       cwd=os.path.dirname(os.path.abspath(__file__)))
    return "no network namespaces: %s" % r.stderr.strip() if r.returncode else None


class Host:
    """One network namespace, with its loopback interface up."""

    def __init__(self, t, name):
        self.t, self.name, self.links = t, name, 0
        back = os.open(MINE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            unshare(CLONE_NEWNET)
            self.fd = os.open(MINE, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(back)
            os.close(back)
        t.defer(os.close, self.fd)
        self.ip("link", "set", "lo", "up")

    @classmethod
    def of(cls, t, name, pid):
        """The host on which that process is."""
        h = cls.__new__(cls)
        h.t, h.name, h.links = t, name, 0
        h.fd = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
        t.defer(os.close, h.fd)
        return h

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is on this host meanwhile."""
        back = os.open(MINE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.fd)
            yield self
        finally:
            setns(back)
            os.close(back)

    def run(self, *argv, check=True, **kw):
        """A program that ends, on this host; the CompletedProcess."""
        kw.setdefault("timeout", 60)
        with self.inside():
            r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", **kw)
        if check and r.returncode:
            raise RuntimeError("%s: %s: %d: %s" % (self.name, " ".join(argv), r.returncode,
                                                   r.stdout[-2000:]))
        return r

    def ip(self, *args, **kw):
        return self.run("ip", *args, **kw)

    def nft(self, text):
        """Run a script of nft commands."""
        return self.run("nft", "-f", "-", input=text)

    def sysctl(self, name, value):
        with self.inside(), open("/proc/sys/net/" + name.replace(".", "/"), "w") as f:
            f.write(str(value))

    def forward(self):
        """Be a router, for IPv4 and IPv6."""
        self.sysctl("ipv4.ip_forward", 1)
        self.sysctl("ipv6.conf.all.forwarding", 1)

    def route(self, to, via):
        """to: "default" or a prefix, of the family of via."""
        self.ip("-6" if ":" in via else "-4", "route", "replace", to, "via", via)

    def masquerade(self, out):
        """Whatever leaves through that interface has this host's address there."""
        self.nft('table inet nat {\n chain out {\n  type nat hook postrouting priority srcnat\n'
                 '  oifname "%s" masquerade\n }\n}\n' % out)


class Lan:
    """A switch, with a namespace of its own."""

    def __init__(self, t, name="lan"):
        self.switch = Host(t, name)
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("link", "set", "br0", "up")

    def join(self, host, *addresses, name=None):
        """Plug the host in; its interface is eth0, eth1 .. or has that name, and these addresses
        ("10.1.0.2/24", "fd01::2/64")."""
        dev, port = name or "eth%d" % host.links, "p%d" % self.switch.links
        host.links += 1
        self.switch.links += 1
        self.switch.ip("link", "add", port, "type", "veth", "peer", "name", dev, "netns",
                       "/proc/self/fd/%d" % host.fd, pass_fds=(host.fd,))
        self.switch.ip("link", "set", port, "master", "br0", "up")
        # Until its link-local address is known to be its own, up to two seconds, a host asks nobody
        # in place of another, as one with smbgate does.
        host.sysctl("ipv6.conf.%s.accept_dad" % dev, 0)
        host.ip("link", "set", dev, "up")
        for a in addresses:
            host.ip("addr", "add", a, "dev", dev, *(["nodad"] if ":" in a else []))
        return dev
