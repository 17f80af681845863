#!/usr/bin/python3
# channels-bind.t: second channels are bound through allowed addresses, refused politely elsewhere
import re
import struct

import clients
import gate
import node
import smb2
import tap

why = node.missing() or clients.missing("smbtorture")
if why:
    tap.skip_all(why)

HERE, ALSO, FORBIDDEN = "127.0.1.1", "127.0.1.2", "127.0.1.9"
FLAVOURS = [("3.0", [0x0300], {}, smb2.AES_CMAC),
            ("3.0.2", [0x0302], {}, smb2.AES_CMAC),
            ("3.1.1 CMAC", [0x0311], {"signing": (1,)}, smb2.AES_CMAC),
            ("3.1.1 GMAC", [0x0311], {"signing": (2, 1)}, smb2.AES_GMAC),
            ("3.1.1 HMAC", [0x0311], {"signing": (0,)}, smb2.HMAC_SHA256)]
ECHO_BODY = struct.pack("<HH", 4, 0)


# what a node logs of a token of ours
TOKEN = "Got NTLMSSP neg_flags"


class Where:
    """How to reach a node: as it is, or through smbgate at a local address."""

    def __init__(self, port, addr=None):
        self.port, self.addr = port, addr

    def open(self, addr, dialects, guid=None, **kw):
        return smb2.Conn(self.addr or addr, self.port).negotiate(dialects, guid=guid, **kw)


def first(w, dialects, **kw):
    a = w.open(HERE, dialects, **kw)
    s = a.login()
    tid = a.tree(s)
    fid = a.create(s, tid, "bound", disp=5)
    return a, s, tid, fid


def bound(t, w, label, dialects, kw, algo):
    """A second channel is bound and works, in both directions, and the first one with it."""
    a, s, tid, fid = first(w, dialects, **kw)
    b = w.open(ALSO, dialects, a.guid, **kw)
    t.ok(a.algo == b.algo == algo, "%s: signing algorithm %d" % (label, algo))
    b.login(bind=s)
    sign = s.sign
    s.sign = True
    a.write(s, tid, fid, 0, b"one")
    b.write(s, tid, fid, 3, b"two")
    t.same((a.read(s, tid, fid, 0, 99), b.read(s, tid, fid, 0, 99)), (b"onetwo", b"onetwo"),
           label + ": both channels read what both wrote, signed")
    b.close()
    t.same(a.read(s, tid, fid, 0, 99), b"onetwo", label + ": the first goes on without the second")
    s.sign = sign
    a.close()


def bind_request(c, s, **kw):
    return c.setup_request(smb2.Ntlm("alice", "Alice-pw-1").negotiate(), s, s.sid, smb2.BINDING,
                           sign=True, **kw)


def refused(t, m, mid, sid, what):
    """The answer that a refused bind has."""
    t.ok(m.status == smb2.REQUEST_NOT_ACCEPTED, what + ": STATUS_REQUEST_NOT_ACCEPTED", m)
    t.ok(m.cmd == smb2.SESSION_SETUP and m.mid == mid and m.flags & smb2.RESPONSE and m.sid == sid,
         what + ": it is the answer to that request", m)
    t.ok(1 <= m.credits <= 8192, what + ": with credits", m)
    t.same(m.body[:9], struct.pack("<HBBIB", 9, 0, 0, 0, 0)[:9], what + ": an error's body")


def ops(n, offset):
    """Which commands the node has been asked since then, as its log tells."""
    return re.findall(r"smbd_smb2_request_dispatch: opcode\[(SMB2_OP_\w+)\] mid = (\d+)",
                      n.log_from(offset))


def only_stood_in(t, n, log, count, label):
    """What stood in for so many refused binds has come, and no bind, and no token."""
    seen, text = ops(n, log), n.log_from(log)
    t.ok(sum(op == "SMB2_OP_SESSSETUP" for op, _ in seen) == count
         and text.count("status[NT_STATUS_USER_SESSION_DELETED]") >= count
         and TOKEN not in text,
         label + ": the node has not seen the request, but one of a session that nobody has", seen)


