#!/usr/bin/python3
# see-log.t: the log for machines: each logon is a line, nothing is missing, and its level changes
import json
import os
import re
import signal
import socket
import subprocess
import threading

import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

FAILURE = "0xc000006d"
CROWD, BAD = 50, 1000
HOSTILE = 'eve"\nuser=root event=stop {}\x1b[31m\u2028>'
LIMITS = {"accept_rate": 100000, "accept_burst": 100000, "unauthenticated": 5000,
          "unauthenticated_per_source": 5000}


class Lines:
    """The lines of a log in JSON, those since mark()."""

    def __init__(self, g):
        self.g, self.start = g, 0

    def mark(self):
        self.start = len(self.g.log())

    def all(self, event=None, **fields):
        text = self.g.log()[self.start:]
        got = [json.loads(line) for line in text[:text.rfind("\n") + 1].split("\n")[:-1]]
        return [x for x in got if event in (None, x.get("event")) and
                all(x.get(k) == v for k, v in fields.items())]

    def wait(self, event, n=1, **fields):
        tap.wait_for(lambda: len(self.all(event, **fields)) >= n, 30,
                     message=lambda: "no %s: %s" % (event, self.g.log()[-2000:]))
        return self.all(event, **fields)


def logon(port, user="alice", password="Alice-pw-1", addr="127.0.0.1"):
    """The client's address, and the session's id or the status."""
    with smb2.Conn(addr, port, timeout=60) as c:
        c.negotiate([0x0302])
        me = "%s:%d" % c.sock.getsockname()[:2]
        try:
            return me, c.login(user=user, password=password).sid
        except smb2.Status as e:
            return me, "0x%08x" % e.status


def single(t, n1, g, lines):
    t.same([logon(n1.port, password=p, addr=n1.addr)[1] == FAILURE for p in ("Alice-pw-1", "no")],
           [False, True], "directly: one logon is good, one is not")
    lines.mark()
    me, sid = logon(g.port)
    you, status = logon(g.port, password="no")
    t.same(status, FAILURE, "the same through smbgate")
    bad, = lines.wait("logon_failed")
    good, = lines.wait("logon")
    want = {"level": "info", "listener": "lan", "node": "n1", "local": "127.0.0.1:%d" % g.port}
    for what, line, fields in (
            ("logon", good, {"client": me, "session": "0x%016x" % sid, "dialect": "3.0.2",
                             "user": "alice", "protection": "opaque", **want}),
            ("logon_failed", bad, {"client": you, "user": "alice", "status": FAILURE,
                                   "reason": "wrong user name or password", **want})):
        t.same({k: line.get(k) for k in fields}, fields, what + ": its fields")
    t.ok(good["conn"] != bad["conn"] and "status" not in good, "each is of its connection")
    lines.mark()
    me, _ = logon(g.port, HOSTILE, "x")
    line, = lines.wait("logon", client=me)
    t.same(line["user"], HOSTILE.replace("\n", "?").replace("\x1b", "?"),
           "a hostile name is one value of one line")


def crowd(t, g, lines):
    """Right and wrong passwords, all at once."""
    lines.mark()
    got = [None] * CROWD
    users = [("alice", "Alice-pw-1"), ("bob", "no"), ("bob", "Bob-pw-2"), ("alice", "no")]

    def one(i):
        user, password = users[i % 4]
        got[i] = (user,) + logon(g.port, user, password)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(CROWD)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    want = sorted((me, user, *(("logon", "0x%016x" % end) if isinstance(end, int) else
                               ("logon_failed", end))) for user, me, end in got)
    tap.wait_for(lambda: len(lines.all("logon") + lines.all("logon_failed")) >= CROWD, 30)
    t.same(sorted((x["client"], x["user"], x["event"], x.get("status") or x["session"])
                  for x in lines.all("logon") + lines.all("logon_failed")), want,
           "%d logons at once: each is one line, with its user and how it ended" % CROWD)


def bad_frames(t, g, lines):
    """More lines than are written."""
    lines.mark()
    for _ in range(BAD):
        with socket.create_connection(("127.0.0.1", g.port), 60) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                s.recv(1)
            except ConnectionError:
                pass

    def known():
        return (len(lines.all("closed", code="bad_frame")) +
                sum(x["count"] for x in lines.all("suppressed", code="closed")))
    tap.wait_for(lambda: known() >= BAD, 30, message=lambda: "%d are known" % known())
    written = len(lines.all("closed", code="bad_frame"))
    t.same(known(), BAD, "%d bad frames: %d lines, and the rest is counted" % (BAD, written))
    t.ok(lines.all("suppressed", code="closed"), "some were left out")


def level(g):
    return g.ctl("log-level")


