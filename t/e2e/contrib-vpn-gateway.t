#!/usr/bin/python3
# contrib-vpn-gateway.t: contrib/vpn-gateway, as it is, makes a gateway that clients do not notice
import json
import os
import re
import shutil
import signal
import subprocess

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
        tap.wait_for(self.up, 10, message=lambda: text(self.log))

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

    def stop(self):
        if self.proc:
            p, self.proc = self.proc, None
            p.send_signal(signal.SIGTERM)
            self.t.same(p.wait(10), 0, "smbgate ends with status 0")
            # as systemd does with RuntimeDirectory=
            shutil.rmtree(self.run_dir)
            os.mkdir(self.run_dir)


def open_(v, addr, who=0):
    with v.clients[who].inside():
        return smb2.Conn(addr, 445).negotiate([0x0302])


def visit(t, v, label, want_list):
    """Each address of each node, from each client: the node, who is seen there, what is told."""
    for i, addr in enumerate(EVERY):
        for who in (0, 1):
            me = vpn.CLIENTS[who][i % 2]
            with open_(v, addr, who) as c:
                s = c.login()
                ends = [e for e in v.ends(i // 2) if e[1] == me]
                told = {e.ip for e in c.ifinfo(s, c.tree(s, "IPC$"))}
                t.same((c.server_guid, ends, told),
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


def rules(v):
    """(IPv4 rules, IPv6 rules, routes of the table) as they are."""
    return tuple(v.gw.ip(f, "rule", "show").stdout.count("lookup 91") for f in ("-4", "-6")) + \
        tuple(v.gw.ip(f, "route", "show", "table", "91", check=False).stdout.strip()
              for f in ("-4", "-6"))


def main(t):
    v = vpn.Vpn(t)
    readme = text(vpn.CONTRIB + "/README.md")
    files = [os.path.relpath(os.path.join(d, f), vpn.CONTRIB)
             for d, _, names in os.walk(vpn.CONTRIB) for f in names if f != "README.md"]
    t.same([f for f in files if "| `%s` |" % f not in readme], [], "README.md names every file")
    visit(t, v, "as a router", lambda i: {*vpn.NODES[i], v.secret(i)})
    why = gate.missing()
    if why:
        t.bail(why)

    g = Installed(t, v)
    r = g.check()
    t.ok(r.returncode == 0, "smbgate -t: both files are good", r.stdout)
    t.ok("intercept needs CAP_NET_RAW" in g.fails(UNIT),
         "without the drop-in smbgate does not start, and says why")
    for _ in (1, 2):
        v.rules()
        t.same(rules(v)[:2], (1, 1), "routing up: one rule a family")
    t.ok(all(x.startswith("local default dev lo") for x in rules(v)[2:]), "and its route", rules(v))
    tables = v.gw.run("nft", "list", "tables").stdout.split("\n")
    t.same(tables.count("table inet smbgate"), 1, "nftables.conf may be loaded twice")
    t.same([refused(v, a) for a in EVERY], [True] * 4, "smbgate is not there: clients are refused")

    g.start()
    status = text("/proc/%d/status" % g.proc.pid)
    t.ok(re.search(r"Uid:\s+65534", status) and re.search(r"CapEff:\s+0000000000002000\n", status),
         "smbgate is nobody, with CAP_NET_RAW", status)
    visit(t, v, "through smbgate", lambda i: set(vpn.NODES[i]))
    t.same(g.stats()["placed_dialled"], 8, "which has placed them all")
    t.ok(refused(v, vpn.GW4) and refused(v, vpn.GW6), "the gateway itself has no open port")
    firewall(t, v)
    for addr in (vpn.NODES[0][0], vpn.NODES[1][1]):
        with v.clients[0].inside():
            r = clients.smbclient(addr, 445, "put /etc/services s; get s /dev/null; ls; del s")
        t.ok(r.returncode == 0 and " s " in r.stdout, "smbclient at " + addr, r.stdout)

    policy = text(vpn.CONTRIB + "/policy.conf")
    with open(g.etc + "/policy.conf", "w") as f:
        f.write(policy.replace('"fd00:2::/64" }\n}',
                               '"fd00:2::/64" }\n\tdeny = { "fd00:2::11" }\n}'))
    r = g.ctl("reload")
    with open_(v, EVERY[0]) as c:
        s = c.login()
        t.same(({e.ip for e in c.ifinfo(s, c.tree(s, "IPC$"))}, r.returncode), ({EVERY[0]}, 0),
               "a reload of the policy is in force")

    g.stop()
    t.same([refused(v, a) for a in EVERY], [True] * 4, "smbgate ends: clients are refused again")
    g.start()
    t.same([refused(v, a) for a in EVERY], [False] * 4, "and starts: they are served")
    g.stop()
    v.no_rules()
    t.same(rules(v), (0, 0, "", ""), "routing down: no rule, no route")
    visit(t, v, "as a router again", lambda i: {*vpn.NODES[i], v.secret(i)})


with tap.Test(deadline=120) as test:
    main(test)
