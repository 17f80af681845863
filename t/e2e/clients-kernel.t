#!/usr/bin/python3
# clients-kernel.t: Linux mounts in each dialect, protection and number of channels, and as sites do
"""Mounts at the node itself are the control run: what is seen of both is the same.  SMBGATE_KERNEL:
with another kernel than Debian 12's."""
import base64
import hashlib
import os
import re
import struct

import gate
import kdc
import kernel
import keyed
import krb
import netns
import node
import smb2
import tap

why = gate.missing() or node.missing() or netns.missing() or kernel.missing()
if why:
    tap.skip_all(why)

CLIENT, CLIENT6 = "10.8.0.4", "fd08::4"
GW, GW2, GW6 = "10.8.0.1", "10.8.0.2", "fd08::1"
TOLD = [GW, GW2]
# Of each node: what smbgate and mounts dial, what else it names, and IPv6.
NODES = {"n1": ("10.8.0.11", "10.8.0.12", "fd08::11"), "n2": ("10.8.0.21", "10.8.0.22", "fd08::21")}
PROTECTIONS = {"plain": {}, "signed": {"sec": "ntlmsspi"}, "sealed": {"seal": True}}
THREE = ("3.0", "3.0.2", "3.1.1")
CODES = {"2.1": "210", "3.0": "300", "3.0.2": "302", "3.1.1": "311"}
# dialect, protection, channels; the older one knows neither encryption nor channels
MATRIX = [("2.1", p, 1) for p in ("plain", "signed")] + \
    [(v, p, n) for v in THREE for p in PROTECTIONS for n in (1, 2, 3)]
COPY = "cp /tmp/blob /mnt/%(m)s/%(f)s && cmp /tmp/blob /mnt/%(m)s/%(f)s"
ALICE, BOB, NOBODY = node.USERS["alice"][1], node.USERS["bob"][1], 61003
# What writes may say while their node is away; see front-mounts.  A server that accepts connections
# and answers nothing, as smbgate without a node, may cost a hard mount an error, too.
NO_ANSWER = {"Resource temporarily unavailable", "Bad file descriptor"}
AWAY_SAYS = {"Host is down"} | NO_ANSWER
MAY_SAY = {"soft-direct": AWAY_SAYS, "soft-through": AWAY_SAYS, "hard-through": NO_ANSWER}
PAUSE = 100
SPEED = ";speed=10000000000,capability=RSS"


class Lab:
    """client -- a machine with smbgate, and with two nodes that have one file system"""

    def __init__(self, t):
        lan, self.gw = netns.Lan(t, "lan"), netns.Host(t, "gw")
        lan.join(self.gw, GW + "/24", GW2 + "/24", GW6 + "/64", *(
            a + ("/64" if ":" in a else "/24") for n in NODES.values() for a in n), name="eth0")
        self.t, self.vm = t, kernel.Machine(t, [(lan, CLIENT + "/24")])
        self.kdc, self.keytab = None if kdc.missing() else kdc.Kdc(t, pac=False), \
            keyed.light_keytab(t)
        with self.gw.inside():
            users = node.Lab(t)
            self.nodes = {k: self.node(users, k) for k in NODES}
            node.share_data(list(self.nodes.values()))
            for n in self.nodes.values():
                n.start(wait=False)
            for n in self.nodes.values():
                n.wait()
            self.start_gate()
        self.vm.boot()
        self.vm.run("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; "
                    "ip addr add %s/64 dev eth0" % CLIENT6)
        self.release = self.vm.run("uname -r")
        t.diag("%.1f s: the client has booted, Linux %s" % (t.elapsed(), self.release))

    def node(self, users, name):
        top = os.path.join(users.dir, name)
        extra = ["host msdfs = yes"]
        if self.kdc:
            extra += ["realm = " + kdc.REALM, "kerberos method = dedicated keytab",
                      "dedicated keytab file = FILE:%s/server.keytab" % self.kdc.dir]
        n = node.Node(users, name, NODES[name][0], 445, interfaces=[
            a + ("/64" if ":" in a else "/24") + SPEED for a in NODES[name]],
            extra=extra + ["[dfs]", "path = %s/dfs" % top, "msdfs root = yes"])
        os.mkdir(top + "/dfs")
        os.symlink("msdfs:%s\\data" % GW, top + "/dfs/through")
        os.symlink("msdfs:%s\\data" % NODES["n1"][0], top + "/dfs/direct")
        return n

    def start_gate(self):
        # newer kernels have several channels at one address only where it has RSS
        lists = {"lan": TOLD, "two": TOLD, "six": [GW6]}
        if self.kdc:
            with open(self.kdc.dir + "/server.keytab", "rb") as f, open(self.keytab, "ab") as out:
                out.write(f.read()[2:])     # behind the version that it has too
        self.g = gate.Gate(self.t, list(self.nodes.values()), listen={
            "lan": GW + ":445", "two": GW2 + ":445", "six": "[%s]:445" % GW6},
            keytab=self.keytab, interfaces={k: {"mode": "announce", "list": [
                (a, {"speed": "10G", "rss": True}) for a in v]} for k, v in lists.items()}).start()

    def data(self, name):
        return self.nodes["n1"].data(name)

    def copy(self, m, name, before=""):
        """Whether a file goes there and comes back, and is whole at the node."""
        self.vm.run(COPY.replace("cp", before + "cp", 1) % {"m": m, "f": name})
        with open(self.data(name), "rb") as f:
            return hashlib.md5(f.read()).hexdigest() == self.blob

    def umount(self, *names):
        for m in names:
            self.vm.run("umount /mnt/" + m)

    def empty(self):
        """Nobody's connection is left."""
        tap.wait_for(lambda: self.g.live_connections() == 0, 20, message="connections stay")


