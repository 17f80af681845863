#!/usr/bin/python3
# keyed-binds.t: a bind that is refused, or only begun, brings nobody the node's own list
import gate
import keyed
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

HERE, ALSO = "127.0.1.1", "127.0.1.2"
OURS = ["10.9.9.1"]
ANNOUNCE = {"mode": "announce", "list": [(a, {"speed": "10G"}) for a in OURS]}
KINDS = [("CMAC", {"signing": (1,)}), ("GMAC", {"signing": (2,)})]


def two(where, kw):
    """A session with a channel on each of two connections: where is (address, port) of both."""
    a = smb2.Conn(*where[0]).negotiate([0x0311], **kw)
    s = a.login()
    b = smb2.Conn(*where[1]).negotiate([0x0311], guid=a.guid, **kw)
    b.login(bind=s)
    return a, b, s, a.tree(s)


def told(c, s, tid):
    """A list as addresses, the status in its place, or that the connection has ended."""
    try:
        m = c.ifinfo_raw(s, tid)
    except smb2.Closed:
        return "closed"
    return [i.ip for i in smb2.ifinfo_of(m)] if m.status == smb2.OK else hex(m.status)


def rebind(c, s):
    """A bind of the session to a connection that has a channel of it: its status."""
    c.send_frame(c.setup_request(smb2.Ntlm("alice", "Alice-pw-1").negotiate(), s, s.sid,
                                 smb2.BINDING, sign=True))
    return hex(c.recv()[0].status)


def again(c, s):
    """A whole bind of the session there: how it ends."""
    try:
        c.login(bind=s)
        return "bound"
    except smb2.Status as e:
        return hex(e.status)
    except smb2.Closed:
        return "closed"


def story(where, kw, which, asks, g):
    """What both are told when a bind is refused to one of them, which is no channel from then on;
    asks: whether it asks before the next bind."""
    a, b, s, tid = two(where, kw)
    lost, other = (a, b) if which == "first" else (b, a)
    out = [("at first", told(lost, s, tid), told(other, s, tid)),
           ("a bind to a channel", rebind(lost, s))]
    if asks:
        out.append(("then", told(lost, s, tid), told(other, s, tid)))
        shown = g and g.session(s.sid)
        known = not g or bool(shown and shown["keyed"] and len(shown["channels"]) == 1)
        out.append(("the session is keyed, of one channel", known))
    out.append(("bound again", again(lost, s), told(lost, s, tid), told(other, s, tid)))
    other.logoff(s)
    out.append(("after its end", told(lost, s, tid), told(other, s, tid)))
    a.close()
    b.close()
    return out


def begun(where, kw, g):
    """What a connection is told where a bind of the session has begun, and has not ended; and when
    the session's own connection has gone."""
    a = smb2.Conn(*where[0]).negotiate([0x0311], **kw)
    s = a.login()
    tid = a.tree(s)
    b = smb2.Conn(*where[1]).negotiate([0x0311], guid=a.guid, **kw)
    b.sessions[s.sid] = s
    first = rebind(b, s)
    out = [first, told(b, s, tid), told(a, s, tid)]
    a.close()
    if g:
        tap.wait_for(lambda: not g.session(s.sid), 20)
        out.append(told(b, s, tid))
    b.close()
    return out


def went_ahead(t, g):
    """An upgrade between the NEGOTIATE of a second channel and its bind: its session is with the
    new process by then.  Wherever the channel is bound, its list is changed."""
    a = smb2.Conn(HERE, g.port).negotiate([0x0311])
    s = a.login()
    tid = a.tree(s)
    late = [smb2.Conn(ALSO, g.port).negotiate([0x0311], guid=a.guid) for _ in range(8)]
    g.takeover(gone=0)
    tap.wait_for(lambda: (g.session(s.sid) or {}).get("keyed"), 20, message="it does not go there")
    ends = [again(c, s) for c in late]
    t.same(set(ends) <= {"closed", "bound"}, True, "binds of those that stayed behind: %s" % ends)
    t.same([told(c, s, tid) for c, x in zip(late, ends) if x == "bound"],
           [OURS] * ends.count("bound"), "who is bound is told the list of policy")
    more = smb2.Conn(ALSO, g.port).negotiate([0x0311], guid=a.guid)
    t.same((again(more, s), told(more, s, tid), told(a, s, tid)), ("bound", OURS, OURS),
           "and so are one that comes again, and the first")
    for c in [a, more] + late:
        c.close()


def main(t):
    n = node.cluster(t, 1)[0]
    g = gate.Gate(t, [n], allow=["127.0.0.0/8", "10.9.9.0/24"], keytab=keyed.light_keytab(t),
                  interfaces={"lan": ANNOUNCE}).start()
    direct, through = [(n.addr, n.port)] * 2, [(HERE, g.port), (ALSO, g.port)]
    for name, kw in KINDS:
        for which in ("first", "second"):
            for asks in (True, False):
                label = "%s, the %s%s" % (name, which, "" if asks else ", at once")
                want = story(direct, kw, which, asks, None)
                got = story(through, kw, which, asks, g)
                t.same(want[0][1:], ([n.addr], [n.addr]), label + ": the node's list, directly")
                want = [tuple(OURS if x == [n.addr] else x for x in row) for row in want]
                t.same(got, want, label + ": the same through smbgate, with its list")
        theirs, gone = [n.addr], hex(smb2.USER_SESSION_DELETED)
        t.same(begun(direct, kw, None), [hex(smb2.MORE_PROCESSING), theirs, theirs],
               name + ", a bind that has begun: smbd takes it for a channel")
        t.same(begun(through, kw, g), [hex(smb2.MORE_PROCESSING), gone, OURS, gone],
               name + ", a bind that has begun: nobody is told the node's list")
    went_ahead(t, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=120) as test:
    main(test)
