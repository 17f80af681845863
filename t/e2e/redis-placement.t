#!/usr/bin/python3
# redis-placement.t: two proxies, one Redis: every client on one node, through either proxy
"""SMBGATE_GUIDS is the number of clients of the first part (600; a release: 10000)."""
import collections
import concurrent.futures
import os
import random
import signal
import time

import fake
import gate
import node
import redis
import several
import tap

why = node.missing() or redis.missing()
if why:
    tap.skip_all(why)

GUIDS = int(os.environ.get("SMBGATE_GUIDS", "600"))
SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)


def which(c):
    return several.which(c)


def look(g, guid):
    with several.opened(g, guid) as c:
        return which(c)


def many(t, rng):
    """Connections spread at random over both proxies, some at the same moment."""
    nodes = node.cluster(t, 3)
    r = redis.Server(t).start()
    if gate.missing():
        t.bail(gate.missing())
    gates = several.pair(t, nodes, [r.endpoint])
    known = {n.server_guid.rstrip(b"\0").decode() for n in nodes}

    def client(guid):
        """Two at the same moment, a third while they live, a fourth when they are gone."""
        pick = [rng.choice(gates) for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            live = list(pool.map(lambda g: several.opened(g, guid), pick[:2]))
        live.append(several.opened(pick[2], guid))
        seen = {which(c) for c in live}
        live[0].login()
        for c in live:
            c.close()
        return seen | {look(pick[3], guid)}

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(client, [os.urandom(16) for _ in range(GUIDS)]))
    split = [s for s in seen if len(s) != 1]
    t.ok(not split, "%d ClientGuids x 4 connections over two proxies and three smbd: every GUID on "
         "one node" % GUIDS, "%d on several: %r" % (len(split), split[:5]))
    per = collections.Counter(min(s) for s in seen)
    t.ok(set(per) == known and min(per.values()) > GUIDS / 6, "and they are spread: %r" % dict(per))
    s = [several.state(g) for g in gates]
    t.diag("%.1f s; waits for Redis: mean %r us, longest %r us; blind %r" % (
        time.monotonic() - start, [x["wait_us_mean"] for x in s], [x["wait_us_max"] for x in s],
        [x["blind"] for x in s]))
    t.same([x["lost"] for x in s], [0, 0], "no claim was lost")
    for g in gates:
        t.same(g.stop(), 0, "many: %s ends with status 0" % g.name)
    for n in nodes:
        n.kill()


def fakes(t):
    return [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]


def on(gates, name, wanted, mine=None):
    """A new client of that node: its GUID and a connection that has logged on."""
    while True:
        guid = os.urandom(16)
        c = several.opened(mine or gates[0], guid)
        if which(c) == wanted:
            c.login()
            return guid, c
        c.close()


def claims(r):
    """GUIDs are not to be seen in Redis; the claims are few enough to tell apart."""
    c = r.client()
    return {k: c.hash(k) for k in c("KEYS", "smbgate:*:c:*")}


def owners(h):
    return [f for f in h if f.startswith(b"o")]


def leases(r):
    """The processes that Redis believes now."""
    lines = r.client().hash(several.prefix(r) + b"p")
    return [t for t, line in lines.items() if int(line.split()[0]) > time.time() * 1000]


def one_claim(t, r, gates):
    """The life of one claim, as Redis sees it."""
    t.same(claims(r), {}, "no claims yet")
    guid = os.urandom(16)
    c = several.opened(gates[0], guid)
    (key, h), = claims(r).items()
    t.ok(len(owners(h)) == 1 and b"l" not in h and b"s" not in h,
         "a NEGOTIATE: one owner, no linger time")
    t.ok(owners(h)[0][1:] in leases(r) and len(leases(r)) == len(gates),
         "its owner has a lease, and each proxy one")
    t.ok(0 < r.do("PTTL", key) <= 1800000, "no key stays for ever: it lives half an hour")
    c.close()
    t.ok(tap.wait_for(lambda: not claims(r), 60), "it is gone with the connection")
    c, d = several.opened(gates[0], guid), several.opened(gates[1], guid)
    c.login()
    tap.wait_for(lambda: b"s" in claims(r)[key], 60, message="not firm")
    t.same(len(owners(claims(r)[key])), 2, "two proxies, two owners")
    t.same(r.do("KEYS", "smbgate:*:f:*"), [], "a guest's session is never bound: no facts of it")
    e = several.opened(gates[0], guid)
    t.same(len(owners(claims(r)[key])), 2, "a further connection asks nobody")
    t.ok(which(c) == which(d) == which(e), "all on one node")
    for x in (d, e):
        x.close()
    tap.wait_for(lambda: len(owners(claims(r)[key])) == 1, 60, message="an owner stays")
    c.reset()
    tap.wait_for(lambda: not owners(claims(r)[key]), 60, message="an owner stays")
    left = r.do("PTTL", key)
    t.ok(890000 < left <= 900000, "lost after a logon it lingers for pin-linger: %d ms" % left)
    before = r.do("HGET", key, "l")
    several.opened(gates[1], guid).close()
    tap.wait_for(lambda: not owners(claims(r)[key]), 60, message="an owner stays")
    t.same(r.do("HGET", key, "l"), before, "a NEGOTIATE alone lengthens nothing")
    r.do("DEL", key)


