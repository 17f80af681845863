# vpn.py: a VPN gateway between clients and nodes, with the addresses of contrib/vpn-gateway
"""Clients reach the nodes through the gateway, which routes; smbgate is to run there:

    v = vpn.Vpn(t)
    v.rules()                       # contrib/vpn-gateway's nftables.conf and routing
    with v.gw.inside():
        g = gate.Gate(t, [...]).start()
    with v.clients[0].inside():
        ...
"""

import hashlib
import os
import shutil
import subprocess

import clients
import netns
import node
import tap

CONTRIB = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "contrib", "vpn-gateway")
GW4, GW6 = "10.8.0.1", "fd00:8::1"
INSIDE4, INSIDE6 = "10.2.0.1", "fd00:2::1"
CLIENTS = (("10.8.0.2", "fd00:8::2"), ("10.8.0.3", "fd00:8::3"))
# the routers of those who are far away, on the side of the clients and on that of the nodes
FAR_OUTER, FAR_INNER = ("10.8.0.9", "fd00:8::9"), ("10.2.0.9", "fd00:2::9")
THIN = 1300
# where the gateway and the clients have their WireGuard
OUTSIDE = "192.0.2.%d"
BIG = 3 << 20
NODES = (("10.2.0.11", "fd00:2::11"), ("10.2.0.12", "fd00:2::12"))


def missing():
    return netns.missing("ss") or node.missing() or clients.missing("smbclient")


