#!/usr/bin/python3
# contrib-fresh.t: from an empty Debian 12, the guide alone; an upgrade under load; Ansible's role
"""With SMBGATE_FRESH=DIR alone, see t/lab/fresh.py.  The nodes are two of a real domain, and the
keytab comes from its controller."""
import json
import os
import re
import shutil
import subprocess
import threading
import time

import ad
import fresh
import guide
import keyed
import smb2
import tap
from fresh import NODES, OURS

why = fresh.missing() or ad.missing()
if why:
    tap.skip_all(why)
FOLDER, SOURCE = fresh.FOLDER, guide.SOURCE


def domain(t):
    """A controller, and two nodes of one account."""
    for addr in NODES + (OURS,):
        subprocess.run(["ip", "addr", "add", addr + "/24", "dev", "lo"], check=True)
    ad.GW = (OURS,)
    lab = ad.Domain(t, nodes=((NODES[0], 10 ** 10, 1),)).start()
    second = ad.Member(lab, ((NODES[1], 10 ** 10, 1),), name="nas2", netbios="NAS")
    second.same_account(lab.nas)
    second.start()
    return lab


def keytab(t, lab):
    """What the guide says of it, on a node and on the controller."""
    text = re.sub(r"\n +", " ", guide.text("doc/FIRST-CLUSTER.md"))
    on_node, = re.findall(r"`(net ads keytab create[^`]*)`", text)
    spn, = re.findall(r"`(samba-tool spn add[^`]*)`", text)
    on_dc, = re.findall(r"`(samba-tool domain exportkeytab[^`]*)`", text)
    with open(lab.dir + "/exported", "w") as f:
        f.write("set -e\ncd %s\n%s\n%s\n" % (lab.dir, spn, on_dc))
    r = lab.run(["env", "SMB_CONF_PATH=" + lab.conf, "sh", lab.dir + "/exported"], check=False)
    made = lab.dir + "/cluster.keytab"
    t.ok(r.returncode == 0 and os.path.exists(made),
         "on the controller: %s; %s" % (spn, on_dc), r.stdout)
    r = lab.run(["env", "SMB_CONF_PATH=" + lab.nas.conf, "nsenter", "-t", str(lab.nas.first()),
                 "-m", "-u", "-p", "sh", "-c", on_node], check=False)
    keys = {e.key for e in ad.read_keytab(lab.dir + "/member.keytab") if e.etype == ad.AES256}
    t.ok(r.returncode == 0 and keys & {e.key for e in ad.read_keytab(made)},
         "on a node: %s: the same key" % on_node, r.stdout)
    return made


def first_cluster(t, m, lab):
    page, start, used = "doc/FIRST-CLUSTER.md", time.monotonic(), fresh.cpu()
    shutil.copy(keytab(t, lab), m.share)
    blocks = guide.commands(page)
    at, = [i for i, b in enumerate(blocks) if "chmod 600 /etc/smbgate/cluster.keytab" in b]
    m.follow(page, blocks[:at])
    m.sh("cp /run/share/cluster.keytab /etc/smbgate/")
    m.follow(page, blocks[at:])
    used = fresh.cpu() - used
    t.ok(used < 300, "%s took %.0f s of the processor (%.0f s), of five minutes" % (
        page, used, time.monotonic() - start))
    m.sh("cp /root/smbgate_0.1.0_amd64.deb /run/share/")
    shutil.copy(m.share + "/smbgate_0.1.0_amd64.deb", FOLDER)
    r = lab.smbclient("gw", ["put %s x" % lab.conf, "ls"])
    t.ok(r.returncode == 0, "a client is served, by Kerberos", r.stdout)
    stats = m.sh("smbgatectl show stats")[1]
    t.ok(re.search(r"channels_keyed +[1-9]", stats), "and its session is keyed", stats)
    check = m.sh("smbgatectl check")
    t.ok(check[0] and not re.search("(?m)^fail", check[1]), "check finds no fault", check[1])


class Load:
    """Clients that write and read, and never connect again."""

    def __init__(self, lab, n=6):
        self.stop, self.rounds, self.lost = threading.Event(), [0] * n, []
        self.threads = [threading.Thread(target=self.one, args=(lab, i)) for i in range(n)]
        for x in self.threads:
            x.start()

    def one(self, lab, i):
        try:
            with smb2.Conn(OURS, 445, timeout=60) as c:
                c.negotiate([0x0311], guid=os.urandom(16), signing=(1,))
                s = c.login(auth=lab.auth("kerberos"), sign=True)
                tid = c.tree(s)
                while not self.stop.is_set():
                    if not keyed.traffic(c, s, tid, name="load%d" % i):
                        raise RuntimeError("other bytes")
                    self.rounds[i] += 1
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.lost.append("client %d: %r" % (i, e))

    def more(self):
        """All of them have done something since."""
        before = list(self.rounds)
        return tap.wait_for(lambda: self.lost or all(
            a > b for a, b in zip(self.rounds, before)), 60) and not self.lost

    def end(self):
        self.stop.set()
        for x in self.threads:
            x.join()