def drains(t, r, gates, nodes):
    tap.wait_for(lambda: several.ripe(gates[0]), 60, message="Redis' data does not grow old")
    guid, c = on(gates, "live", "f1")
    gone, x = on(gates, "gone", "f1")
    x.reset()
    tap.wait_for(lambda: [h for h in claims(r).values() if b"l" in h and not owners(h)], 60,
                 message="it does not linger")
    gates[0].ctl("drain", "f1")
    tap.wait_for(lambda: gates[1].node_states()["f1"] == "drain", 60,
                 message="the other proxy does not drain")
    t.ok(tap.wait_for(lambda: "drained by the operator of another proxy" in gates[1].log(), 60),
         "a drain on one proxy is one on all")
    t.same({look(gates[1], os.urandom(16)) for _ in range(30)}, {"f2", "f3"},
           "no new clients for it, through the other one")
    with several.opened(gates[1], guid) as d:
        t.same(which(d), "f1", "a client that is live there stays, through the other one too")
    there = look(gates[1], gone)
    t.ok(there != "f1", "one that only lingers is moved, to %s" % there)
    t.same(look(gates[0], gone), there, "and found there by the first proxy")
    # Nobody but its own proxy can say that it lives there, and that takes a moment.
    tap.wait_for(lambda: several.state(gates[1])["exceptions"] >= 1, 60, message="no exception")
    x = several.prefix(r) + b"x"
    r.do("DEL", x)
    t.ok(tap.wait_for(lambda: r.do("HLEN", x), 40), "the exceptions alone are deleted: they are "
         "said again, and none is forgotten", several.state(gates[1])["exceptions"])
    t.ok(several.state(gates[1])["exceptions"] >= 1, "and known all the while")
    seen = []
    for _ in range(4):
        r.do("FLUSHALL")
        seen += [look(gates[1], guid) for _ in range(4)]
    t.same(set(seen), {"f1"}, "all is lost, again and again: it is known to be there")
    # who could say so is silent, and the one who knows it by hearsay looks again and again
    gates[0].proc.send_signal(signal.SIGSTOP)
    try:
        r.do("FLUSHALL")
        # and Redis itself is, until the visit is over
        r.stop()
        with several.opened(gates[1], guid) as d:
            d.login()
        r.cont()
        # a visitor has come, logged on and gone: what it leaves has no owner, and is young
        tap.wait_for(lambda: [h for h in claims(r).values() if b"l" in h and not owners(h)], 60,
                     message="the visitor left no claim")
        t.same([look(gates[1], guid) for _ in range(3)], ["f1"] * 3, "all is lost, and the only "
               "claim since is without an owner: who could say more may not have said it yet")
        for _ in range(4):
            n = several.state(gates[1])["connects"]
            r.kill()
            r.start()
            tap.wait_for(lambda: several.connected(gates[1])
                         and several.state(gates[1])["connects"] > n, 60, message="not connected")
        r.kill()
        seen = {look(gates[1], guid) for _ in range(3)}
    finally:
        gates[0].proc.send_signal(signal.SIGCONT)
    t.same(seen, {"f1"}, "Redis comes back empty, four times: that is no reason to forget it")
    r.start()
    several.healed(*gates)
    # a proxy that starts hears of it
    third = several.proxy(t, nodes, [r.endpoint], "third", start=False).start(nodes_up=False)
    tap.wait_for(lambda: third.node_states()["f1"] == "drain", 60,
                 message="the third does not drain")
    t.same(third.stop(), 0, "a proxy that starts drains it as well")
    fresh = several.opened(gates[0], os.urandom(16))
    fresh.login()
    key = next(k for k, h in claims(r).items() if owners(h) and which(fresh).encode() in h[b"n"] and
               r.do("HGET", k, "n") == max(x[b"n"] for x in claims(r).values()))
    made = r.do("HGET", key, "n")
    epoch = several.state(gates[0])["epoch"]
    r.do("FLUSHALL")
    # sooner than it would be renewed
    t.ok(tap.wait_for(lambda: r.do("HGET", key, "n") == made, 4),
         "a FLUSHALL: what lives is said again at once, as old as it is")
    fresh.close()
    tap.wait_for(lambda: all(several.state(g)["epoch"] != epoch for g in gates), 60,
                 message="no new epoch")
    t.ok(tap.wait_for(lambda: r.do("KEYS", "smbgate:*:d"), 60), "a FLUSHALL does not end it")
    t.same([g.node_states()["f1"] for g in gates], ["drain", "drain"], "on neither")
    gates[1].ctl("undrain", "f1")
    tap.wait_for(lambda: gates[0].node_states()["f1"] == "up", 60, message="still drained")
    t.ok(True, "the other proxy's operator ends it")
    c.close()


