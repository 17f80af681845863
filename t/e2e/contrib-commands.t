#!/usr/bin/python3
# contrib-commands.t: every command that README and doc/ write down can be typed as it stands there
"""Blocks of commands are run by the tests of their pages, with all that is around them; all others,
in sentences, tables and examples, here, by a shell, on two nodes with a client."""
import glob
import os
import re
import signal
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

OURS, CLIENT, N1, N2 = "10.1.0.5", "10.1.0.7", "10.2.0.11", "10.2.0.12"
PAGES = ["README.md"] + sorted(os.path.relpath(p, guide.SOURCE)
                               for p in glob.glob(guide.SOURCE + "/doc/*.md"))
# Whose blocks a test runs from their text; and those that are no commands.
RUN_BY = {"README.md": "contrib-readme", "doc/FIRST-CLUSTER.md": "contrib-fresh",
          "doc/TAKING-OUT.md": "contrib-debian", "doc/UPGRADING.md": "contrib-debian"}
NO_COMMANDS = re.compile(r"smbgate(ctl)? \[|\{\"cmd\"|# NAME ADDRESS|\[ \{ \"name\"|http = |"
                         "user smbgate|\u2502")
# "systemctl edit" waits for an editor; what it makes is tried by contrib-systemd.
BY_HAND = re.compile(r"systemctl edit smbgate.socket")
# Named, and not to be typed so; and what is typed on other machines: nodes, controllers, clients.
NAMES = {"smbgatectl drain", "smbgatectl explain", "smbgatectl stop --drain", "smbgatectl undrain",
         "smbgatectl check --name", "smbgate --takeover", "smbgate -d"}
# First those that only look; and those that change something in an order in which each can.
ORDER = ["reload", "log-level", "maint", "move", "drain", "upgrade", "stop"]
TOOLS = ("wireshark", "jq", "logger")


def inline(page):
    """Commands of smbgate's in the page's sentences."""
    text = re.sub(r"(?ms)^```.*?^```", "", guide.text(page))
    for m in re.findall(r"`([^`]+)`", text):
        m = " ".join(m.split())
        if re.match(r"smbgate(ctl)? ", m) and not re.search(r"[A-Z]{3,}|\[", m) and m not in NAMES:
            yield m


def collected(t):
    """Each once, in an order in which each can be run; and no block without a test."""
    said, there = [], {}
    for page in PAGES:
        for block in guide.commands(page):
            if page in RUN_BY:
                there.setdefault(page, []).append(block)
            elif not NO_COMMANDS.match(block) and not BY_HAND.match(block):
                said += [re.sub(r" +#.*", "", x) for x in block.split("\n")]
        said += inline(page)
    for page, test in RUN_BY.items():
        with open("%s/t/e2e/%s.t" % (guide.SOURCE, test)) as f:
            t.ok(there.get(page) and os.path.basename(page) in f.read(),
                 "%s runs the %d blocks of %s" % (test, len(there.get(page, ())), page))
    done = {x for blocks in there.values() for b in blocks for x in b.split("\n")}

    def place(command):
        return next((i for i, w in enumerate(ORDER, 1) if "smbgatectl " + w in command), 0)
    return sorted({x for x in said if x not in done}, key=lambda x: (place(x), x))


def programs(g):
    """A folder with the programs by their names: of this smbgate, and what takes its output."""
    d = node.tempdir(g.t)
    for name, path in (("smbgate", gate.program()), ("smbgatectl", gate.ctl_program())):
        with open(d + "/" + name, "w") as f:
            f.write('#!/bin/sh\n[ "$2" != -c ] || set -- "$1"\n[ "$1" = -V ] || set -- -c %s "$@"\n'
                    'exec %s "$@"\n' % (g.conf_file, path))
    for name in TOOLS:
        with open(d + "/" + name, "w") as f:
            f.write("#!/bin/sh\ntrap '' INT\nexec cat > /dev/null\n")
    for name in os.listdir(d):
        os.chmod(d + "/" + name, 0o755)
    return d


def typed(t, g, path, command):
    with open(g.dir + "/out", "w") as out:
        p = t.spawn(["bash", "-c", "trap : INT; " + command], cwd=g.dir, env=dict(
            os.environ, PATH=path + ":" + os.environ["PATH"]), stdin=subprocess.DEVNULL, stdout=out,
            stderr=out)
    if re.match("smbgatectl (capture|trace)", command):
        tap.wait_for(lambda: any(c["captured"] for c in g.show("connections")["connections"]), 30)
        t.kill_group(p, signal.SIGINT, 0)
    p.wait(90)
    with open(g.dir + "/out") as f:
        text = f.read()
    # A check may find a fault of this lab.
    good = p.returncode == 0 or ("smbgatectl check" in command and p.returncode == 1)
    t.ok(good and "usage:" not in text, command, "status %d" % p.returncode, text[-2000:])


def client(g):
    """Of n1, as the pages have it."""
    while True:
        g.wait_connections(0)
        c = smb2.Conn(OURS, 445, src=CLIENT, timeout=60)
        c.negotiate([0x0311], guid=os.urandom(16))
        c.login()
        g.wait_connections(1)
        if g.node_list()["n1"]["connections"]:
            return c
        c.close()


def main(t):
    host = netns.Host(t, "one")
    with host.inside():
        for a in (OURS, CLIENT, N1, N2):
            host.ip("address", "add", a + "/32", "dev", "lo")
        commands = collected(t)
        t.ok(len(commands) > 25, "%d commands" % len(commands))
        lab = node.Lab(t)
        g = gate.Gate(t, [node.Node(lab, n, a, port=445).start()
                          for n, a in (("n1", N1), ("n2", N2))], listen={"lan": OURS + ":445"},
                      health=gate.PATIENT).start()
        path, c = programs(g), None
        t.defer(g.ctl_run, "stop")          # one of the commands starts another smbgate
        for command in commands:
            if c is None or not c.is_open():
                c = client(g)
            typed(t, g, path, command)
            if "maint" in command:
                g.ctl_run("unmaint", "n1")
        c.close()
        t.ok(tap.wait_for(lambda: g.ctl_run("ready", "--live").returncode, 60, 0.5),
             "and the last one has ended smbgate")


with tap.Test(deadline=180) as test:
    main(test)
