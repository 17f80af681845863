# vrrp.py: two machines with smbgate and keepalived, as contrib/cluster sets them up
import os
import re
import subprocess
import threading

import gate
import netns
import node

CONTRIB = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "contrib", "cluster")
VIP = "10.1.0.5"


class Machine:
    """px1 or px2: smbgate, and keepalived with the files of contrib/cluster."""

    def __init__(self, t, front, storage, n, i, argv_prefix=(), **kw):
        self.t, self.name, self.addr = t, "px%d" % i, "10.1.0.%d" % (10 + i)
        self.host = netns.Host(t, self.name)
        front.join(self.host, self.addr + "/24")
        storage.join(self.host, "10.2.0.%d/24" % (20 + i))
        self.dir, self.changes = node.tempdir(t), []
        with self.host.inside():
            self.gate = gate.Gate(t, [n], listen={"lan": "0.0.0.0:445"}, name=self.name, health={},
                                  argv_prefix=[*gate.FIRST, *argv_prefix], **kw)
        here = self.dir + "/"
        with open(CONTRIB + "/check-smbgate") as f, open(here + "check-smbgate", "w") as out:
            out.write(f.read().replace("smbgatectl $", gate.ctl_program() + " $").replace(
                "${SMBGATE_CONTROL:+-s \"$SMBGATE_CONTROL\"}", "-s " + self.gate.control))
        os.chmod(here + "check-smbgate", 0o755)
        with open(CONTRIB + "/keepalived.conf") as f, open(here + "keepalived.conf", "w") as out:
            out.write(f.read().replace("/etc/keepalived/", here))

    def start_gate(self, **kw):
        with self.host.inside():
            self.gate.start(**kw)

    def start_keepalived(self):
        """Its every change of the address is noted, with the time (see tap.Test.ran())."""
        with self.host.inside():
            monitor = self.t.spawn(["ip", "-o", "monitor", "address", "dev", "eth0"], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            with open(self.dir + "/log", "ab") as out:
                # A check that is late gives the address up; what keepalived runs has its priority.
                self.t.spawn([*gate.FIRST, "keepalived", "-n", "-l", "-D",
                              "-f", self.dir + "/keepalived.conf", "-p", self.dir + "/pid",
                              "-r", self.dir + "/vrrp.pid", "-c", self.dir + "/checkers.pid"],
                             stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        threading.Thread(target=self._note, args=(monitor.stdout,), daemon=True).start()

    def _note(self, lines):
        for line in lines:
            if " %s/" % VIP in line:
                self.changes.append((self.t.ran(), not line.startswith("Deleted")))

    def has(self):
        return VIP + "/" in self.host.ip("-4", "addr", "show", "dev", "eth0").stdout

    def log(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()

    def priority(self):
        """As keepalived has it, by its log."""
        got = re.findall(r"Changing effective priority from \d+ to (\d+)", self.log())
        return int(got[-1]) if got else 100

    def check(self, mode):
        return subprocess.run([self.dir + "/check-smbgate", mode]).returncode


def overlap(machines, since):
    """For how long, since then, (both, neither) had the address."""
    events = sorted((at, m, on) for m in range(2) for at, on in machines[m].changes)
    has, last, both, none = [False, False], since, 0, 0
    for at, m, on in events + [(machines[0].t.ran(), 0, None)]:
        if at > since:
            both += (at - last) * (has == [True, True])
            none += (at - last) * (has == [False, False])
            last = at
        if on is not None:
            has[m] = on
    return both, none
