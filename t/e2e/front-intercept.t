#!/usr/bin/python3
# front-intercept.t: clients dial the nodes' own addresses, and smbgate is there: IPv4 and IPv6
import hashlib
import os
import socket

import ad
import clients
import gate
import node
import smb2
import tap
import vpn

why = vpn.missing()
if why:
    tap.skip_all(why)

CONF = """\
user = "nobody"
listen "vpn4" { address = "127.0.0.1:445" intercept = true }
listen "vpn6" { address = "[::1]:445" intercept = true }
"""
(A4, A6), (B4, B6) = vpn.NODES
EVERY = (A4, A6, B4, B6)
SECRET = "10.3.0.0/24"
BIG = 16 << 20
# (label, dialect, how to log on): what a session's messages are protected by
PROTECTIONS = (("plain", 0x0302, {}), ("signed", 0x0302, {"sign": True, "strict": True}),
               ("sealed", 0x0311, {"seal": True, "strict": True}))


class Lab:
    def __init__(self, t):
        self.t, self.v = t, vpn.Vpn(t, loglevel="1 smb2:10")
        self.guids = [n.server_guid for n in self.v.nodes]
        self.policy_nodes = [(n, {"other_addresses": [vpn.NODES[i][1]], "cluster": "nas"})
                             for i, n in enumerate(self.v.nodes)]

    def conn(self, addr, dialect=0x0302, who=0, guid=None, multi=None):
        with self.v.clients[who].inside():
            return smb2.Conn(addr, 445).negotiate([dialect], guid=guid, multi=multi)

    def at(self, c):
        """The index of the node that answered."""
        return self.guids.index(c.server_guid)

    def node_at(self, addr, **kw):
        with self.conn(addr, **kw) as c:
            return self.at(c)

    def gate(self, **policy):
        with self.v.gw.inside():
            return gate.Gate(self.t, self.policy_nodes, listen={"lan": vpn.GW4 + ":445"},
                             conf=CONF, source="transparent",
                             **policy).start()

    def transfer(self, addr, label, *args):
        d = node.tempdir(self.t)
        data = os.urandom(BIG)
        with open(d + "/up", "wb") as f:
            f.write(data)
        with self.v.clients[0].inside():
            r = clients.smbclient(addr, 445, ["put up big", "get big down", "del big"], *args,
                                  cwd=d)
        try:
            with open(d + "/down", "rb") as f:
                down = hashlib.sha256(f.read()).digest()
        except FileNotFoundError:
            down = None
        self.t.ok(r.returncode == 0 and down == hashlib.sha256(data).digest(),
                  label + ": smbclient, 16 MiB there and back are the same", r.stdout[-2000:])


def told(c, s):
    return {e.ip for e in c.ifinfo(s, c.tree(s, "IPC$"))}


def listens(host):
    return host.run("ss", "-tlnH", "sport", "=", ":445").stdout != ""