class Seen:
    """What the kernel says of its mounts."""

    def __init__(self, vm):
        self.text = said = vm.run("cat /proc/fs/cifs/DebugData")
        servers = re.split(r"(?m)^\d+\) ConnectionId", said)[1:]
        self.dialects = [re.search(r"Dialect 0x(\w+)", s)[1] for s in servers]
        self.sessions = len(re.findall(r"\bSessionId: ", said))
        self.signed, self.sealed = "signed" in said, "ncrypted" in said
        self.told = sorted(re.findall(r"IPv4: (\S+)", said))
        self.channels = len(servers) + sum(map(int, re.findall(r"Extra Channels: (\d+)", said)))


def one(lab, addr, name, vers, protection, channels, told):
    """A mount, a copy there and back, and it is gone: was it what it was to be, and which addresses
    was it told?"""
    options = dict(PROTECTIONS[protection], vers=vers, cache="none")
    if channels > 1:
        options.update(multichannel=True, max_channels=channels)
    lab.vm.mount("m", addr, **options)
    whole = lab.copy("m", name)
    seen = []

    def wanted():
        s = Seen(lab.vm)
        seen[:] = [s.text]
        return (s.dialects, s.signed, s.sealed, s.channels, s.told) == (
            [CODES[vers]], protection == "signed", protection == "sealed", channels, told)
    good = tap.wait_for(wanted, 10)
    there = lab.g.live_connections()
    lab.umount("m")
    return good and whole, there, seen[0][:3000]


def matrix(t, lab):
    for vers, protection, channels in MATRIX:
        label = "%s %s, channels: %d" % (vers, protection, channels)
        if channels == 3 or vers not in THREE:
            good, _, said = one(lab, NODES["n1"][0], "direct", vers, protection, channels,
                                list(NODES["n1"][:2]) if vers in THREE else [])
            t.ok(good, "direct, " + label, said)
        good, there, said = one(lab, GW, "through", vers, protection, channels,
                                TOLD if vers in THREE else [])
        t.ok(good and there == channels, "through, " + label, there, said)
        lab.empty()


def owners(lab, name):
    return [os.stat(lab.data(name + u)).st_uid for u in ("-alice", "-bob")]


def users(lab, addr, name, key, **options):
    """Two users of one mount, of whom each has a session, and one who has none."""
    lab.vm.mount("m", addr, vers="3.1.1", multiuser=True, cache="none", multichannel=True,
                 max_channels=2, **options)
    whole = [lab.copy("m", name + "-alice"), lab.copy("m", name + "-bob", "as %d %s " % (BOB, key))]
    stranger = lab.vm.begin("as %d - - touch /mnt/m/%s" % (NOBODY, name)).wait(check=False)
    s = Seen(lab.vm)
    mapped = sorted(x["principal"].lower() for x in lab.g.sessions())
    lab.umount("m")
    return (whole, owners(lab, name), stranger.status != 0, s.sessions), mapped, s.text


