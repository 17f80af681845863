#!/usr/bin/python3
# admission-unkeyed.t: without a key, a session is opaque, or over, with its first protected message
import calendar
import struct
import threading
import time

import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

ADDR = "127.0.1.1"
LONG = 100000
ACCESS_DENIED = 0xC0000022
SIGNS, SEALS = "no key: the client signs", "no key: the client encrypts"


def session(addr, port, dialect=0x0302, user="alice", password="Alice-pw-1", **kw):
    """A session that has not signed anything, on a connection of its own, with a file open."""
    c = smb2.Conn(addr, port)
    c.negotiate([dialect])
    s = c.login(user, password, sign=False, **kw)
    tid = c.tree(s, "data")
    return c, s, tid, c.create(s, tid, "open", disp=3)


def create(c, s, tid, name, **kw):
    return dict({"cmd": smb2.CREATE, "body": c.create_body(name, disp=3), "session": s,
                 "tid": tid, "sign": True}, **kw)


def alone(c, s, tid, _fid, name):
    return c.calls([create(c, s, tid, name)])[-1]


def second(c, s, tid, _fid, name):
    return c.calls([create(c, s, tid, "free", sign=False), create(c, s, tid, name)])[-1]


def related(c, s, tid, _fid, name):
    close = struct.pack("<HHI16s", 24, 0, 0, 16 * b"\xff")
    return c.calls([create(c, s, tid, name, sign=False),
                    {"cmd": smb2.CLOSE, "body": close, "session": s, "sid": smb2.ANY64,
                     "tid": 0xFFFFFFFF, "flags": smb2.RELATED, "sign": True}])[-1]


def behind(c, s, tid, fid, name):
    """What is too long to be held passes message by message."""
    while c.credits < 8:
        c.echo(session=s)
    body = struct.pack("<HHIQ16sIIHHI", 49, 112, LONG, 0, fid, 0, 0, 0, 0, 0) + bytes(LONG)
    return c.calls([{"cmd": smb2.WRITE, "body": body, "session": s, "tid": tid, "sign": False,
                     "charge": 2}, create(c, s, tid, name)])[-1]


def sealed(c, s, tid, _fid, name):
    m = c.build(smb2.CREATE, c.create_body(name, disp=3), session=s, tid=tid, sign=False)
    c.send_sealed(m, s)
    return c.answers([smb2.Msg(m).mid])[0]


SHAPES = {"alone": alone, "second of two": second, "second, related": related,
          "behind a long one": behind, "sealed": sealed}


def there(n, name):
    """Is the file there, says the node itself?"""
    c, s, tid, _ = session(n.addr, n.port)
    m = c.call(smb2.CREATE, c.create_body(name, disp=1), session=s, tid=tid)
    c.close()
    return m.status == 0


def protection(g, s):
    x = g.session(s.sid)
    return x["protection"], x["opaque_because"]


def shown(t, n, g):
    for label, act in SHAPES.items():
        c, s, tid, fid = session(ADDR, g.port)
        t.same(protection(g, s), ("unsigned", None), "%s: nothing shown yet" % label)
        m = act(c, s, tid, fid, "pass-" + label)
        t.same(m.status, 0, "%s: passes" % label)
        t.same(protection(g, s), ("opaque", SEALS if act is sealed else SIGNS),
               "%s: from then on it is opaque" % label)
        c.close()
        t.ok(there(n, "pass-" + label), "%s: the node has made the file" % label)
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0311])
        s = c.login()
        t.same(protection(g, s), ("unsigned", None), "3.1.1: a logon alone shows nothing")
        c.tree(s, "data")
        t.same(protection(g, s), ("opaque", SIGNS), "3.1.1: the first request is signed")
        guest = c.guest()
        c.tree(guest, "IPC$")
        t.same(protection(g, guest), ("unsigned", None), "3.1.1: a guest's is not")


