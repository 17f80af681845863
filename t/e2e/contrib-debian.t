#!/usr/bin/python3
# contrib-debian.t: the package: built, installed, started, upgraded, purged; nothing is left
"""What the build directory has is packaged, and installed under a systemd of the test's own, over
this machine's packages.  With SMBGATE_PACKAGE=long, dpkg-buildpackage makes the package from
the sources, lintian looks at it, and piuparts installs and purges it in a Debian that has nothing
else."""
import glob
import os
import re
import shutil
import subprocess
import sys

import ad
import clients
import gate
import guide
import keyed
import node
import smb2
import systemd
import tap

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONG = os.environ.get("SMBGATE_PACKAGE") == "long"
why = gate.missing() or node.missing() or clients.missing("smbclient") or systemd.missing()
for program in ("dh", "dh_apparmor", "dpkg-deb", "apparmor_parser"):
    why = why or (None if shutil.which(program) else "no " + program)
if why is None and not os.path.exists(gate.build_dir() + "/Makefile"):
    why = "no Makefile in the build"
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

# Of the guides and the samples: smbgate's addresses, and the nodes'.
OURS, NODES = ("10.1.0.5/24", "10.1.0.6/24"), ("10.2.0.11", "10.2.0.12")
LOG = "/run/smbgate.log"
# What dpkg, useradd and the shells that they run keep for themselves.
NOT_OURS = re.compile(r"var/(lib/(dpkg|apt|systemd/deb-systemd)|log|cache)/|etc/(passwd|group|"
                      r"shadow|gshadow|subuid|subgid)-?$|etc/\.(pwd\.lock|updated)$|var/\.updated$|"
                      r"etc/apparmor\.d/disable$")


def sh(t, name, *argv, **kw):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, **kw)
    t.ok(r.returncode == 0, name, r.stdout[-3000:])
    return r.stdout


def ip(*argv):
    subprocess.run(("ip",) + argv, check=True)


def build(t, top):
    """The path of the package."""
    tree = top + "/smbgate"
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    # Debug packages take long; man pages and programs alone are looked at.
    env["DEB_BUILD_OPTIONS"] = "noautodbgsym nocheck"
    if not LONG:
        for what in ("contrib/debian", "etc"):
            shutil.copytree(SOURCE + "/" + what, tree + "/" + what.replace("contrib/", ""))
        env["BUILT"] = gate.build_dir()
        sh(t, "the package is built", "debian/rules", "binary", cwd=tree, env=env)
        return glob.glob(top + "/smbgate_*.deb")[0]
    os.mkdir(tree)
    subprocess.run("git -c 'safe.directory=*' ls-files -z -co --exclude-standard | "
                   "tar -c --null -T - | tar -x -C %s" % tree, shell=True, cwd=SOURCE, check=True)
    shutil.copytree(SOURCE + "/contrib/debian", tree + "/debian")
    sh(t, "dpkg-buildpackage", "dpkg-buildpackage", "-us", "-uc", "-b", cwd=tree, env=env)
    deb = glob.glob(top + "/smbgate_*.deb")[0]
    t.diag(sh(t, "lintian finds no error", "lintian", "--fail-on", "error", deb))
    # It fetches packages, in the network that we came from. What systemd's own package leaves there
    # is not ours.
    sh(t, "piuparts: installed and purged in a fresh Debian", "nsenter", "-n", "-t",
       str(os.getppid()), "piuparts", "-d", "bookworm", "--no-upgrade-test", "-I",
       "^/(root/.ssh|var/(cache|lib|log)/private|var/lib/systemd/(coredump|pstore))/?$", deb)
    return deb


