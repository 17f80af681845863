#!/usr/bin/python3
# keyed-oracle.t: a worker that is somebody else's asks smbgate-keyd for everybody's keys
import os
import random
import struct
import time

import gate
import keyd
import node
import tap
import kdc as realm
from kdc import REALM

for why in realm.missing(), gate.missing():
    if why:
        tap.skip_all(why)

ALICE = "alice@" + REALM


def other_services(t, kdc, keytab):
    """A keytab with keys of more than the file service, of one account and of others."""
    for name in "host/nas", "ldap/dc", "cifs/nas":
        kdc.kadmin("addprinc -randkey " + name)
        kdc.keytab(name, "many.keytab")
        kdc.keytab(name, "server.keytab")
    many = kdc.dir + "/many.keytab"
    os.chmod(many, 0o600)
    k = keyd.Keyd(t, many)
    t.ok("2 entries, 1 principals" not in k.log() and
         "1 entries, 1 principals" in k.log() and "2 of services that are not" in k.log(),
         "keys of other services are not even loaded", k.log())
    good, ldap = kdc.tokens("mutual", "cifs/nas"), kdc.tokens("mutual", "ldap/dc")
    t.same(k.ap(good), (keyd.KEY, good["key"], ALICE), "a ticket for cifs")
    got = k.ap(ldap)
    t.ok(got.type == keyd.FAIL and "it is for ldap/dc@" + REALM in got.text,
         "a ticket for ldap is not opened", got)
    got = k.ap(kdc.tokens("plain", "host/nas"))
    t.ok(got.type == keyd.FAIL and "it is for host/nas@" + REALM in got.text,
         "nor one for host, as long as nobody wants that", got)
    # Nobody protects the name in a ticket: whoever changes it needs the key of that account.
    fake = dict(ldap, ap_req=ldap["ap_req"].replace(b"ldap".hex(), b"cifs".hex(), 1))
    number = k.send(keyd.AP_REQ, fake["ap_req"])
    while k.guard.recv(200)[:1] != b"W":
        pass
    k.guard.send(b"E")
    got = k.answer()
    t.ok(got.id == number and got.type == keyd.FAIL and "its key is another one" in got.text,
         "a ticket for ldap that says cifs", got)
    t.same(k.counts()["other_service"], 2, "what was refused is counted")
    t.ok("is no service of keytab-services" in k.log(), "and said", k.log())
    asked = keyd.Keyd(t, many, "-S", "cifs,host")
    k = kdc.tokens("mutual", "host/nas")
    t.same(asked.ap(k), (keyd.KEY, k["key"], ALICE), "host is answered if somebody asks for it")
    got = asked.ap(ldap)
    t.ok(got.type == keyd.FAIL, "and ldap still is not", got)


def old_ones(t, kdc, k):
    fast, old = kdc.tokens("fast", "cifs/aes256"), kdc.tokens("old", "cifs/aes256")
    t.same(k.ap(fast), (keyd.KEY, fast["key"], ALICE), "a clock two hours fast is nobody's fault")
    got = k.ap(old)
    t.ok(got.type == keyd.FAIL and "a logon of %s, 25 hours old" % ALICE in got.text,
         "what was made more than a day ago is not answered", got)
    t.same(k.counts()["old"], 1, "it is counted")
    t.ok("25 hours old: is this machine's clock right?" in k.log(), "and said", k.log())


