# mapmodel.py: an explicit-state model of the shared map: a client, two nodes, proxies, a Redis
"""Breadth first over all interleavings of: a connection opens through any proxy, decides, logs on,
closes; a proxy sends what is due, Redis carries it out, the answer comes; and the faults that the
scenario allows.  What is below is transcribed: Scripts from state/lua/, which mapmodel.t compares
with the real ones, and Proxy from state/shared_*.c and state/keeper.c.

A split is a connection that arrives at a node while another of the client lives on another one.  It
is none where one of the two belongs to a proxy whose lease ran out."""
from collections import deque

A, B = "A", "B"
JOINED, MADE, MADE_BLIND, LATE, MOVED, HELD, LOST = range(7)


class Scripts:
    """One claim in Redis, by SYNC and TICK.  A record is (age, node)."""

    def __init__(self):
        self.rec = None
        self.owners = {}        # proxy: the number of its connection
        self.stay = self.linger = False
        self.x = None           # the exception
        self.facts = {}         # session: what is said of it
        self.ripe = True
        self.epoch = 1
        self.leases = {}        # proxy: [alive, gen, floor, said]

    def copy(self):
        n = Scripts()
        n.__dict__.update(self.__dict__)
        n.owners, n.facts = dict(self.owners), dict(self.facts)
        n.leases = {p: list(v) for p, v in self.leases.items()}
        return n

    def drop(self):
        self.rec, self.owners, self.stay, self.linger, self.facts = None, {}, False, False, {}

    def read(self, p):
        """others, mine.  Who does not count is forgotten."""
        dead = [q for q, g in self.owners.items()
                if not (q in self.leases and self.leases[q][0] and g >= self.leases[q][2])]
        for q in dead:
            if self.stay and q in self.leases:
                self.linger = True
            del self.owners[q]
        others, mine = sum(q != p for q in self.owners), p in self.owners
        if dead and not self.owners:
            self.facts = {}
        if self.rec is not None and not others and not mine and not self.linger:
            self.drop()
        return others, mine

    def write(self, p, gen, stay):
        self.owners[p] = gen
        self.stay |= stay

    def answer(self, how, others):
        return how, self.rec, others

    def say_facts(self, facts, others):
        for sid, said in facts:
            if said not in "-?":
                self.facts[sid] = said
            elif said == "-" or not others:
                self.facts.pop(sid, None)

    def sync(self, p, gen, op, facts=()):
        """op: kind, rec, other, exception, stay; and the nodes that take no new clients.  facts: of
        sessions, with s.  None: no lease."""
        lease = self.leases.get(p)
        if not lease or not lease[0] or lease[1] != gen:
            return None
        kind, rec, other, exception, stay, out = op
        if kind == "r":
            self.owners.pop(p, None)
            self.linger |= bool(stay) and self.rec is not None
            if not self.read(p)[0]:
                self.facts = {}
            x = None
            if self.rec is not None:
                if not self.owners and self.ripe and self.rec[1] in out:
                    self.x = None
                return HELD, None, 0
            if stay and rec:
                self.rec, self.linger = rec, True
                x = rec if exception and rec[1] not in out else None
            if x or self.ripe:
                self.x = x
            return HELD, None, 0
        others, mine = self.read(p)
        if kind == "c":
            how = MADE_BLIND if self.rec and not self.ripe and not others else JOINED
            if self.rec and self.ripe and not others and self.rec[1] in out and rec[1] not in out:
                self.drop()
                self.x = None
            if not self.rec:
                self.rec, how = rec, MADE
                if not self.ripe:
                    how = MADE_BLIND
                    if other:
                        self.rec, exception = other, False
                if exception:
                    self.x = self.rec
            self.write(p, gen, False)
            return self.answer(how, others)
        if kind == "m":
            how = JOINED
            if not self.rec or (self.rec == other and not others):
                self.drop()
                self.rec, how, others = rec, MOVED, 0
                self.x = rec if exception else None
            self.write(p, gen, stay)
            return self.answer(how, others)
        if not self.rec:
            self.rec = rec
        elif self.rec[1] == rec[1]:
            self.rec = min(self.rec, rec)
        elif others and (self.ripe or rec > self.rec):
            if mine:
                del self.owners[p]
            return self.answer(LOST, others)
        else:
            self.drop()
            self.rec, others = rec, 0
        self.write(p, gen, stay)
        self.say_facts(facts, others)
        self.x = self.rec if exception else None
        return (HELD, None, 0) if self.rec == rec else self.answer(HELD, others)

    def tick(self, p, gen, said):
        """epoch, whether the lease had lapsed; None: sent on an older connection."""
        lease = self.leases.get(p)
        alive = lease is not None and lease[0]
        if alive and lease[1] > gen:
            return None
        if not any(v[0] for v in self.leases.values()):
            self.epoch, self.ripe = self.epoch + 1, False
        said = said if alive else 0
        floor = gen if not alive or said == self.epoch else lease[2]
        self.leases[p] = [True, gen, floor, said if said == self.epoch else 0]
        return self.epoch, not alive

    def ripen(self):
        if not self.ripe and all(v[3] == self.epoch for v in self.leases.values() if v[0]):
            self.ripe = True
            return True
        return False


