#!/usr/bin/python3
# keyed-opaque.t: without the right key sessions are opaque, say why, and work; keys stay put
import base64
import os
import re
import signal
import subprocess
import threading

import ad
import clients
import gate
import keyed
import krb
import model
import smb2
import tap

why = ad.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)
ad.enter()

ACCESS_DENIED = 0xC0000022
SEALED = keyed.Protection(0x0311, None, 2)
SIGNED = keyed.Protection(0x0311, 2)
HIDDEN = ad.NODES[2][0]


class Hook:
    """A mechanism that does something before its n-th token is made."""

    def __init__(self, auth, n, fn):
        self.auth, self.left, self.fn = auth, n, fn

    def step(self, token):
        self.left -= 1
        if self.left == 0:
            self.fn()
        return self.auth.step(token)

    def finish(self, token):
        return self.auth.finish(token)

    @property
    def key(self):
        return self.auth.key


def family(g):
    """Processes of smbgate's other than itself: {name: process id}."""
    names, kids = {}, {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % p) as f:
                head, tail = f.read().rsplit(")", 1)
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            names[int(p)] = head.split("(", 1)[1]
            kids.setdefault(int(parent), []).append(int(p))
    out, todo = {}, [g.proc.pid]
    while todo:
        for p in kids.get(todo.pop(), ()):
            out[names[p]] = p
            todo.append(p)
    return out


def keyd(g):
    """The process id of smbgate-keyd, or None."""
    return family(g).get("smbgate-keyd")


class Logon:
    """One session through smbgate, and what smbgate says of it."""

    def __init__(self, lab, g, prot, auth):
        self.lab, self.g = lab, g
        self.log_from = len(g.log())
        self.c = prot.connect(ad.GW[0])
        self.s = prot.login(self.c, auth)
        self.tid = self.c.tree(self.s, "data", "gw")

    def ask(self):
        return self.c.ifinfo(self.s, self.tid)

    def state(self):
        return self.g.keyed(self.s.sid)

    def works(self):
        return keyed.traffic(self.c, self.s, self.tid)

    def lines(self, reason):
        """The log's lines since this began that give the reason."""
        return [x for x in self.g.log()[self.log_from:].splitlines() if reason in x]

    def close(self):
        self.c.close()


class NoOption(krb.Kerberos):
    """Mutual authentication that GSS-API's flags want, and ap-options, which are in the clear, do
    not; some clients leave it out."""

    def step(self, token):
        t = bytearray(super().step(token))
        i = t.find(b"\xa2\x07\x03\x05\x00")
        if token is None:
            if t[i + 5] != 0x20:
                raise smb2.Broken("ap-options %r" % t[i:i + 9])
            t[i + 5] = 0
        return bytes(t)


def tickets(t, lab, g):
    """Tickets that the node takes: what it says to them by itself, and what is keyed."""
    for label, make, state in (
            ("mutual by GSS flags alone", NoOption, (True, None, "alice@LAB.EXAMPLE")),
            ("a ticket for host", lambda *a, **kw: krb.Kerberos(*a, service="host", **kw), None)):
        for host, addr in (("nas", lab.nas.addr), ("gw", ad.GW[0])):
            c = smb2.Conn(addr, ad.PORT, src=ad.CLIENT).negotiate([0x0311])
            s = c.login(auth=make(lab.caches["alice"], "nas.lab.example"), sign=True, strict=True)
            c.tree(s, "data", host)
            if host == "nas":
                t.ok(True, "direct: %s: the node lets it in" % label)
            elif state:
                t.same(g.keyed(s.sid), state, "%s: keyed" % label)
            else:
                got = g.keyed(s.sid)
                t.ok(not got[0] and "it is for host/nas.lab.example@LAB.EXAMPLE, which is no "
                     "service of keytab-services" in got[1], "%s: opaque, with the reason" % label,
                     got)
                t.same(cause(g, s.sid), ["no_key_for_ticket"], "%s: the cause" % label)
            c.close()
    t.ok(tap.wait_for(lambda: g.stats()["keyd_other_service"] == 1, 20), "and counted",
         g.stats())


def settle(lab, g, kind, want):
    """Log on until smbgate has seen the new keytab: (keyed?, ..) of the last session."""
    def once():
        x = Logon(lab, g, SIGNED, lab.auth(kind))
        x.ask()
        got = x.state()
        x.close()
        return got if got[0] is want else None
    return tap.wait_for(once, 60, every=0.1)


