#!/usr/bin/python3
# contrib-quickstart.t: contrib/quickstart does what the README says, and leaves nothing behind
import os
import re
import shutil
import subprocess

import node
import tap

why = node.missing()
if why:
    tap.skip_all(why)

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A user's shell has none of what contrib/test sets; all that is temporary goes to one place.
ENV = {k: v for k, v in os.environ.items() if not k.endswith("SAN_OPTIONS") and k != "srcdir"
       and k != "SMBGATE_BUILD" and not k.startswith("MAKE")}

# The same programs in a third of the time; make distcheck compiles with -O2.
ENV["CFLAGS"] = "-O0"


def copy_tree(to):
    """What a fresh clone would have, with the changes that are not committed yet."""
    r = subprocess.run(["git", "-c", "safe.directory=*", "-C", SOURCE, "ls-files", "-z", "-co",
                        "--exclude-standard"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) \
        if shutil.which("git") and os.path.exists(SOURCE + "/.git") else None
    if r is None or r.returncode or not r.stdout:
        shutil.copytree(SOURCE, to, ignore=shutil.ignore_patterns(
            "build", ".git", "*.o", "*.a", "config.status", "Makefile", "autom4te.cache"))
        return
    for name in filter(None, r.stdout.decode().split("\0")):
        if os.path.exists(os.path.join(SOURCE, name)):
            dst = os.path.join(to, name)
            os.makedirs(os.path.dirname(dst), exist_ok=True)
            shutil.copy2(os.path.join(SOURCE, name), dst, follow_symlinks=False)


def processes(word):
    """Command lines that contain the word."""
    out = []
    for p in os.listdir("/proc"):
        if p.isdigit() and int(p) != os.getpid():
            try:
                with open("/proc/%s/cmdline" % p, "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in line:
                out.append("%s %s" % (p, line))
    return out


def users():
    with open("/etc/passwd") as f:
        return f.read()


def run(t, argv, seconds=900):
    """Like a user's command without a terminal: exit status and output, through a file, because
    what stays running must not hold anything open that we wait for."""
    path = t.top + "/out"
    with open(path, "w") as out:
        p = t.spawn(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=ENV,
                    cwd="/")
        p.wait(seconds)
    with open(path, errors="replace") as f:
        return p.returncode, f.read()


def nothing_left(t, tmp, what):
    left = tap.wait_for(lambda: not processes(tmp + "/smbgate-"), 20)
    t.ok(left, "%s: no process is left" % what, *processes(tmp + "/smbgate-"))
    t.comes(lambda: os.listdir(tmp), [], "%s: no file is left" % what)


def looks_right(t, out, what):
    for pattern, name in (
            (r"16 MiB there and back: identical", "the file is the same after both ways"),
            (r"(?m)^ *n1 +up\b.*127\.0\.0\.11:", "n1 is shown as up"),
            (r"(?m)^ *n2 +up\b.*127\.0\.0\.12:", "n2 is shown as up"),
            (r"(?m)^ *10\.1\.0\.5 +.*25 Gbit/s", "the client that asked was told 10.1.0.5"),
            (r"(?m)^ *0x.* n[12] .*10\.1\.0\.5", "show sessions says so"),
            (r"(?ms)show clients.* n[12] .*10\.1\.0\.5", "show clients says so")):
        t.ok(re.search(pattern, out), "%s: %s" % (what, name), out)
    t.same(len(re.findall(r"(?m)^ *0x", out)), 2, "%s: two sessions are shown" % what)
    told = out[out.find("Which client is on which node"):]
    t.ok("10.1.0.100" not in told, "%s: nobody was told the denied address" % what, told)


with tap.Test(deadline=240) as t:
    t.top = node.tempdir(t)
    tree, tmp = t.top + "/tree", t.top + "/tmp"
    os.makedirs(tmp)
    ENV["TMPDIR"] = tmp
    copy_tree(tree)
    quickstart = tree + "/contrib/quickstart"
    before = users()

    status, out = run(t, [quickstart, "--nonsense"])
    t.ok(status == 2 and "usage:" in out, "an unknown option is refused", out)
    status, out = run(t, [quickstart, "--no-install"])
    t.same(status, 0, "quickstart ends well")
    looks_right(t, out, "quickstart")
    nothing_left(t, tmp, "quickstart")

    status, out = run(t, [quickstart, "--keep", "--no-install"])
    stop = re.search(r"(?m)^ *stop +(/\S+/stop)$", out)
    if stop:
        t.defer(subprocess.run, ["sh", "-c", "! [ -e %s ] || %s" % ((stop.group(1),) * 2)])
    t.same(status, 0, "--keep ends well")
    looks_right(t, out, "--keep")
    t.ok(stop, "--keep says how to stop it", out)
    connect = re.search(r"(?m)^ *connect +(smbclient .*)$", out)
    t.ok(connect, "--keep says how to connect", out)
    if connect and stop:
        s, got = run(t, connect.group(1).split() + ["-c", "ls"])
        t.ok(s == 0 and re.search(r"(?m)^ +file +A +16777216", got),
             "smbclient as printed finds the file that was put before", got)
        ask = re.search(r"(?m)^ *ask +(.*)$", out).group(1)
        s, got = run(t, ask.split())
        t.ok(s == 0 and "10.1.0.5" in got, "ask-interfaces as printed is told", got)
        policy = re.search(r"edit (/\S+/policy.conf)", out).group(1)
        with open(policy) as f:
            text = f.read()
        with open(policy, "w") as f:
            f.write(text.replace("10.1.0.5", "10.1.0.77"))
        s, got = run(t, re.search(r"(?m)^ *(/\S+ -s \S+ reload)$", out).group(1).split())
        t.same(s, 0, "reload as printed")
        s, got = run(t, ask.split())
        t.ok("10.1.0.77" in got and "10.1.0.5 " not in got, "the edited policy is in force", got)
        s, got = run(t, re.search(r"(?m)^ *look +(.*)$", out).group(1).split())
        t.ok(s == 0 and len(re.findall(r"(?m)^n[12] +up ", got)) == 2,
             "smbgatectl as printed shows both nodes", got)
        s, got = run(t, [stop.group(1)])
        t.ok(s == 0, "the stop script ends well", got)
    nothing_left(t, tmp, "--keep")
    t.ok(users() == before, "the machine's users are as they were")
