#!/usr/bin/python3
# contrib-container.t: smbgate in a small root, as any user without capabilities; a role
"""The root has what the image has: programs, their libraries, C.UTF-8 and busybox, of this machine.
With SMBGATE_DEB=PACKAGE it is the image itself, as contrib/container/build makes it.  It is
read-only, and smbgate runs in it as uid 65534, with no_new_privs."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import clients
import gate
import keyed
import manifests
import node
import tap

try:
    import yaml
except ImportError:
    yaml = None

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONTRIB = SOURCE + "/contrib"
BUSYBOX, UID = "/bin/busybox", 65534
TOOLS = ("awk", "cat", "cmp", "mv", "sh", "sleep", "sort")
DEB = os.environ.get("SMBGATE_DEB")
why = gate.missing() or node.missing() or clients.missing("smbclient")
why = why or (None if yaml else "no python3-yaml")
why = why or (None if os.path.exists(BUSYBOX) else "no busybox")
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_NETNS" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)],
               dict(os.environ, SMBGATE_TEST_NETNS="1"))

# As a container's runtime does it: a read-only root, /dev, /proc, what is mounted, no privileges.
INSIDE = """set -e
mount --make-rprivate /
mount --bind {root} {root}
for d in dev etc/smbgate etc/smbgate-secrets run/smbgate run/smbgate-nodes; do
	mount --rbind {top}/mounts/$d {root}/$d
done
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
mount -o remount,ro,bind {root}
exec setpriv --no-new-privs --inh-caps=-all chroot --userspec={uid}:{uid} --groups={uid} {root} "$@"
"""


def copy(root, path):
    os.makedirs(root + os.path.dirname(path), exist_ok=True)
    shutil.copy(path, root + path)


def small_root(t, top):
    """What contrib/container/build puts into an image, from here."""
    root = top + "/root"
    if DEB:
        host = ["nsenter", "-n", "-t", str(os.getppid())]       # it fetches packages
        for argv in (host + [CONTRIB + "/container/build", DEB, top + "/image"],
                     ["umoci", "unpack", "--image", top + "/image:latest", top + "/bundle"]):
            r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            t.ok(r.returncode == 0, os.path.basename(argv[0] if argv[0] == "umoci" else argv[4]),
                 r.stdout[-2000:])
        size = sum(os.path.getsize(f) for f in glob.glob(top + "/image/blobs/sha256/*"))
        t.diag("the image has %.1f MB" % (size / 1e6))
        with open(top + "/bundle/config.json") as f:
            p = json.load(f)["process"]
        t.same((p["user"]["uid"], p["args"]),
               (UID, ["/usr/sbin/smbgate", "-c", "/etc/smbgate/smbgate.conf"]), "what it runs")
        return top + "/bundle/rootfs"
    programs = {gate.program(): "/usr/sbin/smbgate", gate.ctl_program(): "/usr/bin/smbgatectl",
                gate.build_dir() + "/keyd/smbgate-keyd": "/usr/sbin/smbgate-keyd"}
    for src, dst in programs.items():
        os.makedirs(root + os.path.dirname(dst), exist_ok=True)
        shutil.copy(src, root + dst)
        for lib in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", src], text=True,
                                                            stdout=subprocess.PIPE).stdout):
            copy(root, lib)
    for path in glob.glob("/usr/lib/locale/C.*8/*") + glob.glob("/usr/lib/locale/C.*8/*/*"):
        if os.path.isfile(path):
            copy(root, path)
    copy(root, BUSYBOX)
    for tool in TOOLS:
        os.symlink("busybox", root + "/bin/" + tool)
    return root


class Container:
    def __init__(self, t, top):
        self.t, self.top, self.root = t, top, small_root(t, top)
        for d in ("dev", "proc", "tmp", "etc/smbgate", "etc/smbgate-secrets", "run/smbgate",
                  "run/smbgate-nodes"):
            os.makedirs("%s/%s" % (self.root, d), exist_ok=True)
            os.makedirs("%s/mounts/%s" % (top, d), exist_ok=True)
        for d in ("run/smbgate", "run/smbgate-nodes"):
            os.chmod(self.path("/" + d), 0o1777)
        for path in (top, self.root):
            os.chmod(path, 0o755)
        with open(top + "/inside", "w") as f:
            f.write(INSIDE.format(root=self.root, top=top, uid=UID))
        self.argv = ["unshare", "-m", "sh", top + "/inside"]

    def path(self, name):
        return self.top + "/mounts" + name

    def write(self, name, data, secret=False):
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chown(self.path(name), 0, UID if secret else 0)
        os.chmod(self.path(name), 0o440 if secret else 0o644)

    def run(self, *argv):
        return subprocess.run(self.argv + list(argv), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def get(path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:9445" + path, timeout=20) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return 0


def runs(t, c, top):
    n = node.Node(node.Lab(t), "n1").start()
    with open(CONTRIB + "/container/smbgate.conf") as f:
        conf = f.read()
    c.write("/etc/smbgate/smbgate.conf", conf.replace("#keytab", "keytab"))
    c.write("/etc/smbgate/policy.conf", gate.policy_text([n]))
    with open(keyed.light_keytab(t), "rb") as f:
        c.write("/etc/smbgate-secrets/cluster.keytab", f.read(), True)
    c.write("/etc/smbgate-secrets/cluster.secret", os.urandom(32), True)
    log = open(top + "/log", "w+")
    p = t.spawn(c.argv + ["/usr/sbin/smbgate", "-c", "/etc/smbgate/smbgate.conf"], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL,
                env={"ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/sbin:/usr/bin:/bin"})

    def said():
        with open(top + "/log") as f:
            return f.read()[-3000:]
    if not t.ok(tap.wait_for(lambda: get("/readyz") == 200 or p.poll() is not None, 40) and
                p.poll() is None, "it runs, and /readyz says that a node takes clients", said()):
        return
    t.same(get("/healthz"), 200, "/healthz")
    with open("/proc/%d/status" % p.pid) as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    t.same((status["Uid"].split()[1], int(status["CapEff"], 16), status["NoNewPrivs"]),
           (str(UID), 0, "1"), "as uid %d, without capabilities, with no_new_privs" % UID)
    with open(top + "/there", "wb") as f:
        f.write(os.urandom(3000000))
    r = subprocess.run(["smbclient", "//127.0.0.1/data", "-p", "4450", "-s", "/dev/null",
                        clients.ALICE, "-c", "put {0}/there x; get x {0}/back".format(top)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, env=clients.ENV, timeout=60)
    same = os.path.exists(top + "/back") and subprocess.run(
        ["cmp", top + "/there", top + "/back"]).returncode == 0
    t.ok(r.returncode == 0 and same, "a client copies both ways", r.stdout)
    out = c.run("/usr/bin/smbgatectl", "--json", "show", "stats").stdout
    stats = json.loads(out)["stats"]
    t.ok(stats["channels_keyed"] >= 1 and not stats.get("channels_opaque"),
         "its session is keyed: smbgate-keyd works in there", stats, said())
    r = c.run("sh", "-c", "echo x > /etc/new")
    t.ok(r.returncode != 0 and "Read-only" in r.stdout, "the root is read-only", r.stdout)
    stop = pre_stop()
    r = c.run(*stop)
    t.ok(tap.wait_for(lambda: p.poll() is not None, 30) and p.returncode == 0,
         "preStop ends it, and waits for that: %s" % stop[-1], r.stdout, said())


def pre_stop():
    spec = manifests.read()["Deployment", "smbgate"]["spec"]["template"]["spec"]
    return spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]


def names(t, c, data, top):
    """The script that makes the node-file, with the image's tools, and a getent of ours."""
    os.mkdir(top + "/fake")
    for d, text in ((top + "/mounts/etc/smbgate/getent", "#!/bin/sh\ncat /run/smbgate-nodes/dns\n"),
                    (top + "/mounts/etc/smbgate/nodes-from-dns", data["nodes-from-dns"])):
        with open(d, "w") as f:
            f.write(text)
        os.chmod(d, 0o755)
    answers = ("10.2.0.12 STREAM samba\n10.2.0.12 DGRAM\n10.2.0.11 STREAM\n", "")
    for answer in answers:
        c.write("/run/smbgate-nodes/dns", answer)
        r = c.run("sh", "-c", "ONCE=1 PATH=/etc/smbgate:$PATH sh /etc/smbgate/nodes-from-dns "
                  "samba /run/smbgate-nodes/nodes; cat /run/smbgate-nodes/nodes")
        t.same(r.stdout, "pod-10-2-0-11 10.2.0.11 1 active\npod-10-2-0-12 10.2.0.12 1 active\n",
               "nodes from DNS" if answer else "and they stay when there is no answer")