def is_keyed(t, lab, g, kind, label, prots=(SIGNED, SEALED)):
    want = keyed.told(keyed.ANNOUNCE, ad.GW[0], lab.nas)
    for prot in prots:
        try:
            x = Logon(lab, g, prot, lab.auth(kind))
            got, works, state = x.ask(), x.works(), x.state()
            t.ok(model.wanted(got, want) and works and state == (True, None, "alice@LAB.EXAMPLE"),
                 "%s: %s, %s: keyed, told what policy says" % (label, kind, prot.label), got, state)
            x.close()
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
            t.ok(False, "%s: %s, %s: keyed" % (label, kind, prot.label), repr(e))


def cause(g, sid):
    """Why the session is opaque, as explain has it in one word."""
    x, = g.ask({"cmd": "explain", "who": "0x%016x" % sid})["clients"]
    return [r["cause"] for r in x["reasons"] if r["code"] == "opaque"]


def is_opaque(t, lab, g, kind, label, word, auth=None, prots=(SIGNED, SEALED)):
    for prot in prots:
        name = "%s: %s, %s: " % (label, kind, prot.label)
        try:
            x = Logon(lab, g, prot, auth() if auth else lab.auth(kind))
            got, works = x.ask(), x.works()
            state = x.state()
            t.ok(model.wanted(got, lab.nas.told) and works,
                 name + "works, and is told the node's list", got)
            t.ok(state[0] is False and state[1], name + "opaque: %s" % state[1], state)
            t.same(cause(g, x.s.sid), [word], name + "the cause is " + word)
            reason = state[1] or "no reason is shown"
            t.comes(lambda: len([y for y in x.lines(reason) if " is opaque: " in y]), 1,
                    name + "one line of the log says why")
            x.close()
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
            t.ok(False, name + "works", repr(e))


