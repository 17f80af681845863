# kernel.py: a machine with Linux's own SMB client, under qemu, that does what a test asks for
"""    vm = kernel.Machine(t, [(lan, "10.8.0.4/24")], routes={"default": "10.8.0.1"}).boot()
    vm.mount("a", "10.2.0.11", "data", vers="3.1.1")
    vm.run("cat /mnt/a/whoami")                 # what it prints; an exit status is an exception
    s = vm.begin("cat /mnt/a/large > /tmp/copy")  # meanwhile; any number of them at a time
    s.wait()
    w = vm.writer("/mnt/a/log", 100)            # blocks that are numbered, each synced
    w.goes_on()                                 # wait for an event
    w.lost(n1.data("log"))                      # of those that were acknowledged: none

A kernel of Debian's boots from a file system of its own in memory, in two seconds without KVM.  It
is plugged into any number of netns.Lan.  A shell there reads commands from a virtio port, so
whatever becomes of the network, a mount that hangs included, steps can be begun and ended.

The kernel is in SMBGATE_KERNEL, a folder that its package was unpacked into, or in the build
directory's "kernel", where contrib/test does so, or it is an installed one."""

import contextlib
import fcntl
import glob
import lzma
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import gate
import node
import tap

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU, BUSYBOX = "qemu-system-x86_64", "/bin/busybox"
MODULES = ("virtio_pci", "virtio_net", "virtio_console", "ccm", "gcm", "ghash_generic", "cmac",
           "ecb", "ctr", "sha512_generic", "md4", "des_generic", "nls_utf8", "cifs")
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000

INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /run
exec > /dev/console 2>&1
while read m; do insmod /modules/$m || echo "no $m"; done < /modules/order
ip link set lo up
. /network
until port=$(echo /dev/vport*p1); [ -c "$port" ]; do sleep 0.02; done
exec 3<> "$port"
echo ready >&3
export ID
while read -r ID command <&3; do
	{
		( exec 3>&-; eval "$command" ) 2>&1 < /dev/null
		echo $? > /run/status-$ID
	} | {
		while IFS= read -r line || [ -n "$line" ]; do echo "o $ID $line"; done
		echo "x $ID $(cat /run/status-$ID)"
	} >&3 &
