#!/usr/bin/python3
# daemon-log.t: who reads the log may hang, go and return: lines are lost and said, clients are not
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys

import gate
import node
import smb2
import tap

why = node.missing()
if why is None and subprocess.run(["unshare", "-mn", "true"]).returncode:
    why = "no namespaces here"
if why:
    tap.skip_all(why)
if "SMBGATE_TEST_MOUNTNS" not in os.environ:    # /dev/log is this test's own
    os.execvpe("unshare", ["unshare", "-mn", "--propagation", "private", sys.executable,
                           os.path.abspath(__file__)], dict(os.environ, SMBGATE_TEST_MOUNTNS="1"))

CLIENTS = 10
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEV_LOG = "/dev/log"


def private_dev(t):
    """A /dev with nothing but what programs cannot do without."""
    d = node.tempdir(t)
    subprocess.run(["mount", "-t", "tmpfs", "dev", d], check=True)
    for name in DEVICES:
        open(d + "/" + name, "w").close()
        subprocess.run(["mount", "--bind", "/dev/" + name, d + "/" + name], check=True)
    os.mkdir(d + "/shm")
    subprocess.run(["mount", "--rbind", d, "/dev"], check=True)


def clients(t, g):
    out = []
    for _ in range(CLIENTS):
        c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
        c.login()
        t.defer(c.close)
        out.append(c)
    return out


def working(conns):
    n = 0
    for c in conns:
        try:
            c.echo()
            n += 1
        except (OSError, EOFError, smb2.Closed):
            pass
    return n


def nonsense(g, n):
    """Connections that are each worth a line."""
    for _ in range(n):
        with socket.create_connection(("127.0.0.1", g.port), 30) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            s.settimeout(30)
            try:
                while s.recv(100):
                    pass
            except ConnectionError:
                pass


def read_all(fd):
    """What is there now."""
    out = b""
    while select.select([fd], [], [], 0)[0]:
        got = os.read(fd, 65536)
        if not got:
            break
        out += got
    return out.decode(errors="replace")


def dropped(text):
    return sum(int(n) for n in re.findall(r"nobody read the log: (\d+)\n", text))


def hung_reader(t, what, n1, reader, writer):
    """Nobody reads what smbgate says on stderr."""
    g = gate.Gate(t, [n1], workers=2)
    g.start(stderr=writer)
    os.close(writer)
    conns = clients(t, g)
    before = g.closes()
    nonsense(g, 150)
    t.comes(lambda: sum(g.closed_since(before).values()), 150,
            what + ": every bad connection is ended")
    t.same(working(conns), CLIENTS, what + ": all clients work while nobody reads the log")
    t.same(g.ctl_run("show", "nodes").returncode, 0, what + ": the control socket answers")
    first = read_all(reader)
    t.ok("closed in stage" in first or "logon of alice" in first,
         what + ": what had room was kept", first[-500:])
    text = [first]

    def accounted():
        lines = len(re.findall(r"closed in stage", text[0]))
        left_out = sum(int(n) for n in re.findall(r"(\d+) lines left out", text[0]))
        return lines + dropped(text[0]) + left_out

    def said():
        text[0] += read_all(reader)
        return accounted() >= 150 and text[0].endswith("\n")
    t.ok(tap.wait_for(said, 20), what + ": the reader is back, and what is missing is said "
         "although nothing else is", text[0][-500:])
    silent = dropped(text[0])
    nonsense(g, 1)

    def goes_on():
        text[0] += read_all(reader)
        return accounted() >= 151 and text[0].endswith("\n")
    t.ok(tap.wait_for(goes_on, 20),
         what + ": every line was written or is accounted for (%d dropped)" % silent,
         text[0][-500:])
    t.same(dropped(text[0]), silent, what + ": with the reader back, no line is dropped")
    t.same(g.stop(), 0, what + ": and it ends as ever")
    os.close(reader)


class Daemon:
    """smbgate -d, with its log where syslog is."""

    def __init__(self, t, n1):
        self.g = g = gate.Gate(t, [n1], workers=1, conf='pid-file = "pid"\n')
        self.err = open(g.dir + "/stderr", "wb")
        r = subprocess.run([gate.program(), "-d", "-c", g.conf_file], stdin=subprocess.DEVNULL,
                           stdout=self.err, stderr=self.err, timeout=20)
        t.same(r.returncode, 0, "it goes to the background")
        with open(g.dir + "/pid") as f:
            self.pid = int(f.read())
        t.defer(self.stop)

    def stop(self):
        self.err.close()
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        tap.wait_for(lambda: not os.path.exists("/proc/%d" % self.pid), 30,
                     message="smbgate -d does not end")

    def break_policy(self):
        """A line for the log that its reader cannot be without."""
        with open(self.g.policy_file, "w") as f:
            f.write("nonsense\n")
        self.g.ctl_run("reload")


class Syslog:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(DEV_LOG)
        os.chmod(DEV_LOG, 0o666)
        self.s.setblocking(False)
        self.text = ""

    def read(self):
        while True:
            try:
                self.text += self.s.recv(8192).decode(errors="replace") + "\n"
            except BlockingIOError:
                return self.text

    def close(self):
        self.s.close()
        os.unlink(DEV_LOG)


def no_syslog(t, n1):
    d = Daemon(t, n1)
    t.ok("no syslog at /dev/log" in d.g.log(), "without /dev/log: that is said", d.g.log())
    d.break_policy()
    t.ok(tap.wait_for(lambda: "policy.conf:" in d.g.log(), 20),
         "without /dev/log: stderr is the last resort", d.g.log())
    d.stop()


def syslog(t, n1):
    s = Syslog()
    d = Daemon(t, n1)
    t.ok(tap.wait_for(lambda: "is ready" in s.read(), 20), "syslog: hears of the start", s.text)
    t.ok(re.search(r"^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d smbgate\[%d\]: "
                   r"smbgate \S+ is ready$" % d.pid, s.text, re.M),
         "syslog: in the form of RFC 3164", s.text)
    conns = clients(t, d.g)
    nonsense(d.g, 150)      # the queue of a datagram socket holds few
    t.same(working(conns), CLIENTS, "syslog hangs: all clients work")
    t.same(d.g.ctl_run("show", "nodes").returncode, 0, "syslog hangs: the control socket answers")
    t.ok(tap.wait_for(lambda: dropped(s.read()), 20),
         "syslog is back: what is missing is said although nothing else is", s.text[-500:])
    s.close()
    nonsense(d.g, 3)        # while there is none at all
    s = Syslog()

    def found():
        nonsense(d.g, 1)    # the lines of this second may be used up
        return "closed in stage" in s.read()
    t.ok(tap.wait_for(found, 20, every=0.2), "syslog was started again: it is found", s.text)
    t.same(working(conns), CLIENTS, "syslog was started again: all clients work")
    d.stop()
    s.close()


with tap.Test(deadline=150) as t:
    private_dev(t)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/sys/net/unix/max_dgram_qlen", "w") as f:   # of this network alone
        f.write("10")
    n1, = node.cluster(t, 1)
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
    hung_reader(t, "pipe", n1, r, w)
    a, b = socket.socketpair()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    hung_reader(t, "socket", n1, a.detach(), b.detach())
    no_syslog(t, n1)
    syslog(t, n1)
