#!/usr/bin/python3
# daemon-start.t: listeners that cannot be bound, or are passed; a reload, heard of by who asks
import os
import re
import shlex
import socket
import subprocess
import sys

import gate
import netns
import node
import tap

why = netns.missing() or gate.missing()
if why:
    tap.skip_all(why)

UNIT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                    "contrib", "systemd", "smbgate.service")


class Away:
    """A node; there is none."""
    name, endpoint = "n1", "127.0.0.41:9"


# As a service manager starts a program: sockets as descriptors 3 and up, and their names.
MANAGER = """import fcntl, os, sys
names, fds = sys.argv[1], [int(x) for x in sys.argv[2].split(",")]
for i, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def start(g, *prefix, pass_fds=(), args=()):
    r = subprocess.run([*prefix, gate.program(), "-c", g.conf_file, *args], text=True, timeout=60,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=pass_fds)
    return r.returncode, r.stdout


def manager(*sockets, names=None):
    """argv_prefix and pass_fds: sockets are (name, socket)."""
    fds = [s.fileno() for _, s in sockets]
    return ([sys.executable, "-c", MANAGER, names or ":".join(n for n, _ in sockets),
             ",".join(map(str, fds))], fds)


def line(g, listener):
    with open(g.conf_file) as f:
        return next(n for n, text in enumerate(f, 1) if 'listen "%s"' % listener in text)


def listeners(t):
    """On a machine of our own, without IPv6."""
    host = netns.Host(t, "one")
    host.sysctl("ipv6.conf.all.disable_ipv6", "1")
    with host.inside(), socket.socket() as other:
        other.bind(("127.0.0.1", 4445))
        other.listen()
        g = gate.Gate(t, [Away], listen={"good": "127.0.0.1:5445", "moved": "10.1.0.5:445",
                                         "taken": "127.0.0.1:4445", "six": "[2001:db8::5]:445"})
        status, out = start(g)
        t.same(status, 1, "three of four listeners cannot be bound: smbgate does not start")
        for name, said in (("moved", "10.1.0.5:445: Cannot assign requested address: no interface "
                            "has this address: .* net.ipv4.ip_nonlocal_bind=1"),
                           ("taken", "127.0.0.1:4445: Address already in use: another program has "
                            "this port: .*ss -ltnp"),
                           ("six", r"\[2001:db8::5\]:445: .* IPv6 is off")):
            want = re.escape("%s:%d: " % (g.conf_file, line(g, name))) + \
                'listen "%s": cannot bind ' % name + said
            t.ok(re.search(want, out), "%s: what is wrong, where, and what helps" % name, want, out)
        t.ok('"good"' not in out, "of the one that is good nothing is said", out)
        g = gate.Gate(t, [Away], listen={"low": "127.0.0.1:445"})
        os.chmod(g.dir, 0o777)
        status, out = start(g, "setpriv", "--reuid", "61997", "--clear-groups",
                            "--bounding-set", "-all", "--inh-caps", "-all")
        t.ok(status == 1 and "CAP_NET_BIND_SERVICE" in out, "a low port, without the right to it",
             out)
        # The cure that was named.
        host.sysctl("ipv4.ip_nonlocal_bind", "1")
        g = gate.Gate(t, [Away], listen={"moved": "10.1.0.5:445", "lan": "127.0.0.1:5445"})
        g._listening = lambda: os.path.exists(g.control)
        g.start(nodes_up=False)
        t.ok(tap.wait_for(lambda: "is ready" in g.log(), 20), "with ip_nonlocal_bind it starts",
             g.log())
        t.same(g.stop(), 0, "and ends with status 0")


def misfits(t):
    """Sockets of which none is what smbgate.conf says: each is named, with what is wrong."""
    tcp = {n: socket.create_server(("127.0.0.1", 0)) for n in ("else", "more", "more2", "more3")}
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    six = socket.socket(socket.AF_INET6)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    six.bind(("::", 0))
    six.listen()
    null = open("/dev/null")

    def at(s):
        return "127.0.0.1:%d" % s.getsockname()[1]
    rows = [("else", tcp["else"], "127.0.0.1:9", "it is bound to " + at(tcp["else"])),
            ("udp", udp, at(udp), "it is not a TCP socket: .* ListenStream="),
            ("deaf", deaf, at(deaf), "it does not listen: .* Accept=no"),
            ("unix", unix, "127.0.0.2:9", "it is not a TCP socket"),
            ("six", six, "[::]:%d" % six.getsockname()[1], "no IPv4: .* BindIPv6Only=both"),
            ("null", null, "127.0.0.3:9", "it is not a socket")]
    g = gate.Gate(t, [Away], listen=dict([(n, a) for n, _, a, _ in rows], more=at(tcp["more"]),
                                         good="127.0.0.1:%d" % node.free_port("127.0.0.1")))
    sockets = [(n, s) for n, s, _, _ in rows] + [("more", tcp[n]) for n in tcp if n != "else"] + \
        [("nobody", null)]
    prefix, fds = manager(*sockets)
    for args in ((), ("-t",)):
        status, out = start(g, *prefix, pass_fds=fds, args=args)
        t.same(status, 1, "sockets that do not fit: no start, and a check that fails")
        for name, what in [(n, w) for n, _, _, w in rows] + [("more", "3 sockets .* 2 workers")]:
            want = '%s:%d: listen "%s": .*%s' % (re.escape(g.conf_file), line(g, name), name, what)
            t.ok(re.search(want, out), "%s%s: what is wrong with it" % (name, args), want, out)
        t.ok('"good": cannot' not in out, "of one that smbgate binds nothing is said", out)
        t.ok(re.search('named "nobody", which no listen has', out), "a name that is nobody's", out)
    for names, n in (("a", 2), ("a:b:c", 2)):
        prefix, fds = manager(*sockets[:n], names=names)
        status, out = start(g, *prefix, pass_fds=fds)
        t.ok(status == 1 and "LISTEN_FDNAMES" in out, "%s: not %d names" % (names, n), out)
    for s in (*tcp.values(), udp, deaf, unix, six, null):
        s.close()


def passed(t):
    """One listener's socket stays open while smbgate is restarted: clients wait in its queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as held:
        there = held.getsockname()
        g = gate.Gate(t, [Away], listen={"lan": "127.0.0.1:%d" % there[1],
                                         "own": "127.0.0.1:%d" % node.free_port("127.0.0.1")})
        g.argv_prefix, fds = manager(("lan", held), ("else", held))
        for turn in ("first", "second"):
            waiting = [socket.create_connection(there, 20) for _ in range(30)]
            g.start(nodes_up=False, pass_fds=fds)
            t.ok(tap.wait_for(lambda: g.stats()["accepted"] >= 30, 20),
                 "%s start: it serves who came before it" % turn, g.stats())
            with socket.create_connection(("127.0.0.1", int(g.listen["own"].split(":")[1])), 20):
                pass
            for c in waiting:
                c.close()
            t.ok('named "else"' in g.log(), "and warns of a socket that is no listener's", g.log())
            with open("/proc/%d/environ" % g.proc.pid) as f:
                t.ok("LISTEN_FDS=2" in f.read(), "(it did get them)")
            t.same(g.stop(), 0, "it ends")
        held.settimeout(20)
        with socket.create_connection(there, 20):
            held.accept()[0].close()
        t.ok(True, "and the socket listens on")


def reload(t):
    """What systemctl reload gives on is what the unit's line ends with."""
    g = gate.Gate(t, [Away]).start(nodes_up=False)
    with open(UNIT) as f:
        words = shlex.split(re.search(r"^ExecReload=\+?(.*)$", f.read(), re.MULTILINE)[1])
    t.same(os.path.basename(words[0]), "smbgatectl", "the unit reloads with smbgatectl")
    words = [gate.ctl_program(), "-s", g.control, *words[1:]]

    def run():
        r = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=20)
        return r.returncode, r.stdout
    t.same(run()[0], 0, "a good policy: status 0")
    good = g.write_policy()
    g.write_policy(good.replace("address", "adress", 1))
    status, out = run()
    want = re.escape(g.policy_file) + r":\d+: no such option 'adress'"
    t.ok(status == 1 and re.search(want, out), "a broken one: status 1, and its line",
         out)
    g.write_policy(good)
    t.same(run()[0], 0, "mended: status 0")
    t.same(g.stop(), 0, "it ends with status 0")


def main(t):
    listeners(t)
    misfits(t)
    passed(t)
    reload(t)


with tap.Test(deadline=240) as test:
    main(test)