class Split(Exception):
    pass


class State:
    """Everything: what Redis has, the proxies, the connections."""

    def __init__(self, nproxies, opens, faults):
        self.redis = Scripts()
        self.proxies = [{"drained": False, "told": False, "agreed": False, "online": True,
                         "gen": 1, "epoch": 1, "cut": False, "paused": False, "out": [],
                         "back": [], "entry": None, "mirror": None, "lapsed": False}
                        for _ in range(nproxies)]
        self.conns = []
        self.late = []          # of earlier connections, not carried out yet
        self.opens, self.faults, self.clock = opens, faults, 10
        for p in range(nproxies):
            self.redis.leases[p] = [True, 1, 1, 1]

    def copy(self):
        n = State.__new__(State)
        n.__dict__.update(self.__dict__)
        n.redis = self.redis.copy()
        n.proxies = [dict(p, out=list(p["out"]), back=list(p["back"]), entry=p["entry"] and dict(
            p["entry"], wait=list(p["entry"]["wait"]))) for p in self.proxies]
        n.conns = [dict(c) for c in self.conns]
        n.late = list(self.late)
        return n

    def key(self):
        """Ages by their order alone: so there is an end of states."""
        recs = [self.redis.rec, self.redis.x] + [p["mirror"] for p in self.proxies]
        ages = {r[0] for r in recs if r}
        for p in self.proxies:
            if p["entry"]:
                ages.add(p["entry"]["made"])
            for m in p["out"]:
                ages |= {r[0] for r in m[2][1:3] if r} if m[0] == "sync" else set()
            for m in p["back"]:
                ages |= {m[1][1][0]} if m[0] == "sync" and m[1] and m[1][1] else set()
        for _, _, op in self.late:
            ages |= {r[0] for r in op[1:3] if r}
        rank = {a: i for i, a in enumerate(sorted(ages))}

        def f(v):
            if isinstance(v, dict):
                return tuple((k, rank[x] if k == "made" else f(x)) for k, x in sorted(v.items()))
            if isinstance(v, list):
                return tuple(f(x) for x in v)
            if isinstance(v, tuple):
                if len(v) == 2 and v[1] in (A, B) and v[0] in rank:
                    return rank[v[0]], v[1]
                return tuple(f(x) for x in v)
            return v
        r = self.redis
        return (f(r.rec), f(r.owners), r.stay, r.linger, f(r.x), r.ripe, r.epoch, f(r.leases),
                f(self.proxies), tuple(c["over"] or f(c) for c in self.conns), f(self.late),
                self.opens, self.faults)