def contents(t, deb, top):
    listed = subprocess.run(["dpkg-deb", "-c", deb], stdout=subprocess.PIPE, text=True).stdout
    there = set(re.findall(r" \./(\S+)", listed))
    need = {"usr/sbin/smbgate", "usr/sbin/smbgate-keyd", "usr/bin/smbgatectl",
            "lib/systemd/system/smbgate.service", "usr/share/man/man8/smbgate.8.gz",
            "usr/share/bash-completion/completions/smbgatectl",
            "usr/share/zsh/vendor-completions/_smbgatectl", "etc/ufw/applications.d/smbgate",
            "usr/share/doc/smbgate/README.md", "usr/share/doc/smbgate/contrib/cluster/README.md"}
    t.ok(need <= there, "it has what it should", need - there)
    subprocess.run(["dpkg-deb", "-x", deb, top + "/x"], check=True)
    sh(t, "AppArmor's parser takes the profile", "apparmor_parser", "-Q", "-K",
       top + "/x/etc/apparmor.d/usr.sbin.smbgate")
    with open(top + "/x/etc/ufw/applications.d/smbgate") as f:
        t.same(re.findall(r"(?m)^ports=(.*)", f.read()), ["445/tcp", "139/tcp"], "ufw's ports")


def no_news(t, top, log):
    """logcheck's rules: ordinary lines are none, others are."""
    rules = top + "/x/etc/logcheck/ignore.d.server/smbgate"

    def news(lines):
        text = "".join("Nov 29 12:00:00 gw smbgate[71]: %s\n" % x for x in lines)
        r = subprocess.run(["grep", "-Evf", rules], input=text, text=True, stdout=subprocess.PIPE)
        return [x.split("]: ", 1)[1] for x in r.stdout.splitlines()]
    t.same(news(log), [], "logcheck keeps quiet about all %d lines so far" % len(log))
    bad = ["node n1 is down: connection refused",
           "conn 7 10.1.0.9:50122 > n1: logon of bob failed: 0xc000006d (wrong password)",
           "policy not reloaded: 1 error; generation 1 stays in force"]
    t.same(news(bad), bad, "and about none of these")


def serves(top):
    return subprocess.run(["smbclient", "//10.1.0.5/data", "-s", "/dev/null", clients.ALICE, "-c",
                           "put %s/inside was-here; ls" % top], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clients.ENV,
                          timeout=60).returncode == 0


def follow(t, m, page):
    """Do what a guide says, but for the installation: contrib-fresh.t does that."""
    there = [b for b in guide.commands("doc/" + page) if not b.startswith("apt-get")]
    for block in there:
        # Nodes are up, or gone, some time after they are looked at.
        patient = 30 if block == "smbgatectl ready" else 0
        out = []

        def works(block=block, out=out):
            r = m.run("bash", "-ec", "cd /etc/smbgate; " + block)
            out[:] = [r.stdout[-3000:]]
            return r.returncode == 0
        t.ok(tap.wait_for(works, patient, 0.2) if patient else works(),
             "%s: %s" % (page, block.split("\n")[0]), *out)
    t.ok(len(there) > 1, "%s has commands" % page)


def installed(t, m, deb):
    r = m.run("dpkg", "-i", deb)
    if not t.ok(r.returncode == 0, "it is installed", r.stdout[-3000:]):
        return False
    r = m.run("sh", "-c", "stat -c '%U:%G %a' /etc/smbgate; id -nu smbgate smbgate-keyd; "
              "systemctl is-enabled smbgate; systemctl is-active smbgate")
    t.same(r.stdout.split("\n")[:-1], ["root:smbgate 750", "smbgate", "smbgate-keyd", "disabled",
                                       "inactive"], "folder and users are there, nothing runs yet")
    r = m.run("smbgate", "-t")
    t.ok(r.returncode == 0 and "warning" not in r.stdout,
         "its samples are good where their addresses are", r.stdout)
    return True


def state(m):
    """Of the unit and of the package."""
    r = m.run("sh", "-c", "systemctl is-enabled smbgate; systemctl is-active smbgate; "
              "dpkg-query -W -f '${Version} ${Status}' smbgate")
    return r.stdout.split("\n")


