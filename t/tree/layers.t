#!/usr/bin/python3
# layers.t: every include goes down the layers, and each library is used by its own rooms only
import os
import re
import shutil
import sys
import tempfile

from rooms import ROOMS, ROOT

# Headers of libraries, and the files that may include them: rooms end in "/".
LIBRARIES = [
    (r"event2/|event\.h$", ["daemon/", "proxy/", "nodes/health.c", "auth/keyc.c", "state/keeper.c", "state/link.c",
                             "state/redis.c"]),
    (r"openssl/", ["auth/", "keyd/"]),
    (r"confuse\.h$", ["policy/"]),
    (r"jansson\.h$", ["daemon/json.h", "daemon/report.h", "ctl/"]),
    (r"ut(hash|list|array|string)\.h$", ["state/", "inspect/session.c", "proxy/limits.c",
                                         "auth/keyc.c", "keyd/exchange.c"]),
    (r"systemd/", ["daemon/main.c"]),
    (r"krb5|gssapi|profile\.h$", ["keyd/krb5.c"]),
    (r"seccomp\.h$", ["keyd/sandbox.c"]),
    (r"hiredis", ["state/link.c", "state/reply.c"]),
    (r"sys/capability\.h$", ["daemon/privs.c"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')


def sources(root):
    """Every .c and .h of the rooms, as paths from the root."""
    for room in sorted(ROOMS):
        for where, dirs, names in os.walk(os.path.join(root, room)):
            dirs[:] = sorted(d for d in dirs if not d.startswith("."))
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(where, name), root)


def own_wrong(root, path, inc):
    """What is wrong with #include "inc" in path, or None."""
    room, target = path.split("/")[0], inc.split("/")[0]
    if inc == "config.h":
        return None if path.endswith(".c") else "config.h is for .c files"
    if "/" not in inc or ".." in inc.split("/") or target not in ROOMS:
        return '"%s" is not written from the root' % inc
    if not os.path.isfile(os.path.join(root, inc)):
        return '"%s" does not exist' % inc
    if target != room and target not in ROOMS[room]:
        return "%s/ may not include %s/ (%s)" % (room, target, inc)
    return None


def library_wrong(path, inc):
    """What is wrong with #include <inc> in path, or None."""
    if inc.split("/")[0] in ROOMS:
        return "<%s> is a header of ours: write it in quotes" % inc
    for pattern, allowed in LIBRARIES:
        if re.match(pattern, inc) and not any(
                path.startswith(a) if a.endswith("/") else path == a for a in allowed):
            return "<%s> belongs to %s" % (inc, ", ".join(allowed) or "nobody yet")
    return None


def violations(root):
    """(path, line, text) of everything that is wrong in a tree."""
    bad = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as f:
            lines = f.read().split("\n")
        for number, line in enumerate(lines, 1):
            m = INCLUDE.match(line)
            if m is None:
                if re.match(r"\s*#\s*include\b", line):
                    bad.append((path, number, "an include that cannot be followed: " + line))
                continue
            why = own_wrong(root, path, m[1]) if m[1] is not None else library_wrong(path, m[2])
            if why:
                bad.append((path, number, why))
    return bad


# One violation of each kind: the file that gets the line, the line, what must be said of it.
PLANTS = [
    ("base/log.c", '#include "smb/const.h"', "base/ may not include smb/"),
    ("base/addr.h", '#include "policy/acl.h"', "base/ may not include policy/"),
    ("smb/hdr2.c", '#include "auth/secret.h"', "smb/ may not include auth/"),
    ("smb/nbss.h", '#include "proxy/conn.h"', "smb/ may not include proxy/"),
    ("stats/stats.c", '#include "smb/const.h"', "stats/ may not include smb/"),
    ("auth/secret.c", '#include "policy/policy.h"', "auth/ may not include policy/"),
    ("policy/acl.c", '#include "smb/ifinfo.h"', "policy/ may not include smb/"),
    ("policy/acl.c", '#include "state/state.h"', "policy/ may not include state/"),
    ("state/local.c", '#include "policy/policy.h"', "state/ may not include policy/"),
    ("nodes/place.c", '#include "proxy/conn.h"', "nodes/ may not include proxy/"),
    ("inspect/query.c", '#include "proxy/conn.h"', "inspect/ may not include proxy/"),
    ("proxy/conn.c", '#include "daemon/gate.h"', "proxy/ may not include daemon/"),
    ("proxy/conn.c", '#include "ctl/table.h"', "proxy/ may not include ctl/"),
    ("ctl/show.c", '#include "proxy/conn.h"', "ctl/ may not include proxy/"),
    ("ctl/show.c", '#include "smb/const.h"', "ctl/ may not include smb/"),
    ("ctl/show.c", '#include "state/state.h"', "ctl/ may not include state/"),
    ("proxy/conn.c", '#include "conn.h"', "not written from the root"),
    ("proxy/conn.c", '#include "../smb/const.h"', "not written from the root"),
    ("proxy/conn.c", '#include "smb/no-such-header.h"', "does not exist"),
    ("proxy/conn.c", "#include <smb/const.h>", "write it in quotes"),
    ("proxy/conn.c", "#include HEADER", "cannot be followed"),
    ("proxy/conn.h", '#include "config.h"', "config.h is for .c files"),
    ("base/log.c", "#include <event2/event.h>", "belongs to daemon/"),
    ("ctl/show.c", "  #  include <event2/event.h>", "belongs to daemon/"),
    ("daemon/gate.c", "#include <openssl/evp.h>", "belongs to auth/"),
    ("daemon/gate.c", "#include <confuse.h>", "belongs to policy/"),
    ("daemon/gate.c", "#include <jansson.h>", "belongs to daemon/json.h"),
    ("daemon/gate.c", "#include <uthash.h>", "belongs to state/"),
    ("daemon/gate.c", "#include <systemd/sd-daemon.h>", "belongs to daemon/main.c"),
    ("auth/keyc.h", "#include <event2/event.h>", "belongs to daemon/"),
    ("auth/secret.c", "#include <uthash.h>", "belongs to state/"),
    ("auth/secret.c", "#include <krb5.h>", "belongs to keyd/krb5.c"),
    ("auth/keyc.c", "#include <krb5/krb5.h>", "belongs to keyd/krb5.c"),
    ("daemon/guard.c", "#include <gssapi/gssapi.h>", "belongs to keyd/krb5.c"),
    ("keyd/main.c", "#include <seccomp.h>", "belongs to keyd/sandbox.c"),
    ("state/local.c", "#include <hiredis/hiredis.h>", "belongs to state/link.c"),
    ("daemon/gate.c", "#include <hiredis/hiredis.h>", "belongs to state/link.c"),
    ("state/shared.c", "#include <event2/event.h>", "belongs to daemon/"),
    ("daemon/guard.c", "#include <sys/capability.h>", "belongs to daemon/privs.c"),
]


def planted(path, line):
    """The violations of a copy of the tree in which one file has got a further line."""
    with tempfile.TemporaryDirectory() as copy:
        for source in sources(ROOT):
            os.makedirs(os.path.dirname(os.path.join(copy, source)), exist_ok=True)
            shutil.copyfile(os.path.join(ROOT, source), os.path.join(copy, source))
        with open(os.path.join(copy, path), "a", encoding="utf-8") as f:
            f.write(line + "\n")
        return violations(copy)


def main():
    print("1..%d" % (2 + len(PLANTS)))
    n = len(list(sources(ROOT)))
    print("%sok 1 - there are sources (%d)" % ("" if n > 50 else "not ", n))
    bad = violations(ROOT)
    print("%sok 2 - includes go down the layers" % ("not " if bad else ""))
    for path, number, why in bad:
        print("# %s:%d: %s" % (path, number, why))
    failed = bool(bad) or n <= 50
    for i, (path, line, said) in enumerate(PLANTS, 3):
        found = [v for v in planted(path, line) if v not in bad]
        good = len(found) == 1 and found[0][0] == path and said in found[0][2]
        print("%sok %d - planted and found: %s in %s" % (
            "" if good else "not ", i, line.strip().lstrip("#").strip(), path))
        if not good:
            print("# found: %r" % found)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
