#!/usr/bin/python3
# contrib-upgrade.t: smbgate-upgrade, twice at once, or stopped halfway: systemd has its unit back
import os
import signal
import subprocess

import node
import tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = TOP + "/contrib/systemd/smbgate-upgrade"
DROP_IN = "/run/systemd/system/smbgate.service.d/zz-upgrade.conf"
# systemd takes its time, and goes by what it has read last
SYSTEMCTL = """#!/bin/sh
echo begin "$@" >> /run/log
sleep 0.3
[ "$1" != daemon-reload ] || rm -f /run/seen
[ "$1" != daemon-reload ] || [ ! -e %(drop_in)s ] || touch /run/seen
[ "$1" != reload ] || { [ -e /run/seen ] && echo upgrade || echo policy; } >> /run/log
""" % {"drop_in": DROP_IN}
TWO = """"$1" &
sleep 0.4
"$1"
wait
"""
STOPPED = """"$1" &
until grep -q 'begin reload' /run/log; do sleep 0.02; done
kill -%s $!
wait $! && echo good >> /run/log
"""

if os.geteuid() != 0:
    tap.skip_all("needs root")


def run(t, what):
    """Lines of systemctl's log; what is run has a /run of its own."""
    top = node.tempdir(t)
    with open(top + "/systemctl", "w") as f:
        f.write(SYSTEMCTL)
    os.chmod(top + "/systemctl", 0o755)
    script = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && : > /run/log\n%s" \
        "cat /run/log; [ ! -e %s ] || echo left\n" % (what, DROP_IN)
    r = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", SCRIPT], text=True, timeout=60,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                       # where all tests are run by nohup(1), a shell does not heed it
                       preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
                       env=dict(os.environ, PATH=top + ":" + os.environ["PATH"]))
    return r.stdout.splitlines()


with tap.Test(deadline=60) as test:
    out = run(test, '"$1"\n')
    test.ok("upgrade" in out and "left" not in out, "one upgrade, and the unit is what it was", out)
    out = run(test, TWO)
    test.ok(out.count("upgrade") == 2 and "policy" not in out and "left" not in out,
            "two at once are two upgrades", out)
    for name in "TERM", "HUP":
        out = run(test, STOPPED % name)
        test.ok("left" not in out and "good" not in out and out[-1] == "begin daemon-reload",
                "stopped by SIG%s: the unit is what it was" % name, out)
