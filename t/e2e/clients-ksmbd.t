#!/usr/bin/python3
# clients-ksmbd.t: Linux's own server as the node: lists, binds, protections, and numbers used again
"""The node is asked directly as well, the control run.  SMBGATE_KERNEL: a folder with a kernel and
ksmbd-tools (see dev/packages.sh)."""
import gate
import keyed
import ksmbd
import model
import netns
import node
import smb2
import tap

why = gate.missing() or node.missing() or netns.missing() or ksmbd.missing()
if why:
    tap.skip_all(why)

GW, GW2, FORBIDDEN = "10.8.0.1", "10.8.0.2", "10.8.0.9"
NODE, NODE2, OTHER = "10.8.0.11", "10.8.0.12", "10.8.0.21"
LIST = [(GW, {"speed": "10G", "rss": True, "ifindex": 11}),
        (GW2, {"speed": "25G", "ifindex": 12})]
ACL = {"allow": ["10.8.0.0/24"], "deny": [FORBIDDEN]}
USERS = {u: pw for u, (pw, _) in node.USERS.items()}
SIGNED, SEALED = {"sign": True}, {"seal": True, "sign": False}
# name, dialects, how NEGOTIATE is made, and what becomes of the session
KINDS = [("2.1 plain", [0x0210], {}, {}), ("2.1 signed", [0x0210], {}, SIGNED),
         ("3.0 plain", [0x0300], {}, {}), ("3.0 signed", [0x0300], {}, SIGNED),
         ("3.0 sealed", [0x0300], {}, SEALED), ("3.0.2 signed", [0x0302], {}, SIGNED),
         ("3.0.2 sealed", [0x0302], {}, SEALED), ("3.1.1 signed", [0x0311], {}, SIGNED),
         ("3.1.1 signed, HMAC", [0x0311], {"signing": (0,)}, SIGNED)] + [
             ("3.1.1 sealed, %s" % keyed.CIPHERS[k], [0x0311], {"ciphers": (k,)}, SEALED)
             for k in keyed.CIPHERS]
BINDS = [k for k in KINDS if k[0] in ("3.0 signed", "3.0.2 signed", "3.1.1 signed")]


class Lab:
    """raw clients, and smbgate, on one machine -- another one with ksmbd"""

    def __init__(self, t):
        lan, self.gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
        lan.join(self.gw, *(a + "/24" for a in (GW, GW2, FORBIDDEN)), name="eth0")
        self.node = ksmbd.Node(t, [(lan, NODE + "/24"), (lan, NODE2 + "/24")]).boot()
        self.other = ksmbd.Node(t, [(lan, OTHER + "/24")], name="k2").boot()
        for n in (self.node, self.other):
            n.run("echo -n %s > /data/whoami" % n.name)
        with self.gw.inside():
            self.g = gate.Gate(t, [self.node], listen={"lan": "0.0.0.0:445"},
                               keytab=keyed.light_keytab(t), interfaces={"lan": {
                                   "mode": "announce", "list": LIST}}, **ACL).start()
        t.diag("%.1f s: ksmbd of Linux %s" % (t.elapsed(), self.node.run("uname -r")))


def login(addr, dialects, how, protection, user="alice", guid=None):
    c = smb2.Conn(addr, 445).negotiate(dialects, guid=guid, **how)
    return c, c.login(user, USERS[user], **protection)


def all_told(entries):
    return [e.key() for e in entries]


def sessions(t, lab):
    """Of each kind one: files work, and its list is the announced one."""
    want = model.told(model.Acl(**ACL), {"mode": "announce", "list": LIST}, GW, [])
    for label, *kind in KINDS:
        for way, addr in (("direct", NODE), ("through", GW)):
            c, s = login(addr, *kind)
            tid = c.tree(s)
            t.ok(keyed.traffic(c, s, tid, name=way), "%s, %s: a file goes there and back" % (
                way, label))
            got = c.ifinfo(s, tid)
            if way == "direct":
                t.ok({NODE, NODE2} < {e.ip for e in got} and any(
                    e.ip.startswith("fe80:") for e in got),
                    "direct, %s: its own list, with link-local addresses" % label, got)
            else:
                t.ok(model.wanted(got, want), "through, %s: the announced list" % label, got)
                t.same(lab.g.keyed(s.sid)[2], "alice@LABGROUP", "through, %s: keyed" % label)
            c.close()


def filtered(t, lab):
    """Its own list without what no client can reach."""
    kind = KINDS[-1][1:]
    c, s = login(NODE, *kind)
    own = c.ifinfo(s, c.tree(s))
    c.close()
    lab.g.reload(interfaces={"lan": {"mode": "filter"}})
    c, s = login(GW, *kind)
    got = c.ifinfo(s, c.tree(s))
    want = model.told(model.Acl(**ACL), {"mode": "filter"}, GW, all_told(own))
    t.ok(model.wanted(got, want) and {e.ip for e in got} == {NODE, NODE2},
         "filter: its own list without link-local addresses", got)
    c.close()
    lab.g.reload(interfaces={"lan": {"mode": "announce", "list": LIST}})


