#!/usr/bin/python3
# redis-model.t: the shared map, in every state that a few connections and one fault can lead to
"""SMBGATE_STATES is the number of states of a scenario (3000; a release: 200000), SMBGATE_SEED the
seed.  First the model's scripts are compared with the real ones, on a real Redis."""
import os
import random
import re
import time

import redis
import tap
from mapmodel import A, B, Model, Scripts

if redis.missing():
    tap.skip_all(redis.missing())

STATES = int(os.environ.get("SMBGATE_STATES", "3000"))
SEED = int(os.environ.get("SMBGATE_SEED", "0")) or random.randrange(1, 1 << 32)
CASES = 1500
ID, FAR = b"0" * 32, 1 << 50
KEYS = {"x": b"x", "e": b"e", "p": b"p", "c": b"m:c:" + ID, "f": b"m:f:" + ID}
# Another claim, which may be said in the same call.
NEXT_ID, NEXT = b"1" * 32, b"m:c:" + b"1" * 32


def script(name):
    """As it is in smbgate."""
    with open(os.environ["SMBGATE_BUILD"] + "/state/scripts.inc") as f:
        text = re.search(r"^\[SCRIPT_%s\] =\n((?:\t\".*\"\n)+)" % name, f.read(), re.MULTILINE)[1]
    return "".join(re.findall(r'^\t"(.*)\\n"$', text, re.MULTILINE)[i] + "\n" for i in range(
        text.count("\n"))).replace('\\"', '"').replace("\\\\", "\\")


def record(r):
    return b"" if r is None else b"3%015d%s%s" % (r[0], r[1].encode(), b"m" * 16)


def unrecord(b):
    return (int(b[1:16]), b[16:-16].decode()) if b else None


def token(p):
    return b"%016d" % p


def put(c, s, epoch):
    """Redis gets what the model has."""
    out = [("FLUSHALL",), ("SET", "e", b"%d%s" % (epoch, b" " if s.ripe else b""))]
    out += [("HSET", "p", token(p), b"%d %d %d %d %d" % (
        FAR if v[0] else 5, v[1], v[2], 4, epoch if v[3] else 0)) for p, v in s.leases.items()]
    if s.rec:
        out.append(("HSET", KEYS["c"], "n", record(s.rec)))
        out += [("HSET", KEYS["c"], b"o" + token(p), g) for p, g in s.owners.items()]
        if s.stay:
            out.append(("HSET", KEYS["c"], "s", FAR))
        if s.linger:
            out.append(("HSET", KEYS["c"], "l", FAR))
        if s.facts:
            out.append(("HSET", KEYS["c"], "f", 1))
    if s.x:
        out.append(("HSET", "x", ID, record(s.x)))
    out += [("HSET", KEYS["f"], sid, said) for sid, said in s.facts.items()]
    c.pipe(out)


def got(c):
    """What Redis has, as the model would have it."""
    h, x, e = c.hash(KEYS["c"]), c.hash("x"), c("GET", "e")
    now = time.time() * 1000
    return (unrecord(h.get(b"n")), {int(k[1:]): int(v) for k, v in h.items() if k[:1] == b"o"},
            b"s" in h, int(h.get(b"l", 0)) > now, unrecord(x.get(ID)), e[-1:] == b" ",
            {k.decode(): v.decode() for k, v in c.hash(KEYS["f"]).items()})


def wanted(s):
    return s.rec, s.owners, s.stay, s.linger, s.x, s.ripe, s.facts


def chance(rng):
    """Any state, whether or not it can be."""
    s = Scripts()
    s.leases = {p: [rng.random() < 0.8, rng.randrange(1, 4), rng.randrange(1, 4), rng.randrange(2)]
                for p in range(2) if rng.random() < 0.9}
    s.ripe = rng.random() < 0.6
    if rng.random() < 0.8:
        s.rec = rng.randrange(1, 4), rng.choice(A + B)
        s.owners = {p: rng.randrange(1, 4) for p in range(2) if rng.random() < 0.6}
        s.stay, s.linger = rng.random() < 0.5, rng.random() < 0.4
    if rng.random() < 0.4:
        s.x = rng.randrange(1, 4), rng.choice(A + B)
    if s.rec and rng.random() < 0.7:
        s.facts = {sid: rng.choice("xy") for sid in "12" if rng.random() < 0.7}
    return s


def sync(c, sha, p, gen, op, facts, company):
    """company: another claim is given up in the same call, which is there or is not."""
    kind, rec, other, exc, stay, out = op
    keys = [KEYS["x"], KEYS["e"], KEYS["p"], KEYS["c"]] + [NEXT] * bool(company)
    if company == "there":
        c("HSET", NEXT, "n", record((1, A)), b"o" + token(p), gen)
    r = c("EVALSHA", sha, len(keys), *keys, token(p), gen, 0, "news",
          out and "\n%s\n" % out, kind, ID, record(rec), record(other), int(exc),
          FAR if stay else "", "", "", len(facts), *sum(facts, ()),
          *(["r", NEXT_ID, "", "", 0, "", "", "", 0] if company else []))
    if len(r) == 1:
        return None
    return r[1][0], unrecord(r[1][1]) if len(r[1]) > 1 else None, r[1][2] if len(r[1]) > 2 else 0


