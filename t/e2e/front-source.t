#!/usr/bin/python3
# front-source.t: whose address the nodes see: smbgate's own, the clients', or one of a pool
import glob
import hashlib
import os
import re
import subprocess

import ad
import clients
import gate
import node
import smb2
import tap
import vpn

why = vpn.missing() or clients.missing("setpriv")
if why:
    tap.skip_all(why)

LISTEN = {"lan": vpn.GW4 + ":445", "lan6": "[%s]:445" % vpn.GW6}
# nothing but the test asks the node, and what does not come back is soon given up
QUIET = dict(gate.FAST, interval="1h")
TCP = {"connect_timeout": "2s"}
NET_RAW = "0000000000002000"
BIG = 16 << 20
POOL4 = ["10.2.0.%d" % n for n in range(101, 105)]
POOL6 = ["fd00:2::%d" % n for n in range(101, 103)]


class At:
    """The node as policy.conf may have it, at any of its addresses."""

    def __init__(self, name, addr):
        self.name, self.endpoint = name, ("[%s]:445" if ":" in addr else "%s:445") % addr


N4, N6 = At("n1", vpn.NODES[0][0]), At("n1by6", vpn.NODES[0][1])


def caps(pid):
    """Every thread's capability sets."""
    out = set()
    for f in glob.glob("/proc/%d/task/*/status" % pid):
        with open(f) as f:
            text = f.read()
        out.add(tuple(re.search(r"Cap%s:\s*(\w+)" % s, text).group(1)
                      for s in ("Inh", "Prm", "Eff", "Amb")))
    return out


def descendant(pid, name):
    """The process of that name which this one has started, or one that it has started; or 0."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            kids = [int(x) for x in f.read().split()]
        with open("/proc/%d/comm" % pid) as f:
            if f.read().strip() == name:
                return pid
    except OSError:
        return 0
    return next(filter(None, (descendant(x, name) for x in kids)), 0)


def only(raw):
    none = "0" * 16
    return {(none, NET_RAW if raw else none, NET_RAW if raw else none, none)}


class Lab:
    def __init__(self, t):
        self.t, self.v = t, vpn.Vpn(t, nodes=1)
        self.node = self.v.nodes[0]

    def conn(self, addr, who=0, src=None):
        with self.v.clients[who].inside():
            return smb2.Conn(addr, 445, src=src).negotiate([0x0302, 0x0311])

    def seen(self, addr, who=0, src=None):
        """What the node's kernel has for the peer of one connection, which can log on."""
        tap.wait_for(lambda: not self.v.peers(0), 20, message="the node has others")
        with self.conn(addr, who, src) as c:
            c.login()
            # A probe may be there for a moment, too.
            tap.wait_for(lambda: len(self.v.peers(0)) == 1, 20)
            peers = self.v.peers(0)
        return peers[0] if len(peers) == 1 else peers

    def refused(self, addr):
        """Is there an end instead of an answer?"""
        try:
            self.conn(addr).close()
            return False
        except smb2.Closed:
            return True

    def logged(self, offset):
        """Where logons came from, as smbd's log tells."""
        return set(re.findall(r"remote host \[ipv[46]:(.*?):\d+\]", self.node.log_from(offset)))

    def transfer(self, addr, label):
        """16 MiB there and back by smbclient."""
        d = node.tempdir(self.t)
        data = os.urandom(BIG)
        with open(d + "/up", "wb") as f:
            f.write(data)
        with self.v.clients[0].inside():
            r = clients.smbclient(addr, 445, ["put up big", "get big down"], cwd=d)
        try:
            with open(d + "/down", "rb") as f:
                down = hashlib.sha256(f.read()).hexdigest()
            with open(self.node.data("big"), "rb") as f:
                stored = hashlib.sha256(f.read()).hexdigest()
        except FileNotFoundError as e:
            down = stored = str(e)
        want = hashlib.sha256(data).hexdigest()
        self.t.ok(r.returncode == 0 and down == stored == want,
                  label + ": 16 MiB there and back are the same", r.stdout[-2000:])

    def gate(self, conf='user = "nobody"\n', nodes=(N4,), **policy):
        with self.v.gw.inside():
            return gate.Gate(self.t, list(nodes), listen=LISTEN, conf=conf, health=QUIET, tcp=TCP,
                             **policy).start()


def direct(t, lab):
    log = lab.node.log_size()
    t.same(lab.seen("10.2.0.11"), "10.8.0.2", "direct: the node sees the client")
    t.same(lab.seen("fd00:2::11", 1), "fd00:8::3", "direct: and by IPv6")
    t.same(lab.logged(log), {"10.8.0.2", "fd00:8::3"}, "direct: its log names them")
    lab.transfer("10.2.0.11", "direct")


