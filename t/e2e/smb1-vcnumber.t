#!/usr/bin/python3
# smb1-vcnumber.t: clients behind one NAT do not throw each other out; a rebooted one is cleaned up
import hashlib
import itertools
import os
import threading

import clients
import gate
import netns
import node
import smb2
import tap

why = node.missing() or gate.missing() or netns.missing() or clients.missing("smbclient", "curl")
if not why:
    try:
        import smb1
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)

NODE, GW = "10.2.0.9", "10.2.0.2"
PORT = 445
MIB = 1 << 20
# impacket asks for oplocks, and does not hear when they are broken
unique = itertools.count()


class Net:
    """c1, c2 -- nat -- (10.2.0.0/24) -- gw, node, c3"""

    def __init__(self, t):
        lan, wan = netns.Lan(t, "lan"), netns.Lan(t, "wan")
        names = ("c1", "c2", "nat", "gw", "node", "c3")
        self.c1, self.c2, self.nat, self.gw, self.node, self.c3 = (netns.Host(t, n) for n in names)
        for i, h in ((2, self.c1), (3, self.c2)):
            lan.join(h, "10.1.0.%d/24" % i)
            h.route("default", "10.1.0.1")
        lan.join(self.nat, "10.1.0.1/24")
        wan.join(self.nat, "10.2.0.1/24", name="out")
        wan.join(self.gw, GW + "/24")
        wan.join(self.node, NODE + "/24")
        wan.join(self.c3, "10.2.0.3/24")
        self.nat.forward()
        self.nat.masquerade("out")


class Transfer:
    """A connection that goes on writing and reading back, on a host, until it is told to stop."""

    def __init__(self, host, addr, name, dialect):
        self.host, self.stop, self.error, self.rounds = host, False, None, 0
        with host.inside():
            if dialect == 1:
                self.c = smb1.Client(addr, PORT, vc=1, name=name).login().open(name)
                self.write, self.read = self.c.write, lambda off, n: self.c.read(off, n)
            else:
                self.c = smb2.Conn(addr, PORT).negotiate([dialect])
                s = self.c.login()
                tid = self.c.tree(s)
                fid = self.c.create(s, tid, name, disp=5)
                self.write = lambda off, data: self.c.write(s, tid, fid, off, data)
                self.read = lambda off, n: self.c.read(s, tid, fid, off, n)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stop:
                data = hashlib.sha256(b"%d" % self.rounds).digest() * 1024
                off = self.rounds % 64 * len(data)
                self.write(off, data)
                if self.read(off, len(data)) != data:
                    raise ValueError("round %d: other bytes than were written" % self.rounds)
                self.rounds += 1
        except Exception as e:       # any end of it is told by result()
            self.error = e or repr(e)

    def goes_on(self, more=20, seconds=60):
        """So many rounds more, byte for byte."""
        want = self.rounds + more
        tap.wait_for(lambda: self.error or self.rounds >= want, seconds)
        return self.error is None and self.rounds >= want

    def ended(self, seconds=60):
        return bool(tap.wait_for(lambda: self.error, seconds))

    def end(self):
        self.stop = True
        self.thread.join(20)
        self.c.close()


def newcomer(host, addr, vc, name="PC2", extended=True, password="Alice-pw-1"):
    """A logon with that VcNumber; the client, or None where it is refused."""
    with host.inside():
        c = smb1.Client(addr, PORT, vc=vc, name=name, extended=extended)
        try:
            c.login(password=password).open("%s-%d" % (name, next(unique)))
        except Exception as e:
            print("# VcNumber %d, %s: %s" % (vc, name, e))
            c.close()
            return None
        return c


def neighbours(t, n, addr, label, vc, dies):
    """c1 copies over SMB1 and SMB3, c2 behind the same NAT logs on."""
    for extended in (True, False):
        running = [Transfer(n.c1, addr, "one", 1), Transfer(n.c1, addr, "three", 0x0311)]
        t.ok(all([x.goes_on(5) for x in running]), label + ": both transfers run")
        c = newcomer(n.c2, addr, vc, extended=extended)
        t.ok(c is not None and (c.sent[0][32] == 12) == extended
             and all(x[41:43] == vc.to_bytes(2, "little") for x in c.sent),
             "%s: the neighbour logs on with VcNumber %d, WordCount %d"
             % (label, vc, 12 if extended else 13))
        for x, what in zip(running, ("SMB1", "SMB 3.1.1")):
            if dies:
                t.ok(x.ended(), "%s: the %s transfer is cut" % (label, what))
            else:
                t.ok(x.goes_on(), "%s: the %s transfer goes on, byte for byte" % (label, what),
                     x.error)
        t.ok(c is not None and c.alive(), label + ": and so does the neighbour")
        for x in running:
            x.end()
        if c:
            c.close()


def counted(g, before, *names):
    after = g.stats()
    return [after.get(x, 0) - before.get(x, 0) for x in names]