def keytabs(t, lab, g, path):
    """One keytab after the other, under the running smbgate; the cause of what is opaque."""
    hosts, users = lab.hosts, lab.users
    ticket, user = "no_key_for_ticket", "no_user_hash"
    tests = [
        ("other keys", ad.wrong(hosts + users), ticket, "wrong_key"),
        ("the right keys again", hosts + users, None, None),
        ("another version's number, the same keys", ad.other_kvno(hosts) + users, None, None),
        ("users alone", users, ticket, None),
        ("servers alone", hosts, None, user),
        ("rc4 and aes128 alone", [e for e in hosts if e.etype != ad.AES256], ticket, user),
        ("somebody else's", [e.but(principal="carol@LAB.EXAMPLE") for e in users], ticket, user),
        ("an empty keytab, which does not replace that", [], ticket, user),
        ("the right keys once more", hosts + users, None, None),
    ]
    for label, entries, by_krb, by_ntlm in tests:
        ad.write_keytab(path, entries)
        for kind, word in (("kerberos", by_krb), ("ntlm", by_ntlm)):
            t.ok(settle(lab, g, kind, word is None), "%s: noticed (%s is %s)"
                 % (label, kind, "opaque" if word else "keyed"))
            if word:
                is_opaque(t, lab, g, kind, label, word)
            else:
                is_keyed(t, lab, g, kind, label)
    # no file at all, then one
    os.rename(path, path + ".away")
    for kind in keyed.AUTHS:
        t.ok(settle(lab, g, kind, False), "the keytab is gone: noticed")
        is_opaque(t, lab, g, kind, "the keytab is gone", "no_keytab", prots=[SEALED])
    os.rename(path + ".away", path)
    for kind in keyed.AUTHS:
        t.ok(settle(lab, g, kind, True), "the keytab is back: %s is keyed" % kind)
    # half a file is no keytab, and no reason to fall over
    with open(path, "rb") as f:
        whole = f.read()
    with open(path, "wb") as f:
        f.write(whole[:len(whole) // 3] + os.urandom(50))
    for kind in keyed.AUTHS:
        x = Logon(lab, g, SIGNED, lab.auth(kind))
        t.ok(x.ask() and x.works(), "a broken keytab: %s works" % kind)
        x.close()
    ad.write_keytab(path, hosts + users)
    for kind in keyed.AUTHS:
        t.ok(settle(lab, g, kind, True), "a whole one again: %s is keyed" % kind)


def new_password(t, lab, g, path):
    """The member changes its password: tickets are of a version that the keytab lacks."""
    old = lab.hosts
    lab.nas.change_password()
    lab.export()
    versions = [max(e.kvno for e in x) for x in (old, lab.hosts)]
    t.ok(versions[1] > versions[0] and not {e.key for e in old} & {e.key for e in lab.hosts},
         "new password: key version %d, then %d" % tuple(versions))
    t.ok(settle(lab, g, "kerberos", False), "new password: the keytab lacks the version: opaque")
    is_opaque(t, lab, g, "kerberos", "new password", "no_key_for_ticket")
    is_keyed(t, lab, g, "ntlm", "new password")
    ad.write_keytab(path, old + lab.hosts + lab.users)
    t.ok(settle(lab, g, "kerberos", True), "new password: the keytab has both versions: keyed")
    is_keyed(t, lab, g, "kerberos", "new password, both versions")


def refuse(t, lab, g, path):
    """unkeyed = refuse is about opaque sessions, not about keyed ones."""
    g.reload(unkeyed="refuse")
    for kind in keyed.AUTHS:
        is_keyed(t, lab, g, kind, "unkeyed = refuse")
    ad.write_keytab(path, ad.wrong(lab.hosts + lab.users))
    for kind in keyed.AUTHS:
        for prot in (SIGNED, SEALED):
            def refused():
                c = prot.connect(ad.GW[0])
                try:
                    s = prot.login(c, lab.auth(kind))
                    c.ifinfo(s, c.tree(s, "data", "gw"))
                    return None
                except smb2.Status as e:
                    return e.status
                finally:
                    c.close()
            t.same(tap.wait_for(refused, 60), ACCESS_DENIED,
                   "unkeyed = refuse, other keys: %s, %s: refused" % (kind, prot.label))
    ad.write_keytab(path, lab.hosts + lab.users)
    g.reload(unkeyed="pass")
    for kind in keyed.AUTHS:
        settle(lab, g, kind, True)


def door(t, lab, g):
    """ntlm and guest = refuse: Kerberos gets in, in every dress and in a crowd; NTLM does not."""
    g.reload(auth={"ntlm": "refuse", "guest": "refuse"})
    cc, host = lab.caches["alice"], "gw.lab.example"
    negoex, iakerb = bytes.fromhex("2b06010401823702021e"), bytes.fromhex("2b0601050205")
    dresses = {
        "SPNEGO": lambda: krb.Kerberos(cc, host),
        "SPNEGO, not mutual": lambda: krb.Kerberos(cc, host, mutual=False),
        "raw": lambda: krb.Kerberos(cc, host, spnego=False),
        "raw, not mutual": lambda: krb.Kerberos(cc, host, spnego=False, mutual=False),
        "behind NegoEx": lambda: krb.Second(cc, negoex, b"NEGOEXTS" + bytes(88), host),
        "behind IAKERB": lambda: krb.Second(cc, iakerb, bytes(40), host)}
    out = {}

    def enter(name, make):
        c = SIGNED.connect(ad.GW[0])
        try:
            s = SIGNED.login(c, make())
            c.tree(s, "data", "gw")
            c.login(auth=make(), session=s)
            out[name] = "in, twice" if c.echo(session=s).status == 0 else "out"
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
            out[name] = repr(e)
        c.close()

    crowd = [threading.Thread(target=enter, args=x) for x in dresses.items()]
    for x in crowd:
        x.start()
    r = lab.smbclient("gw", ["ls"])
    for x in crowd:
        x.join()
    t.same(out, dict.fromkeys(dresses, "in, twice"), "ntlm = refuse: Kerberos, all at once")
    t.ok(r.returncode == 0, "ntlm = refuse: smbclient, Kerberos", r.stdout)
    r = lab.smbclient("gw", ["ls"], kerberos=False)
    t.ok(r.returncode != 0 and "NTLM_BLOCKED" in r.stdout, "ntlm = refuse: smbclient, NTLM",
         r.stdout)
    enter("ntlm", lambda: lab.auth("ntlm"))
    t.ok("0xC0000418" in out["ntlm"], "ntlm = refuse: NTLM: %s" % out["ntlm"])
    g.reload(auth=None)


def killed(t, lab, g):
    """smbgate-keyd dies at the worst moment."""
    first = keyd(g)
    t.ok(first, "smbgate-keyd runs: %s" % family(g))
    if not first:
        return
    live = Logon(lab, g, SEALED, lab.auth("kerberos"))
    live.ask()

    guard = family(g)["smbgate-guard"]

    def kill():
        # a slow logon would find the next one, were there one
        os.kill(guard, signal.SIGSTOP)
        os.kill(keyd(g), signal.SIGKILL)
    # NTLM between CHALLENGE and AUTHENTICATE: what it knew of the challenge is gone
    is_opaque(t, lab, g, "ntlm", "smbgate-keyd killed in mid-logon", "keyd_died",
              lambda: Hook(lab.auth("ntlm"), 2, kill), [SEALED])
    os.kill(guard, signal.SIGCONT)
    t.ok(live.works() and model.wanted(live.ask(), keyed.told(keyed.ANNOUNCE, ad.GW[0], lab.nas)),
         "killed: a session that was keyed stays so")
    live.close()
    t.ok(tap.wait_for(lambda: keyd(g) not in (None, first), 60), "killed: there is a new one")
    for kind in keyed.AUTHS:
        t.ok(settle(lab, g, kind, True), "killed: later sessions are keyed again (%s)" % kind)
    is_keyed(t, lab, g, "ntlm", "after the kill")

    # it hangs, and then dies, with the question on its table
    pid = keyd(g)

    def hang():
        os.kill(pid, signal.SIGSTOP)

    def end(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:      # the guard does the same, after 5 s
            pass
    for kind, n in (("kerberos", 1), ("ntlm", 2)):
        pid = keyd(g)
        log_from = len(g.log())
        c = SIGNED.connect(ad.GW[0])
        try:
            s = SIGNED.login(c, Hook(lab.auth(kind), n, hang))
            end(pid)
            tid = c.tree(s, "data", "gw")
            got = c.ifinfo(s, tid)
            state = g.keyed(s.sid)
            t.ok(keyed.traffic(c, s, tid) and state[0] is False and state[1]
                 and model.wanted(got, lab.nas.told),
                 "killed with the question unanswered: %s works, opaque: %s" % (kind, state[1]),
                 got, state)
            t.same(cause(g, s.sid), ["keyd_died"], "killed: the cause")
            t.ok(state[1] and tap.wait_for(lambda w=state[1], n=log_from: w in g.log()[n:]),
                 "killed: the log says why")
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
            end(pid)
            t.ok(False, "killed with the question unanswered: %s works" % kind, repr(e))
        c.close()
        t.ok(settle(lab, g, kind, True), "killed: keyed again")
    # it hangs and goes on hanging, for its guard would end it: a logon waits for nobody for long
    pid, guard = keyd(g), family(g)["smbgate-guard"]
    os.kill(guard, signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    for kind in keyed.AUTHS:
        try:
            x = Logon(lab, g, SEALED, lab.auth(kind))
            got = x.ask()
            state = x.state()
            t.ok(x.works() and state[0] is False and state[1],
                 "smbgate-keyd hangs: %s works, opaque: %s" % (kind, state[1]), got, state)
            t.same(cause(g, x.s.sid), ["keyd_died"], "smbgate-keyd hangs: the cause")
            x.close()
        except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
            t.ok(False, "smbgate-keyd hangs: %s works" % kind, repr(e))
    os.kill(pid, signal.SIGCONT)
    os.kill(guard, signal.SIGCONT)
    for kind in keyed.AUTHS:
        t.ok(settle(lab, g, kind, True), "smbgate-keyd goes on: %s is keyed" % kind)


def smbclient(t, lab, label):
    for kind in (True, False):
        for args in (["--client-protection=sign"], ["--client-protection=encrypt"]):
            r = lab.smbclient("gw", ["put /etc/hosts h", "get h /dev/null", "ls"], *args,
                              kerberos=kind)
            t.ok(r.returncode == 0, "%s: smbclient %s, %s" % (
                label, args[0], "Kerberos" if kind else "NTLM"), r.stdout[-1500:])


BIG = 1 << 30


def memory(pid):
    """Chunks of all that is writable there, with an overlap."""
    maps, skipped = [], 0
    with open("/proc/%d/maps" % pid) as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            a, b = int(m.group(1), 16), int(m.group(2), 16)
            if "r" not in m.group(3) or "[v" in line:
                continue
            if b - a > BIG:         # a sanitizer's shadow
                skipped += 1
                continue
            maps.append((a, b))
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as f:
        for a, b in maps:
            while a < b:
                n = min(b - a, 8 << 20)
                try:
                    f.seek(a)
                    yield f.read(n)
                except OSError:
                    pass
                a += n if n < 8 << 20 else n - 64


def scan(pid, secrets):
    """(bytes read, names of the secrets that are there)."""
    total, found = 0, set()
    for chunk in memory(pid):
        total += len(chunk)
        found |= {name for name, b in secrets.items() if b in chunk}
    return total, found


def secrecy(t, lab, g):
    """Keys are in smbgate-keyd alone."""
    secrets = {}
    for e in lab.hosts + lab.users:
        secrets.setdefault(e.key, "%s %d" % (e.principal, e.etype))
    secrets = {v: k for k, v in secrets.items()}
    total, found = scan(os.getpid(), secrets)
    t.same(len(found), len(secrets), "scan, control: all %d keys are in this very process"
           % len(secrets))
    live = [Logon(lab, g, p, lab.auth(k)) for p in (SIGNED, SEALED) for k in keyed.AUTHS]
    for x in live:
        x.ask()
    t.ok(all(x.state()[0] for x in live), "scan: %d keyed sessions live" % len(live))
    total, found = scan(g.proc.pid, secrets)
    t.ok(total > 1 << 20 and not found, "scan: %d KiB of smbgate's memory hold none of %d keys"
         % (total // 1024, len(secrets)), found)
    for name, pid in family(g).items():
        if name != "smbgate-keyd":
            total, found = scan(pid, secrets)
            t.ok(total > 1 << 20 and not found, "scan: nor %d KiB of %s's" % (total // 1024, name),
                 found)
    total, found = scan(keyd(g), secrets)
    t.ok(found, "scan: %d of them are in %d KiB of smbgate-keyd's" % (len(found), total // 1024))
    for x in live:
        x.close()
    log = g.log()
    with open(g.dir + "/stderr", "rb") as f:
        raw = f.read()
    bad = [n for n, k in secrets.items() if k in raw or k.hex() in log.lower()
           or base64.b64encode(k).decode().rstrip("=") in log
           or k[:8].hex() in log.lower()]
    t.ok(len(log) > 100 and not bad, "log: %d bytes, no key in them" % len(log), bad)
    out = subprocess.run(["readelf", "-d", gate.program()], stdout=subprocess.PIPE, text=True)
    needed = re.findall(r"NEEDED.*\[(.*)\]", out.stdout)
    t.ok(needed and not [x for x in needed if re.search("krb5|gssapi|k5crypto|heim", x)],
         "smbgate links no Kerberos library: %s" % " ".join(needed))
    with open("/proc/%d/maps" % g.proc.pid) as f:
        t.ok(not re.search("krb5|gssapi|k5crypto", f.read()), "nor has it loaded one")
    fds = [os.readlink("/proc/%d/fd/%s" % (g.proc.pid, x))
           for x in os.listdir("/proc/%d/fd" % g.proc.pid)]
    t.ok(not [x for x in fds if "keytab" in x], "nor has it the keytab open", fds)


def main(t):
    lab = ad.Domain(t).start()
    for kind in (True, False):      # the control
        r = lab.smbclient("nas", ["put /etc/hosts h", "ls"], kerberos=kind)
        t.ok(r.returncode == 0, "direct: smbclient, %s" % ("Kerberos" if kind else "NTLM"),
             r.stdout)
    why = gate.missing()
    if why:
        t.bail(why)
    # without a keytab nothing is keyed
    g = keyed.start_gate(t, lab)
    t.ok(keyd(g) is None, "no keytab: no smbgate-keyd")
    for kind in keyed.AUTHS:
        for prot in (SIGNED, SEALED):
            x = Logon(lab, g, prot, lab.auth(kind))
            t.ok(model.wanted(x.ask(), lab.nas.told) and x.works() and x.state()[0] is False
                 # What is inside encrypted messages nobody sees.
                 and g.session(x.s.sid).get("told") == ("nothing" if prot.cipher else "opaque"),
                 "no keytab: %s, %s: works, not keyed, told the node's list" % (kind, prot.label),
                 g.session(x.s.sid))
            t.same(cause(g, x.s.sid), ["no_keytab"], "no keytab: the cause")
            x.close()
    t.same(g.stop(), 0, "no keytab: smbgate ends with status 0")

    path = lab.keytab_of("changing.keytab", lab.hosts + lab.users)
    g = keyed.start_gate(t, lab, path)
    for kind in keyed.AUTHS:
        is_keyed(t, lab, g, kind, "the right keys")
    tickets(t, lab, g)
    secrecy(t, lab, g)
    keytabs(t, lab, g, path)
    new_password(t, lab, g, path)
    refuse(t, lab, g, path)
    door(t, lab, g)
    killed(t, lab, g)
    ad.write_keytab(path, ad.wrong(lab.hosts + lab.users))
    smbclient(t, lab, "other keys")
    log = g.log().lower()
    t.ok(not [e for e in lab.hosts + lab.users if e.key.hex() in log],
         "log: still no key in its %d bytes" % len(log))
    last = keyd(g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    t.ok(last and tap.wait_for(lambda: not os.path.exists("/proc/%d" % last), 20),
         "and smbgate-keyd with it")


with tap.Test(deadline=240) as test:
    main(test)
