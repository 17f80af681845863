#!/usr/bin/python3
# redis-delays.t: a node is drained, or strangers bind, and the way to Redis is slow
import concurrent.futures
import os
import threading
import time

import fake
import gate
import redis
import several
import smb2
import tap
from way import Way

why = redis.missing() or gate.missing()
if why:
    tap.skip_all(why)

LEFT, GOING = 6, 150
# Who is refused comes again, and is served when all proxies are known to have the same nodes: that
# of one that cannot say so is waited for no longer than its lease, and a second to see it.
SERVED_S = 7
# Binds of strangers, and how many words to Redis each of them may cost.
STRANGERS, BINDS, BIND_COSTS = 100, 200, 1


def held(r):
    """How many claims have an owner now."""
    c = r.client()
    keys = c("KEYS", "smbgate:*:c:*")
    n = sum(any(f.startswith(b"o") for f in h[::2]) for h in c.pipe(
        [("HGETALL", k) for k in keys]))
    c.close()
    return n


def on(g, wanted):
    while True:
        guid = os.urandom(16)
        c = several.opened(g, guid)
        if several.which(c) == wanted:
            c.login()
            return guid, c
        c.close()


def apart(t):
    """Nodes, a Redis, a way to it, and two proxies: only the first goes that way."""
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    r = redis.Server(t).start()
    way = Way(t, r.port)
    a = several.proxy(t, nodes, [way.endpoint], "a")
    b = several.proxy(t, nodes, [r.endpoint], "b")
    several.healed(a, b)
    tap.wait_for(lambda: several.ripe(a) and several.ripe(b), 10, message="not ripe")
    return nodes, r, way, a, b


def left_behind(t):
    """A client has left a node that is drained, and comes back through two proxies.  One of them
    asks first, and has no answer in time; the other asks next, and has one."""
    nodes, r, way, a, b = apart(t)
    back = []
    for i in range(LEFT):
        guid, c = on((a, b)[i % 2], "f1")
        back.append(guid)
        if i < LEFT // 2:       # the others leave when it is drained already
            c.reset()
            c = None
        back[-1] = (guid, c)
    a.ctl("drain", "f1")
    tap.wait_for(lambda: b.node_states()["f1"] == "drain", 5, message="b does not drain")
    for _, c in back:
        if c:
            c.reset()
    tap.wait_for(lambda: held(r) == 0, 5, message="an owner stays")
    several.agree(a, b)
    tap.wait_for(lambda: several.state(b)["exceptions"] == 0 and
                 several.state(a)["exceptions"] == 0, 60, message="exceptions stay")
    split, refused = [], []
    for guid, _ in back:
        several.healed(a, b)
        way.delay(down=0.3)
        seen = []
        first = threading.Thread(target=lambda g=guid, s=seen: s.append(served(a, g)))
        first.start()
        tap.wait_for(lambda: held(r) == 1, 5, every=0.001, message="nothing is asked")
        seen.append(served(b, guid))
        first.join()
        way.delay()
        where = {several.which(c) for c in seen if c}
        if len(where) > 1:
            split.append(where)
        refused += [c for c in seen if c is None]
        for c in seen:
            if c:
                c.close()
        tap.wait_for(lambda: held(r) == 0, 15, message="an owner stays")
    t.same((split, refused), ([], []), "%d clients that have left a drained node come back through "
           "two proxies, one without an answer: on one node" % LEFT)
    blind = several.state(a)["blind"]
    t.ok(blind >= LEFT, "%d times there was none" % blind)
    for g in (a, b):
        t.same(g.stop(), 0, "left behind: %s ends with status 0" % g.name)


def served(g, guid):
    try:
        return several.opened(g, guid)
    except (OSError, smb2.Closed):
        return None


def slow_drain(t):
    """Every word to Redis and from it takes 100 ms: a drain refuses nobody."""
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    r = redis.Server(t).start()
    ways = [Way(t, r.port) for _ in (1, 2)]
    gates = [several.proxy(t, nodes, [w.endpoint], "gate%d" % i) for i, w in enumerate(ways)]
    several.healed(*gates)
    tap.wait_for(lambda: all(several.ripe(g) for g in gates), 10, message="not ripe")
    for w in ways:
        w.delay(0.1, 0.1)
    gates[0].ctl("drain", "f1")
    start, n, again, longest = time.monotonic(), 0, 0, 0.0
    while time.monotonic() - start < 6 or gates[1].node_states()["f1"] != "drain":
        guid, began, n = os.urandom(16), time.monotonic(), n + 1
        while True:
            c = served(gates[n % 2], guid)
            if c or time.monotonic() - began > SERVED_S:
                break
            again += 1
            time.sleep(0.05)
        longest = max(longest, time.monotonic() - began)
        if c:
            c.close()
    t.ok(longest < SERVED_S, "Redis takes 200 ms, and a node is drained: %d new clients are served "
         "after %.2f s at the latest; %d refusals" % (n, longest, again))
    for g in gates:
        t.same(g.stop(), 0, "slow drain: %s ends with status 0" % g.name)


