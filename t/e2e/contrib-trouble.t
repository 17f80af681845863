#!/usr/bin/python3
# contrib-trouble.t: doc/TROUBLE.md: each symptom is made, and its command says what the page says
import os
import re
import shlex
import socket
import subprocess

import gate
import guide
import netns
import node
import smb2
import tap

why = netns.missing() or gate.missing() or node.missing()
if why:
    tap.skip_all(why)

PAGE = guide.text("doc/TROUBLE.md")
OURS, CLIENT, N1, N2, NOBODY = "10.1.0.5", "10.1.0.7", "10.2.0.11", "10.2.0.12", "10.2.0.99"
ROWS = {c[0].strip(): c[1] for c in (
    line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| "))}
DONE = set()
# Of /etc/hosts in the shell that a command runs in.
NAMED = 'mount --bind "$0" /etc/hosts && exec "$@"'


def commands(row):
    """Of the row whose symptom begins so."""
    seen, = [r for r in ROWS if r.startswith(row)]
    DONE.add(seen)
    return [c for c in re.findall(r"`([^`]*)`", ROWS[seen]) if c.startswith("smbgate")]


def run(g, command):
    """As it stands there, of this smbgate."""
    program, *args = shlex.split(command)
    where = {"smbgate": gate.program(), "smbgatectl": gate.ctl_program()}
    return subprocess.run(["unshare", "-m", "sh", "-c", NAMED, g.dir + "/hosts", where[program],
                           "-c", g.conf_file, *args], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)


def says(t, g, row, *want):
    """A pattern for each of the row's commands; what comes later is waited for."""
    there = commands(row)
    t.same(len(there), len(want), "%s: %s" % (row, ", ".join(there)))
    for command, pattern in zip(there, want):
        out = [""]

        def said(command=command, pattern=pattern, out=out):
            out[0] = run(g, command).stdout
            return re.search(pattern, out[0])
        t.ok(tap.wait_for(said, 30, 0.2), "%s: %s says /%s/" % (row, command, pattern), out[0])


def hosts(g, text=""):
    with open(g.dir + "/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n" + text)


def client(user="alice", password="Alice-pw-1", guid=None, dialects=(0x0302,), **kw):
    c = smb2.Conn(OURS, 445, src=CLIENT, timeout=60)
    c.negotiate(list(dialects), guid=guid)
    c.session = c.login(user, password, **kw)
    return c


def old():
    """A client that speaks SMB1 alone; it is refused."""
    with smb2.Conn(OURS, 445, src=CLIENT) as c:
        c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
        c.recv_eof(30)


class Wrong:
    """A smbgate that cannot start."""

    def __init__(self, t, nodes, **kw):
        self.g = gate.Gate(t, nodes, **kw)
        hosts(self.g)


def start(t, nodes):
    """Mistakes that smbgate says before it serves."""
    row = "smbgate does not start"
    with socket.create_server((OURS, 446)):
        says(t, Wrong(t, nodes, listen={"lan": OURS + ":446"}).g, row,
             "446: Address already in use: another program has this port.*smbd")
    says(t, Wrong(t, nodes, listen={"lan": "10.9.9.9:445"}).g, row,
         "Cannot assign requested address: no interface has this address")
    w = Wrong(t, nodes, conf='cluster-secret = "secret"\n').g
    with open(w.dir + "/secret", "w") as f:
        f.write("a secret of sixteen bytes and more\n")
    os.chmod(w.dir + "/secret", 0o644)
    says(t, w, row, "cluster-secret .*: it has owner 0, group 0, mode 0644: right would be")
    w = Wrong(t, nodes).g
    text = w.write_policy()
    w.write_policy(text.replace(N1, "n1.example.com"))
    says(t, w, row, "is not an address: a name; names are not looked up")
    w.write_policy(text.replace(N1 + ":445", OURS + ":445"))
    w.write_policy(text.replace("%s:445" % N1, w.listen["lan"].replace("0.0.0.0", OURS)))
    says(t, w, row, 'node "n1": .* is smbgate\'s own listener "lan"')
    with open(w.dir + "/public", "w") as f:
        f.write(N1 + "/24 eth0\n")
    w.write_policy(deny_file=["public"])
    says(t, w, row, "warning: node \"n1\": its address is in a deny-file. CTDB moves public")
    r = run(w, "smbgatectl show nodes")
    DONE.add("`smbgatectl`: cannot connect")
    t.ok(r.returncode == 1 and "is smbgate running?" in r.stdout, "smbgatectl: cannot connect",
         r.stdout)


def names(t, g):
    """Where a name leads; and clocks."""
    hosts(g, N1 + " nas.example.com\n")
    says(t, g, "clients are not seen", "warn *name-leads .* node n1: its clients pass by smbgate")
    hosts(g, "%s nas.example.com\n" % NOBODY)
    says(t, g, "clients are not seen", "warn *name-leads .* where smbgate neither listens nor")
    hosts(g, OURS + " nas.example.com\n")
    says(t, g, "clients are not seen", "ok *name-leads .* it leads to smbgate")
    says(t, g, "logons fail by Kerberos alone", "clock-skew *n1 .* this machine's")


def users(t, g):
    """What becomes of single clients."""
    old()
    says(t, g, "connections are refused", CLIENT + ".*smb1_refused|smb1_refused.*" + CLIENT,
         "smb1_refused *1 .*policy allows no dialect")
    trace, = commands("one client gets in nowhere")
    with open(g.dir + "/trace", "w") as f:
        p = t.spawn([gate.ctl_program(), "-s", g.control, *shlex.split(trace)[1:]],
                    stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def traced():
        old()
        with open(g.dir + "/trace") as f:
            return re.search("closed: policy allows no dialect of the client.s SMB1", f.read())
    t.ok(tap.wait_for(traced, 30, 0.5), "one client gets in nowhere: %s says why" % trace)
    t.kill_group(p)
    try:
        client(password="wrong").close()
    except smb2.Status:
        pass
    DONE.add("\"access denied\", wrong password")
    t.ok(tap.wait_for(lambda: re.search("logon of .*alice.* failed: 0xc000006d", g.log()), 30),
         "access denied: the log has the node's status", g.log()[-1000:])
    c = client(dialects=(0x0210,))
    says(t, g, "only one channel", "(?s)multichannel is off:.*have the client, and its node, speak")
    c.close()
    signs = client(sign=True)
    signs.tree(signs.session)
    says(t, g, "a client is told the nodes' addresses", "n[12] .*alice.* opaque")
    says(t, g, "`no key` of all sessions", "no key: the client signs",
         "skip *keytab-spn .*there is none: sessions that sign or encrypt are opaque")
    says(t, g, "disconnects when an old machine starts", CLIENT + ".*alice.*NTLM")
    signs.close()
    zero = client(guid=bytes(16))
    says(t, g, "everybody is on one node", "n1 +up", "have its library send a GUID of its own")
    zero.close()
    g.wait_connections(0)


def policies(t, g):
    with client() as c:
        on = next(n for n in g.node_states() if g.ask(
            {"cmd": "show", "what": "clients", "node": n})["clients"])
        t.same(g.ctl_run("drain", on).returncode, 0, "a drain of %s" % on)
        command, = commands("a drain does not end")
        out = run(g, command.replace("n1", on)).stdout
        t.ok(CLIENT in out, "a drain does not end: %s names who is there" % command, out)
        g.ctl_run("undrain", on)
        c.close()
    with open(g.policy_file, "a") as f:
        f.write("nod = 1\n")
    says(t, g, "a reload changes nothing", r"policy.conf:\d+: no such option 'nod'")
    g.write_policy()


def nodes_go(t, g, n1, n2):
    g.reload(health=dict(gate.FAST, flap_changes=3, flap_window="10m", flap_hold="10m"))
    n1.pause()
    says(t, g, "a node is `hung`", "n1 +hung")
    n1.cont()
    tap.wait_for(lambda: g.node_states()["n1"] == "up", 60)
    for _ in range(2):
        tap.wait_for(lambda: g.node_states()["n1"] == "up", 60)
        n1.kill()
        tap.wait_for(lambda: g.node_states()["n1"] == "down", 60)
        n1.start()
    says(t, g, "a node comes and goes", "n1 +down,held")
    n1.kill()
    n2.kill()
    says(t, g, "no node is up", "(?s)n1 +down.*Connection refused",
         "fail *node-answers *n1 .* Connection refused. To mend it: start its SMB server")
    says(t, g, "nobody gets in", "no node", "n1 +down")


def main(t):
    host = netns.Host(t, "one")
    with host.inside():
        for a in (OURS, CLIENT, N1, N2):
            host.ip("address", "add", a + "/32", "dev", "lo")
        lab = node.Lab(t)
        n1, n2 = [node.Node(lab, n, a, port=445).start() for n, a in (("n1", N1), ("n2", N2))]
        start(t, [n1, n2])
        g = gate.Gate(t, [n1, n2], listen={"lan": OURS + ":445"}, health=gate.PATIENT,
                      conf='state "redis" { servers = { "127.0.0.1:9" } }\n')
        hosts(g)
        g.start()
        names(t, g)
        says(t, g, "`DEGRADED`", "(?s)DEGRADED.*Connection refused")
        users(t, g)
        policies(t, g)
        nodes_go(t, g, n1, n2)
    left = {r for r in ROWS if not r.endswith("*") and r not in ("what is seen", "---")} - DONE
    t.same(left, set(), "each row without a star was made: %d" % len(DONE))


with tap.Test(deadline=180) as test:
    main(test)
