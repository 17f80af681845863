#!/usr/bin/python3
# keyed-keyd.t: smbgate-keyd and its guard, with real tickets of a throw-away KDC on loopback
import ctypes
import errno
import os
import queue
import random
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import gate
import kdc as realm
import node
import tap
from kdc import REALM, SERVICES, Kdc, ntlm_messages

KEYC = os.path.join(gate.build_dir(), "t/keyc")
KEYD = os.path.join(gate.build_dir(), "keyd/smbgate-keyd")

if realm.missing():
    tap.skip_all(realm.missing())
for path in KEYC, KEYD:
    if not os.access(path, os.X_OK):
        tap.skip_all("%s is not built (make check TESTS=)" % path)
if gate.missing():
    tap.skip_all(gate.missing())

class Shell:
    """t/lab/keyc: a guard, a smbgate-keyd, two workers' keyc."""

    def __init__(self, t, keytab, *args):
        self.t, self.n = t, 0
        self.err = os.path.join(node.tempdir(t), "stderr")
        with open(self.err, "ab") as err:
            self.proc = t.spawn([KEYC, keytab, *args], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=err, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        t.defer(t.kill_group, self.proc)

    def _read(self):
        for line in self.proc.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def say(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def hear(self, prefix, seconds=60):
        """The next line that begins so; others in between are dropped."""
        while True:
            line = self.lines.get(timeout=seconds)
            if line is None or line.startswith(prefix):
                return line

    def name(self):
        self.n += 1
        return "x%d" % self.n

    def ask(self, what, token, name=None, worker=0):
        name = name or self.name()
        self.say("%d %s %s %s" % (worker, name, what, token))
        return self.hear(name + " ")

    def log(self):
        with open(self.err, errors="replace") as f:
            return f.read()

    def wait_log(self, text, count=1, seconds=60):
        return tap.wait_for(lambda: self.log().count(text) >= count, seconds)

    def guard(self):
        return child(self.proc.pid, "smbgate-guard")

    def keyd(self):
        """The pid of smbgate-keyd once it is that program, or 0."""
        return child(self.guard(), "smbgate-keyd")

    def stop(self):
        self.proc.stdin.close()
        return self.proc.wait(60)


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(x) for x in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def child(pid, name):
    """The child of that name, or 0."""
    pids = children(pid) if pid else []
    return next((p for p in pids if status(p).get("Name") == name), 0)


def status(pid):
    try:
        with open("/proc/%d/status" % pid) as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    except FileNotFoundError:
        return {}


def fds_of(pid):
    out = {}
    for n in os.listdir("/proc/%d/fd" % pid):
        try:
            out[int(n)] = os.readlink("/proc/%d/fd/%s" % (pid, n))
        except FileNotFoundError:
            pass
    return out


def split(answer):
    """(key, final or mutual, principal) or the whole line."""
    m = re.match(r"\S+ ready (\S+) (\S+) (\S+)$", answer or "")
    return m.groups() if m else answer


ALICE = "alice@" + REALM


def logons(t, kdc, sh):
    """Every enctype, every manner: the key is the one that both ends have."""
    for service in SERVICES:
        for how in "plain", "mutual", "dce":
            k = kdc.tokens(how, service)
            name = "%s %s" % (service, how)
            x = sh.name()
            got = sh.ask("ap_req", k["ap_req"], x)
            if how == "plain":
                t.same(split(got), (k["key"], "final", ALICE), name)
                continue
            t.ok(split(got)[1:] == ("mutual", ALICE), name + ": opened", got)
            got = sh.ask("ap_rep", k["ap_rep"], x)
            t.same(split(got), (k["key"], "final", ALICE), name)
    k = kdc.tokens("fast", "cifs/aes256")
    t.same(split(sh.ask("ap_req", k["ap_req"])), (k["key"], "final", ALICE),
           "a clock two hours fast is for the node to mind")
    # Not waiting for the first answer.
    k, x = kdc.tokens("mutual", "cifs/aes256"), sh.name()
    sh.say("1 %s ap_req %s\n1 %s ap_rep %s" % (x, k["ap_req"], x, k["ap_rep"]))
    t.same(split(sh.hear(x + " ")), (k["key"], "final", ALICE),
           "both at once: one answer, the last")
    # One exchange used for logon after logon.
    for i in range(3):
        k = kdc.tokens("mutual", "cifs/aes256")
        a = sh.ask("ap_req", k["ap_req"], x, 1)
        b = sh.ask("ap_rep", k["ap_rep"], x, 1)
        t.same((split(a)[1:], split(b)), (("mutual", ALICE), (k["key"], "final", ALICE)),
               "logon after logon %d" % i)


def wrong(t, kdc, sh):
    k = kdc.tokens("mutual", "cifs/aes256")
    plain = kdc.tokens("plain", "cifs/aes256")
    other = kdc.tokens("mutual", "cifs/aes256")
    x = sh.name()
    sh.ask("ap_req", k["ap_req"], x)
    got = sh.ask("ap_rep", other["ap_rep"], x)
    t.ok("failed Kerberos: AP-REP" in got, "another logon's AP-REP fails", got)
    got = sh.ask("ap_rep", k["ap_rep"])
    t.ok("failed AP_REP out of order" in got, "an AP-REP alone fails", got)
    x = sh.name()
    sh.ask("ap_req", plain["ap_req"], x)
    got = sh.ask("ap_rep", k["ap_rep"], x)
    t.ok("failed AP_REP out of order" in got, "an AP-REP that nobody wanted fails", got)
    got = sh.ask("ap_req", "00" * 65537)
    t.ok("failed a token of 65537 bytes" in got, "a token that cannot be fails", got)
    got = sh.ask("ap_req", "6e" * 65536)
    t.ok("failed Kerberos: not an AP-REQ" in got, "the longest token fails over there", got)
    # The service's name and some options are nobody's to protect, and change no key.
    bad, good = 0, 0
    for i in range(0, len(plain["ap_req"]), 20):
        k = kdc.tokens("plain", "cifs/aes256", 200)
        token = bytearray.fromhex(k["ap_req"])
        token[i // 2 % len(token)] ^= 0x55
        got = split(sh.ask("ap_req", token.hex()))
        good += got[0] == k["key"]
        bad += "failed" in got
    t.ok(bad > 50 and bad + good == len(range(0, len(plain["ap_req"]), 20)),
         "altered AP-REQs fail, but for what is not protected", bad, good)
    k = kdc.tokens("plain", "cifs/aes256")
    t.same(split(sh.ask("ap_req", k["ap_req"]))[0], k["key"], "and nothing is worse for it")
    # Freed while an answer is on its way.
    x, k = sh.name(), kdc.tokens("plain", "cifs/aes256")
    sh.say("0 %s ap_req %s\n0 %s free" % (x, kdc.tokens("plain", "cifs/aes256")["ap_req"], x))
    t.same(split(sh.ask("ap_req", k["ap_req"]))[0], k["key"], "one is given up, one is not")
    # The answer to an AP-REQ that was replaced is nobody's.
    x, k = sh.name(), kdc.tokens("mutual", "cifs/aes256")
    sh.say("0 %s ap_req %s\n0 %s ap_req %s" % (
        x, kdc.tokens("plain", "cifs/aes256")["ap_req"], x, k["ap_req"]))
    t.same(split(sh.hear(x + " "))[1], "mutual", "the answer is the second one's")
    x = sh.name()
    got = sh.ask("ap_rep", k["ap_rep"], x)
    sh.say("0 %s state" % x)
    t.ok("out of order" in sh.hear(x + " "), "what failed stays so", got)


def many(t, kdc, sh):
    """More at once than a socket holds, and no more than are answered in two seconds."""
    want = {sh.name(): k for k in kdc.many("plain", "cifs/aes256", 400)}
    names = list(want)
    got, seen = {}, 0
    sh.say("\n".join("%d %s ap_req %s" % (i % 2, x, want[x]["ap_req"])
                     for i, x in enumerate(names)))
    while seen < len(names):
        line = sh.hear("x", 30)
        got[line.split()[0]] = line
        seen += 1
    good = [x for x in names if split(got.get(x, ""))[0] == want[x]["key"]]
    t.same(len(good), len(names), "400 at once")


def kvno(t, kdc, keytab, sh):
    """The machine's password changes: old tickets with old keys, new ones as soon as possible."""
    old = kdc.tokens("plain", "cifs/aes256")
    kdc.made.clear()
    kdc.kadmin("cpw -randkey -e %s -keepold cifs/aes256" % SERVICES["cifs/aes256"])
    kdc.keytab("cifs/aes256", "server.keytab")
    kdc.kinit()
    new = kdc.tokens("plain", "cifs/aes256", 100)
    got = sh.ask("ap_req", new["ap_req"])
    t.ok("failed keytab: no aes256-cts-hmac-sha1-96 key, kvno 2, for cifs/aes256@" + REALM in got
         and "kvno 1 to 1" in got, "a ticket of a newer key: the reason says which", got)
    loads = sh.log().count("info: keytab:")
    shutil.copyfile(kdc.dir + "/server.keytab", keytab + ".new")
    os.chmod(keytab + ".new", 0o600)
    os.rename(keytab + ".new", keytab)
    # Whether the guard has seen it by then or not: nobody has to wait for it.
    def good():
        k = kdc.tokens("plain", "cifs/aes256", 100)
        return split(sh.ask("ap_req", k["ap_req"]))[0] == k["key"]
    t.ok(tap.wait_for(good, 20, every=0.2), "with the new keytab it is opened", sh.log()[-1500:])
    t.same(split(sh.ask("ap_req", old["ap_req"]))[0], old["key"], "a ticket of the old key as well")
    t.ok(sh.wait_log("info: keytab:", loads + 1), "the load is logged")
    t.ok(re.search(r"keytab: \d+ entries, \d+ principals, kvno 1 2,", sh.log()), "with its kvnos",
         sh.log()[-800:])
    # The guard looks by itself.
    loads = sh.log().count("info: keytab:")
    os.utime(keytab)
    t.ok(sh.wait_log("info: keytab:", loads + 1), "a touched keytab is read again")
    loads = sh.log().count("info: keytab:")
    sh.say("reload")
    t.ok(sh.wait_log("info: keytab:", loads + 1), "so it is when somebody asks for it")


def asked_again(t, kdc, keytab, sh):
    """A ticket comes before the guard has seen the keytab: it is asked, the ticket waits."""
    kdc.kadmin("cpw -randkey -e %s -keepold cifs/rc4" % SERVICES["cifs/rc4"])
    kdc.keytab("cifs/rc4", "server.keytab")
    kdc.kinit()
    kdc.made.clear()
    new = kdc.tokens("mutual", "cifs/rc4")
    # Just after it has looked, so that a second is left, and more than one after the last question.
    loads = sh.log().count("info: keytab:")
    os.utime(keytab)
    sh.wait_log("info: keytab:", loads + 1)
    shutil.copyfile(kdc.dir + "/server.keytab", keytab)
    x = sh.name()
    sh.say("0 %s ap_req %s\n0 %s ap_rep %s" % (x, new["ap_req"], x, new["ap_rep"]))
    t.same(split(sh.hear(x + " ")), (new["key"], "final", ALICE),
           "AP-REQ and AP-REP wait for the keytab that has just been changed")


def deaf_guard(t, kdc, keytab, sh):
    """The guard hangs: tickets that no key opens wait for it once, and then hold up nobody."""
    stale = [kdc.tokens("plain", "cifs/sha2s", 40) for _ in range(40)]
    good = [kdc.tokens("plain", "cifs/aes256", 100) for _ in range(4)]
    with open(keytab, "rb") as f:
        whole = f.read()
    # Its key is there no more, as after a change that the keytab has and the ticket has not.
    loads = sh.log().count("info: keytab:")
    kdc.kadmin("ktadd -norandkey -k %s/less cifs/aes256 cifs/rc4" % kdc.dir)
    shutil.copyfile(kdc.dir + "/less", keytab)
    sh.wait_log("info: keytab:", loads + 1)
    tap.wait_for(lambda: "keytab" in sh.ask("ap_req", stale.pop()["ap_req"]), 5)
    os.kill(sh.guard(), signal.SIGSTOP)
    time.sleep(1.1)     # the last question is that old
    took = []
    for k in good:
        sh.say("\n".join("0 %s ap_req %s" % (sh.name(), stale.pop()["ap_req"]) for _ in range(8)))
        since, x = t.ran(), sh.name()
        t.same(split(sh.ask("ap_req", k["ap_req"], x))[0], k["key"], "the guard hangs: a key")
        took.append(t.ran() - since)
    t.ok(sum(took[1:]) < 1, "others wait for it no more: %s s" % ", ".join(
        "%.2f" % x for x in took), took)
    os.kill(sh.guard(), signal.SIGCONT)
    with open(keytab, "wb") as f:
        f.write(whole)
    kdc.made.clear()
    t.ok(tap.wait_for(lambda: "ready" in sh.ask("ap_req", kdc.tokens(
        "plain", "cifs/sha2s", 40)["ap_req"]), 20, every=0.2), "it goes on: and so does all")


def bad_keytabs(t, kdc, sh, keytab):
    with open(keytab, "rb") as f:
        good = f.read()

    def becomes(text, write, stay=False):
        before = sh.log().count("error: keytab:")
        write()
        sh.say("reload")
        t.ok(sh.wait_log("error: keytab:", before + 1), "%s: logged" % text, sh.log()[-500:])
        if stay:
            k = kdc.tokens("plain", "cifs/aes256", 100)
            got = sh.ask("ap_req", k["ap_req"])
            t.same(split(got)[0], k["key"], "%s: the keys of before stay in use" % text)
            return
        got = []

        def refused():      # the line may be one of before
            got[:] = [sh.ask("ap_req", kdc.tokens("plain", "cifs/aes256", 100)["ap_req"])]
            return "failed keytab: " in got[0] and text in got[0]
        t.ok(tap.wait_for(refused, 20, every=0.2), "%s: the reason" % text, *got)

    def write(data):
        with open(keytab, "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(data)

    becomes("it is empty", lambda: write(b""), True)
    becomes("not a keytab file", lambda: write(b"not a keytab at all"), True)
    becomes("the file ends in it", lambda: write(good[:-5]), True)
    becomes("no keys in it", lambda: write(b"\5\2"), True)
    becomes("larger than", lambda: write(good + bytes(600000)), True)
    write(good)
    becomes("", lambda: os.chmod(keytab, 0o644), True)
    t.ok("it has owner 0, group 0, mode 0644" in sh.log(), "a file for everybody is refused",
         sh.log()[-500:])
    os.chmod(keytab, 0o600)
    becomes("No such file", lambda: os.unlink(keytab))
    becomes("not a regular file", lambda: os.mkdir(keytab))
    os.rmdir(keytab)
    os.mkfifo(keytab)
    becomes("not a regular file", lambda: None)
    os.unlink(keytab)
    becomes("not a keytab file", lambda: write(b"nothing was good before it"))
    write(good)
    def whole():
        k = kdc.tokens("plain", "cifs/aes256", 100)
        return split(sh.ask("ap_req", k["ap_req"]))[0] == k["key"]
    t.ok(tap.wait_for(whole, 20, every=0.2),
         "and with a good one all is well", sh.log()[-500:])


def ntlm(t, kdc, sh, keytab):
    h = kdc.bob = kdc.add_user("bob", "Bob-pw-2")
    shutil.copyfile(kdc.dir + "/server.keytab", keytab)
    sh.say("reload")
    sh.wait_log("1 users' hashes")
    c, a, key = ntlm_messages("Bob", "LAB", h)
    x = sh.name()
    sh.say("0 %s challenge %s" % (x, c))
    sh.say("0 %s state" % x)
    t.same(sh.hear(x + " "), x + " nothing", "a CHALLENGE is not answered")
    t.same(split(sh.ask("auth", a, x)), (key, "final", "bob@" + REALM),
           "NTLMv2 by a keytab's entry")
    got = sh.ask("auth", a, x)
    t.ok("out of order" in got, "an AUTHENTICATE counts once", got)
    c, a, key = ntlm_messages("Bob", "LAB", bytes(16))
    x = sh.name()
    sh.say("0 %s challenge %s" % (x, c))
    got = sh.ask("auth", a, x)
    t.ok("another password" in got, "another password fails", got)
    c, a, key = ntlm_messages("alice", "LAB", h)
    x = sh.name()
    sh.say("0 %s challenge %s" % (x, c))
    got = sh.ask("auth", a, x)
    t.ok("no rc4-hmac key of that user" in got, "a user without an entry fails", got)
    t.ok(key not in sh.log() and h.hex() not in sh.log().lower(), "no key is in the log")


def cpu_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def entry_of(name, kvno, key):
    """A user's hash, as a keytab has it."""
    def text(s):
        return struct.pack(">H", len(s)) + s.encode()
    e = (struct.pack(">H", 1) + text(REALM) + text(name) +
         struct.pack(">IIBHH", 1, 0, kvno, 23, len(key)) + key)
    return struct.pack(">i", len(e)) + e


def many_users(t, kdc, where):
    """Thousands of users' hashes are of the same kind as a ticket's key: nobody waits for them."""
    rc4, aes = (kdc.many("plain", s, 20) for s in ("cifs/rc4", "cifs/aes256"))
    with open(kdc.keytab("cifs/rc4", "rc4.keytab"), "rb") as f:
        service = f.read()
    users = b"".join(entry_of("user%d" % i, 1, os.urandom(16)) for i in range(7000))
    for label, data in ("behind", service + users), ("lacking", b"\5\2" + users):
        path = os.path.join(where, label)
        with open(path, "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(data)
        sh = Shell(t, path)
        sh.hear("up")
        pid, answers = sh.keyd(), []
        before = cpu_of(pid)
        for k in rc4 + aes:
            answers.append(split(sh.ask("ap_req", k["ap_req"])))
        used = cpu_of(pid) - before
        good = sum(a[0] == k["key"] for a, k in zip(answers, rc4))
        t.same(good, len(rc4) if label == "behind" else 0,
               "the service's key %s 7,000 users': so many tickets are opened" % label)
        t.ok(used < 0.5, "and %d tickets took %.2f s of CPU" % (len(answers), used), used)
        t.same(sh.stop(), 0, "it ends")


def death(t, kdc, sh):
    """Killed in the middle: what was asked fails, what was answered stays, the next one works."""
    k = kdc.tokens("mutual", "cifs/aes256")
    done, half, asking = sh.name(), sh.name(), sh.name()
    sh.ask("ap_req", k["ap_req"], done)
    sh.ask("ap_rep", k["ap_rep"], done)
    other = kdc.tokens("mutual", "cifs/aes256", 100)
    sh.ask("ap_req", other["ap_req"], half)
    pid = sh.keyd()
    os.kill(pid, signal.SIGSTOP)
    sh.say("0 %s ap_req %s" % (asking, k["ap_req"]))
    sh.say("0 %s state" % asking)
    t.same(sh.hear(asking + " "), asking + " asking", "it is asked, and does not answer")
    os.kill(pid, signal.SIGKILL)
    t.same(sh.hear(asking + " "), asking + " failed smbgate-keyd died",
           "killed: what it owed fails")
    sh.hear("attached 1")
    t.ok(sh.wait_log("smbgate-keyd died: signal 9 (Killed); restarting in 100 ms"),
         "the guard says how it died", sh.log()[-500:])
    t.ok(tap.wait_for(lambda: sh.keyd() not in (0, pid) and sh.keyd(), 60), "there is another one")
    got = sh.ask("ap_rep", other["ap_rep"], half)
    t.ok("failed smbgate-keyd was started during the logon" in got,
         "a logon that was half done fails", got)
    sh.say("0 %s state" % done)
    t.same(split(sh.hear(done + " ")), (k["key"], "final", ALICE), "a key that was given stays")
    x, again = sh.name(), kdc.tokens("mutual", "cifs/aes256", 100)
    sh.ask("ap_req", again["ap_req"], x)
    t.same(split(sh.ask("ap_rep", again["ap_rep"], x))[0], again["key"], "and the new one works")
    # Who stood still has not waited, and finds the answer when smbgate-keyd goes on as well.
    pid, x, k = sh.keyd(), sh.name(), kdc.tokens("plain", "cifs/aes256", 100)
    os.kill(pid, signal.SIGSTOP)
    sh.say("0 %s ap_req %s\n0 %s state" % (x, k["ap_req"], x))
    t.same(sh.hear(x + " "), x + " asking", "smbgate-keyd stands still, and is asked")
    os.kill(sh.proc.pid, signal.SIGSTOP)
    began = time.monotonic()
    tap.wait_for(lambda: time.monotonic() - began > 3, 4)
    os.kill(sh.proc.pid, signal.SIGCONT)
    sh.say("0 %s state" % x)
    t.same(sh.hear(x + " "), x + " asking", "who asked stood still for 3 s: it asks on")
    os.kill(pid, signal.SIGCONT)
    t.same(split(sh.hear(x + " ")), (k["key"], "final", ALICE), "and is answered")
    # No answer at all: two seconds of the first, and none of those that come later.
    pid = sh.keyd()
    os.kill(pid, signal.SIGSTOP)
    x = sh.name()
    t.same(sh.ask("ap_req", k["ap_req"], x), x + " failed smbgate-keyd did not answer",
           "one that does not answer is not waited for")
    since = t.ran()
    for worker in 0, 1, 0, 1:
        x = sh.name()
        t.same(sh.ask("ap_req", k["ap_req"], x, worker),
               x + " failed smbgate-keyd does not answer",
               "while it is silent, worker %d asks nothing" % worker)
    t.ok(t.ran() - since < 1, "and waits for nothing", t.ran() - since)
    os.kill(pid, signal.SIGCONT)

    def good(worker):
        k = kdc.tokens("mutual", "cifs/aes256", 100)
        return split(sh.ask("ap_req", k["ap_req"], None, worker))[1] == "mutual"
    t.ok(tap.wait_for(lambda: good(0) and good(1), 20, every=0.05), "it goes on when that does")
    t.same(sh.keyd(), pid, "the same one")
    with open("/proc/%d/cmdline" % pid) as f:
        t.ok(k["key"] not in f.read(), "no secrets on its command line")


def guard_dies(t, kdc, sh):
    """The guard, its stand-in, the guard again: keys go on."""
    def good(worker):
        k = kdc.tokens("plain", "cifs/aes256", 100)
        return split(sh.ask("ap_req", k["ap_req"], None, worker))[0] == k["key"]
    for i in range(3):
        guard = sh.guard()
        stand_in = tap.wait_for(lambda: child(guard, "smbgate-standby"), 20)
        if i == 1:
            os.kill(stand_in, signal.SIGKILL)
            stand_in = tap.wait_for(
                lambda: child(guard, "smbgate-standby") not in (0, stand_in) and
                child(guard, "smbgate-standby"), 20)
            t.ok(stand_in, "the stand-in is killed: there is another one")
        os.kill(guard, signal.SIGKILL)
        t.ok(tap.wait_for(lambda: sh.guard() == stand_in and sh.keyd(), 60),
             "the guard is killed: its stand-in takes its place", children(sh.proc.pid))
        t.ok(tap.wait_for(lambda: good(0) and good(1), 60, every=0.05), "and keys go on")
        t.ok(tap.wait_for(lambda: children(sh.proc.pid) == [stand_in], 20), "nobody is left over",
             [status(p).get("Name") for p in children(sh.proc.pid)])
    t.same(sh.log().count("the guard of the keytab died: its stand-in takes over"), 3,
           "it is said each time")
    loads = sh.log().count("info: keytab:")
    sh.say("reload")
    t.ok(sh.wait_log("info: keytab:", loads + 1), "it gives the keytab, too")


class Leg:
    """What a logon does next, and how its answer must begin; None: there is none."""

    def __init__(self, what, token, answer=None):
        self.what, self.token, self.answer = what, token, answer


def made_legs(kdc, rnd, fresh=True):
    """The legs of a logon of some kind.  What comes too early comes so to a fresh exchange."""
    kind = rnd.choice(("plain", "mutual", "ntlm", "wrong", "nobody", "noise", "twice") +
                      ("early",) * fresh)
    ready = "ready %s final "
    if kind in ("plain", "mutual", "twice"):
        k = kdc.stock(rnd, "plain" if kind == "plain" else "mutual")
        legs = [Leg("ap_req", k["ap_req"],
                    ready % k["key"] if kind == "plain" else "ready ")]
        if kind != "plain":
            legs.append(Leg("ap_rep", k["ap_rep"], ready % k["key"]))
        if kind == "twice":
            legs.append(Leg("ap_rep", k["ap_rep"], "failed AP_REP out of order"))
        return legs
    if kind == "noise":
        return [Leg("ap_req", "6e" * rnd.randrange(1, 3000), "failed Kerberos: not an AP-REQ")]
    if kind == "early":
        what = rnd.choice(("ap_rep", "auth"))
        return [Leg(what, "4e" * 60, "failed %s out of order" %
                    {"ap_rep": "AP_REP", "auth": "NTLM_AUTH"}[what])]
    c, a, key = ntlm_messages("Bob" if kind != "nobody" else "alice", "LAB",
                              kdc.bob if kind != "wrong" else bytes(16), rnd.randbytes(8))
    return [Leg("challenge", c), Leg("auth", a, {
        "ntlm": ready % key, "wrong": "failed NTLM: no rc4-hmac key of that user fits",
        "nobody": "failed NTLM: the keytab has no rc4-hmac key"}[kind])]


def permuted(t, kdc, sh):
    """Legs of many logons in any order, given up at any leg: each has its own answer."""
    seed = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)
    t.diag("seed %d" % seed)
    rnd, lines, want, alive = random.Random(seed), [], {}, []
    for _ in range(int(os.environ.get("SMBGATE_LOGONS") or 400)):
        alive.append((sh.name(), rnd.randrange(2), made_legs(kdc, rnd)))
    while alive:
        i = rnd.randrange(min(len(alive), 24))
        name, worker, legs = alive[i]
        leg = legs.pop(0)
        lines.append("%d %s %s %s" % (worker, name, leg.what, leg.token))
        want[name] = leg.answer
        dice = rnd.random()
        if dice < 0.15:
            lines.append("%d %s free" % (worker, name))
            del want[name]
        elif dice < 0.2:
            # Begun anew, as something else.
            alive.append((name, worker, made_legs(kdc, rnd, False)))
        if dice < 0.2 or not legs:
            del alive[i]
    want = {name: answer for name, answer in want.items() if answer}
    got, bad = {}, set(want)

    def hear():
        name, rest = sh.hear("x", 30).split(" ", 1)
        got[name] = rest
        if name in want:
            (bad.discard if rest.startswith(want[name]) else bad.add)(name)
        return name
    # No more at a time than are answered in two seconds.
    for at in range(0, len(lines), 100):
        last = {sh.name() for _ in range(2)}
        sh.say("\n".join(lines[at:at + 100] + [
            "%d %s ap_req 6e6e" % x for x in enumerate(sorted(last))]))
        while last:
            last.discard(hear())
    while bad:
        try:
            hear()
        except queue.Empty:
            break
    t.same({name: (want[name], got.get(name)) for name in bad}, {},
           "%d legs of logons in disorder: %d answers, each the right one" % (
               len(lines), len(want)))
    t.ok("not listened to" not in sh.log(), "nobody was dropped for it", sh.log()[-500:])


def backoff(t, kdc, sh):
    k = kdc.tokens("plain", "cifs/aes256")
    c, a, _ = ntlm_messages("Bob", "LAB", bytes(16))
    early = sh.name()
    for ms in 200, 400, 800, 1600:
        pid = sh.keyd()
        os.kill(pid, signal.SIGKILL)
        t.ok(sh.wait_log("restarting in %d ms" % ms), "again: %d ms" % ms, sh.log()[-300:])
        if ms == 1600:
            os.kill(sh.guard(), signal.SIGSTOP)     # this takes as long as it takes
            x = sh.name()
            got = sh.ask("ap_req", k["ap_req"], x)
            t.ok("smbgate-keyd is not running" in got or "smbgate-keyd died" in got,
                 "in between there is none", got)
            sh.say("0 %s challenge %s" % (early, c))
            os.kill(sh.guard(), signal.SIGCONT)
        sh.hear("attached 1")
        tap.wait_for(sh.keyd, 60)
    got = sh.ask("auth", a, early)
    t.ok("failed smbgate-keyd was started during the logon" in got or "another password" in got,
         "a logon that began without one", got)
    k = kdc.tokens("plain", "cifs/aes256")
    t.same(split(sh.ask("ap_req", k["ap_req"]))[0], k["key"], "it works again")


def sandbox(t, sh):
    pid, guard = sh.keyd(), sh.guard()
    s = status(pid)
    t.same((s["Seccomp"], s["NoNewPrivs"]), ("2", "1"), "system calls are filtered")
    t.ok(int(s["VmLck"].split()[0]) >= 2048, "memory is locked", s["VmLck"])
    if os.geteuid() == 0:
        t.same((set(s["Uid"].split()), set(s["Gid"].split()), s["Groups"].split()),
               ({"61183"}, {"61183"}, []), "it is another user")
        t.same((int(s["CapEff"], 16), int(s["CapPrm"], 16)), (0, 0), "without capabilities")
        with open("/proc/%d/net/dev" % pid) as f:
            devs = [line.split(":")[0].strip() for line in f if ":" in line]
        t.ok(devs in ([], ["lo"]), "no network", devs)
    with open("/proc/%d/limits" % pid) as f:
        lim = {line[:26].strip(): line[26:].split()[:2] for line in f}
    t.same((lim["Max core file size"], lim["Max processes"]), (["0", "0"], ["0", "0"]), "limits")
    t.same(status(guard)["Name"], "smbgate-guard", "the guard's name")
    for sig in signal.SIGHUP, signal.SIGINT, signal.SIGTERM:
        os.kill(guard, sig)
        os.kill(pid, sig)
    t.ok(sh.keyd() == pid and sh.guard() == guard, "neither minds a signal that is smbgate's")
    if os.geteuid() != 0:
        closed = 0
        for what in "fd", "mem", "environ", "maps":
            try:
                os.listdir("/proc/%d/fd" % pid) if what == "fd" else \
                    open("/proc/%d/%s" % (pid, what)).read(1)
            except PermissionError:
                closed += 1
        t.same(closed, 4, "the same user cannot look into it")
        return
    # A keytab may be open for a moment.
    fds = tap.wait_for(lambda: (lambda x: len(x) == 6 and x)(fds_of(pid)), 20) or fds_of(pid)
    t.ok(sorted(fds) == [0, 1, 2, 3, 4, 5] and fds[0] == fds[1] == "/dev/null" and
         all(fds[i].startswith("socket:") for i in (3, 4, 5)), "three sockets and a log", fds)
    with open("/proc/%d/environ" % pid, "rb") as f:
        names = {v.split(b"=")[0] for v in f.read().split(b"\0") if v}
    t.ok(names <= {b"ASAN_OPTIONS", b"UBSAN_OPTIONS", b"TSAN_OPTIONS"}, "no environment", names)
    t.ok(tap.wait_for(lambda: sorted(fds_of(guard)) == [0, 1, 2, 3, 4, 5], 20),
         "the guard has a log, smbgate, smbgate-keyd and its stand-in", fds_of(guard))
    stand_in = tap.wait_for(lambda: child(guard, "smbgate-standby"), 20)
    t.ok(tap.wait_for(lambda: len(fds_of(stand_in)) == 5, 20),
         "its stand-in has a log, smbgate and the guard", fds_of(stand_in))


def calls_blocked(t, sh):
    """What the filter of that very process says to system calls: the kernel's copy is asked."""
    pid = sh.keyd()
    if os.geteuid() != 0:
        t.skip("the filter's verdicts", "not root")
        return
    verdicts = filter_of(pid)
    if verdicts is None:
        t.skip("the filter's verdicts", "the kernel does not give a filter away")
        return
    for name, nr, args in (("openat", 257, ()), ("open", 2, ()), ("socket", 41, ()),
                           ("connect", 42, ()), ("execve", 59, ()), ("execveat", 322, ()),
                           ("fork", 57, ()), ("clone", 56, ()), ("clone3", 435, ()),
                           ("ptrace", 101, ()), ("kill", 62, ()), ("unlink", 87, ()),
                           ("prctl", 157, ()), ("io_uring_setup", 425, ()),
                           ("process_vm_readv", 310, ()), ("bpf", 321, ()),
                           ("mmap with PROT_EXEC", 9, (0, 4096, 5)),
                           ("mprotect with PROT_EXEC", 10, (0, 4096, 4)),
                           ("newfstatat of a path", 262, (0, 0, 0, 0))):
        t.same(verdicts(nr, args), 0x00050000 | errno.EPERM, "blocked: " + name)
    for name, nr, args in (("read", 0, ()), ("recvmsg", 47, ()), ("mmap", 9, (0, 4096, 3)),
                           ("exit_group", 231, ())):
        t.same(verdicts(nr, args), 0x7fff0000, "allowed: " + name)


def filter_of(pid):  # needs CAP_SYS_ADMIN
    """A function (number, arguments) -> verdict out of the filters of a process, or None.  They are
    the guard's and its own, and the strictest verdict, which is the least number, is the one."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    seize, interrupt, detach, get_filter = 0x4206, 0x4207, 17, 0x420c
    if os.uname().machine != "x86_64" or libc.ptrace(seize, pid, None, None) == -1:
        return None
    progs = []
    try:
        libc.ptrace(interrupt, pid, None, None)
        os.waitpid(pid, 0x40000000)
        while True:
            n = libc.ptrace(get_filter, pid, len(progs), None)
            if n <= 0:
                break
            buf = (ctypes.c_uint64 * n)()
            libc.ptrace(get_filter, pid, len(progs), ctypes.cast(buf, ctypes.c_void_p))
            progs.append([struct.unpack("<HBBI", bytes(buf)[8 * i:8 * i + 8]) for i in range(n)])
    finally:
        libc.ptrace(detach, pid, None, None)
    if not progs:
        return None
    return lambda nr, args: min(bpf(p, struct.pack("<iIQ6Q", nr, 0xc000003e, 0, *args,
                                                   *[0] * (6 - len(args)))) for p in progs)


def bpf(prog, data):
    """Run a classic BPF program, as far as libseccomp makes use of it."""
    a = i = 0
    while True:
        code, jt, jf, k = prog[i]
        i += 1
        if code == 0x20:
            a = struct.unpack_from("<I", data, k)[0]
        elif code == 0x06:
            return k
        elif code == 0x05:
            i += k
        elif code & 7 == 5:
            true = {0x10: a == k, 0x20: a > k, 0x30: a >= k, 0x40: a & k != 0}[code & 0xf0]
            i += jt if true else jf
        elif code == 0x54:
            a &= k
        else:
            raise RuntimeError("BPF %#x" % code)


def starts(t, kdc):
    """What makes smbgate not start, and what does not."""
    sh = Shell(t, "/nonexistent/keytab")
    t.same(sh.hear("up"), "up", "without a keytab file it starts")
    got = sh.ask("ap_req", kdc.tokens("plain", "cifs/aes256")["ap_req"])
    t.ok("failed keytab: /nonexistent/keytab: No such file" in got,
         "and says why nothing is opened",
         got)
    guard, pid = sh.guard(), sh.keyd()
    sh.proc.kill()
    t.ok(tap.wait_for(lambda: not status(guard) and not status(pid), 60),
         "smbgate is killed: guard and smbgate-keyd end with it", status(guard), status(pid))
    # Memory that cannot be locked. The limit counts once smbgate-keyd is not root any more.
    limit = ["prlimit", "--memlock=65536:65536", "--", KEYC, "/nonexistent/keytab"]
    r = subprocess.run(limit, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=30)
    t.ok(r.returncode == 1 and "error: smbgate-keyd: memory for keys cannot be locked" in r.stdout,
         "memory that cannot be locked: it does not start", r.stdout)
    # A smbgate without its smbgate-keyd.
    d = node.tempdir(t)
    shutil.copy(gate.program(), d + "/smbgate")
    with open(d + "/smbgate.conf", "w") as f:
        f.write('policy = "policy.conf"\ncontrol = "control.sock"\nkeytab = "x"\n'
                'listen "lan" { address = "127.0.0.1:%d" }\n' % node.free_port("127.0.0.1"))
    with open(d + "/policy.conf", "w") as f:
        f.write('node "n1" { address = "127.0.0.1:1" }\n')
    r = subprocess.run([d + "/smbgate", "-c", d + "/smbgate.conf"], stdin=subprocess.DEVNULL,
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    t.ok(r.returncode == 1 and "a keytab needs smbgate-keyd" in r.stdout,
         "no smbgate-keyd: it does not start", r.stdout)
    # A program: the guard could not start a script's interpreter.
    shutil.copy(shutil.which("false"), d + "/smbgate-keyd")
    r = subprocess.run([d + "/smbgate", "-c", d + "/smbgate.conf"], stdin=subprocess.DEVNULL,
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    t.ok(r.returncode == 1 and
         "error: smbgate-keyd: died while starting: exit status 1" in r.stdout,
         "one that dies at once: it does not start", r.stdout)


def shown(g):
    s = g.stats()
    return s["keyd"], s["keyd_restarts"], s["guard_restarts"]


def whole(t, kdc, keytab):
    """The program smbgate itself: SIGHUP, and its end."""
    g = gate.Gate(t, [], workers=2, conf='keytab = "%s"\n' % keytab)
    g.write_policy(text='node "n1" { address = "127.0.0.1:%d" }\n' % node.free_port("127.0.0.1"))
    g.start(nodes_up=False)
    t.ok(tap.wait_for(lambda: "is ready" in g.log(), 60), "smbgate starts with a keytab", g.log())
    loads = g.log().count("info: keytab:")
    g.hup()
    t.ok(tap.wait_for(lambda: g.log().count("info: keytab:") == loads + 1, 60),
         "SIGHUP: the keytab is read again", g.log()[-500:])
    guard = child(g.proc.pid, "smbgate-guard")
    pid = child(guard, "smbgate-keyd")
    if os.geteuid() == 0:
        t.ok("libkrb5" not in open("/proc/%d/maps" % g.proc.pid).read() and
             "libkrb5" in open("/proc/%d/maps" % pid).read(), "libkrb5 is in smbgate-keyd alone")
    os.kill(pid, signal.SIGKILL)
    t.ok(tap.wait_for(lambda: g.log().count("info: keytab:") == loads + 2, 60), "killed: restarted",
         g.log()[-500:])
    t.ok(tap.wait_for(lambda: shown(g) == ("up", 1, 0), 20),
         "show stats has the state, and the restart", shown(g))
    tap.wait_for(lambda: child(g.proc.pid, "smbgate-guard") == guard and
                 child(guard, "smbgate-standby"), 20)
    os.kill(guard, signal.SIGKILL)
    t.ok(tap.wait_for(lambda: g.log().count("info: keytab:") == loads + 3, 60),
         "the guard is killed: another one starts smbgate-keyd", g.log()[-500:])
    t.ok(tap.wait_for(lambda: shown(g) == ("up", 2, 1), 20), "and that is shown", shown(g))
    guard = tap.wait_for(lambda: child(g.proc.pid, "smbgate-guard"), 20)
    pid = tap.wait_for(lambda: child(guard, "smbgate-keyd"), 20)
    os.kill(pid, signal.SIGSTOP)
    t.ok(tap.wait_for(lambda: shown(g)[0] == "silent", 5), "one that hangs is shown", shown(g))
    t.ok(tap.wait_for(lambda: shown(g) == ("up", 3, 1), 60, every=0.05), "it is started again",
         shown(g))
    t.ok("smbgate-keyd did not answer for 5 s: killed; restarting in" in g.log(), "after 5 s",
         g.log()[-500:])
    stand_in = tap.wait_for(lambda: child(guard, "smbgate-standby"), 20)
    os.kill(stand_in, signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    os.kill(stand_in, signal.SIGKILL)
    t.ok(tap.wait_for(lambda: "the guard of the keytab and its stand-in died" in g.log(), 60),
         "both are killed: that is said", g.log()[-500:])
    t.ok(g.alive(), "and smbgate goes on")
    g.stop()
    g.start(nodes_up=False)
    tap.wait_for(lambda: g.log().count("is ready") == 2, 60)
    guard = tap.wait_for(lambda: child(g.proc.pid, "smbgate-guard"), 20)
    pids = tap.wait_for(lambda: len(children(guard)) == 2 and [guard, *children(guard)], 20)
    g.stop()
    t.ok(tap.wait_for(lambda: not any(map(node.alive, pids)), 20), "all end together", pids)


with tap.Test(deadline=240) as t:
    kdc = Kdc(t)
    where = node.tempdir(t)
    keytab = where + "/cluster.keytab"
    shutil.copyfile(kdc.dir + "/server.keytab", keytab)
    os.chmod(keytab, 0o600)
    sh = Shell(t, keytab)
    if sh.hear("up") is None:
        t.bail("keyc does not start: " + sh.log())
    sandbox(t, sh)
    calls_blocked(t, sh)
    logons(t, kdc, sh)
    wrong(t, kdc, sh)
    many(t, kdc, sh)
    kvno(t, kdc, keytab, sh)
    asked_again(t, kdc, keytab, sh)
    deaf_guard(t, kdc, keytab, sh)
    bad_keytabs(t, kdc, sh, keytab)
    ntlm(t, kdc, sh, keytab)
    permuted(t, kdc, sh)
    death(t, kdc, sh)
    backoff(t, kdc, sh)
    guard_dies(t, kdc, sh)
    permuted(t, kdc, sh)
    t.ok("out of order" not in sh.log() and "ERROR: " not in sh.log() and
         "runtime error" not in sh.log(), "a clean log", sh.log()[-3000:])
    t.same(sh.stop(), 0, "it ends")
    many_users(t, kdc, where)
    starts(t, kdc)
    whole(t, kdc, keytab)