def tested(t, c, files, what):
    for name, text in files.items():
        c.write("/etc/smbgate/" + name, text)
    r = c.run("/usr/sbin/smbgate", "-t", "-c", "/etc/smbgate/smbgate.conf")
    t.ok(r.returncode == 0, "smbgate -t is content with " + what, r.stdout)


def role(t, c):
    top = CONTRIB + "/ansible"
    files = glob.glob(top + "/**/*.yml", recursive=True)
    for path in files:
        with open(path) as f:
            yaml.safe_load(f)
    t.ok(len(files) > 4, "the role's files (%d) can be read" % len(files))
    try:
        import jinja2
    except ImportError:
        t.skip("its templates", "no jinja2")
        return
    with open(top + "/roles/smbgate/defaults/main.yml") as f:
        values = dict(yaml.safe_load(f), ansible_managed="made by Ansible",
                      smbgate_listen="0.0.0.0:4450")
    env = jinja2.Environment(loader=jinja2.FileSystemLoader(top + "/roles/smbgate/templates"),
                             trim_blocks=True)
    c.write("/etc/smbgate/cluster.secret", os.urandom(32), True)
    tested(t, c, {n: env.get_template(n + ".j2").render(values)
                  for n in ("smbgate.conf", "policy.conf")}, "what the role's templates make")
    if not shutil.which("ansible-playbook"):
        t.skip("ansible-playbook --syntax-check", "no ansible-playbook")
        return
    r = subprocess.run(["ansible-playbook", "--syntax-check", "-i", "gw1,", "site.yml"],
                       cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       env=dict(os.environ, LC_ALL="C.UTF-8"))
    t.ok(r.returncode == 0, "ansible-playbook --syntax-check", r.stdout)


def main(t):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    top = node.tempdir(t)
    c = Container(t, top)
    runs(t, c, top)
    data = manifests.read()["ConfigMap", "smbgate"]["data"]
    names(t, c, data, top)
    c.write("/etc/smbgate-secrets/redis.password", "secret\n", True)
    tested(t, c, {k: data[k] for k in ("smbgate.conf", "policy.conf")}, "the ConfigMap")
    role(t, c)


with tap.Test(deadline=600 if DEB else 150) as test:
    main(test)