def next_version(t, m, deb):
    """A package of another version, whose samples are others, too."""
    r = m.run("sh", "-ec", "dpkg-deb -R %s /run/next; cd /run/next; sed -i "
              "'s/^Version: .*/Version: 0.1.1/' DEBIAN/control; for f in smbgate policy; do "
              "echo '# of the next version' >> etc/smbgate/$f.conf; done; "
              "dpkg-deb -Znone -b . /run/deb/next.deb" % deb)
    t.ok(r.returncode == 0, "a package of the next version", r.stdout)
    return "/run/deb/next.deb"


def stopped(t, m, after):
    """Who has not started it is not served by an upgrade either."""
    r = m.run("dpkg", "-i", after)
    t.ok(r.returncode == 0, "over one that is stopped and disabled, the next is installed",
         r.stdout[-3000:])
    t.same(state(m), ["disabled", "inactive", "0.1.1 install ok installed"], "and stays so")
    r = m.run("sh", "-c", "tail -qn 1 /etc/smbgate/smbgate.conf /etc/smbgate/policy.conf; "
              "ls /etc/smbgate | grep dpkg")
    t.same(r.stdout, "# of the next version\n" * 2, "samples that nobody touched are the new ones")


def edited(t, m, deb, top):
    """Files that were written by hand; and removal without purge."""
    r = m.run("sh", "-c", "cp /etc/smbgate/*.conf /run/; dpkg -i --force-confold " + deb)
    t.ok(r.returncode == 0 and "serves on" not in r.stdout, "other samples: an upgrade",
         r.stdout[-3000:])
    r = m.run("sh", "-c", "cd /etc/smbgate; cmp smbgate.conf /run/smbgate.conf && "
              "cmp policy.conf /run/policy.conf && ls")
    t.ok(r.returncode == 0 and "policy.conf.dpkg-dist" in r.stdout,
         "leaves what was written by hand, with the new sample beside it", r.stdout)
    t.same(state(m)[:2], ["enabled", "active"], "and smbgate runs")
    r = m.run("dpkg", "-r", "smbgate")
    t.ok(r.returncode == 0 and m.run("pidof", "smbgate", "smbgate-keyd").stdout == "",
         "removed while it runs: no process is left", r.stdout)
    r = m.run("sh", "-c", "cmp /etc/smbgate/smbgate.conf /run/smbgate.conf; ls /etc/smbgate")
    t.ok("cluster.secret" in r.stdout and "differ" not in r.stdout, "the configuration stays",
         r.stdout)
    r = m.run("dpkg", "-i", "--force-confold", deb)
    t.ok(r.returncode == 0, "installed again", r.stdout[-3000:])
    t.ok(tap.wait_for(lambda: serves(top), 30, 0.2), "it serves as before", state(m),
         m.said()[-3000:])


def keytab(t, top):
    """The cluster's, of a domain that is not there; and of the users of these nodes."""
    return ad.write_keytab(top + "/cluster.keytab", [
        ad.Entry("cifs/nas@LAB.EXAMPLE", 1, ad.AES256, os.urandom(32))] +
        ad.read_keytab(keyed.light_keytab(t)))


def started(t, m, top):
    """The first cluster."""
    m.run("sh", "-c", "mkdir -p /run/systemd/system/smbgate.service.d; "
          "printf '%s' > /run/systemd/system/smbgate.service.d/test.conf; "
          "systemctl daemon-reload" % (systemd.DROP_IN + "StandardError=append:%s\n" % LOG)
          .replace("\n", "\\n"))
    m.run("cp", "/run/deb/cluster.keytab", "/etc/smbgate/")
    follow(t, m, "FIRST-CLUSTER.md")
    return t.ok(tap.wait_for(lambda: serves(top), 30, 0.2), "a client is served", m.said()[-3000:])