def again(t, kdc, k):
    """Somebody has recorded logons, and now has a worker."""
    before = k.counts()
    logons = [kdc.tokens(how, "cifs/aes256", 40) for how in ("plain", "mutual", "dce", "bare")
              for _ in range(20)]
    rnd = random.Random(16)
    rnd.shuffle(logons)
    t.same([x for x in logons if k.ap(x) != (keyd.KEY, x["key"], ALICE)], [],
           "%d logons, each once" % len(logons))
    rnd.shuffle(logons)
    got = [k.ap(x) for x in logons]
    t.same([a for a in got if a.type != keyd.FAIL or "asked about before" not in a.text], [],
           "each again: no key")
    # Nothing that is not protected makes another logon of it: here, ap-options and kvno.
    changed = []
    for x in logons[:20]:
        req = bytearray.fromhex(x["ap_req"])
        i = req.index(b"\xa2\x07\x03\x05\x00")
        req[i + 5] ^= 0x20
        changed.append(k.ap(dict(x, ap_req=req.hex())))
    t.same([a for a in changed if a.type != keyd.FAIL or "asked about before" not in a.text], [],
           "nor with other options")
    now = k.counts()
    t.same((now["keys"] - before["keys"] >= 80, now["again"] - before["again"]), (True, 100),
           "all of that is counted")


def no_reply(t, kdc, k):
    """A ticket that was sent to somebody is not yet a logon that was accepted."""
    before = k.counts()
    alone = [kdc.tokens("mutual", "cifs/aes256", 40) for _ in range(10)]
    got = [k.ap(x, reply=False) for x in alone]
    t.same([a for a in got if a.key or not a.mutual], [], "without the AP-REP there is no key")
    number = k.send(keyd.AP_REQ, alone[0]["ap_req"])
    k.answer()
    k.send(keyd.AP_REP, alone[1]["ap_rep"], number)
    got = k.answer()
    t.ok(got.type == keyd.FAIL and not got.key, "nor with another one's", got)
    # The option is nobody's to protect, the flag of GSS-API is.
    req = bytearray.fromhex(alone[2]["ap_req"])
    req[req.index(b"\xa2\x07\x03\x05\x00") + 5] = 0
    number = k.send(keyd.AP_REQ, req.hex())
    got = k.answer()
    t.ok(got.mutual and not got.key, "nor where the option is taken out", got)
    k.send(keyd.AP_REP, alone[2]["ap_rep"], number)
    t.same(k.answer(), (keyd.KEY, alone[2]["key"], ALICE), "with its own there is")
    now = k.counts()
    t.same(now["no_reply"] - before["no_reply"], 10, "those that had none are counted")
    t.ok("a ticket of %s without its AP-REP" % ALICE in k.log(), "and said", k.log()[-500:])


def filetime(seconds):
    return struct.pack("<Q", int((seconds + 11644473600) * 10**7))


def ntlm(t, k, h):
    """What the client itself says of its logon is protected by its password."""
    def av(kind, value):
        return struct.pack("<HH", kind, len(value)) + value

    def logon(*avs):
        return realm.ntlm_messages("bob", "LAB", h, os.urandom(8), b"".join(avs) + av(0, b""))
    cifs, ldap = (av(9, x.encode("utf-16-le")) for x in ("CIFS/nas", "ldap/dc"))
    now = time.time()
    before = k.counts()
    for label, avs in (("no list", ()), ("for cifs, now", (cifs, av(7, filetime(now)))),
                       ("for nobody in particular", (av(9, b""),)),
                       ("by a node's clock that is 20 hours late",
                        (av(7, filetime(now - 72000)),))):
        c, a, key = logon(*avs)
        t.same(k.ntlm(c, a), (keyd.KEY, key, "bob@" + REALM), "NTLMv2, %s" % label)
        got = k.ntlm(c, a)
        t.ok(got.type == keyd.FAIL and "asked about before" in got.text, "once", got)
    for label, avs, why in (("for ldap", (ldap,), "it is for ldap/dc"),
                            ("of yesterday", (cifs, av(7, filetime(now - 25 * 3600))),
                             "hours old"),
                            ("of tomorrow", (av(7, filetime(now + 26 * 3600)),), "hours ahead")):
        c, a, key = logon(*avs)
        got = k.ntlm(c, a)
        t.ok(got.type == keyd.FAIL and why in got.text, "NTLMv2, %s: no key" % label, got)
    now = k.counts()
    t.same([now[x] - before[x] for x in ("keys", "other_service", "old", "again")], [4, 1, 2, 4],
           "all of that is counted")


