#!/usr/bin/python3
# contrib-vpn-gateway.t: contrib/vpn-gateway, as it is, makes a gateway that clients do not notice
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import clients
import gate
import node
import smb2
import tap
import vpn

why = vpn.missing() or clients.missing("setpriv")
if why:
    tap.skip_all(why)

UNIT = os.path.join(os.path.dirname(vpn.CONTRIB), "systemd", "smbgate.service")
DROP_IN = os.path.join(vpn.CONTRIB, "drop-in.conf")
EVERY = [a for n in vpn.NODES for a in n]
CROWD = 24
BATCH = 9       # [MS-SMB2] 2.2.13: RequestedOplockLevel
PENDING = 0x103
# What "routing up" makes, in each family, as "ip rule" shows it.
RULES = ["9099:\tfrom all fwmark 0x5b iif lo goto 9101", "9100:\tfrom all fwmark 0x5b lookup 91",
         "9101:\tfrom all nop"]


def text(path):
    with open(path) as f:
        return f.read()


class Installed:
    """The files in a directory as they will be in /etc/smbgate, and smbgate as its unit starts it:
    with root's identity and the unit's capabilities."""

    def __init__(self, t, v):
        self.t, self.v = t, v
        self.etc = os.path.join(node.tempdir(t), "smbgate")
        shutil.copytree(vpn.CONTRIB, self.etc)
        self.run_dir = node.tempdir(t)
        self.log = os.path.join(node.tempdir(t), "log")
        self.control = self.run_dir + "/control.sock"
        self.env = dict(os.environ, RUNTIME_DIRECTORY=self.run_dir, SMBGATE_USER="nobody")
        self.proc = None

    def argv(self, *units):
        caps = {c.lower()[4:] for u in units
                for line in re.findall(r"(?m)^CapabilityBoundingSet=(.*)", text(u))
                for c in line.split()}
        return ["setpriv", "--bounding-set=-all," + ",".join("+" + c for c in sorted(caps)),
                "--no-new-privs", gate.program(), "-c", self.etc + "/smbgate.conf"]

    def check(self):
        return subprocess.run([gate.program(), "-t", "-c", self.etc + "/smbgate.conf"], text=True,
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def fails(self, *units):
        """What it says when it does not start."""
        with self.v.gw.inside():
            r = subprocess.run(self.argv(*units), env=self.env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=30)
        return r.stdout if r.returncode == 1 else "status %d: %s" % (r.returncode, r.stdout)

    def start(self):
        with self.v.gw.inside(), open(self.log, "ab") as err:
            self.proc = self.t.spawn(self.argv(UNIT, DROP_IN), env=self.env, stderr=err,
                                     stdin=subprocess.DEVNULL)
        self.t.defer(self.stop)
        tap.wait_for(self.up, 60, message=lambda: text(self.log))

    def ctl(self, *args):
        return subprocess.run([gate.ctl_program(), "-s", self.control, "--json", *args], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)

    def up(self):
        if self.proc.poll() is not None:
            raise RuntimeError("smbgate ended: " + text(self.log))
        r = self.ctl("show", "nodes")
        return r.returncode == 0 and all(n["state"] == "up" and n["probes"]
                                         for n in json.loads(r.stdout)["nodes"])

    def stats(self):
        return json.loads(self.ctl("show", "stats").stdout)["stats"]

    def policy(self, old, new):
        """Another policy in force: that of the files with one change."""
        policy = text(vpn.CONTRIB + "/policy.conf")
        with open(self.etc + "/policy.conf", "w") as f:
            f.write(policy.replace(old, new))
        return self.ctl("reload").returncode == 0 and new in policy.replace(old, new)

    def stop(self, power=False):
        """power: it is lost, and nobody is told of anything."""
        if self.proc:
            p, self.proc = self.proc, None
            p.send_signal(signal.SIGKILL if power else signal.SIGTERM)
            status = p.wait(30)
            if not power:
                self.t.same(status, 0, "smbgate ends with status 0")
            # as systemd does with RuntimeDirectory=
            shutil.rmtree(self.run_dir)
            os.mkdir(self.run_dir)


def open_(v, addr, who=0):
    with v.clients[who].inside():
        return smb2.Conn(addr, 445).negotiate([0x0302])


def visit(t, v, label, want_list):
    """Each address of each node, from each client: the node, who is seen there, what is told."""
    def ends(i, me):
        return [e for e in v.ends(i) if e[1] == me]
    for i, addr in enumerate(EVERY):
        for who in (0, 1):
            me = vpn.CLIENTS[who][i % 2]
            with open_(v, addr, who) as c:
                s = c.login()
                told = {e.ip for e in c.ifinfo(s, c.tree(s, "IPC$"))}
                t.comes(lambda n=i // 2, me=me, c=c, told=told: (c.server_guid, ends(n, me), told),
                        (v.nodes[i // 2].server_guid, [(addr, me)], want_list(i // 2)),
                        "%s: client %d dials %s" % (label, who + 1, addr))


def refused(v, addr):
    try:
        open_(v, addr).close()
        return False
    except ConnectionRefusedError:
        return True


FIREWALL = """
table inet firewall {
	chain input {
		type filter hook input priority filter + 10; policy drop;
		iif lo accept
		ct state established,related accept
		meta l4proto ipv6-icmp accept
		%s
	}
	chain forward {
		type filter hook forward priority filter + 10; policy drop;
	}
}
"""


def firewall(t, v):
    """The gateway's own rules let nothing in but what README.md says."""
    rule, = re.findall(r"`(meta mark \w+ accept)`", text(vpn.CONTRIB + "/README.md"))
    v.gw.nft(FIREWALL % "")
    try:
        with v.clients[0].inside():
            smb2.Conn(EVERY[0], 445, timeout=1).close()
        t.ok(False, "a firewall that knows nothing of it: no connection")
    except TimeoutError:
        t.ok(True, "a firewall that knows nothing of it: no connection")
    v.gw.nft("delete table inet firewall")
    v.gw.nft(FIREWALL % rule)
    visit(t, v, "with a firewall and the rule of README.md", lambda i: set(vpn.NODES[i]))
    v.gw.nft("delete table inet firewall")


def rules(v, family):
    """(rules, routes of the table) as they are; the kernel's own left out."""
    lines = v.gw.ip(family, "rule", "show").stdout.splitlines()
    return ([x.strip() for x in lines if re.match(r"9\d\d\d:", x)],
            v.gw.ip(family, "route", "show", "table", "91", check=False).stdout.strip())


def routing(t, v):
    """Up, up again, down, up: what is there stays, and is what it should be."""
    for f in ("-4", "-6"):
        r, route = rules(v, f)
        t.ok(r == RULES and route.startswith("local default dev lo"), "routing up: %s" % f,
             "\n".join(r) + "\n" + route)
    with v.gw.inside():
        p = t.spawn(["ip", "-o", "monitor", "rule", "route"], stdout=subprocess.PIPE, text=True)
    # What is to be seen, and what must not be, in their order.
    mark = "99.99.99.99"
    v.gw.ip("route", "add", "unreachable", mark)
    v.rules()
    v.gw.ip("route", "del", "unreachable", mark)
    said = []
    for line in p.stdout:
        said.append(line.strip())
        if line.startswith("Deleted") and mark in line:
            break
    p.kill()
    p.wait()
    p.stdout.close()
    t.same([x for x in said if x.startswith("Deleted") and mark not in x], [],
           "routing up once more takes nothing away meanwhile")
    t.same([rules(v, f)[0] for f in ("-4", "-6")], [RULES, RULES], "nor does it add anything")
    tables = v.gw.run("nft", "list", "tables").stdout.split("\n")
    t.same(tables.count("table inet smbgate"), 1, "nftables.conf may be loaded twice")


def thin_links(t, v, label):
    """The second client, and the second node, are behind links of 1,300 bytes."""
    for who, n, where in ((1, 0, "the client"), (0, 1, "the node")):
        for addr in vpn.NODES[n]:
            v.forget_paths()
            why = v.carry(who, addr)
            t.ok(why is None, "%s, a thin link to %s, %s: 3 MB both ways" % (label, where, addr),
                 why or "")


def netbios(t, v, g):
    """Port 139: not at the nodes; at smbgate as long as it has the listeners."""
    was = g.stats()["netbios_sessions"]
    for addr in vpn.NODES[0]:
        with v.clients[0].inside():
            r = clients.smbclient(addr, 139, "ls")
        t.ok(r.returncode == 0, "port 139 of %s" % addr, r.stdout)
    t.same(g.stats()["netbios_sessions"] - was, 2, "by way of smbgate")


def no_netbios(t, v, g):
    """The operator has removed these listeners."""
    path = g.etc + "/smbgate.conf"
    with open(path) as f:
        lines = f.readlines()
    with open(path, "w") as f:
        f.writelines(x for x in lines if ":139" not in x)
    g.start()
    told = []
    for addr in vpn.NODES[0]:
        # The node would take it.
        with v.hosts[0].inside():
            t.defer(socket.create_server((addr, 139), family=socket.AF_INET6 if ":" in addr
                                         else socket.AF_INET).close)
        with v.clients[0].inside():
            try:
                socket.create_connection((addr, 139), timeout=20).close()
                told.append("open")
            except OSError as e:
                told.append(type(e).__name__)
    t.same(told, ["ConnectionRefusedError"] * 2, "without its listeners: refused at once")
    t.same(refused(v, EVERY[0]), False, "and port 445 is served")


def crowd(t, v):
    """Clients that come, work and go, on all addresses, while the rules are loaded again."""
    stop, wrong, done = threading.Event(), [], []

    def one(i):
        try:
            while not stop.is_set():
                addr = EVERY[i % 4]
                with open_(v, addr, who=i // 4 % 2) as c:
                    s = c.login()
                    c.tree(s, "IPC$")
                    if c.server_guid != v.nodes[i % 4 // 2].server_guid:
                        raise RuntimeError("another node than %s answered" % addr)
                    for _ in range(5):
                        c.echo()
                done.append(i)
        except Exception as e:  # pylint: disable=broad-exception-caught
            wrong.append("client %d: %r" % (i, e))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(CROWD)]
    for x in threads:
        x.start()
    tap.wait_for(lambda: len(set(done)) == CROWD or wrong, 20)
    for _ in range(4):
        v.rules()
        before = len(done)
        tap.wait_for(lambda n=before: len(done) >= n + CROWD or wrong, 20)
    stop.set()
    for x in threads:
        x.join()
    t.ok(not wrong and len(set(done)) == CROWD,
         "%d clients at once, and the rules loaded four times: nobody notices" % CROWD,
         "\n".join(wrong) or "%d connections" % len(done))


DEAD = """
table inet dead {
	chain out {
		type filter hook output priority 0; policy accept;
		oifname { wg0, eth1 } tcp dport 445 drop
		oifname { wg0, eth1 } tcp sport 445 drop
	}
}
"""


def open_locked(c, s, tid):
    """A file that is its user's own, as far as the node lets it; the status."""
    body = bytearray(c.create_body("locked", disp=3, share=7))
    body[3] = BATCH
    r = c.call(5, bytes(body), session=s, tid=tid)
    while r.status == PENDING:
        r, = c.recv()
    return r.status


def power_lost(t, v, g):
    """The machine was gone for a moment: a node's half of a connection does not outlive it."""
    c = open_(v, EVERY[0])
    s = c.login()
    t.same(open_locked(c, s, c.tree(s)), 0, "a file is open, with an oplock")
    # Else the node would ask again, and be told.
    tap.wait_for(lambda: v.acknowledged(0), 20, message="the node waits for an ACK")
    v.gw.nft(DEAD)
    g.stop(power=True)
    v.gw.run("ss", "-K", "-tan", "( sport = :445 or dport = :445 )", check=False)
    v.gw.nft("delete table inet dead")
    t.ok(v.ends(0), "smbgate's machine lost power; the node has not noticed")
    g.start()
    with open_(v, EVERY[0], who=1) as d:
        s = d.login()
        t.same(open_locked(d, s, d.tree(s)), 0, "another client may open it")
    # Samba itself gives up a client that does not acknowledge a break; its socket would stay.
    left = ("ss", "-tanH", "dst", vpn.CLIENTS[0][0])
    t.ok(tap.wait_for(lambda: not v.hosts[0].run(*left).stdout, 20),
         "for the gateway has told the node that nobody is there", v.hosts[0].run(*left).stdout)
    try:
        c.send_frame(b"\xfeSMB" + bytes(60))
        c.recv_eof()
    except ConnectionError:
        pass
    t.ok(not c.is_open(), "and the first one is told that its connection is over")
    c.close()


def main(t):
    v = vpn.Vpn(t, far=True)
    readme = text(vpn.CONTRIB + "/README.md")
    files = [os.path.relpath(os.path.join(d, f), vpn.CONTRIB)
             for d, _, names in os.walk(vpn.CONTRIB) for f in names if f != "README.md"]
    t.same([f for f in files if "| `%s` |" % f not in readme], [], "README.md names every file")
    visit(t, v, "as a router", lambda i: {*vpn.NODES[i], v.secret(i)})
    thin_links(t, v, "as a router")
    why = gate.missing()
    if why:
        t.bail(why)

    g = Installed(t, v)
    r = g.check()
    t.ok(r.returncode == 0, "smbgate -t: both files are good", r.stdout)
    t.ok("intercept needs CAP_NET_RAW" in g.fails(UNIT),
         "without the drop-in smbgate does not start, and says why")
    v.rules()
    routing(t, v)
    t.same([refused(v, a) for a in EVERY], [True] * 4, "smbgate is not there: clients are refused")

    g.start()
    status = text("/proc/%d/status" % g.proc.pid)
    t.ok(re.search(r"Uid:\s+65534", status) and re.search(r"CapEff:\s+0000000000002000\n", status),
         "smbgate is nobody, with CAP_NET_RAW", status)
    visit(t, v, "through smbgate", lambda i: set(vpn.NODES[i]))
    t.same(g.stats()["placed_dialled"], 8, "which has placed them all")
    t.ok(refused(v, vpn.GW4) and refused(v, vpn.GW6), "the gateway itself has no open port")
    firewall(t, v)
    thin_links(t, v, "through smbgate")
    netbios(t, v, g)
    crowd(t, v)

    good = g.policy('"fd00:2::/64" }\n}', '"fd00:2::/64" }\n\tdeny = { "fd00:2::11" }\n}')
    with open_(v, EVERY[0]) as c:
        s = c.login()
        t.same(({e.ip for e in c.ifinfo(s, c.tree(s, "IPC$"))}, good), ({EVERY[0]}, True),
               "a reload of the policy is in force")
    t.ok(g.policy("source = transparent", "source = own"), "a reload to source = own")
    thin_links(t, v, "through smbgate, source = own")
    t.ok(g.policy("", ""), "and back")
    power_lost(t, v, g)

    g.stop()
    t.same([refused(v, a) for a in EVERY], [True] * 4, "smbgate ends: clients are refused again")
    g.start()
    t.same([refused(v, a) for a in EVERY], [False] * 4, "and starts: they are served")
    g.stop()
    no_netbios(t, v, g)
    g.stop()
    v.no_rules()
    t.same([rules(v, f) for f in ("-4", "-6")], [([], "")] * 2, "routing down: no rule, no route")
    visit(t, v, "as a router again", lambda i: {*vpn.NODES[i], v.secret(i)})


with tap.Test(deadline=120) as test:
    main(test)
