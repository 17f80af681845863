#!/usr/bin/python3
# see-explain.t: why a client has one channel or several: each verdict, with real nodes
import os
import uuid

import ad
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

HERE, ALSO, FORBIDDEN = "127.0.1.1", "127.0.1.2", "127.0.1.9"
NO_MULTICHANNEL = 0x7F & ~8
G1, G10 = {"speed": "1G"}, {"speed": "10G"}
INTERFACES = {
    "two": {"list": [(HERE, G1), (ALSO, G1)]},
    "slow": {"list": [(HERE, G10), (ALSO, G1)]},
    "rss": {"list": [(HERE, {"rss": True})]},
    "none": {"list": [(FORBIDDEN, G1)]},
    "filter": {"mode": "filter"},
}
NODES = ["127.0.0.11", "127.0.0.12"]
LISTENERS = ("lan", "two", "slow", "rss", "none", "filter")


def name_of(guid):
    return str(uuid.UUID(bytes_le=guid))


def open_client(g, listener="lan", addr=HERE, dialect=0x0302, ask=True, user="alice",
                password="Alice-pw-1", guid=None, caps=0x7F, protect=None, **kw):
    """A client with a session; protect: "sign" or "seal" what comes behind the logon."""
    c = smb2.Conn(addr, int(g.listen[listener].rsplit(":", 1)[1]))
    c.negotiate([dialect], guid=guid, caps=caps)
    c.session = s = c.login(user, password, sign=protect == "sign", seal=protect == "seal", **kw)
    if ask:
        c.ifinfo(s, c.tree(s, "IPC$"))
    return c


def asked(g, who):
    return g.ask({"cmd": "explain", "who": who})["clients"]


def explained(g, guid):
    """The one client of that GUID."""
    got = asked(g, name_of(guid))
    return got[0] if len(got) == 1 else {"verdict": {"code": "%d clients" % len(got)},
                                         "reasons": [], "query": {}}


def line_of(g, text, last=False):
    """Where that stands in policy.conf."""
    with open(g.policy_file) as f:
        lines = [n for n, x in enumerate(f, 1) if text in x]
    return "policy.conf:%d" % lines[-1 if last else 0]


def check(t, g, guid, code, label, cause=None, where=None):
    x = explained(g, guid)
    first = next((r for r in x["reasons"] if r["code"] == code), {})
    t.ok(x["verdict"]["code"] == code and first.get("cause") == cause and
         (where is None or first.get("where") == where), "%s: %s %s" % (label, code, cause or ""),
         x, where)
    return x


def ends(t, g, opened):
    """What the two ends cannot do, and what the client was told."""
    def row(code, label, where=None, **kw):
        c = open_client(g, **kw)
        opened.append(c)
        return check(t, g, c.guid, code, label, where=where)

    row("dialect_below_3", "2.1", dialect=0x0210, ask=False)
    row("client_no_multichannel", "the client lacks it", caps=NO_MULTICHANNEL)
    row("not_asked", "it has not asked", ask=False)
    row("guest", "a guest", user="nosuchuser", password="x", ask=False)
    row("told_one", "no section: one address")
    row("told_no_rss", "two without RSS", where=line_of(g, 'interfaces "two"'), listener="two")
    row("told_slower", "two of two speeds", listener="slow")
    row("nothing_in_the_way", "one with RSS", listener="rss")
    denied = line_of(g, "deny =")
    x = row("told_none", "empty, announced", where=denied, listener="none")
    t.same((x["query"]["told"], x["query"]["removed"][0],
            x["query"]["node_list"][0] in NODES),
           ([], {"address": FORBIDDEN, "where": denied}, True), "what was left out, and where")
    x = row("told_none", "empty, filtered", where=denied, listener="filter")
    t.same((x["query"]["count"], x["query"]["removed"]),
           (1, [{"address": a, "where": denied} for a in x["query"]["node_list"]]),
           "what was left out of the node's list")
    row("asked_via_denied", "through a denied address", where=denied, addr=FORBIDDEN)
    for listener, room, code in (("two", 152, "list_too_small"), ("filter", 10, "node_error")):
        c = open_client(g, listener=listener, ask=False)
        opened.append(c)
        m = c.ifinfo_raw(c.session, c.tree(c.session, "IPC$"), max_out=room)
        t.same(m.status, smb2.BUFFER_TOO_SMALL, "%s: no list in %d bytes" % (listener, room))
        check(t, g, c.guid, code, listener)
    c = open_client(g, ask=False, guid=bytes(16))
    opened.append(c)
    x = explained(g, c.guid)
    t.ok(x["verdict"]["code"] == "not_asked" and {"code": "zero_guid", "blocks": False} in
         [{k: r[k] for k in ("code", "blocks")} for r in x["reasons"]],
         "a GUID of zeros: zero_guid, which never blocks", x)
    opened.append(smb2.Conn(HERE, g.port))
    opened[-1].negotiate([0x0202])
    opened[-1].login(sign=False)
    end = "%s:%d" % opened[-1].sock.getsockname()[:2]
    got, = asked(g, end)
    t.same((got["verdict"]["code"], got["placed"]["by"]), ("dialect_below_3", "address"),
           "2.0.2, found by its address and port")