def forbidden(t, g, n, label, dialects, kw):
    w = Where(g.port)
    a, s, tid, fid = first(w, dialects, **kw)
    b = w.open(FORBIDDEN, dialects, a.guid, **kw)
    t.same(b.server_guid, a.server_guid, label + ": the forbidden channel is at the same node")
    log = n.log_size()
    req = bind_request(b, s)
    mid = smb2.Msg(req).mid
    b.send_frame(req)
    m, = b.recv()
    refused(t, m, mid, s.sid, label)
    b.echo()
    t.ok(True, label + ": the connection answers an ECHO afterwards")
    only_stood_in(t, n, log, 1, label)
    a.write(s, tid, fid, 0, b"still")
    t.same(a.read(s, tid, fid, 0, 99), b"still", label + ": the first channel goes on")
    for i in range(40):
        req = bind_request(b, s)
        b.send_frame(req)
        m, = b.recv()
        if m.status != smb2.REQUEST_NOT_ACCEPTED or not b.credits:
            break
    t.ok(m.status == smb2.REQUEST_NOT_ACCEPTED and b.credits > 0,
         label + ": forty more, and the credits last", m, b.credits)
    s2 = b.login("bob", "Bob-pw-2")
    tid2 = b.tree(s2)
    f2 = b.create(s2, tid2, "afterwards", disp=5)
    b.write(s2, tid2, f2, 0, b"mine")
    t.same(b.read(s2, tid2, f2, 0, 9), b"mine", label + ": then a session of its own works there")
    t.ok(any(op == "SMB2_OP_SESSSETUP" for op, _ in ops(n, log)),
         label + ": and the log shows that one")
    try:
        ok = w.open(ALSO, dialects, a.guid, **kw)
        ok.login(bind=s)
        t.ok(True, label + ": a bind at an allowed address works afterwards")
        ok.close()
    except smb2.Status as e:
        t.ok(False, label + ": a bind at an allowed address works afterwards", e)
    a.close()
    b.close()


def in_compounds(t, w, label, through, n):
    """The same in every position of a compound."""
    a, s, tid, fid = first(w, [0x0302])
    s.sign = False
    echo = {"cmd": smb2.ECHO, "body": ECHO_BODY}
    blob = smb2.Ntlm("alice", "Alice-pw-1").negotiate()
    bind = {"cmd": smb2.SESSION_SETUP, "session": s, "sign": True,
            "body": struct.pack("<HBBIIHHQ", 25, smb2.BINDING, 1, 1, 0, 88, len(blob), 0) + blob}
    for parts in ([bind, echo], [echo, bind], [echo, bind, echo], [echo, echo, bind],
                  [bind, bind]):
        b = w.open(FORBIDDEN if through else ALSO, [0x0302], a.guid)
        b.echo()    # for more than one credit
        name = "%s: %s" % (label, "+".join("bind" if p is bind else "echo" for p in parts))
        log = n.log_size()
        out = b.calls(parts)
        want = [(smb2.REQUEST_NOT_ACCEPTED if through else smb2.MORE_PROCESSING)
                if p is bind else smb2.OK for p in parts]
        if not through and parts == [bind, bind]:
            want[1] = out[1].status     # the control only has to show the first one
        t.same([hex(m.status) for m in out], [hex(x) for x in want], name)
        if through:
            only_stood_in(t, n, log, parts.count(bind), name)
        b.echo()
        b.close()
    # related to a message of the session: the id is inherited
    b = w.open(FORBIDDEN if through else ALSO, [0x0302], a.guid)
    b.echo()
    try:
        out = b.calls([dict(echo, session=s, sign=False),
                       dict(bind, flags=smb2.RELATED, session=None, sid=smb2.ANY64, sign=False)])
        t.ok(not through or out[1].status not in (smb2.OK, smb2.MORE_PROCESSING),
             label + ": a related bind: 0x%08X" % out[1].status)
    except smb2.Closed:
        t.ok(True, label + ": a related bind: closed")
    b.close()
    a.echo()
    a.close()


def elsewhere(t, g, nodes):
    """A bind to a session of another node; and to one that nobody knows."""
    a = Where(g.port).open(HERE, [0x0302])
    s = a.login()
    home = a.server_guid
    for _ in range(50):
        b = Where(g.port).open(ALSO, [0x0302])
        if b.server_guid != home:
            break
        b.close()
    other = [n for n in nodes if n.server_guid == b.server_guid][0]
    log = other.log_size()
    req = bind_request(b, s)
    b.send_frame(req)
    m, = b.recv()
    refused(t, m, smb2.Msg(req).mid, s.sid, "another node's session")
    b.echo()
    only_stood_in(t, other, log, 1, "another node's session")
    b.login("bob", "Bob-pw-2")
    a.echo(session=s)
    t.ok(True, "another node's session: both connections go on")
    a.logoff(s)
    req = bind_request(b, s)
    b.send_frame(req)
    m, = b.recv()
    t.same(hex(m.status), hex(smb2.USER_SESSION_DELETED),
           "a session that is logged off is the node's to answer")
    a.close()
    b.close()