def own(t, lab):
    """The default, without any privilege, which no reload brings back."""
    g = lab.gate()
    t.same(caps(g.proc.pid), only(False), "own: no capability is kept")
    log = lab.node.log_size()
    t.same(lab.seen(vpn.GW4), vpn.INSIDE4, "own: the node sees the gateway")
    t.same(lab.logged(log), {vpn.INSIDE4}, "own: and its log")
    lab.transfer(vpn.GW4, "own")
    with lab.conn(vpn.GW4) as c:
        s = c.login()
        before, text = g.generation(), g.policy()["text"]
        g.write_policy(source="transparent")
        r = g.ctl_run("reload")
        t.ok(r.returncode != 0 and "CAP_NET_RAW" in r.stdout + r.stderr,
             "a reload to transparent without the capability is an error, and says why", r)
        with open(g.policy_file) as f:
            line = f.read().split("\n").index("source = transparent") + 1
        t.ok("policy.conf:%d: source = transparent needs CAP_NET_RAW" % line in g.log(),
             "and in the log, with the line", g.log()[-2000:])
        t.same((g.generation(), g.policy()["text"]), (before, text), "the policy stays")
        c.echo(session=s)
    t.same(lab.seen(vpn.GW4), vpn.INSIDE4, "and new connections go by it")
    g.stop()


def transparent(t, lab):
    v = lab.v
    g = lab.gate(source="transparent")
    t.same(caps(g.proc.pid), only(True),
           "transparent: CAP_NET_RAW is kept, by every thread, and nothing else")
    with open("/proc/%d/status" % g.proc.pid) as f:
        t.ok("Uid:\t65534\t65534\t65534\t65534" in f.read(), "transparent: as nobody")

    before, probes = g.stats(), g.node_list()["n1"]["probes"]
    t.ok(lab.refused(vpn.GW4), "without the rules of the return path nothing comes back")
    t.ok(g.stats()["node_connect_failed"] > before["node_connect_failed"],
         "that is a connection to the node that failed")
    tap.wait_for(lambda: g.node_list()["n1"]["probes"] > probes, 20,
                 message="the node is not probed for it")
    v.rules()

    log = lab.node.log_size()
    t.same([lab.seen(vpn.GW4, 0), lab.seen(vpn.GW4, 1)], ["10.8.0.2", "10.8.0.3"],
           "transparent: the node sees each client's address")
    t.same(lab.logged(log), {"10.8.0.2", "10.8.0.3"}, "transparent: and its log")
    lab.transfer(vpn.GW4, "transparent")
    n = g.stats()["source_misfit"]
    t.same(lab.seen(vpn.GW6), vpn.INSIDE4,
           "an IPv6 client of an IPv4 node: the gateway's own address")
    t.same(g.stats()["source_misfit"], n + 1, "which is counted")

    g.reload(nodes=[N6])
    log = lab.node.log_size()
    t.same([lab.seen(vpn.GW6, 0), lab.seen(vpn.GW6, 1)], ["fd00:8::2", "fd00:8::3"],
           "transparent: by IPv6")
    t.same(lab.logged(log), {"fd00:8::2", "fd00:8::3"}, "transparent: and its log")
    lab.transfer(vpn.GW6, "transparent, IPv6")
    n = g.stats()["source_misfit"]
    t.same(lab.seen(vpn.GW4), vpn.INSIDE6,
           "an IPv4 client of an IPv6 node: the gateway's own address")
    t.same(g.stats()["source_misfit"], n + 1, "which is counted, too")

    g.reload(nodes=[N4], source="own")
    t.same(lab.seen(vpn.GW4), vpn.INSIDE4, "reload: own")
    g.reload(source="transparent")
    t.same(lab.seen(vpn.GW4), "10.8.0.2",
           "reload: transparent again, the capability is still there")
    return g


def pool(t, lab, g):
    v = lab.v
    many = ["10.8.0.%d" % n for n in range(16, 40)]
    for a in many:
        v.clients[0].ip("addr", "add", a + "/24", "dev", "eth0")
    for a in POOL4 + POOL6:
        v.gw.ip("addr", "add", a + ("/64" if ":" in a else "/24"), "dev", "eth1",
                *(["nodad", "preferred_lft", "0"] if ":" in a else []))

    def where():
        return {a: lab.seen(vpn.GW4, src=a) for a in many}
    # IPv6 addresses are deprecated, so that nothing but a pool uses them
    g.reload(source="pool", source_pool=POOL6 + POOL4)
    first = where()
    t.ok(set(first.values()) == set(POOL4),
         "pool: 24 clients have the pool's IPv4 addresses, all 4",
         first)
    t.same(where(), first, "pool: each client has the same address again")
    g.reload(source_pool=POOL4[1:])
    second = where()
    t.same({a for a in many if second[a] != first[a]}, {a for a in many if first[a] == POOL4[0]},
           "pool: without one address its clients move, and nobody else")
    g.stop()
    g = lab.gate(source="pool", source_pool=POOL4 + POOL6)
    t.same(caps(g.proc.pid), only(False), "pool: no capability is needed")
    t.same(where(), first, "pool: the same addresses from another smbgate, in another order")
    g.reload(nodes=[N6])
    t.ok(lab.seen(vpn.GW6) in POOL6, "pool: an IPv6 node sees an IPv6 address of it")
    g.reload(source_pool=POOL4)
    n = g.stats()["source_misfit"]
    t.same(lab.seen(vpn.GW6), vpn.INSIDE6, "pool: none of the node's family: the gateway's own")
    t.same(g.stats()["source_misfit"], n + 1, "which is counted")
    return g


