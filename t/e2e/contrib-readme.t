#!/usr/bin/python3
# contrib-readme.t: README's own lines in an empty Debian 12: quick start, build, install, configure
"""With SMBGATE_FRESH=DIR alone, see t/lab/fresh.py."""
import subprocess

import ad
import clients
import fresh
import guide
import netns
import node
import tap

why = fresh.missing() or node.missing() or clients.missing("smbclient") or netns.missing()
if why:
    tap.skip_all(why)
PAGE = "README.md"


def quick_start(t, base, net):
    """It installs what it needs by itself."""
    m = fresh.Fresh(t, base, net)
    block, = guide.commands(PAGE, "Try it")
    good, out = m.sh(block, fetch=True)
    t.ok(good and "identical" in out, "%s: %s, in an empty Debian" % (PAGE, block), out[-3000:])
    t.kill_group(m.m.proc)


def built(t, base, net):
    """From the source, without a package."""
    m = fresh.Fresh(t, base, net)
    m.follow(PAGE, guide.commands(PAGE, "Install"))
    m.follow(PAGE, guide.commands(PAGE, "Configure"))
    ready = tap.wait_for(lambda: m.sh("smbgatectl ready")[0], 30, 0.5)
    t.ok(ready, PAGE + ": a node takes clients", m.m.said()[-2000:])
    for what in ("smbgatectl reload", "smbgate-upgrade", "smbgatectl ready", "man -w smbgate || "
                 "ls /usr/share/man/man8/smbgate.8", "systemctl reload smbgate"):
        good, out = m.sh(what)
        t.ok(good, "and then: " + what, out[-2000:])
    r = subprocess.run(["smbclient", "//%s/data" % fresh.OURS, "-s", "/dev/null", clients.ALICE,
                        "-c", "put %s x; ls" % __file__], stdin=subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clients.ENV,
                       timeout=60)
    t.ok(r.returncode == 0, "a client is served", r.stdout)
    good, out = m.sh("systemctl disable --now smbgate; cd /root/smbgate; make uninstall")
    t.ok(good, "make uninstall", out[-2000:])
    left = m.sh("find / -xdev \\( -path /root -o -path /run/over -o -path /run/share -o "
                "-path /proc -o -path /etc/smbgate \\) -prune -o -iname '*smbgate*' -print")[1]
    t.same(left, "", "leaves nothing but the configuration")


def main(t, net, base):
    for addr in fresh.NODES + (fresh.OURS,):
        subprocess.run(["ip", "addr", "add", addr + "/24", "dev", "lo"], check=True)
    lab = node.Lab(t)
    for i, addr in enumerate(fresh.NODES):
        node.Node(lab, "n%d" % (i + 1), addr, 445, netbios="NAS").start()
    quick_start(t, base, net)
    built(t, base, net)


network, debian = fresh.outside(), fresh.debian()
ad.enter()
with tap.Test(deadline=1200) as test:
    main(test, network, debian)
