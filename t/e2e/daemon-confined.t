#!/usr/bin/python3
# daemon-confined.t: from inside a smbgate that serves, nothing can be had but its service
"""A gadget of the test's own is loaded into smbgate and tries it there.  The control is the same
gadget in a smbgate with confine = false.  Then smbgate, its guard, the stand-in and smbgate-keyd,
each as installed, are stopped and made to try it."""
import os
import pwd
import shutil
import socket
import struct
import subprocess

import ad
import gate
import inject
import node
import smb2
import tap

why = node.missing() or gate.missing()
if not why and not shutil.which("gcc"):
    why = "no gcc"
if why:
    tap.skip_all(why)

HERE = os.path.dirname(os.path.abspath(__file__))
FORBIDDEN = ["KEYTAB", "write /etc", "write /tmp", "chmod", "rename", "fork", "vfork", "ptrace",
             "network namespace", "user namespace", "packet socket", "kill", "setuid",
             "memory to run", "memory made to run", "thread", "execve"]
# Sanitizers look for leaks by these; and reports are made of files that must be read.
SANITIZERS_MAY = ["fork", "vfork", "kill", "ptrace", "thread"]
USER = "nobody"
# SETGID, SETUID
GUARDS = "%016x" % (1 << 6 | 1 << 7)


def landlock():
    """Does this kernel have it?  (landlock_create_ruleset, which version)"""
    import ctypes
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) > 0


def build_gadget(top):
    path = top + "/gadget.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", path,
                    HERE + "/../lab/gadget.c"], check=True)
    return path


