#!/usr/bin/python3
# daemon-ctl.t: smbgatectl and a running smbgate: every command as text and as JSON, bad requests
import grp
import json
import os
import pwd
import select
import socket
import stat
import subprocess
import sys
import time
import uuid

import gate
import inject
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

ADDR = "127.0.1.1"
SHOWS = ("nodes", "clients", "sessions", "policy", "stats")


def run(*args, **env):
    """smbgatectl with these very arguments: (exit status, stdout, stderr)."""
    env = {k: v for k, v in dict(os.environ, **env).items() if v is not None}
    r = subprocess.run([gate.ctl_program(), *args], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env, timeout=30)
    return r.returncode, r.stdout, r.stderr


def raw(g, data, half_close=False):
    """Send bytes to the control socket, return the answer as an object, or None for no answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(g.control)
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        out = b""
        while True:
            try:
                got = s.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return json.loads(out) if out else None
            out += got


def has(t, obj, keys, name):
    missing = [k for k in keys.split() if k not in obj]
    t.ok(not missing, name, "missing: %s" % missing, json.dumps(obj, indent=1))


def reports(t, g):
    """With one client logged on as a guest that has asked for the interfaces."""
    guid = os.urandom(16)
    c = smb2.Conn(ADDR, g.port).negotiate([0x0302], guid=guid)
    s = c.guest()
    c.ifinfo(s, c.tree(s, "IPC$"))

    n = g.ctl("show", "nodes")["nodes"]
    t.same([x["name"] for x in n], ["n1", "n2"], "show nodes: both")
    has(t, n[0], "name address state weight connections clients probes probe_failures probe_us "
        "draining since_s state_since_s", "show nodes: its keys")
    t.ok(all(x["state"] == "up" and x["probe_us"] > 0 for x in n), "show nodes: up", n)
    t.same(sum(x["connections"] for x in n), 1, "show nodes: one connection")

    clients = g.ctl("show", "clients")["clients"]
    mine = [x for x in clients if x["connections"]]
    t.same(len(mine), 1, "show clients: one is live")
    x = mine[0]
    has(t, x, "client kind node connections firm linger_s sessions connections_list",
        "show clients: its keys")
    t.same((x["kind"], x["firm"], x["linger_s"]), ("guid", True, 0), "show clients: a firm GUID")
    t.ok(x["client"].replace("-", "")[-16:] == guid.hex()[-16:], "show clients: the GUID", x)
    has(t, x["connections_list"][0], "id client_address local_address listener node stage dialect "
        "logged_on sessions age_s", "show clients: keys of a connection")
    t.same(x["connections_list"][0]["local_address"], "%s:%d" % (ADDR, g.port),
           "show clients: the dialled address")
    t.same(x["connections_list"][0]["dialect"], "3.0.2", "show clients: the dialect")
    t.same([(y["told"], y["addresses"]) for y in x["sessions"]],
           [("announced list", [ADDR, "127.0.1.2"])], "show clients: what it was told")

    ss = g.ctl("show", "sessions")["sessions"]
    t.same(len(ss), 1, "show sessions: one")
    y = ss[0]
    has(t, y, "session_id node dialect client_guid guest anonymous signing_required encrypted "
        "signing_algorithm cipher protection told addresses channels age_s",
        "show sessions: its keys")
    t.same((y["protection"], y["guest"], y["told"]), ("unsigned", True, "announced list"),
           "show sessions: a guest can be seen")
    t.same([a["address"] for a in y["addresses"]], [ADDR, "127.0.1.2"], "show sessions: told")
    t.same(y["addresses"][0]["speed"], 25000000000, "show sessions: the speed")
    t.same([k["connection"] for k in y["channels"]], [x["connections_list"][0]["id"]],
           "show sessions: its channel is the client's connection")

    p = g.ctl("show", "policy")["policy"]
    has(t, p, "generation since_s path text nodes smb1 unkeyed gmac pin_linger_ms addresses "
        "interfaces", "show policy: its keys")
    t.same((p["generation"], p["smb1"], p["pin_linger_ms"]), (1, "refuse", 900000),
           "show policy: values")
    t.same(p["addresses"], {"allow": ["127.0.0.0/8"], "deny": ["127.9.0.0/16"]},
           "show policy: rules")
    t.same([a["address"] for a in p["interfaces"][0]["addresses"]], [ADDR, "127.0.1.2"],
           "show policy: interfaces")
    st = g.ctl("show", "stats")["stats"]
    has(t, st, "accepted logged_on sessions closed connections unauthenticated sessions_now "
        "reloads reloads_failed policy_generation workers uptime_s", "show stats: its keys")
    t.same((st["connections"], st["sessions_now"], st["workers"]), (1, 1, 2), "show stats: now")
    t.ok("client_eof" in st["closed"], "show stats: reasons", st)
    return c, y["session_id"], p["text"]


def people(t, g, sid, text):
    out = {w: run("-s", g.control, "show", w) for w in SHOWS}
    for w in SHOWS:
        t.ok(out[w][0] == 0 and not out[w][2], "show %s for people" % w, out[w])
    lines = out["nodes"][1].splitlines()
    t.ok(len(lines) == 3 and lines[0].startswith("NODE") and " up " in lines[1],
         "nodes: a line each", *lines)
    col = lines[0].index("STATE")
    t.ok(all(x[col - 1] == " " and x[col] != " " for x in lines), "nodes: columns are aligned",
         *lines)
    t.ok("announced list: %s, 127.0.1.2" % ADDR in out["clients"][1], "clients: what was told",
         out["clients"][1])
    t.ok(sid in out["sessions"][1] and "unsigned" in out["sessions"][1], "sessions: one line",
         out["sessions"][1])
    t.ok(out["policy"][1].startswith("# generation 1") and out["policy"][1].endswith(text),
         "policy: its text", out["policy"][1])
    short, long_ = out["stats"][1], run("-s", g.control, "show", "stats", "--all")[1]
    t.ok("accepted" in short and "multi_protocol" not in short, "stats: no zeros", short)
    t.ok("multi_protocol" in long_ and "bad_chain" in long_, "stats --all: zeros", long_)
    describe(t, g)
    both = []

    def equal():        # which counts and times are not, from one moment to the next
        both[:] = [run("-s", g.control, "show", w) for w in ("map", "state")]
        return both[0] == both[1]
    t.ok(tap.wait_for(equal, 20) and both[0][0] == 0 and
         "map of claims is in memory" in both[0][1], "show map, and its old name", both)


def describe(t, g):
    """What each counter means, for people and as JSON."""
    st, out, err = run("-s", g.control, "show", "stats", "--describe")
    line = [x for x in out.splitlines() if x.startswith("accepted ")]
    t.ok(st == 0 and not err and line and "client connections accepted" in line[0]
         and "multi_protocol" not in out, "stats --describe: a text for each, no zeros", out, err)
    st, out, err = run("-s", g.control, "show", "stats", "--describe", "--all")
    t.ok("no node takes the client" in out and "seconds since the start" in out,
         "stats --describe --all: close reasons and gauges too", out)
    plain = g.ctl("show", "stats")
    full = g.ctl("show", "stats", "--describe")
    t.ok("descriptions" not in plain and plain["stats"].keys() == full["stats"].keys(),
         "as JSON: the same keys as without", full)
    d = full["descriptions"]
    t.ok(d.keys() == full["stats"].keys() and d["closed"].keys() == full["stats"]["closed"].keys(),
         "as JSON: a description for every key", d)
    t.ok(all(isinstance(x, str) and x for x in list(d["closed"].values())
             + [v for k, v in d.items() if k != "closed"]), "as JSON: each is a text", d)


def drain(t, g):
    who = g.ctl("show", "nodes")["nodes"][0]["name"]
    st, out, _ = run("-s", g.control, "drain", who)
    t.ok(st == 0 and out.startswith("%s drains" % who) and out.count("\n") == 1,
         "drain says one sentence", out)
    x = g.node_list()[who]
    t.same((x["state"], x["draining"]), ("drain", True), "it drains")
    conns = [smb2.Conn(ADDR, g.port).negotiate([0x0302], guid=os.urandom(16)) for _ in range(20)]
    x = g.node_list()
    t.ok(sum(n["connections"] for n in x.values()) >= 20 and x[who]["connections"] <= 1,
         "new clients go elsewhere", x)
    for c in conns:
        c.close()
    t.same(g.ctl("undrain", who)["state"], "up", "undrain")
    t.same(g.node_list()[who]["draining"], False, "it drains no more")
    st, out, err = run("-s", g.control, "drain", "n9")
    t.ok(st == 1 and not out and "no node" in err, "an unknown node", (st, out, err))
    st, out, err = run("-s", g.control, "--json", "drain", "n9")
    t.ok(st == 1 and "error" in json.loads(out), "an unknown node, as JSON", (st, out, err))


def reload(t, g):
    good = g.write_policy()
    st, out, _ = run("-s", g.control, "reload")
    t.ok(st == 0 and "generation 2" in out and out.count("\n") == 1, "reload", out)
    lines = good.count("\n")
    g.write_policy(text=good + "smb1 = perhaps\nnonsense = 1\n")
    st, out, err = run("-s", g.control, "reload")
    t.ok(st == 1 and not out and "policy.conf:%d:" % (lines + 1) in err, "a broken file",
         lines, out, err)
    r = raw(g, b'{"cmd":"reload"}\n')
    t.ok("error" in r and r["errors"] and r["generation"] == 2, "its errors as JSON", r)
    s = g.stats()
    t.same((s["reloads"], s["reloads_failed"], s["policy_generation"]), (1, 2, 2),
           "reloads are counted")
    g.write_policy(text=good)


def arguments(t, g):
    for args in (["show"], ["show", "nothing"], ["drain"], ["drain", "a", "b"], ["reload", "x"],
                 [], ["frob"], ["--nonsense"], ["-s"], ["-s", "a", "-c", "b", "reload"],
                 ["show", "nodes", "--describe"]):
        st, out, err = run(*args)
        t.ok(st == 2 and not out and err, "status 2: %s" % " ".join(args), (st, out, err))
    for args, said in ((["shwo", "nodes"], 'unknown command "shwo"; you may have meant "show"'),
                       (["show", "node"], '"node"; you may have meant "nodes"'),
                       (["show", "stat"], 'you may have meant "state" or "stats"'),
                       (["show", "keys"], 'one of "nodes", "clients", '),
                       (["drain"], "drain needs the name of a node"),
                       (["reload", "x"], 'unexpected argument "x"')):
        st, out, err = run(*args)
        t.ok(st == 2 and said in err, "%s: %s" % (" ".join(args), said), (st, out, err))
    t.same(run("show", "nodes", "-s", g.control)[0], 0, "options behind the words")
    t.same(run("-c", g.conf_file, "show", "nodes")[0], 0, "the socket from smbgate.conf")
    t.same(run("show", "nodes", SMBGATE_CONTROL=g.control)[0], 0, "the socket from the environment")
    st, out, err = run("-s", g.dir + "/nothing", "show", "nodes")
    t.ok(st == 1 and "cannot connect to %s/nothing: No such file or directory; is smbgate running?"
         % g.dir in err,
         "no socket", err)
    st, out, err = run("-s", g.dir + "/nothing", "--json", "show", "nodes")
    t.ok(st == 1 and "is smbgate running?" in json.loads(out)["error"], "the same as JSON", out)
    for args in (["drain", "n1", "--wait"], ["stop", "--wait"], ["trace", "conn:1"], ["reload"],
                 ["capture", "conn:1", "--write", g.dir + "/c"], ["ready"], ["log-level"],
                 ["kill", "alice"], ["move", "alice", "n1"], ["explain", "alice"]):
        st, out, err = run("-s", g.dir + "/nothing", "--json", *args)
        t.ok(st == 1 and "is smbgate running?" in json.loads(out)["error"],
             "%s where there is none: JSON" % args[0], out, err)
    odd = subprocess.run([gate.ctl_program(), "--json", "-s", b"/tmp/\xff", "show", "nodes"],
                         stdout=subprocess.PIPE, timeout=20)
    t.ok(odd.returncode == 1 and json.loads(odd.stdout)["error"], "nor at a path that is no UTF-8",
         odd)
    for args in (["nonsense"], [], ["show"], ["show", "nodes", "--nonsense"], ["drain"],
                 ["drain", "n1", "--deadline", "soon"], ["log-level", "loud"], ["watch"],
                 ["watch", "nonsense"], ["explain"], ["capture", "alice"], ["-s", "x", "-c", "y"],
                 ["show", "clients", "--live", "--lingering"]):
        st, out, err = run(*args, "--json")
        t.ok(st == 2 and json.loads(out)["error"] and err, "a wrong command line as JSON: %s" %
             " ".join(args), st, out, err)
    st, out, err = run("-c", g.policy_file, "show", "nodes")
    t.ok(st == 1 and "policy.conf:" in err, "not a smbgate.conf", err)
    t.ok(run("-h")[1].startswith("usage:") and run("-V")[1].startswith("smbgatectl "),
         "-h and -V")
    for args in (["x"], ["--nonsense"], ["-c"]):
        r = subprocess.run([gate.program(), *args], text=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        t.ok(r.returncode == 2 and not r.stdout and "see smbgate --help" in r.stderr,
             "smbgate %s: status 2" % " ".join(args), r.returncode, r.stdout, r.stderr)


def bad_requests(t, g):
    fds = g.fds()
    for name, data in {
            "garbage": b"\x00\xff\xfe garbage\n", "an empty line": b"\n", "a list": b"[]\n",
            "no command": b"{}\n", "an unknown command": b'{"cmd":"halt"}\n',
            "an unknown object": b'{"cmd":"show","what":"keys"}\n',
            "a number for a name": b'{"cmd":"drain","node":1}\n',
            "a time with its unit": b'{"cmd":"drain","node":"n1","deadline_ms":"30s"}\n',
            "a time before now": b'{"cmd":"maint","node":"n1","deadline_ms":-1}\n',
            "a text for a time": b'{"cmd":"drain","node":"n1","quiet_ms":"0"}\n',
            "a stop that is not to be at once": b'{"cmd":"stop","drain_ms":60000.0}\n',
            "a huge line": b'{"cmd":"' + b"x" * 1000000,
            "deep nesting": b"[" * 4000 + b"\n"}.items():
        r = raw(g, data)
        t.ok(r is not None and "error" in r, name, r)
    t.ok(g.alive() and not any(n["draining"] for n in g.node_list().values()),
         "nothing has come of these", g.node_list())
    r = raw(g, b'{"cmd":"show","what":"nodes"}', half_close=True)
    t.ok(r and "error" in r, "no newline", r)
    r = raw(g, b'{"cmd":"show","what":"stats"}\n', half_close=True)
    t.ok(r and "stats" in r, "a client that says no more still hears", r)
    for _ in range(50):
        s = socket.socket(socket.AF_UNIX)
        s.connect(g.control)
        s.sendall(b'{"cmd":"show","what":"clients"}\n')
        s.close()
    t.ok("nodes" in g.show("nodes"), "fifty clients that went away")
    # Where there is no room, who says nothing is told sooner.
    tap.wait_for(lambda: g.fds() <= fds, 60)
    silent = socket.socket(socket.AF_UNIX)
    silent.settimeout(30)
    silent.connect(g.control)
    since = time.monotonic()
    got = silent.recv(4096)
    t.ok(b"error" in got and time.monotonic() - since > 4, "a silent one is told after 5 s",
         got)
    silent.close()
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for s in crowd:
        s.settimeout(30)
        s.connect(g.control)
    for s in crowd:
        s.sendall(b'{"cmd":"show","what":"nodes"}\n')
    t.ok(all(s.recv(1) == b"{" for s in crowd), "thirty at once: all are served in the end")
    for s in crowd:
        s.close()
    tap.wait_for(lambda: g.fds() <= fds, 20)
    # all of those who have had their moment go at once, not one in each 0.3 s
    silent = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for s in silent:
        s.settimeout(30)
        s.connect(g.control)
    since = t.ran()
    st, out, err = run("-s", g.control, "ready")
    t.ok(st == 0 and t.ran() - since < 8, "sixty silent ones do not keep a check from its answer",
         t.ran() - since, err)
    for s in silent:
        s.close()
    t.ok(tap.wait_for(lambda: g.fds() <= fds, 20), "no descriptor is left", fds, g.fds())
    t.ok(g.alive(), "smbgate lives")


def the_socket(t, g):
    st = os.lstat(g.control)
    t.ok(stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o600, "mode 0600",
         oct(st.st_mode))
    r = subprocess.run([gate.program(), "-c", g.conf_file], text=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    t.ok(r.returncode == 1 and "cannot bind" in r.stdout or "answers there" in r.stdout,
         "a second smbgate is refused", r.returncode, r.stdout)
    t.ok("nodes" in g.show("nodes"), "the first one still answers")
    g.proc.kill()
    g.proc.wait(10)
    g.proc = None
    st, out, err = run("-s", g.control, "show", "nodes")
    t.ok(st == 1 and "is smbgate running?" in err and "refused" in err,
         "a socket that nobody serves", err)
    g.start()
    t.ok("nodes" in g.show("nodes"), "the next smbgate replaces it")
    g.stop()
    t.ok(not os.path.exists(g.control), "it is gone when smbgate stops")


class Away:
    """A node; there is none."""
    name, endpoint = "n1", "127.0.0.41:9"


def group(t):
    """control-group: its members look, root and smbgate's user may do everything."""
    g = gate.Gate(t, [Away], conf='user = "nobody"\ncontrol-group = "games"\n')
    os.chmod(g.dir, 0o755)
    os.chmod(g.policy_file, 0o644)
    g.start(nodes_up=False)
    g.show("state")         # it is root's until smbgate has become its user
    st = os.lstat(g.control)
    t.same((stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid)[0], grp.getgrgid(st.st_gid)[0]),
           (0o660, "nobody", "games"), "control-group: mode 0660, owner and group")

    def user(uid, gid, *args, more="--clear-groups"):
        r = subprocess.run(["setpriv", "--reuid", str(uid), "--regid", str(gid), more,
                            gate.ctl_program(), "-s", g.control, "--json", *args], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        return r.returncode, r.stdout or r.stderr

    other = 61997
    for args in (("show", "nodes"), ("show", "stats")):
        t.same(user(other, "games", *args)[0], 0, "a member may %s" % " ".join(args))
    st, out = user(other, "games", "explain", "10.1.1.1")
    t.ok("sessions" in json.loads(out), "and ask to explain", st, out)
    t.same(user(other, other, "show", "nodes", more="--groups=games")[0], 0,
           "and one whose group it is beside others")
    st, out = user(other, "games", "ready")
    t.ok("error" not in json.loads(out), "and ask whether it is ready", st, out)
    for args in (("reload",), ("drain", "n1"), ("undrain", "n1"), ("maint", "n1"),
                 ("unmaint", "n1"), ("stop",), ("kill", "10.1.1.1"), ("move", "10.1.1.1", "n1"),
                 ("trace", "10.1.1.1"), ("log-level", "debug")):
        st, out = user(other, "games", *args)
        t.ok(st == 1 and "is for root and smbgate's own user" in json.loads(out)["error"],
             "but not %s" % args[0], st, out)
    t.ok("user %d may not ask for stop" % other in g.log(), "which is logged", g.log())
    flood = """import os, socket
os.setgroups([]); os.setgid(%d); os.setuid(%d)
for _ in range(1000):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(%r)
        s.sendall(b'{"cmd":"stop"}\\n')
        s.recv(4096)
""" % (grp.getgrnam("games").gr_gid, other, g.control)
    before, since = g.log().count("may not ask for stop"), time.monotonic()
    subprocess.run([sys.executable, "-c", flood], timeout=60, check=True)
    asked = (g.log().count("may not ask for stop") - before) / (2 + time.monotonic() - since)
    t.ok(asked <= 100, "a thousand times: of which no more is logged than of other events", asked)
    t.same(user("nobody", "nogroup", "reload")[0], 0, "smbgate's own user may reload")
    t.same(run("-s", g.control, "reload")[0], 0, "and root")
    st, out = user(other, other, "show", "nodes")
    t.ok(st == 1 and "Permission denied" in out, "nobody else gets in", st, out)
    t.same(g.node_states()["n1"] == "drain", False, "nothing has come of what was refused")
    t.same(g.stop(), 0, "it ends with status 0")
    g = gate.Gate(t, [Away], conf='control-group = "no-such-group"\n')
    st, out = g.check()
    t.ok(st == 1 and 'control-group "no-such-group" does not exist' in out, "a group unknown here",
         st, out)


def lookers(t, g):
    """Long answers are made by one thread, which is held; what operators have done, by another."""
    guid = os.urandom(16)
    c = smb2.Conn(ADDR, g.port).negotiate([0x0302], guid=guid)
    c.guest()
    them = inject.giving_way(g.proc.pid)
    t.same(len(them), 2, "two threads give way to all others")
    with socket.socket(socket.AF_UNIX) as s, inject.still(them[:1]):
        s.connect(g.control)
        s.sendall(b'{"cmd":"show","what":"sessions"}\n')
        killed = g.ask({"cmd": "kill", "who": str(uuid.UUID(bytes_le=guid))})
        t.same(len(killed.get("killed", ())), 1, "a client is killed while an answer takes long")
        t.comes(c.is_open, False, "and has gone")
        t.same(select.select([s], [], [], 0)[0], [], "which has not come yet")
    c.close()


with tap.Test(deadline=120) as t:
    group(t)
    nodes = node.cluster(t, 2)
    g = gate.Gate(t, nodes, allow=["127.0.0.0/8"], deny=["127.9.0.0/16"], interfaces={
        "lan": {"mode": "announce", "list": [
            (ADDR, {"speed": "25G", "rss": True, "ifindex": 1}),
            ("127.0.1.2", {"speed": "10G", "ifindex": 2})]}}).start()
    c, sid, text = reports(t, g)
    # smbd lets a guest go that has been idle for a minute
    people(t, g, sid, text)
    c.echo()
    drain(t, g)
    c.echo()
    reload(t, g)
    c.echo()
    t.ok(True, "the session has lived through all this")
    c.close()
    g.wait_connections(0)
    arguments(t, g)
    bad_requests(t, g)
    lookers(t, g)
    the_socket(t, g)