def bound(t, way, addr, also, label, kind):
    a, s = login(addr, *kind)
    tid = a.tree(s)
    fid = a.create(s, tid, "bound", disp=5)
    b = smb2.Conn(also, 445).negotiate(kind[0], guid=a.guid, **kind[1])
    b.login(bind=s)
    a.write(s, tid, fid, 0, b"one")
    b.write(s, tid, fid, 3, b"two")
    t.same((a.read(s, tid, fid, 0, 99), b.read(s, tid, fid, 0, 99)), (b"onetwo", b"onetwo"),
           "%s, %s: a bound channel, and both read what both wrote" % (way, label))
    b.close()
    t.same(a.read(s, tid, fid, 0, 99), b"onetwo", "%s, %s: the first goes on without it" % (
        way, label))
    a.close()


def forbidden(t, label, kind):
    a, s = login(GW, *kind)
    tid = a.tree(s)
    fid = a.create(s, tid, "bound", disp=5)
    b = smb2.Conn(FORBIDDEN, 445).negotiate(kind[0], guid=a.guid, **kind[1])
    try:
        b.login(bind=s)
        t.ok(False, label + ": a forbidden bind is refused")
    except smb2.Status as e:
        t.same(hex(e.status), hex(smb2.REQUEST_NOT_ACCEPTED), label + ": a forbidden bind is "
               "refused")
    b.echo()
    a.write(s, tid, fid, 0, b"still")
    t.same(a.read(s, tid, fid, 0, 99), b"still", label + ": and the first channel goes on")
    s2 = b.login("bob", USERS["bob"])
    t.ok(keyed.traffic(b, s2, b.tree(s2)), label + ": and another session works there")
    a.close()
    b.close()


def binds(t, lab):
    for label, *kind in BINDS:
        bound(t, "direct", NODE, NODE2, label, kind)
        bound(t, "through", GW, GW2, label, kind)
        forbidden(t, label, kind)


def again(addr, kind, sid):
    """A session of bob's that has that number, as soon as the node gives it again."""
    found = []

    def look():
        found[:] = login(addr, *kind, user="bob")
        if found[1].sid != sid:
            found[0].close()
        return found[1].sid == sid
    return found if tap.wait_for(look, 20, every=0.1) else None


def numbers(t, lab, way, addr):
    """Two clients at once; then one goes, with and without a word, and its number is another's."""
    for label, *kind in (k for k in KINDS if k[0] in ("3.0 signed", KINDS[-1][0])):
        for leaves in ("logs off", "is cut"):
            what = "%s, %s, %s" % (way, label, leaves)
            a, s = login(addr, *kind)
            b, s2 = login(addr, *kind, user="bob")
            trees = a.tree(s), b.tree(s2)
            t.ok(s.sid != s2.sid and max(s.sid, s2.sid) < 64, what + ": small numbers", s.sid,
                 s2.sid)
            if leaves == "logs off":
                a.logoff(s)
                a.close()
            else:
                a.reset()
            got = again(addr, kind, s.sid)
            if not t.ok(got, what + ": the next one has its number"):
                continue
            c, s3 = got
            t.ok(keyed.traffic(c, s3, c.tree(s3), name="third"), what + ": and works")
            t.ok(keyed.traffic(b, s2, trees[1], name="second"), what + ": and the other one, too")
            if way == "through":
                t.ok(model.wanted(c.ifinfo(s3, c.tree(s3)), model.configured(LIST)),
                     what + ": it is told the announced list")
                t.same(lab.g.keyed(s3.sid)[2], "bob@LABGROUP", what + ": it is bob's")
            b.close()
            c.close()


def whoami(c, s, tid):
    fid = c.create(s, tid, "whoami")
    name = c.read(s, tid, fid, 0, 9).decode()
    c.close_file(s, tid, fid)
    return name


def same_number(kind):
    """Sessions at either node, of alice and of bob, that have the same number: by node."""
    kept = {}
    while len(kept) < 2:
        user = ("alice", "bob")[len(kept)]
        c, s = login(GW, *kind, user=user)
        who = whoami(c, s, c.tree(s))
        if who in kept:
            c.close()
        else:
            kept[who] = user, c, s
    if len({s.sid for _, _, s in kept.values()}) == 1:
        return kept
    for _, c, _ in kept.values():
        c.close()
    return None


def two(t, lab):
    """Another node, which gives the same numbers at the same time."""
    lab.g.reload(nodes=[lab.node, lab.other])
    tap.wait_for(lab.g.probed, 30, message=lambda: "nodes: %s" % lab.g.node_list())
    for label, *kind in BINDS:
        kept = tap.wait_for(lambda k=kind: same_number(k), 30, every=0.1)
        if not t.ok(kept, "two nodes, %s: sessions of the same number" % label):
            continue
        sid = kept["k1"][2].sid
        t.same(sorted(x["principal"] for x in lab.g.sessions() if int(x["session_id"], 16) == sid),
               ["alice@LABGROUP", "bob@LABGROUP"], "two nodes, %s: smbgate has both" % label)
        for who, (user, a, s) in kept.items():
            b = smb2.Conn(GW2, 445).negotiate(kind[0], guid=a.guid, **kind[1])
            b.login(user, USERS[user], bind=s)
            t.same([whoami(c, s, a.tree(s)) for c in (a, b)], [who, who],
                   "two nodes, %s: a bind goes where its session is, %s" % (label, who))
            b.close()
        for _, a, _ in kept.values():
            a.close()


def main(t):
    lab = Lab(t)
    with lab.gw.inside():
        sessions(t, lab)
        filtered(t, lab)
        binds(t, lab)
        numbers(t, lab, "direct", NODE)
        numbers(t, lab, "through", GW)
        two(t, lab)
        t.same(lab.g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=120) as test:
    main(test)
