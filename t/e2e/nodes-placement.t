#!/usr/bin/python3
# nodes-placement.t: one ClientGuid on one node, evenly, for every kind of first packet
import collections
import concurrent.futures
import os
import time

import fake
import gate
import node
import smb2
import tap

why = node.missing()
if why:
    tap.skip_all(why)

GUIDS = 1000
FEW = 60                # at real nodes
EACH = 5
TOGETHER = 4
LEFT, NEWCOMERS = 240, 45


def proxy(t, nodes, **policy):
    """No node is left out but by what happens here."""
    return gate.Gate(t, nodes, health=gate.PATIENT, **policy)


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


def look(g, guid, multi=False, host="127.0.0.1", **kw):
    """Open, see which node it is, close."""
    with smb2.Conn(host, g.port, **kw) as c:
        return which(c.negotiate(guid=guid, multi=multi))


def parallel(fn, items, workers=4):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(fn, items))


def each_time(g, guid):
    """EACH connections, every second one with an SMB1 start, TOGETHER of them open at a time."""
    seen, live = collections.Counter(), []
    for i in range(EACH):
        c = smb2.Conn("127.0.0.1", g.port).negotiate(guid=guid, multi=bool(i % 2))
        seen[which(c)] += 1
        live.append(c)
        if len(live) > TOGETHER:
            live.pop(0).close()
    for c in live:
        c.close()
    return seen


def even(t, counts, names, what, factor):
    mean = sum(counts.values()) / len(names)
    t.ok(all(mean / factor <= counts[n] <= mean * factor for n in names),
         "%s: %s, within %.2f x of the mean" % (what, dict(counts), factor))


def direct(t, nodes):
    for n in nodes:
        a = smb2.Conn(n.addr, n.port).negotiate()
        b = smb2.Conn(n.addr, n.port).negotiate(guid=a.guid, multi=True)
        t.ok(a.server_guid == b.server_guid == n.server_guid,
             "direct: %s is known by its ServerGuid in both kinds of start" % n.name,
             a.server_guid, b.server_guid)
        a.close()
        b.close()
    t.same(len({n.server_guid for n in nodes}), len(nodes), "direct: all are different")
    with smb2.Conn(nodes[0].addr, nodes[0].port) as c:
        c.multi_negotiate()
        return c


def many(t, g, nodes, n, factor):
    guids = [os.urandom(16) for _ in range(n)]
    start = time.monotonic()
    seen = parallel(lambda x: each_time(g, x), guids)
    t.diag("%d connections in %.1f s" % (n * EACH, time.monotonic() - start))
    split = [s for s in seen if len(s) != 1]
    t.ok(not split, "%d ClientGuids x %d connections: every GUID on one node only" % (n, EACH),
         "%d GUIDs on several: %r" % (len(split), split[:5]))
    t.ok(all(sum(s.values()) == EACH for s in seen), "every connection was answered")
    even(t, collections.Counter(s.most_common(1)[0][0] for s in seen), [x.name for x in nodes],
         "GUIDs per node", factor)


def crowd(t):
    """So many that their split says something: smbd takes 50 ms of a processor for each."""
    fakes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    g = proxy(t, fakes).start()
    many(t, g, fakes, GUIDS, 1.25)
    t.same(g.stop(), 0, "crowd: smbgate ends with status 0")
    for f in fakes:
        f.stop()


def stale(t):
    """Who has left for longer than pin-linger counts nowhere, though nobody asks for clients."""
    fakes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    g = proxy(t, fakes, pin_linger="3s").start()
    for f in fakes[1:]:
        g.ctl("drain", f.name)
    for _ in range(LEFT):
        c = smb2.Conn("127.0.0.1", g.port).negotiate()
        c.login()
        c.reset()
    g.wait_connections(0)
    left = g.node_list()["f1"]["clients"]
    for f in fakes[1:]:
        g.ctl("undrain", f.name)
    t.comes(lambda: [x["clients"] for x in g.node_list().values()], [0] * 3,
            "%d of %d that were lost linger, and count no longer then" % (left, LEFT), seconds=20)
    live = [smb2.Conn("127.0.0.1", g.port).negotiate() for _ in range(NEWCOMERS)]
    even(t, collections.Counter(which(c) for c in live), [f.name for f in fakes],
         "%d that come then" % NEWCOMERS, 3)
    t.ok(left > 0, "they had counted before", left)
    for c in live:
        c.close()
    t.same(g.stop(), 0, "stale: smbgate ends with status 0")
    for f in fakes:
        f.stop()


