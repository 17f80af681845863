#!/usr/bin/python3
# redis-valkey.t: Valkey in place of Redis, with the ACL of contrib/cluster; where it is installed
"""SMBGATE_VALKEY names the program, where it is not valkey-server."""
import os
import re
import shutil

import fake
import gate
import redis
import several
import smb2
import tap

VALKEY = os.environ.get("SMBGATE_VALKEY") or shutil.which("valkey-server")
ACL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../contrib/cluster/users.acl")

why = gate.missing() or (None if VALKEY else "no valkey-server")
if why:
    tap.skip_all(why)


def opened(g, guid):
    return smb2.Conn("127.0.0.1", g.port, timeout=30).negotiate(guid=guid)


def split(gates, n=12):
    bad = 0
    for i in range(n):
        guid = os.urandom(16)
        with opened(gates[i % 2], guid) as a:
            a.login()
            with opened(gates[1 - i % 2], guid) as b:
                bad += several.which(a) != several.which(b)
    return bad


def main(t):
    nodes = [fake.FakeNode(t, "f%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2, 3)]
    v = redis.Server(t, program=VALKEY, name="valkey")
    with open(ACL) as f, open(v.dir + "/users.acl", "w") as out:
        out.write(f.read().replace("@PASSWORD@", "pw").replace("@INTERNAL@", "other"))
        out.write("user looks on >pw ~* &* +@all\n")
    v.text += "aclfile %s/users.acl\n" % v.dir
    v.start()
    gates, late = [], several.Lateness(t)
    for name in ("px1", "px2"):
        g = several.proxy(t, nodes, [v.endpoint], name, start=False,
                          state={"user": "smbgate", "password_file": "pw"})
        with open(g.dir + "/pw", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("pw\n")
        gates.append(g.start())
    several.healed(*gates)
    t.same(split(gates), 0, "Valkey: no client is on two nodes")
    gates[0].ctl("drain", "f1")
    t.ok(tap.wait_for(lambda: gates[1].node_states()["f1"] == "drain", 60),
         "Valkey: a drain reaches the other proxy")
    looks = v.client("looks", "pw")
    t.ok("valkey" in looks("INFO", "server").decode(), "it is Valkey")
    run = set(re.findall(r"cmdstat_(\S+?):calls=[1-9]", looks("INFO", "commandstats").decode()))
    with open(ACL) as f:
        line = next(x for x in f if x.startswith("user smbgate "))
    t.same(sorted({w[1:] for w in line.split() if w[0] == "+"} - run), [],
           "Valkey: all that the ACL allows is used")
    looks("FLUSHALL")
    with opened(gates[0], os.urandom(16)) as c:
        c.login()
        several.healed(*gates)
        t.ok(tap.wait_for(lambda: looks("KEYS", "smbgate:*:c:*"), 60),
             "Valkey: flushed, and told again")
    v.kill()
    t.same(split(gates), 0, "Valkey is away: no client is on two nodes")
    v.start()
    several.healed(*gates)
    t.same(split(gates), 0, "Valkey is back: no client is on two nodes")
    for g in gates:
        e = several.state(g)["errors"]
        t.same([e[k] for k in ("noperm", "error", "protocol", "bad_value")], [0] * 4,
               "%s: nothing was wrong" % g.name)
        several.waited(t, [g], late, g.name)
        t.same(g.stop(), 0, "%s ends with status 0" % g.name)


with tap.Test(deadline=60) as test:
    main(test)
