#!/usr/bin/python3
# front-openings.t: how a connection may begin: NEGOTIATE again, odd and refused, old nodes, NetBIOS
import concurrent.futures
import hashlib
import os
import struct

import ad
import clients
import fake
import front
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing() or clients.missing("smbclient")
if not why:
    try:
        import smb1
        from impacket.smbconnection import SMBConnection
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)

CROWD = int(os.environ.get("SMBGATE_CROWD", "16"))
TRIES = max(6, CROWD // 4)
ALL = [0x0202, 0x0210, 0x0300, 0x0302, 0x0311]
CAP_RAW_MODE = 1


def keytab(t):
    users = {u: pw for u, (pw, _) in node.USERS.items()}
    return ad.write_keytab(node.tempdir(t) + "/keys", ad.user_entries(users))


def said(fn, *args):
    """What it says, or how it ended."""
    try:
        return fn(*args)
    except smb2.Closed:
        return "closed"
    except smb2.Status as e:
        return "0x%08X" % e.status


def equal(t, g, n, fn, name, want=None):
    """The node first, then smbgate: the same."""
    direct = said(fn, n.addr, n.port)
    if want is not None:
        t.same(direct, want, "direct: " + name)
    t.same(said(fn, "127.0.0.1", g.port), direct, "%s: %s, as directly" % (name, direct))


# -- the lists of a NEGOTIATE

def ctx(kind, data):
    return struct.pack("<HHI", kind, len(data), 0) + data + bytes(-len(data) % 8)


def body(guid, dialects, contexts, lead=0, tail=b"", count=None):
    head = struct.pack("<HHHHI", 36, len(dialects), 1, 0, 0x7F) + guid
    dl = b"".join(struct.pack("<H", d) for d in dialects)
    off = 64 + 36 + len(dl)
    pad = -off % 8 + lead
    return head + struct.pack("<IHH", off + pad, len(contexts) if count is None else count, 0) \
        + dl + bytes(pad) + b"".join(contexts) + tail


def lists():
    pre = ctx(1, struct.pack("<HHH", 1, 32, 1) + os.urandom(32))
    usual = [pre, ctx(2, struct.pack("<HHH", 2, 2, 1)), ctx(8, struct.pack("<HHHH", 3, 2, 1, 0))]
    return {
        "4 bytes late": (ALL, usual, {"lead": 4}),
        "40 contexts": (ALL, usual + [ctx(0x100 + i, b"x" * 8) for i in range(37)], {}),
        "more contexts than there are": (ALL, usual, {"count": 9}),
        "no context": (ALL, [], {}),
        "40 dialects": (ALL + [0x400 + i for i in range(35)], usual, {}),
        "bytes behind": (ALL, usual, {"tail": bytes(40)}),
    }


def ask(c, guid, data):
    """A NEGOTIATE with this body: its status; 0: the connection may go on."""
    req = c.build(smb2.NEGOTIATE, data, charge=0, credits=31)
    c.guid = guid
    c.send_frame(req)
    m, = c.answers([smb2.Msg(req).mid])
    if m.status == 0:
        c.preauth = hashlib.sha512(hashlib.sha512(bytes(64) + req).digest() + m.raw).digest()
        c._negotiated(m)
    return m.status


def works(c):
    s = c.login()
    tid = c.tree(s)
    fid = c.create(s, tid, "openings-%s" % os.urandom(4).hex(), disp=5)
    c.write(s, tid, fid, 0, b"abc")
    if c.read(s, tid, fid, 0, 9) != b"abc":
        raise smb2.Broken("other bytes than were written")
    return s


def odd_lists(t, g, n):
    def one(make):
        def run(addr, port):
            guid = os.urandom(16)
            with smb2.Conn(addr, port) as c:
                status = ask(c, guid, body(guid, *make[:2], **make[2]))
                if status:
                    return "0x%08X" % status
                works(c)
                return "%04x" % c.dialect
        return run
    for name, make in lists().items():
        equal(t, g, n, one(make), "NEGOTIATE, " + name)


# -- a NEGOTIATE after a NEGOTIATE

def refused(c, guid):
    """Three that every node refuses, each for another reason."""
    return [ask(c, guid, smb2.negotiate_body([0x0999], guid)),
            ask(c, guid, body(guid, [0x0311], [])),
            ask(c, guid, body(guid, ALL, [ctx(1, struct.pack("<HHH", 1, 32, 9) + bytes(32))]))]


def again(t, g, n):
    def after_refusals(addr, port):
        guid = os.urandom(16)
        with smb2.Conn(addr, port) as c:
            first = refused(c, guid)
            if 0 in first:
                raise smb2.Broken("not refused: %r" % first)
            status = ask(c, guid, smb2.negotiate_body(ALL, guid))
            s = works(c)
            if port == g.port:
                t.ok(g.keyed(s.sid), "the session behind refused NEGOTIATEs is keyed",
                     g.session(s.sid))
            return first + [status, c.dialect]

    def after_success(addr, port):
        with smb2.Conn(addr, port).negotiate() as c:
            return ask(c, c.guid, smb2.negotiate_body(ALL, c.guid))
    equal(t, g, n, after_refusals, "a NEGOTIATE behind three that were refused")
    equal(t, g, n, after_success, "a NEGOTIATE behind one that was not", "closed")


def others_guid(t):
    """A refused NEGOTIATE, and then one with the GUID of a client that lives on another node."""
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i), on_message=picky).start()
             for i in (1, 2)]
    with smb2.Conn(nodes[0].addr, nodes[0].port) as c:
        mine, other = os.urandom(16), os.urandom(16)
        t.same([ask(c, mine, smb2.negotiate_body([0x0999], mine)),
                ask(c, other, smb2.negotiate_body([0x0311], other))],
               [smb2.NOT_SUPPORTED, 0], "direct: the node takes a second one with another GUID")
    g = gate.Gate(t, nodes).start()
    victim = smb2.Conn("127.0.0.1", g.port).negotiate()
    victim.guest()
    away = [n for n in nodes if n.server_guid != victim.server_guid][0]
    before = g.closes()
    guids = [os.urandom(16) for _ in range(CROWD)]

    def stranger(mine):
        c = smb2.Conn("127.0.0.1", g.port)
        ask(c, mine, smb2.negotiate_body([0x0999], mine))
        try:
            return ask(c, victim.guid, smb2.negotiate_body([0x0311], victim.guid))
        except smb2.Closed:
            return "closed"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = set(pool.map(stranger, guids))
    t.same(got, {"closed"}, "%d strangers with the client's GUID: each is closed" % CROWD)
    t.ok(any(x in away.guids for x in guids), "some of them were on another node")
    t.ok(victim.guid not in away.guids, "which has not heard of the client")
    t.ok(tap.wait_for(lambda: g.closed_since(before).get("other_guid") == CROWD, 20),
         "counted: %s" % g.closed_since(before))
    victim.echo()
    t.same(g.stop(), 0, "other GUIDs: smbgate ends with status 0")


