# csource.py: C sources as the checks of the tree read them: code, comments, functions
"""What layers.t has no use for: it reads includes only."""

import bisect
import os
import re
import sys
from collections import namedtuple

from rooms import ROOMS, ROOT

# name, the line of its opening brace, the lines between its braces, whether it is static.
Function = namedtuple("Function", "name line length static")

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(tops, ends=(".c", ".h"), root=ROOT):
    """Paths from the root of all files in these folders whose names end so."""
    for top in tops:
        for where, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = sorted(d for d in dirs if not d.startswith((".", "__")))
            for name in sorted(names):
                if name.endswith(ends):
                    yield os.path.relpath(os.path.join(where, name), root)


def read(path, root=ROOT):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def rooms_read():
    """path -> text of every source of the rooms."""
    return {path: read(path) for path in files(ROOMS)}


def split(text):
    """(code, comments, strings): code has blanks for the others, lists of (line, text)."""
    comments, strings = [], []
    starts = [i for i, c in enumerate(text) if c == "\n"]

    def blank(m):
        token = m[0]
        line = bisect.bisect_left(starts, m.start()) + 1
        if token.startswith("/"):
            comments.extend((line + i, s) for i, s in enumerate(token.split("\n")))
        else:
            strings.append((line, token[1:-1]))
        return re.sub(r"[^\n]", " ", token)

    code = TOKEN.sub(blank, text)
    return code, comments, strings


def head_name(head):
    """The name of the function whose head this is: `name(` begins a line, or is the first one."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head, flags=re.DOTALL)
    m = re.search(r"^\w+(?=\()", head, re.MULTILINE) or re.search(r"\b\w+(?=\()", head)
    return m[0] if m else None


def functions(code):
    """Every function that is defined in code (which split() has cleaned)."""
    out, lines = [], code.split("\n")
    for i, line in enumerate(lines):
        head = None
        if line.rstrip() == "{":
            # Ours: the return type, the name and the brace, each on a line of its own.
            top = i
            while top > 0 and re.match(r"\s*[^\s#}].*[^;}\s]\s*$|\w+$", lines[top - 1]):
                top -= 1
            head = "\n".join(lines[top:i])
        elif re.match(r"[A-Za-z_][^={]*\)\s*\{", line) and not line.startswith("typedef"):
            head = line
        name = head_name(head) if head else None
        if name is None:
            continue
        end = i
        if not line.rstrip().endswith("}"):
            while end < len(lines) and not lines[end].startswith("}"):
                end += 1
        out.append(Function(name, i + 1, max(end - i - 1, 0), bool(re.search(r"\bstatic\b", head))))
    return out


def report(tests):
    """Prints [(name, what is wrong)] as TAP, and says how the program has to exit."""
    print("1..%d" % len(tests))
    for i, (name, bad) in enumerate(tests, 1):
        print("%sok %d - %s" % ("not " if bad else "", i, name))
        for line in bad:
            print("# %s" % line)
    sys.stdout.flush()
    return 1 if any(bad for _, bad in tests) else 0
