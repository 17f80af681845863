#!/usr/bin/python3
# contrib-systemd.t: the units, run by a systemd of the test's own: start, reload, death, restart
"""Systemd is process 1 of a process namespace with a root directory of its own (an overlay), where
the programs stand as the unit looks for them.  The node runs outside."""
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

import clients
import gate
import inject
import keyed
import node
import smb2
import systemd
import tap

SERVICE = "/run/systemd/system/smbgate.service"
# What systemd-analyze security may say of the unit, in tenths.
EXPOSURE = 22
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
why = gate.missing() or node.missing() or clients.missing("smbclient") or systemd.missing()
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

# What is put where the unit looks for it.
PREPARE = """mkdir -p $units/smbgate.service.d $units/smbgate.socket.d $root/etc/smbgate
install -m 755 {build}/daemon/smbgate {build}/keyd/smbgate-keyd $root/usr/sbin/
install -m 755 {build}/ctl/smbgatectl $root/usr/bin/
install -m 644 {source}/contrib/systemd/smbgate.service $units/
install -m 644 {source}/contrib/systemd/smbgate.socket $units/
install -m 644 {source}/contrib/systemd/upgrade.conf $root/run/
install -m 644 drop-in.conf $units/smbgate.service.d/test.conf
install -m 644 socket.conf $units/smbgate.socket.d/test.conf
install -m 644 smbgate.conf policy.conf $root/etc/smbgate/
install -m 600 {keytab} $root/etc/smbgate/keytab"""
ENTER = """for u in smbgate smbgate-keyd; do
	grep -q "^$u:" /etc/passwd || useradd -r -M -s /usr/sbin/nologin $u
done"""


class Machine(systemd.Machine):
    """One on which smbgate was installed by hand."""

    def __init__(self, t, top, keytab):
        with open(top + "/drop-in.conf", "w") as f:
            f.write(systemd.DROP_IN)
        with open(top + "/socket.conf", "w") as f:
            f.write("[Socket]\nListenStream=\nListenStream=127.0.0.1:445\n")
        super().__init__(t, top, PREPARE.format(build=gate.build_dir(), source=SOURCE,
                                                keytab=keytab), ENTER)

    def ctl(self, *argv):
        return json.loads(self.run("smbgatectl", "--json", *argv).stdout)

    def family(self):
        """Processes of the unit: {(name, real user id): its /proc/PID/status as a dictionary}."""
        out, space = {}, os.readlink("/proc/%d/ns/pid" % self.pid)
        for path in glob.glob("/proc/[0-9]*/status"):
            try:
                with open(path) as f:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
                with open(os.path.dirname(path) + "/cgroup") as f:
                    mine = "smbgate.service" in f.read()
                mine = mine and os.readlink(os.path.dirname(path) + "/ns/pid") == space
            except OSError:
                continue
            if mine:
                out[status["Name"], int(status["Uid"].split()[0])] = status
        return out


def works(t, top, what, until=20):
    """A real client is served at the unit's port."""
    def serves():
        return subprocess.run(["smbclient", "//127.0.0.1/data", "-s", "/dev/null", clients.ALICE,
                               "-c", "put %s/smbgate.conf was-here; ls" % top],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=clients.ENV,
                              timeout=30).returncode == 0
    t.ok(tap.wait_for(serves, until, 0.2), what)


def privileges(t, m):
    """What is left to each process once it serves."""
    # The guard's standby is there a moment after smbgate serves, and each is filtered then.
    tap.wait_for(lambda: [s["Seccomp"].strip() for s in m.family().values()] == ["2"] * 4, 20)
    family = m.family()
    roots = [n for n, uid in family if uid == 0]
    rest = [s for (_, uid), s in family.items() if uid]
    t.same((sorted(roots), len(family)), (["smbgate-guard", "smbgate-standby"], 4),
           "the guard and its standby as root, smbgate and smbgate-keyd as users")
    t.ok(len({uid for _, uid in family}) == 3, "three users", list(family))
    t.ok(rest and all(int(s["CapEff"], 16) == 0 for s in rest), "no capabilities but the guard's",
         [(s["Name"], s["CapEff"]) for s in rest])
    t.ok(all(s["NoNewPrivs"].strip() == "1" and s["Seccomp"].strip() == "2"
             for s in family.values()), "filtered, and no new privileges, each of them")
    if inject.missing() or "libasan" in open("/proc/%s/maps" % rest[0]["Pid"].strip()).read():
        t.skip("tries from inside each process", inject.missing() or "sanitizers need some of them")
        return
    for (name, _), s in family.items():
        more = [inject.read_file("/etc/smbgate/keytab"), *inject.SERVERS] if s in rest else []
        t.same(inject.tries(int(s["Pid"]), more, {"unlink"} if name == "smbgate" else ()), {},
               "%s: what it cannot do from inside" % name)


