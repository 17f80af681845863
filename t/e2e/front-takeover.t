#!/usr/bin/python3
# front-takeover.t: smbgate --takeover, where clients dial nodes and nodes see their addresses
"""SMBGATE_UPGRADES: how many upgrades in a row (2)."""
import os
import socket
import struct
import threading

import gate
import smb2
import tap
import vpn

why = vpn.missing()
if why:
    tap.skip_all(why)

UPGRADES = int(os.environ.get("SMBGATE_UPGRADES", "2"))
CONF = """\
user = "nobody"
listen "vpn4" { address = "127.0.0.1:445" intercept = true }
listen "vpn6" { address = "[::1]:445" intercept = true }
"""
EVERY = [a for pair in vpn.NODES for a in pair]
PER_SOURCE = 12
POOL = "10.2.0.101"
# a busy machine's nodes are up
SLOW = dict(gate.FAST, interval="2s", timeout="20s")


def endpoint(addr, port):
    return ("[%s]:%d" if ":" in addr else "%s:%d") % (addr, port)


class Session:
    """A client that dialled a node, with a file open there."""

    def __init__(self, v, addr, who):
        self.addr, self.client = addr, vpn.CLIENTS[who][":" in addr]
        with v.clients[who].inside():
            self.c = smb2.Conn(addr, 445, timeout=40)
        self.row = endpoint(addr, 445), endpoint(*self.c.sock.getsockname()[:2])
        self.c.negotiate([0x0302])
        self.s = self.c.login(sign=True)
        self.tid = self.c.tree(self.s)
        self.fid = self.c.create(self.s, self.tid, "f-%s" % os.urandom(4).hex(), disp=5)

    def works(self):
        data = os.urandom(3000)
        try:
            self.c.write(self.s, self.tid, self.fid, 0, data)
            return self.c.read(self.s, self.tid, self.fid, 0, len(data)) == data
        except (smb2.Closed, OSError) as e:
            return repr(e)

    def reset(self):
        """It goes without a word."""
        self.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.c.close()


def host(where):
    return where.rsplit(":", 1)[0].strip("[]")


def pairs(v, i):
    """(own end, peer) of node i's established connections, with ports."""
    out = v.hosts[i].run("ss", "-tnH", "state", "established", "sport", "=", ":445").stdout
    all_ = {tuple(x.replace("::ffff:", "") for x in line.split()[2:4]) for line in out.splitlines()}
    return {x for x in all_ if host(x[1]) not in (vpn.INSIDE4, vpn.INSIDE6)}    # but probes


def shown(g):
    return sorted((x["local_address"], x["client_address"]) for c in g.clients()
                  for x in c["connections_list"])


class Copies:
    """A client puts 3 MB there and gets them back, again and again."""

    def __init__(self, v, who, addr):
        self.over, self.good, self.bad = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run, args=(v, who, addr))
        self.thread.start()

    def run(self, v, who, addr):
        while not self.over.is_set():
            wrong = v.carry(who, addr)
            if wrong:
                self.bad.append(wrong)
                return
            self.good += 1

    def end(self):
        self.over.set()
        self.thread.join()


def taken(t, v, g, k, mine):
    """One upgrade."""
    what = "upgrade %d: " % k
    before = [pairs(v, i) for i in range(2)]
    with v.gw.inside():
        g.takeover()
    t.same([s.works() for s in mine], [True] * len(mine), what + "every session works")
    now = [pairs(v, i) for i in range(2)]
    kept = [{x for x in b if x in n} for b, n in zip(before, now)]
    seen = sorted(host(p) for x in kept for _, p in x)
    t.ok(all(seen.count(s.client) >= 2 for s in mine),
         what + "the nodes see the same clients at the same ports", seen)
    t.same([s.row for s in mine if s.row not in shown(g)], [], what + "all are shown as before")