def picky(_, m):
    """A node that refuses a dialect which it does not know, as they all do."""
    if isinstance(m, bytes) or m.cmd != smb2.NEGOTIATE or m.body[36:38] != b"\x99\x09":
        return None
    return smb2.frame(fake.FakeNode.error(m, smb2.NOT_SUPPORTED))


# -- nodes that know no more than 2.0.2, or SMB1

def old_nodes(t, lab):
    n = node.Node(lab, "old2", "127.0.0.13", extra=["server max protocol = SMB2_02"]).start()
    g = gate.Gate(t, [n]).start()

    def multi(addr, port):
        with smb2.Conn(addr, port) as c:
            d = c.multi_negotiate()
            works(c)
            return "%04x" % d

    def without_002(addr, port):
        with smb2.Conn(addr, port) as c:
            c.send_frame(smb2.smb1_negotiate(["NT LM 0.12", "SMB 2.???"]))
            return c.recv_frame()[:5].hex()
    equal(t, g, n, multi, "2.0.2 node, multi-protocol opening", "0202")
    equal(t, g, n, without_002, "2.0.2 node, \"SMB 2.???\" without \"SMB 2.002\"")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = set(pool.map(lambda _: said(multi, "127.0.0.1", g.port), range(CROWD)))
    t.same(got, {"0202"}, "2.0.2 node: %d at once" % CROWD)
    g.reload(auth={"min-dialect": "2.1"})
    with smb2.Conn("127.0.0.1", g.port) as c:
        c.send_frame(smb2.smb1_negotiate(smb2.MULTI))
        t.same(c.recv_frame()[32:35], b"\1\xff\xff",
               "2.0.2 node, min-dialect 2.1: the client is told that no dialect fits")
    t.same(g.stop(), 0, "2.0.2 node: smbgate ends with status 0")

    m = node.Node(lab, "old1", "127.0.0.14", extra=["server max protocol = NT1"]).start()
    g = gate.Gate(t, [m], smb1="allow").start(nodes_up=False)
    tap.wait_for(lambda: g.node_states()["old1"] == "up", 60, message=g.log)

    def smb1_chosen(addr, port):
        c = SMBConnection("*SMBSERVER", addr, sess_port=port, timeout=10)
        try:
            c.login("alice", "Alice-pw-1")
            return c.getDialect()
        finally:
            c.close()
    equal(t, g, m, smb1_chosen, "SMB1 node, multi-protocol opening", "NT LM 0.12")
    t.same(g.stop(), 0, "SMB1 node: smbgate ends with status 0")