def control(t, lab):
    """Directly, through the gateway as a router."""
    for i, addr in enumerate(EVERY):
        with lab.conn(addr) as c:
            s = c.login()
            t.same((lab.at(c), lab.v.peers(i // 2), told(c, s)),
                   (i // 2, [vpn.CLIENTS[0][i % 2]],
                    {*vpn.NODES[i // 2], lab.v.secret(i // 2)}),
                   "direct, %s: the node, which sees the client and tells all its addresses" % addr)
        tap.wait_for(lambda: not lab.v.peers(i // 2), 20)
    lab.transfer(A4, "direct")


def bind_is(lab, label, dialect, how, second, what):
    """A second channel of a session at A4: its status, and whether the node has seen the bind."""
    n = lab.v.nodes[0]
    with lab.conn(A4, dialect) as a, lab.conn(second, dialect, guid=a.guid) as b:
        s = a.login(**how)
        tid = a.tree(s)
        fid = a.create(s, tid, "bound", disp=5)
        log = n.log_size()
        try:
            b.login(bind=s)
            status = 0
            if not s.sign and not s.seal:
                s.sign = True
            b.write(s, tid, fid, 0, b"through b")
        except smb2.Status as e:
            status = e.status
            a.write(s, tid, fid, 0, b"still here")
        # What stands in for a refused one is a logon of a session that there is not.
        seen = "NT_STATUS_MORE_PROCESSING_REQUIRED" in n.log_from(log)
        lab.t.same((hex(status), seen, lab.at(b)), (hex(what), what == 0, 0),
                   "%s: a bind at %s is %s" % (
                       label, second,
                       "refused, and the node does not see it" if what else "accepted"))


def dialled(t, lab, g):
    before = g.stats()
    total = 0
    for i, addr in enumerate(EVERY):
        for multi in (None, True):
            with lab.conn(addr, multi=multi) as c:
                c.login()
                label = "%s%s" % (addr, ", multi-protocol" if multi else "")
                me = vpn.CLIENTS[0][i % 2]
                t.comes(lambda: (lab.at(c), [e for e in lab.v.ends(i // 2) if e[1] == me]),
                        (i // 2, [(addr, me)]),
                        label + ": the node and the address that were dialled see the client's")
                shown = [x["local_address"] for cl in g.clients() for x in cl["connections_list"]]
                t.same(shown, ["[%s]:445" % addr if ":" in addr else addr + ":445"],
                       label + ": show clients has the address that was dialled")
            total += 1
            g.wait_connections(0)
    now = g.stats()
    t.same(now["placed_dialled"] - before["placed_dialled"], total,
           "each was placed where it dialled")
    t.same(now["accepted"] - before["accepted"], total,
           "and smbgate's own connections are not intercepted")
    for addr in EVERY:
        lab.transfer(addr, addr, *(["-m", "SMB3_00"] if addr == B4 else []))


def elsewhere(t, lab, g):
    """Addresses of the same network that are none of a node's."""
    host = lab.v.hosts[0]
    host.ip("addr", "add", "10.2.0.99/24", "dev", "eth0")
    with host.inside():
        server = socket.create_server(("10.2.0.99", 445))
    server.settimeout(20)
    n = g.stats()["accepted"]
    with lab.v.clients[0].inside():
        with socket.create_connection(("10.2.0.99", 445), timeout=20):
            peer = server.accept()[1][0]
    t.same((peer, g.stats()["accepted"]), ("10.8.0.2", n),
           "what the rules do not name goes past smbgate")
    server.close()
    g.wait_connections(0)
    before = g.closes()
    g.reload(nodes=lab.policy_nodes[:1])
    try:
        lab.conn(B4).close()
        t.ok(False, "an address that the rules name and the policy does not: refused")
    except smb2.Closed as e:
        t.ok("reset" in str(e) and g.wait_closed(before) == {"no_such_node": 1},
             "an address that the rules name and the policy does not: reset", e, g.closes())
    g.reload(nodes=lab.policy_nodes)


def lists_and_binds(t, lab):
    keytab = ad.write_keytab(node.tempdir(t) + "/keytab", [
        ad.Entry("alice@LAB.EXAMPLE", 1, ad.RC4, ad.nt_hash("Alice-pw-1"))])
    lab.v.rules()
    g = lab.gate(keytab=keytab, deny=[SECRET], name="keyed")
    for label, dialect, how in PROTECTIONS:
        for addr in (A4, B6):
            with lab.conn(addr, dialect) as c:
                s = c.login(**how)
                t.same(told(c, s), set(vpn.NODES[EVERY.index(addr) // 2]),
                       "%s, %s: the node's list without what is forbidden" % (label, addr))
                if label != "plain":
                    t.ok(g.keyed(s.sid)[0], "%s, %s: the session is keyed" % (label, addr))
        bind_is(lab, label, dialect, how, A4, 0)
        bind_is(lab, label, dialect, how, A6, 0)
    t.ok(g.stats()["ifinfo_announced"] == 0 and g.stats()["ifinfo_filtered"] > 0,
         "filter is what such listeners do unasked")
    for deny in (A6, "fd00:2::/64"):
        g.reload(deny=[SECRET, deny])
        for label, dialect, how in PROTECTIONS:
            bind_is(lab, label, dialect, how, A6, smb2.REQUEST_NOT_ACCEPTED)
            bind_is(lab, label, dialect, how, A4, 0)
            with lab.conn(A4, dialect) as c:
                t.same(told(c, c.login(**how)), {A4}, label + ": and it is not in the list")
            with lab.conn(A6, dialect) as c:
                t.same(told(c, c.login(**how)), {A6},
                       label + ": who dialled it is told it, and no other")
    g.reload(deny=[SECRET], interfaces={"vpn4": {"mode": "announce", "list": [("10.2.0.77", {})]}})
    with lab.conn(A4) as c, lab.conn(A6) as d:
        t.same((told(c, c.login()), told(d, d.login())), ({"10.2.0.77"}, {A4, A6}),
               "a section of that listener has the last word, for that listener")
    g.reload(interfaces={"vpn4": {"mode": "pass"}})
    with lab.conn(A4) as c:
        t.ok(lab.v.secret(0) in told(c, c.login()), "mode = pass")
    g.stop()


def placement(t, lab, g):
    guid = os.urandom(16)
    with lab.conn(A4, guid=guid) as a:
        s = a.login()
        with lab.conn(B4, guid=guid) as b:
            t.same(lab.at(b), 0, "a claim with a live connection wins over the address")
            a.echo(session=s)
        t.same(lab.node_at(B4, guid=os.urandom(16)), 1, "another client dials that and is there")
    g.wait_connections(0)
    t.same(lab.node_at(B4, guid=guid), 1, "with nobody live on the claim the address wins")
    g.wait_connections(0)

    g.ctl("drain", "--force", "n1")
    t.same([lab.node_at(a) for a in (A4, A6)], [1, 1], "a node that drains: another one serves")
    g.ctl("undrain", "n1")
    t.same([lab.node_at(a) for a in (A4, A6)], [0, 0], "until it does not")

    g.wait_connections(0)
    lab.v.nodes[0].kill()
    tap.wait_for(lambda: not listens(lab.v.hosts[0]), 20, message="n1 does not die")
    t.same([lab.node_at(a, guid=guid) for a in (A4, A6)], [1, 1],
           "a node that has just died: another one serves")
    tap.wait_for(lambda: g.node_states()["n1"] == "down", 60, message="n1 is not down")
    t.same([lab.node_at(a, guid=guid) for a in (A4, A6)], [1, 1], "and while it is down")
    with lab.conn(A4) as c:
        c.login()
        t.ok("10.8.0.2" in lab.v.peers(1), "which sees the client's address")
    lab.v.start(0)
    tap.wait_for(lambda: g.node_states()["n1"] == "up", 60, message="n1 is not up")
    g.wait_connections(0)
    t.same([lab.node_at(a, guid=guid) for a in (A4, A6)], [0, 0], "it is back, and dialled again")

    g.reload(rebalance=True)
    where = [lab.node_at(A4) for _ in range(24)]
    t.same(set(where), {0, 1}, "rebalance: clients of one address are on both nodes")
    where = [lab.node_at(a, guid=guid) for a in EVERY * 2]
    t.ok(len(set(where)) == 1, "rebalance: one client is on one node, whatever it dials", where)
    with lab.conn(A6) as c:
        s = c.login()
        t.ok(c.tree(s) and lab.at(c) in (0, 1), "rebalance: an IPv6 client, wherever it is, works")
    g.reload(rebalance=None)
    t.same([lab.node_at(a) for a in EVERY], [0, 0, 1, 1], "and again where they dial")
    alone(t, lab, g)


def alone(t, lab, g):
    """Without the word none stands in for another, whatever else policy says."""
    g.reload(nodes=[(n, {k: v for k, v in o.items() if k != "cluster"})
                    for n, o in lab.policy_nodes], rebalance=True)
    guid = os.urandom(16)
    with lab.conn(A4, guid=guid) as a, lab.conn(B4, guid=guid) as b:
        t.same((lab.at(a), lab.at(b)), (0, 1), "no cluster: a client of both servers is on both")
    t.same({lab.node_at(A4) for _ in range(12)}, {0}, "no cluster: rebalance moves nobody")
    t.ok("rebalance = true moves no client" in g.log(), "and the log says so")
    r = g.ctl_run("drain", "n1")
    t.ok(r.returncode == 1 and "no other node would take clients" in r.stdout + r.stderr,
         "no cluster: a drain that leaves its clients nowhere has to be forced", r)
    g.ctl("drain", "--force", "n1")
    before = g.closes()
    for addr in (A4, A6):
        try:
            lab.conn(addr).close()
            t.ok(False, "no cluster: nobody stands in for a node that drains")
        except smb2.Closed as e:
            t.ok("reset" in str(e), "no cluster, %s: a node that drains, and a reset" % addr, e)
    t.ok(g.closed_since(before).get("no_node") == 2, "counted as no_node", g.closes())
    g.ctl("undrain", "n1")
    g.reload(nodes=lab.policy_nodes, rebalance=None)


def main(t):
    lab = Lab(t)
    control(t, lab)
    why = gate.missing()
    if why:
        t.bail(why)
    lab.v.rules()
    g = lab.gate()
    dialled(t, lab, g)
    elsewhere(t, lab, g)
    placement(t, lab, g)
    lab.v.no_rules()
    n = g.stats()["accepted"]
    t.same((lab.node_at(B4), g.stats()["accepted"]), (1, n),
           "without the rules: smbgate sees nothing")
    g.stop()
    lists_and_binds(t, lab)


with tap.Test(deadline=180) as test:
    main(test)