def levels(t, g, lines):
    t.same(level(g), {"level": "info", "usual_level": "info", "back_in_s": None}, "log-level: info")
    logon(g.port)
    t.same(lines.all(level="debug"), [], "nothing of level debug so far")
    g.ctl("log-level", "debug", "--for", "1h")
    now = level(g)
    t.ok(now["level"] == "debug" and now["usual_level"] == "info" and
         3000 < now["back_in_s"] <= 3600, "debug for an hour", repr(now))
    me, _ = logon(g.port)
    line = lines.wait("closed", client=me)[0]
    t.same((line["level"], line["code"]), ("debug", "client_eof"), "now there are lines of debug")
    g.reload()
    t.same(level(g)["level"], "debug", "a reload changes nothing of that")
    g.ctl("log-level", "warning", "--for", "1s")
    tap.wait_for(lambda: level(g)["level"] == "info", 30, message="it does not go back")
    t.ok(True, "it goes back by itself, and not to what was for a while as well")
    said = [x for x in lines.all() if x["msg"].startswith("log-level is warning")]
    t.same([x["by"] for x in said], [os.getuid()], "who has ordered it is in by")
    g.ctl("log-level", "error")
    lines.mark()
    logon(g.port, password="no")
    g.ctl("log-level", "info")
    t.same(lines.all("logon_failed"), [], "error: no line of a logon")
    for words, why in ((["loud"], "no such level"), (["--for", "10s"], "a time without a level")):
        t.same(g.ctl_run("log-level", *words).returncode, 2, why + ": exit 2")
    t.ok("error" in g.ask({"cmd": "log-level", "level": "debug", "for_ms": -1}), "nor a time < 0")


def orders(t, g, lines):
    lines.mark()
    g.ctl("drain", "n1", "--force")
    g.ctl("undrain", "n1")
    t.same([x["msg"] for x in lines.all("drain", by=os.getuid(), node="n1")],
           ["control: user %d orders %s n1" % (os.getuid(), x) for x in ("drain", "undrain")],
           "who ordered a drain is in the log")
    c = smb2.Conn("127.0.0.1", g.port, timeout=60).negotiate([0x0302])
    s = c.login()
    g.ctl("kill", "0x%x" % s.sid, "--force")
    c.close()
    t.ok(len(lines.wait("kill", 2, by=os.getuid())) >= 2, "and who ordered a kill")


def keyd_pid(g):
    """Of the one there is; it may be about to be one."""
    def one():
        out = subprocess.run(["pgrep", "-g", str(os.getpgid(g.proc.pid)), "-x", "smbgate-keyd"],
                             stdout=subprocess.PIPE, text=True).stdout.split()
        return out if len(out) == 1 else None
    return int(tap.wait_for(one, 30, message="no smbgate-keyd")[0])


def processes(t, g, lines):
    """The guard and smbgate-keyd write the same; one that is started again has the level of now."""
    lines.start = 0
    t.ok(lines.all("keytab", level="error"), "smbgate-keyd's line has its event", g.log()[:2000])
    g.ctl("log-level", "error")
    lines.mark()
    os.kill(keyd_pid(g), signal.SIGKILL)
    lines.wait("keyd")
    lines.wait("keytab")
    t.same([x for x in lines.all() if "sandboxed" in x["msg"]], [],
           "log-level error: the next smbgate-keyd says no more than that")
    g.ctl("log-level", "info")
    os.kill(keyd_pid(g), signal.SIGKILL)
    lines.wait("keyd", 2)
    lines.wait("keytab", 2)
    t.comes(lambda: len([x for x in lines.all() if "sandboxed" in x["msg"]]), 1,
            "info: and the one after it")


def journal(t, n1, keytab):
    """As systemd starts it: all that is written has a priority."""
    ours, theirs = socket.socketpair()
    st = os.fstat(theirs.fileno())
    os.environ["JOURNAL_STREAM"] = "%d:%d" % (st.st_dev, st.st_ino)
    g = gate.Gate(t, [n1], workers=1, keytab=keytab)
    g.start(stderr=theirs.fileno())
    del os.environ["JOURNAL_STREAM"]
    theirs.close()
    ours.settimeout(30)
    text = ""
    os.kill(keyd_pid(g), signal.SIGKILL)
    while text.count("no keys in it") < 2:
        text += ours.recv(65536).decode()
    t.same([x for x in text.split("\n")[:-1] if not re.match(r"<[3-7]>\w", x)], [],
           "the journal gets priorities, of smbgate, its guard and smbgate-keyd")
    t.ok(re.search(r"^<6>smbgate \S+ is ready$", text, re.M) and
         re.search(r"^<3>smbgate-keyd died: ", text, re.M), "each its own", text)
    t.same(g.stop(), 0, "smbgate ends as ever")


with tap.Test(deadline=200) as t:
    n1 = node.cluster(t, 1)[0]
    keytab = node.tempdir(t) + "/keytab"
    with open(keytab, "wb") as f:
        f.write(b"\x05\x02")
    os.chmod(keytab, 0o600)
    g = gate.Gate(t, [n1], workers=2, keytab=keytab, limits=LIMITS, conf="log = json\n")
    g.start()
    lines = Lines(g)
    single(t, n1, g, lines)
    crowd(t, g, lines)
    bad_frames(t, g, lines)
    lines.mark()
    levels(t, g, lines)
    orders(t, g, lines)
    processes(t, g, lines)
    g.stop()
    lines.start = 0
    t.ok(all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", x["ts"]) and x["level"] and
             x["msg"] for x in lines.all()), "every line is JSON, and has ts, level and msg")
    t.same(len(lines.all("start")), 1, "start")
    t.same(lines.all("stop")[-1]["msg"], "stopping: SIGTERM", "and stop")
    journal(t, n1, keytab)
