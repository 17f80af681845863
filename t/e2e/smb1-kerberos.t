#!/usr/bin/python3
# smb1-kerberos.t: SMB1 logons by Kerberos tell who they are, and VcNumber 0 ends that one's alone
"""With the keytab smbgate reads the client's name out of the ticket.  Everybody here is behind one
address, as behind a NAT, but for a stranger."""
import concurrent.futures
import subprocess

import ad
import gate
import krb
import smb2
import tap

why = ad.missing() or gate.missing()
if not why:
    try:
        import smb1
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)
ad.enter()

CROWD = 12
DIALECTS = {"2.1": 0x0210, "3.1.1": 0x0311}


class Place:
    """Where clients connect to, and whose ticket they need there."""

    def __init__(self, lab, addr, host):
        self.lab, self.addr, self.host = lab, addr, host + ".lab.example"

    def auth(self, who):
        return krb.Kerberos(self.lab.caches[who], self.host)

    def smb1(self, who, vc=1, src=ad.CLIENT, login=True):
        c = smb1.Raw(self.addr, ad.PORT, src, extended=True)
        return self.logon1(c, who, vc) if login else c

    def logon1(self, c, who, vc, mid=1):
        auth = self.auth(who)
        c.uid = 0
        c.send(c.logon_blob(auth.step(None), vc, mid))
        status, c.uid = c.answer()
        if status:
            raise ConnectionError("Kerberos over SMB1: 0x%08X" % status)
        return c

    def smb2(self, who, dialect, src=ad.CLIENT, auth=None):
        c = smb2.Conn(self.addr, ad.PORT, src=src).negotiate([dialect])
        c.tree(c.login(auth=auth or self.auth(who)), host="nas")
        return c

    def neighbours(self):
        """(who, how) -> a connection that is logged on."""
        out = {}
        for who in ("alice", "bob", "NAS$"):
            out[who, "SMB1"] = self.smb1(who)
            for name, d in DIALECTS.items():
                out[who, name] = self.smb2(who, d)
        out["alice", "afar"] = self.smb1("alice", src=ad.STRANGER)
        out["alice", "afar, 3.1.1"] = self.smb2("alice", 0x0311, src=ad.STRANGER)
        out["PC1", "3.1.1"] = self.smb2("alice", 0x0311, auth=smb2.Ntlm(
            "alice", ad.USERS["alice"], ad.DOMAIN, workstation="PC1", spnego=True))
        out["NAS", "3.1.1"] = self.smb2("alice", 0x0311, auth=smb2.Ntlm(
            "alice", ad.USERS["alice"], ad.DOMAIN, workstation="nas", spnego=True))
        return out


def ends(conns, seconds=60, least=0):
    """Who is gone of them."""
    tap.wait_for(lambda: sum(not c.is_open() for c in conns.values()) >= least, seconds)
    return sorted(k for k, c in conns.items() if not c.is_open())


def close(conns, *more):
    for c in list(conns.values()) + list(more):
        c.close()


def directly(t, lab):
    """What a node makes of it: everybody at that address is thrown out."""
    p = Place(lab, lab.nas.addr, "nas")
    conns = p.neighbours()
    c = p.smb1("alice", vc=0)
    near = sorted(k for k in conns if "afar" not in k[1])
    t.same(ends(conns, least=len(near)), near, "directly VcNumber 0 throws out the whole address")
    close(conns, c)


def rule(t, p, g, how, who, want, counter):
    """who logs on by Kerberos with VcNumber 0."""
    g.reload(vc_reset=how)
    conns = p.neighbours()
    before, stats = g.closes(), g.stats()
    c = p.smb1(who, vc=0)
    ends(conns, least=len(want))
    g.turn()
    gate.settle_closes(g)
    got = ends(conns)       # and whoever may be gone beside them
    t.same(got, sorted(want), "vc-reset = %s: %s ends %d of %d, and nobody else's" % (
        how, who, len(want), len(conns)))
    t.same((g.closed_since(before).get("vc_reset", 0), c.is_open(),
            [g.stats()[x] - stats[x] for x in ("vc_zero", "vc_renumbered", counter)]),
           (len(want), True, [1, 1, 1]), "counted; and the one that asks lives")
    close(conns, c)


