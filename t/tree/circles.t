#!/usr/bin/python3
# circles.t: dev/include-graph finds no arrow that goes up, and no circle without a reason
import os
import subprocess
import sys
import tempfile

from csource import report
from rooms import ROOT

SCRIPT = os.path.join(ROOT, "dev", "include-graph")

# Two files in a circle of calls, whose includes form none: a header declares for both.
CALLS = {"base/circ.h": "void circ_a(void);\nvoid circ_b(void);\n",
         "base/circa.c": '#include "base/circ.h"\n\nvoid\ncirc_a(void)\n{\n\tcirc_b();\n}\n',
         "base/circb.c": '#include "base/circ.h"\n\nvoid\ncirc_b(void)\n{\n\tcirc_a();\n}\n'}
NO_CALLS = {**CALLS, "base/circb.c": CALLS["base/circb.c"].replace("circ_a()", "x->circ_a()")}
LOG_ADDR = {"base/log.c": '#include "base/addr.h"\n', "base/addr.c": '#include "base/log.h"\n'}
STAYS = "Circles that stay: base/addr-log\n(an address is printed).\n\nMore.\n"

# (name, file -> what is added to it, what is said, is it an error?)
PLANTS = [
    ("an arrow that goes up", {"base/log.c": '#include "smb/const.h"\n'},
     "up: base/log.c includes smb/const.h", True),
    ("an arrow to a room at its side", {"policy/acl.c": '#include "state/state.h"\n'},
     "up: policy/acl.c includes state/state.h", True),
    ("an arrow to the program with the keytab", {"daemon/gate.c": '#include "keyd/answer.h"\n'},
     "up: daemon/gate.c includes keyd/answer.h", True),
    ("two files in a circle", LOG_ADDR, "circle: base/addr-log", True),
    ("a .c that closes the circle of three",
     {"base/rd.c": '#include "base/wr.h"\n', "base/wr.c": '#include "base/addr.h"\n',
      "base/addr.c": '#include "base/rd.h"\n'}, "circle: base/addr-rd-wr", True),
    ("two headers in a circle",
     {"base/log.h": '#include "base/addr.h"\n', "base/addr.h": '#include "base/log.h"\n'},
     "circle of headers: base/addr.h-log.h", True),
    ("a header that includes itself", {"base/log.h": '#include "base/log.h"\n'},
     "circle of headers: base/log.h", True),
    ("a circle of two rooms", {"smb/nbss.c": '#include "stats/stats.h"\n',
                               "stats/stats.c": '#include "smb/nbss.h"\n'},
     "circle: smb/nbss-stats/stats", True),
    ("two files that call each other", CALLS, "circle of calls: base/circa-circb", True),
    ("a member of a structure is no call", NO_CALLS, "", False),
    ("a circle that has a reason", {**LOG_ADDR, "doc/ARCHITECTURE.md": STAYS},
     "circle: base/addr-log stays: an address is printed", False),
    ("another circle has the reason",
     {**LOG_ADDR, "doc/ARCHITECTURE.md": STAYS.replace("log", "wr")},
     "circle: base/addr-log", True),
    ("a reason for no circle", {"doc/ARCHITECTURE.md": STAYS},
     "no circle: base/addr-log, which doc/ARCHITECTURE.md names", True),
    ("a circle that is named without a reason",
     {**LOG_ADDR, "doc/ARCHITECTURE.md": "Circles that stay: base/addr-log.\n"},
     "circle: base/addr-log", True),
]


def run(*args):
    r = subprocess.run([sys.executable, SCRIPT, *args], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return r.returncode, r.stdout.splitlines()


def small():
    """A tree that is right: path -> text."""
    tree = {"base/%s.%s" % (name, end): "" for name in ("addr", "log", "rd", "wr") for end in "ch"}
    tree.update({"smb/const.h": "", "smb/nbss.c": '#include "base/rd.h"\n', "smb/nbss.h": "",
                 "stats/stats.c": "", "stats/stats.h": "", "policy/acl.c": "", "state/state.h": "",
                 "daemon/gate.c": "", "keyd/answer.h": ""})
    return tree


def planted(tree, added):
    """What is said of a tree to which this is added."""
    with tempfile.TemporaryDirectory() as root:
        for path in {**tree, **added}:
            where = os.path.join(root, path)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            with open(where, "w", encoding="utf-8") as f:
                f.write(tree.get(path, "") + added.get(path, ""))
        return run("--root", root)


def main():
    status, lines = run()
    wrong = [line for line in lines
             if line.startswith(("up:", "circle", "no circle")) and " stays: " not in line]
    out = [("no arrow goes up, and no circle is without a reason",
            wrong or ([] if status == 0 else ["exit status %d" % status] + lines))]
    tree = small()
    status, lines = planted(tree, {})
    out.append(("the tree to plant in is right", lines if status else []))
    for name, added, said, error in PLANTS:
        status, lines = planted(tree, added)
        good = status == (1 if error else 0) and (said in lines or not said)
        out.append(("planted and %s: %s" % ("found" if error else "let be", name),
                    [] if good else ["exit status %d" % status] + lines))
    status, lines = run("--dot")
    # In front of it, if this is where the build is, what stays for a reason: on standard error.
    good = "digraph includes {" in lines and any('"smb" -> "base"' in line for line in lines)
    out.append(("graphviz' form", [] if good else lines))
    return report(out)


if __name__ == "__main__":
    sys.exit(main())
