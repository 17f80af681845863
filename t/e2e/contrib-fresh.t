#!/usr/bin/python3
# contrib-fresh.t: from an empty Debian 12, the guides alone; an upgrade under load; Ansible's role
"""With SMBGATE_FRESH=DIR alone: DIR keeps Debian and its packages between runs.  A systemd of the
test's own runs on Debian's essential packages, apt and init, and what the guides say is done there
as it stands.  Their apt-get fetches in the network that we came from; nothing else does.  The
nodes are two of a real domain, and the keytab comes from its controller."""
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time

import ad
import guide
import keyed
import netns
import node
import smb2
import systemd
import tap

FRESH, SOURCE = os.environ.get("SMBGATE_FRESH"), guide.SOURCE
why = None if FRESH else "SMBGATE_FRESH names no folder"
why = why or ad.missing() or systemd.missing()
why = why or (None if shutil.which("mmdebstrap") else "no mmdebstrap")
if why:
    tap.skip_all(why)

OURS, NODES = "10.1.0.5", ("10.2.0.11", "10.2.0.12")
PREPARE = """
mkdir -p $root/root/smbgate $root/run/share
tar -x -C $root/root/smbgate -f {top}/tree.tar
mount --bind {fresh}/archives $root/var/cache/apt/archives
mount --bind {share} $root/run/share
cp {top}/resolv.conf $root/etc/resolv.conf
echo 'APT::Get::Assume-Yes "true";' > $root/etc/apt/apt.conf.d/90yes
"""


with open("/etc/resolv.conf") as conf:
    RESOLV = conf.read()


def debian():
    """The root directory of an empty Debian, made if it is not there; with this machine's
    sources of packages."""
    root, archives = FRESH + "/debian", FRESH + "/archives"
    os.makedirs(archives, exist_ok=True)
    if not os.path.exists(root):
        subprocess.run("mmdebstrap --quiet --variant=minbase --include=init bookworm %s.tar && "
                       "rm -rf %s.new && mkdir %s.new && tar -x -C %s.new --exclude='./dev/*' -f "
                       "%s.tar && mv %s.new %s" % ((root,) * 7), shell=True, check=True)
        for f in os.listdir("/etc/apt/sources.list.d"):
            if f == "debian.sources":
                shutil.copy("/etc/apt/sources.list.d/" + f, root + "/etc/apt/sources.list.d/")
                os.unlink(root + "/etc/apt/sources.list")
    return root


class Fresh:
    """An empty Debian that runs, with the source in /root/smbgate; and a shell in it."""

    def __init__(self, t, lower, outside):
        self.t, self.outside, top = t, outside, node.tempdir(t)
        self.share = node.tempdir(t)
        with open(top + "/resolv.conf", "w") as f:
            f.write(RESOLV)
        subprocess.run("git -c 'safe.directory=*' ls-files -z -co --exclude-standard | "
                       "tar -c --null -T - -f %s/tree.tar" % top, shell=True, cwd=SOURCE,
                       check=True)
        self.m = systemd.Machine(t, top, PREPARE.format(
            top=top, fresh=os.path.abspath(FRESH), share=self.share), lower=lower)
        if not self.m.up():
            t.bail("systemd does not run: " + self.m.said()[-2000:])
        self.cwd = "/root/smbgate"

    def sh(self, block, fetch=False):
        """Run it where the one before has ended; (whether it worked, what it printed)."""
        r = self.m.run("env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "bash",
                       "-ec", "cd %s\n%s\npwd > /run/cwd" % (self.cwd, block), timeout=1800,
                       preexec_fn=(lambda: netns.setns(self.outside)) if fetch else None)
        if r.returncode == 0:
            self.cwd = self.m.run("cat", "/run/cwd").stdout.strip()
        return r.returncode == 0, r.stdout

    def follow(self, page, blocks):
        """Do what the page says: all of it."""
        for block in blocks:
            start, used = time.monotonic(), cpu()
            out = [False, ""]

            def works(block=block, out=out):
                out[:] = self.sh(block, fetch="apt-get" in block)
                return out[0]
            # Nodes are up some time after they are looked at.
            good = tap.wait_for(works, 60, 0.5) if block == "smbgatectl ready" else works()
            self.t.ok(good, "%s: %s (%.0f s, of the processor %.0f s)" % (
                page, block.split("\n")[0], time.monotonic() - start, cpu() - used),
                out[1][-3000:])
            if not good:
                self.t.bail("the rest cannot work")