def multiuser(t, lab):
    want = [True, True], [ALICE, BOB], True, 2
    for way, addr in (("direct", NODES["n1"][0]), ("through", GW)):
        got, mapped, said = users(lab, addr, way, "cifs:a:%s bob:%s" % (
            addr, node.USERS["bob"][0]), sec="ntlmssp")
        t.ok(got == want, way + ", multiuser: two have sessions and their own files, a third has "
             "not", got, said[:3000])
    t.same(mapped, ["alice@labgroup", "bob@labgroup"], "multiuser: smbgate knows both")
    lab.empty()


def token(lab, user):
    """What cifs.upcall makes: struct cifs_spnego_msg."""
    k = krb.Kerberos("FILE:%s/cc-%s" % (lab.kdc.dir, user), host="aes256", spnego=False,
                     mutual=False)
    mech = smb2.der(0x30, smb2.der(6, krb.OID))
    blob = smb2.der(0x60, smb2.der(6, bytes.fromhex("2b0601050502")), smb2.der(0xA0, smb2.der(
        0x30, smb2.der(0xA0, mech), smb2.der(0xA2, smb2.der(4, k.step(None))))))
    return struct.pack("=4I", 2, 0, len(k.key), len(blob)) + k.key + blob


def tickets(lab):
    os.environ["KRB5_CONFIG"] = lab.kdc.dir + "/krb5.conf"
    lab.kdc.kadmin("addprinc -pw %s bob" % node.USERS["bob"][0])
    for user, uid in (("alice", 0), ("bob", BOB)):
        lab.kdc.run("kinit", "-c", "FILE:%s/cc-%s" % (lab.kdc.dir, user), user,
                    input=node.USERS[user][0] + "\n")
        lab.vm.run("mkdir -p /run/krb5/%d" % uid)
        # for each way and channel, and some more
        steps = [lab.vm.begin("echo %s | base64 -d > /run/krb5/%d/%d" % (
            base64.b64encode(token(lab, user)).decode(), uid, i)) for i in range(6)]
        for s in steps:
            s.wait()


def kerberos(t, lab):
    if not lab.kdc:
        t.skip("Kerberos", kdc.missing())
        return
    tickets(lab)
    want = [True, True], [ALICE, BOB], True, 2
    for way, addr in (("direct", NODES["n1"][0]), ("through", GW)):
        got, mapped, said = users(lab, addr, "krb5-" + way, "- -", sec="krb5i")
        t.ok(got == want and "Kerberos" in said, way + ", sec=krb5i, multiuser: the same", got,
             said[:3000])
    t.same(mapped, ["alice@lab.example", "bob@lab.example"], "Kerberos: smbgate knows both")
    lab.empty()


def six(t, lab):
    for way, addr in (("direct", NODES["n1"][2]), ("through", GW6)):
        lab.vm.mount("m", addr, vers="3.1.1", cache="none", multichannel=True, max_channels=2,
                     unc=r"\\nas\data")
        whole = lab.copy("m", "six")
        t.ok(whole and tap.wait_for(lambda: Seen(lab.vm).channels == 2, 10),
             way + ", IPv6: two channels", Seen(lab.vm).text[:3000])
        there = lab.g.live_connections()
        lab.umount("m")
    t.same(there, 2, "IPv6: both are smbgate's")
    lab.empty()


def connections(t, lab):
    """Mounts share one, unless they may not."""
    for options, want in (({}, 1), ({"nosharesock": True}, 2)):
        for way, addr in (("direct", NODES["n1"][0]), ("through", GW)):
            for m in "ab":
                lab.vm.mount(m, addr, vers="3.1.1", **options)
            t.same(Seen(lab.vm).channels, want, "%s, two mounts, %s" % (
                way, "nosharesock" if options else "as usual"))
            there = lab.g.live_connections()
            lab.umount("a", "b")
        t.same(there, want, "and so smbgate has it")
        lab.empty()