def ended(t, n, g):
    """Where policy wants all seen, that message is the end, and the node does not get it."""
    g.reload(unkeyed="refuse")
    beside, bs, btid, bfid = session(ADDR, g.port)
    for label, act in SHAPES.items():
        c, s, tid, fid = session(ADDR, g.port)
        c.create(s, tid, "free", disp=3)
        before = g.closes()
        try:
            m = act(c, s, tid, fid, "refuse-" + label)
            t.ok(False, "%s: ended" % label, m)
        except smb2.Closed:
            t.ok("unkeyed" in g.closed_for("unkeyed", before), "%s: ended, and counted" % label)
        c.close()
        t.ok(not there(n, "refuse-" + label), "%s: the node has made no file" % label)
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0311])
        guest, said = c.guest(), c.login(allow=(ACCESS_DENIED,))
        t.same(getattr(said, "status", None), ACCESS_DENIED,
               "3.1.1, where every user's first request is signed: refused at its logon")
        t.same(c.echo(session=guest).status, 0, "3.1.1: another user of the connection goes on")
    with smb2.Conn(ADDR, g.port) as c:
        c.negotiate([0x0311])
        guest = c.guest()
        c.tree(guest, "IPC$")
        t.ok(c.echo(session=guest).status == 0, "a guest stays")
    t.ok(beside.read(bs, btid, bfid, 0, 10) is not None, "another connection works on")
    beside.close()
    # what is in force when the message comes counts
    g.reload(unkeyed="pass")
    c, s, tid, fid = session(ADDR, g.port)
    t.same(alone(c, s, tid, fid, "live").status, 0, "live: passes")
    g.reload(unkeyed="refuse")
    try:
        alone(c, s, tid, fid, "live-2")
        t.ok(False, "live: ended by the next message after the reload")
    except smb2.Closed:
        t.ok(not there(n, "live-2"), "live: ended by the next message after the reload")
    c.close()


def crowd(t, g):
    """Many at once: only those end that sign."""
    out = {}

    def one(i):
        try:
            c, s, tid, fid = session(ADDR, g.port)
            for k in range(10):
                c.read(s, tid, fid, 0, 10)
                if i % 2 and k == 5:
                    list(SHAPES.values())[i // 2 % len(SHAPES)](c, s, tid, fid, "crowd")
            out[i] = "works"
            c.close()
        except smb2.Closed:
            out[i] = "ended"

    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.same(out, {i: "ended" if i % 2 else "works" for i in range(20)},
           "a crowd: ten that sign or encrypt end, ten that do not work on")
    def refused():
        got = [x for x in g.show("refusals")["refusals"] if x["code"] == "unkeyed_refused"]
        return len(got) >= 10 and got
    kept = tap.wait_for(refused, message=lambda: g.show("refusals"))
    t.ok(len(kept) >= 10 and all(x["client_guid"] and x["node"] == "n1" and
                                 x["user"].endswith("alice") for x in kept),
         "each of them is kept among the refusals, with its user", kept)
    then = [calendar.timegm(time.strptime(x["time"], "%Y-%m-%dT%H:%M:%SZ")) for x in kept]
    t.ok(all(abs(time.time() - x["age_s"] - y) < 10 for x, y in zip(kept, then)),
         "and when it was", kept)

    def explained():
        got = g.ctl("explain", kept[0]["client_guid"])
        return got["sessions"], [x["code"] for x in got["refusals"]]
    t.comes(explained, ([], ["unkeyed_refused"]), "explain finds a client that was cut")
    t.same(g.ctl_run("explain", "10.9.9.9").returncode, 1, "explain: nobody")
    r = g.ctl_run("show", "refusals")
    t.ok(r.returncode == 0 and "unkeyed_refused" in r.stdout, "show refusals, for people", r)
    g.reload(unkeyed=None)


with tap.Test(deadline=100) as test:
    nodes = node.cluster(test, 1)
    gated = gate.Gate(test, nodes).start()
    shown(test, nodes[0], gated)
    ended(test, nodes[0], gated)
    crowd(test, gated)
