#!/usr/bin/python3
# crowd-clients.t: 48 real clients at once, right and wrong ones: as many failures as directly, none
"""smbclient, impacket and curl, all dialects and protections, right and wrong passwords, guests and
anonymous ones, each copying files in a loop; SMBGATE_SECONDS of it (CI: a few), before that a third
of it directly.  Afterwards every new session is keyed and is told policy's list; and they copy once
more while smbgate is upgraded, SMBGATE_UPGRADES times (3; 20 is a long test), every other time
without the Redis that has the map."""
import importlib.util
import os
import subprocess
import sys
import threading
import time

import ad
import clients
import gate
import node
import redis
import several
import smb2
import tap

why = node.missing() or gate.missing() or redis.missing() or clients.missing("smbclient", "curl")
if not why and importlib.util.find_spec("impacket") is None:
    why = "no impacket"
if why:
    tap.skip_all(why)

SECONDS = float(os.environ.get("SMBGATE_SECONDS", "12"))
UPGRADES = int(os.environ.get("SMBGATE_UPGRADES", "3"))
CLIENTS = 48
LISTED = ["10.9.8.7", "10.9.8.8"]
HERE = os.path.dirname(os.path.abspath(__file__))

NT1 = ["-m", "NT1", "--option=client min protocol=NT1"]
GOOD, BAD, GUEST, NOBODY = "alice%Alice-pw-1", "alice%wrong", "nosuchuser%x", "%"
# label, program, arguments, user, whether the logon is accepted
KINDS = [
    ("smbclient 3.1.1", "smbclient", ["-m", "SMB3_11"], GOOD, True),
    ("smbclient 3.1.1 signed", "smbclient", ["--client-protection=sign"], "bob%Bob-pw-2", True),
    ("smbclient 3.1.1 sealed", "smbclient", ["--client-protection=encrypt"], GOOD, True),
    ("smbclient 3.1.1 CMAC", "smbclient",
     ["--client-protection=sign", "--option=client smb3 signing algorithms=AES-128-CMAC"],
     GOOD, True),
    ("smbclient, wrong password", "smbclient", [], BAD, False),
    ("smbclient 3.0.2 sealed", "smbclient", ["-m", "SMB3_02", "--client-protection=encrypt"],
     "bob%Bob-pw-2", True),
    ("smbclient 3.0", "smbclient", ["-m", "SMB3_00"], GOOD, True),
    ("smbclient 2.1 signed", "smbclient", ["-m", "SMB2_10", "--client-protection=sign"], GOOD,
     True),
    ("smbclient 2.0.2", "smbclient", ["-m", "SMB2_02"], GOOD, True),
    ("smbclient, SMB1 first", "smbclient", ["--option=client min protocol=NT1"], GOOD, True),
    ("smbclient SMB1", "smbclient", NT1, GOOD, True),
    ("smbclient SMB1, wrong password", "smbclient", NT1, BAD, False),
    ("smbclient guest", "smbclient", [], GUEST, True),
    ("smbclient anonymous", "smbclient", ["-N"], NOBODY, True),
    ("impacket 3.0", "impacket", ["3.0"], GOOD, True),
    ("impacket 2.1", "impacket", ["2.1"], GOOD, True),
    ("impacket 2.0.2, wrong password", "impacket", ["2.02"], BAD, False),
    ("impacket SMB1", "impacket", ["NT1"], GOOD, True),
    ("curl", "curl", [], GOOD, True),
]
# their sessions have no keys; smbclient logs on once more for a listing of shares
STRANGERS, LOGONS_A_COPY = ("smbclient guest", "smbclient anonymous"), 2