def cpu():
    """What this process' programs have used of the processor so far; those of systemd's are not
    among them."""
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


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
    on_dc, = re.findall(r"`(samba-tool domain exportkeytab[^`]*)`", text)
    with open(lab.dir + "/exported", "w") as f:
        f.write("cd %s\n%s\n" % (lab.dir, on_dc))
    r = lab.run(["env", "SMB_CONF_PATH=" + lab.conf, "sh", lab.dir + "/exported"], check=False)
    made = lab.dir + "/cluster.keytab"
    t.ok(r.returncode == 0 and os.path.exists(made), "on the controller: " + on_dc, r.stdout)
    r = lab.run(["env", "SMB_CONF_PATH=" + lab.nas.conf, "nsenter", "-t", str(lab.nas.first()),
                 "-m", "-u", "-p", "sh", "-c", on_node], check=False)
    keys = {e.key for e in ad.read_keytab(lab.dir + "/member.keytab") if e.etype == ad.AES256}
    t.ok(r.returncode == 0 and keys & {e.key for e in ad.read_keytab(made)},
         "on a node: %s: the same key" % on_node, r.stdout)
    return made


def first_cluster(t, fresh, lab):
    page, start, used = "doc/FIRST-CLUSTER.md", time.monotonic(), cpu()
    shutil.copy(keytab(t, lab), fresh.share)
    blocks = guide.commands(page)
    at, = [i for i, b in enumerate(blocks) if "chmod 600 /etc/smbgate/cluster.keytab" in b]
    fresh.follow(page, blocks[:at])
    fresh.sh("cp /run/share/cluster.keytab /etc/smbgate/")
    fresh.follow(page, blocks[at:])
    used = cpu() - used
    t.ok(used < 300, "%s took %.0f s of the processor (%.0f s)" % (
        page, used, time.monotonic() - start))
    fresh.sh("cp /root/smbgate_0.1.0_amd64.deb /run/share/")
    shutil.copy(fresh.share + "/smbgate_0.1.0_amd64.deb", FRESH)
    r = lab.smbclient("gw", ["put %s x" % lab.conf, "ls"])
    t.ok(r.returncode == 0, "a client is served, by Kerberos", r.stdout)
    stats = fresh.sh("smbgatectl show stats")[1]
    t.ok(re.search(r"channels_keyed +[1-9]", stats), "and its session is keyed", stats)
    check = fresh.sh("smbgatectl check")
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


def upgraded(t, fresh, lab):
    """To a package with a higher number, and then it is purged."""
    good, out = fresh.sh("dpkg-deb -R /root/smbgate_0.1.0_amd64.deb /tmp/x; sed -i "
                         "'s/^Version: .*/Version: 0.1.1/' /tmp/x/DEBIAN/control; "
                         "dpkg-deb -b /tmp/x /root/smbgate_0.1.1_amd64.deb")
    t.ok(good, "a package of the next version", out)
    load, pid = Load(lab), fresh.m.show("MainPID")
    t.ok(load.more(), "clients work", load.lost)
    good, out = fresh.sh("apt-get install /root/smbgate_0.1.1_amd64.deb")
    t.ok(good and "serves on" not in out, "apt-get upgrades", out[-3000:])
    t.ok(load.more(), "and no connection ends", load.lost)
    load.end()
    t.same(load.lost, [], "%d rounds of %d clients" % (sum(load.rounds), len(load.rounds)))
    t.ok(fresh.m.show("MainPID") != pid, "another process is the main one")
    t.same(fresh.sh("dpkg-query -W -f '${Version} ${Status}' smbgate")[1],
           "0.1.1 install ok installed", "the new version is installed")
    fresh.cwd = "/"
    good, out = fresh.sh("apt-get purge smbgate")
    t.ok(good, "apt-get purge", out[-3000:])
    left = fresh.sh("find / -xdev \\( -path /root -o -path /run/over -o -path /run/share -o "
                    "-path /tmp -o -path /proc -o -path /var/cache/apt -o -path /var/log \\) -prune"
                    " -o -iname '*smbgate*' -print; getent passwd smbgate smbgate-keyd; "
                    "getent group smbgate smbgate-keyd; pidof smbgate smbgate-keyd || true")[1]
    t.same(left, "", "no file, no user, no process is left")