def opening(t, g, control):
    """The local answer to "SMB 2.???" looks like the node's; the conversation goes on behind it."""
    with smb2.Conn("127.0.0.1", g.port) as c:
        c.multi_negotiate()
        for f in ("dialect", "security", "caps", "max_trans", "max_read", "max_write"):
            t.same(getattr(c, f), getattr(control, f), "0x02FF answer: %s as the node's" % f)
        c.negotiate(guid=os.urandom(16))
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "opening", disp=5)
        c.write(s, tid, fid, 0, b"abc")
        t.same(c.read(s, tid, fid, 0, 9), b"abc", "a whole session behind an SMB1 start")
    with smb2.Conn("127.0.0.1", g.port) as c:
        c.negotiate(multi=smb2.MULTI[:-1])
        t.same(c.dialect, 0x0202, "\"SMB 2.002\" as the best offer: dialect 2.0.2")
        s = c.login()
        tid = c.tree(s)
        fid = c.create(s, tid, "opening2", disp=5)
        c.write(s, tid, fid, 0, b"abc")
        t.same(c.read(s, tid, fid, 0, 9), b"abc", "a whole session behind \"SMB 2.002\"")


def zero_guid(t, g):
    """A GUID of zeros is one like any other: to a CTDB cluster all such clients are one."""
    ways = {"2.1": ([0x0210], False), "3.1.1": ([0x0311], False), "SMB1 start": ([0x0210], True)}
    live, seen = [], collections.Counter()
    for dialects, multi in ways.values():
        for i in range(8):
            c = smb2.Conn("127.0.0.1", g.port, src="127.0.7.%d" % (i + 1))
            live.append(c.negotiate(dialects, guid=bytes(16), multi=multi))
            seen[which(c)] += 1
    t.same(len(seen), 1, "zero GUID, 8 addresses, %s: all on one node" % ", ".join(ways))
    rows = [x for x in g.clients() if x["client"] == zeros]
    t.same([(x["kind"], x["node"], x["connections"]) for x in rows],
           [("guid", which(live[0]), len(live))], "zero GUID: show clients has one client")
    text = g.ctl_run("show", "clients").stdout
    t.ok(zeros + ": all clients that send this GUID share a node" in text,
         "zero GUID: show clients says what that means", text)
    live[0].login()
    text = g.ctl_run("explain", zeros).stdout
    t.ok("GUID is zeros" in text, "zero GUID: and so does explain", text)
    for c in live:
        c.close()


zeros = "00000000-0000-0000-0000-000000000000"


def smb1_node(g, before):
    """The node of an SMB1 connection, which its NEGOTIATE answer does not tell."""
    c = smb2.Conn("127.0.0.1", g.port, src=SITE)
    c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
    c.recv_frame()
    now = {n: x["connections"] for n, x in g.node_list().items()}
    c.name = [n for n in now if now[n] > before[n]][0]
    return c


SITE = "127.0.7.99"


