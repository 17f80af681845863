#!/usr/bin/python3
# contrib-cluster.t: contrib/cluster, as it is: two machines, one address; one of them dies
import os
import re
import signal
import subprocess

import fake
import gate
import netns
import redis
import several
import smb2
import tap
from boxes import CONTRIB, PASSWORD, VIP, Machine, certificates, settled

why = netns.missing("keepalived") or redis.missing() or gate.missing()
if not why and os.geteuid() != 0:
    why = "networks need root"
if why:
    tap.skip_all(why)


def rights(name, user):
    """What an ACL file lets a user do."""
    with open(os.path.join(CONTRIB, name)) as f:
        line = next(x for x in f if x.startswith("user %s " % user))
    return {w[1:] for w in line.split() if w[0] == "+"}


def used(m):
    """The commands that a Redis has run, within scripts or not."""
    return {x[0] for x in re.findall(r"cmdstat_(\S+?):calls=([1-9]\d*)",
                                     m.ask(6379, "INFO", "commandstats").decode())}


def acl(t, m):
    """Both directions: what is allowed is needed, and what is needed is allowed."""
    mine = rights("users.acl", "smbgate")
    known = mine | rights("users.acl", "replica") | rights("users.acl", "sentinel")
    known |= {"auth", "select"}     # the latter by a master, to its replicas
    t.comes(lambda: sorted(mine - used(m)), [], "smbgate uses all that its ACL allows")
    t.same(sorted(used(m) - known), [], "nothing else has been asked")
    with m.host.inside():
        c = redis.Client((m.state, 6379), tls=m.tls)
        d = redis.Client((m.state, 26379), tls=m.tls)
    refused = 0
    for x in (c, d):
        x("AUTH", "smbgate", PASSWORD)
    forbidden = [(c, x) for x in (("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"),
                                  ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"),
                                  ("GET", "other"), ("PUBLISH", "other", "x"),
                                  ("CLIENT", "LIST"), ("ACL", "LIST"), ("SCAN", "0"))]
    forbidden += [(d, ("SENTINEL", "FAILOVER", "mymaster")), (d, ("SENTINEL", "masters"))]
    for x, words in forbidden:
        try:
            x(*words)
        except redis.Error as e:
            refused += str(e).startswith("NOPERM")
    t.same(refused, len(forbidden), "smbgate's password is good for nothing else")


def leases(m):
    """The processes that this Redis has heard of, with smbgate's own rights: a day long."""
    with m.host.inside():
        c = redis.Client((m.state, 6379), tls=m.tls)
    c("AUTH", "smbgate", PASSWORD)
    tag = {line.split()[2] for line in c.hash("smbgate:{map}:peers").values()}.pop()
    return set(c.hash(b"smbgate:{map}:" + tag + b":p"))


def in_the_clear(m):
    """Does anybody there answer who shows no certificate?"""
    said = []
    for port in (6379, 26379):
        try:
            with m.host.inside():
                said.append(redis.Client((m.state, port), 2)("PING"))
        except (OSError, EOFError, ValueError):
            pass
    return said


def opened(client, addr, guid):
    with client.inside():
        return smb2.Conn(addr, 445).negotiate(guid=guid)


def main(t):
    nets = [netns.Lan(t, n) for n in ("front", "storage", "state")]
    made = certificates(t)
    machines = [Machine(t, nets, made, i) for i in (1, 2, 3)]
    px1, px2, box3 = machines
    nas, client = netns.Host(t, "nas"), netns.Host(t, "client")
    nets[1].join(nas, *("10.2.0.%d/24" % (10 + i) for i in (1, 2, 3)))
    nets[0].join(client, "10.1.0.100/24")
    with nas.inside():
        for i in (1, 2, 3):
            fake.FakeNode(t, "n%d" % i, "10.2.0.%d" % (10 + i), 445).start()
    for m in machines[:2]:
        r = m.check()
        t.ok(r.returncode == 0, "%s: smbgate -t takes both files" % m.name, r.stdout)
    r = subprocess.run(["keepalived", "-t", "-f", px1.etc + "/keepalived.conf"], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.ok(r.returncode == 0, "keepalived takes its file", r.stdout)
    for m in machines:
        m.start_redis()
    for m in machines:
        m.start_sentinel()
    settled(machines)
    t.ok(not px1.healthy(), "without smbgate the machine does not want the address")
    gates = [m.start_gate() for m in (px1, px2)]
    tap.wait_for(lambda: all(m.connected() for m in (px1, px2)), 20,
                 message=lambda: px1.log()[-3000:])
    t.comes(lambda: (px1.connected() or {}).get("server"), "10.3.0.1:6379",
            "Sentinel says where Redis is")
    t.ok(tap.wait_for(lambda: px1.healthy() and px2.healthy(), 60), "both are fit for the address")
    errors = px1.errors()
    t.ok(not {"noperm", "auth", "wrongpass"} & set(errors), "the ACL lets smbgate do all it does",
         errors)
    for m in (px1, px2):
        m.start_keepalived()
        t.ok(tap.wait_for(px1.has_address, 60), "px1 has the address", m.log()[-2000:])
    t.same(in_the_clear(px1), [], "Redis and Sentinel speak to nobody without a certificate")
    clients = []
    for i in range(12):
        guid = os.urandom(16)
        c = opened(client, VIP, guid)
        c.login()
        d = opened(client, px2.front, guid)
        clients.append((guid, several.which(c), c, d))
        if several.which(d) != several.which(c):
            t.ok(False, "a client through both machines is on one node")
    t.ok(len({x[1] for x in clients}) > 1, "clients through both machines, each on one node")
    before = leases(px1)
    t.same(len(before), 2, "px1's Redis knows both processes")
    px1.die()
    t.ok(not px1.healthy(), "px1 is dead: its check fails")
    t.ok(tap.wait_for(px2.has_address, 60), "keepalived takes the address to px2",
         px2.log()[-2000:])
    same = []
    for guid, where, c, d in clients:
        c = opened(client, VIP, guid)
        c.login()
        same.append(several.which(c) == where)
        c.close()
    t.ok(all(same), "its clients come back through px2, each to its node: %d of %d" % (
        sum(same), len(same)))
    t.ok(all(d.is_open() for *_, d in clients), "px2's connections never ended")
    # its connections to px1 are not broken, only silent
    # Its epoch may have begun anew: nobody has a lease where a failover takes longer than one.
    t.comes(lambda: [(px2.connected() or {}).get(k) for k in ("server", "role")],
            ["10.3.0.2:6379", "master"], "px2's Redis is the master")
    t.same(before - leases(px2), set(), "with the data: px1's process is known there")
    same = []
    for guid, where, *_ in clients:
        with opened(client, VIP, guid) as c:
            same.append(several.which(c) == where)
    t.ok(all(same), "and says the same of every client")
    acl(t, px2)
    errors = px2.errors()
    t.ok(not {"noperm", "auth", "wrongpass", "tls"} & set(errors), "no right was missing", errors)
    gates[1].send_signal(signal.SIGTERM)
    t.same(gates[1].wait(60), 0, "px2's smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