def leaving(t):
    """The way to Redis is slow, and many come and go: nobody lives there whom no proxy has; and
    when their nodes die, they come back through another proxy at once."""
    nodes, r, way, a, b = apart(t)
    several.agree(a, b)
    way.delay(up=0.3)
    guids = [os.urandom(16) for _ in range(GOING)]

    def come(guid):
        for _ in range(100):    # new ones are refused while Redis is thought to be away
            c = served(a, guid)
            if c:
                c.login()
                return c
        return None
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        live = list(pool.map(come, guids))
    t.ok(all(live), "Redis answers after 300 ms: %d clients log on" % GOING)
    for i, c in enumerate(live):
        c.close() if i % 2 else c.reset()
    t.comes(lambda: held(r), 0, "and when they have gone, nobody lives there", seconds=10)
    way.delay()
    for n in nodes[:2]:
        n.stop()
    tap.wait_for(lambda: sorted(b.node_states().values()) == ["down", "down", "up"], 60,
                 message=b.node_states)
    back = [served(b, guid) for guid in guids]
    t.same({several.which(c) if c else None for c in back}, {"f3"},
           "their nodes die: all are served through the other proxy")
    for c in back:
        c.close()
    for g in (a, b):
        t.same(g.stop(), 0, "leaving: %s ends with status 0" % g.name)
    nodes[2].stop()


def binds_nowhere(p, m):
    """Nodes know no session that is bound."""
    if isinstance(m, bytes) or m.cmd != smb2.SESSION_SETUP or not m.body[2] & smb2.BINDING:
        return None
    return smb2.frame(fake.FakeNode.error(m, smb2.USER_SESSION_DELETED))


def bind(c):
    """To a session that there is not."""
    req = c.setup_request(smb2.Ntlm("alice", "Alice-pw-1").step(None),
                          sid=int.from_bytes(os.urandom(8), "little"), flags=smb2.BINDING)
    c.send_frame(req)
    m, = c.answers_setup(smb2.Msg(req).mid)
    return m.status == smb2.USER_SESSION_DELETED


def many_binds(conns, each):
    """Each of these connections beside the others; how many binds were as the node has them."""
    with concurrent.futures.ThreadPoolExecutor(len(conns)) as pool:
        return sum(pool.map(lambda c: sum(bind(c) for _ in range(each)), conns))


def strangers(t):
    """Who has not logged on binds to sessions of nobody's."""
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i),
                           on_message=binds_nowhere).start() for i in (1, 2)]
    r = redis.Server(t).start()
    way = Way(t, r.port)
    g = several.proxy(t, nodes, [way.endpoint], "a")
    several.healed(g)
    conns = [several.opened(g, os.urandom(16)) for _ in range(STRANGERS)]
    several.said(g, n=3)
    lateness = several.Lateness(t)
    before, start = several.state(g), time.monotonic()
    t.same(many_binds(conns, BINDS // STRANGERS), BINDS,
           "%d binds of %d strangers: as the node has them" % (BINDS, STRANGERS))
    # beside them there are a tick, and what is said again
    after = several.state(g)
    words = after["commands"] - before["commands"]
    others = 5 * (time.monotonic() - start + 1)
    t.ok(words <= BIND_COSTS * BINDS + others, "they cost %d words to Redis, %d of them others'" % (
        words, others))
    t.same(after["connects"], before["connects"], "and nobody the link")
    # new clients meanwhile
    over = threading.Event()

    def all_the_time(c):
        while not over.is_set():
            bind(c)
    with concurrent.futures.ThreadPoolExecutor(STRANGERS) as pool:
        for c in conns:
            pool.submit(all_the_time, c)
        try:
            for _ in range(30):
                several.opened(g, os.urandom(16)).close()
        finally:
            over.set()
    several.waited(t, [g], lateness, "strangers bind without end")
    # nobody is there but them, and Redis takes too long for what they ask
    several.said(g, n=3)
    before = several.state(g)
    way.delay(down=0.2)
    t.same(many_binds(conns[:10], 5), 50, "Redis is slow: the binds are as the node has them")
    after = several.state(g)
    t.same((after["connects"], after["errors"]["timeout"], after["degraded"]),
           (before["connects"], before["errors"]["timeout"], False),
           "their questions without an answer cost nobody the link")
    for c in conns:
        c.close()
    t.same(g.stop(), 0, "strangers: smbgate ends with status 0")


def main(t):
    left_behind(t)
    slow_drain(t)
    leaving(t)
    strangers(t)


with tap.Test(deadline=180) as test:
    main(test)