def rubbish(t, r, gates):
    """What nobody of us has written is a miss, is counted, and does not stay."""
    guid, c = on(gates, "rubbish", "f2")
    key = next(k for k, h in claims(r).items() if owners(h) and b"f2" in h[b"n"])
    good = r.do("HGET", key, "n")

    def asks():
        """The next client is not one that gates[1] knows of: it must ask Redis."""
        tap.wait_for(lambda: several.state(gates[1])["claims"] == 0, 60,
                     message="it holds a claim")

    def meets(value):
        """Where a client is placed then, and how often the value was counted."""
        before = counted()
        asks()
        r.do("HSET", key, "n", value, "l", int(time.time() * 1000) + 60000)
        return look(gates[1], guid), counted() - before

    def counted():
        return sum(several.state(g)["errors"]["bad_value"] for g in gates)

    for what, value in (("nothing", b""), ("a megabyte", b"x" * 900000)):
        t.same(meets(value)[0], "f2", "%s for a claim: the client is on its node" % what)
    for what, value in (("garbage", b"garbage"),
                        ("a flipped bit", good[:-1] + bytes([good[-1] ^ 1])),
                        ("another node", good.replace(b"f2=", b"f3="))):
        met = []
        # Its owner may write the true one just then, and nobody meets what is not there.
        tap.wait_for(lambda: met.append(meets(value)) or met[-1][1], 60)
        t.ok({n for n, _ in met} == {"f2"} and met[-1][1],
             "%s for a claim: the client is on its node, and it is counted: %s" % (what, met))
    for kind in (("SET", key, "x"), ("LPUSH", key, "x"), ("ZADD", key, 1, "x")):
        asks()
        r.do("DEL", key)
        r.do(*kind)
        t.same(look(gates[1], guid), "f2", "%s for a claim: the same" % kind[0])
    live, c = c, r.client()
    prefix = several.prefix(r).decode()
    for suffix in ("x", "d", "e", "p"):
        for kind in ("SET", "LPUSH", "SADD"):
            c("MULTI")
            c("DEL", prefix + suffix)
            c(kind, prefix + suffix, "rubbish")
            c("EXEC")
            g2 = os.urandom(16)
            t.same(len({look(g, g2) for g in gates}), 1, "%s for %s: the same" % (kind, suffix))
    r.do("PUBLISH", prefix + "news", "rubbish")
    r.do("PUBLISH", prefix + "news", b"x" + b"0" * 32 + b"rubbish")
    several.healed(*gates)
    live.close()


def conflict(t, nodes):
    """Two proxies, each with a Redis of its own until somebody mends that: the older claim wins."""
    r1, r2 = redis.Server(t, unix=True).start(), redis.Server(t, unix=True).start()
    path = node.tempdir(t) + "/redis.sock"
    os.symlink(r2.path, path)
    a = several.proxy(t, nodes, [r1.path], "a")
    b = several.proxy(t, nodes, [path], "b")
    several.healed(a, b)
    tap.wait_for(lambda: several.ripe(a) and several.ripe(b), 60, message="not ripe")
    guid, old = on([a], "old", "f1")
    same, mine = on([a], "same", "f3")
    b.ctl("drain", "f1")
    young = several.opened(b, guid)
    young.login()
    t.ok(which(young) != "f1", "apart: one client, two nodes: f1 and %s" % which(young))
    also = several.opened(b, same)
    also.login()
    t.same(which(also), "f3", "apart: another one on one node")
    b.ctl("undrain", "f1")
    os.unlink(path)
    os.symlink(r1.path, path)
    r2.kill()
    young.recv_eof(60)
    t.ok(True, "together again: the younger claim's connection ends")
    t.same(b.closes().get("claim_lost"), 1, "for that reason")
    t.ok(old.is_open() and mine.is_open() and also.is_open(), "and no other one")
    several.healed(a, b)
    t.same(look(b, guid), "f1", "the client comes back to its node")
    t.comes(lambda: (several.state(a)["lost"], several.state(b)["lost"]), (0, 1),
            "one claim was lost")
    for c in (old, mine, also):
        c.close()
    for g in (a, b):
        t.same(g.stop(), 0, "conflict: %s ends with status 0" % g.name)


