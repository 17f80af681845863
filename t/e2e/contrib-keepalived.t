#!/usr/bin/python3
# contrib-keepalived.t: contrib/cluster's keepalived.conf and check-smbgate: where is the address?
import os
import re
import signal

import gate
import netns
import node
import smb2
import tap
from vrrp import VIP, Machine, overlap

why = netns.missing("keepalived") or node.missing() or gate.missing()
if why:
    tap.skip_all(why)

QUICK = 8           # seconds for "at once": two failed checks, and VRRP
SLOW = 45           # the health checks of smbgate-policy(5), preempt_delay, and VRRP


class Site:
    def __init__(self, t):
        self.t = t
        self.front, self.storage = netns.Lan(t, "front"), netns.Lan(t, "storage")
        self.nas, self.client = netns.Host(t, "nas"), netns.Host(t, "client")
        self.storage.join(self.nas, "10.2.0.11/24")
        self.front.join(self.client, "10.1.0.100/24")
        with self.nas.inside():
            self.node = node.Node(node.Lab(t), "n1", "10.2.0.11", 445,
                                  interfaces=["10.2.0.11/24"]).start()
        self.px = [Machine(t, self.front, self.storage, self.node, i) for i in (1, 2)]

    def holder(self):
        on = [m for m in self.px if m.has()]
        return on[0] if len(on) == 1 else None

    def other(self, m):
        return self.px[1 - self.px.index(m)]

    def dial(self, addr):
        with self.client.inside():
            c = smb2.Conn(addr, 445).negotiate()
        c.session = c.login()
        c.tree(c.session)
        return c

    def served(self):
        """A newcomer at the address."""
        def try_it():
            try:
                with self.client.inside():
                    c = smb2.Conn(VIP, 445, timeout=2).negotiate()
                c.login()
                c.close()
                return True
            except (OSError, smb2.Closed, smb2.Status):
                return False
        return tap.wait_for(try_it, 10)

    def moves(self, frm, seconds, name, limits=(0.5, 3)):
        """The address leaves that machine for the other one; said with the time it took."""
        t0 = self.t.ran()
        to = self.other(frm)
        good = tap.wait_for(lambda: to.has() and not frm.has(), seconds)
        took = self.t.ran() - t0
        self.t.ok(good, "%s: the address moves, in %.1f s" % (name, took),
                  *[m.name + ": " + m.log()[-1500:] for m in self.px])
        self.t.ok(good and self.served(), "%s: and is served there" % name)
        both, none = overlap(self.px, t0)
        self.t.ok(both < limits[0] and none < limits[1],
                  "%s: on both for %.2f s, on neither for %.2f s" % (name, both, none))
        return to

    def stays(self, on, since, name):
        """Neither machine's address has changed since then."""
        changes = [(m.name, at - since, up) for m in self.px for at, up in m.changes if at > since]
        self.t.ok(not changes and on.has() and not self.other(on).has(),
                  "%s: the address stays where it is" % name, changes,
                  *[m.name + ": " + m.log()[-1500:] for m in self.px])


def working(c):
    try:
        return c.echo(session=c.session).status == 0
    except (OSError, smb2.Closed):
        return False


def before_the_first_answer(t, site):
    """A node that nobody has heard of is no reason to take the address."""
    px = site.px[0]
    px.host.ip("link", "set", "eth1", "down")
    t.ok(px.check("alive") != 0 and px.check("nodes") != 0, "no smbgate: neither check is good")
    px.start_gate(nodes_up=False)
    t.ok(tap.wait_for(lambda: px.check("alive") == 0, 20), "smbgate answers: it is alive")
    bad, states = [], set()

    def looked():
        n = px.gate.node_list()["n1"]
        states.add(n["state"])
        if px.check("nodes") == 0:
            bad.append(n)
        return n["probe_failures"] >= 3 or n["unreached"]
    t.ok(tap.wait_for(looked, 30) and not bad,
         "a node that has never answered is none (called %s)" % "/".join(sorted(states)), bad[:1])
    px.host.ip("link", "set", "eth1", "up")
    t.ok(tap.wait_for(lambda: px.check("nodes") == 0, 20), "it is one as soon as it has answered")


