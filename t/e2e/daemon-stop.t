#!/usr/bin/python3
# daemon-stop.t: neither a guard that hangs nor an answer that takes long keeps smbgate from ending
import os
import signal

import ad
import fake
import gate
import inject
import smb2
import tap

if gate.missing():
    tap.skip_all(gate.missing())


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def end(t, g, what, limit):
    start = t.ran()
    g.proc.send_signal(signal.SIGTERM)
    ended = tap.wait_for(lambda: g.proc.poll() is not None, 60)
    took = t.ran() - start
    t.ok(ended and g.proc.returncode == 0 and took < limit, "%s: ended with status 0 within %d s"
         % (what, limit), took, g.log()[-1000:])


def looked_at(t):
    """Those who make long answers are not done with theirs: no client waits for that."""
    g = gate.Gate(t, [fake.FakeNode(t).start()]).start()
    c = smb2.Conn("127.0.0.1", g.port, timeout=60).negotiate([0x0302])
    c.guest()
    with inject.still(inject.giving_way(g.proc.pid)):
        g.proc.send_signal(signal.SIGTERM)
        t.comes(c.is_open, False, "a client is let go before the last answer is made", 30)
        t.same(g.proc.poll(), None, "for which smbgate waits")
        g.proc.send_signal(signal.SIGTERM)
        g.hup()
    t.same(tap.wait_for(lambda: g.proc.poll() is not None, 60) and g.proc.returncode, 0,
           "and then ends with status 0, though it is told so again, and to reload")
    t.ok(not os.path.exists(g.control), "and leaves no socket")


with tap.Test(deadline=120) as t:
    looked_at(t)
    for hangs in (False, True):
        keys = ad.write_keytab(gate.node.tempdir(t) + "/keytab",
                               [ad.Entry("cifs/nas@R", 1, 18, os.urandom(32))])
        g = gate.Gate(t, [], keytab=keys)
        g.write_policy(text='node "n1" { address = "127.0.0.1:9" }\n')
        g.start(nodes_up=False)
        tap.wait_for(lambda: "is ready" in g.log(), 60, message=g.log)
        kids = children(g.proc.pid) if hangs else []
        for k in kids:
            os.kill(k, signal.SIGSTOP)
        end(t, g, "the guard hangs" if hangs else "all is well", 10 if hangs else 5)
        t.same("left behind" in g.log(), hangs, "and it is said what is left, if anything")
        for k in kids:
            os.kill(k, signal.SIGCONT)
        t.ok(tap.wait_for(lambda: not any(os.path.exists("/proc/%d" % k) for k in kids), 60),
             "nothing is left once it goes on")