def opaque(t, g, opened, label, cause, **kw):
    for protect in ("sign", "seal"):
        c = open_client(g, dialect=0x0311, protect=protect, **kw)
        opened.append(c)
        x = check(t, g, c.guid, "opaque", "%s, %s" % (label, protect), cause=cause)
        if protect == "seal":
            t.ok("unseen" in [r["code"] for r in x["reasons"]],
                 "and what it asks is unseen", x["reasons"])


def gmac(t, g, opened):
    """AES-GMAC, and no cipher by which the answer could be changed."""
    for word, code in (("pass", "gmac_passed"), ("refuse", "gmac_refused")):
        g.reload(gmac=word, deny=NODES, interfaces={"lan": {"mode": "filter"}})
        c = smb2.Conn(HERE, g.port)
        c.negotiate([0x0311], ciphers=(), signing=(2,))
        s = c.login(sign=True)
        tid = c.tree(s, "IPC$")
        try:
            c.ifinfo(s, tid)
        except smb2.Status as e:
            t.same((word, e.status), ("refuse", 0xC00000BB), "gmac = %s: refused" % word)
        opened.append(c)
        check(t, g, c.guid, code, "gmac = " + word)


def guid_for(g, want):
    """A GUID whose client would go to such a node."""
    while True:
        guid = os.urandom(16)
        place = g.ask({"cmd": "explain", "guid": name_of(guid), "listener": "lan"})["guid"]
        if want(place["listeners"][0]["node"]):
            return guid


def binds(t, g, opened):
    a = open_client(g, ask=False)
    b = smb2.Conn(FORBIDDEN, g.port).negotiate([0x0302], guid=a.guid)
    b.login(bind=a.session, allow=(smb2.REQUEST_NOT_ACCEPTED,))
    check(t, g, a.guid, "bind_denied_address", "a bind at a denied address",
          where=line_of(g, "deny ="))
    b.close()
    c = open_client(g, ask=False)
    mine = explained(g, c.guid)["node"]
    d = smb2.Conn(HERE, g.port).negotiate([0x0302], guid=guid_for(g, lambda n: n != mine))
    m = d.login(bind=c.session, allow=(smb2.REQUEST_NOT_ACCEPTED,))
    t.same(m.status, smb2.REQUEST_NOT_ACCEPTED, "a bind on another node is refused")
    check(t, g, c.guid, "bind_other_node", "a bind on another node, whose session it is")
    x = check(t, g, d.guid, "bind_other_node", "a bind on another node, who asked for it")
    t.ok(x["refusals"][0]["user"].endswith("alice") and x["node"] != mine,
         "the refusal has its user", x)
    e = open_client(g, ask=False)
    f = smb2.Conn(ALSO, g.port).negotiate([0x0302], guid=e.guid)
    f.login(bind=e.session)
    check(t, g, e.guid, "on", "two channels")
    r = g.ctl_run("explain", name_of(e.guid)).stdout
    t.ok(r.split("\n")[0].startswith("multichannel is on: 2 channels"), "the first line says so",
         r)
    opened += [a, c, d, e, f]