ACL = "user default off\nuser gate on >pw-1 ~smbgate:* &smbgate:* +@hash +@string +@keyspace " \
    "+@pubsub +@connection +@scripting +role +time -@dangerous +role -keys -flushall -flushdb\n"


def login(t, nodes):
    r = redis.Server(t, ACL).start()
    for what, pw, good in (("wrong password", "pw-2", False), ("right password", "pw-1", True)):
        g = several.proxy(t, nodes, [r.endpoint], start=False,
                          state={"user": "gate", "password_file": "pw", "timeout": "3s"})
        with open(g.dir + "/pw", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(pw + "\n")
        g.start()
        if good:
            several.healed(g)
        else:
            tap.wait_for(lambda: several.state(g)["errors"]["wrongpass"] > 0, 60,
                         message="no error")
        c = several.opened(g, os.urandom(16))
        c.login()
        t.same(several.state(g)["blind"], 0 if good else 1, "an ACL user, %s: served" % what)
        c.close()
        if good:
            s = several.state(g)["errors"]
            t.ok(not any(s.values()), "and nothing it asks is forbidden", s)
        t.same(g.stop(), 0, "%s: ends with status 0" % what)


def late(t, nodes):
    """Redis is not there at the start; it comes."""
    r = redis.Server(t)
    g = several.proxy(t, nodes, [r.endpoint])
    s = several.state(g)
    t.ok(s["degraded"] and not s["connected"], "no Redis at the start: degraded, and said so")
    text = g.ctl_run("show", "state").stdout
    t.ok("out of reach" in text and "DEGRADED" in text, "also to people", text)
    guid = os.urandom(16)
    c = several.opened(g, guid)
    c.login()
    t.same(several.state(g)["waits"], 0, "clients are placed without a wait")
    r.start()
    several.healed(g)
    h, = tap.wait_for(lambda: list(claims(r).values()), 60, message="nothing is said")
    t.ok(len(owners(h)) == 1 and b"s" in h, "Redis comes: it is told what lives")
    t.ok("connected" in g.ctl_run("show", "state").stdout, "healed")
    other = several.proxy(t, nodes, [r.endpoint], "other")
    several.healed(other)
    t.same(look(other, guid), which(c), "and another proxy finds it")
    c.close()
    for x in (g, other):
        t.same(x.stop(), 0, "late: ends with status 0")


def over(t, nodes):
    """What live clients have been exceptions to is over: that is no loss of data."""
    r = redis.Server(t).start()
    gates = several.pair(t, nodes, [r.endpoint], pin_linger="5s")
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), 60, message="not ripe")
    stays = [on([g], "stays", "f2")[1] for g in gates]
    guid, c = on(gates, "over", "f1")
    c.close()
    gates[0].ctl("drain", "f1")
    tap.wait_for(lambda: gates[1].node_states()["f1"] == "drain", 60, message="no drain")
    c = several.opened(gates[0], guid)
    c.login()
    gates[0].ctl("undrain", "f1")
    tap.wait_for(lambda: all(several.state(g)["exceptions"] == 1 for g in gates), 60,
                 message="no exception")
    c.reset()
    x = several.prefix(r) + b"x"
    tap.wait_for(lambda: r.do("HLEN", x) == 0, 60, message="it stays")
    t.comes(lambda: [several.state(g)["exceptions"] for g in gates], [0, 0],
            "an exception is over, and all proxies know")
    before = [several.state(g)["said_again"] for g in gates]
    time.sleep(22)
    t.same([several.state(g)["said_again"] for g in gates], before,
           "and sweep again: no claim is said again for that")
    for c in stays:
        c.close()
    for g in gates:
        t.same(g.stop(), 0, "over: %s ends with status 0" % g.name)


def main(t):
    t.diag("seed %d" % SEED)
    many(t, random.Random(SEED))
    nodes = fakes(t)
    r = redis.Server(t).start()
    # What Redis has is looked at: nobody is to be placed blindly because the machine is busy. But
    # drains() has a Redis that hangs, and looks at what is young after that.
    gates = several.pair(t, nodes, [r.endpoint], state={"timeout": "1s"})
    one_claim(t, r, gates)
    drains(t, r, gates, nodes)
    rubbish(t, r, gates)
    for g in gates:
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)
    t.same(leases(r), [], "they leave nothing live in Redis")
    conflict(t, nodes)
    login(t, nodes)
    late(t, nodes)
    over(t, nodes)


with tap.Test(deadline=180 + GUIDS // 5) as test:
    main(test)