def no_guid(t, nodes):
    """SMB1 and 2.0.2: nothing binds a connection to those that its address has elsewhere."""
    def old(g, src=SITE):
        c = smb2.Conn("127.0.0.1", g.port, src=src).negotiate([0x0202])
        c.name = which(c)
        return c

    def start(g, src=SITE):
        c = smb2.Conn("127.0.0.1", g.port, src=src).negotiate(multi=smb2.MULTI[:-1])
        c.name = which(c)
        return c

    def smb1(g):
        return smb1_node(g, {n: x["connections"] for n, x in g.node_list().items()})
    names = {n.name for n in nodes}
    g = proxy(t, nodes, smb1="allow").start()
    for kind, fn in {"2.0.2": old, "SMB 2.002": start, "SMB1": smb1}.items():
        live = [fn(g) for _ in range(48)]
        t.same({c.name for c in live}, names, "%s: one address is spread over all nodes" % kind)
        if kind == "2.0.2":
            rows = [x for x in g.clients() if x["client"] == SITE]
            t.same(sum(x["connections"] for x in rows), len(live), "2.0.2: all are shown")
            t.same({x["node"] for x in rows}, names, "2.0.2: by address and node")
        g.reload(nodes=[nodes[0], (nodes[1], {"state": "drain"}), nodes[2]])
        new = [fn(g) for _ in range(24)]
        t.same({c.name for c in new}, names - {nodes[1].name},
               "%s: a drained node gets no newcomer, whoever lives there" % kind)
        t.ok(all(c.is_open() for c in live), "%s: and who lives there stays" % kind)
        t.same({x["clients"] for x in g.node_list().values()}, {0}, "%s: no claim" % kind)
        g.reload(nodes=nodes)
        for c in live + new:
            c.close()
        tap.wait_for(lambda: not g.live_connections(), 60, message="connections stay")
    t.same(g.stop(), 0, "no GUID: smbgate ends with status 0")
    g = proxy(t, nodes, no_guid="address").start()
    seen = {}
    for i in range(40):
        a = "127.0.7.%d" % (i + 1)
        seen[a] = {fn(g, a).name for fn in (old, start, old)}
    t.ok(all(len(s) == 1 for s in seen.values()), "no-guid = address: one address, one node", seen)
    t.same(set.union(*seen.values()), names, "no-guid = address: addresses are spread")
    # whose connection lives on the node to be drained stays there
    tap.wait_for(lambda: not g.live_connections(), 60, message="connections stay")
    g.reload(nodes=[nodes[0], (nodes[1], {"state": "drain"}), nodes[2]])
    there = {a: old(g, a).name for a in seen}
    t.ok(nodes[1].name not in there.values(), "no-guid = address: nor on a drained node", there)
    t.ok(all(seen[a] == {n} or seen[a] == {nodes[1].name} for a, n in there.items()),
         "no-guid = address: the others stay where they were", (seen, there))
    t.same(g.stop(), 0, "no-guid = address: smbgate ends with status 0")


def take_away(t, nodes, how):
    """One node goes: only its clients move."""
    victim = nodes[1]
    rest = [nodes[0], nodes[2]]
    g = proxy(t, nodes).start()
    # Not more than come and go within a minute on a busy machine: then smbd closes them itself.
    guids = [os.urandom(16) for _ in range(60)]
    live = {x: smb2.Conn("127.0.0.1", g.port).negotiate(guid=x, multi=i % 2 == 1)
            for i, x in enumerate(guids)}
    home = {x: which(c) for x, c in live.items()}
    mine = [x for x in guids if home[x] == victim.name]
    others = [x for x in guids if home[x] != victim.name]
    t.ok(6 < len(mine) < 36, "%s: %d of %d clients live on the node" % (how, len(mine),
                                                                       len(guids)))
    if how == "drained":
        g.reload(nodes=[rest[0], (victim, {"state": "drain"}), rest[1]])
    elif how == "removed":
        g.reload(nodes=rest)
    else:
        victim.kill()
        t.ok(tap.wait_for(lambda: not any(live[x].is_open() for x in mine), 60),
             how + ": its clients are closed")
        tap.wait_for(lambda: g.node_states()[victim.name] == "down", 60, message="not down")
    if how != "killed":
        for c in live.values():
            c.echo()
        t.ok(True, how + ": every live connection goes on")
        t.same({look(g, x) for x in mine[:10]}, {victim.name},
               how + ": a client that lives there gets its new channels there too")
        for x in mine:
            live[x].close()
    for x in others:
        live[x].echo()
    t.ok(True, how + ": the others' connections go on")
    t.same({x: look(g, x, multi=True) for x in others}, {x: home[x] for x in others},
           how + ": the others' new channels stay at home")

    def moved():
        return {look(g, x) for x in mine}
    names = {n.name for n in rest}
    if how != "killed":     # the proxy learns of closed connections a moment later
        tap.wait_for(lambda: victim.name not in moved(), 60)
    t.same(moved(), names, how + ": its clients came to the others, to each of them")
    for x in others:
        live[x].close()
    t.same({x: look(g, x) for x in others}, {x: home[x] for x in others},
           how + ": the others come home after a break, too")
    t.same(g.stop(), 0, how + ": smbgate ends with status 0")
    if how == "killed":
        victim.start()


