#!/usr/bin/python3
# keyed-crowd.t: many log on at once, some wrongly, some halfway: whom the node accepts is keyed
import os
import random
import signal
import subprocess
import time

import ad
import clients
import gate
import krb
import node
import smb2
import tap

why = gate.missing() or node.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

CROWD = 24
SECONDS = float(os.environ.get("SMBGATE_SECONDS") or 0)
SEED = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)


def family(pid, out=None):
    """Processes that a process has started, and those that these have: {name: process id}."""
    out = {} if out is None else out
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            kids = [int(x) for x in f.read().split()]
        for kid in kids:
            with open("/proc/%d/comm" % kid) as f:
                out[f.read().strip()] = kid
            family(kid, out)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return out


def cpu(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """A real smbclient that logs on, looks, and leaves."""

    def __init__(self, t, g, wrong):
        self.wrong = wrong
        who = "-Ualice%not-it" if wrong else clients.ALICE
        self.proc = t.spawn(["smbclient", "//nas/data", "-I", "127.0.0.1", "-p", str(g.port), "-s",
                             "/dev/null", who, "-c", "ls"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clients.ENV,
                            text=True)

    def end(self):
        """Was it let in?  None: that is not what ought to be."""
        self.out, _ = self.proc.communicate(timeout=120)
        good = self.proc.returncode == 0
        return good if good is not self.wrong else None


def connect(g):
    return smb2.Conn("127.0.0.1", g.port).negotiate([0x0311])


def give_up(g, kind, leg):
    """A logon that is left after so many of its requests, without a look at the last answer."""
    auth, token, sid = smb2.Ntlm("alice", "Alice-pw-1"), None, 0
    with connect(g) as c:
        for i in range(leg):
            blob = krb.forged(3000) if kind == "ticket" else auth.step(token)
            c.send_frame(c.setup_request(blob, sid=sid))
            if i < leg - 1:
                m = smb2.split(c.recv_frame())[0]
                c.credits += m.credits
                token, sid = m.secbuf, m.sid


def crowd(t, g, rnd, meanwhile=lambda: None):
    """(how many were let in, what went wrong)."""
    kinds = [False, False, True] * (CROWD // 3)
    rnd.shuffle(kinds)
    ps = [Client(t, g, wrong) for wrong in kinds]
    for kind, leg in (("ntlm", 1), ("ntlm", 2), ("ticket", 1)) * 4:
        give_up(g, kind, leg)
    meanwhile()
    ends = [(p.end(), p.out[-300:]) for p in ps]
    return sum(good is True for good, _ in ends), [out for good, out in ends if good is None]


def later(g, n=8):
    """New sessions of all workers: what is said of those that are not keyed."""
    out = []
    for _ in range(n):
        with connect(g) as c:
            state = g.keyed(c.login().sid)
            out += [state] if not state[0] else []
    return out


def counted(g):
    s = g.stats()
    return s["channels_keyed"], s["channels_opaque"]


def at_ease(t, g, rnd):
    end, turns, users = time.monotonic() + SECONDS, 0, 0
    keyd = family(g.proc.pid)["smbgate-keyd"]
    before, used = counted(g), cpu(keyd)
    while turns == 0 or time.monotonic() < end:
        good, bad = crowd(t, g, rnd)
        turns, users = turns + 1, users + good
        if bad or counted(g)[1] != before[1]:
            break
    now = counted(g)
    t.same((bad, good), ([], CROWD * 2 // 3), "%d of %d at once are let in, as the node says"
           % (good, CROWD))
    t.ok(now[0] - before[0] >= users and now[1] == before[1],
         "%d let in: all keyed" % users, before, now)
    t.same(later(g), [], "so are those that come later")
    asked = g.stats()["keyd_answers"]
    t.diag("seed %d, %d turns; smbgate-keyd: %.0f us of CPU for each of %d logons" % (
        SEED, turns, 1e6 * (cpu(keyd) - used) / max(1, asked), asked))


def in_trouble(t, g, rnd):
    def keyd_killed():
        os.kill(family(g.proc.pid)["smbgate-keyd"], signal.SIGKILL)

    def guard_killed():
        kids = tap.wait_for(lambda: "smbgate-standby" in family(g.proc.pid) and
                            family(g.proc.pid), 20)
        os.kill(kids["smbgate-guard"], signal.SIGKILL)

    def keyd_stopped():
        os.kill(family(g.proc.pid)["smbgate-keyd"], signal.SIGSTOP)
    for name, strike in (("smbgate-keyd is killed", keyd_killed),
                         ("the guard is killed", guard_killed),
                         ("smbgate-keyd is stopped", keyd_stopped)):
        before = g.stats()
        good, bad = crowd(t, g, rnd, strike)
        t.same((good, bad), (CROWD * 2 // 3, []), name + " meanwhile: all the same are let in")
        t.ok(tap.wait_for(lambda: g.stats()["keyd_restarts"] > before["keyd_restarts"] and
                          g.stats()["keyd"] == "up", 60, every=0.1), "it comes back", g.stats())
        # Workers get their new sockets a moment later.
        tap.wait_for(lambda: not later(g), 20)
        t.same(later(g), [], "and all that come later are keyed")


with tap.Test(deadline=int(SECONDS) + 240) as t:
    n = node.Node(node.Lab(t)).start()
    keytab = ad.write_keytab(node.tempdir(t) + "/keytab", ad.user_entries(
        {user: password for user, (password, _) in node.USERS.items()}))
    g = gate.Gate(t, [n], keytab=keytab).start()
    rnd = random.Random(SEED)
    at_ease(t, g, rnd)
    in_trouble(t, g, rnd)
    t.same(g.log().count("not listened to"), 0, "no worker was dropped")