def transparent(t, v):
    with v.gw.inside():
        g = gate.Gate(t, [(n, {"other_addresses": [vpn.NODES[i][1]], "cluster": "nas"})
                          for i, n in enumerate(v.nodes)], listen={"lan": vpn.GW4 + ":445"},
                      conf=CONF, source="transparent", health=SLOW,
                      limits={"connections_per_source": PER_SOURCE}).start()
    mine = [Session(v, a, who) for a in EVERY for who in (0, 1)]
    copies = [Copies(v, 0, EVERY[0]), Copies(v, 1, EVERY[1])]
    for k in range(UPGRADES):
        taken(t, v, g, k + 1, mine)
        late = Session(v, EVERY[k % 4], 1)
        t.ok(late.row in shown(g),
             "a newcomer is shown with the address that they dialled, and theirs", shown(g))
        late.c.close()
    for x in copies:
        x.end()
    t.ok(all(x.good for x in copies) and not any(x.bad for x in copies),
         "copies: %s are what was copied" % [x.good for x in copies], *[x.bad for x in copies])
    admitted(t, v, g)
    ends(t, v, g, mine)
    t.same(g.stop(), 0, "transparent: smbgate ends with status 0")


def admitted(t, v, g):
    """What arrived counts for its address."""
    more = []
    before = g.closes()
    while len(more) < PER_SOURCE and not g.closed_since(before).get("connections_per_source"):
        try:
            more.append(Session(v, EVERY[0], 0))
        except (smb2.Closed, OSError):
            pass
    t.same(len(more), PER_SOURCE - 2, "two of that client had arrived: so many more are let in")
    for x in more:
        x.c.close()


def ends(t, v, g, mine):
    """Whoever goes first, the other one is told, and with the right address."""
    def there():
        return [len(pairs(v, i)) for i in range(2)]
    # whoever was here before has gone
    tap.wait_for(lambda: sum(there()) == len(mine), 20, message=lambda: "%r are not %d" % (
        there(), len(mine)))
    n = there()
    mine[0].reset()
    mine[-1].c.close()
    t.ok(tap.wait_for(lambda: there() == [n[0] - 1, n[1] - 1], 20),
         "a client that resets, and one that closes: the nodes are told")
    v.nodes[0].kill()
    mine = mine[1:-1]
    there = [s for s in mine if s.addr in vpn.NODES[0]]
    t.ok(tap.wait_for(lambda: not any(s.c.is_open() for s in there), 20),
         "a node that dies: its clients are told")
    t.same([s.works() for s in mine if s not in there], [True] * (len(mine) - len(there)),
           "and the other node's go on")
    v.start(0)


def comes(v):
    try:
        return Session(v, vpn.GW4, 0)
    except (smb2.Closed, OSError):
        return None


def pool(t, v):
    """Three of four ports are in use in the old process: one is left in the new one."""
    v.gw.ip("addr", "add", POOL + "/24", "dev", "eth1")
    v.gw.sysctl("ipv4.ip_local_port_range", "40000 40003")
    v.gw.sysctl("ipv4.tcp_tw_reuse", 1)
    with v.gw.inside():
        g = gate.Gate(t, v.nodes[:1], listen={"lan": vpn.GW4 + ":445"}, conf='user = "nobody"\n',
                      source="pool", source_pool=[POOL], health=dict(SLOW, interval="1h")).start()
    mine = [Session(v, vpn.GW4, 0) for _ in range(3)]
    for k in range(UPGRADES):
        before, closed = pairs(v, 0), g.closes()
        with v.gw.inside():
            g.takeover()
        late = Session(v, vpn.GW4, 1)
        t.same([s.works() for s in mine + [late]], [True] * 4, "pool: all work")
        t.same((len(pairs(v, 0)), len(before - pairs(v, 0))), (4, 0), "pool: by the same ports")
        try:
            Session(v, vpn.GW4, 1)
            t.ok(False, "pool: no port is given twice")
        except (smb2.Closed, OSError):
            t.same(g.wait_closed(closed), {"own_ports": 1}, "pool: no port is given twice")
        mine.pop(0).c.close()
        late.c.close()
        mine.append(tap.wait_for(lambda: comes(v), 20))
        t.ok(mine[-1], "pool: a port that a connection has left is used again")
    v.gw.sysctl("ipv4.ip_local_port_range", "32768 60999")
    t.same(g.stop(), 0, "pool: smbgate ends with status 0")


def main(t):
    v = vpn.Vpn(t)
    why = gate.missing()
    if why:
        t.bail(why)
    v.rules()
    transparent(t, v)
    pool(t, v)


with tap.Test(deadline=180) as test:
    main(test)