def reloads(t, m):
    """The unit's ExecReload."""
    before = m.ctl("show", "policy")["policy"]["generation"]
    r = m.run("systemctl", "reload", "smbgate")
    t.ok(r.returncode == 0, "reload", r.stdout)
    t.same(m.ctl("show", "policy")["policy"]["generation"], before + 1, "takes the policy anew")
    m.run("sh", "-c", "cp /etc/smbgate/policy.conf /etc/smbgate/good; "
          "echo 'nonsense = 1' >> /etc/smbgate/policy.conf")
    r = m.run("systemctl", "reload", "smbgate")
    t.ok(r.returncode != 0, "a broken policy: systemctl reload fails")

    def log():
        out = m.run("journalctl", "-u", "smbgate", "--no-pager").stdout
        return out if "smbgate" in out else m.said()    # no journal in here: the console has it
    t.ok(tap.wait_for(lambda: "policy.conf:" in log() and "nonsense" in log(), 20, 0.2),
         "with file and line in the journal", log()[-2000:])
    t.same(m.show("ActiveState")["ActiveState"], "active", "smbgate goes on")
    t.same(m.ctl("show", "policy")["policy"]["generation"], before + 1, "with the policy it had")
    m.run("mv", "/etc/smbgate/good", "/etc/smbgate/policy.conf")


def units(t, m):
    """What systemd itself says of the files."""
    for unit in ("smbgate.service", "smbgate.socket"):
        r = m.run("systemd-analyze", "verify", unit)
        t.ok(r.returncode == 0 and "smbgate" not in r.stdout, "systemd finds no fault in " + unit,
             r.stdout)
    r = m.run("systemd-analyze", "security", "--offline=true", "--no-pager",
              "--threshold=%d" % EXPOSURE, SERVICE)
    t.ok(r.returncode == 0, "its exposure is %.1f at most" % (EXPOSURE / 10), r.stdout[-300:])


def upgrades(t, m):
    """With the drop-in a reload is an upgrade: another process, and the same connections."""
    m.run("cp", "/run/upgrade.conf", "/run/systemd/system/smbgate.service.d/")
    m.run("systemctl", "daemon-reload")
    c = smb2.Conn("127.0.0.1", 445, timeout=60)
    c.negotiate([0x0311], guid=os.urandom(16))
    s = c.login("alice", node.USERS["alice"][0], sign=True)
    before = m.show("MainPID", "NRestarts")
    for turn in ("once", "twice"):
        r = m.run("systemctl", "reload", "smbgate")
        t.ok(r.returncode == 0, "upgrade, %s" % turn, r.stdout, m.said()[-3000:])
        t.ok(tap.wait_for(lambda: m.show("MainPID")["MainPID"] != before["MainPID"], 20),
             "another process is the main one", before)
        tree = c.tree(s)
        t.ok(tree, "and the session goes on")
        before = m.show("MainPID", "NRestarts")
    fed = m.show("WatchdogTimestampMonotonic")
    t.ok(tap.wait_for(lambda: m.show("WatchdogTimestampMonotonic") != fed, 20),
         "it feeds the watchdog", fed)
    t.comes(lambda: m.show("MainPID", "NRestarts", "ActiveState"),
            dict(before, ActiveState="active"), "and systemd has not started it again")
    t.ok(tap.wait_for(lambda: len(m.family()) == 4, 20), "the old one has ended", m.family().keys())
    privileges(t, m)
    c.close()


