# model.py: the interface-list rules a second time, to compare smbgate with
"""Written from the description of policy.conf, with ipaddress; shares nothing with the C code."""

import ipaddress
import re

DEFAULT_SPEED = 10 ** 9


def fold(text):
    """An address, IPv4-mapped IPv6 folded into IPv4."""
    a = ipaddress.ip_address(text)
    if a.version == 6 and a.ipv4_mapped:
        return a.ipv4_mapped
    return a


def prefix(text):
    """(network address as int, length, version), folded."""
    addr, _, length = text.partition("/")
    a = ipaddress.ip_address(addr)
    bits = int(length) if length else a.max_prefixlen
    if a.version == 6 and a.ipv4_mapped and bits >= 96:
        a, bits = a.ipv4_mapped, bits - 96
    return ipaddress.ip_network("%s/%d" % (a, bits), strict=False)


def public_addresses(text):
    """The addresses of a CTDB public_addresses file: each is denied, not its network."""
    out = []
    for line in text.splitlines():
        line = line.split("#")[0].split()
        if line:
            out.append(line[0].partition("/")[0])
    return out


class Acl:
    def __init__(self, allow=None, deny=None, denied=()):
        self.rules = [(prefix(a), True) for a in allow or ()] \
            + [(prefix(d), False) for d in deny or ()] + [(prefix(d), False) for d in denied]

    def allows(self, text):
        a = fold(text)
        hits = [(net.prefixlen, not ok) for net, ok in self.rules
                if net.version == a.version and a in net]
        if hits:
            return not max(hits)[1]     # the longest; deny (True) wins among equals
        return not any(ok for _, ok in self.rules)


def unspeakable(text):
    a = fold(text)
    return a.is_link_local or a.is_unspecified


def speed(text):
    n, unit = re.fullmatch(r"(\d+)([KMGT]?)", str(text)).groups()
    return int(n) * {"": 1, "K": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9, "T": 10 ** 12}[unit]


def configured(items):
    """The interfaces list of the policy as (ip, speed, caps, index or None)."""
    return [(str(fold(a)), speed(o.get("speed", DEFAULT_SPEED)), 1 if o.get("rss") else 0,
             o.get("ifindex")) for a, o in items]


def told(acl, section, dialled, nodes):
    """What a client is told.  section: {"mode", "list"} or None; nodes: the node's list as
    (ip, speed, caps, index).  The answer is such a list; index None = any."""
    section = section or {}
    mode = section.get("mode", "announce")
    own = configured(section.get("list", ()))
    nodes = [(str(fold(n[0])),) + tuple(n[1:]) for n in nodes]
    dialled = str(fold(dialled))
    if mode == "pass":
        return nodes
    known = [e for e in own if e[0] == dialled]
    if mode == "filter" and not known:
        known = [e for e in nodes if e[0] == dialled]
    one = known[0] if known else (dialled, DEFAULT_SPEED, 0, None)
    if not acl.allows(dialled):
        return [one]
    source = nodes if mode == "filter" else own or [(dialled, DEFAULT_SPEED, 0, None)]
    return [e for e in source if acl.allows(e[0]) and not unspeakable(e[0])]


def wanted(got, want):
    """Whether the parsed list is the wanted one; an index of None may be any, but of its own."""
    if [e.key()[:3] for e in got] != [(str(fold(w[0])),) + tuple(w[1:3]) for w in want]:
        return False
    given = [w[3] for w in want]
    if any(g is not None and e.index != g for e, g in zip(got, given)):
        return False
    free = [e.index for e, g in zip(got, given) if g is None]
    return len(set(free)) == len(free) and not set(free) & {g for g in given if g is not None}
