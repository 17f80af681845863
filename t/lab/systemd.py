# systemd.py: a systemd of the test's own, on an overlay over this machine's root, or another one
"""    m = systemd.Machine(t, top, 'install -m 755 %s $root/usr/sbin/' % program)
    if not m.up(): ...                              # it does not run here
    m.run("systemctl", "start", "smbgate").stdout

Nothing that is done there reaches the machine's own files, but the network is the test's.  What was
changed is in /run/over/upper there."""
import os
import subprocess

import tap

SYSTEMD = "/lib/systemd/systemd"
# Run inside: makes a root directory that systemd may do with as it likes, for it cleans up, among
# others, /tmp.
INSIDE = """set -e
cd {top}
mount --make-rprivate /
mount -t tmpfs none over
mkdir over/upper over/work over/root
mount -t overlay none -o lowerdir={lower},upperdir=over/upper,workdir=over/work over/root
root={top}/over/root
mount --rbind /dev $root/dev
mount -t sysfs none $root/sys
for d in run tmp var/tmp; do
	mount -t tmpfs none $root/$d
done
mount -t proc none $root/proc
units=$root/run/systemd/system
mkdir -p $units $root/run/old $root/run/over
mount --bind over $root/run/over
for unit in sysinit basic shutdown multi-user only-this; do
	printf '[Unit]\\nDefaultDependencies=no\\n' > $units/$unit.target
done
{prepare}
cd $root
pivot_root . run/old
{enter}
umount -l /run/old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin {systemd} --system \\
	--unit=only-this.target --log-target=console --show-status=no
"""

# For smbgate.service.d: no network is waited for; sanitizers want another process for leaks.
DROP_IN = """[Unit]
Wants=
After=
[Service]
Environment=ASAN_OPTIONS=detect_leaks=0
"""


def missing():
    """Why there can be none here, or None."""
    if not os.access(SYSTEMD, os.X_OK):
        return "no systemd here"
    if subprocess.run(["unshare", "-nmC", "--pid", "--fork", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        return "no namespaces here"
    return None


class Cgroup:
    """A control group of the test's own in each hierarchy that lets us, for systemd to divide."""

    def __init__(self, t):
        self.name, self.made = "smbgate-test-%d" % os.getpid(), []
        with open("/proc/self/cgroup") as f:
            rows = [line.rstrip("\n").split(":", 2) for line in f]
        for _, kind, path in rows:
            kind = kind.replace("name=", "")
            for top in ("/sys/fs/cgroup/" + (kind or "unified"), "/sys/fs/cgroup"):
                if os.path.exists(top + path + "/cgroup.procs"):
                    try:
                        os.mkdir(top + path + "/" + self.name)
                        self.made.append(top + path + "/" + self.name)
                    except OSError:
                        pass
                    break
        t.defer(self.remove)

    def join(self):
        for d in self.made:
            try:
                with open(d + "/cgroup.procs", "w") as f:
                    f.write("%d" % os.getpid())
            except OSError:
                pass

    def remove(self):
        def gone():
            for d in self.made:
                for sub, _, _ in os.walk(d, topdown=False):
                    try:
                        os.rmdir(sub)
                    except OSError:
                        pass
            return not any(map(os.path.exists, self.made))
        tap.wait_for(gone, 5)


class Machine:
    """Process 1 and what it runs.  prepare: shell, while the new root is $root and the units'
    folder $units; enter: shell, in the new root.  lower: the root directory below it."""

    def __init__(self, t, top, prepare, enter=":", lower="/"):
        self.top = top
        os.mkdir(top + "/over")
        with open(top + "/inside", "w") as f:
            f.write(INSIDE.format(top=top, prepare=prepare, enter=enter, systemd=SYSTEMD,
                                  lower=lower))
        cgroup = Cgroup(t)
        self.log = open(top + "/log", "w+")
        self.proc = t.spawn(["unshare", "-mC", "--pid", "--fork", "--kill-child", "sh",
                             top + "/inside"], preexec_fn=cgroup.join, stdin=subprocess.DEVNULL,
                            stdout=self.log, stderr=self.log)
        t.defer(t.kill_group, self.proc)        # before its groups can go

    def up(self):
        """Process 1 answers systemctl."""
        def answers():
            try:
                with open("/proc/%d/task/%d/children" % ((self.proc.pid,) * 2)) as f:
                    self.pid = int(f.read().split()[0])
                r = self.run("systemctl", "show", "-p", "Version")
            except (OSError, IndexError):
                return False
            return r.returncode == 0
        return tap.wait_for(answers, 60)

    def run(self, *argv, **kw):
        kw.setdefault("timeout", 120)
        return subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-p", "--"] + list(argv),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", **kw)

    def said(self):
        """What came to the console."""
        self.log.seek(0)
        return self.log.read()

    def show(self, *names):
        r = self.run("systemctl", "show", "smbgate", *("-p" + n for n in names))
        return dict(line.split("=", 1) for line in r.stdout.splitlines() if "=" in line)
