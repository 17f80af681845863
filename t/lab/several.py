# several.py: several smbgates in front of the same nodes, with a Redis in common
import json
import os
import time

import gate
import smb2
import tap

SECRET = b"a cluster secret of the lab's own\n"


def state_text(servers, **kw):
    """A state section.  kw: sentinel, user, password_file, timeout."""
    out = 'state "redis" {\n\tservers = %s\n' % gate.names(servers)
    for k, v in kw.items():
        if v is not None:
            out += '\t%s = "%s"\n' % (k.replace("_", "-"), v)
    return out + "}\n"


def proxy(t, nodes, servers, name="gate", secret=SECRET, state=None, start=True, **kw):
    """One smbgate of a cluster."""
    conf = state_text(servers, **(state or {}))
    if secret:
        conf += 'cluster-secret = "cluster.secret"\n'
    g = gate.Gate(t, nodes, conf=conf + kw.pop("conf", ""), name=name, **kw)
    if secret:
        with open(g.dir + "/cluster.secret", "wb") as f:
            f.write(secret)
        os.chmod(g.dir + "/cluster.secret", 0o600)
    return g.start() if start else g


def state(g):
    return g.show("state")["state"]


def connected(g):
    s = state(g)
    return s["connected"] and s["listening"] and not s["degraded"]


def healed(*gates, seconds=60):
    """Until every worker of all of them reaches Redis."""
    tap.wait_for(lambda: all(connected(g) for g in gates), seconds,
                 message=lambda: "Redis is out of reach: %s" % "\n".join(
                     json.dumps(state(g)) for g in gates))


def settled(*gates, seconds=60):
    """Until what was said to one of them has been said to Redis."""
    healed(*gates, seconds=seconds)


def pair(t, nodes, servers, n=2, **kw):
    out = [proxy(t, nodes, servers, "gate%d" % (i + 1), **kw) for i in range(n)]
    healed(*out)
    return out


def which(c):
    return c.server_guid.rstrip(b"\0").decode()


def opened(g, guid, **kw):
    return smb2.Conn("127.0.0.1", g.port, **kw).negotiate(guid=guid)


def prefix(r):
    """Of the keys in a Redis with one cluster."""
    for k in r.do("KEYS", "smbgate:{map}:*:*"):
        return b":".join(k.split(b":")[:3]) + b":"
    return None


def ripe(g):
    """Is Redis' data older than the time in which what is not known is placed by the hash?"""
    s = state(g)
    return bool(s["epoch"]) and time.time() * 1000 - s["epoch"] > 3500
