# fresh.py: an empty Debian 12 that runs, for what the guides say to be done in it as it stands
"""    why = fresh.missing()
    net = fresh.outside()                   # before the test enters a network of its own
    m = fresh.Fresh(t, fresh.debian(), net)
    m.follow("README.md", guide.commands("README.md", "Install"))

With SMBGATE_FRESH=DIR alone: DIR keeps Debian and its packages between runs.  A systemd of the
test's own runs on Debian's essential packages, apt and init.  Commands with apt-get fetch in the
network that we came from; nothing else does."""
import os
import resource
import shutil
import subprocess
import time

import guide
import netns
import node
import systemd
import tap

FOLDER = os.environ.get("SMBGATE_FRESH")
# Of the guides: smbgate's address, and the nodes'.
OURS, NODES = "10.1.0.5", ("10.2.0.11", "10.2.0.12")
PREPARE = """
mkdir -p $root/root/smbgate $root/run/share
tar -x -C $root/root/smbgate -f {top}/tree.tar
mount --bind {fresh}/archives $root/var/cache/apt/archives
mount --bind {share} $root/run/share
cp {top}/resolv.conf $root/etc/resolv.conf
echo 'APT::Get::Assume-Yes "true";' > $root/etc/apt/apt.conf.d/90yes
"""


def missing():
    """Why there can be none here, or None."""
    why = None if FOLDER else "SMBGATE_FRESH names no folder"
    return why or systemd.missing() or (
        None if shutil.which("mmdebstrap") else "no mmdebstrap")


def outside():
    """The network that we are in, and whom it asks for names: for commands that fetch."""
    with open("/etc/resolv.conf") as f:
        return os.open("/proc/self/ns/net", os.O_RDONLY), f.read()


def debian():
    """The root directory of an empty Debian, made if it is not there; with this machine's
    sources of packages."""
    root, archives = FOLDER + "/debian", FOLDER + "/archives"
    os.makedirs(archives, exist_ok=True)
    if not os.path.exists(root):
        subprocess.run("mmdebstrap --quiet --variant=minbase --include=init bookworm %s.tar && "
                       "rm -rf %s.new && mkdir %s.new && tar -x -C %s.new --exclude='./dev/*' -f "
                       "%s.tar && rm %s.tar && mv %s.new %s" % ((root,) * 8), shell=True,
                       check=True)
        for f in os.listdir("/etc/apt/sources.list.d"):
            if f == "debian.sources":
                shutil.copy("/etc/apt/sources.list.d/" + f, root + "/etc/apt/sources.list.d/")
                os.unlink(root + "/etc/apt/sources.list")
    return root


class Fresh:
    """An empty Debian that runs, with the source in /root/smbgate; and a shell in it."""

    def __init__(self, t, lower, net):
        self.t, self.outside, top = t, net[0], node.tempdir(t)
        self.share = node.tempdir(t)
        with open(top + "/resolv.conf", "w") as f:
            f.write(net[1])
        subprocess.run("git -c 'safe.directory=*' ls-files -z -co --exclude-standard | "
                       "tar -c --null -T - -f %s/tree.tar" % top, shell=True, cwd=guide.SOURCE,
                       check=True)
        self.m = systemd.Machine(t, top, PREPARE.format(
            top=top, fresh=os.path.abspath(FOLDER), share=self.share), lower=lower)
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
