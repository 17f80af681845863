#!/usr/bin/python3
# daemon-nodefile.t: nodes from a file that is watched, while it changes all the time
"""NODEFILE_CHANGES (60) at NODEFILE_RATE (20) a second; 1000 and 17 are those of a minute."""
import json
import os
import threading
import time
import urllib.request

import fake
import gate
import node
import smb2
import tap

why = gate.missing()
if why:
    tap.skip_all(why)

CHANGES = int(os.environ.get("NODEFILE_CHANGES", "60"))
RATE = float(os.environ.get("NODEFILE_RATE", "20"))
BROKEN = ("n1", "n1 10.300.0.1 1 active\n", "n1 %s 1 active more\n", "", "[{\"name\": \"n1\"",
          "n1 %s 0 active\n", "n1 %s 1 active\nn1 %s 1 active\n", "n1 %s 1 active\nn2 10.1.1",
          "n1 %s 1 sleeping\n", "x" * 70000)


class Client(threading.Thread):
    """Logged on, and says something all the time, until told to stop."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.c = smb2.Conn("127.0.0.1", port).negotiate([0x0302])
        self.c.login()
        self.rounds, self.error, self.over = 0, None, threading.Event()

    def run(self):
        try:
            while not self.over.wait(0.02):
                self.c.echo()
                self.rounds += 1
        except Exception as e:      # pylint: disable=broad-except
            self.error = repr(e)


class File:
    def __init__(self, path):
        self.path = path

    def write(self, text):
        with open(self.path, "w") as f:
            f.write(text)

    def replace(self, text):
        with open(self.path + ".new", "w") as f:
            f.write(text)
        os.rename(self.path + ".new", self.path)


def lines(nodes, weight, state="active"):
    return "".join("%s %s %d %s\n" % (n.name, n.endpoint, weight, state) for n in nodes)


def weights(g):
    return {k: n["weight"] for k, n in g.node_list().items() if n["state"] != "removed"}


def comes(t, g, want, name):
    def there():
        return weights(g) == want
    t.ok(tap.wait_for(there, 30, message=lambda: "%s: %s\n%s" % (want, weights(g),
                                                                 g.log()[-2000:])), name)


def reload_ok(g):
    with urllib.request.urlopen("http://127.0.0.1:%d/status.json" % g.http, timeout=20) as f:
        return json.load(f)["policy"]["last_reload_ok"]


def ways(t, g, file, nodes):
    """Every way in which a file is changed."""
    file.replace(lines(nodes, 3))
    comes(t, g, {"n1": 3, "n2": 3}, "replaced")
    # as Kubernetes does it: a link into a folder that is another one every time
    for i, weight in enumerate((5, 6)):
        os.mkdir("%s/..%d" % (g.dir, i))
        File("%s/..%d/nodes" % (g.dir, i)).write(lines(nodes, weight) if i else json.dumps(
            [{"name": n.name, "address": n.endpoint, "weight": weight} for n in nodes], indent=1))
        os.symlink("..%d" % i, g.dir + "/..new")
        os.rename(g.dir + "/..new", g.dir + "/..data")
        if i == 0:
            os.unlink(file.path)
            os.symlink("..data/nodes", file.path)
        comes(t, g, {"n1": weight, "n2": weight}, ("JSON, and a link", "a link that is turned")[i])
    os.unlink(file.path)
    failed = g.stats()["reloads_failed"]
    tap.wait_for(lambda: g.stats()["reloads_failed"] > failed or "No such file" in g.log(), 30)
    t.same(weights(g), {"n1": 6, "n2": 6}, "gone: what it said last stays")
    # policy.conf is being written meanwhile: that is not meant yet
    good = g.write_policy()
    g.write_policy(text=good + "smb1 = perh")
    file.write(lines(nodes, 7))
    comes(t, g, {"n1": 7, "n2": 7}, "back, beside a policy.conf that is half written")
    t.same(g.ctl_run("reload").returncode, 1, "a reload reads that")
    file.replace(lines(nodes, 8))
    comes(t, g, {"n1": 8, "n2": 8}, "a good file comes into force beside it")
    t.same(reload_ok(g), False, "yet the last reload is still said to have failed")
    g.write_policy(text=good)
    t.same(g.ctl("reload")["reloaded"], True, "a reload reads both")
    t.same(reload_ok(g), True, "which is said, too")
    file.replace(lines(nodes, 7))
    comes(t, g, {"n1": 7, "n2": 7}, "and the file is watched")


def flood(t, g, file, nodes):
    """Changes, one in three broken: the last good one is in force."""
    clients = [Client(g.port) for _ in range(12)]
    for c in clients:
        c.start()
    before, failed = g.generation(), g.stats()["reloads_failed"]
    start, said = time.monotonic(), None
    for i in range(CHANGES):
        way = file.replace if i % 2 else file.write
        if i % 3 == 2:
            text = BROKEN[i // 3 % len(BROKEN)]
            way(text.replace("%s", nodes[0].endpoint))
        else:
            said = 10 + i % 900
            # now and then without one of them: its clients stay
            way(lines(nodes[i % 7 == 3:], said))
        time.sleep(max(0, start + (i + 1) / RATE - time.monotonic()))
    took = time.monotonic() - start
    file.replace(lines(nodes, 999))
    comes(t, g, {n.name: 999 for n in nodes}, "%d changes in %.1f s: the last good one is in force"
          % (CHANGES, took))
    reloads = g.generation() - before + g.stats()["reloads_failed"] - failed
    t.ok(1 <= reloads <= time.monotonic() - start + 2, "about one reload a second at most",
         reloads, took)
    file.replace(lines(nodes, 5) + "n3 10.0.0.300 1 active\n")
    want = "%s:%d: address: " % (file.path, len(nodes) + 1)
    t.ok(tap.wait_for(lambda: want in g.log(), 30), "the last one is broken: its line is logged",
         want, g.log()[-2000:])
    t.ok(tap.wait_for(lambda: "its last good content stays in force" in g.log(), 20),
         "and that it counts for nothing")
    t.same(weights(g), {n.name: 999 for n in nodes}, "the last good one is in force")
    for c in clients:
        c.over.set()
        c.join(60)
    t.same([c.error for c in clients if c.error], [], "no client was cut")
    t.ok(all(c.rounds for c in clients), "and all were served", [c.rounds for c in clients])
    for c in clients:
        c.c.echo()
        c.c.close()


def main(t):
    nodes = [fake.FakeNode(t, "n%d" % i, "127.0.0.%d" % (40 + i)).start() for i in (1, 2)]
    http = node.free_port("127.0.0.1")
    g = gate.Gate(t, [], node_file="nodes",
                  conf='user = "nobody"\nhttp = "127.0.0.1:%d"\n' % http)
    g.http = http
    os.chmod(g.dir, 0o755)
    os.chmod(g.policy_file, 0o644)
    file = File(g.dir + "/nodes")
    file.write(lines(nodes, 1))
    g.start()
    tap.wait_for(lambda: set(g.node_states().values()) == {"up"}, 20)
    t.same(g.policy()["node_file"], file.path, "show policy names the file")
    c = smb2.Conn("127.0.0.1", g.port).negotiate([0x0302])
    c.login()
    where = g.clients()[0]["node"]
    ways(t, g, file, nodes)
    c.echo()
    t.same(g.clients()[0]["node"], where, "a claim is what it was")
    c.close()
    flood(t, g, file, nodes)
    t.same(g.stop(), 0, "smbgate ends with status 0")
    file.write("# none of ours\n" "own 127.0.0.1:%d\n" % g.port)
    status, out = g.check()
    t.ok(status == 1 and file.path + ":2: node \"own\": " in out and "own listener" in out,
         "-t: a node that is one of our listeners, where it stands", out)


os.umask(0o022)
with tap.Test(deadline=60 + 3 * int(CHANGES / RATE)) as test:
    main(test)