def dfs(t, lab):
    for way, addr in (("direct", NODES["n1"][0]), ("through", GW)):
        with open(lab.data("found"), "w") as f:
            f.write(way)
        lab.vm.mount("m", addr, "dfs", vers="3.1.1")
        t.same(lab.vm.run("cat /mnt/m/%s/found" % way), way, way + ", DFS: a link is followed")
        t.ok(re.search(r"//%s/\S+ /mnt/m/%s cifs" % (re.escape(addr), way),
                       lab.vm.run("cat /proc/mounts")), way + ", DFS: and is a mount")
        lab.umount("m/" + way, "m")
        lab.vm.mount("m", addr, "dfs", vers="3.1.1", nodfs=True)
        s = lab.vm.begin("cat /mnt/m/%s/found" % way).wait(check=False)
        t.ok(s.status != 0, "%s, nodfs: it is not" % way, s.text())
        lab.umount("m")
    lab.empty()


HOLD = "exec 4<> /mnt/a/%s; read x <&4; echo got $x; " \
    "while [ ! -e /run/stop-$ID ]; do sleep 0.05; done"


def leases(t, lab):
    """One client has a file with a lease, another writes to it.  On one node: these two share a
    file system, but are no cluster."""
    lab.g.ctl("drain", "n2", "--quiet", "1h")
    for way, addr in (("direct", NODES["n1"][0]), ("through", GW)):
        for m in "ab":
            lab.vm.mount(m, addr, vers="3.1.1", nosharesock=True, multichannel=True,
                         max_channels=2)
        name = "leased-" + way
        lab.vm.run("echo one > /mnt/a/" + name)
        holder = lab.vm.begin(HOLD % name)
        holder.line("got one")
        lab.vm.run("echo two > /mnt/b/" + name)
        t.same(lab.vm.run("cat /mnt/a/" + name), "two", way + ", leases: the other's word is read")
        said = lab.vm.run("cat /proc/fs/cifs/Stats")
        t.ok(re.search(r"OplockBreaks: [1-9]", said), way + ", leases: one was broken", said)
        holder.stop().wait()
        lab.umount("a", "b")
    lab.empty()
    lab.g.ctl("undrain", "n2")


def patience(t, lab):
    """Nodes are away, and come back: soft mounts say so, hard ones wait."""
    mounts = {k + "-" + way: (addr, {k: True}) for k in ("soft", "hard")
              for way, addr in (("direct", NODES["n1"][0]), ("through", GW))}
    for m, (addr, options) in mounts.items():
        lab.vm.mount(m, addr, vers="3.1.1", nosharesock=True, **options)
    writers = {m: lab.vm.writer("/mnt/%s/log-%s" % (m, m), PAUSE) for m in mounts}
    t.ok(all([w.goes_on() for w in writers.values()]), "soft, hard: all are written to")
    for n in lab.nodes.values():
        n.kill()
    t.ok(tap.wait_for(writers["soft-direct"].errors, 180), "direct, soft: an error of its own")
    with lab.gw.inside():
        for n in lab.nodes.values():
            n.start(wait=False)
        for n in lab.nodes.values():
            n.wait()
    t.ok(all([w.goes_on() for w in writers.values()]), "soft, hard: all go on with their nodes")
    for m, w in writers.items():
        t.same(w.lost(lab.data("log-" + m)), [], m + ": no acknowledged block is lost")
        t.same(set(w.errors()) - MAY_SAY.get(m, set()), set(), m + ": no other error")
        t.diag("%s: %s" % (m, w.errors()))
    lab.umount(*mounts)


def main(t):
    lab = Lab(t)
    lab.vm.run("dd if=/dev/urandom of=/tmp/blob bs=64k count=4")
    lab.blob = lab.vm.run("md5sum < /tmp/blob").split()[0]
    for part in (matrix, multiuser, kerberos, six, connections, dfs, leases, patience):
        part(t, lab)
        t.diag("%.1f s: %s" % (t.elapsed(), part.__name__))
    with lab.gw.inside():
        t.same(lab.g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=300) as test:
    main(test)
