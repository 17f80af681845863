#!/usr/bin/python3
# contrib-apparmor.t: AppArmor's profile in force, in a machine whose kernel has AppArmor
"""With SMBGATE_DEB=PACKAGE alone: a build with sanitizers does more than the profile lets it.  The
machine is t/lab/kernel.py's: smbgate, its guard and smbgate-keyd run there under the profile, a
client outside is served, its session is keyed, and AppArmor has refused nothing."""
import glob
import os
import re
import shutil
import subprocess

import clients
import gate
import kernel
import keyed
import netns
import node
import tap

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROFILE = SOURCE + "/contrib/debian/apparmor/usr.sbin.smbgate"
DEB, GW, VM = os.environ.get("SMBGATE_DEB"), "10.8.0.1", "10.8.0.4"
SECURITY = "/sys/kernel/security"
PROGRAMS = ("/usr/sbin/smbgate", "/usr/sbin/smbgate-keyd", "/usr/bin/smbgatectl")
why = node.missing() or netns.missing("apparmor_parser", "dpkg-deb") or kernel.missing() or \
    clients.missing("smbclient")
why = why or (None if DEB else "SMBGATE_DEB names no package")
if why:
    tap.skip_all(why)


def copy(root, path, to=None):
    to = root + (to or path)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(path, to)


def write(root, name, data, mode=0o644):
    with open(root + name, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(root + name, mode)


def machine_files(t, top, n):
    """What is in the machine beside its kernel and busybox."""
    root = top + "/root"
    subprocess.run(["dpkg-deb", "-x", DEB, top + "/x"], check=True)
    for p in PROGRAMS:
        copy(root, top + "/x" + p, p)
        for lib in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", top + "/x" + p], text=True,
                                                            stdout=subprocess.PIPE).stdout):
            copy(root, lib)
    for path in glob.glob("/usr/lib/locale/C.*8/**", recursive=True):
        if os.path.isfile(path):
            copy(root, path)
    os.makedirs(root + "/etc/smbgate")
    write(root, "/etc/passwd", "root:x:0:0::/:\nsmbgate:x:901:901::/:\n"
          "smbgate-keyd:x:902:902::/:\n")
    write(root, "/etc/group", "root:x:0:\nsmbgate:x:901:\nsmbgate-keyd:x:902:\n")
    write(root, "/etc/smbgate/smbgate.conf", '''policy = "policy.conf"
user = "smbgate"
http = "127.0.0.1:9445"
keytab = "cluster.keytab"
cluster-secret = "cluster.secret"
pid-file = "/run/smbgate/smbgate.pid"
listen "lan" { address = "%s:445" }
''' % VM)
    write(root, "/etc/smbgate/policy.conf", gate.policy_text([n]))
    write(root, "/etc/smbgate/cluster.secret", os.urandom(32), 0o600)
    with open(keyed.light_keytab(t), "rb") as f:
        write(root, "/etc/smbgate/cluster.keytab", f.read(), 0o600)
    r = subprocess.run(["apparmor_parser", "-Q", "-K", "-S", PROFILE], stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, check=True)
    write(root, "/profile", r.stdout)
    return root


def main(t):
    top = node.tempdir(t)
    lan, gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
    lan.join(gw, GW + "/24", name="eth0")
    with gw.inside():
        n = node.Node(node.Lab(t), "n1", GW, 445).start()
    vm = kernel.Machine(t, [(lan, VM + "/24")], memory=1024, tree=machine_files(t, top, n)).boot()
    vm.run("mount -t securityfs none %s; mkdir -p /run/smbgate" % SECURITY)
    if "apparmor" not in vm.run("cat %s/lsm" % SECURITY):
        t.skip("all of it", "that kernel has no AppArmor")
        return
    vm.run("cat /profile > %s/apparmor/.load" % SECURITY)
    t.same(vm.run("cat %s/apparmor/profiles" % SECURITY), "smbgate (enforce)",
           "the profile is loaded")
    s = vm.begin("smbgate -c /etc/smbgate/smbgate.conf")
    t.ok(tap.wait_for(lambda: vm.begin("smbgatectl ready").wait(check=False).status == 0, 120, 0.5),
         "smbgate runs, and its node is up", s.text())
    family = vm.run("for p in $(pidof smbgate smbgate-keyd); do "
                    "echo $(cat /proc/$p/comm) $(cat /proc/$p/attr/current); done").splitlines()
    t.same(sorted(family), ["%s smbgate (enforce)" % p for p in (
        "smbgate", "smbgate-guard", "smbgate-keyd", "smbgate-standby")], "all of it confined")
    with gw.inside():
        r = subprocess.run(["smbclient", "//%s/data" % VM, "-s", "/dev/null", clients.ALICE, "-c",
                            "put %s/root/profile x; ls" % top], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env=clients.ENV, timeout=120)
    t.ok(r.returncode == 0, "a client is served", r.stdout, s.text())
    stats = vm.run("smbgatectl show stats")
    t.ok(re.search(r"channels_keyed +1\b", stats), "and its session is keyed", stats)
    vm.run("smbgatectl reload && wget -q -O - http://127.0.0.1:9445/readyz")
    denied = vm.run("dmesg | grep apparmor=.DENIED || true")
    t.same(denied, "", "AppArmor has refused nothing")
    vm.run("touch /etc/elsewhere")
    r = vm.begin("smbgate -t -c /etc/elsewhere").wait(check=False)
    t.ok(r.status and vm.run("dmesg | grep apparmor=.DENIED") != "",
         "and does, where a file is none of smbgate's", r.text())


with tap.Test(deadline=600) as test:
    main(test)
