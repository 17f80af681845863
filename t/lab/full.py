# full.py: a whole cluster, each part on a host of its own: AD, CTDB, Redis, smbgate, clients
"""The files of contrib/cluster are installed as they are, with what EDIT changes.  It wants
namespaces of its own: see keeper.py.

    front    10.1.0.0/24  clients, the DC, both smbgates with VIP between them, CTDB's addresses
    storage  10.2.0.0/24  the nodes' own addresses, for both smbgates
    state    10.3.0.0/24  Redis and the Sentinels
    home     10.4.0.0/24  two clients, behind a NAT with one address in front"""
import os
import shutil
import subprocess
import threading

import ad
import agent
import boxes
import clients
import ctdb
import gate
import netns
import node
import redis
import tap

DC, NAT = "10.1.0.2", "10.1.0.50"
PUBLIC = ["10.1.0.%d" % i for i in (21, 22, 23)]
STORAGE = ["10.2.0.%d" % i for i in (11, 12, 13)]
PLAIN, BEHIND = ["c1"], ["c2", "c3"]
SPEED = "speed=10000000000,capability=RSS"
DENY_SYNC = os.path.join(os.path.dirname(ctdb.AGENT), "deny-sync")

# What a site with a domain, CTDB and old clients changes.  The address that is denied is one that
# an administrator has announced although CTDB moves it.
EDIT = [("smbgate.conf", '#keytab = "', 'keytab = "'),
        ("policy.conf", '{ allow = { "10.1.0.0/24" } }',
         '{ allow = { "10.1.0.0/24" }  deny-file = { "public" } }\nsmb1 = allow'),
        ("policy.conf", "\tmode = announce\n",
         '\tmode = announce\n\taddress "%s" { speed = "10G" rss = true }\n' % PUBLIC[0])]
EDIT += [("policy.conf", 'address = "%s"' % a, 'address = "%s"  agent = "%s"' % (a, a))
         for a in STORAGE]

MEMBER = ["bind interfaces only = no", "reset on zero vc = yes", "server min protocol = NT1"]
LOOP = "while :; do sleep 3600 & wait $!; done"


def missing():
    """Why there can be no cluster here, or None."""
    return netns.missing("keepalived") or redis.missing() or ctdb.missing() or ad.missing() \
        or clients.missing("smbclient", "openssl", "nsenter") or gate.missing()


class Node(ad.Member):
    """The i-th: ctdbd, winbindd and smbd of the one server that they all are."""

    def __init__(self, realm, i, host, shared):
        name = "n%d" % (i + 1)
        base = self.base = os.path.join(realm.dir, name, "ctdb")
        more = [x.strip() for x in ctdb.settings("/run/ctdb").splitlines()]
        super().__init__(realm, [(STORAGE[i], 10 ** 10, 1)], name=name, netbios="NAS",
                         interfaces=['"eth0;%s"' % SPEED, '"eth1;%s"' % SPEED],
                         extra=MEMBER + more)
        self.host = host
        ctdb.make_base(base, self.addr, STORAGE, shared, "/bin/sh",
                       [a + "/24 eth0" for a in PUBLIC])

    def boot(self):
        """ctdbd alone: what a node needs before the cluster joins a domain."""
        with self.host.inside():
            self.proc = self.domain.serve(self.name, [self.base + "/start", "-c", LOOP, "node"])

    def booted(self):
        return ctdb.all_ok(self.ctdb("status"), len(STORAGE))

    def inside(self, argv):
        return ["nsenter", "-t", str(self.first()), "-m", "-u", "-n", "-p", *argv]

    def ctdb(self, *args):
        return subprocess.run(self.inside(["ctdb", *args]), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True).stdout

    def serve(self):
        with open(os.path.join(self.domain.dir, self.name + ".stderr"), "ab") as err:
            for program in ("winbindd", "smbd"):
                self.t.spawn(self.inside([program, "-s", self.conf, "--no-process-group", "-F"]),
                             stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                             env=self.domain.env)

    def wait(self):
        with self.host.inside():
            super().wait()
            # in the node's own network, as under its socket unit
            agent.Program(self.t, self.addr, self.inside([ctdb.AGENT]), port=9446)


class Realm(ad.Domain):
    """The domain, whose member are the nodes of a cluster, on these hosts."""

    def __init__(self, t, hosts):
        self.hosts_of_nodes, self.nodes = hosts, []
        super().__init__(t, nodes=[(PUBLIC[0],)], net=DC + "/24", gw=boxes.VIP)

    def member(self, *_):
        shared = os.path.join(self.dir, "shared")
        os.mkdir(shared)
        self.nodes = [Node(self, i, h, shared) for i, h in enumerate(self.hosts_of_nodes)]
        node.share_data(self.nodes)
        return self.nodes[0]


