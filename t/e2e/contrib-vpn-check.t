#!/usr/bin/python3
# contrib-vpn-check.t: smbgatectl check finds what is wrong with a gateway, and nothing else
import json
import os
import re
import subprocess

import gate
import tap
import vpn

why = vpn.missing() or gate.missing()
if why:
    tap.skip_all(why)

(A4, A6), (B4, B6) = vpn.NODES
EVERY = (A4, A6, B4, B6)
CONF = """\
listen "vpn4" { address = "127.0.0.1:445" intercept = true }
listen "vpn6" { address = "[::1]:445" intercept = true }
listen "nb4" { address = "127.0.0.1:139" intercept = true netbios = true }
"""
LISTENERS = ("vpn4", "vpn6", "nb4")


class Checked:
    def __init__(self, t, v, g):
        self.t, self.v, self.g = t, v, g
        with open(os.path.join(vpn.CONTRIB, "nftables.conf")) as f:
            self.rules = f.read()

    def run(self, *args):
        """(exit status, JSON)"""
        with self.v.gw.inside():
            r = subprocess.run([gate.ctl_program(), "-s", self.g.control, *args], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        return r.returncode, r.stdout

    def check(self, *args):
        rc, out = self.run("--json", "check", *args)
        return rc, json.loads(out)

    def good(self, label, *args):
        rc, o = self.check(*args)
        self.t.same((rc, o["good"], [c for c in o["checks"] if not c["good"]]), (0, True, []),
                    label)
        return [(c["what"], c["text"]) for c in o["checks"]]

    def faults(self, label, *want):
        """want: (what, a pattern of its text) of every fault, and of no other."""
        rc, o = self.check()
        bad = [(c["what"], c["text"]) for c in o["checks"] if not c["good"]]
        found = [any(w == what and re.search(p, text) for w, p in want) for what, text in bad]
        met = [any(w == what and re.search(p, text) for what, text in bad) for w, p in want]
        self.t.ok(rc == 1 and not o["good"] and all(found) and all(met), label,
                  "status %d\n%s" % (rc, "\n".join("%s: %s" % b for b in bad)))

    def nft(self, *changes):
        text = self.rules
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.v.gw.nft(text)


def rules(c, v):
    c.nft((", fd00:2::12 }", " }"))
    c.faults("a node's address is missing in nftables.conf",
             ("vpn6", "^fd00:2::12 of node n2 is in no nftables rule"))
    c.nft(("define nodes4 = { 10.2.0.11, 10.2.0.12 }", "define nodes4 = 10.2.0.0/28"))
    c.good("one rule for a whole network")
    c.nft(("define ports = { 139, 445 }", "define ports = 445"))
    c.faults("a listener whose port no rule has",
             ("nb4", "^10.2.0.11 of node n1 is in no"), ("nb4", "^10.2.0.12 of node n2 is in no"))
    c.nft(("{ tcp, icmp, icmpv6 }", "tcp"))
    c.faults("ICMP does not come", *((n, "^ICMP errors do not reach") for n in LISTENERS))
    c.nft(("socket transparent 1 meta mark set $smbgate", "socket transparent 1 meta mark set 7"))
    # The answers of nodes are marked for nobody.
    c.faults("two marks", *((n, "no rule marks what belongs to") for n in LISTENERS),
             *(("node " + n, "does not answer 10.8|does not answer fd00") for n in ("n1", "n2")))
    v.gw.nft("delete table inet smbgate")
    c.faults("no rules at all", *((n, "is in no nftables rule") for n in LISTENERS))
    c.nft()


def routes(c, v):
    v.gw.run(vpn.CONTRIB + "/routing", "down")
    silent = [("node n%d" % n, "does not answer .*: Connection timed out") for n in (1, 2)]
    c.faults("no rules of routing", ("routes, IPv4", "not to smbgate"),
             ("routes, IPv6", "not to smbgate"), *silent)
    v.gw.run(vpn.CONTRIB + "/routing", "up")
    v.gw.ip("rule", "del", "priority", "9099")
    v.gw.ip("-6", "route", "flush", "table", "91")
    c.faults("src_valid_mark without a rule for lo; no route in the table of IPv6",
             ("routes, IPv4", "src_valid_mark"), ("routes, IPv6", "not to smbgate"), *silent)
    v.gw.run(vpn.CONTRIB + "/routing", "up")


def nodes(t, c, v):
    v.hosts[1].ip("route", "del", "default")
    c.faults("a node has another way to its clients",
             ("node n2", "^10.2.0.12:445 does not answer 10.8.0.2: .*does the node's way"))
    v.hosts[1].route("default", vpn.INSIDE4)
    v.hosts[1].nft("table inet loss {\n chain in {\n  type filter hook input priority 0\n"
                   "  tcp dport 445 ip saddr 10.8.0.2 quota until 125 bytes counter drop\n }\n}\n")
    c.good("two SYNs are lost")
    lost = re.search(r"counter packets (\d+)", v.hosts[1].run("nft", "list ruleset").stdout)
    t.same(lost and lost.group(1), "2", "they were")
    v.hosts[1].nft("delete table inet loss")
    v.nodes[1].stop()
    c.faults("a node is down", ("node n2", "^10.2.0.12:445 does not answer .*: Connection refused"),
             ("node n2", r"^\[fd00:2::12\]:445 does not answer"))
    v.start(1)


def main(t):
    v = vpn.Vpn(t)
    v.rules()
    policy_nodes = [(n, {"other_addresses": [vpn.NODES[i][1]]}) for i, n in enumerate(v.nodes)]
    with v.gw.inside():
        g = gate.Gate(t, policy_nodes, listen={"lan": vpn.GW4 + ":1445"}, conf=CONF,
                      source="transparent").start()
    c = Checked(t, v, g)
    found = c.good("a gateway as it should be")
    t.same(sorted(x for x, _ in found),
           sorted(["vpn4", "vpn6", "nb4"] * 2 + ["routes, IPv4", "routes, IPv6", "node n1",
                                                 "node n2"] * 2),
           "each address of each node for each listener, both ways, and all of them answer")
    t.ok(("node n1", "10.2.0.11:445 answers 10.8.0.2") in found, "nodes answer a client", found)
    found = c.good("from a client that is given", "fd00:8::3")
    t.ok(("node n1", "[fd00:2::11]:445 answers fd00:8::3") in found, "from its address", found)
    rc, out = c.run("check")
    t.ok(rc == 0 and "WHAT" in out and "fail" not in out, "in words", out)
    rc, out = c.run("check", "n1")
    t.ok(rc == 2 and "not an IPv4 or IPv6 address" in out, "a wrong address: status 2", out)

    rules(c, v)
    routes(c, v)
    nodes(t, c, v)

    with v.gw.inside():
        g.reload(source="own")
        found = c.good("source = own")
        t.ok(("node n1", "10.2.0.11:445 answers this machine") in found and
             len([x for x, _ in found if x.startswith("routes")]) == 2,
             "then nodes answer this machine, and nothing is to come back from them", found)
        v.gw.nft("delete table inet smbgate")
        v.gw.run(vpn.CONTRIB + "/routing", "down")
        g.stop()
        plain = gate.Gate(t, policy_nodes, listen={"lan": vpn.GW4 + ":1445"}, name="plain").start()
    c.g = plain
    t.same([x for x, _ in c.good("where nothing is intercepted")], ["node n1", "node n2"],
           "only the nodes are asked")


with tap.Test(deadline=120) as test:
    main(test)