class Inside:
    """A smbgate with the gadget, and what that says."""

    def __init__(self, t, top, gadget, name, nodes, keys, **kw):
        self.out = "%s/%s" % (top, name)
        with open(self.out, "w"):
            os.chmod(self.out, 0o666)
        other = top + "/other"
        with open(other, "w") as f:
            f.write("not smbgate's business\n")
        g = self.gate = gate.Gate(t, nodes, keytab=keys, **kw)
        # smbgate's user can read and write here, so that nothing but confinement stops it.
        os.chown(g.dir, *pwd.getpwnam(USER)[2:4])
        asan = ":".join([os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"])
        g.argv_prefix = ["env", "LD_PRELOAD=" + gadget, "GADGET_OUT=" + self.out,
                         "GADGET_POLICY=" + g.policy_file, "GADGET_KEYTAB=" + keys,
                         "GADGET_OTHER=" + other, "ASAN_OPTIONS=" + asan]
        g.start()

    def tries(self):
        """{what: yes or why not}"""
        pid = self.gate.proc.pid
        os.kill(pid, 12)
        # Where it may start a program, it has become that.
        tap.wait_for(lambda: "done" in self.text() or not self.gate.alive(), 10,
                     message=lambda: "the gadget says: " + self.text() + self.gate.log()[-800:])
        return dict(x.split(": ", 1) for x in self.text().splitlines() if ": " in x)

    def text(self):
        with open(self.out) as f:
            return f.read()


def status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(x.rstrip("\n").split(":\t", 1) for x in f if ":\t" in x)


def children(pid):
    """{name: process} of those that a process has started, and of theirs."""
    out = {}
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        for kid in map(int, f.read().split()):
            out[status(kid)["Name"]] = kid
            out.update(children(kid))
    return out


def family(g):
    def all_there():
        got = children(g.proc.pid)
        return len(got) == 3 and got
    return tap.wait_for(all_there, 60)


def from_inside(t, g, keys, other):
    """Each process, as installed."""
    kids, sanitized = family(g), g.sanitized()
    read = [inject.read_file(keys)] + ([inject.read_file(other)] if landlock() else [])
    files = [] if sanitized else read
    # It removes its socket; and sanitizers look for leaks with some of them.
    more = {"smbgate": files + ([] if sanitized else list(inject.SERVERS)),
            "smbgate-keyd": read + list(inject.SERVERS)}
    less = {"unlink"}
    if sanitized:
        less |= {"ptrace", "a signal", "a thread", "a child in a user namespace"}
    for name, pid in sorted(dict(kids, smbgate=g.proc.pid).items()):
        n = len(inject.TRIES) + len(more.get(name, ())) - len(less if name == "smbgate" else ())
        t.same(inject.tries(pid, more.get(name, ()), less if name == "smbgate" else ()), {},
               "%s: it can do none of %d things" % (name, n))
        s = status(pid)
        t.same([s["NoNewPrivs"], s["Seccomp"], s["CapInh"], s["CapAmb"]],
               ["1", "2", "0" * 16, "0" * 16], "%s: no new privileges, a filter" % name)
        if name in ("smbgate-guard", "smbgate-standby"):
            t.same([s["CapPrm"], s["CapEff"], s["CapBnd"]], [GUARDS] * 3,
                   "%s: two capabilities" % name)
        else:
            t.same([s["CapPrm"], s["CapEff"]], ["0" * 16] * 2, "%s: no capabilities" % name)
    t.same(len({os.readlink("/proc/%d/ns/net" % p) for p in kids.values()} -
               {os.readlink("/proc/self/ns/net")}), 1,
           "the guard's three are in one network namespace, which is not ours")


def guard_socket(g):
    """A copy of smbgate's socket to its guard: the pair that smbgate itself has made."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(g.proc.pid)
    try:
        for fd in os.listdir("/proc/%d/fd" % g.proc.pid):
            if not os.readlink("/proc/%d/fd/%s" % (g.proc.pid, fd)).startswith("socket:"):
                continue
            s = socket.socket(fileno=libc.syscall(438, pidfd, int(fd), 0))  # pidfd_getfd
            # not the one at which a smbgate that takes over would ask
            if (s.family, s.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET) and \
                    not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                peer, _, _ = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET,
                                                              socket.SO_PEERCRED, 12))
                if peer == g.proc.pid:
                    return s
            s.close()
    finally:
        os.close(pidfd)
    return None


def descriptors(t, g):
    """A smbgate that was taken over sends descriptors that nobody wants, to use them all up."""
    guard = family(g)["smbgate-guard"]
    count = lambda: len(os.listdir("/proc/%d/fd" % guard))  # noqa: E731
    before = count()
    with guard_socket(g) as s:
        for i in range(60):
            socket.send_fds(s, [b"X"], [s.fileno()] * (i % 3 + 1))
        # In order: what comes before this has been read when the keytab is.
        loads = g.log().count("info: keytab:")
        s.send(b"H")
        t.ok(tap.wait_for(lambda: g.log().count("info: keytab:") > loads, 60),
             "the guard reads what it is sent")
    t.ok(tap.wait_for(lambda: count() == before, 20), "and keeps no descriptor of 60 packets",
         before, count())


def installed(t, nodes, keys, other):
    g = gate.Gate(t, nodes, keytab=keys, conf='user = "%s"\n' % USER)
    os.chown(g.dir, *pwd.getpwnam(USER)[2:4])
    g.start()
    if inject.missing():
        t.skip("tries from inside each process", inject.missing())
    else:
        from_inside(t, g, keys, other)
    descriptors(t, g)
    # All of them go on, and those that may still start others do.
    os.kill(family(g)["smbgate-guard"], 9)
    t.ok(tap.wait_for(lambda: g.stats()["guard_restarts"] == 1 and g.stats()["keyd"] == "up", 60),
         "the stand-in takes over")

    def logon():
        with smb2.Conn("127.0.0.1", g.port) as c:
            return g.keyed(c.negotiate([0x0311]).login().sid)
    # Workers get their new sockets a moment later.
    t.ok(tap.wait_for(lambda: logon()[0], 20), "and a session is keyed: %s" % (logon(),))
    family(g)
    t.same(g.stop(), 0, "it ends with status 0")


def little_memory(t, nodes, keys):
    """As in a container: 4 MiB may be locked, which a keytab needs, and no more can be had."""
    g = gate.Gate(t, nodes, keytab=keys, conf='user = "%s"\n' % USER)
    g.argv_prefix = ["prlimit", "--memlock=4194304:4194304", "setpriv",
                     "--bounding-set=-sys_resource", "--"]
    g.start()
    with smb2.Conn("127.0.0.1", g.port) as c:
        c.negotiate([0x0311])
        sid = c.login().sid
        t.ok(g.keyed(sid)[0], "4 MiB may be locked: a session is keyed: %s" % (g.keyed(sid),))
    t.ok("warning: session keys may be swapped out: 4096 KiB may be locked; LimitMEMLOCK or "
         "ulimit -l must be unlimited" in g.log(), "a warning says what to raise", g.log())
    t.ok("warning: libkrb5's copies of keys may be swapped out: 4096 KiB may be locked" in g.log(),
         "and so it does for smbgate-keyd", g.log())
    locked = int(status(children(g.proc.pid)["smbgate-keyd"])["VmLck"].split()[0])
    t.ok(2048 <= locked <= 4096, "the keytab is locked all the same: %d KiB" % locked)
    loads = g.log().count("info: keytab:")
    g.hup()
    t.ok(tap.wait_for(lambda: g.log().count("info: keytab:") > loads, 60), "so can another one",
         g.log())
    t.same(g.stop(), 0, "it ends with status 0")


def main(t):
    top = node.tempdir(t)
    os.chmod(top, 0o755)
    nodes = node.cluster(t, 1)
    keys = ad.write_keytab(top + "/keys",
                           ad.user_entries({u: pw for u, (pw, _) in node.USERS.items()}))
    os.chmod(keys, 0o600)
    gadget = build_gadget(top)
    user = 'user = "%s"\n' % USER

    # The control: the same tries without confinement, as root.
    free = Inside(t, top, gadget, "free", nodes, keys, conf="confine = false\n")
    got = free.tries() if not free.gate.sanitized() else {}
    if got:
        for what in ("KEYTAB", "write /etc", "fork", "network namespace", "memory to run",
                     "thread"):
            t.same(got.get(what), "yes", "confine = false: %s can be had" % what)
    for path in ("/etc/smbgate-gadget", "/tmp/smbgate-gadget", "/tmp/smbgate-gadget2"):
        if os.path.exists(path):
            os.unlink(path)
    if got:
        t.ok(not free.gate.alive(), "confine = false: it has become /bin/true")

    g = Inside(t, top, gadget, "confined", nodes, keys, conf=user + 'pid-file = "pid"\n')
    sanitized = g.gate.sanitized()
    got = g.tries()
    t.diag(got)
    for what in FORBIDDEN:
        if sanitized and what in SANITIZERS_MAY:
            t.skip("forbidden: " + what, "sanitizers need it")
        else:
            t.ok(got[what] not in ("yes", None), "forbidden: %s (%s)" % (what, got[what]))
    t.same(got["POLICY"], "yes", "the policy can be read, or it could not be reloaded")
    t.same(got["memory"], "yes", "memory can be had")
    if sanitized:
        t.skip("no other file can be read", "a sanitizer's reports read others")
    elif not landlock():
        t.skip("no other file can be read", "this kernel has no Landlock")
    else:
        t.ok(got["OTHER"] != "yes", "no other file can be read (%s)" % got["OTHER"])
    s = status(g.gate.proc.pid)
    t.same([s["NoNewPrivs"], s["CapBnd"], s["CapPrm"], s["Seccomp"]],
           ["1", "0" * 16, "0" * 16, "2"], "no new privileges, no capabilities, a filter")
    t.same(int(s["Uid"].split()[0]), pwd.getpwnam(USER).pw_uid, "it is its user")
    threads = [status(int(x)) for x in os.listdir("/proc/%d/task" % g.gate.proc.pid)]
    t.same({x["Seccomp"] for x in threads}, {"2"}, "all %d threads are" % len(threads))

    # It serves, reloads and ends all the same.
    with smb2.Conn("127.0.0.1", g.gate.port) as c:
        c.negotiate([0x0311])
        sess = c.login()
        t.ok(g.gate.keyed(sess.sid)[0], "a session is keyed: %s" % (g.gate.keyed(sess.sid),))
        g.gate.reload(smb1="allow")
        c.echo(session=sess)
        t.ok(True, "a reload, and the client is served")
    t.same(g.gate.stop(), 0, "it ends with status 0")
    installed(t, nodes, keys, top + "/other")
    little_memory(t, nodes, keys)
    t.same([x for x in ("control.sock", "pid") if os.path.exists("%s/%s" % (g.gate.dir, x))], [],
           "its control socket and pid file are gone")


with tap.Test(deadline=120) as test:
    main(test)
