#!/usr/bin/python3
# daemon-keyfiles.t: files of secrets: whose are taken, what is said of others
import os
import re
import subprocess

import gate
import tap

if gate.missing():
    tap.skip_all(gate.missing())
if os.geteuid() != 0:
    tap.skip_all("files of other owners take root")


class Away:
    """A node; there is none."""
    name, endpoint = "n1", "127.0.0.41:9"


STRANGER, POD, GROUP = 61997, 61998, 61999
# What smbgate.conf calls them, the file, what is in it.
FILES = [("cluster-secret", "secret", b"a cluster secret of the lab's own\n"),
         ("keytab", "keytab", b"\5\2"),
         ("password-file", "pw", b"pw\n")]
CONF = """cluster-secret = "keys/secret"
keytab = "keys/keytab"
state "redis" {
	servers = { "127.0.0.1:9" }
	password-file = "keys/pw"
}
"""


def write(path, data, mode=0o600):
    with open(path + ".new", "wb") as f:
        os.fchmod(f.fileno(), mode)
        f.write(data)
    os.rename(path + ".new", path)


def line_of(g, name):
    with open(g.conf_file) as f:
        return next(n for n, text in enumerate(f, 1) if name in text)


def starts(g, *prefix):
    """Does it come to serve?  What it said, if it does not."""
    r = subprocess.run([*prefix, gate.program(), "-c", g.conf_file], text=True, timeout=20,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.returncode, r.stdout


def refused(t):
    """The owner and mode that were seen, what would be right, and the line that names the file."""
    g = gate.Gate(t, [Away], conf=CONF)
    keys = g.dir + "/keys"
    os.mkdir(keys, 0o755)
    for _, name, data in FILES:
        write(keys + "/" + name, data)
    t.same(g.check()[0], 0, "-t: files of root's, mode 0600, are good")
    for what, name, data in FILES:
        path = keys + "/" + name
        where = "%s:%d: %s %s: " % (g.conf_file, line_of(g, what), what, path)

        def bad(seen, how, undo):
            how()
            status, out = g.check()
            t.ok(status == 1 and where in out and seen in out and "right would be" in out,
                 "%s: -t: %s" % (what, seen), out)
            undo()
        bad("it has owner 0, group 0, mode 0644", lambda: os.chmod(path, 0o644),
            lambda: os.chmod(path, 0o600))
        bad("group 61999, mode 0640", lambda: (os.chown(path, 0, GROUP), os.chmod(path, 0o640)),
            lambda: (os.chmod(path, 0o600), os.chown(path, 0, 0)))
        bad("it has owner 61997", lambda: os.chown(path, STRANGER, 0),
            lambda: os.chown(path, 0, 0))
        bad("/keys has owner 0, group 0, mode 0777", lambda: os.chmod(keys, 0o777),
            lambda: os.chmod(keys, 0o755))
        os.chmod(path, 0o604)
        status, out = starts(g)
        t.ok(status == 1 and where in out, what + ": so says the start", out)
        os.chmod(path, 0o600)
    # All of them at once, each with its line.
    for _, name, data in FILES:
        os.chmod(keys + "/" + name, 0o666)
    out = g.check()[1]
    t.same(len(re.findall("mode 0666: right would be", out)), 3, "all three are said at once")
    return g


def running(t, g):
    """The guard looks as the start does, and says it."""
    path = g.dir + "/keys/keytab"
    for _, name, data in FILES:
        os.chmod(g.dir + "/keys/" + name, 0o600)
    g.start(nodes_up=False)
    where = "%s:%d: keytab %s: it has owner 0, group 0, mode 0644" % (
        g.conf_file, line_of(g, "keytab"), path)
    t.ok(where not in g.log(), "smbgate runs")
    os.chmod(path, 0o644)
    t.ok(tap.wait_for(lambda: where in g.log(), 20), "a keytab that everybody can read meanwhile",
         g.log()[-2000:])
    n = g.log().count(where)
    g.hup()
    t.ok(tap.wait_for(lambda: g.log().count(where) > n, 20), "and so says a reload")
    os.chmod(path, 0o600)
    t.same(g.stop(), 0, "it ends with status 0")


def kubernetes(t):
    """drwxrwsrwt root pod; key -> ..data/key, ..data -> ..1; files of root's, mode 0440."""
    g = gate.Gate(t, [Away], conf=CONF, argv_prefix=["setpriv", "--reuid", str(POD), "--regid", "0",
                                                 "--groups", str(GROUP)])
    os.chown(g.dir, POD, 0)
    keys = g.dir + "/keys"
    os.mkdir(keys)
    os.chown(keys, 0, GROUP)
    os.chmod(keys, 0o3777)

    def mount(n):
        there = "%s/..%d" % (keys, n)
        os.mkdir(there)
        os.chown(there, 0, GROUP)
        os.chmod(there, 0o2755)
        for _, name, data in FILES:
            write(there + "/" + name, data, 0o440)
            os.chown(there + "/" + name, 0, GROUP)
        os.symlink("..%d" % n, keys + "/..tmp")
        os.rename(keys + "/..tmp", keys + "/..data")
    mount(1)
    for _, name, _ in FILES:
        os.symlink("..data/" + name, keys + "/" + name)
    r = subprocess.run([*g.argv_prefix, gate.program(), "-t", "-c", g.conf_file], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    t.same(r.returncode, 0, "secrets as Kubernetes mounts them: -t" + r.stdout)
    g.start(nodes_up=False)
    t.ok(tap.wait_for(lambda: "is ready" in g.log(), 20), "and smbgate runs as the pod's user")
    # This one has no keys in it: each time that it is read, that is said.
    tap.wait_for(lambda: "no keys in it" in g.log(), 20)
    loads = g.log().count("no keys in it")
    mount(2)
    t.ok(loads and tap.wait_for(lambda: g.log().count("no keys in it") > loads, 20),
         "a secret that was changed there is found", g.log()[-1500:])
    t.ok("right would be" not in g.log(), "nothing is refused", g.log()[-1500:])
    t.same(g.stop(), 0, "it ends with status 0")
    # The same for somebody who is not in the group.
    r = subprocess.run(["setpriv", "--reuid", str(POD), "--regid", str(POD), "--clear-groups",
                        gate.program(), "-t", "-c", g.conf_file], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    t.ok(r.returncode == 1 and "Permission denied" in r.stdout, "who is not in the group: -t",
         r.stdout)


def later(t):
    """What the user that smbgate becomes cannot read is said before a reload needs it."""
    conf = CONF.replace('keytab = "keys/keytab"\n', "") + 'user = "nobody"\n'
    g = gate.Gate(t, [Away], conf=conf, deny_file=["deny"])
    os.mkdir(g.dir + "/keys", 0o755)
    for _, name, data in FILES:
        write(g.dir + "/keys/" + name, data)
    write(g.dir + "/deny", b"10.9.9.9/24 eth0\n", 0o644)
    nobody = subprocess.run(["id", "-g", "nobody"], stdout=subprocess.PIPE, check=True)
    os.chown(g.dir + "/keys/pw", 0, int(nobody.stdout))
    os.chmod(g.dir + "/keys/pw", 0o640)
    status, out = g.check()
    t.ok(status == 0 and "again" not in out, "-t: the user can read all that is read again", out)
    for path, mode, said in ((g.policy_file, 0o644, "no reload will work"),
                             (g.dir + "/deny", 0o644, "no reload will work"),
                             (g.dir + "/keys/pw", 0o640, "a changed password takes a restart")):
        os.chmod(path, 0o600)
        status, out = g.check()
        t.ok(status == 0 and 'user "nobody" cannot read' in out and said in out and path in out,
             "-t: %s is root's alone" % os.path.basename(path), out)
        os.chmod(path, mode)
    os.chmod(g.policy_file, 0o600)
    g.start(nodes_up=False)
    t.ok(tap.wait_for(lambda: "no reload will work: %s" % g.policy_file in g.log(), 20),
         "so says the start", g.log())
    tap.wait_for(lambda: "is ready" in g.log(), 20)
    r = g.ctl_run("reload")
    t.ok(r.returncode == 1 and "Permission denied" in r.stdout + r.stderr, "and so it is",
         r.stdout + r.stderr)
    os.chmod(g.policy_file, 0o644)
    t.same(g.ctl_run("reload").returncode, 0, "mended: it is reloaded")
    t.same(g.stop(), 0, "it ends with status 0")


def main(t):
    running(t, refused(t))
    kubernetes(t)
    later(t)


with tap.Test(deadline=90) as test:
    main(test)
