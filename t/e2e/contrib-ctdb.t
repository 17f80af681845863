#!/usr/bin/python3
# contrib-ctdb.t: smbgate-agent and deny-sync, with a ctdb that says, or does, what the test wants
import os
import subprocess

import node
import tap

DIR = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                   "contrib", "ctdb")
FLAGS = ("Disconnected", "Unknown", "Banned", "Disabled", "Unhealthy", "Stopped", "Inactive",
         "PartiallyOnline")


def status(*flags, sep="|", names=FLAGS):
    out = sep + sep.join(("Node", "IP") + names + ("ThisNode",)) + sep + "\n"
    return out + sep + sep.join(["1", "10.2.0.12"] + ["1" if n in flags else "0" for n in names]
                                + ["Y"]) + sep + "\n"


class Tools:
    """A PATH with programs of ours."""

    def __init__(self, t):
        self.dir = node.tempdir(t)
        self.env = dict(os.environ, PATH=self.dir + ":" + os.environ["PATH"],
                        SMBGATE_AGENT_TIMEOUT="60")
        self.program("smbgatectl", "echo \"$*\" >> %s/asked" % self.dir)

    def program(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path + ".new", "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)
        return os.path.join(self.dir, name)

    def run(self, *argv):
        r = subprocess.run([os.path.join(DIR, argv[0]), *argv[1:]], env=self.env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        return r.returncode, r.stdout, r.stderr

    def asked(self):
        try:
            with open(self.dir + "/asked") as f:
                return f.read().split("\n")[:-1]
        except FileNotFoundError:
            return []


def agents(t, tools):
    def says(text):
        tools.write("status", text)
        tools.program("ctdb", "[ \"$*\" = '-X nodestatus' ] && cat %s/status" % tools.dir)
        return tools.run("smbgate-agent")[1]
    t.same(says(status()), "up ready\n", "OK: up ready")
    for flags, want in ((("Disabled",), "drain #Disabled\n"),
                        (("Unhealthy",), "drain #Unhealthy\n"),
                        (("Banned", "Inactive"), "down #Banned\n"),
                        (("Stopped", "Inactive"), "down #Stopped\n"),
                        (("Disconnected", "Inactive"), "down #Disconnected\n"),
                        (("Unhealthy", "Banned"), "down #Banned\n"),
                        (("PartiallyOnline",), "up ready\n")):
        t.same(says(status(*flags)), want, "%s: %s" % (" and ".join(flags), want.strip()))
    t.same(says(status("Banned", sep=":")), "down #Banned\n", "older ones, with colons")
    t.same(says(status("Stopped", names=FLAGS[::-1])), "down #Stopped\n", "columns have names")
    for text in ("", "connect() failed\n", "|Node|\n", status().split("\n")[0] + "\n",
                 status(names=FLAGS[:3]), status()[:-25]):
        out = says(text)
        t.ok(out.startswith("down #ctdb "), "no status: %r" % text, out)
    tools.program("ctdb", "sleep 30")
    tools.env["SMBGATE_AGENT_TIMEOUT"] = "1"
    since = t.ran()
    out = tools.run("smbgate-agent")[1]
    t.ok(out == "" and t.ran() - since < 15, "a ctdb that hangs: no opinion, and soon",
         out, t.ran() - since)
    tools.env["SMBGATE_AGENT_TIMEOUT"] = "60"
    tools.program("ctdb", "exit 1")
    t.same(tools.run("smbgate-agent")[1], "down #ctdb cannot be asked: does ctdbd run?\n",
           "no ctdbd")


def denied(t, tools):
    file = tools.dir + "/public"

    def content():
        with open(file) as f:
            return f.read()
    source = tools.write("public_addresses", "# public\n10.1.0.100/24 eth0\n\n"
                         "10.1.0.101/24 eth0,eth1\nfd00::1/64 eth0\n")
    t.same(tools.run("deny-sync", file, "--from", source), (0, "", ""), "public_addresses")
    t.same(sorted(content().split("\n"))[1:], ["10.1.0.100/24 eth0", "10.1.0.101/24 eth0,eth1",
                                               "fd00::1/64 eth0"], "all of it")
    t.same(tools.asked(), ["reload"], "smbgate reloads")
    t.same((tools.run("deny-sync", file, "--from", source)[0], tools.asked()), (0, ["reload"]),
           "nothing has changed: it does not")
    good = content()
    for text, name in (("10.1.0.100/24 eth0\n10.1.0.10", "cut short"), ("", "empty"),
                       ("10.1.0.100/24 eth0\n10.1.0.101 eth0\n", "an address without a mask"),
                       ("# nothing\n", "no address"), ("<html>\n", "something else")):
        st, _, err = tools.run("deny-sync", file, "--from", tools.write("bad", text))
        t.ok(st == 1 and err.startswith("deny-sync: ") and content() == good,
             "%s: nothing is changed" % name, st, err)
    t.same(tools.run("deny-sync", file, "sh", "-c", "cat %s; exit 1" % source)[0], 1,
           "a command that fails")
    t.same((content(), tools.asked()), (good, ["reload"]), "and nothing has changed")
    t.same(tools.run("deny-sync", file, "printf",
                     r"|Public IP|Node|\n|10.1.0.102|0|\n|fd00::2|-1|\n")[0], 0, "ctdb -X ip all")
    t.same(content(), "10.1.0.102/32 ctdb\nfd00::2/128 ctdb\n", "each address for itself")
    t.same(sorted(f for f in os.listdir(tools.dir) if f.startswith("public.")), [],
           "no file of its own is left")


with tap.Test(deadline=60) as test:
    the_tools = Tools(test)
    agents(test, the_tools)
    denied(test, the_tools)