class Crowd:
    """Clients that copy at the same time, each to where `targets` says, until the time is over."""

    def __init__(self, t, targets, seconds, top):
        self.targets, self.end, self.top = targets, time.monotonic() + seconds, top
        self.seconds, self.lock = seconds, threading.Lock()
        self.done, self.failed = {}, []
        self.t = t

    def said(self, label, accepted, what):
        good = what == ("ok" if accepted else "refused")
        with self.lock:
            self.done[label] = self.done.get(label, 0) + 1
            if not good:
                self.failed.append("%s: %s" % (label, what[-300:]))

    def smbclient(self, n, where, label, args, user):
        src, dst = ("%s/%d.%s" % (self.top, n, x) for x in ("src", "dst"))
        data = os.urandom(60000 + n)
        with open(src, "wb") as f:
            f.write(data)
        script = ["put %s f%d" % (src, n), "ls f%d" % n, "get f%d %s" % (n, dst), "rm f%d" % n]
        r = clients.smbclient(*where, script, *args, user="-U" + user, timeout=90)
        if "NT_STATUS_LOGON_FAILURE" in r.stdout:
            return "refused"
        return self.copied(r.returncode, data, dst, r.stdout)

    def curl(self, n, where, label, args, user):
        src, dst = ("%s/%d.%s" % (self.top, n, x) for x in ("src", "dst"))
        data = os.urandom(60000 + n)
        with open(src, "wb") as f:
            f.write(data)
        for way in ("-T", src), ("-o", dst):
            r = subprocess.run(["curl", "-sS", "-m", "60", "-u", user.replace("%", ":"), *way,
                                "smb://%s:%d/data/c%d" % (*where, n)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            if r.returncode:
                return r.stdout
        return self.copied(0, data, dst, "")

    @staticmethod
    def copied(status, data, dst, output):
        if status:
            return output
        with open(dst, "rb") as f:
            same = f.read() == data
        os.unlink(dst)
        return "ok" if same else "other bytes"

    def slot(self, n):
        label, program, args, user, accepted = KINDS[n % len(KINDS)]
        turn = n
        if program == "impacket":
            where = self.targets[n % len(self.targets)]
            p = self.t.spawn([sys.executable, HERE + "/../lab/copies.py", where[0], str(where[1]),
                              *args, *user.split("%"), str(self.end - time.monotonic())],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for line in p.stdout:
                self.said(label, accepted, line.strip())
            p.wait()
            return
        while time.monotonic() < self.end:
            where = self.targets[turn % len(self.targets)]
            turn += 1
            try:
                self.said(label, accepted,
                          getattr(self, program)(n, where, label, args, user))
            except (OSError, subprocess.SubprocessError) as e:
                self.said(label, accepted, repr(e))

    def run(self):
        threads = [threading.Thread(target=self.slot, args=(n,)) for n in range(CLIENTS)]
        for th in threads:
            th.start()
        for th in threads:
            th.join(self.seconds + 120)
        return self


def newcomers(t, g, when):
    """New sessions of all kinds are keyed, and told what policy says."""
    bad = []
    for dialect in (0x0300, 0x0302, 0x0311):
        for user, pw in (("alice", "Alice-pw-1"), ("bob", "Bob-pw-2")):
            for seal in (False, True):
                with smb2.Conn("127.0.0.1", g.port) as c:
                    c.negotiate([dialect])
                    s = c.login(user, pw, sign=not seal, seal=seal)
                    tid = c.tree(s, "IPC$")
                    told = [i.ip for i in c.ifinfo(s, tid)]
                    if g.keyed(s.sid)[0] is not True or told != LISTED:
                        bad.append((hex(dialect), user, seal, g.keyed(s.sid), told))
    t.same(bad, [], "%s: every new session is keyed and told policy's list" % when)


def upgraded(t, g, top, server):
    """Nobody notices: SMB1, and logons under way, stay where they are until they are over."""
    crowd = Crowd(t, [("127.0.0.1", g.port)], 4 * UPGRADES, top)
    olds, taken = [], 0
    # A process that a thread has started ends with that thread: the crowd has it.
    x = threading.Thread(target=crowd.run)
    x.start()
    while len(olds) < UPGRADES:
        copies, without = sum(crowd.done.values()), len(olds) % 2
        if without:
            server.kill()
        olds.append(g.takeover(gone=0))
        tap.wait_for(lambda: sum(crowd.done.values()) > copies + CLIENTS / 2 or
                     time.monotonic() > crowd.end, 60)
        taken += g.stats()["taken_over"]
        if without:
            server.start()
            several.healed(g)
    x.join()
    t.diag("%d upgrades while they copy, %d of them without Redis" % (UPGRADES, UPGRADES // 2))
    t.same(crowd.failed[:8], [], "over these: %d clients at once, %d copies, none fails"
           % (CLIENTS, sum(crowd.done.values())))
    for old in olds:
        old.wait(60)
    t.ok(taken, "%d connections were taken over" % taken)
    newcomers(t, g, "after the upgrades")
    return crowd


def main(t):
    nodes = node.cluster(t, 3, extra=["ntlm auth = ntlmv1-permitted"])
    # A machine that stands still for a moment has a node left out, and curl comes to another.
    node.share_data(nodes)
    top = node.tempdir(t)
    direct = Crowd(t, [(n.addr, n.port) for n in nodes], SECONDS / 3, top).run()
    t.same(direct.failed[:8], [], "direct: %d clients at once, %d copies, none fails"
           % (CLIENTS, sum(direct.done.values())))
    keys = ad.write_keytab(top + "/keys",
                           ad.user_entries({u: pw for u, (pw, _) in node.USERS.items()}))
    # The names of curl's files stay from one node to the next, and it takes a connection each way.
    server = redis.Server(t).start()
    g = several.proxy(t, nodes, [server.endpoint], keytab=keys, smb1="allow", no_guid="address",
                      interfaces={"lan": {"mode": "announce", "list": [
                          (a, {"speed": "10G", "rss": True}) for a in LISTED]}})
    newcomers(t, g, "before")
    closes = g.closes()
    crowd = Crowd(t, [("127.0.0.1", g.port)], SECONDS, top).run()
    t.same(crowd.failed[:8], [], "through smbgate: %d clients at once, %d copies, none fails"
           % (CLIENTS, sum(crowd.done.values())))
    t.same(sorted(k for k, *_ in KINDS if k not in crowd.done), [], "each kind has copied")
    newcomers(t, g, "after the crowd")
    more = upgraded(t, g, top, server)
    t.diag("%s; closed: %s" % (crowd.done, g.closed_since(closes)))
    stats = g.stats()
    t.diag({k: v for k, v in stats.items() if k.startswith(("channels", "logon"))})
    nobodies = sum(c.done.get(k, 0) for c in (crowd, more) for k in STRANGERS)
    t.ok(stats["channels_opaque"] <= nobodies * LOGONS_A_COPY,
         "of all accepted logons, guests and anonymous ones alone are not keyed: %d of %d copies"
         % (stats["channels_opaque"], nobodies))
    t.same([x for x in g.log().splitlines() if "is not listened to" in x][:3], [],
           "the key process listens to every worker")
    t.ok(tap.wait_for(lambda: not g.live_connections(), 60), "no connection is left")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=int(SECONDS * 3) + 4 * UPGRADES + 300) as test:
    main(test)