def nodes_hang(t, site, on):
    """All nodes, for both machines: moving would help nobody, and cut who is connected."""
    # the machine that has the address notices first, as it may happen to
    site.other(on).gate.reload(health={"interval": "3s"})
    inside = [site.dial(VIP), site.dial(site.other(on).addr)]
    since = t.ran()
    parent = site.node.pids()[1]
    os.kill(parent, signal.SIGSTOP)
    seen = tap.wait_for(lambda: all(m.priority() == 80 for m in site.px), SLOW)
    t.ok(seen, "nodes hang: both machines see none (%s)" % {
        m.name: m.gate.node_states()["n1"] for m in site.px},
         *[m.name + ": " + m.log()[-1500:] for m in site.px])
    # preempt_delay and more: whatever would move has moved
    tap.wait_for(lambda: any(at > since for m in site.px for at, _ in m.changes), 14, every=0.2)
    site.stays(on, since, "nodes hang")
    t.ok(all(working(c) for c in inside), "nodes hang: who is connected goes on")
    os.kill(parent, signal.SIGCONT)
    t.ok(tap.wait_for(lambda: all(m.priority() == 100 for m in site.px), SLOW),
         "nodes are back: both machines see them")
    site.stays(on, since, "nodes are back")
    t.ok(all(working(c) for c in inside), "nodes are back: who is connected goes on")
    t.ok(site.served(), "nodes are back: newcomers are served")
    for c in inside:
        c.close()


def drained(t, site, on):
    since = t.ran()
    for m in site.px:
        m.gate.ctl("drain", "--force", "n1")
    t.comes(lambda: [m.check("nodes") for m in site.px], [0, 0],
            "all nodes drained: they still count")
    for m in site.px:
        m.gate.ctl("undrain", "n1")
    site.stays(on, since, "all nodes drained")


def own_link(t, site, on):
    """Only this machine has lost its way to the nodes."""
    elsewhere = site.dial(site.other(on).addr)
    on.host.ip("link", "set", "eth1", "down")
    to = site.moves(on, SLOW, "own link down")
    since = t.ran()
    on.host.ip("link", "set", "eth1", "up")
    t.ok(tap.wait_for(lambda: on.priority() == 100, SLOW), "own link up: it sees its nodes again")
    tap.wait_for(on.has, 12, every=0.2)
    site.stays(to, since, "own link up")
    t.ok(working(elsewhere), "who was connected to the other machine goes on")
    elsewhere.close()
    return to


def no_answer(t, site, on, sig, name):
    """smbgate is killed, or stopped."""
    elsewhere = site.dial(site.other(on).addr)
    if sig == signal.SIGKILL:
        t.kill_group(on.gate.proc)
        on.gate.proc = None
    else:
        on.gate.proc.send_signal(sig)
    to = site.moves(on, QUICK if sig == signal.SIGKILL else QUICK + 4, name)
    since = t.ran()
    if sig == signal.SIGKILL:
        on.start_gate(nodes_up=True)
    else:
        on.gate.proc.send_signal(signal.SIGCONT)
    t.ok(tap.wait_for(lambda: re.search(r"Entering BACKUP STATE", on.log().rsplit("FAULT", 1)[-1]),
                      20), "%s: its machine is fit again" % name, on.log()[-1500:])
    tap.wait_for(on.has, 12, every=0.2)
    site.stays(to, since, "%s, and works again" % name)
    t.ok(working(elsewhere), "%s: who was connected to the other machine goes on" % name)
    elsewhere.close()
    return to


def main(t):
    site = Site(t)
    before_the_first_answer(t, site)
    site.px[1].start_gate()
    for m in site.px:
        m.start_keepalived()
    on = tap.wait_for(site.holder, 20, message=lambda: site.px[0].log() + site.px[1].log())
    t.ok(site.served(), "one machine has the address, and serves there")
    t.ok(tap.wait_for(lambda: all(m.priority() == 100 and m.check("nodes") == 0 for m in site.px),
                      20), "both machines are as fit")
    on = site.holder()
    drained(t, site, on)
    nodes_hang(t, site, on)
    on = no_answer(t, site, on, signal.SIGKILL, "smbgate killed")
    on = no_answer(t, site, on, signal.SIGSTOP, "smbgate stopped")
    own_link(t, site, on)


with tap.Test(deadline=280) as test:
    main(test)