class Model:
    def __init__(self, name, proxies=2, opens=2, faults=(), start=None, drain=False, drained=None,
                 most=20000, broken=None, firm=False, hasty=False):
        """start: "lives" on A through the last proxy, or "lingers" there; or "moved" to B, while
        that proxy, through which it lived on A, stood still for longer than its lease.  drain: A is
        drained.  drained: A is, by all proxies, from the start: "begun", or "agreed": all know that
        of all.  broken: a mend that is left out.  firm: the first connection logs on.  hasty:
        connections are closed before they have arrived, too."""
        self.__dict__.update(locals())
        del self.__dict__["self"]

    # What a proxy sees.

    def home(self, p):
        return B if p["drained"] and p["agreed"] else A

    def want(self, p):
        return B if p["drained"] else A

    def out(self, p):
        """Nodes that take no new clients, as all proxies know."""
        return A if p["agreed"] and self.broken != "decides itself" else ""

    def disputed(self, p, e):
        """Nothing is known of the client, and home may be another one for others."""
        if e["node"] or p["mirror"] or not p["drained"]:
            return False
        return not p["agreed"] and e["want"] != e["home"]

    def exception(self, p, e, node):
        """By the home that counts now, or by that which will."""
        return node != e["home"] or node != (self.want(p) if self.broken != "no next" else node)

    # The table: state/shared_claim.c, shared_holds.c.

    def answered(self, s, i):
        return sum(c["p"] == i and c["told"] and not c["over"] for c in s.conns)

    def live(self, s, i):
        return sum(c["p"] == i and not c["over"] for c in s.conns)

    def any_firm(self, s, i):
        return any(c["p"] == i and c["firm"] and not c["over"] for c in s.conns)

    def open(self, s, i):
        p = s.proxies[i]
        s.opens -= 1
        s.clock += 1
        ci = len(s.conns)
        s.conns.append({"p": i, "told": False, "firm": False, "over": False, "node": None,
                        "others": 0, "blind": False})
        e = p["entry"]
        if e is None:
            e = p["entry"] = {"ph": "LEAVING", "node": None, "home": None, "want": None, "to": None,
                              "made": s.clock, "dirty": False, "known": False, "old": False,
                              "sent": None, "first": None, "wait": [], "blind": False,
                              "elsewhere": 0, "stay": False, "excused": False, "said_x": False,
                              "look": False}
        if e["ph"] == "LEAVING":
            e["want"], e["home"] = self.want(p), self.home(p)
            if not e["known"]:
                e["made"] = s.clock
            if p["online"]:
                e["ph"] = "ASKING"
                e["wait"].append(ci)
            elif self.disputed(p, e):
                self.leave(s, ci)
            else:
                self.place_blindly(s, i)
                self.admit(s, i, ci)
        elif e["ph"] == "PLACED":
            self.admit(s, i, ci)
        elif e["ph"] in ("UNSURE", "LOST"):
            self.leave(s, ci)
        elif self.broken == "no wait" and e["node"]:
            self.arrive(s, ci, e["node"])
        else:
            e["wait"].append(ci)

    def admit(self, s, i, ci):
        e, c = s.proxies[i]["entry"], s.conns[ci]
        c["others"], c["blind"] = self.answered(s, i) + e["elsewhere"], e["blind"]
        c["told"], e["blind"] = True, False
        if c["others"] == 0:
            e["ph"], e["first"] = "DECIDING", ci
        else:
            self.decide(s, ci)

    def serve(self, s, i):
        e = s.proxies[i]["entry"]
        while e["wait"] and e["ph"] == "PLACED":
            self.admit(s, i, e["wait"].pop(0))
        while e["wait"] and e["ph"] in ("UNSURE", "LOST"):
            self.leave(s, e["wait"].pop(0))
            e = s.proxies[i]["entry"]
            if e is None:
                return

    def undecided(self, s, i):
        self.admit(s, i, s.proxies[i]["entry"]["wait"].pop(0))

    def decided(self, s, i):
        e = s.proxies[i]["entry"]
        e["first"] = None
        if e["ph"] == "DECIDING":
            e["ph"] = "PLACED"
            self.serve(s, i)

    def place_blindly(self, s, i):
        p = s.proxies[i]
        e = p["entry"]
        if p["mirror"]:
            e["made"], e["node"] = p["mirror"]
        elif e["node"] is None:
            e["node"] = e["home"]
        e["ph"], e["dirty"], e["blind"], e["elsewhere"] = "PLACED", True, True, 0
        e["excused"] |= p["lapsed"]

    def unanswered(self, s, i):
        e = s.proxies[i]["entry"]
        first = e["first"]
        if e["ph"] == "ASKING" and not self.disputed(s.proxies[i], e):
            self.place_blindly(s, i)
        elif e["ph"] in ("ASKING", "MOVING"):
            if self.broken == "move blindly":
                e["node"], e["ph"], e["dirty"] = e["to"], "PLACED", True
                e["first"] = None
                if first is not None:
                    self.admit(s, i, first)
            else:
                e["ph"], e["first"] = "UNSURE", None
                if first is not None:
                    self.leave(s, first)
                    if s.proxies[i]["entry"] is None:
                        return
        self.serve(s, i)

    def leave(self, s, ci):
        c = s.conns[ci]
        i = c["p"]
        p = s.proxies[i]
        e = p["entry"]
        c["over"] = True
        if ci in e["wait"]:
            e["wait"].remove(ci)
        if c["firm"]:
            e["stay"] = True
        if e["first"] == ci:
            self.decided(s, i)
        if self.live(s, i) == 0:
            forgotten = not e["known"] and not e["stay"]
            if (forgotten or e["ph"] == "LOST" or (not p["online"] and p["lapsed"])) and \
                    not e["sent"]:
                p["entry"] = None
            else:
                e["ph"], e["elsewhere"] = "LEAVING", 0

    # nodes/route.c

    def decide(self, s, ci):
        """It goes to the node that it was told, or would have it moved."""
        c = s.conns[ci]
        p = s.proxies[c["p"]]
        e = p["entry"]
        ours = e["node"] == self.want(p) or c["others"] > 0 or c["blind"]
        if ours or not (e["node"] == A and p["drained"]):
            self.arrive(s, ci, e["node"])
        elif self.answered(s, c["p"]) != 1 or e["ph"] not in ("DECIDING", "PLACED"):
            self.leave(s, ci)
        elif p["online"]:
            e["to"], e["ph"], e["first"] = self.want(p), "MOVING", ci
            c["told"] = False
        elif not e["known"] or p["lapsed"]:
            s.clock += 1
            e["node"], e["made"], e["dirty"] = self.want(p), s.clock, True
            self.arrive(s, ci, e["node"])
        else:
            self.leave(s, ci)

    def excused(self, s, i):
        """Its lease ran out, and it has not said all again since."""
        p = s.proxies[i]
        e = p["entry"]
        return p["lapsed"] or e["excused"] and bool(not p["online"] or e["old"] or e["dirty"] or
                                                    e["sent"])

    def arrive(self, s, ci, node):
        c = s.conns[ci]
        i = c["p"]
        c["node"] = node
        for o in s.conns:
            other = s.proxies[o["p"]]["entry"]
            if o["over"] or o["node"] in (None, node) or other is None or other["ph"] == "LOST" or \
                    self.excused(s, o["p"]) or self.excused(s, i):
                continue
            raise Split("through proxy %d on %s, through proxy %d on %s" % (
                o["p"], o["node"], i, node))
        if s.proxies[i]["entry"]["first"] == ci:
            self.decided(s, i)

    # The keeper.

    def due(self, s, i):
        """The next op, or None; as fill_op() makes it."""
        p = s.proxies[i]
        e = p["entry"]
        if not p["online"] or e is None or e["sent"]:
            return None
        if e["ph"] == "ASKING":
            rec, x = (e["made"], e["want"]), p["mirror"]
            other = None if rec[1] == e["home"] else (e["made"], e["home"])
            if x and x[1] in self.out(p):
                other = x
            elif x:
                rec, other = x, None
            return "c", rec, other, self.exception(p, e, rec[1]), False
        if e["ph"] == "MOVING":
            return ("m", (s.clock + 1, e["to"]), (e["made"], e["node"]),
                    self.exception(p, e, e["to"]), self.any_firm(s, i))
        if e["ph"] == "LEAVING":
            if e["stay"] and e["node"]:
                return "r", (e["made"], e["node"]), None, self.exception(p, e, e["node"]), True
            return "r", None, None, False, e["stay"]
        if e["ph"] in ("PLACED", "DECIDING"):
            x = self.exception(p, e, e["node"])
            if e["dirty"] or e["old"] or (e["look"] and x != e["said_x"]):
                return "s", (e["made"], e["node"]), None, x, self.any_firm(s, i)
            e["look"] = False
        return None

    def send(self, s, i, op):
        p = s.proxies[i]
        e = p["entry"]
        if op[0] == "m":
            s.clock += 1
            e["made"] = s.clock
        if op[0] == "s":
            e["dirty"] = False
        e["known"] = True
        e["sent"] = op[0]
        if op[0] != "r":
            e["said_x"] = op[3]
        p["out"].append(("sync", p["gen"], op + (self.out(p),)))

    def send_due(self, s):
        for i, p in enumerate(s.proxies):
            op = None if p["paused"] else self.due(s, i)
            if op:
                self.send(s, i, op)

    def carry_out(self, s, i):
        p = s.proxies[i]
        kind, gen, op = p["out"].pop(0)
        if kind == "tick":
            p["back"].append(("tick", s.redis.tick(i, gen, op)))
            return
        p["back"].append(("sync", self.execute(s, i, gen, op)))

    def execute(self, s, i, gen, op):
        x = s.redis.x
        if self.broken == "late counts" and s.redis.leases[i][1] != gen:
            gen = s.redis.leases[i][1]
        r = s.redis.sync(i, gen, op)
        if s.redis.x != x:
            for q in s.proxies:
                if not q["cut"]:
                    q["mirror"] = s.redis.x
        return r

    def receive(self, s, i):
        p = s.proxies[i]
        kind, r = p["back"].pop(0)
        if kind == "tick":
            if r is None:
                return
            if r[0] != p["epoch"] or (r[1] and (p["online"] or self.broken != "no again")):
                self.again(s, i)
            p["epoch"], p["online"], p["lapsed"] = r[0], True, False
            if not p["cut"] and (s.redis.x or s.redis.ripe):
                p["mirror"] = s.redis.x
            return
        if r is None:
            self.done(s, i, None)
            self.refused(s, i)
        else:
            self.done(s, i, r)

    def refused(self, s, i):
        """Redis knows of no lease: it is asked for, and nothing else is said before that."""
        s.proxies[i]["online"] = False
        s.proxies[i]["out"].append(("tick", s.proxies[i]["gen"], 0))

    def again(self, s, i):
        e = s.proxies[i]["entry"]
        if e:
            e["old"] = True

    def done(self, s, i, r):
        p = s.proxies[i]
        e = p["entry"]
        kind, e["sent"] = e["sent"], None
        if r is None:
            if kind != "r" and e["ph"] in ("ASKING", "MOVING"):
                self.unanswered(s, i)
            e["dirty"] = True
        else:
            e["old"] = False
            if kind == "s":
                e["look"] = False
            how, rec, others = r
            if kind == "r":
                e["known"] = False
                if e["ph"] in ("ASKING", "LEAVING"):
                    e["node"] = None
            elif kind == "c" and e["ph"] == "ASKING":
                (e["made"], e["node"]), e["elsewhere"] = rec, others
                if how == JOINED:
                    e["said_x"] = others > 0 and self.exception(p, e, e["node"])
                e["dirty"] |= e["said_x"] != self.exception(p, e, e["node"])
                e["ph"], e["blind"] = "PLACED", how == MADE_BLIND
                self.serve(s, i)
            elif kind == "c" and rec[1] != e["node"]:
                e["dirty"] = True
            elif kind == "m" and e["ph"] == "MOVING":
                (e["made"], e["node"]), e["elsewhere"] = rec, others
                first, e["ph"], e["first"] = e["first"], "PLACED", None
                if first is not None:
                    self.admit(s, i, first)
                self.serve(s, i)
            elif kind == "s" and how == LOST and rec[1] != e["node"] and \
                    e["ph"] in ("PLACED", "DECIDING", "ASKING"):
                e["ph"], e["known"], e["first"] = "LOST", False, None
                self.serve(s, i)
            elif kind == "s" and how == HELD and (rec is None or rec[1] == e["node"]):
                e["made"], e["excused"] = rec[0] if rec else e["made"], p["lapsed"]
            elif kind == "s" and how == LOST:
                e["dirty"] = True
        e = p["entry"]
        if e and self.live(s, i) == 0 and not e["known"] and not e["sent"]:
            p["entry"] = None

    def link_fails(self, s, i, late):
        """late: what was on its way is carried out later."""
        p = s.proxies[i]
        if late:
            s.late += [(i, gen, op) for kind, gen, op in p["out"] if kind == "sync"]
        p["online"], p["out"], p["back"] = False, [], []
        e = p["entry"]
        if e and e["sent"]:
            self.done(s, i, None)
        elif e and e["ph"] in ("ASKING", "MOVING"):
            self.unanswered(s, i)

    def reconnect(self, s, i):
        p = s.proxies[i]
        p["gen"] += 1
        self.again(s, i)
        p["out"].append(("tick", p["gen"], 0))

    # What can happen next: (text, function of a copy).

    def actions(self, s):
        out = []
        for i in range(len(s.proxies)):
            if s.proxies[i]["paused"]:
                out.append(("proxy %d goes on" % i,
                            lambda n, i=i: n.proxies[i].update(paused=False)))
            else:
                out += self.proxy_actions(s, i)
        for ci, c in enumerate(s.conns):
            p = s.proxies[c["p"]]
            if not c["over"] and not p["paused"]:
                if c["node"] or self.hasty:
                    out.append(("conn %d closes" % ci, lambda n, ci=ci: self.leave(n, ci)))
                e = p["entry"]
                if e["ph"] == "DECIDING" and e["first"] == ci:
                    out.append(("conn %d decides" % ci, lambda n, ci=ci: self.decide(n, ci)))
                if self.firm and c["node"] and not c["firm"] and ci == 0:
                    out.append(("conn %d logs on" % ci, lambda n, ci=ci: self.log_on(n, ci)))
        for k in range(len(s.late)):
            def late(n, k=k):
                i, gen, op = n.late.pop(k)
                self.execute(n, i, gen, op)
            out.append(("something late of proxy %d is carried out" % s.late[k][0], late))
        return out + self.fault_actions(s)

    def log_on(self, s, ci):
        s.conns[ci]["firm"] = True
        s.proxies[s.conns[ci]["p"]]["entry"]["dirty"] = True

    def proxy_actions(self, s, i):
        p, out = s.proxies[i], []
        e, lease = p["entry"], s.redis.leases.get(i)
        if s.opens:
            out.append(("conn %d opens through proxy %d" % (len(s.conns), i),
                        lambda n: self.open(n, i)))
        if p["out"] and not p["cut"]:
            out.append(("redis carries out %r of proxy %d" % (p["out"][0], i),
                        lambda n: self.carry_out(n, i)))
        if p["back"]:
            out.append(("proxy %d gets %r" % (i, p["back"][0]), lambda n: self.receive(n, i)))
        ticks = any(m[0] == "tick" for m in p["out"] + p["back"])
        if not p["online"] and not ticks and not p["cut"]:
            out.append(("proxy %d connects" % i, lambda n: self.reconnect(n, i)))
        said = e is None or not (e["old"] or e["dirty"] or e["sent"])
        if p["online"] and not ticks and not p["cut"] and (
                p["epoch"] != s.redis.epoch or not lease or not lease[0] or
                (said and (lease[3] != p["epoch"] or lease[2] != p["gen"]))):
            out.append(("proxy %d ticks" % i, lambda n: n.proxies[i]["out"].append(
                ("tick", p["gen"], p["epoch"] if said else 0))))
        if p["online"] and not ticks and not p["cut"] and not (lease and lease[0]) and not (
                e and e["sent"]):
            out.append(("what another client needs of proxy %d is refused" % i,
                        lambda n: self.refused(n, i)))
        if p["online"] and p["drained"] and not p["told"] and not p["cut"] and not (
                e and (e["look"] or e["sent"])):
            out.append(("proxy %d says that it drains A" % i,
                        lambda n: n.proxies[i].update(told=True)))
        if p["online"] and not p["agreed"] and p["told"] and all(
                q["told"] or not s.redis.leases[j][0] for j, q in enumerate(s.proxies)
                if j in s.redis.leases):
            out.append(("proxy %d hears that all agree" % i, lambda n: self.agree(n, i)))
        return out

    def fault_actions(self, s):
        out = []

        def fault(name, text, f):
            if name in s.faults:
                def do(n):
                    rest = list(n.faults)
                    rest.remove(name)
                    n.faults = tuple(rest)
                    f(n)
                out.append((text, do))
        if self.drain and all(p["online"] for p in s.proxies):
            for i, p in enumerate(s.proxies):
                if not p["drained"] and not p["cut"] and (i == 0 or s.proxies[0]["drained"]):
                    out.append(("proxy %d drains A" % i, lambda n, i=i: self.drains(n, i)))
        fault("flush", "redis loses all", self.flush)
        for i, p in enumerate(s.proxies):
            if p["entry"] and p["entry"]["ph"] == "DECIDING" and p["entry"]["wait"]:
                out.append(("proxy %d: a decision takes too long" % i,
                            lambda n, i=i: self.undecided(n, i)))
            if p["entry"] and p["entry"]["sent"] in ("c", "m"):
                for late in (False, True):
                    fault("slow", "proxy %d waits too long%s" % (i, ", it is carried out later"
                                                                 if late else ""),
                          lambda n, i=i, late=late: self.link_fails(n, i, late))
            fault("pause%d" % i, "proxy %d is paused" % i,
                  lambda n, i=i: n.proxies[i].update(paused=True))
            fault("cut%d" % i, "proxy %d is cut off" % i, lambda n, i=i: self.cut(n, i, True))
            if p["cut"]:
                out.append(("proxy %d is cut off no longer" % i,
                            lambda n, i=i: n.proxies[i].update(cut=False)))
            if (p["paused"] or p["cut"]) and s.redis.leases.get(i, [False])[0]:
                out.append(("the lease of proxy %d is over" % i, lambda n, i=i: self.over(n, i)))
        if not s.redis.ripe and all(v[3] == s.redis.epoch for v in s.redis.leases.values()
                                    if v[0]) and len(s.redis.leases) == len(s.proxies):
            out.append(("the data is ripe", lambda n: n.redis.ripen()))
        return out

    def drains(self, s, i):
        s.proxies[i]["drained"] = True
        if s.proxies[i]["entry"]:
            s.proxies[i]["entry"]["look"] = True

    def agree(self, s, i):
        p = s.proxies[i]
        p["agreed"] = True
        if p["entry"]:
            p["entry"]["look"] = True
            if p["entry"]["ph"] in ("PLACED", "DECIDING"):
                p["entry"]["home"] = self.home(p)

    def flush(self, s):
        r = s.redis
        r.drop()
        r.x, r.leases, r.ripe = None, {}, False

    def cut(self, s, i, late):
        s.proxies[i]["cut"] = True
        self.link_fails(s, i, late)

    def over(self, s, i):
        s.redis.leases[i][0] = False
        s.proxies[i]["lapsed"] = True
        if s.proxies[i]["entry"]:
            s.proxies[i]["entry"]["excused"] = True

    def initial(self):
        s = State(self.proxies, self.opens, tuple(sorted(self.faults)))
        i = self.proxies - 1
        if self.drained:
            for p in s.proxies:
                p.update(drained=True, told=self.drained == "agreed",
                         agreed=self.drained == "agreed")
        if self.start == "lingers":
            s.redis.rec, s.redis.linger = (0, A), True
        elif self.start in ("lives", "moved"):
            e = self.live_at(s, i, A)
            s.redis.rec, s.redis.stay, s.redis.owners = (0, A), True, {i: 1}
            if self.drained:
                e["said_x"], s.redis.x = True, (0, A)
                for p in s.proxies:
                    p["mirror"] = (0, A)
        if self.start == "moved":
            s.proxies[i]["paused"] = True
            self.over(s, i)
            e["said_x"], s.redis.x = False, None
            for p in s.proxies:
                p["mirror"] = None
            self.live_at(s, 0, B)
            s.redis.rec, s.redis.owners = (1, B), {0: 1}
        return s

    def live_at(self, s, i, node):
        """A connection that is there from the start."""
        s.opens += 1
        self.open(s, i)
        s.conns[-1].update(told=True, firm=True, node=node)
        e = s.proxies[i]["entry"]
        e.update(ph="PLACED", node=node, made=len(s.conns) - 1, known=True, wait=[])
        return e

    def run(self):
        """What it comes to, how, and how many states there are."""
        s = self.initial()
        k = s.key()
        seen, todo = {k: None}, deque([(s, k)])
        while todo:
            s, k = todo.popleft()
            for text, f in self.actions(s):
                n = s.copy()
                try:
                    f(n)
                    self.send_due(n)
                except Split as e:
                    return "split", trace(seen, k) + [text, str(e)], len(seen)
                nk = n.key()
                if nk not in seen:
                    seen[nk] = (k, text)
                    if len(seen) > self.most:
                        return "bounded", [], len(seen)
                    todo.append((n, nk))
        return "holds", [], len(seen)


def trace(seen, k):
    out = []
    while seen[k] is not None:
        k, text = seen[k]
        out.append(text)
    return out[::-1]
