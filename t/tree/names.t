#!/usr/bin/python3
# names.t: a function that is named in a backtrace is one function
import sys

from csource import Function, functions, report, rooms_read, split
from rooms import ROOMS

# So short a function may share its name: what it is called from tells which one it is.
TINY = 8

# A backtrace is of one program, and so is a name.
PROGRAMS = {
    "smbgate": [r for r in ROOMS if r not in ("keyd", "ctl")],
    "smbgate-keyd": ["keyd", "auth", "smb", "base"],
    "smbgatectl": ["ctl", "policy", "base"],
}


def ambiguous(found):
    """Functions that share their name with one of another file, of {path: [Function]}."""
    bad = {}
    for rooms in PROGRAMS.values():
        names = {}
        for path in found:
            for f in found[path]:
                if path.split("/")[0] in rooms:
                    names.setdefault(f.name, {})[path] = f
        for name, where in names.items():
            for path, f in where.items():
                if len(where) > 1 and f.length > TINY:
                    others = bad.setdefault((path, f.line, name, f.length), set())
                    others.update(set(where) - {path})
    return ["%s:%d: %s() has %d lines, and there is one in %s" % (*f, ", ".join(sorted(bad[f])))
            for f in sorted(bad)]


def made(length, static=True):
    return Function("answer", 1, length, static)


# (name, the functions, is it to be found?)
PLANTS = [
    ("two static functions of one name", {"proxy/a.c": [made(9)], "inspect/b.c": [made(30)]}, True),
    ("a long one and a tiny one", {"proxy/a.c": [made(9)], "proxy/b.c": [made(1)]}, True),
    ("a static and a public one", {"proxy/a.c": [made(9)], "proxy/b.c": [made(9, False)]}, True),
    ("one of smbgate-keyd and one that it links",
     {"keyd/a.c": [made(9)], "auth/b.c": [made(9)]}, True),
    ("two tiny ones", {"proxy/a.c": [made(8)], "inspect/b.c": [made(8)]}, False),
    ("one of smbgate and one of smbgatectl",
     {"proxy/a.c": [made(9)], "ctl/b.c": [made(9)]}, False),
    ("one of smbgate-keyd and one of smbgate",
     {"keyd/a.c": [made(9)], "daemon/b.c": [made(9)]}, False),
]


def main():
    found = {path: functions(split(text)[0]) for path, text in rooms_read().items()}
    n = sum(len(f) for f in found.values())
    out = [("functions were found (%d)" % n, [] if n > 500 else ["so few"]),
           ("functions of more than %d lines have names of their own" % TINY, ambiguous(found))]
    for name, plant, wanted in PLANTS:
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", name),
                    [] if bool(ambiguous(plant)) == wanted else ["not so"]))
    return report(out)


if __name__ == "__main__":
    sys.exit(main())
