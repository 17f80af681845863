#!/usr/bin/python3
# contrib-lab.t: t/lab/cluster: the whole cluster comes up, lives through what may fail, and is gone
import json
import os
import re
import subprocess
import sys
import uuid

import ad
import full
import gate
import keeper
import krb
import netns
import node
import smb2
import tap
from boxes import VIP

why = full.missing()
if not why:
    try:
        import smb1
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)

CLUSTER = os.path.join(os.path.dirname(os.path.abspath(full.__file__)), "cluster")
KINDS = ("mnt", "net", "pid", "uts", "ipc")
N1 = "10.1.0.31"        # where a client reaches a node without smbgate
LIST = ["10.1.0.11", "10.1.0.12"]
ALICE = ("--use-kerberos=required", "-N", "-s", "/dev/null")


class Lab:
    """The cluster, by its command alone, but for the hosts' networks."""

    def __init__(self, t):
        self.t = t
        self.top = node.tempdir(t) + "/lab"
        self.kept = keeper.Kept(self.top)
        self.hosts = {}

    def argv(self, *args):
        return [sys.executable, CLUSTER, "--dir", self.top, *args]

    def call(self, *args, seconds=60):
        r = subprocess.run(self.argv(*args), text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=seconds)
        return r.returncode, r.stdout

    def up(self):
        self.t.defer(self.call, "down")
        began = self.t.elapsed()
        status, said = self.call("up", "--build", gate.build_dir(), "--tie", str(os.getpid()),
                                 seconds=600)
        if self.t.ok(status == 0, "t/lab/cluster up, in %.0f s" % (self.t.elapsed() - began),
                     said):
            state = self.status()
            os.environ["KRB5_CONFIG"] = state["krb5"]
            self.caches, self.public = state["caches"], state["public"]
            for name, h in state["hosts"].items():
                self.hosts[name] = netns.Host.of(self.t, name, h["first"])
        return status == 0

    def status(self):
        return json.loads(self.call("status", "--json")[1])

    def run(self, host, *argv):
        return self.call("run", host, *argv)

    def ctl(self, box, *args):
        """smbgatectl's answer there, {} while there is none."""
        status, said = self.run(box, "smbgatectl", "--json", *args)
        return json.loads(said) if status == 0 else {}

    def where(self, addr):
        """The hosts that have that address now."""
        return [name for name, h in self.status()["hosts"].items() if addr in h["addresses"]]

    def end(self, host, service, sig):
        os.kill(self.status()["hosts"][host]["services"][service], sig)

    def dial(self, host, addr=VIP, name="gw", guid=None):
        """A client that is logged on with Kerberos, and has a file open."""
        with self.hosts[host].inside():
            c = smb2.Conn(addr, 445, timeout=20).negotiate(guid=guid)
            c.s = c.login(auth=krb.Kerberos(self.caches["alice"], name + ".lab.example"))
        c.tid = c.tree(c.s)
        c.fid = c.create(c.s, c.tid, "of-" + host + "-" + c.guid.hex(), disp=5)
        return c


def works(c):
    """What it writes it reads."""
    data = os.urandom(1000)
    try:
        c.write(c.s, c.tid, c.fid, 0, data)
        return c.read(c.s, c.tid, c.fid, 0, len(data)) == data
    except (OSError, smb2.Closed, smb2.Status):
        return False


def served(lab, host, seconds=60):
    """A newcomer on that host, at the floating address: until one is served."""
    def try_it():
        try:
            c = lab.dial(host)
        except (OSError, smb2.Closed, smb2.Status, krb.GssError):
            return False
        with c:
            return works(c)
    return bool(tap.wait_for(try_it, seconds))


def all_served(t, lab, name):
    t.same([h for h in ("c1", "c2", "c3") if not served(lab, h)], [], name + ": all are served")