def upgraded(t, m, deb, top):
    c = smb2.Conn("10.1.0.5", 445, timeout=60)
    c.negotiate([0x0311], guid=os.urandom(16))
    s = c.login("alice", node.USERS["alice"][0], sign=True)
    before = m.show("MainPID")
    r = m.run("dpkg", "-i", "--force-confold", deb)
    t.ok(r.returncode == 0, "installed again, over the one that runs", r.stdout[-3000:])
    t.ok("serves on" not in r.stdout, "the maintainer's script upgrades", r.stdout[-3000:],
         m.said()[-3000:])
    tap.wait_for(lambda: m.show("MainPID") != before and
                 m.show("ActiveState")["ActiveState"] == "active", 20)
    now = m.show("MainPID", "ActiveState", "UnitFileState")
    t.ok(now.pop("MainPID") != before["MainPID"] and
         now == {"ActiveState": "active", "UnitFileState": "enabled"},
         "another process is the main one", before, now)
    t.ok(c.tree(s), "a session from before goes on")
    c.close()
    t.ok(tap.wait_for(lambda: serves(top), 30, 0.2), "and serves", m.said()[-3000:])


def left(m):
    """Files that are there, or changed, or gone, since the beginning."""
    r = m.run("sh", "-c", "cd /run/over/upper && find . -mindepth 1 ! -type d -printf '%P\\n'")
    return sorted(x for x in r.stdout.splitlines() if not NOT_OURS.search(x))


def users(m):
    return m.run("sh", "-c", "getent passwd; getent group").stdout.count("smbgate")


def purged(t, m, before):
    r = m.run("dpkg", "-P", "smbgate")
    t.ok(r.returncode == 0, "purge", r.stdout)
    t.same((left(m), users(m)), before, "nothing is left: no file, no user")
    r = m.run("sh", "-c", "ls -d /etc/smbgate /run/smbgate; pidof smbgate smbgate-keyd; true")
    t.ok(not re.search(r"^(/|\d)", r.stdout, re.M), "no folder, no process", r.stdout)


def main(t):
    top = node.tempdir(t)
    deb = build(t, top)
    contents(t, deb, top)
    ip("link", "set", "lo", "up")
    ip("link", "add", "lan", "type", "veth", "peer", "clients")
    ip("link", "set", "lan", "up")
    ip("link", "set", "clients", "up")
    for a in OURS:
        ip("addr", "add", a, "dev", "lan")
    # No index of manual pages: it is not ours, and takes long.
    m = systemd.Machine(t, top, "rm -f $root/var/lib/man-db/auto-update $root/usr/sbin/policy-rc.d;"
                        "mkdir -p $root/run/deb; cp %s %s $root/run/deb/" % (deb, keytab(t, top)))
    if not m.up():
        t.diag(m.said()[-2000:])
        t.skip("installation", "systemd does not run in a namespace here")
        return
    before, deb = (left(m), users(m)), "/run/deb/" + os.path.basename(deb)
    ready = installed(t, m, deb)
    after = next_version(t, m, deb)
    stopped(t, m, after)
    lab = node.Lab(t)
    for i, addr in enumerate(NODES):
        ip("addr", "add", addr, "dev", "lo")
        node.Node(lab, "n%d" % (i + 1), addr, 445, netbios="NAS").start()
    if ready and started(t, m, top):
        log = m.run("sed", r"s/^[0-9TZ:.-]\{20,\} //", LOG).stdout.splitlines()
        t.ok(any("logon of" in x for x in log), "there is a log", log)
        # How much may be locked is for the machine that the tests run on to say.
        no_news(t, top, [x for x in log if "may be swapped out" not in x and
                         "no answer in time" not in x])
        follow(t, m, "TAKING-OUT.md")
        upgraded(t, m, deb, top)
        follow(t, m, "UPGRADING.md")
        edited(t, m, after, top)
    purged(t, m, before)
    t.kill_group(m.proc)


with tap.Test(deadline=1500 if LONG else 240) as test:
    main(test)