# -- nodes that know different dialects, behind one listener

NEW = [0x0210, 0x0300, 0x0302, 0x0311]
WAYS = {
    "a multi-protocol opening": (True, ALL),
    "a multi-protocol opening, then 2.1 and newer": (True, NEW),
    "\"SMB 2.002\" at best": (smb2.MULTI[:-1], ALL),
    "2.0.2": (None, [0x0202]),
    "2.0.2 to 3.1.1": (None, ALL),
    "2.1 and newer": (None, NEW),
    "3.1.1": (None, [0x0311]),
}


def way(c, multi, dialects):
    """Opens a connection in this way, and works on it: the dialect."""
    if multi:
        c.multi_negotiate(smb2.MULTI if multi is True else multi)
    if c.dialect in (0, 0x02FF):
        guid = os.urandom(16)
        status = ask(c, guid, smb2.negotiate_body(dialects, guid))
        if status:
            return "0x%08X" % status
    works(c)
    return "%04x" % c.dialect


def opened(addr, port, multi, dialects):
    with smb2.Conn(addr, port) as c:
        return said(way, c, multi, dialects)


def table(t, g, nodes, when):
    """Every way, by several clients: as directly at one of the nodes, and always served where one
    of them serves it.  Returns what is served, by way."""
    good = {}
    for name, args in WAYS.items():
        direct = {opened(n.addr, n.port, *args) for n in nodes}
        good[name] = {x for x in direct if len(x) == 4}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = set(pool.map(lambda _, a=args: opened("127.0.0.1", g.port, *a), range(TRIES)))
        t.ok(got <= (good[name] or direct), "%s: %s: directly %s, through smbgate %s" % (
            when, name, sorted(direct), sorted(got)))
    return good