def linger(t, nodes):
    """A client that was lost after a logon is expected back at its node for pin-linger."""
    g = proxy(t, nodes[:2], pin_linger="6s").start()
    known = [os.urandom(16) for _ in range(40)]
    strangers = [os.urandom(16) for _ in range(40)]
    home = {}
    begun = time.monotonic()
    for x in known:
        with smb2.Conn("127.0.0.1", g.port) as c:
            home[x] = which(c.negotiate(guid=x))
            c.login()
            c.reset()
    for x in strangers:
        home[x] = look(g, x)
    tap.wait_for(lambda: not g.live_connections(), 60, message="connections stay")
    g.reload(nodes=nodes)
    there = {x: look(g, x) for x in known}
    name = "linger: with a node more, clients that had logged on come back to their node"
    if time.monotonic() - begun < 5.5:
        t.same(there, {x: home[x] for x in known}, name)
    else:
        t.skip(name, "this machine is too slow now: %.1f s" % (time.monotonic() - begun))
    moved = sum(look(g, x) != home[x] for x in strangers)
    t.ok(moved > 2, "linger: a claim without a logon ended with its connection: %d of %d moved"
         % (moved, len(strangers)))

    def gone():
        return sum(look(g, x) != home[x] for x in known)
    # not polled: looking again and again might be what keeps them
    end = time.monotonic() + 8
    tap.wait_for(lambda: time.monotonic() > end, 60)
    n = gone()
    t.ok(2 <= n <= 30, "linger: afterwards %d of %d have moved" % (n, len(known)))
    t.same(g.stop(), 0, "linger: smbgate ends with status 0")


def weights(t):
    fakes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    g = proxy(t, [fakes[0], fakes[1], (fakes[2], {"weight": 2})]).start()
    seen = collections.Counter(parallel(lambda _: look(g, os.urandom(16)), range(800)))
    t.ok(300 <= seen["f3"] <= 500 and min(seen["f1"], seen["f2"]) >= 130,
         "weights 1, 1, 2: %s" % dict(seen))
    t.same(g.stop(), 0, "weights: smbgate ends with status 0")
    for f in fakes:
        f.stop()


def restarts(t):
    """With a cluster secret, every start and every proxy places alike; another secret does not."""
    fakes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    guids = [os.urandom(16) for _ in range(200)]
    seen = []
    for i, secret in enumerate((b"a secret of some length\n", b"a secret of some length\n",
                                b"another secret entirely\n")):
        g = proxy(t, fakes, conf='cluster-secret = "cluster.secret"\n')
        with open(g.dir + "/cluster.secret", "wb") as f:
            f.write(secret)
        os.chmod(g.dir + "/cluster.secret", 0o600)
        g.start()
        seen.append([look(g, x, multi=i == 1) for x in guids])
        t.same(g.stop(), 0, "secret: smbgate ends with status 0")
    t.same(seen[0], seen[1], "secret: a proxy that starts again places 200 clients as before")
    same = sum(a == b for a, b in zip(seen[0], seen[2]))
    t.ok(same < 120, "secret: another secret, another placement: %d of 200 equal" % same)
    for f in fakes:
        f.stop()