def shown(t, p, g):
    c = p.smb1("alice")
    row, = g.ctl("show", "clients", "--old")["old"]
    t.same([row.get(k) for k in ("dialect", "user", "authentication")],
           ["SMB1", "alice@LAB.EXAMPLE", "Kerberos"], "show clients --old: whose ticket it was")
    c.close()


def crowd(t, p, g):
    """Many log on at once, with VcNumber 0, and some leave before the answer."""
    g.reload(vc_reset="user")
    old = {("bob", i): p.smb1("bob") for i in range(3)}
    old["alice", 0] = p.smb1("alice")

    def one(i):
        c = p.smb1("alice", login=False)
        if i % 3 == 0:
            c.send(c.logon_blob(p.auth("alice").step(None), 0))
            c.close()
            return None
        try:
            return p.logon1(c, "alice", 0)
        except ConnectionError as e:
            if "0x" in str(e):
                raise
            return c.close()    # ended by one of the others, which began a moment later
    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        new = [c for c in pool.map(one, range(CROWD)) if c]
    t.same(ends(old, least=1), [("alice", 0)], "%d at once: alice's old one ends" % CROWD)
    t.ok(g.alive() and p.smb1("alice").is_open(), "and who comes then is served")
    close(old, *new)


def damaged(t, p, g):
    """A ticket that nobody can open: the node refuses it, and nobody is ended."""
    conns = {("alice", "SMB1"): p.smb1("alice")}
    stats = g.stats()["vc_resets"]
    c = p.smb1("alice", login=False)
    token = bytearray(p.auth("alice").step(None))
    token[-5] ^= 1
    c.send(c.logon_blob(bytes(token), 0))
    t.ok(c.answer()[0] != 0, "a damaged ticket is refused by the node")
    t.same((ends(conns, 0.1), g.stats()["vc_resets"]), ([], stats), "and ends nobody")
    close(conns, c)


def main(t):
    lab = ad.Domain(t, extra=("server min protocol = NT1", "reset on zero vc = yes")).start()
    t.diag("%.1f s: a domain" % t.elapsed())
    lab.caches = {u: lab.kinit(u) for u in ad.USERS}
    lab.caches["NAS$"] = "FILE:%s/cc-nas" % lab.dir
    subprocess.run(["kinit", "-k", "-t", lab.keytab, "-c", lab.caches["NAS$"],
                    "NAS$@" + ad.REALM], env=lab.env, check=True, timeout=30)
    directly(t, lab)
    g = gate.Gate(t, [lab.nas], listen={"lan": "%s:%d" % (ad.GW[0], ad.PORT)}, smb1="allow",
                  keytab=lab.keytab).start()
    p = Place(lab, ad.GW[0], "gw")
    shown(t, p, g)
    kinds = ("SMB1", *DIALECTS)
    rule(t, p, g, "user", "alice", [("alice", k) for k in kinds], "vc_resets")
    # A user is no machine, a computer's own account is.
    rule(t, p, g, "identity", "alice", [], "vc_nameless")
    rule(t, p, g, "identity", "NAS$", [("NAS$", k) for k in kinds] + [("NAS", "3.1.1")],
         "vc_resets")
    damaged(t, p, g)
    crowd(t, p, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    # Without the keys a ticket says nothing.
    g = gate.Gate(t, [lab.nas], listen={"lan": "%s:%d" % (ad.GW[0], ad.PORT)}, smb1="allow",
                  name="without-keys").start()
    rule(t, p, g, "user", "alice", [], "vc_nameless")
    t.same(g.stop(), 0, "smbgate without a keytab ends with status 0")


with tap.Test(deadline=150) as test:
    main(test)