def role(t, fresh):
    """Ansible's, on this machine: installs, starts, reloads; the second time nothing changes."""
    fresh.cwd = "/root/smbgate/contrib/ansible"
    good, out = fresh.sh("apt-get install --no-install-recommends ansible-core python3-apt", True)
    if not t.ok(good, "ansible-core is installed", out[-2000:]):
        return
    play = ("LC_ALL=C.UTF-8 ansible-playbook -i localhost, -c local site.yml "
            "-e smbgate_deb=/root/smbgate_0.1.0_amd64.deb -e smbgate_listen=%s:445" % OURS)
    good, out = fresh.sh("head -c 32 /dev/urandom > cluster.secret\n" + play)
    t.ok(good and " failed=0 " in out, "the play installs and starts smbgate", out[-4000:])
    good, out = fresh.sh("smbgatectl ready; systemctl is-enabled smbgate")
    t.ok(good, "it serves, and will when the machine starts again", out)
    good, out = fresh.sh(play)
    t.ok(good and " changed=0 " in out, "a second time nothing changes", out[-4000:])
    pid = fresh.m.show("MainPID")
    good, out = fresh.sh(play + """ -e '{"smbgate_allow": ["10.1.0.0/25"]}'""")
    policy = fresh.sh("smbgatectl show policy")[1]
    t.ok(good and "RUNNING HANDLER" in out and "10.1.0.0/25" in policy and
         fresh.m.show("MainPID") == pid, "another policy is a reload", out[-4000:], policy)


def dockerfile(t, fresh):
    """Each of its lines, in their order, without a daemon."""
    with open(SOURCE + "/contrib/container/Dockerfile") as f:
        lines = [x.split(None, 1) for x in f.read().replace("\\\n", "").splitlines()
                 if x and x[0] != "#"]
    said = dict(lines)
    t.same(said["FROM"], "debian:12-slim", "Dockerfile: FROM is this Debian")
    shutil.copy(FRESH + "/smbgate_0.1.0_amd64.deb", fresh.share)
    for word, rest in lines:
        if word in ("COPY", "RUN"):
            good, out = fresh.sh("cp /run/share/" + rest if word == "COPY" else rest, word == "RUN")
            t.ok(good, "Dockerfile: %s %s" % (word, rest[:40]), out[-2000:])
    user, group = said["USER"].split(":")
    run = " ".join(json.loads(said["ENTRYPOINT"]))
    good, out = fresh.sh("setpriv --reuid %s --regid %s --clear-groups sh -c 'touch "
                         "/run/smbgate/x; %s -V'" % (user, group, run))
    t.ok(good and "smbgate 0.1.0" in out, "Dockerfile: what it runs can be run", out)


def main(t, net, base):
    lab = domain(t)
    fresh = Fresh(t, base, net)
    first_cluster(t, fresh, lab)
    upgraded(t, fresh, lab)
    role(t, fresh)
    t.kill_group(fresh.m.proc)
    dockerfile(t, Fresh(t, base, net))


net = os.open("/proc/self/ns/net", os.O_RDONLY)
base = debian()
ad.enter()
with tap.Test(deadline=1200) as test:
    main(test, net, base)