def signed_again(t, n, signing):
    """A further logon on a connection that signs: its VcNumber is under the signature."""
    with n.gw.inside():
        g = gate.Gate(t, [signing], listen={"lan": "%s:446" % GW}, smb1="allow").start()
    for label, addr, port, want in (("direct", NODE, signing.port, "logged on"),
                                    ("through smbgate", GW, 446, "closed")):
        with n.c3.inside():
            c = smb1.Client(addr, port, vc=0, name="PC3").login().open("signed")
            t.ok(c.key and c.alive(), label + ": a connection signs, and works")
            try:
                c.login("bob", "Bob-pw-2")
                got = "logged on"
            except Exception as e:   # impacket raises many kinds of them
                got = "closed: %s" % e
            t.ok(c.sent[-1][41:43] == b"\0\0" and got.split(":")[0] == want,
                 "%s: a second user with a signed VcNumber 0 there: %s" % (label, want), got)
            c.close()
    stats = g.stats()
    t.same([stats[x] for x in ("vc_zero", "vc_renumbered", "vc_signed")], [3, 2, 1],
           "what was signed could not be changed, did not pass, and is counted")
    g.stop()


def reset_by_address(t, n, g):
    g.reload(vc_reset="address", nat=None)
    old1, old3 = Transfer(n.c3, GW, "o1", 1), Transfer(n.c3, GW, "o3", 0x0302)
    near = [Transfer(n.c1, GW, "n1", 1), Transfer(n.c1, GW, "n3", 0x0311)]
    before, stats = g.closes(), g.stats()
    t.ok(all([x.goes_on(5) for x in [old1, old3] + near]), "reset: four transfers run")
    t.ok(newcomer(n.c3, GW, 0, password="wrong") is None, "reset: a logon that fails ...")
    t.ok(all([x.goes_on(5) for x in [old1, old3] + near]), "... ends nothing")
    c = newcomer(n.c3, GW, 1)
    t.ok(c and old1.goes_on(5) and old3.goes_on(5), "reset: VcNumber 1 ends nothing")
    c.close()
    c = newcomer(n.c3, GW, 0)
    t.ok(c is not None, "reset: the rebooted client logs on with VcNumber 0")
    t.ok(old1.ended() and old3.ended(), "reset: its older connections are closed, SMB1 and SMB3")
    t.ok(all([x.goes_on() for x in near]), "reset: those of its neighbours are not",
         [x.error for x in near])
    t.ok(c.alive(), "reset: and its new one is not")
    t.same(g.closed_since(before).get("vc_reset"), 2, "reset: counted as vc_reset")
    t.same(counted(g, stats, "vc_zero", "vc_renumbered", "vc_resets"), [4, 4, 1],
           "reset: renumbered in each leg, one reset")
    again = newcomer(n.c3, GW, 0)
    t.ok(again is not None and c.gone(), "reset: a second reboot ends what the first one opened")
    with n.c3.inside():
        late = smb1.Client(GW, PORT, vc=0, name="PC3")
    younger = Transfer(n.c3, GW, "younger", 0x0311)
    late.login()
    t.ok(again.gone() and younger.goes_on(),
         "reset: what began later than the connection that asks is not older")
    younger.end()
    late.close()
    again.close()
    again = newcomer(n.c3, GW, 1)
    # behind a NAT, named as one
    g.reload(nat=["10.2.0.1", "192.0.2.0/24"])
    stats = g.stats()
    c2 = newcomer(n.c2, GW, 0)
    t.ok(c2 is not None and all([x.goes_on() for x in near]),
         "nat: VcNumber 0 from behind it ends nothing")
    t.same(counted(g, stats, "vc_resets", "vc_nat"), [0, 1], "nat: counted")
    # not named as one: everybody there is the one client
    g.reload(nat=["192.0.2.0/24"])
    c2b = newcomer(n.c2, GW, 0)
    t.ok(c2b is not None and all([x.ended() for x in near]) and c2.gone(),
         "an address that is not named as NAT is one client")
    t.ok(again.alive(), "and another address another one")
    for x in near + [old1, old3]:
        x.end()
    for x in (c, again, c2, c2b):
        x.close()