def lacking(t, g, nodes, opened):
    """The node lacks it: the only one that takes clients."""
    g.reload(nodes=[(n, {"state": "drain"}) for n in nodes[:2]] + nodes[2:])
    opened.append(open_client(g, ask=False))
    check(t, g, opened[-1].guid, "node_no_multichannel", "the node lacks it")
    r = g.ctl_run("explain", name_of(opened[-1].guid)).stdout
    t.ok(r.startswith("multichannel is off: node n3 did not"), "the first line says so", r)
    g.reload(nodes=nodes[:2] + [(nodes[2], {"state": "drain"})])


def columns(t, g):
    """What is shown in a row is found."""
    seen = {}
    for s in g.sessions():
        seen.update(dict.fromkeys([s["session_id"], s["session_id"][2:].lstrip("0"),
                                   s["client_guid"], s["principal"], s["user"]]))
        for c in s["channels"]:
            seen.update(dict.fromkeys([c["client_address"], "conn:%d" % c["connection"]]))
    for x in g.clients():
        seen.update(dict.fromkeys([x["client"], x["node"]]))
        for c in x["connections_list"]:
            seen.update(dict.fromkeys([c["client_address"], "conn:%d" % c["id"],
                                       c["client_address"].rsplit(":", 1)[0]]))
    seen.pop(None, None)
    lost = [w for w in seen if not g.ask({"cmd": "explain", "who": w}).get("clients")]
    t.ok(len(seen) > 50 and not lost, "each of %d names in show sessions and show clients is found"
         % len(seen), lost)
    r = g.ctl_run("explain", "10.9.9.9")
    t.same((r.returncode, "Nobody" in r.stdout), (1, True), "nobody is found, with status 1")


def questions(t, g):
    """What policy does to an address, and what makes no sense."""
    x = g.ctl("explain", "--guid", name_of(b"\1" * 16))["guid"]["listeners"]
    t.same(([i["listener"] for i in x], {i["by"] for i in x}), (list(LISTENERS), {"hash"}),
           "--guid: at each listener")
    x = g.ctl("explain", "--address", FORBIDDEN, "--listener", "none")["address"]
    t.same((x["allowed"], x["where"], [(i["announced"], i["where"], i["told"])
                                       for i in x["listeners"]]),
           (False, line_of(g, "deny ="), [(False, line_of(g, 'address "%s"' % FORBIDDEN),
                                           [FORBIDDEN])]), "--address, of a denied one")
    x = g.ctl("explain", "--address", HERE)["address"]
    t.same((x["allowed"], [i["listener"] for i in x["listeners"] if i["announced"]]),
           (True, ["two", "slow", "rss"]), "--address, of one that is announced")
    for args in (["explain"], ["explain", "--listener", "lan", "alice"],
                 ["explain", "--guid", name_of(bytes(16)), "--address", HERE],
                 ["explain", "--address", HERE, "alice"], ["explain", "--guid", "x", "y"]):
        t.same(g.ctl_run(*args).returncode, 2, "a wrong command line: %s" % args)
    for args in (["--guid", "nonsense"], ["--address", "nonsense"],
                 ["--address", HERE, "--listener", "nobody"]):
        t.same(g.ctl_run("explain", *args).returncode, 1, "refused: %s" % args)


