#!/usr/bin/python3
# circles.t: no circle of includes between files, where a .c file and its headers are one
import os
import re
import shutil
import sys
import tempfile

from rooms import ROOMS, ROOT

# A room that has circles still, each by its files.
KNOWN = [
    {"daemon/ctl", "daemon/gate"},
    {"inspect/classify", "inspect/mediate", "inspect/query", "inspect/setup", "inspect/sharing",
     "inspect/smb1", "inspect/view"},
]

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]*)"', re.M)


def unit(path):
    """conn.c, conn.h -> conn; stage.tbl.h -> stage."""
    return re.sub(r"(\.tbl)?\.[ch]$", "", path)


def graph(root):
    """{unit: the units that it includes}, of all rooms."""
    out = {}
    for room in ROOMS:
        for where, dirs, names in os.walk(os.path.join(root, room)):
            dirs.sort()
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(where, name)
                of = unit(os.path.relpath(path, root))
                with open(path, encoding="utf-8") as f:
                    found = {unit(inc) for inc in INCLUDE.findall(f.read()) if "/" in inc}
                out.setdefault(of, set()).update(found - {of})
    return out


def circles(edges):
    """Sets of units that include each other, directly or by others: Tarjan's components."""
    order, low, stack, out = {}, {}, [], []

    def visit(v):
        order[v] = low[v] = len(order)
        stack.append(v)
        for w in sorted(edges.get(v, ())):
            if w not in order:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], order[w])
        if low[v] == order[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                out.append(set(stack[at:]))
            del stack[at:]

    for v in sorted(edges):
        if v not in order:
            visit(v)
    return out


def planted():
    """What is found once leg.h includes conn.h."""
    with tempfile.TemporaryDirectory() as tmp:
        for room in ROOMS:
            shutil.copytree(os.path.join(ROOT, room), os.path.join(tmp, room))
        with open(os.path.join(tmp, "proxy/leg.h"), "a", encoding="utf-8") as f:
            f.write('#include "proxy/conn.h"\n')
        return circles(graph(tmp))


new = [c for c in circles(graph(ROOT)) if not any(c <= known for known in KNOWN)]
for c in new:
    print("# each includes another one of these: " + " ".join(sorted(c)))
print("%s 1 - no circle of files" % ("not ok" if new else "ok"))
red = any({"proxy/leg", "proxy/conn"} <= c for c in planted())
print("%s 2 - a planted circle is found" % ("ok" if red else "not ok"))
print("1..2")
sys.exit(bool(new) or not red)
