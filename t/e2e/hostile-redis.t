#!/usr/bin/python3
# hostile-redis.t: a Redis, and a Sentinel, that answer what nobody should
"""SMBGATE_FUZZ is the number of random answers (150; a release: 20000), SMBGATE_SEED the seed."""
import os
import random
import time

import fake
import gate
import redis
import several
import tap

if gate.missing():
    tap.skip_all(gate.missing())

FUZZ = int(os.environ.get("SMBGATE_FUZZ", "150"))
SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)
GIANT = b"x" * (64 << 20)


def after_greeting(answer):
    """Good until the first question that is smbgate's own."""
    def f(args, peer):
        good = redis.greeting(args, peer)
        return good if good is not None else answer(args, peer)
    return f


def always(data):
    return lambda args, peer: data


def late(args, peer):
    time.sleep(0.2)
    return b":1\r\n"


def hang(args, peer):
    time.sleep(0.3)
    return b""


def trickle(args, peer):
    try:
        for c in b"*5\r\n:0\r\n:1":
            peer["sock"].sendall(bytes([c]))
            time.sleep(0.02)
    except OSError:
        return None
    return b""


def now_ms():
    return int(time.time() * 1000)


def claim(rec, how=1, others=0, t=None):
    """What a script says of each claim that it is asked for; where the record is long, of the first
    one alone, and that the others are too late: many of them are more than is read at all."""
    one = b"*4\r\n:%d\r\n$%d\r\n%s\r\n:%d\r\n:0\r\n" % (how, len(rec), rec, others)
    more = one if len(rec) < 4096 else b"*4\r\n:3\r\n$0\r\n\r\n:0\r\n:0\r\n"

    def f(args, peer):
        n = int(args[2]) - 3 if args[0] == b"EVALSHA" else 0
        if n < 1:
            return b":1\r\n"
        return b"*%d\r\n:%d\r\n" % (1 + n, now_ms() if t is None else t) + one + more * (n - 1)
    return f


def tick(drains=b"*0\r\n", peers=b"*0\r\n", epoch=1, status=0):
    return b"*6\r\n:%d\r\n:%d\r\n:%d\r\n%s%s:1\r\n" % (now_ms(), epoch, status, drains, peers)


def leased(answer):
    """The lease is renewed; answer is to everything else."""
    def f(args, peer):
        if args[0] == b"EVALSHA" and args[3].endswith(b":e"):
            return tick()
        return answer(args, peer)
    return after_greeting(f)


def endless(args, peer):
    """A scan that never comes to an end."""
    if args[0] == b"EVALSHA" and len(args) == 8:
        return b"*3\r\n$1\r\n7\r\n$32\r\n" + b"0" * 32 + b"\r\n$3\r\nabc\r\n"
    return b":1\r\n"