def mixed(t, lab, new):
    """A node that knows 2.0.2 alone beside one that knows all; either goes, and comes back."""
    old = node.Node(lab, "old3", "127.0.0.15", extra=["server max protocol = SMB2_02"]).start()
    g = gate.Gate(t, [old, new], name="mixed").start()
    before = g.closes()
    live = [smb2.Conn("127.0.0.1", g.port).negotiate(NEW, multi=bool(i % 2)) for i in range(CROWD)]
    for c in live:
        c.login()
    good = table(t, g, [old, new], "2.0.2 and 3.1.1")
    t.ok(sum(len(x) for x in good.values()) > len(good), "each has ways of its own", good)
    t.same({c.dialect for c in live}, {0x0311}, "who takes no 2.0.2 is on the other node")
    old.kill()
    tap.wait_for(lambda: g.node_states()[old.name] == "down", 60, message=g.log)
    table(t, g, [new], "the 2.0.2 node is away")
    t.same([c.is_open() for c in live], [True] * len(live), "who lives on the other one stays")
    old.start()
    tap.wait_for(lambda: g.node_states()[old.name] == "up", 60, message=g.log)
    gate.settle_closes(g)
    t.same(set(g.closed_since(before)) - {"client_eof", "node_eof"}, set(),
           "nobody was cut by smbgate")
    g.reload(nodes=[old, (new, {"state": "drain"})])
    table(t, g, [old], "the other node is drained")
    t.same([c.is_open() for c in live], [True] * len(live), "who lives there stays")
    for c in live:
        c.close()
    t.same(g.stop(), 0, "mixed nodes: smbgate ends with status 0")
    old.stop()


# -- what comes in front

def in_front(t, g, n):
    def first(data, answer=b""):
        def run(addr, port):
            with smb2.Conn(addr, port) as c:
                c.send_raw(data)
                if answer and c._exactly(len(answer)) != answer:
                    return "another answer"
                works(c.negotiate())
                return "works"
        return run

    def between(addr, port):
        guid = os.urandom(16)
        with smb2.Conn(addr, port) as c:
            c.send_raw(front.KEEPALIVE)
            c.multi_negotiate()
            c.send_raw(front.KEEPALIVE * 2)
            ask(c, guid, smb2.negotiate_body([0x0999], guid))
            c.send_raw(front.KEEPALIVE)
            ask(c, guid, smb2.negotiate_body(ALL, guid))
            c.send_raw(front.KEEPALIVE)
            works(c)
            return "works"
    request = front.session_request()
    equal(t, g, n, first(request, front.GRANTED), "445, a session request first", "works")
    equal(t, g, n, first(front.KEEPALIVE * 3), "445, keepalives first", "works")
    equal(t, g, n, first(front.KEEPALIVE + request + front.KEEPALIVE, front.GRANTED),
          "445, keepalives around a session request", "works")
    equal(t, g, n, between, "445, keepalives between NEGOTIATEs", "works")
    equal(t, g, n, first(b"\0\0\0\0"), "445, an empty message first", "closed")


class Heard(fake.FakeNode):
    """Counts the keepalives that come to it."""
    keepalives = 0

    def _frame(self, p, payload):
        if payload:
            return super()._frame(p, payload)
        self.keepalives += 1
        return b""


def whose_keepalive(t):
    """netbios = auto: in front of SMB they are smbgate's, and in a session they are the node's."""
    f = Heard(t).start()
    for netbios, want in (("auto", CROWD), ("true", 0), ("false", CROWD)):
        listen = "127.0.0.1:%d" % node.free_port("127.0.0.1")
        g = gate.Gate(t, [f], conf='listen "x" { address = "%s" netbios = %s }\n' % (
            listen, netbios)).start()
        f.keepalives, port = 0, int(listen.rsplit(":", 1)[1])
        live = []
        for _ in range(CROWD):
            c = smb2.Conn("127.0.0.1", port)
            if netbios != "false":
                c.send_raw(front.KEEPALIVE)
            c.negotiate([0x0302]).guest()
            live.append(c)
        t.same(f.keepalives, 0, "netbios = %s: %d keepalives in front: the node hears of none" % (
            netbios, CROWD))
        for c in live:
            c.send_raw(front.KEEPALIVE)
            c.echo()
            c.close()
        t.same(f.keepalives, want, "netbios = %s: of as many in sessions it hears of %d" % (
            netbios, want))
        t.same(g.stop(), 0, "keepalives: smbgate ends with status 0")
    f.stop()


# -- SMB1's raw mode