def bad_address(t, lab, g):
    """A pool's address that this machine has not; and one whose ports are used up."""
    g.reload(nodes=[N4], source_pool=["10.2.0.250"])
    tap.wait_for(lambda: g.node_list()["n1"]["probes"], 20, message="the node is not probed")
    probes = g.node_list()["n1"]["probes"]
    before, closed = g.stats(), g.closes()
    t.ok(lab.refused(vpn.GW4), "an address that is not this machine's: the connection ends")
    t.same(g.wait_closed(closed), {"source_address": 1}, "with a reason of its own")
    t.ok(re.search(r"cannot dial node n1 from 10\.2\.0\.250: Cannot assign requested address",
                   g.log()), "the log names address and error", g.log()[-2000:])
    now = g.node_list()["n1"]
    t.ok(now["state"] == "up" and now["probes"] == probes and now["connections"] == 0
         and g.stats()["node_connect_failed"] == before["node_connect_failed"],
         "the node is not suspected", now)

    g.reload(source_pool=POOL4[:1])
    g.wait_connections(0)
    # ports that no connection has had: a closed one keeps its port for a minute
    lab.v.gw.sysctl("ipv4.ip_local_port_range", "20000 20003")
    held, closed = [], g.closes()
    while len(held) < 5 and not g.closed_since(closed):
        try:
            held.append(lab.conn(vpn.GW4))
        except smb2.Closed:
            pass
    t.same((len(held), g.closed_since(closed)), (4, {"own_ports": 1}),
           "four ports: four connections, and the next one ends for that reason")
    t.same(g.node_list()["n1"]["probes"], probes, "the node is not suspected for it")
    for c in held:
        c.close()
    lab.v.gw.sysctl("ipv4.ip_local_port_range", "32768 60999")
    g.stop()


def unprivileged(t, lab):
    """Started as nobody: with and without the capability."""
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    raw = setpriv + ["--inh-caps=+net_raw", "--ambient-caps=+net_raw"]

    def made(prefix, conf="", **policy):
        with lab.v.gw.inside():
            g = gate.Gate(t, [N4], listen={"lan": vpn.GW4 + ":4450"}, health=QUIET, conf=conf,
                          argv_prefix=prefix, **policy)
        os.chmod(g.dir, 0o777)
        return g

    def fails(g, text, label):
        with lab.v.gw.inside():
            r = subprocess.run(g.argv_prefix + [gate.program(), "-c", g.conf_file], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        t.ok(r.returncode == 1 and text in r.stdout, label, r)
    intercept = 'listen "vpn" { address = "127.0.0.1:4451" intercept = true }\n'
    fails(made(setpriv, source="transparent"), "source = transparent needs CAP_NET_RAW",
          "transparent without privileges: smbgate does not start, and says why")
    fails(made(setpriv, intercept), "intercept needs CAP_NET_RAW",
          "interception without privileges: so, too")

    keytab = ad.write_keytab(node.tempdir(t) + "/keytab",
                             [ad.Entry("cifs/nas@LAB.EXAMPLE", 1, ad.AES256, os.urandom(32))])
    os.chown(keytab, 65534, 65534)
    g = made(raw, 'keytab = "%s"\n' % keytab, source="transparent")
    with lab.v.gw.inside():
        g.start()
    t.same(caps(g.proc.pid), only(True), "with CAP_NET_RAW from outside it is kept")
    keyd = tap.wait_for(lambda: descendant(g.proc.pid, "smbgate-keyd"), 20)
    t.ok(keyd, "it has started smbgate-keyd")
    t.same(caps(keyd), only(False), "which inherits nothing")
    with lab.v.clients[0].inside():
        with smb2.Conn(vpn.GW4, 4450).negotiate([0x0302]) as c:
            c.login()
            t.comes(lambda: lab.v.peers(0), ["10.8.0.2"], "and the node sees the client")
    g.stop()


def main(t):
    lab = Lab(t)
    direct(t, lab)
    why = gate.missing()
    if why:
        t.bail(why)
    own(t, lab)
    g = transparent(t, lab)
    g = pool(t, lab, g)
    bad_address(t, lab, g)
    unprivileged(t, lab)


with tap.Test(deadline=180) as test:
    main(test)