# What it says; what of it must be counted (None: nothing in particular).
ANSWERS = [
    ("garbage", always(b"\x00\xff\x13garbage\r\n\r\n"), "protocol"),
    ("a web server", always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol"),
    ("nothing, and closes", lambda a, p: None, "closed"),
    ("nothing at all", hang, "timeout"),
    ("an error to the greeting", always(b"-ERR go away\r\n"), "error"),
    ("NOAUTH", always(b"-NOAUTH Authentication required.\r\n"), "auth"),
    ("LOADING", always(b"-LOADING Redis is loading the dataset in memory\r\n"), "loading"),
    ("the wrong types", always(b":1\r\n"), "protocol"),
    ("a replica's role", lambda a, p: b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$2\r\nup\r\n:0\r\n"
     if a[0] == b"ROLE" else redis.greeting(a, p), "role"),
    ("a giant array", always(b"*1000000000\r\n"), "protocol"),
    ("a giant bulk", always(b"$60000000\r\n" + GIANT), "protocol"),
    ("deep nesting", always(b"*1\r\n" * 100000), "protocol"),
    ("wide nesting", always(b"*4000\r\n" * 4000), "protocol"),
    ("late: garbage", after_greeting(always(b"\x00garbage\r\n")), "protocol"),
    ("late: a giant bulk", after_greeting(always(b"$60000000\r\n" + GIANT)), "protocol"),
    ("late: a giant array", after_greeting(always(b"*2147483647\r\n")), "protocol"),
    ("late: a number", after_greeting(always(b":1\r\n")), "protocol"),
    ("late: nil", after_greeting(always(b"$-1\r\n")), "protocol"),
    ("late: an empty array", after_greeting(always(b"*0\r\n")), "protocol"),
    ("late: two answers to each question", after_greeting(always(b":1\r\n:1\r\n")), "protocol"),
    ("late: a message that nobody subscribed to",
     after_greeting(always(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$3\r\nabc\r\n")), "protocol"),
    ("late: a message without end",
     after_greeting(always(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n:1\r\n")), "protocol"),
    ("late: READONLY", after_greeting(always(b"-READONLY You can't write against a read only "
                                             b"replica.\r\n")), "readonly"),
    ("late: MASTERDOWN", after_greeting(always(b"-MASTERDOWN Link with MASTER is down\r\n")),
     "masterdown"),
    ("late: BUSY", after_greeting(always(b"-BUSY Redis is busy running a script.\r\n")), "busy"),
    ("late: OOM", after_greeting(always(b"-OOM command not allowed\r\n")), "oom"),
    ("late: MISCONF", after_greeting(always(b"-MISCONF Redis is configured to save\r\n")), "misconf"),
    ("late: NOSCRIPT", after_greeting(always(b"-NOSCRIPT No matching script.\r\n")), "noscript"),
    ("late: an error without a word", after_greeting(always(b"-\r\n")), "error"),
    ("late: after 200 ms", after_greeting(late), "timeout"),
    ("late: byte by byte", after_greeting(trickle), "timeout"),
    ("late: an answer of the right shape, and a bad record",
     leased(claim(b"2" + b"0" * 15 + b"f2=127.0.0.42:1" + b"m" * 16)), "bad_value"),
    ("late: a record of 100,000 bytes", leased(claim(b"1" * 100000)), "bad_value"),
    ("late: a record of a megabyte", leased(claim(b"1" * 1000000)), None),
    ("late: an empty record", leased(claim(b"")), "bad_value"),
    ("late: a time before time", leased(claim(b"x", t=0)), "protocol"),
    ("late: a time after time", leased(claim(b"x", t=(1 << 63) - 1)), None),
    ("late: a how that is none", leased(claim(b"x", how=99)), "protocol"),
    ("late: too late, it says", leased(claim(b"", how=3)), "late"),
    ("late: no lease, it says", leased(lambda a, p: b"*1\r\n:%d\r\n" % now_ms()), None),
    ("late: a lease of nobody's", after_greeting(always(tick(status=99))), None),
    ("late: claims of nobody's", leased(always(b"*3\r\n:1\r\n:1\r\n:1\r\n")), "protocol"),
    ("late: what operators never said",
     after_greeting(always(tick(b"*2\r\n$2\r\nn1\r\n$5\r\ndrain\r\n"))), "bad_value"),
    ("late: peers that are none",
     after_greeting(always(tick(peers=b"*6\r\n$1\r\na\r\n$3\r\nx y\r\n$1\r\nz\r\n$1\r\nb\r\n"
                                b":7\r\n:7\r\n"))), None),
    ("late: an endless scan", leased(endless), None),
]


class Clients:
    """A live session that must stay, and new ones that must be served."""

    def __init__(self, t, g):
        self.t, self.g = t, g
        self.guid = os.urandom(16)
        self.live = several.opened(g, self.guid)
        self.session = self.live.login()

    def serve(self):
        """New clients, each in time; further channels where the first is."""
        for _ in range(4):
            guid = os.urandom(16)
            with several.opened(self.g, guid) as a, several.opened(self.g, guid) as b:
                a.login()
                if several.which(a) != several.which(b):
                    return "one client on two nodes"
        with several.opened(self.g, self.guid) as c:
            if several.which(c) != several.which(self.live):
                return "a live client's channel elsewhere"
        return None if self.live.is_open() and self.g.alive() else "the live connection ended"


def errors(g):
    return several.state(g)["errors"]


def turn(h, g, answer):
    """From now on it answers so, on new connections."""
    h.answer = answer
    n = h.hang_up()
    tap.wait_for(lambda: h.connections > n + 1, 30, message="nobody connects")


def answers(t, g, h, clients):
    for name, answer, counted in ANSWERS:
        before, sent = errors(g), h.sent
        turn(h, g, answer)
        wrong = clients.serve()
        more = tap.wait_for(lambda: counted is None or errors(g)[counted] > before[counted] or
                            clients.serve() and None, 20)
        t.ok(wrong is None and more, "%s: clients are served%s" % (
            name, ", %s is counted" % counted if counted else ""), wrong, errors(g),
            g.log()[-2000:])
        if "giant bulk" in name:
            n = h.connections
            t.ok(h.sent - sent < (n + 1) * (4 << 20), "%s: given up after a megabyte or so" % name)


def fuzz(t, g, h, clients, rng):
    """Random pieces of the protocol, in any order."""
    pieces = [b"*", b"$", b":", b"+", b"-", b"\r\n", b"0", b"1", b"-1", b"5", b"32", b"4096",
              b"99999999999", b"message", b"1" * 40, b"x" * 32, b"\0", b"READONLY", b"\r", b"\n",
              b"$3\r\nabc\r\n", b":1\r\n", b"*5\r\n", b"*2\r\n", b"$-1\r\n", b"+OK\r\n"]

    def answer(args, peer):
        if rng.random() < 0.5:
            good = redis.greeting(args, peer)
            if good is not None:
                return good
        return b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 30)))

    turn(h, g, answer)
    start, wrong = h.connections, None
    end = time.monotonic() + max(30, FUZZ)
    while h.connections - start < FUZZ and time.monotonic() < end and not wrong:
        wrong = clients.serve()
        h.hang_up()
    t.ok(wrong is None and h.connections - start >= FUZZ,
         "%d connections of random answers: clients are served" % (h.connections - start), wrong)


def sentinel(t, nodes):
    """The same of a Sentinel."""
    real = redis.Server(t).start()
    said = {
        "an error": b"-ERR no such master\r\n", "nil": b"*-1\r\n", "a number": b":1\r\n",
        "a name": redis.encode("redis.example", "6379"), "no port": redis.encode("127.0.0.1", ""),
        "a port that is none": redis.encode("127.0.0.1", "99999"),
        "three words": redis.encode("127.0.0.1", "1", "2"),
        "nobody there": redis.encode("127.0.0.1", "1"), "itself": None,
        "a long name": redis.encode("1" * 100000, "6379"),
    }
    h = redis.Hostile(t, always(b"-ERR\r\n"))
    said["itself"] = redis.encode("127.0.0.1", h.port)
    g = several.proxy(t, nodes, [h.endpoint], "sentinel", state={"sentinel": "mymaster"})
    clients = Clients(t, g)
    for name, data in said.items():
        turn(h, g, always(data))
        wrong = clients.serve()
        t.ok(wrong is None, "a Sentinel says %s: clients are served" % name, wrong)
    h.answer = always(redis.encode("127.0.0.1", real.port))
    h.hang_up()
    several.healed(g)
    t.ok(clients.serve() is None, "a Sentinel says where: found")
    clients.live.close()
    t.same(g.stop(), 0, "sentinel: smbgate ends with status 0")


def main(t):
    t.diag("seed %d" % SEED)
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    h = redis.Hostile(t, always(b"-ERR\r\n"))
    g = several.proxy(t, nodes, [h.endpoint])
    clients = Clients(t, g)
    rss = g.rss_kb()
    answers(t, g, h, clients)
    fuzz(t, g, h, clients, random.Random(SEED))
    s = several.state(g)
    t.diag("waits: longest %d us, mean %d us of %d; errors %r" % (
        s["wait_us_max"], s["wait_us_mean"], s["waits"],
        {k: v for k, v in s["errors"].items() if v}))
    grown = g.rss_kb() - rss
    if g.sanitized():
        t.skip("memory is bounded", "the address sanitizer's memory is not the program's")
    else:
        t.ok(grown < 16384, "memory is bounded: %d KiB more than at the start" % grown)
    t.ok(tap.wait_for(lambda: g.fds() < 64, 20), "no descriptor stays: %d" % g.fds())
    clients.live.close()
    t.same(g.stop(), 0, "smbgate ends with status 0")
    sentinel(t, nodes)


with tap.Test(deadline=200 + FUZZ) as test:
    main(test)
