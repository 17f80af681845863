#!/usr/bin/python3
# contrib-vpn-networkd.t: systemd-networkd leaves the gateway's rules alone, with its drop-in
"""A real systemd-networkd in a network of its own manages an interface that goes and comes again,
as a VPN's does.  The control run has no drop-in."""
import os
import subprocess

import netns
import tap
import vpn

NETWORKD = "/usr/lib/systemd/systemd-networkd"
# Where /sys cannot be written it does not wait for udev.
SCRIPT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmp /run
mount -t sysfs -o ro sys /sys
mount -t tmpfs tmp /etc/systemd
mount -t tmpfs tmp /usr/lib/systemd/network
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp \
	/etc/systemd/network /etc/systemd/networkd.conf.d
chown -R systemd-network /run/systemd/netif
[ $2 = without ] || cp $1/networkd.conf /etc/systemd/networkd.conf.d/smbgate.conf
conf=/etc/systemd/network/eth1.network
printf '[Match]\nName=eth1\n[Network]\nAddress=10.2.0.1/24\n' > $conf
comes() {
	ip link add eth1 type veth peer name other
	ip link set other up
	until ip addr show eth1 | grep -q 'inet 10.2.0.1/24 .*eth1'; do sleep 0.05; done
}
says() {
	for f in -4 -6; do
		rules=$(ip $f rule | grep -c '^9[01][09]')
		echo "$1 $f $rules $(ip $f route show table 91 | wc -l)"
	done
}
ip link set lo up
$1/routing up
says before
$3 > /run/log 2>&1 &
comes
says started
ip link del eth1
comes
says again
$1/routing up
says up
kill $!
"""


def run(kind):
    return subprocess.Popen(["unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc",
                             "timeout", "90", "sh", "-c", SCRIPT, "sh", vpn.CONTRIB, kind,
                             NETWORKD], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def said(word, rules, routes=1):
    return "".join("%s %s %d %d\n" % (word, f, rules, routes) for f in ("-4", "-6"))


def main(t):
    both = {kind: run(kind) for kind in ("with", "without")}
    got = {kind: p.communicate(timeout=120)[0] for kind, p in both.items()}
    whole = said("before", 3) + said("started", 3)
    t.ok(got["without"].startswith(whole) and said("again", 3) not in got["without"] and
         "again -4 " in got["without"],
         "without the drop-in rules are gone when an interface comes again", got["without"])
    t.ok(got["without"].endswith(said("up", 3)), "and routing up puts them back", got["without"])
    t.same(got["with"], whole + said("again", 3) + said("up", 3), "with it they stay")


why = netns.missing()
if os.geteuid() != 0:
    why = "needs root"
elif not os.path.exists(NETWORKD):
    why = "no systemd-networkd"
if why:
    tap.skip_all(why)
with tap.Test(deadline=120) as test:
    main(test)