def no_wireguard():
    """Why there is none, or None.  The kernel's, or else wireguard-go."""
    if shutil.which("wg") is None:
        return "no wg"
    r = subprocess.run(["ip", "link", "add", "wgtry", "type", "wireguard"], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode == 0:
        subprocess.run(["ip", "link", "del", "wgtry"], check=True)
    elif shutil.which("wireguard-go") is None:
        return "no WireGuard in this kernel (%s), and no wireguard-go" % r.stdout.strip()
    return None


class Vpn:
    """gw, clients and hosts are netns.Host; nodes are running node.Node, each on its host.  secret:
    an address (10.3.0.11 ..) that each node has as well and tells of.  far: the second client and
    the second node are each behind two routers, with a link of 1,300 bytes between these.
    wireguard: clients come by WireGuard, and not over a plain network of that name."""

    def __init__(self, t, nodes=2, loglevel="1 auth_audit:3", signing="auto", far=False,
                 wireguard=False):
        self.t = t
        self.outer, self.inner = netns.Lan(t, "vpn"), netns.Lan(t, "storage")
        self.gw = netns.Host(t, "gw")
        if wireguard:
            self.outer.join(self.gw, OUTSIDE % 1 + "/24", name="eth0")
            gw_key = self.tunnel(self.gw, "wg0", GW4 + "/24", GW6 + "/64")
        else:
            self.outer.join(self.gw, GW4 + "/24", GW6 + "/64", name="wg0")
        self.inner.join(self.gw, INSIDE4 + "/24", INSIDE6 + "/64", name="eth1")
        self.gw.forward()
        # the strictest that an administrator, or wg-quick, may have set
        for dev in ("all", "default", "wg0", "eth1"):
            self.gw.sysctl("ipv4.conf.%s.rp_filter" % dev, 1)
            self.gw.sysctl("ipv4.conf.%s.src_valid_mark" % dev, 1)
        self.clients, self.hosts, self.nodes, self.routers = [], [], [], []
        for i, own in enumerate(CLIENTS):
            h = netns.Host(t, "client%d" % (i + 1))
            if far and i == 1:
                self.far(self.outer, h, own, FAR_OUTER, (GW4, GW6))
            elif wireguard:
                self.through_tunnel(i, h, own, gw_key)
            else:
                self.near(self.outer, h, own, (GW4, GW6))
            self.clients.append(h)
        lab = node.Lab(t)
        for i, (a4, a6) in enumerate(NODES[:nodes]):
            h = netns.Host(t, "n%d" % (i + 1))
            if far and i == 1:
                self.far(self.inner, h, (a4, a6), FAR_INNER, (INSIDE4, INSIDE6))
            else:
                self.near(self.inner, h, (a4, a6), (INSIDE4, INSIDE6))
            h.ip("addr", "add", self.secret(i) + "/24", "dev", "eth0")
            self.hosts.append(h)
            told = ['"%s;speed=10000000000,capability=RSS"' % x for x in
                    (self.secret(i) + "/24", a6 + "/64", a4 + "/24")]
            self.nodes.append(node.Node(lab, h.name, a4, 445, loglevel=loglevel, signing=signing,
                                        interfaces=[x.strip('"') for x in told]))
        for n in range(len(self.nodes)):
            self.start(n)

    @staticmethod
    def near(lan, host, own, gw):
        lan.join(host, own[0] + "/24", own[1] + "/64")
        for a in gw:
            host.route("default", a)

    def far(self, lan, host, own, door, gw):
        """host, with these addresses, lan - r1 = r2 - host; door: r1's addresses in lan, gw: the
        gateway's.  What does not fit through the link is told of by ICMP, and by nothing else."""
        r1, r2 = netns.Host(self.t, "r1"), netns.Host(self.t, "r2")
        link, end = netns.Lan(self.t, "link"), netns.Lan(self.t, "end")
        lan.join(r1, door[0] + "/24", door[1] + "/64")
        link.join(r1, "10.9.0.1/24", "fd00:9::1/64", name="thin")
        link.join(r2, "10.9.0.2/24", "fd00:9::2/64", name="thin")
        end.join(r2, "10.99.0.1/24", "fd00:99::1/64")
        end.join(host, "10.99.0.2/24", "fd00:99::2/64", own[0] + "/32", own[1] + "/128")
        for r in (r1, r2):
            r.forward()
            r.ip("link", "set", "thin", "mtu", str(THIN))
            self.routers.append(r)
        r1.route("default", gw[0])
        r1.route("default", gw[1])
        r2.route("default", "10.9.0.1")
        r2.route("default", "fd00:9::1")
        for a, via1, via2, router, out in zip(own, ("10.9.0.2", "fd00:9::2"),
                                              ("10.99.0.2", "fd00:99::2"),
                                              ("10.99.0.1", "fd00:99::1"), door):
            r1.route(a, via1)
            r2.route(a, via2)
            host.ip("-6" if ":" in a else "-4", "route", "replace", "default", "via", router,
                    "src", a)
            self.gw.route(a, out)

    def tunnel(self, host, dev, *own):
        """A WireGuard with these addresses, and nobody at its other end; its public key."""
        if host.ip("link", "add", dev, "type", "wireguard", check=False).returncode:
            with host.inside():
                self.t.spawn(["wireguard-go", "-f", dev], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
            tap.wait_for(lambda: not host.ip("link", "show", dev, check=False).returncode and
                         os.path.exists("/var/run/wireguard/%s.sock" % dev), 60,
                         message="wireguard-go makes no interface")
        private = host.run("wg", "genkey").stdout
        host.run("wg", "set", dev, "listen-port", "51820", "private-key", "/dev/stdin",
                 input=private)
        host.ip("link", "set", dev, "mtu", "1420", "up")
        for a in own:
            host.ip("addr", "add", a, "dev", dev, *(["nodad"] if ":" in a else []))
        return host.run("wg", "pubkey", input=private).stdout.strip()

    def through_tunnel(self, i, host, own, gw_key):
        out, dev = OUTSIDE % (i + 2), "wgc%d" % i
        self.outer.join(host, out + "/24")
        key = self.tunnel(host, dev, own[0] + "/32", own[1] + "/128")
        host.run("wg", "set", dev, "peer", gw_key, "endpoint", OUTSIDE % 1 + ":51820",
                 "allowed-ips", "0.0.0.0/0,::/0")
        self.gw.run("wg", "set", "wg0", "peer", key, "endpoint", out + ":51820",
                    "allowed-ips", "%s/32,%s/128" % own)
        for family in ("-4", "-6"):
            host.ip(family, "route", "replace", "default", "dev", dev)

    def carry(self, who, addr):
        """A client puts 3 MB there, and gets them back; what went wrong, or None."""
        folder, name = node.tempdir(self.t), "big%d" % who
        with open(folder + "/up", "wb") as f:
            f.write(os.urandom(BIG))
        with self.clients[who].inside():
            try:
                r = clients.smbclient(addr, 445, ["put up " + name, "get %s down" % name,
                                                  "del " + name], "-t", "20", cwd=folder,
                                      timeout=60)
            except subprocess.TimeoutExpired as e:
                return "it hangs: %r" % e.stdout
        if r.returncode or not os.path.exists(folder + "/down"):
            return "status %d: %s" % (r.returncode, r.stdout)
        with open(folder + "/up", "rb") as up, open(folder + "/down", "rb") as down:
            same = hashlib.sha256(up.read()).digest() == hashlib.sha256(down.read()).digest()
        return None if same else "other bytes come back"

    def forget_paths(self):
        """No host knows any more how much fits through."""
        for h in (self.gw, *self.clients, *self.hosts, *self.routers):
            for family in ("-4", "-6"):
                h.ip(family, "route", "flush", "cache", check=False)

    @staticmethod
    def secret(i):
        return "10.3.0.%d" % (11 + i)

    def start(self, i):
        with self.hosts[i].inside():
            self.nodes[i].start()

    def rules(self):
        """What an administrator of such a gateway installs, as it is."""
        self.gw.run(os.path.join(CONTRIB, "routing"), "up")
        self.gw.run("nft", "-f", os.path.join(CONTRIB, "nftables.conf"))

    def no_rules(self):
        self.gw.run("nft", "delete table inet smbgate")
        self.gw.run(os.path.join(CONTRIB, "routing"), "down")

    def ends(self, i):
        """(address of the node, address it sees) of node i's established connections."""
        out = self.hosts[i].run("ss", "-tnH", "state", "established", "sport", "=", ":445").stdout
        return [tuple(w.rsplit(":", 1)[0].strip("[]").replace("::ffff:", "")
                      for w in line.split()[2:4]) for line in out.splitlines()]

    def acknowledged(self, i):
        """Has all that node i has sent on these connections arrived?"""
        out = self.hosts[i].run("ss", "-tnH", "state", "established", "sport", "=", ":445").stdout
        return all(line.split()[1] == "0" for line in out.splitlines())

    def peers(self, i):
        """The addresses that node i sees."""
        return [peer for _, peer in self.ends(i)]