def restarts(t, m):
    """With the socket unit nobody is refused, not even while smbgate does not run."""
    r = m.run("systemctl", "start", "smbgate.socket")
    t.ok(r.returncode == 0, "the socket unit starts", r.stdout)
    r = m.run("systemctl", "start", "smbgate")
    if not t.ok(r.returncode == 0, "and smbgate with it, checked beforehand", r.stdout):
        t.diag(m.run("systemctl", "status", "smbgate").stdout)
        return
    works(t, m.top, "a client is served")
    r = m.run("systemctl", "stop", "smbgate")
    with socket.create_connection(("127.0.0.1", 445), 20):
        pass
    works(t, m.top, "smbgate is stopped: it is started for the next client")
    before, refused = m.show("MainPID"), []
    with subprocess.Popen(["nsenter", "-t", str(m.pid), "-m", "-p", "--", "systemctl", "restart",
                           "smbgate"], stdin=subprocess.DEVNULL) as p:
        n = 0
        while not n or p.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", 445), 60).close()
                n += 1
            except ConnectionResetError:
                pass        # the one that ends had accepted it
            except OSError as e:
                refused.append(e)
            tap.wait_for(lambda: p.poll() is not None, 0.01)
    t.ok(n and not refused and m.show("MainPID") != before,
         "restart: no connection is refused (%d)" % n, refused[:3])
    works(t, m.top, "a client is served after that")
    r = m.run("systemctl", "stop", "smbgate.socket", "smbgate.service")
    t.comes(lambda: (r.returncode, m.family()), (0, {}),
            "both are stopped, and no process is left")


def main(t):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    top = node.tempdir(t)
    n = node.Node(node.Lab(t), "n1").start()
    with open(top + "/policy.conf", "w") as f:
        f.write(gate.policy_text([n], health=gate.FAST))
    with open(top + "/smbgate.conf", "w") as f:
        f.write('policy = "/etc/smbgate/policy.conf"\nuser = "smbgate"\n'
                'control = "/run/smbgate/control.sock"\ncontrol-group = "daemon"\n'
                'keytab = "/etc/smbgate/keytab"\n'
                'listen "lan" { address = "127.0.0.1:445" }\n')
    guard = tempfile.NamedTemporaryFile()
    m = Machine(t, top, keyed.light_keytab(t))
    if not m.up():
        t.diag(m.said()[-2000:])
        t.skip("all of it", "systemd does not run in a namespace here")
        return
    units(t, m)
    r = m.run("systemctl", "start", "smbgate")
    if not t.ok(r.returncode == 0, "the unit starts", r.stdout):
        t.diag(m.said()[-3000:] + m.run("systemctl", "status", "smbgate").stdout)
        return
    first = m.show("MainPID", "NRestarts")
    works(t, top, "a client is served")
    t.ok(tap.wait_for(lambda: m.show("StatusText")["StatusText"].startswith("1 of 1 node up, "),
                      20), "systemctl status says how it stands", m.show("StatusText"))
    t.same(m.show("WatchdogUSec")["WatchdogUSec"], "10s", "and systemd watches it")
    stats = m.ctl("show", "stats")["stats"]
    t.ok(stats["channels_keyed"] >= 1, "its session is keyed: the guard can read the keytab", stats)
    t.same(m.run("stat", "-c", "%U %G %a", "/run/smbgate/control.sock").stdout.strip(),
           "root daemon 660", "the control socket is root's and control-group's")
    privileges(t, m)
    reloads(t, m)
    works(t, top, "a client is served after that")

    os.kill(next(int(s["Pid"]) for (name, uid), s in m.family().items()
                 if name == "smbgate" and s["NSpid"].split()[-1] == first["MainPID"]),
            signal.SIGKILL)
    works(t, top, "it dies: clients are served again soon")
    again = m.show("MainPID", "NRestarts", "ActiveState")
    t.ok(again["MainPID"] != first["MainPID"] and again["NRestarts"] == "1",
         "for systemd has started it again", again)
    privileges(t, m)
    upgrades(t, m)

    r = m.run("systemctl", "stop", "smbgate")
    t.same((r.returncode, m.show("ActiveState", "Result")),
           (0, {"ActiveState": "inactive", "Result": "success"}), "stop")
    t.comes(m.family, {}, "no process is left")
    restarts(t, m)
    t.ok(os.path.exists(guard.name) and not glob.glob("/tmp/systemd-private-*-smbgate*"),
         "and this machine's own /tmp was not touched")
    t.kill_group(m.proc)


with tap.Test(deadline=150) as test:
    main(test)