def thousands(t, kdc, keytab):
    """5000 questions of one worker, and one of another that has done nothing."""
    k = keyd.Keyd(t, keytab, "-r", "40", workers=2)
    noise = "6e" * 40
    since, answers = time.monotonic(), 0
    k.workers[0].setblocking(False)
    asked = 0
    waits = []
    while time.monotonic() - since < 3 or len(waits) < 20:
        try:
            while asked < 5000:
                k.send(keyd.AP_REQ, noise)
                asked += 1
        except BlockingIOError:
            pass
        try:
            while True:
                k.answer()
                answers += 1
        except BlockingIOError:
            pass
        if len(waits) < 20 and time.monotonic() - since > 0.1 * len(waits):
            x = kdc.tokens("mutual", "cifs/aes256", 40)
            began = time.monotonic()
            good = k.ap(x, worker=1) == (keyd.KEY, x["key"], ALICE)
            waits.append((time.monotonic() - began, good))
    took = time.monotonic() - since
    most = 40 * 5 + 40 * took + 1
    t.ok(200 <= answers <= most, "of thousands of questions, 200 at once and 40 a second are "
         "answered: %d of %d in %.1f s" % (answers, asked, took))
    t.ok(len(waits) == 20 and all(good for _, good in waits) and
         sorted(waits)[10][0] < 0.1, "another worker waits for none of them: %.1f ms" % (
             1000 * sorted(waits)[10][0]), waits)
    n = k.counts()
    k.workers[0].settimeout(20)
    while answers < n["asked"] - 20:    # answered, and not yet read when the time was over
        k.answer()
        answers += 1
    t.ok(n["slowed"] > 50 and n["asked"] == answers + 20, "what had to wait is counted", n)
    t.ok("worker 0 asks more than 40 times a second: it has to wait" in k.log(), "and said",
         k.log()[-500:])
    t.same(k.stop(), 0, "and it ends as it should")


def shown(t, keytab):
    """Somebody has a worker's socket: what he asks is no node's, and that is said."""
    g = gate.Gate(t, [], workers=1, keytab=keytab)
    g.write_policy(text='node "n1" { address = "127.0.0.1:%d" }\n' % node.free_port("127.0.0.1"))
    g.start(nodes_up=False)
    t.same(g.stats()["keyd_unmatched"], 0, "nobody has asked anything")
    stolen = keyd.stolen(g.proc.pid)
    if stolen is None:
        t.skip("a stolen socket", "the kernel gives none away")
        return
    for i in range(7):
        stolen.send(struct.pack("<BBIHQ", keyd.AP_REQ, 0, 2, 0, 1 << 60 | i) + b"\x6e\0")
    t.ok(tap.wait_for(lambda: g.stats()["keyd_unmatched"] == 7, 20),
         "7 questions that no node has to do with are shown", g.stats())
    t.ok(tap.wait_for(lambda: "asked about 7 logons that no node has accepted" in g.log(), 20),
         "and said", g.log()[-600:])
    t.comes(lambda: g.stats()["keyd_asked"], 7, "beside what it was asked in all")
    g.stop()


with tap.Test(deadline=60) as test:
    lab = realm.Kdc(test)
    bob = lab.add_user("bob", "Bob-pw-2")
    tab = lab.dir + "/server.keytab"
    os.chmod(tab, 0o600)
    asked = keyd.Keyd(test, tab)
    old_ones(test, lab, asked)
    again(test, lab, asked)
    no_reply(test, lab, asked)
    ntlm(test, asked, bob)
    test.ok("ERROR: " not in asked.log() and "runtime error" not in asked.log(), "a clean log",
            asked.log()[-3000:])
    thousands(test, lab, tab)
    other_services(test, lab, tab)
    shown(test, tab)