def reset_by_identity(t, n, g):
    g.reload(vc_reset="identity", nat=["10.2.0.0/24"])
    one = Transfer(n.c1, GW, "PC1", 1)
    with n.c2.inside():
        two = smb2.Conn(GW, PORT).negotiate([0x0311])
        s = two.login(auth=smb2.Ntlm("alice", "Alice-pw-1", workstation="pc2"))
        two.tree(s)
        other = smb2.Conn(GW, PORT).negotiate([0x0311])
        so = other.login(auth=smb2.Ntlm("bob", "Bob-pw-2", workstation="PC9"))
        other.tree(so)
    with n.c3.inside():
        far = smb2.Conn(GW, PORT).negotiate([0x0311])
        sf = far.login(auth=smb2.Ntlm("alice", "Alice-pw-1", workstation="PC2"))
        far.tree(sf)
    c = newcomer(n.c2, GW, 0, name="PC2")
    t.ok(c is not None, "identity: PC2 logs on with VcNumber 0, as alice")
    t.ok(tap.wait_for(lambda: not two.is_open(), 60),
         "identity: PC2's older connection from there is closed")
    t.ok(one.goes_on(), "identity: PC1's, of the same user behind the same NAT, is not", one.error)
    t.ok(other.is_open(), "identity: nor that of another user on another machine")
    t.ok(far.is_open(), "identity: nor that of a PC2 at another address")
    # WordCount 13 says no workstation
    v = newcomer(n.c2, GW, 1, name="PC6", extended=False)
    stats = g.stats()
    w = newcomer(n.c2, GW, 0, name="PC7", extended=False)
    t.ok(v and w and v.alive() and counted(g, stats, "vc_nameless") == [1],
         "identity: where no machine is named nothing ends")
    g.reload(vc_reset="user")
    x = newcomer(n.c2, GW, 0, name="PC8", extended=False)
    t.ok(x and v.gone() and w.gone(), "user: where no machine is named the user counts")
    t.ok(one.goes_on() and c.alive(), "user: but not against connections of named machines")
    for y in (v, w, x):
        y.close()
    one.end()
    for x in (c, two, other, far):
        x.close()
    g.reload(vc_reset=None, nat=None)


def programs(t, n, top, addr, port, label):
    """smbclient, curl and impacket at SMB1."""
    payload = os.urandom(3 * MIB + 77)
    src, dst = os.path.join(top, "src"), os.path.join(top, "dst")
    with open(src, "wb") as f:
        f.write(payload)

    def same():
        with open(dst, "rb") as f:
            return f.read() == payload

    with n.c3.inside():
        r = clients.smbclient(addr, port, ["put %s sc" % src, "get sc %s" % dst, "ls", "del sc"],
                              "-m", "NT1", "--option=client min protocol=NT1")
        t.ok(r.returncode == 0 and same(), label + ": smbclient -m NT1 puts and gets",
             r.stdout[-800:])
    url = "smb://%s:%d/data/cu" % (addr, port)
    n.c3.run("curl", "-sS", "-u", "alice:Alice-pw-1", "-T", src, url)
    n.c3.run("curl", "-sS", "-u", "alice:Alice-pw-1", "-o", dst, url)
    t.ok(same(), label + ": curl puts and gets")
    with n.c3.inside():
        c = smb1.Client(addr, port).login().open("im")
        for off in range(0, len(payload), 16384):
            c.write(off, payload[off:off + 16384])
        got = b"".join(c.read(off, 16384) for off in range(0, len(payload), 16384))
        t.ok(got == payload, label + ": impacket writes and reads")
        c.close()


def main(t):
    n = Net(t)
    with n.node.inside():
        smbd = node.Node(node.Lab(t), "n1", NODE, PORT, interfaces=[NODE + "/24"],
                         extra=["ntlm auth = ntlmv1-permitted"]).start()
        signing = node.Node(smbd.lab, "n2", NODE, 446, interfaces=[NODE + "/24"],
                            signing="mandatory").start()
    with n.gw.inside():
        g = gate.Gate(t, [smbd], listen={"lan": "%s:%d" % (GW, PORT)}, smb1="allow",
                      conf='listen "nbt" { address = "%s" netbios = true }\n' % GW).start()

    neighbours(t, n, NODE, "direct, VcNumber 0", 0, True)
    neighbours(t, n, NODE, "direct, VcNumber 1", 1, False)
    before = g.stats()
    neighbours(t, n, GW, "through smbgate, VcNumber 0", 0, False)
    t.same(counted(g, before, "vc_zero", "vc_renumbered", "vc_resets"), [3, 3, 0],
           "every VcNumber 0 was renumbered, in each leg; none asked for more")
    g.reload(vcnumber="pass")
    neighbours(t, n, GW, "vcnumber = pass, VcNumber 0", 0, True)
    g.reload(vcnumber=None)
    before = g.stats()
    neighbours(t, n, GW, "through smbgate, VcNumber 1", 1, False)
    t.same(counted(g, before, "vc_zero", "vc_renumbered"), [0, 0], "another VcNumber is left alone")

    reset_by_address(t, n, g)
    reset_by_identity(t, n, g)
    top = node.tempdir(t)
    programs(t, n, top, NODE, PORT, "direct")
    programs(t, n, top, GW, PORT, "through smbgate")
    before = g.stats()
    programs(t, n, top, GW, 139, "through smbgate, port 139")
    t.ok(counted(g, before, "netbios_sessions")[0] >= 2, "sessions were asked for there")
    signed_again(t, n, signing)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