def nothing_before(t):
    """No node is connected to before a whole, valid first frame has come."""
    f = fake.FakeNode(t, "f1", "127.0.0.41").start()
    g = gate.Gate(t, [f], health=dict(gate.PATIENT, interval="1h"), limits={
        "first-frame": "1h", "negotiate": "1h"}).start()
    base = f.accepts
    t.ok(base >= 1, "the node was probed")
    hold = []
    neg = smb2.frame(smb2.header(smb2.NEGOTIATE, 0) + smb2.negotiate_body(
        [0x0311], os.urandom(16)))
    for part in (b"", neg[:3], neg[:4], neg[:40], neg[:-1]):
        for _ in range(5):
            c = smb2.Conn("127.0.0.1", g.port)
            c.send_raw(part)
            hold.append(c)
    for first in (smb2.smb1_negotiate(smb2.MULTI),):
        c = smb2.Conn("127.0.0.1", g.port)
        c.send_frame(first)
        m, = c.recv()
        t.ok(m.cmd == smb2.NEGOTIATE and m.mid == 0, "\"SMB 2.???\" is answered")
        hold.append(c)
    bad = {
        "SMB1 alone": smb2.frame(smb2.smb1_negotiate(["NT LM 0.12"])),
        "no known dialect": smb2.frame(smb2.smb1_negotiate(["XENIX CORE"])),
        "no dialect at all": smb2.frame(smb2.smb1_negotiate([])),
        "a logon first": smb2.frame(smb2.header(smb2.SESSION_SETUP, 0) + bytes(25)),
        "an echo first": smb2.frame(smb2.header(smb2.ECHO, 0) + b"\4\0\0\0"),
        "not SMB": b"GET / HTTP/1.1\r\nHost: nas\r\n\r\n",
        "not SMB, framed": smb2.frame(b"hello world, hello world, hello world" * 4),
        "a transform header": smb2.frame(b"\xfdSMB" + bytes(120)),
        "a compressed frame": smb2.frame(b"\xfcSMB" + bytes(120)),
        "an answer": smb2.frame(smb2.header(smb2.NEGOTIATE, 0, flags=1) + bytes(65)),
        "a short header": smb2.frame(b"\xfeSMB" + bytes(20)),
        "a NEGOTIATE without dialects": smb2.frame(smb2.header(0, 0) + smb2.negotiate_body(
            [], os.urandom(16))),
    }
    for name, data in bad.items():
        c = smb2.Conn("127.0.0.1", g.port)
        try:
            c.send_raw(data)
            c.recv_eof(60)
            t.ok(True, "first frame: %s: closed" % name)
        except TimeoutError:
            t.ok(False, "first frame: %s: closed" % name)
        c.close()
    t.same(f.accepts, base, "not one of them reached the node")
    t.ok(all(c.is_open() for c in hold), "those that are not complete yet may still become good")
    for c in hold[-6:-1]:
        c.send_raw(neg[-1:])
        c.recv()
    t.same(f.accepts, base + 5, "a frame that became whole did")
    t.same(g.stop(), 0, "first frames: smbgate ends with status 0")
    f.stop()


def main(t):
    nodes = node.cluster(t, 3)
    control = direct(t, nodes)
    why = gate.missing()
    if why:
        t.bail(why)
    g = proxy(t, nodes).start()
    opening(t, g, control)
    zero_guid(t, g)
    many(t, g, nodes, FEW, 2.5)
    t.ok(tap.wait_for(lambda: g.fds() < 64, 60), "no descriptor stays: %d" % g.fds())
    t.same(g.stop(), 0, "smbgate ends with status 0")
    for how in ("drained", "removed", "killed"):
        take_away(t, nodes, how)
    linger(t, nodes)
    no_guid(t, nodes)
    crowd(t)
    stale(t)
    weights(t)
    restarts(t)
    nothing_before(t)


with tap.Test(deadline=420) as test:
    main(test)
