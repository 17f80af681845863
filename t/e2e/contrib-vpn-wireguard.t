#!/usr/bin/python3
# contrib-vpn-wireguard.t: contrib/vpn-gateway's rules, with clients that come by WireGuard
import subprocess

import gate
import tap
import vpn

why = vpn.missing() or gate.missing() or vpn.no_wireguard()
if why:
    tap.skip_all(why)

CONF = """\
listen "vpn4" { address = "127.0.0.1:445" intercept = true }
listen "vpn6" { address = "[::1]:445" intercept = true }
"""


def carries(t, v, label):
    for who in (0, 1):
        for addr in vpn.NODES[who]:
            why = v.carry(who, addr)
            t.ok(why is None, "%s: client %d, 3 MB to %s and back" % (label, who + 1, addr),
                 why or "")


def main(t):
    v = vpn.Vpn(t, wireguard=True)
    carries(t, v, "as a router")
    v.rules()
    nodes = [(n, {"other_addresses": [vpn.NODES[i][1]]}) for i, n in enumerate(v.nodes)]
    with v.gw.inside():
        g = gate.Gate(t, nodes, listen={"lan": vpn.GW4 + ":1445"}, conf=CONF,
                      source="transparent").start()
        r = subprocess.run([gate.ctl_program(), "-s", g.control, "check"], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        t.ok(r.returncode == 0, "smbgatectl check: nothing is wrong", r.stdout)
        carries(t, v, "through smbgate")
        t.same(g.ctl("show", "stats")["stats"]["placed_dialled"], 4, "which has placed them all")
        g.reload(source="own")
        carries(t, v, "source = own")


with tap.Test(deadline=120) as test:
    main(test)
