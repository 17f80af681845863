# clients.py: run smbclient and smbtorture against an address, and read their results
import os
import re
import shutil
import subprocess

ALICE = "-Ualice%Alice-pw-1"
ENV = dict(os.environ, LC_ALL="C.UTF-8", KRB5_CONFIG="/dev/null")


def missing(*programs):
    for p in programs:
        if shutil.which(p) is None:
            return "no %s" % p
    return None


def smbclient(addr, port, script, *args, share="data", user=ALICE, timeout=60, cwd=None):
    """Run a script of smbclient commands (a list or one string); the CompletedProcess."""
    if not isinstance(script, str):
        script = "; ".join(script)
    argv = ["smbclient", "//nas/" + share, "-I", addr, "-p", str(port), "-s", "/dev/null",
            "-n", "LABCLIENT", user, *args, "-c", script]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENV, cwd=cwd,
                          text=True, errors="replace", timeout=timeout, stdin=subprocess.DEVNULL)


def smbtorture(addr, port, *tests, share="torture", timeout=300, options=()):
    """Run tests; ({full name: (result, text)}, whole output)."""
    argv = ["smbtorture", "//%s/%s" % (addr, share), "-p", str(port), ALICE, "-s", "/dev/null",
            "--fullname", "--seed=1", *options, *tests]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENV, text=True,
                       errors="replace", timeout=timeout, stdin=subprocess.DEVNULL)
    return results(r.stdout), r.stdout


def results(text):
    out, now = {}, None
    for line in text.splitlines():
        m = re.match(r"(success|failure|skip|error|expected failure): (\S+)(.*)", line)
        if m:
            now = m.group(2)
            out[now] = (m.group(1), "")
            if not m.group(3).rstrip().endswith("["):
                now = None
        elif line == "]":
            now = None
        elif now:
            out[now] = (out[now][0], out[now][1] + line + "\n")
        else:
            m = re.match(r"test: (\S+)", line)
            if m:
                out.setdefault(m.group(1), ("no result", ""))
    return out


class Copy:
    """smbclient, and a file that it copies bit by bit, and that is open all the time."""

    def __init__(self, t, addr, port, name, share="data"):
        self.name, self.sent = name, b""
        self.proc = t.spawn(["smbclient", "//nas/" + share, "-I", addr, "-p", str(port), "-s",
                             "/dev/null", ALICE, "-c", "put - " + name],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env=ENV)

    def feed(self, n):
        data = os.urandom(n)
        self.proc.stdin.write(data)
        self.proc.stdin.flush()
        self.sent += data

    def end(self, seconds=60):
        """The file is over: smbclient's exit status, and what it said."""
        said = self.proc.communicate(timeout=seconds)[0].decode()
        return self.proc.returncode, said
