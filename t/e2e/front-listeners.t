#!/usr/bin/python3
# front-listeners.t: what policy says of one listener holds for its clients, and for no others
import subprocess
import threading

import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if not why:
    try:
        import smb1
    except ImportError as e:
        why = "no impacket: %s" % e
if why:
    tap.skip_all(why)

OLD, NEW = "127.0.2.1", "127.0.2.2"
POOL = "127.0.2.77"
NTLM_BLOCKED, NOT_SUPPORTED = 0xC0000418, 0xC00000BB
CROWD = 24

SECTIONS = """
listener "old" { smb1 = allow vc-reset = address %s }
listener "new" { ntlm = refuse min-dialect = "3.0.2" source = pool }
source-pool = { "%s" }
"""


def outcome(addr, port, dialect):
    """What a client of that dialect gets; 1: SMB1."""
    try:
        if dialect == 1:
            smb1.Client(addr, port, vc=1, port_name="NAS").login().close()
            return "in"
        with smb2.Conn(addr, port) as c:
            c.negotiate([dialect])
            c.tree(c.login(), "IPC$")
        return "in"
    except smb2.Status as e:
        return e.status
    except (smb2.Closed, ConnectionError):
        return "closed"
    # impacket has an exception of its own for each way to be turned away
    except Exception as e:  # pylint: disable=broad-exception-caught
        return "closed" if dialect == 1 else repr(e)


def seen(n):
    """The addresses that the node has connections from."""
    out = subprocess.run(["ss", "-tnH", "state", "established", "src", n.addr, "sport", "=",
                          ":%d" % n.port], text=True, check=True, stdout=subprocess.PIPE).stdout
    return {line.split()[3].rsplit(":", 1)[0] for line in out.splitlines()}


def crowd(t, g, want):
    """Clients of every kind at once: each gets what its listener says."""
    ports = {OLD: g.ports["old"], NEW: g.ports["new"]}
    kinds = [(a, d) for a in (OLD, NEW) for d in (1, 0x0202, 0x0311)]
    got = [None] * CROWD

    def one(i):
        a, d = kinds[i % len(kinds)]
        got[i] = outcome(a, ports[a], d)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(CROWD)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    wrong = [(kinds[i % len(kinds)], got[i]) for i in range(CROWD)
             if got[i] != want[kinds[i % len(kinds)]]]
    t.same(wrong, [], "%d clients at once, of three dialects on two listeners: each its own rules"
           % CROWD)


def vc_reset(t, g, listener, addr, ends):
    """A client that was there before the one with VcNumber 0, which comes by that listener."""
    with smb2.Conn(OLD, g.ports["old"]) as c:
        c.negotiate([0x0311])
        c.login()
        x = smb1.Client(addr, g.ports[listener], vc=0, port_name="NAS").login()
        try:
            if ends:
                tap.wait_for(lambda: not c.is_open(), 20, message="it is still there")
                t.ok(True, "VcNumber 0 by %s ends older connections" % listener)
            else:
                t.ok(c.is_open(), "VcNumber 0 by %s ends nobody's connection" % listener)
        finally:
            x.close()


def text(nodes, sections):
    return gate.policy_text(nodes, health=gate.FAST) + sections


def rules(t, n, g):
    want = {(OLD, 1): "in", (OLD, 0x0202): "in", (OLD, 0x0311): "in", (NEW, 1): "closed",
            (NEW, 0x0202): NOT_SUPPORTED, (NEW, 0x0311): NTLM_BLOCKED}
    for (addr, d), w in want.items():
        port = g.ports["old" if addr == OLD else "new"]
        t.same(outcome(n.addr, n.port, d), "in", "direct, dialect %#x" % d)
        t.same(outcome(addr, port, d), w, "%s, dialect %#x" % (addr, d))
    crowd(t, g, want)


def shown(t, g):
    have = {x["name"]: x for x in g.ctl("show", "policy")["policy"]["listeners"]}
    t.same({k: (v["smb1"], v["vc_reset"], v["ntlm"], v["source"], v["min_dialect"], v["intercept"])
            for k, v in have.items()},
           {"old": ("allow", "address", "allow", "own", "2.0.2", False),
            "new": ("refuse", "off", "refuse", "pool", "3.0.2", False),
            "other": ("refuse", "off", "allow", "own", "2.0.2", False)},
           "show policy has every listener, and what holds for it")
    out = g.ctl_run("show", "policy").stdout
    t.ok('listener "new" {\n\tsmb1 = refuse\n\tsource = pool\n' in out, "and so in words", out)


def main(t):
    lab = node.Lab(t)
    n = node.Node(lab, "n1", "127.0.2.11", minproto="NT1").start()
    ports = {k: node.free_port("127.0.2.1") for k in ("old", "new", "other")}
    g = gate.Gate(t, [n], listen={k: "%s:%d" % (NEW if k == "new" else OLD, p)
                                  for k, p in ports.items()})
    g.ports = ports
    g.write_policy(text=text([n], SECTIONS % ("", POOL)))
    g.start()
    rc, out = g.check()
    warned = [x for x in out.splitlines() if "warning" in x and "section interfaces" not in x]
    t.ok(rc == 0 and not warned and 'listener "old" {\n\tsmb1 = allow\n\tsource = own\n'
         in out, "smbgate -t: good, and what holds for the listeners", out)
    rules(t, n, g)
    shown(t, g)

    tap.wait_for(lambda: not seen(n) - {"127.0.0.1"}, 20, message="others are there")
    # Nobody gets in by "new": that the node is asked from the pool shows before the logon.
    with smb2.Conn(NEW, g.ports["new"]) as c:
        c.negotiate([0x0311])
        t.ok(POOL in seen(n), "source = pool, by new: the node sees the pool's address", seen(n))
    with smb2.Conn(OLD, g.ports["old"]) as c:
        c.negotiate([0x0311])
        tap.wait_for(lambda: POOL not in seen(n), 20, message="the pool's connection stays")
        t.ok(POOL not in seen(n), "by old it does not")

    vc_reset(t, g, "old", OLD, True)
    g.reload(text=text([n], "smb1 = allow\n" + SECTIONS % ("", POOL)))
    vc_reset(t, g, "other", OLD, False)

    with smb2.Conn(OLD, g.ports["old"]) as c:
        c.negotiate([0x0202])
        s = c.login()
        g.reload(text=text([n], SECTIONS.replace("smb1 = allow", "") % ("ntlm = refuse", POOL)))
        t.same((outcome(OLD, g.ports["old"], 1), outcome(OLD, g.ports["old"], 0x0202)),
               ("closed", NTLM_BLOCKED), "a reload changes the rules of one listener")
        c.tree(s, "IPC$")
        t.ok(c.is_open(), "who is in stays")
    t.ok("listener old: smb1 allow -> refuse" in g.log() and
         "listener old: ntlm allow -> refuse" in g.log(), "and is logged, setting by setting",
         g.log()[-1000:])

    g.write_policy(text=text([n], 'listener "nobody" { smb1 = allow }\n'))
    rc, out = g.check()
    t.ok(rc == 0 and 'listener "nobody": there is no listener of that name' in out,
         "smbgate -t: a listener that does not exist is a warning", out)
    g.write_policy(text=text([n], 'listener "new" {\nsource = pool\n}\n'))
    rc, out = g.check()
    t.ok(rc == 1 and "source = pool needs a source-pool" in out,
         "smbgate -t: a pool without addresses is an error", out)


with tap.Test(deadline=90) as test:
    main(test)
