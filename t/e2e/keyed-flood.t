#!/usr/bin/python3
# keyed-flood.t: strangers and users keep smbgate-keyd's door busy: others' logons are keyed in time
"""Strangers send tickets of 60 KB, which the node refuses; a source of users logs on without end,
a crowd, so that smbgate-keyd has a queue.  Twenty others log on, one after the other."""
import os
import threading
import time

import ad
import gate
import krb
import node
import smb2
import tap

why = gate.missing() or node.missing()
if why:
    tap.skip_all(why)

SIZE, STRANGERS, HONEST = 60000, 4, 20
USERS = 8               # connections of the one source that logs on without end
IN_FLIGHT = 6           # logons at once on each of these
WAIT_US = 100000
MORE = 0xC0000016


def connect(g, src):
    return smb2.Conn("127.0.0.1", g.port, src=src, timeout=30).negotiate([0x0311])


class Flood:
    """Threads that go on until they are told to end."""

    def __init__(self, g):
        self.g, self.ended, self.n, self.bad = g, False, {"tickets": 0, "logons": 0}, []
        self.threads = []

    def start(self, what, srcs):
        for src in srcs:
            th = threading.Thread(target=self.keep_on, args=(what, src), daemon=True)
            self.threads.append(th)
            th.start()

    def keep_on(self, what, src):
        while not self.ended:
            try:
                what(src)
            except smb2.Closed:
                pass
            except (OSError, smb2.Status, smb2.Broken) as e:
                self.bad.append(repr(e))
                return

    def strangers(self, src):
        """A dozen at once on one connection, as long as the node takes it."""
        blob = krb.forged(SIZE)
        with connect(self.g, src) as c:
            while c.credits < 16:
                c.echo()
            out = 0
            while not self.ended:
                while out < 12 and c.credits > 1:
                    c.send_frame(c.setup_request(blob))
                    out += 1
                for m in smb2.split(c.recv_frame()):
                    c.credits += m.credits
                    out -= 1
                    self.n["tickets"] += 1
                    if m.status == 0:
                        raise smb2.Broken("a stranger is let in")

    def users(self, src):
        """Logons side by side: the second legs go out together."""
        with connect(self.g, src) as c:
            while c.credits < IN_FLIGHT + 2:
                c.echo()
            for _ in range(20):
                if self.ended:
                    return
                auths = [smb2.Ntlm("alice", "Alice-pw-1") for _ in range(IN_FLIGHT)]
                first = self.legs(c, [c.setup_request(a.step(None)) for a in auths])
                for m in first:
                    if m.status != MORE:
                        raise smb2.Broken("first leg: 0x%08X" % m.status)
                last = self.legs(c, [c.setup_request(a.step(m.secbuf), sid=m.sid)
                                     for a, m in zip(auths, first)])
                for m in last:
                    if m.status:
                        raise smb2.Broken("second leg: 0x%08X" % m.status)
                self.n["logons"] += len(last)
                for m in last:
                    c.send_frame(c.build(smb2.LOGOFF, b"\4\0\0\0", sid=m.sid))
                for _ in last:
                    for m in smb2.split(c.recv_frame()):
                        c.credits += m.credits

    @staticmethod
    def legs(c, requests):
        """All of them at once; the answers in the order of the requests."""
        for r in requests:
            c.send_frame(r)
        got = {}
        while len(got) < len(requests):
            for m in smb2.split(c.recv_frame()):
                c.credits += m.credits
                got[m.mid] = m
        return [got[smb2.Msg(r).mid] for r in requests]

    def end(self):
        self.ended = True
        for th in self.threads:
            th.join(60)


def others(t, g, name, src="127.0.5.%d"):
    """20 of 20 are keyed.  How many us smbgate-keyd was waited for meanwhile, by logon."""
    keyed, took, waits = [], [], []
    for i in range(HONEST):
        start, before = time.monotonic(), g.stats()["keyd_wait_us"]
        with connect(g, src % (i + 1)) as c:
            s = c.login(sign=True)
            took.append(time.monotonic() - start)
            waits.append(g.stats()["keyd_wait_us"] - before)
            keyed.append(g.keyed(s.sid))
    t.same([k for k in keyed if not k[0]], [], "%s: %d of %d logons are keyed" % (
        name, len(keyed), HONEST))
    took.sort()
    t.diag("%s: a logon took %.0f ms, %.0f ms at most" % (name, 1e3 * took[HONEST // 2],
                                                          1e3 * took[-1]))
    return sorted(waits)


def main(t):
    n = node.Node(node.Lab(t)).start()
    keytab = ad.write_keytab(node.tempdir(t) + "/keytab", ad.user_entries(
        {user: password for user, (password, _) in node.USERS.items()}) + [
            ad.Entry("cifs/h%d@LAB.EXAMPLE" % i, 1, ad.AES256, os.urandom(32)) for i in range(12)])
    # One worker: all of them stand in one queue.
    g = gate.Gate(t, [n], keytab=keytab, workers=1).start()
    others(t, g, "quiet")

    before = g.stats()
    flood = Flood(g)
    flood.start(flood.strangers, ["127.0.6.%d" % (i + 1) for i in range(STRANGERS)])
    t.ok(tap.wait_for(lambda: flood.n["tickets"] > 50, 60), "strangers' tickets come")
    # On a machine that does other things, too, once more.
    for rounds in range(1, 4):
        waits = others(t, g, "tickets of 60 KB")
        if waits[-1] < WAIT_US:
            break
    flood.end()
    now = g.stats()
    t.same(flood.bad, [], "%d of the strangers' %d KB were refused by the node" % (
        flood.n["tickets"], SIZE // 1000))
    t.same(now["keyd_answers"] - before["keyd_answers"], HONEST * rounds,
           "smbgate-keyd was asked for the others alone")
    t.ok(waits[-1] < WAIT_US, "none of %d waited for it for 100 ms: p50 %d us, p99 %d us" % (
        HONEST, waits[HONEST // 2], waits[-1]), waits)
    t.same([now[k] - before[k] for k in ("keyd_timeouts", "channels_opaque", "keyd_restarts")],
           [0, 0, 0], "nothing timed out")

    before = g.stats()
    flood = Flood(g)
    flood.start(flood.users, ["127.0.7.1"] * USERS)
    t.ok(tap.wait_for(lambda: flood.n["logons"] > 50, 60), "users of one source log on without end")
    others(t, g, "a crowd of logons")
    flood.end()
    now = g.stats()
    t.same(flood.bad, [], "%d logons of that one source were let in" % flood.n["logons"])
    t.ok(now["channels_keyed"] - before["channels_keyed"] >= flood.n["logons"] + HONEST and
         now["channels_opaque"] == before["channels_opaque"], "and keyed, all of them", now)
    t.ok(now["keyd_timeouts"] == before["keyd_timeouts"] and "keyd_queue" in now,
         "nothing timed out; %d wait now, %d us at most" % (now["keyd_queue"],
                                                            now["keyd_wait_us_max"]))
    t.comes(lambda: g.stats()["keyd_queue"], 0, "and the queue is empty at the end")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