def upgraded(t, m, lab):
    """To a package with a higher number, and then it is purged."""
    good, out = m.sh("dpkg-deb -R /root/smbgate_0.1.0_amd64.deb /tmp/x; sed -i "
                     "'s/^Version: .*/Version: 0.1.1/' /tmp/x/DEBIAN/control; "
                     "dpkg-deb -b /tmp/x /root/smbgate_0.1.1_amd64.deb")
    t.ok(good, "a package of the next version", out)
    load, pid = Load(lab), m.m.show("MainPID")
    t.ok(load.more(), "clients work", load.lost)
    good, out = m.sh("apt-get install /root/smbgate_0.1.1_amd64.deb")
    t.ok(good and "serves on" not in out, "apt-get upgrades", out[-3000:])
    t.ok(load.more(), "and no connection ends", load.lost)
    load.end()
    t.same(load.lost, [], "%d rounds of %d clients" % (sum(load.rounds), len(load.rounds)))
    t.ok(m.m.show("MainPID") != pid, "another process is the main one")
    t.same(m.sh("dpkg-query -W -f '${Version} ${Status}' smbgate")[1],
           "0.1.1 install ok installed", "the new version is installed")
    m.cwd = "/"
    good, out = m.sh("apt-get purge smbgate")
    t.ok(good, "apt-get purge", out[-3000:])
    left = m.sh("find / -xdev \\( -path /root -o -path /run/over -o -path /run/share -o "
                "-path /tmp -o -path /proc -o -path /var/cache/apt -o -path /var/log \\) -prune"
                " -o -iname '*smbgate*' -print; getent passwd smbgate smbgate-keyd; "
                "getent group smbgate smbgate-keyd; pidof smbgate smbgate-keyd || true")[1]
    t.same(left, "", "no file, no user, no process is left")


def role(t, m):
    """Ansible's, on this machine: installs, starts, reloads; the second time nothing changes."""
    m.cwd = "/root/smbgate/contrib/ansible"
    good, out = m.sh("apt-get install --no-install-recommends ansible-core python3-apt", True)
    if not t.ok(good, "ansible-core is installed", out[-2000:]):
        return
    play = ("LC_ALL=C.UTF-8 ansible-playbook -i localhost, -c local site.yml "
            "-e smbgate_deb=/root/smbgate_0.1.0_amd64.deb -e smbgate_listen=%s:445" % OURS)
    good, out = m.sh("head -c 32 /dev/urandom > cluster.secret\n" + play)
    t.ok(good and " failed=0 " in out, "the play installs and starts smbgate", out[-4000:])
    good, out = m.sh("smbgatectl ready; systemctl is-enabled smbgate")
    t.ok(good, "it serves, and will when the machine starts again", out)
    good, out = m.sh(play)
    t.ok(good and " changed=0 " in out, "a second time nothing changes", out[-4000:])
    pid = m.m.show("MainPID")
    good, out = m.sh(play + """ -e '{"smbgate_allow": ["10.1.0.0/25"]}'""")
    policy = m.sh("smbgatectl show policy")[1]
    t.ok(good and "RUNNING HANDLER" in out and "10.1.0.0/25" in policy and
         m.m.show("MainPID") == pid, "another policy is a reload", out[-4000:], policy)


def dockerfile(t, m):
    """Each of its lines, in their order, without a daemon."""
    with open(SOURCE + "/contrib/container/Dockerfile") as f:
        lines = [x.split(None, 1) for x in f.read().replace("\\\n", "").splitlines()
                 if x and x[0] != "#"]
    said = dict(lines)
    t.same(said["FROM"], "debian:12-slim", "Dockerfile: FROM is this Debian")
    shutil.copy(FOLDER + "/smbgate_0.1.0_amd64.deb", m.share)
    for word, rest in lines:
        if word in ("COPY", "RUN"):
            good, out = m.sh("cp /run/share/" + rest if word == "COPY" else rest, word == "RUN")
            t.ok(good, "Dockerfile: %s %s" % (word, rest[:40]), out[-2000:])
    user, group = said["USER"].split(":")
    run = " ".join(json.loads(said["ENTRYPOINT"]))
    good, out = m.sh("setpriv --reuid %s --regid %s --clear-groups sh -c 'touch "
                     "/run/smbgate/x; %s -V'" % (user, group, run))
    t.ok(good and "smbgate 0.1.0" in out, "Dockerfile: what it runs can be run", out)


def main(t, net, base):
    lab = domain(t)
    m = fresh.Fresh(t, base, net)
    first_cluster(t, m, lab)
    upgraded(t, m, lab)
    role(t, m)
    t.kill_group(m.m.proc)
    dockerfile(t, fresh.Fresh(t, base, net))


network, debian = fresh.outside(), fresh.debian()
ad.enter()
with tap.Test(deadline=1200) as test:
    main(test, network, debian)