def reload(t, g):
    """New rules hold for new binds; channels that live stay."""
    a, s, tid, fid = first(Where(g.port), [0x0302])
    b = Where(g.port).open(ALSO, [0x0302], a.guid)
    b.login(bind=s)
    g.reload(deny=[FORBIDDEN, ALSO])
    b.write(s, tid, fid, 0, b"lives")
    t.same(b.read(s, tid, fid, 0, 9), b"lives", "reload: a bound channel outlives it")
    c = Where(g.port).open(ALSO, [0x0302], a.guid)
    try:
        c.login(bind=s)
        t.ok(False, "reload: the next bind there is refused")
    except smb2.Status as e:
        t.same(hex(e.status), hex(smb2.REQUEST_NOT_ACCEPTED),
               "reload: the next bind there is refused")
    g.reload(deny=["::ffff:%s" % FORBIDDEN])
    c.login(bind=s)
    t.ok(True, "reload: allowed again, on the same connection")
    d = Where(g.port).open(FORBIDDEN, [0x0302], a.guid)
    try:
        d.login(bind=s)
        t.ok(False, "a v4-mapped deny is the IPv4 address")
    except smb2.Status as e:
        t.same(hex(e.status), hex(smb2.REQUEST_NOT_ACCEPTED),
               "a v4-mapped deny is the IPv4 address")
    g.reload(allow=None, deny=None)
    d.login(bind=s)
    t.ok(True, "no list at all: everything is allowed")
    for x in (a, b, c, d):
        x.close()


def torture(t, addr, port, label):
    got, text = clients.smbtorture(addr, port, "smb2.session.bind1", "smb2.multichannel.generic")
    t.diag("%s: %s" % (label, {k: v[0] for k, v in got.items()}))
    return {k: v[0] for k, v in got.items()}, text


def main(t):
    nodes = node.cluster(t, 2, loglevel=10)
    n = nodes[0]
    w = Where(n.port, n.addr)
    log = n.log_size()
    for label, dialects, kw, algo in FLAVOURS:
        bound(t, w, "direct, " + label, dialects, kw, algo)
    t.ok(sum(op == "SMB2_OP_SESSSETUP" for op, _ in ops(n, log)) >= 4 * len(FLAVOURS)
         and TOKEN in n.log_from(log), "direct: the node's log shows each SESSION_SETUP")
    in_compounds(t, w, "direct", False, n)
    a, s, _, _ = first(w, [0x0302])
    try:
        Where(nodes[1].port, nodes[1].addr).open(ALSO, [0x0302]).login(bind=s)
        t.ok(False, "direct: another node refuses")
    except smb2.Status as e:
        t.same(hex(e.status), hex(smb2.USER_SESSION_DELETED), "direct: another node refuses")
    a.close()
    want, text = torture(t, n.addr, n.port, "direct")
    t.ok(len(want) == 3 and set(want.values()) == {"success"}, "direct: smbtorture", text[-2000:])
    why = gate.missing()
    if why:
        t.bail(why)

    g = gate.Gate(t, nodes[:1], allow=["127.0.1.0/24"], deny=[FORBIDDEN]).start()
    for label, dialects, kw, algo in FLAVOURS:
        bound(t, Where(g.port), "through, " + label, dialects, kw, algo)
        forbidden(t, g, n, "forbidden, " + label, dialects, kw)
    in_compounds(t, Where(g.port), "forbidden in a compound", True, n)
    g.reload(nodes=nodes)
    tap.wait_for(g.probed, 20, message=lambda: "nodes do not come up: %s" % g.node_list())
    elsewhere(t, g, nodes)
    reload(t, g)
    g.reload(nodes=nodes[:1])
    got, text = torture(t, HERE, g.port, "through")
    t.same(got, want, "smbtorture: the same results through smbgate")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=300) as test:
    main(test)