def refused(t, g):
    """What policy cut is explained when it is gone."""
    g.reload(unkeyed="refuse")
    for protect in ("sign", "seal"):
        c = smb2.Conn(HERE, g.port)
        c.negotiate([0x0302])
        s = c.login(sign=protect == "sign", seal=protect == "seal")
        try:
            c.tree(s, "data")
            t.ok(False, "unkeyed = refuse: cut")
        except smb2.Closed:
            pass
        c.close()
        x = tap.wait_for(lambda c=c: [x for x in asked(g, name_of(c.guid))
                                      if not x["addresses"]], 20)
        t.ok(x and x[0]["verdict"]["code"] == "unkeyed_refused" and x[0]["refusals"],
             "unkeyed = refuse, %s: it says so" % protect, x)
    r = g.ctl_run("explain", name_of(c.guid))
    t.ok(r.returncode == 0 and "unkeyed = pass in policy.conf" in r.stdout, "with what to do",
         r.stdout)


def crowd(t, g):
    """One of two hundred is found alone; some of these are gone, and one lingers."""
    g.reload(limits={"logon": "10m"})   # a slow machine takes its time to bring them all
    gone = open_client(g, ask=False)
    many = [smb2.Conn(HERE, g.port).negotiate([0x0302]) for _ in range(200)]
    gone.reset()        # its claim is kept for long
    for c in many[::4]:
        c.close()
    for c in many[1::50]:
        x, = asked(g, name_of(c.guid))
        t.same((x["client"], x["verdict"]["code"]), (name_of(c.guid), "not_asked"),
               "one of the crowd, before its logon")
    x = tap.wait_for(lambda: [x for x in asked(g, name_of(gone.guid))
                              if x["placed"]["linger_s"] > 0], 20)
    t.ok(x and x[0]["verdict"]["code"] == "not_asked" and x[0]["placed"]["by"] == "claim" and
         not x[0]["addresses"] and x[0]["last_address"] == "127.0.0.1", "one that lingers", x)
    for who in "127.0.0.1", "127.0.0.0/30":
        t.ok(name_of(gone.guid) in [y["client"] for y in asked(g, who)],
             "and is found by the address that it came from last: %s" % who)
    x = g.ask({"cmd": "explain", "address": "127.0.0.1", "listener": "lan"})
    t.ok(name_of(gone.guid) in [y["client"] for y in x["clients"]] and x["address"]["allowed"] and
         [y["listener"] for y in x["address"]["listeners"]] == ["lan"],
         "--address has it beside what policy does to that", x["address"])
    t.ok(name_of(gone.guid) not in [y["client"] for y in asked(g, "127.0.0.2")],
         "but not by another one")
    for c in many:
        c.close()
    old = smb2.Conn(HERE, g.port)
    old.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
    end = "%s:%d" % old.sock.getsockname()[:2]
    x = tap.wait_for(lambda: asked(g, end) if
                     g.closes().get("smb1_refused") else None, 20)
    t.ok(x and x[0]["verdict"]["code"] == "smb1", "SMB1, and refused", x)
    old.close()


with tap.Test(deadline=300) as test:
    real = node.cluster(test, 2)
    real.append(node.Node(real[0].lab, "n3", "127.0.0.13", multichannel=False).start())
    ports = {x: "0.0.0.0:%d" % node.free_port("0.0.0.0") for x in LISTENERS}
    gated = gate.Gate(test, real[:2] + [(real[2], {"state": "drain"})], listen=ports,
                      interfaces=INTERFACES, deny=[FORBIDDEN] + NODES).start()
    clients = []
    ends(test, gated, clients)
    opaque(test, gated, clients, "no keytab", "no_keytab")
    binds(test, gated, clients)
    lacking(test, gated, real, clients)
    columns(test, gated)
    questions(test, gated)
    for one in clients:
        one.close()
    crowd(test, gated)
    refused(test, gated)
    gated.stop()
    keytab = ad.write_keytab(node.tempdir(test) + "/keytab", [
        ad.Entry("alice@LAB.EXAMPLE", 1, ad.RC4, ad.nt_hash("Alice-pw-1"))])
    gated = gate.Gate(test, real[:1], keytab=keytab, name="keyed").start()
    opaque(test, gated, clients, "no hash", "no_user_hash", user="bob", password="Bob-pw-2")
    gmac(test, gated, clients)
