#!/usr/bin/python3
# filemap.t: doc/ARCHITECTURE.md names every source file once, with its purpose; --write does it
import os
import re
import sys

from csource import report
from rooms import ROOMS, ROOT

PAGE = os.path.join(ROOT, "doc", "ARCHITECTURE.md")
START = "<!-- files: kept by t/tree/filemap.t --write -->"
END = "<!-- end of files -->"
# One page, and the table of the files: what does not fit is said in the sources.
LINES_MAX = 70


def files():
    """room -> [(path, name in the table, purpose)], and what is wrong with first lines."""
    rooms, wrong = {}, []
    for room in ROOMS:
        found = {}
        for where, dirs, names in os.walk(os.path.join(ROOT, room)):
            dirs.sort()
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.relpath(os.path.join(where, name), ROOT)
                with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                    first = f.readline().rstrip("\n")
                m = re.fullmatch(r"/\* (\S+): (.*\S) \*/", first)
                if m is None or m[1] != name:
                    wrong.append("%s:1: not /* %s: purpose */" % (path, name))
                    continue
                found[path] = m[2]
        rooms[room] = found
    return rooms, wrong


def rows(found, room):
    """[(name in the table, purpose)] of a room: foo.c and foo.h of one purpose share a row."""
    out = []
    for path in sorted(found):
        name, text = path[len(room) + 1:], found[path]
        stem = name[:-2]
        other = "%s/%s.%s" % (room, stem, "h" if name.endswith(".c") else "c")
        if found.get(other) == text:
            if name.endswith(".h"):
                continue
            name = stem + ".[ch]"
        out.append((name, text))
    return out


def table(rooms):
    lines = ["| file | purpose |", "|---|---|"]
    for room in ROOMS:
        for name, text in rows(rooms[room], room):
            lines.append("| `%s/%s` | %s |" % (room, name, text.replace("|", "\\|")))
    return lines


def split(text):
    """Lines before, between and after the markers."""
    lines = text.split("\n")
    if lines.count(START) != 1 or lines.count(END) != 1 or lines.index(START) > lines.index(END):
        return None
    a, b = lines.index(START), lines.index(END)
    return lines[:a + 1], lines[a + 1:b], lines[b:]


def stale_names(lines):
    """Files and rooms that the prose names in `backquotes` and that are not there."""
    out = []
    for line in lines:
        for word in re.findall(r"`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*)`|"
                               r"([a-z0-9]+/[a-z0-9]+\.[ch])\b", line):
            name = word[0] or word[1]
            if not os.path.exists(os.path.join(ROOT, name)):
                out.append(name)
    return out


def main():
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    parts = split(text)
    rooms, wrong = files()
    if "--write" in sys.argv[1:]:
        if parts is None or wrong:
            print("\n".join(wrong) or "the markers are not in " + PAGE, file=sys.stderr)
            return 1
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write("\n".join(parts[0] + table(rooms) + parts[2]))
        return 0

    tests = [("every source file begins with its name and purpose", wrong),
             ("the page has its markers", [] if parts else [START, END])]
    if parts:
        want = table(rooms)
        tests.append(("nothing is missing in the table", [r for r in want if r not in parts[1]]))
        tests.append(("nothing in the table is stale", [r for r in parts[1] if r not in want]))
        tests.append(("the table is in order, each row once",
                      [] if parts[1] == want else ["run t/tree/filemap.t --write"]))
        tests.append(("the prose names only files that exist",
                      stale_names(parts[0] + parts[2])))
        n = len(parts[0] + parts[2])
        tests.append(("without the table it is still one page", [] if n <= LINES_MAX else
                      ["%d lines, more than %d" % (n, LINES_MAX)]))
    return report(tests)


if __name__ == "__main__":
    sys.exit(main())
