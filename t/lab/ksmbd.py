# ksmbd.py: a node that is Linux's own SMB server, in a machine of its own
"""    n = ksmbd.Node(t, [(lan, "10.8.0.11/24")]).boot()

It is what kernel.Machine is, and what a Gate wants of a node.  All that comes through a proxy comes
from one address, of which ksmbd takes 8 connections unless it is told to take more.

ksmbd-tools are in the folder of the kernel (dev/packages.sh, packages_kernel): they do not go with
samba."""

import glob
import os
import shutil
import subprocess

import kernel
import node

TOOLS = "/usr/libexec/ksmbd.tools"      # in the tree, with all its names
LIBS = "/usr/lib/x86_64-linux-gnu"
CONF = """\
[global]
	netbios name = KNODE
	workgroup = LABGROUP
	server multi channel support = yes
	server signing = auto
	smb3 encryption = auto
	map to guest = bad user
	guest account = nobody
	max ip connections = 1024
[data]
	path = /data
	read only = no
	force user = root
"""


def missing():
    """Why it cannot be run here, or None."""
    why = kernel.missing()
    if why:
        return why
    top, version = kernel.find()
    if not kernel.modules(top, version, ("ksmbd",)):
        return "no ksmbd.ko: SMBGATE_KERNEL names a kernel without it"
    if not os.path.exists(top + TOOLS):
        return "no ksmbd-tools beside the kernel (SMBGATE_KERNEL, see packages_kernel)"
    return None


def _copy(path, to):
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(path, to)


def _tools(top, out):
    """They, their libraries, and what makes UTF-16 of names, as they are found there."""
    loader, = glob.glob(top + "/lib64/ld-linux-x86-64.so.2") or \
        glob.glob(top + "/usr/lib64/ld-linux-x86-64.so.2")
    said = subprocess.run(
        [loader, "--library-path", "%s%s:%s/lib/x86_64-linux-gnu" % (top, LIBS, top), "--list",
         top + TOOLS], stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in map(str.split, said.splitlines()):
        if len(line) > 2 and line[2].startswith(top):
            _copy(line[2], "%s%s/%s" % (out, LIBS, line[0]))
    _copy(loader, out + "/lib64/ld-linux-x86-64.so.2")
    for path in glob.glob(top + LIBS + "/gconv/gconv-modules*") + \
            glob.glob(top + LIBS + "/gconv/UTF-16.so"):
        if os.path.isfile(path):
            _copy(path, "%s%s/gconv/%s" % (out, LIBS, os.path.basename(path)))
    for name in ("ksmbd.mountd", "ksmbd.adduser"):
        _copy(top + TOOLS, "%s/usr/sbin/%s" % (out, name))


class Node(kernel.Machine):
    """nics: as of kernel.Machine; clients come to the first address."""

    def __init__(self, t, nics, name="k1", users=node.USERS):
        out = node.tempdir(t)
        _tools(kernel.find()[0], out)
        os.makedirs(out + "/etc/ksmbd")
        people = dict({u: uid for u, (_, uid) in users.items()}, root=0, nobody=65534)
        for path, line in (("passwd", "%s:x:%d:%d::/:/bin/sh\n"), ("group", "%s:x:%d:\n")):
            with open(out + "/etc/" + path, "w") as f:
                f.write("".join(line % ((u,) + (uid,) * (line.count("%") - 1))
                                for u, uid in people.items()))
        with open(out + "/etc/ksmbd/ksmbd.conf", "w") as f:
            f.write(CONF)
        super().__init__(t, nics, name=name, tree=out, more=("ksmbd",))
        self.users, self.addr, self.port = users, nics[0][1].split("/")[0], 445
        self.endpoint = "%s:%d" % (self.addr, self.port)

    def boot(self, seconds=300):
        super().boot(seconds)
        self.run("mkdir -p /data /var/run && chmod 777 /data")
        for u, (pw, _) in self.users.items():
            self.run("ksmbd.adduser -a %s -p %s" % (u, pw))
        self.daemon = self.begin("exec ksmbd.mountd -n")
        # until then it names "::" for an address that is being tried
        self.run("while ip -6 addr | grep -q tentative; do sleep 0.05; done")
        # its socket is the kernel's: whether somebody listens is seen there
        self.run("until grep -q ':01BD .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done")
        return self