done
"""

def find():
    """(folder, version) of the newest kernel there is, with its modules."""
    for top in filter(None, (os.environ.get("SMBGATE_KERNEL"), gate.build_dir() + "/kernel", "/")):
        found = [os.path.basename(p)[len("vmlinuz-"):] for p in glob.glob(top + "/boot/vmlinuz-*")]
        found = [v for v in found if os.path.isdir("%s/lib/modules/%s" % (top, v))]
        if found:
            return top, max(found, key=lambda v: [int(x) for x in re.findall(r"\d+", v)])
    return None


def missing():
    """Why no machine can be run here, or None."""
    for p in (QEMU, "modprobe", "depmod", "cc"):
        if shutil.which(p) is None:
            return "no " + p
    if not os.path.exists(BUSYBOX):
        return "no busybox"
    with open(BUSYBOX, "rb") as f:
        if b"/ld-linux" in f.read(4096):
            return "busybox is not static"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no /dev/net/tun"
    if find() is None:
        return "no kernel: none unpacked (SMBGATE_KERNEL), and none installed"
    return None


class Archive:
    """An initramfs: cpio, "newc"."""

    def __init__(self):
        self.out, self.n = bytearray(), 0

    def add(self, name, data=b"", mode=0o100755):
        self.n += 1
        name = name.encode() + b"\0"
        head = (self.n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08X" % x for x in head) + name, data):
            self.out += part
            self.out += bytes(-len(self.out) % 4)

    def folder(self, name):
        self.add(name, mode=0o040755)

    def link(self, name, to):
        self.add(name, to.encode(), 0o120777)

    def bytes(self):
        self.add("TRAILER!!!", mode=0)
        return bytes(self.out)


def modules(top, version, names):
    """Their files, each behind those that it needs."""
    if not os.path.exists("%s/lib/modules/%s/modules.dep.bin" % (top, version)):
        subprocess.run(["depmod", "-b", top, version], check=True)
    out = []
    for name in names:
        r = subprocess.run(["modprobe", "-d", top, "-S", version, "--show-depends", name],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # some kernels have it built in, or under another name
        out += [w[1] for w in map(str.split, r.stdout.splitlines()) if w[:1] == ["insmod"]]
    return list(dict.fromkeys(out))


class Step:
    """What the machine was asked to do.  lines: what it has printed so far."""

    def __init__(self, vm, number, command):
        self.vm, self.number, self.command = vm, number, command
        self.lines, self.status = [], None

    def _until(self, what, seconds):
        with self.vm.told:
            if not self.vm.told.wait_for(lambda: what() or self.vm.lost, seconds) or \
                    self.vm.lost and not what():
                raise TimeoutError("%s: %r: %s\n%s" % (
                    "the machine is gone" if self.vm.lost else "in vain", self.command,
                    self.lines[-10:], self.vm.console()[-2000:]))

    def wait(self, seconds=30, check=True):
        """Until it has ended."""
        self._until(lambda: self.status is not None, seconds)
        if check and self.status:
            raise RuntimeError("%r: status %d: %s" % (self.command, self.status, self.text()))
        return self

    def line(self, pattern, seconds=30, after=0):
        """Until it prints a line like that, of those after so many; the match."""
        found = []

        def there():
            found[:] = [m for m in (re.search(pattern, x) for x in self.lines[after:]) if m]
            return found
        self._until(there, seconds)
        return found[0]

    def text(self):
        return "\n".join(self.lines)

    def stop(self):
        """Of a writer, and whatever else looks at /run/stop-$ID."""
        self.vm.run("touch /run/stop-%d" % self.number)
        return self


class Writer(Step):
    """t/lab/writer.c: what it has written of a file, a block each so many milliseconds."""

    def acks(self):
        return sum(x.startswith("ACK") for x in self.lines)

    def errors(self, after=0):
        return [x.split(" ", 3)[3] for x in self.lines[after:] if x.startswith("ERR")]

    def stall(self, after=0):
        """The longest time between two acknowledged blocks, in seconds, of those after so many
        lines."""
        return max([int(x.split()[3]) for x in self.lines[after:] if x[:3] == "ACK"]) / 1000

    def goes_on(self, more=5, seconds=60):
        """So many blocks more are acknowledged."""
        want = self.acks() + more
        return tap.wait_for(lambda: self.acks() >= want, seconds)

    def lost(self, path):
        """It is ended: acknowledged blocks that are not in that file of a node."""
        self.stop().wait(120)
        with open(path) as f:
            there = f.read().splitlines()
        return [i for i in range(self.acks()) if there[i:i + 1] != ["%07d" % i]]


class Machine:
    """nics: (netns.Lan, "address/bits") of each interface; routes: to -> via.  tree: a folder of
    files that are there, too; more: modules."""

    def __init__(self, t, nics, routes=(), memory=256, name="vm", tree=None, more=()):
        self.t, self.nics, self.routes, self.name = t, nics, dict(routes), name
        self.memory, self.dir, self.tree = memory, node.tempdir(t), tree
        self.modules = MODULES + tuple(more)
        self.steps, self.lost, self.ready = [], False, False
        self.told = threading.Condition()
        self.mine = self.proc = None

    def _network(self):
        out = ""
        for i, (_, address) in enumerate(self.nics):
            out += "ip addr add %s dev eth%d\nip link set eth%d up\n" % (address, i, i)
        for to, via in self.routes.items():
            out += "ip route add %s via %s\n" % (to, via)
        return out

    def _built(self, source):
        """A program for it; its bytes."""
        out = "%s/%s" % (self.dir, source)
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-static", "-o", out,
                        "%s/%s.c" % (HERE, source)], check=True)
        with open(out, "rb") as f:
            return f.read()

    def _initramfs(self, top, version):
        a = Archive()
        for d in ("bin", "sbin", "proc", "sys", "dev", "run", "tmp", "mnt", "modules"):
            a.folder(d)
        with open(BUSYBOX, "rb") as f:
            a.add("bin/busybox", f.read())
        for x in subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True,
                                check=True).stdout.split():
            if x != "busybox":
                a.link("bin/" + x, "busybox")
        order = []
        for path in modules(top, version, self.modules):
            with open(path, "rb") as f:
                data = f.read()
            name = os.path.basename(path)
            if name.endswith(".xz"):
                name, data = name[:-3], lzma.decompress(data)
            a.add("modules/" + name, data)
            order.append(name)
        a.add("modules/order", "".join(x + "\n" for x in order).encode())
        a.add("network", self._network().encode())
        a.add("bin/writer", self._built("writer"))
        a.add("bin/as", self._built("keyring"))
        a.link("sbin/request-key", "/bin/as")
        a.add("init", INIT.encode())
        for where, _, names in os.walk(self.tree) if self.tree else ():
            if where != self.tree:
                a.folder(os.path.relpath(where, self.tree))
            for name in names:
                path = os.path.join(where, name)
                with open(path, "rb") as f:
                    a.add(os.path.relpath(path, self.tree), f.read(), os.stat(path).st_mode)
        return a.bytes()

    def _tap(self, lan, i):
        """A port of that switch; its descriptor."""
        name = "%s-%d" % (self.name, i)
        with lan.switch.inside():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                                   IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        lan.switch.ip("link", "set", name, "master", "br0", "up")
        return fd

    def boot(self, seconds=300):
        top, version = find()
        with open(self.dir + "/initramfs", "wb") as f:
            f.write(self._initramfs(top, version))
        self.mine, its = socket.socketpair()
        fds = [self._tap(lan, i) for i, (lan, _) in enumerate(self.nics)]
        argv = [QEMU, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1",
                "-m", str(self.memory), "-nodefaults", "-nographic", "-no-reboot",
                "-serial", "file:" + self.dir + "/console",
                "-kernel", "%s/boot/vmlinuz-%s" % (top, version),
                "-initrd", self.dir + "/initramfs",
                "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check",
                "-chardev", "socket,id=port,fd=%d" % its.fileno(), "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=port"]
        for i, fd in enumerate(fds):
            argv += ["-netdev", "tap,id=n%d,fd=%d" % (i, fd), "-device",
                     "virtio-net-pci,netdev=n%d,romfile=,mac=52:54:00:%02x:%02x:%02x" % (
                         (i, i) + tuple(os.urandom(2)))]
        with open(self.dir + "/qemu", "wb") as err:
            self.proc = self.t.spawn(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                     pass_fds=fds + [its.fileno()])
        for fd in fds:
            os.close(fd)
        its.close()
        self.t.defer(self.kill)
        threading.Thread(target=self._read, daemon=True).start()
        with self.told:
            if not self.told.wait_for(lambda: self.ready or self.lost, seconds) or self.lost:
                raise TimeoutError("the machine does not boot: " + self.console()[-2000:])
        return self

    def _read(self):
        with contextlib.suppress(OSError), self.mine.makefile("rb") as f:
            for line in f:
                self._told(line.decode(errors="replace").rstrip("\n"))
        with self.told:
            self.lost = True
            self.told.notify_all()

    def _told(self, line):
        with self.told:
            kind, _, rest = line.partition(" ")
            if kind == "ready":
                self.ready = True
            elif kind in ("o", "x"):
                number, _, rest = rest.partition(" ")
                step = self.steps[int(number)]
                if kind == "o":
                    step.lines.append(rest)
                else:
                    step.status = int(rest)
            self.told.notify_all()

    def console(self):
        out = ""
        for name in ("qemu", "console"):
            with contextlib.suppress(OSError), open(self.dir + "/" + name, errors="replace") as f:
                out += f.read()
        return out

    def kill(self):
        """The power is gone."""
        self.t.kill_group(self.proc)

    def writer(self, path, pause):
        """Writes blocks there until it is ended; its Writer."""
        return self.begin("writer %s %d" % (path, pause), Writer)

    def begin(self, command, kind=Step):
        """A line of shell, which runs beside all others; its Step."""
        with self.told:
            step = kind(self, len(self.steps), command)
            self.steps.append(step)
            self.mine.sendall(b"%d %s\n" % (step.number, command.replace("\n", "; ").encode()))
        return step

    def run(self, command, seconds=30, check=True):
        """What it prints."""
        return self.begin(command).wait(seconds, check).text()

    @staticmethod
    def _mounting(name, addr, share, options):
        given = {"ip": addr, "username": "alice", "password": node.USERS["alice"][0],
                 "unc": r"\\%s\%s" % (addr, share)}
        given.update(options)
        text = ",".join(k if v is True else "%s=%s" % (k, v) for k, v in given.items())
        return "mkdir -p /mnt/%s && mount -t cifs //%s/%s /mnt/%s -o '%s'" % (
            name, addr, share, name, text)

    def mounting(self, name, addr, share="data", **options):
        """The Step of a mount at /mnt/name.  options: of mount.cifs (True: a word alone)."""
        return self.begin(self._mounting(name, addr, share, options))

    def mount(self, name, addr, share="data", seconds=30, **options):
        return self.mounting(name, addr, share, **options).wait(seconds)
