#!/usr/bin/python3
# see-http.t: http in smbgate.conf: paths, methods, counts around known traffic, contrib, crowds
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import gate
import keyed
import node
import redis
import several
import smb2
import tap

why = node.missing() or redis.missing() or gate.missing()
if why:
    tap.skip_all(why)

CONTRIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrib")
PATHS = ("/", "/healthz", "/readyz", "/status.json", "/metrics")
PEERS = 32              # that are served at once
MOVED = 5 * 4 * 60000   # bytes of payload, each way
NASTY = "<img src=x onerror=alert(1)>\u202e"


def ask(port, data, seconds=20):
    """What comes back for these bytes, up to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(data)
        out = b""
        while True:
            try:
                got = s.recv(65536)
            except ConnectionResetError:
                return out
            if not got:
                return out
            out += got


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.fields = {k.lower(): v for k, _, v in (x.partition(": ") for x in lines[1:])}
        self.text = self.body.decode(errors="replace")


def get(port, path, method="GET", body=b""):
    return Answer(ask(port, b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        method.encode(), path.encode(), len(body), body)))


def metrics(port):
    """{name{labels}: value} of a scrape."""
    out = {}
    for line in get(port, "/metrics").text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            if name in out:
                raise RuntimeError("twice: " + name)
            out[name] = float(value)
    return out


def summed(m, name, *labels):
    return sum(v for k, v in m.items()
               if re.split("[{ ]", k)[0] == name and all(x in k for x in labels))


def reading(t, g, port):
    before = g.policy()
    for path in PATHS:
        a = get(port, path)
        h = get(port, path, "HEAD")
        csp = a.fields.get("content-security-policy", "")
        t.ok(a.status == 200 and len(a.body) == int(a.fields["content-length"]) and
             csp.startswith("default-src 'none'") and "unsafe" not in csp, "GET " + path, vars(a))
        t.ok(h.status == 200 and not h.body and h.fields["content-type"] ==
             a.fields["content-type"], "HEAD %s: no body" % path, vars(h))
        wrong = {m: get(port, path, m, b"drain=n1").status for m in
                 ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW")}
        t.same(set(wrong.values()), {405}, "%s: 405 for all other methods" % path)
    t.same(get(port, "/", "POST").fields.get("allow"), "GET, HEAD", "405 says what is allowed")
    t.same(get(port, "/nodes").status, 404, "404 for other paths")
    t.same(get(port, "/healthz?x=1").status, 200, "a query means nothing")
    t.same(get(port, "/" + "x" * 9000).status, 431, "a head has an end")
    t.same([Answer(ask(port, x)).status for x in
            (b"\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
             b"\x16\x03\x01\x02\n\n", b"GET nodes HTTP/1.1\n\n")],
           [400, 400, 505, 400, 400, 400], "what is no request")
    after = g.policy()
    before.pop("since_s"), after.pop("since_s")
    t.same(after, before, "show policy is the same as before")


def page(t, port):
    """Nothing on it asks for anything from elsewhere, or runs."""
    a = get(port, "/")
    bad = re.findall(r"<script|<link|<img|<iframe|<form|\ssrc=|url\(|@import|\son\w+=|https?:|\s"
                     r"style=", a.text)
    t.ok(not bad and a.text.rstrip().endswith("</html>"), "the page is all there is", bad)
    nonce = re.search(r"style-src 'nonce-(\w+)'", a.fields["content-security-policy"])
    t.ok(nonce and '<style nonce="%s">' % nonce[1] in a.text and
         nonce[1] not in get(port, "/").text, "its style is let in by a number used once")
    t.ok('http-equiv="refresh"' in a.text and "prefers-color-scheme: dark" in a.text,
         "it refreshes itself, and has a dark side")


def dial(g, **kw):
    return smb2.Conn("127.0.0.1", g.port).negotiate([0x0302], guid=os.urandom(16), **kw)


def known_traffic(t, g, port):
    """Two scrapes, and between them what we know."""
    g.turn()
    gate.settle_closes(g)
    a = metrics(port)
    stats, nodes = g.stats(), g.node_list()
    held = []
    for i in range(5):
        c = dial(g)
        s = c.login() if i < 4 else c.guest()
        tid = c.tree(s, "data")
        fid = c.create(s, tid, "f%d" % i)
        for k in range(4):
            c.write(s, tid, fid, k * 60000, b"x" * 60000)
            c.read(s, tid, fid, k * 60000, 60000)
        c.ifinfo(s, c.tree(s, "IPC$"))
        held.append(c)
    for _ in range(2):
        c = dial(g)
        try:
            c.login("alice", "wrong")
        except smb2.Status:
            c.close()
    for _ in range(3):
        with smb2.Conn("127.0.0.1", g.port) as c:
            c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
            c.recv_eof()
    g.turn()
    gate.settle_closes(g)
    # each file and byte is a node's, too, once whose connection it is has looked at itself
    tap.wait_for(lambda: summed(metrics(port), "smbgate_node_open_files") ==
                 summed(a, "smbgate_node_open_files") + 5, 20)
    b = metrics(port)

    def more(name, *labels):
        return summed(b, name, *labels) - summed(a, name, *labels)
    t.same((more("smbgate_connections_accepted_total", 'listener="lan"'),
            more("smbgate_connections"), more("smbgate_connections_closed_total")), (10, 5, 5),
           "ten connections, five of them live")
    t.same((more("smbgate_logons_total", 'result="ok"'),
            more("smbgate_logons_total", 'result="failed"')), (5, 2), "logons, to the last one")
    t.same((more("smbgate_refusals_total", 'code="smb1_refused"'),
            more("smbgate_refusals_total")), (3, 3), "refusals, to the last one")
    t.same((more("smbgate_connections_closed_total", 'reason="smb1_refused"'),
            more("smbgate_interface_queries_total", 'told="announced"'),
            more("smbgate_sessions"), more("smbgate_channels"),
            more("smbgate_sessions", 'protection="keyed"')), (3, 5, 5, 5, 4),
           "reasons, queries, sessions by protection")
    clients = {n: more("smbgate_node_clients", 'node="%s"' % n) for n in ("n1", "n2")}
    placed = {n: more("smbgate_connections", 'node="%s"' % n) for n in ("n1", "n2")}
    t.ok(sum(clients.values()) == 5 and clients == placed and
         placed == {k: n["connections"] for k, n in g.node_list().items()},
         "clients and connections by node", clients, placed)
    st = json.loads(get(port, "/status.json").text)
    t.same(sorted(st), ["newest_sessions", "nodes", "policy", "state", "stats", "uptime_s",
                        "version"], "status.json: its keys")
    t.same((st["stats"]["connections"], st["stats"]["sessions_now"], st["policy"]),
           (5, 5, dict(st["policy"], generation=1, last_reload_ok=True)), "status.json: now")
    moved = st["stats"]["bytes_to_node"] - stats["bytes_to_node"]
    t.ok(MOVED < moved < MOVED * 1.01, "status.json: bytes within 1 %% (%d)" % moved)
    now = g.node_list()
    for way in "to_node", "to_client":
        label = 'direction="%s"' % way
        bytes_of = {n: more("smbgate_bytes_total", label, 'node="%s"' % n) for n in ("n1", "n2")}
        t.ok(MOVED < sum(bytes_of.values()) < MOVED * 1.01 and bytes_of ==
             {n: now[n]["bytes_" + way] - nodes[n]["bytes_" + way] for n in bytes_of},
             "bytes of each node within 1 %%: %s" % way, bytes_of, now)
    t.same((more("smbgate_node_open_files"), b["smbgate_keytab_readable"],
            summed(b, "smbgate_state_peers")), (5, 1, 0), "open files, the keytab, no peers")
    waited = more("smbgate_state_wait_seconds_count")
    t.ok(waited == more("smbgate_state_wait_seconds_bucket", 'le="+Inf"') and waited >= 5,
         "connections have waited for Redis", waited)
    for c in held:
        c.close()
    g.turn()
    gate.settle_closes(g)
    t.ok(tap.wait_for(lambda: summed(metrics(port), "smbgate_node_open_files") ==
                      summed(a, "smbgate_node_open_files"), 20), "and they are closed again")
    b = metrics(port)
    t.ok(more("smbgate_bytes_total", 'node="n') > 2 * MOVED, "what was counted stays")


def names_in(text):
    return set(re.findall(r"\b(?:smbgate|process)_[a-z_]+\b", text)) - {"smbgate_other"}


def contrib(t, port):
    here = {re.split("[{ ]", k)[0] for k in metrics(port)}
    for path in "grafana/smbgate.json", "prometheus/smbgate.rules.yml":
        with open(os.path.join(CONTRIB, path)) as f:
            text = f.read()
        if path.endswith("json"):
            text = json.dumps([x.get("expr") for p in json.loads(text)["panels"]
                               for x in p["targets"]])
        names = names_in(text)
        t.ok(len(names) > 8 and names <= here, "%s: its metrics are there" % path, names - here)
    if not shutil.which("promtool"):
        t.skip("promtool finds nothing", "promtool is not installed (Debian: prometheus)")
        return

    def run(*args, **kw):
        r = subprocess.run(["promtool", *args], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, cwd=CONTRIB + "/prometheus", **kw)
        return r.returncode, r.stdout.strip()
    t.same(run("check", "metrics", input=get(port, "/metrics").text), (0, ""),
           "promtool check metrics says nothing")
    for args in ("check", "rules", "smbgate.rules.yml"), ("test", "rules", "smbgate.test.yml"):
        code, out = run(*args)
        t.ok(code == 0 and "FAILED" not in out, "promtool " + " ".join(args[:2]), out)


def reload_and_drain(t, g, port):
    """What an operator does shows, and what fails shows."""
    text = g.write_policy()
    g.write_policy(text=text + "nonsense = 1\n")
    g.ctl_run("reload")
    m = metrics(port)
    t.same((m["smbgate_policy_last_reload_successful"], m["smbgate_policy_generation"]), (0, 1),
           "a reload that failed")
    t.ok("the last reload failed" in get(port, "/").text, "and the page says so")
    g.write_policy(text=text)
    g.ctl("reload")
    m = metrics(port)
    t.same((m["smbgate_policy_last_reload_successful"], m["smbgate_policy_generation"]), (1, 2),
           "one that was good")
    before = g.node_list()["n1"]
    tap.wait_for(lambda: g.node_list()["n1"]["state_since_s"] > 1, 20)
    g.ctl("drain", "--force", "n1")
    n = g.node_list()["n1"]
    t.ok((before["state"], n["state"]) == ("up", "drain") and
         n["state_since_s"] < 2 <= n["since_s"], "a drained node is that since then", before, n)
    m = metrics(port)
    t.same([k for k, v in m.items() if k.startswith("smbgate_node_state") and v],
           ['smbgate_node_state{node="n1",state="drain"}',
            'smbgate_node_state{node="n2",state="up"}'],
           "each node is in one state")
    t.same((get(port, "/readyz").status, g.ctl_run("ready").returncode), (200, 0),
           "ready: n2 is up")
    g.ctl("drain", "--force", "n2")
    a, r = get(port, "/readyz"), g.ctl_run("ready")
    t.ok(a.status == 503 and a.text == "no node takes new clients\n" and r.returncode == 1 and
         "no node takes new clients" in r.stdout, "not ready: all are drained", vars(a), r)
    t.same((get(port, "/healthz").status, g.ctl_run("ready", "--live").returncode), (200, 0),
           "and it lives")
    for n in "n1", "n2":
        g.ctl("undrain", n)
    t.same((g.ctl("ready"), g.ctl("ready", "--live")),
           ({"ready": True, "good": True, "why": None}, {"live": True, "good": True, "why": None}),
           "ready, as JSON")


def people(t, g, port, details):
    """Names of users and addresses of clients are where they were asked for, and nowhere else."""
    c = dial(g)
    c.login(NASTY, "x")
    html, js = get(port, "/").text, get(port, "/status.json").text
    where = "%s:%d" % c.sock.getsockname()
    t.ok("<img" not in html and ("&lt;img src=x onerror" in html) == details,
         "details %s: a name that is HTML is text, or not there" % details)
    t.ok((where in html) == (where in js) == ("<img" in js) == details,
         "details %s: clients' addresses" % details)
    shown = "".join(g.ctl_run(*x).stdout for x in (("show", "connections"), ("explain", "img")))
    t.ok(shown.count("<img src=x onerror=alert(1)>?") == 1 and "\u202e" not in html + shown and
         "multichannel is" in shown, "nor does it turn lines around", shown)
    m = get(port, "/metrics").text
    t.ok(where not in m and "img" not in m and "alice" not in m, "no label has a client or a user")
    c.close()


def askers(t, port):
    """Three times as many as are served at once, who all ask what takes a while to answer."""
    got = []

    def one(path):
        a = get(port, path)
        got.append((a.status, len(a.body) == int(a.fields.get("content-length", "-1"))))
    threads = [threading.Thread(target=one, args=(("/", "/metrics", "/status.json")[i % 3],))
               for i in range(3 * PEERS)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.same(got, [(200, True)] * (3 * PEERS), "%d askers at once: each has its answer" % len(got))


def crowd(t, g, port):
    """Only who does it pays: SMB, the operator and Prometheus are served meanwhile."""
    askers(t, port)
    c = dial(g)
    c.login()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2 * PEERS)]
    for s in slow:
        s.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    start, took, loris = t.ran(), [], 0
    while t.ran() - start < 1.5:
        for s in slow:
            try:
                s.sendall(b"x")
                loris += 1
            except OSError:
                pass
        before = t.ran()
        ok = get(port, "/metrics").status == 200
        took.append(t.ran() - before if ok else 99)
    t.ok(loris > 0 and max(took) < 3, "a slow loris: scrapes are answered", took)
    for s in slow:
        s.close()
    before, start = time.monotonic(), t.ran()
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.sendall(b"GET / HT")
    t.ok(s.recv(9) == b"" and 4 < time.monotonic() - before and t.ran() - start < 7,
         "half a request has 5 seconds")
    out = ask(port, b"GET /healthz HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n" * 9)
    t.ok(out.count(b"HTTP/1.1 200") == 1 and out.endswith(b"ok\n"), "pipelined: one answer", out)
    burst, lat = [], []
    for _ in range(1000):
        x = socket.socket()
        x.setblocking(False)
        x.connect_ex(("127.0.0.1", port))
        burst.append(x)
    before = time.monotonic()
    while time.monotonic() - before < 1 or len(lat) < 200:
        at = t.ran()
        c.echo()
        lat.append(t.ran() - at)
    lat.sort()
    alive = g.ctl_run("ready", "--live").returncode
    t.ok(alive == 0 and lat[len(lat) * 99 // 100] < 0.1,
         "a burst of 1,000: clients of SMB, and the operator, do not notice", lat[-5:])
    for x in burst:
        x.close()
    t.ok(tap.wait_for(lambda: get(port, "/healthz").status == 200, 60), "and it is over at once")
    # who does not read is reset, and costs no more than others
    deaf = socket.create_connection(("127.0.0.1", port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deaf.sendall(b"GET / HTTP/1.1\r\n\r\n")
    deaf.close()
    t.same(get(port, "/metrics").status, 200, "one that leaves in the middle")
    c.close()


def upgraded(t, g, port):
    """An upgrade: nothing that is counted goes back, nor is counted again."""
    conns = [dial(g) for _ in range(5)]
    for c in conns:
        c.guest()
    for c in conns[3:]:
        c.close()
    g.wait_connections(3)
    for n in range(2):
        before = metrics(port)
        g.takeover()
        after = metrics(port)
        # of the process alone
        lost = {k: (v, after.get(k)) for k, v in before.items() if "_total" in k and
                not k.startswith("process_") and after.get(k, -1) < v}
        t.same(lost, {}, "upgrade %d: no counter goes back" % n)
        t.same([summed(x, "smbgate_connections_accepted_total") for x in (before, after)],
               2 * [summed(before, "smbgate_connections_closed_total") +
                    summed(before, "smbgate_connections")], "what was accepted lives or has ended")
    for c in conns[:3]:
        c.close()


def main(t):
    lab = node.Lab(t)
    nodes = [node.Node(lab, "n%d" % i, "127.0.0.%d" % (10 + i)) for i in (1, 2)]
    for n in nodes:
        n.start(wait=False)
    for n in nodes:
        n.wait()
    r = redis.Server(t).start()
    port = node.free_port("127.0.0.1")
    g = several.proxy(t, nodes, [r.endpoint], keytab=keyed.light_keytab(t),
                      conf='http = "127.0.0.1:%d"\nhttp-details = yes\n' % port,
                      interfaces={"lan": {"mode": "announce"}})
    several.healed(g)
    reading(t, g, port)
    page(t, port)
    known_traffic(t, g, port)
    contrib(t, port)
    people(t, g, port, True)
    reload_and_drain(t, g, port)
    crowd(t, g, port)
    g.stop()
    other = node.free_port("127.0.0.1")
    g = gate.Gate(t, nodes, conf='http = "127.0.0.1:%d"\n' % other, name="plain",
                  health=gate.PATIENT).start()
    people(t, g, other, False)
    m = metrics(other)
    t.ok(not any("_state_" in k and "node_state" not in k or "_keyd_" in k for k in m),
         "no Redis and no keytab: nothing is said of them")
    code, out = g.check()
    t.ok(code == 0, "smbgate -t", out)
    upgraded(t, g, other)


with tap.Test(150) as t:
    main(t)