def compare(t, rng):
    """The same state, the same op: the same answer, and the same state after it."""
    r = redis.Server(t).start()
    c = r.client()
    shas = {n: c("SCRIPT", "LOAD", script(n)) for n in ("SYNC", "TICK")}
    wrong, done = [], set()
    for _ in range(CASES):
        s, epoch = chance(rng), int(time.time() * 1000) - 10000
        p, gen = rng.randrange(2), rng.randrange(1, 4)
        op = (rng.choice("cmsr"), (rng.randrange(1, 4), rng.choice(A + B)),
              rng.choice([None, (1, A), (2, A), (2, B)]), rng.random() < 0.5, rng.random() < 0.5,
              rng.choice(["", A, B]))
        facts = [(rng.choice("123"), rng.choice("xy-?")) for _ in range(rng.randrange(3))]
        put(c, s, epoch)
        before = dict(s.__dict__, owners=dict(s.owners), facts=dict(s.facts))
        company = rng.choice(("", "missing", "there"))
        real = sync(c, shas["SYNC"], p, gen, op, facts, company)
        model = s.sync(p, gen, op, facts)
        after, want = got(c), wanted(s)
        if model is None:
            model, want = None, after
        done.add((op[0], model and model[0]))
        if real != model or after != want:
            wrong.append((before, p, gen, op, facts, company, real, model, after, want))
    t.same(wrong[:2], [], "%d scripts on any state: the model does what Redis does" % CASES)
    t.ok(len(done) >= 11, "whatever may come out: %r" % sorted(done, key=repr))
    wrong = []
    for _ in range(CASES // 4):
        s, epoch = chance(rng), int(time.time() * 1000) - 10000
        s.epoch = epoch
        for v in s.leases.values():
            v[3] = epoch if v[3] else 0
        p, gen, said = rng.randrange(2), rng.randrange(1, 4), rng.choice((0, epoch))
        put(c, s, epoch)
        real = c("EVALSHA", shas["TICK"], 5, "e", "d", "p", "peers", "w", token(p),
                 gen, "3", "tag", "f" * 16, "host", said, "0")
        model = s.tick(p, gen, said)
        s.ripen()
        line = c.hash("p").get(token(p), b"0 0 0 0 0").split()
        if model is None:
            same = real[2] == 2
        else:
            began = model[0] != epoch and real[1] > epoch
            same = (real[2] == 1) == model[1] and (began or real[1] == epoch) and \
                (int(line[2]), int(line[4]) == real[1]) == (s.leases[p][2], bool(
                    s.leases[p][3] == s.epoch)) and (c("GET", "e")[-1:] == b" ") == s.ripe
        if not same:
            wrong.append((p, gen, said, epoch, real, model, line, s.leases))
    t.same(wrong[:2], [], "and of leases")
    c.close()


SCENARIOS = [
    Model("nothing goes wrong", firm=True, hasty=True),
    Model("it lingered, and comes back", start="lingers"),
    Model("it lingers on a node that is drained", proxies=1, start="lingers", drain=True,
          hasty=True),
    Model("the same, through two proxies", start="lingers", drain=True),
    Model("it lives on a node that is drained", opens=1, start="lives", drain=True),
    Model("an answer is late", faults=("slow",)),
    Model("an answer is late, it lingers on a drained node", proxies=1, start="lingers", drain=True,
          faults=("slow",)),
    Model("an answer is late, it lives on a drained node", opens=1, start="lives", drain=True,
          faults=("slow",)),
    Model("Redis loses all, it lives on a drained node", opens=1, start="lives", drain=True,
          faults=("flush",)),
    Model("its proxy stands still, its node is drained", opens=1, start="lives", drain=True,
          faults=("pause1",)),
    Model("its proxy is cut off, its node is drained", opens=1, start="lives", drain=True,
          faults=("cut1",)),
    Model("it lives where all have drained, a proxy is cut off", opens=1, start="lives",
          drained="agreed", faults=("cut1",)),
    Model("the same, Redis loses all", opens=1, start="lives", drained="agreed",
          faults=("flush",)),
    Model("it lingers where all have drained", start="lingers", drained="agreed", firm=True,
          hasty=True),
    Model("the same, an answer is late", start="lingers", drained="agreed", faults=("slow",)),
    Model("the same, a proxy is cut off", start="lingers", drained="agreed", faults=("cut1",)),
    Model("the same, Redis loses all", start="lingers", drained="agreed", faults=("flush",)),
    Model("it was moved while its proxy stood still", opens=1, start="moved", drained="agreed"),
]
# What the model must find: a mend is left out.
BROKEN = [
    Model("nobody waits for a move", proxies=1, start="lingers", drain=True, broken="no wait"),
    Model("homes change before all exceptions are known", opens=1, start="lives", drain=True,
          broken="no next", faults=("slow",)),
    Model("its proxy stood still, and does not say all again", opens=1, start="moved",
          drained="agreed", broken="no again"),
    Model("proxies decide about whoever has left a drained node", start="lingers",
          drained="agreed", faults=("slow",), broken="decides itself"),
]
# What is known to be so: the third gap of smbgate.conf(5).  Who closes one takes it out there, too.
GAPS = [
    Model("an answer is late, it leaves a drained node meanwhile", start="lives", drained="agreed",
          faults=("slow",)),
    Model("an answer is late, while it is heard that all drain its node", start="lingers",
          drained="begun", faults=("slow",)),
]


def main(t):
    t.diag("seed %d" % SEED)
    compare(t, random.Random(SEED))
    for m in SCENARIOS:
        m.most = STATES
        start = time.monotonic()
        what, how, n = m.run()
        t.ok(what in ("holds", "bounded"), "%s: on one node, in %s%d states, %.1f s" % (
            m.name, "the first " if what == "bounded" else "all ", n, time.monotonic() - start),
            *how)
    for m in BROKEN:
        what, how, n = m.run()
        t.ok(what == "split", "%s: found after %d states, %d steps" % (m.name, n, len(how)))
    for m in GAPS:
        what, how, n = m.run()
        t.ok(what == "split", "%s: still so, after %d states" % (m.name, n), *how)


with tap.Test(deadline=300) as test:
    main(test)
