#!/usr/bin/python3
# headers.t: every header compiles on its own, and twice, with each compiler that is there
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from rooms import ROOMS, ROOT

BUILD = os.path.abspath(os.environ.get("SMBGATE_BUILD", "."))
LIBRARIES = ["libevent_core", "libcrypto", "libconfuse", "jansson"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wmissing-prototypes", "-Wstrict-prototypes", "-Wundef"]


def headers():
    """Every header but the X-macro tables, which mean something only where they are expanded."""
    for room in [*ROOMS, "t"]:
        for where, dirs, names in os.walk(os.path.join(ROOT, room)):
            dirs.sort()
            for name in sorted(names):
                if name.endswith(".h") and not name.endswith(".tbl.h"):
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def library_flags():
    try:
        return subprocess.run(["pkg-config", "--cflags"] + LIBRARIES, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def check(compilers, flags, header, root=ROOT):
    """What the compilers have against it: a list of lines, empty when it is good."""
    said = []
    for cc in compilers:
        text = '#include "%s"\n#include "%s"\n' % (header, header)
        r = subprocess.run(
            [cc, "-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c"] + WARNINGS + flags +
            ["-I", root, "-I", BUILD, "-"],
            input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode != 0:
            said += ["%s:" % cc] + r.stdout.splitlines()[:12]
    return said


PLANTS = [
    ("a header that needs another one before it", "#ifndef X_H\n#define X_H\nuint32_t f(void);\n#endif\n"),
    ("a header without a guard", "struct x {\n\tint i;\n};\n"),
]


def planted(cc, text):
    """Does the check fail for a header of this text?"""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "x.h"), "w", encoding="utf-8") as f:
            f.write(text)
        return bool(check([cc], [], "x.h", d))


def main():
    if not os.path.exists(os.path.join(BUILD, "config.h")):
        print("1..0 # SKIP no config.h in %s: set SMBGATE_BUILD to a build" % BUILD)
        return 0
    compilers = [cc for cc in ("gcc", "clang") if shutil.which(cc)]
    if not compilers:
        print("1..0 # SKIP neither gcc nor clang")
        return 0
    flags = library_flags()
    todo = list(headers())
    print("1..%d" % (len(todo) + len(PLANTS)))
    failed = False
    for i, (what, text) in enumerate(PLANTS, 1):
        good = all(planted(cc, text) for cc in compilers)
        print("%sok %d - planted and found: %s" % ("" if good else "not ", i, what))
        failed |= not good
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda h: check(compilers, flags, h), todo)
        for i, (header, said) in enumerate(zip(todo, results), 1 + len(PLANTS)):
            print("%sok %d - %s (%s)" % ("not " if said else "", i, header, ", ".join(compilers)))
            for line in said:
                print("# " + line)
            failed |= bool(said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