def a_client(t, lab):
    """smbclient, through the floating address."""
    there, back = (os.path.join(os.path.dirname(lab.top), x) for x in ("there", "back"))
    with open(there, "wb") as f:
        f.write(os.urandom(1 << 20))
    p = t.spawn(lab.argv("run", "c1", "smbclient", "//gw.lab.example/data", *ALICE),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    p.stdin.write("put %s file\nget file %s\n" % (there, back))
    p.stdin.flush()
    box, = lab.where(VIP)
    sessions = tap.wait_for(lambda: lab.ctl(box, "show", "sessions").get("sessions"), 60) or []
    t.same([(s["principal"].split("@")[0], s["keyed"]) for s in sessions], [("alice", True)],
           "smbclient with Kerberos is keyed")
    said = p.communicate("quit\n", timeout=60)[0]
    with open(there, "rb") as f, open(back, "rb") as g:
        t.ok(p.returncode == 0 and f.read() == g.read(), "what it puts it gets", said)


def told(t, lab):
    with lab.dial("c1", N1, "nas") as c:
        own = sorted({i.ip for i in c.ifinfo(c.s, c.tid)})
        t.ok(N1 in own and not set(LIST) & set(own), "directly, a node tells its own addresses",
             own)
    for host in ("c1", "c2"):
        with lab.dial(host) as c:
            t.same(sorted(i.ip for i in c.ifinfo(c.s, c.tid)), LIST,
                   "through smbgate %s is told policy's list, without what is denied" % host)


def rebooted(lab, host, addr):
    """An old client on that host that logs on with VcNumber 0."""
    with lab.hosts[host].inside():
        c = smb1.Client(addr, 445, vc=0, name="PC3")
        c.login(domain=ad.DOMAIN).open("of-an-old-one")
    return c


def behind_the_nat(t, lab):
    with lab.dial("c2", N1, "nas") as c:
        rebooted(lab, "c3", N1).close()
        t.ok(tap.wait_for(lambda: not works(c), 60),
             "directly, VcNumber 0 of one behind the NAT cuts the other")
    with lab.dial("c2") as c:
        old = rebooted(lab, "c3", VIP)
        t.ok(works(c) and old.alive(), "through smbgate both go on")
        with lab.dial("c3") as d:
            t.ok(works(c) and works(d), "and a third one")
        old.close()


def address_moves(t, lab):
    """One of CTDB's: who was at it comes back to another node; others do not notice."""
    addr = lab.public[0]
    frm, = lab.where(addr)
    to = "n2" if frm != "n2" else "n3"
    with lab.dial("c1") as c, lab.dial("c1", addr, "nas") as d:
        status, said = lab.run(frm, "ctdb", "moveip", addr, str(int(to[1]) - 1))
        t.ok(status == 0, "ctdb moves %s from %s to %s" % (addr, frm, to), said)
        t.comes(lambda: lab.where(addr), [to], "the address is there")
        t.ok(tap.wait_for(lambda: not works(d), 60), "who was at it is cut")
        with lab.dial("c1", addr, "nas") as e:
            t.ok(works(e), "and served at once by the other node")
        t.ok(works(c), "who is behind smbgate goes on")
    all_served(t, lab, "after the move")


def redis_dies(t, lab):
    with lab.dial("c1") as c, lab.dial("c2") as d:
        lab.end("px1", "redis", 9)
        all_served(t, lab, "the master of Redis is dead")

        def server(box):
            s = lab.ctl(box, "show", "state").get("state", {})
            return s.get("server"), s.get("role"), s.get("connected"), s.get("degraded")
        for box in ("px1", "px2"):
            t.comes(lambda: server(box), ("10.3.0.2:6379", "master", True, False),
                    "the Sentinels have made another: %s is connected to it" % box)
        t.ok(works(c) and works(d), "who was connected goes on")
    all_served(t, lab, "with the new master")


def node_of(lab, box, guid):
    name = str(uuid.UUID(bytes_le=guid))
    return [x["node"] for x in lab.ctl(box, "show", "clients").get("clients", [])
            if x["client"] == name]


def smbgate_stops(t, lab):
    box, = lab.where(VIP)
    other = "px2" if box == "px1" else "px1"
    crowd = [lab.dial(h) for h in ("c1", "c2", "c3")]
    before = [node_of(lab, box, c.guid) for c in crowd]
    lab.end(box, "smbgate", 15)
    t.comes(lambda: lab.where(VIP), [other], "smbgate of %s has ended: %s has the address" % (
        box, other))
    all_served(t, lab, "there")
    after = []
    for c in crowd:
        with lab.dial("c1", guid=c.guid):
            after.append(node_of(lab, other, c.guid))
        c.close()
    t.ok(before == after and all(before), "and who comes back is on the node where it was",
         before, after)


def traces(pids):
    """What there is of these processes, and of their namespaces, on this machine."""
    left = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in KINDS:
            try:
                left.setdefault(os.readlink("/proc/%s/ns/%s" % (pid, kind)), set()).add(int(pid))
            except OSError:
                pass
    own = {os.readlink("/proc/self/ns/" + kind) for kind in KINDS}
    return {ns for ns, who in left.items() if who & pids} - own, set(left)


def nothing_left(t, lab):
    pids = keeper.running(lab.kept.processes().values())
    spaces, _ = traces(set(pids))
    # a namespace for each host's network, and more for those that have their own files
    t.ok(len(pids) > 50 and len(spaces) > 20, "there are %d processes in %d namespaces" % (
        len(pids), len(spaces)))
    t0 = t.ran()
    status, said = lab.call("down", seconds=120)
    t.ok(status == 0, "t/lab/cluster down, in %.1f s" % (t.ran() - t0), said)
    t.same(keeper.left(pids), [], "no process is left")
    t.same(spaces & traces(set())[1], set(), "no namespace is")
    with open("/proc/self/mounts") as f:
        t.same([x for x in f if lab.top in x], [], "no mount is")
    t.ok(not os.path.exists(lab.top), "its folder is gone")
    t.same(lab.call("down"), (0, "cluster: it is not up\n"), "down once more")


def something(t, _):
    t.spawn(["sleep", "infinity"])
    t.spawn(["setsid", "sleep", "infinity"])


def whatever_happens(t):
    """The keeper alone: what is inside ends with it, and with the process to which it is tied."""
    tied = t.spawn(["sleep", "infinity"])
    for name, victim, tie in (("the keeper is killed", None, None),
                              ("the process it is tied to is", tied, tied.pid)):
        k = keeper.Kept(node.tempdir(t) + "/kept")
        t.same(k.up(something, t.diag, tie), None, name + ": it is up")
        pids = keeper.running(k.processes().values())
        own = k.keeper()
        os.kill(victim.pid if victim else own, 9)
        gone = tap.wait_for(lambda: not keeper.left(pids) and not k.keeper(), 60)
        t.ok(len(pids) >= 3 and gone, name + ": nothing runs any more", pids, keeper.left(pids))
        t.same((k.down(), os.path.exists(k.top)), (None, False), name + ": and nothing is left")
        if victim is None:
            os.waitpid(own, 0)

    k = keeper.Kept(node.tempdir(t) + "/kept")
    why = k.up(lambda *_: 1 / 0, t.diag)
    t.ok(why and "ZeroDivisionError" in why and not os.path.exists(k.top),
         "what cannot come up says why, and leaves nothing", why)


def main(t):
    whatever_happens(t)
    lab = Lab(t)
    if not lab.up():
        t.bail("there is no cluster")
    t.ok(re.search(r"(?m)^px1 +\d+ +10\.1\.0\.11 ", lab.call("status")[1]), "status says what is")
    for part in (a_client, told, behind_the_nat, address_moves, redis_dies, smbgate_stops,
                 nothing_left):
        began = t.elapsed()
        part(t, lab)
        t.diag("%s: %.1f s" % (part.__name__, t.elapsed() - began))


with tap.Test(deadline=300) as test:
    main(test)
