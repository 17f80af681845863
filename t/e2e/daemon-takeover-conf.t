#!/usr/bin/python3
# daemon-takeover-conf.t: what smbgate.conf says differently holds from an upgrade on, or it fails
import ctypes
import grp
import os
import pwd
import socket
import stat

import fake
import gate
import node
import tap

why = gate.missing()
if why:
    tap.skip_all(why)
if os.geteuid() != 0:
    tap.skip_all("needs root")

PIDFD_GETFD, IP_TRANSPARENT = 438, 19
GROUP = 'control-group = "games"\n'


def edit(g, old, new):
    with open(g.conf_file) as f:
        text = f.read()
    assert old in text
    with open(g.conf_file, "w") as f:
        f.write(text.replace(old, new))


def stays(t, g, words, name):
    """The upgrade fails with these words, and the running one serves on."""
    p = g.successor()
    t.ok(p.wait(60) == 1 and words in g.log() and g.alive() and "nodes" in g.show("nodes"), name,
         p.returncode, g.log()[-2000:])


def lookers(g):
    """Mode, owner and group of the control socket, once smbgate has become its user."""
    g.show("map")
    st = os.lstat(g.control)
    return (stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid)[0], grp.getgrgid(st.st_gid)[0])


def groups(t, nodes, user, conf):
    """A control-group comes and goes."""
    g = gate.Gate(t, nodes, conf=conf + GROUP)
    os.chmod(g.dir, 0o755)
    os.chmod(g.policy_file, 0o644)
    g.start()
    t.same(lookers(g), (0o660, user, "games"), "as %s: a control-group" % user)
    g.takeover()
    t.same(lookers(g), (0o660, user, "games"), "an upgrade leaves it")
    edit(g, GROUP, "")
    g.takeover()
    t.same(lookers(g)[:2], (0o600, user), "one without it shuts the group out")
    edit(g, "listen ", GROUP + "listen ")
    g.takeover()
    t.same(lookers(g), (0o660, user, "games"), "one that names it again lets it in")
    t.same(g.stop(), 0, "it ends with status 0")


def transparent(g):
    """Of its listening sockets: may they have connections to any address?"""
    libc, out, top = ctypes.CDLL(None, use_errno=True), [], "/proc/%d/fd/" % g.proc.pid
    pid = os.pidfd_open(g.proc.pid)
    for fd in os.listdir(top):
        if not os.readlink(top + fd).startswith("socket:"):
            continue
        with socket.socket(fileno=libc.syscall(PIDFD_GETFD, pid, int(fd), 0)) as s:
            if s.family == socket.AF_INET and s.getsockname()[1] == g.port and \
                    s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                out.append(s.getsockopt(socket.SOL_IP, IP_TRANSPARENT))
    os.close(pid)
    return out


def intercepts(t, nodes):
    g = gate.Gate(t, nodes).start()
    t.same(transparent(g), [0, 0], "a listener that does not intercept")
    edit(g, '" }\n', '" intercept = true }\n')
    g.takeover()
    t.same(transparent(g), [1, 1], "it intercepts after an upgrade")
    g.stop()
    # who may not make it so says that
    drop = ("setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-all")
    g = gate.Gate(t, nodes, argv_prefix=drop).start()
    edit(g, '" }\n', '" intercept = true }\n')
    stays(t, g, "cannot be made to intercept", "without the right to, there is no upgrade")
    g.stop()


def both(t, nodes):
    """[::] beside 0.0.0.0 takes no IPv4, and alone it should."""
    port = node.free_port("0.0.0.0")
    g = gate.Gate(t, nodes, listen={"six": "[::]:%d" % port, "four": "0.0.0.0:%d" % port}).start()
    edit(g, 'listen "four" { address = "0.0.0.0:%d" }\n' % port, "")
    stays(t, g, 'listen "six": the socket of the running smbgate takes no IPv4',
          "[::] is to take IPv4 from now on, and cannot")
    with socket.socket() as s:
        t.same(s.connect_ex(("127.0.0.1", port)), 0, "so who dials IPv4 is still served")
    g.stop()


with tap.Test(deadline=120) as test:
    two = [fake.FakeNode(test, "n%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2)]
    groups(test, two, "nobody", 'user = "nobody"\n')
    groups(test, two, "root", "")
    intercepts(test, two)
    both(test, two)