def nbss(c):
    n = struct.unpack(">I", recvn(c, 4))[0] & 0xFFFFFF
    return recvn(c, n)


def recvn(c, n):
    out = b""
    while len(out) < n:
        got = c.sock.recv(n - len(out))
        if not got:
            raise smb2.Closed("end of stream")
        out += got
    return out


def smb1_message(c, cmd, mid, words):
    return smb2.frame(b"\xffSMB" + bytes([cmd]) + bytes(4) + b"\x18" + struct.pack("<H", 0xC001)
                      + bytes(12) + struct.pack("<HHHH", c.tid, 4242, c.smb.get_uid(), mid)
                      + bytes([len(words) // 2]) + words + bytes(2))


def encryption(t, g, n):
    """Of Samba's UNIX extensions: where it is refused, the client goes on in the clear."""
    ask = ["posix", "posix_encrypt LABGROUP alice Alice-pw-1", "allinfo ."]
    before, stats = g.closes(), g.stats()["smb1_raw"]
    for addr, port in ((n.addr, n.port), ("127.0.0.1", g.port)):
        r = clients.smbclient(addr, port, ask, "-m", "NT1", "--option=client min protocol=NT1")
        t.ok(r.returncode == 0 and "attributes:" in r.stdout,
             "%s: smbclient asks for encryption, and goes on" % addr, r.stdout[-500:])
    t.same(g.stats()["smb1_raw"] - stats, 1, "which is counted")
    gate.settle_closes(g)
    t.same(set(g.closed_since(before)) - {"client_eof"}, set(), "and ends no connection")


def raw_mode(t, n):
    data = os.urandom(8000)
    read = struct.pack("<IHHIH", 0, 8000, 0, 0, 0)
    write = struct.pack("<HHIIHIHH", 8000, 0, 0, 0, 1, 0, 0, 59)

    def caps(addr, port):
        with smb2.Conn(addr, port) as c:
            c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
            return struct.unpack_from("<I", c.recv_frame(), 52)[0]
    g = gate.Gate(t, [n], smb1="allow").start()
    t.same(caps("127.0.0.1", g.port), caps(n.addr, n.port) & ~CAP_RAW_MODE,
           "SMB1's NEGOTIATE answer: without raw mode, and else the node's")
    c = smb1.Client(n.addr, n.port).login().open("raw-direct")
    c.write(0, data)
    c.sock.sendall(smb1_message(c, 0x1A, 77, struct.pack("<H", c.fid) + read))
    t.ok(nbss(c) == data, "direct: READ_RAW gives the bytes")
    c.close()
    c = smb1.Client("127.0.0.1", g.port).login().open("raw")
    c.write(0, data)
    c.sock.sendall(smb1_message(c, 0x1A, 77, struct.pack("<H", c.fid) + read))
    t.same(nbss(c), b"", "READ_RAW: a message of no bytes, which is a refusal")
    c.sock.sendall(smb1_message(c, 0x1D, 78, struct.pack("<H", c.fid) + write))
    got = nbss(c)
    t.ok(got[4] in (0x1D, 0x20) and got[5:9] != bytes(4),
         "WRITE_RAW: the node refuses it, 0x%08X" % struct.unpack_from("<I", got, 5))
    t.ok(c.read(0, 8000) == data, "and READ_ANDX gives the bytes on the same connection")
    t.same(g.stats()["smb1_raw"], 2, "both are counted")
    c.close()
    encryption(t, g, n)
    t.same(g.stop(), 0, "raw mode: smbgate ends with status 0")


def main(t):
    lab = node.Lab(t)
    n = node.Node(lab).start()
    g = gate.Gate(t, [n], keytab=keytab(t)).start()
    odd_lists(t, g, n)
    again(t, g, n)
    in_front(t, g, n)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    whose_keepalive(t)
    others_guid(t)
    old_nodes(t, lab)
    mixed(t, lab, n)
    raw_mode(t, n)


with tap.Test(deadline=240) as test:
    main(test)