class Site:
    """All of it.  say(line): what is being done."""

    def __init__(self, t, say):
        self.t, self.say, self.hosts, self.firsts = t, say, {}, {}
        self.front, self.storage, self.state, self.home = (
            netns.Lan(t, n) for n in ("front", "storage", "state", "home"))
        for name in ["dc", "n1", "n2", "n3", "nat", *PLAIN, *BEHIND]:
            self.hosts[name] = netns.Host(t, name)
        self.wire()
        self.realm = Realm(t, [self.hosts[n] for n in ("n1", "n2", "n3")])
        made = boxes.certificates(t)
        nets = (self.front, self.storage, self.state)
        self.boxes = [boxes.Machine(t, nets, made, i, EDIT) for i in (1, 2, 3)]
        self.hosts.update((m.name, m.host) for m in self.boxes)
        self.services = {name: {} for name in self.hosts}

    def wire(self):
        h = self.hosts
        self.front.join(h["dc"], DC + "/24")
        for i, a in enumerate(STORAGE):
            self.front.join(h["n%d" % (i + 1)], "10.1.0.%d/24" % (31 + i))
            self.storage.join(h["n%d" % (i + 1)], a + "/24")
        for i, name in enumerate(PLAIN):
            self.front.join(h[name], "10.1.0.%d/24" % (100 + i))
        self.front.join(h["nat"], NAT + "/24", name="out")
        self.home.join(h["nat"], "10.4.0.1/24")
        h["nat"].forward()
        h["nat"].masquerade("out")
        for i, name in enumerate(BEHIND):
            self.home.join(h[name], "10.4.0.%d/24" % (2 + i))
            h[name].route("default", "10.4.0.1")

    def start(self):
        failed = []

        def provision():
            try:
                with self.hosts["dc"].inside():
                    self.realm.provision()
            except Exception as e:      # is told by who waits for it
                failed.append(e)
        aside = threading.Thread(target=provision)
        self.say("Redis, its replica and three Sentinels; CTDB on three nodes")
        aside.start()
        self.start_state()
        for n in self.realm.nodes:
            n.boot()
        boxes.settled(self.boxes)
        tap.wait_for(lambda: all(n.booted() for n in self.realm.nodes), 90,
                     message=self.ctdb_says)
        self.say("the domain")
        aside.join()
        if failed:
            raise failed[0]
        with self.hosts["dc"].inside():
            self.realm.start_dc()
        self.start_nodes()
        self.say("two smbgates and their address")
        self.start_gates()

    def ctdb_says(self):
        return "\n".join(n.ctdb("status") + self.realm.text(n.base + "/log")[-2000:]
                         for n in self.realm.nodes)

    def start_state(self):
        for m in self.boxes:
            p = m.start_redis()
            if p:
                self.services[m.name]["redis"] = p.pid
        for m in self.boxes:
            self.services[m.name]["sentinel"] = m.start_sentinel().pid

    def start_nodes(self):
        self.say("three nodes join it")
        self.realm.nodes[0].join()
        for n in self.realm.nodes:
            n.serve()
        with self.hosts["dc"].inside():
            self.realm.make_keytab()
        for n in self.realm.nodes:
            n.wait()

    def start_gates(self):
        pair = self.boxes[:2]
        for m in pair:
            shutil.copy(self.realm.keytab, m.etc + "/smbgate.keytab")
            os.chmod(m.etc + "/smbgate.keytab", 0o600)
            subprocess.run([DENY_SYNC, m.etc + "/public", "--from",
                            self.realm.nodes[0].base + "/public_addresses"], check=True,
                           env=dict(m.env, SMBGATECTL="true"))
            self.gate(m)
        tap.wait_for(lambda: all(m.connected() and m.all_up(3) for m in pair), 60,
                     message=lambda: "\n".join(m.log()[-3000:] for m in pair))
        for m in pair:
            self.services[m.name]["keepalived"] = m.start_keepalived().pid
        tap.wait_for(lambda: [m.has_address() for m in pair].count(True) == 1, 60,
                     message=lambda: "\n".join(m.log()[-3000:] for m in pair))
        with self.hosts["c1"].inside():
            tap.wait_for(lambda: self.realm.smbclient("gw", ["ls"]).returncode == 0, 60,
                         message=lambda: self.realm.smbclient("gw", ["ls"]).stdout)

    def gate(self, m):
        p = m.start_gate()
        self.services[m.name]["smbgate"] = p.pid
        self.t.defer(self.stopped, m, p)

    def stopped(self, m, p):
        """smbgate ends as it should, or has."""
        p.terminate()
        try:
            status = p.wait(30)
        except subprocess.TimeoutExpired:
            status = "none"
        self.t.ok(status == 0, "%s: smbgate ends with status %s" % (m.name, status),
                  m.log()[-4000:])

    def first(self, name):
        """A process that is on that host as long as there is one."""
        for n in self.realm.nodes:
            if n.name == name:
                return n.first()
        if name == "dc":
            return ad.first(self.realm.proc)
        with self.hosts[name].inside():
            return self.t.spawn(["sleep", "infinity"], stdin=subprocess.DEVNULL).pid

    def env(self, name):
        """What a program there has besides the machine's own environment."""
        own = {"KRB5_CONFIG": self.realm.krb5, "LC_ALL": "C.UTF-8",
               "PATH": os.path.dirname(gate.ctl_program()) + ":" + os.environ["PATH"]}
        if name in PLAIN + BEHIND:
            own["KRB5CCNAME"] = self.realm.caches["alice"]
        for m in self.boxes:
            if m.name == name:
                own["SMBGATE_CONTROL"] = m.run_dir + "/control.sock"
        return own

    def described(self):
        """What those outside have to know, with pids as they are here."""
        return {"vip": boxes.VIP, "public": PUBLIC, "build": gate.build_dir(),
                "caches": self.realm.caches, "krb5": self.realm.krb5,
                "hosts": {name: {"first": self.first(name), "services": self.services[name],
                                 "env": self.env(name)} for name in self.hosts}}
