# vpn.py: a VPN gateway between clients and nodes, with the addresses of contrib/vpn-gateway
"""Clients reach the nodes through the gateway, which routes; smbgate is to run there:

    v = vpn.Vpn(t)
    v.rules()                       # contrib/vpn-gateway's nftables.conf and routing
    with v.gw.inside():
        g = gate.Gate(t, [...]).start()
    with v.clients[0].inside():
        ...
"""

import os

import clients
import netns
import node

CONTRIB = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "contrib", "vpn-gateway")
GW4, GW6 = "10.8.0.1", "fd00:8::1"
INSIDE4, INSIDE6 = "10.2.0.1", "fd00:2::1"
CLIENTS = (("10.8.0.2", "fd00:8::2"), ("10.8.0.3", "fd00:8::3"))
NODES = (("10.2.0.11", "fd00:2::11"), ("10.2.0.12", "fd00:2::12"))


def missing():
    return netns.missing("ss") or node.missing() or clients.missing("smbclient")


class Vpn:
    """gw, clients and hosts are netns.Host; nodes are running node.Node, each on its host.  secret:
    an address (10.3.0.11 ..) that each node has as well and tells of."""

    def __init__(self, t, nodes=2, loglevel="1 auth_audit:3", signing="auto"):
        self.t = t
        self.outer, self.inner = netns.Lan(t, "vpn"), netns.Lan(t, "storage")
        self.gw = netns.Host(t, "gw")
        self.outer.join(self.gw, GW4 + "/24", GW6 + "/64", name="wg0")
        self.inner.join(self.gw, INSIDE4 + "/24", INSIDE6 + "/64", name="eth1")
        self.gw.forward()
        # the strictest that an administrator may have set
        for dev in ("all", "default", "wg0", "eth1"):
            self.gw.sysctl("ipv4.conf.%s.rp_filter" % dev, 1)
        self.clients, self.hosts, self.nodes = [], [], []
        for i, (a4, a6) in enumerate(CLIENTS):
            h = netns.Host(t, "client%d" % (i + 1))
            self.outer.join(h, a4 + "/24", a6 + "/64")
            h.route("default", GW4)
            h.route("default", GW6)
            self.clients.append(h)
        lab = node.Lab(t)
        for i, (a4, a6) in enumerate(NODES[:nodes]):
            h = netns.Host(t, "n%d" % (i + 1))
            self.inner.join(h, a4 + "/24", a6 + "/64", self.secret(i) + "/24")
            h.route("default", INSIDE4)
            h.route("default", INSIDE6)
            self.hosts.append(h)
            told = ['"%s;speed=10000000000,capability=RSS"' % x for x in
                    (self.secret(i) + "/24", a6 + "/64", a4 + "/24")]
            self.nodes.append(node.Node(lab, h.name, a4, 445, loglevel=loglevel, signing=signing,
                                        interfaces=[x.strip('"') for x in told]))
        for n in range(len(self.nodes)):
            self.start(n)

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

    def peers(self, i):
        """The addresses that node i sees."""
        return [peer for _, peer in self.ends(i)]
