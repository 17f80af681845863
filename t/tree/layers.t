#!/usr/bin/python3
# layers.t: every include goes down the layers, and each library is used by its own rooms only
import re
import sys

from csource import read, report, rooms_read
from rooms import ROOMS

SOCKETS = r"sys/(socket|un|epoll|select)\.h$|netinet/|arpa/|net/|netdb\.h$|poll\.h$"

# Headers of libraries, the files that may include them (rooms end in "/"), and one to plant.
LIBRARIES = [
    (r"event2/|event\.h$", ["daemon/", "proxy/", "nodes/agent.c", "nodes/health.c",
                             "nodes/probe.c", "auth/keyc.c",
                             "auth/keysend.c", "auth/keywait.c", "state/finder.c",
                             "state/keeper.c", "state/link.c", "state/wake.c",
                             "state/wire.c"], "event2/event.h"),
    (r"openssl/", ["auth/", "keyd/"], "openssl/evp.h"),
    (r"confuse\.h$", ["policy/"], "confuse.h"),
    (r"jansson\.h$", ["daemon/json.h", "daemon/report.h", "policy/nodefile_json.c", "ctl/"], "jansson.h"),
    (r"ut(hash|list|array|string)\.h$", ["state/", "proxy/limits.c", "proxy/lost.c",
                                         "keyd/exchange.c"], "uthash.h"),
    (r"systemd/", ["daemon/service.c"], "systemd/sd-daemon.h"),
    (r"krb5|gssapi|profile\.h$", ["keyd/krb5.c"], "krb5.h"),
    (r"seccomp\.h$", ["base/syscalls.c", "daemon/confine.c", "daemon/guard_confine.c",
                       "keyd/sandbox.c"], "seccomp.h"),
    (r"hiredis", ["state/link.c", "state/reply.c", "state/wire.c"], "hiredis/hiredis.h"),
    (r"sys/capability\.h$", ["daemon/privs.c"], "sys/capability.h"),
    # Sockets. base/addr.h has them for struct sockaddr_storage, policy/ for the length of a path.
    (SOCKETS, ["base/", "policy/conf.c", "state/wire.c", "auth/keyc.c", "auth/keysend.c",
               "keyd/channel.c", "keyd/main.c", "nodes/", "proxy/", "daemon/", "ctl/"],
     "sys/socket.h"),
]

# What may not be had through our own headers either: who, what, through which it may, why.
UNREACHED = [
    ("inspect/", r"event2/", [], "inspect/ knows no libevent"),
    ("inspect/", SOCKETS, ["base/addr.h"], "inspect/ knows no sockets, but addresses as values"),
]

# A file whose first line calls it pure has neither clock nor threads, and nothing to read or write.
PURE = re.compile(r"/\* \S+: pure: ")
IMPURE = re.compile(SOCKETS + r"|event2/|openssl/rand|sys/(time|random|stat|ioctl|mman)\.h$|"
                    r"(unistd|fcntl|time|pthread|signal)\.h$|base/(clock|log)\.h$")

# What a room's local.mk has made of other files, for that room alone.
GENERATED = {name for room in ROOMS for name in
             re.findall(r"^(%s/\w+\.inc):" % room, read(room + "/local.mk"), re.MULTILINE)}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')


def matches(path, allowed):
    return any(path.startswith(a) if a.endswith("/") else path == a for a in allowed)


def includes(text):
    """(line, ours, theirs) of each include; neither where it cannot be followed."""
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*#\s*include\b", line):
            m = INCLUDE.match(line)
            yield number, m and m[1], m and m[2]


def table_wrong(rooms):
    """What is wrong with the order of the rooms: it goes from the bottom up."""
    bad, below = [], set()
    for room, may in rooms.items():
        bad += ["%s/ may include %s/, which is not below it" % (room, up)
                for up in sorted(may - below)]
        below.add(room)
    for top in "keyd", "daemon", "ctl":
        bad += ["%s/ may include %s/, which is nobody's" % (r, top)
                for r in rooms if top in rooms[r]]
    for room, most in ("keyd", {"auth", "base"}), ("ctl", {"policy", "base"}):
        bad += ["%s/ may include %s/" % (room, other) for other in sorted(rooms[room] - most)]
    return bad


def own_wrong(tree, path, inc):
    """What is wrong with #include "inc" in path, or None."""
    room, target = path.split("/")[0], inc.split("/")[0]
    if inc == "config.h":
        return None if path.endswith(".c") else "config.h is for .c files"
    if "/" not in inc or ".." in inc.split("/") or target not in ROOMS:
        return '"%s" is not written from the root' % inc
    if inc not in tree and not (inc in GENERATED and target == room):
        return '"%s" does not exist' % inc
    if target != room and target not in ROOMS[room]:
        return "%s/ may not include %s/ (%s)" % (room, target, inc)
    return None


def library_wrong(path, inc):
    """What is wrong with #include <inc> in path, or None."""
    if inc.split("/")[0] in ROOMS:
        return "<%s> is a header of ours: write it in quotes" % inc
    for pattern, allowed, _ in LIBRARIES:
        if re.match(pattern, inc) and not matches(path, allowed):
            return "<%s> belongs to %s" % (inc, ", ".join(allowed))
    return None


def violations(tree, only=None):
    """(path, line, text) of what is wrong in a tree, a text for each path, or in one file."""
    bad = []
    for path in [only] if only else tree:
        pure = PURE.match(tree[path])
        for number, ours, theirs in includes(tree[path]):
            if ours is None and theirs is None:
                bad.append((path, number, "an include that cannot be followed"))
                continue
            why = own_wrong(tree, path, ours) if ours is not None else library_wrong(path, theirs)
            if not why and pure and IMPURE.match(ours or theirs):
                why = "a pure file has no use for " + (ours or theirs)
            if why:
                bad.append((path, number, why))
    return bad


def reached(tree, path):
    """{header: the header of ours, or path itself, that includes it} of all that path gets."""
    found, todo, seen = {}, [path], {path}
    while todo:
        at = todo.pop()
        for _, ours, theirs in includes(tree[at]):
            if theirs:
                found.setdefault(theirs, set()).add(at)
            elif ours in tree and ours not in seen:
                seen.add(ours)
                todo.append(ours)
    return found


def unreached_wrong(tree):
    """What files get through headers of ours that they may not have."""
    bad = []
    for path in tree:
        rules = [r for r in UNREACHED if path.startswith(r[0])]
        for theirs, via in reached(tree, path).items() if rules else []:
            for _, pattern, allowed, why in rules:
                if re.match(pattern, theirs):
                    bad += ["%s gets <%s> of %s: %s" % (path, theirs, v, why)
                            for v in sorted(via - set(allowed))]
    return bad


def unused(tree, libraries):
    """What a table of libraries allows to somebody who has no use for it."""
    pairs = [(path, inc) for path, text in tree.items() for _, _, inc in includes(text) if inc]
    return ["%s is allowed to %s, which has no use for it" % (pattern, a)
            for pattern, allowed, _ in libraries for a in allowed
            if not any(matches(path, [a]) and re.match(pattern, inc) for path, inc in pairs)]


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
    ("state/script.c", '#include "state/no-such.inc"', "does not exist"),
    ("proxy/conn.c", "#include <smb/const.h>", "write it in quotes"),
    ("proxy/conn.c", "#include HEADER", "cannot be followed"),
    ("proxy/conn.h", '#include "config.h"', "config.h is for .c files"),
    ("base/log.c", "#include <event2/event.h>", "belongs to daemon/"),
    ("ctl/show.c", "  #  include <event2/event.h>", "belongs to daemon/"),
    ("daemon/gate.c", "#include <openssl/evp.h>", "belongs to auth/"),
    ("daemon/gate.c", "#include <confuse.h>", "belongs to policy/"),
    ("daemon/gate.c", "#include <jansson.h>", "belongs to daemon/json.h"),
    ("daemon/gate.c", "#include <uthash.h>", "belongs to state/"),
    ("daemon/gate.c", "#include <systemd/sd-daemon.h>", "belongs to daemon/service.c"),
    ("auth/keyc.h", "#include <event2/event.h>", "belongs to daemon/"),
    ("auth/secret.c", "#include <uthash.h>", "belongs to state/"),
    ("auth/secret.c", "#include <krb5.h>", "belongs to keyd/krb5.c"),
    ("auth/keyc.c", "#include <krb5/krb5.h>", "belongs to keyd/krb5.c"),
    ("daemon/guard.c", "#include <gssapi/gssapi.h>", "belongs to keyd/krb5.c"),
    ("keyd/main.c", "#include <seccomp.h>", "belongs to base/syscalls.c"),
    ("state/local.c", "#include <hiredis/hiredis.h>", "belongs to state/link.c"),
    ("daemon/gate.c", "#include <hiredis/hiredis.h>", "belongs to state/link.c"),
    ("state/shared_claim.c", "#include <event2/event.h>", "belongs to daemon/"),
    ("daemon/guard.c", "#include <sys/capability.h>", "belongs to daemon/privs.c"),
    ("inspect/query.c", "#include <event2/event.h>", "belongs to daemon/"),
    ("inspect/session.h", "#include <sys/socket.h>", "belongs to base/"),
    ("inspect/track.c", "#include <netinet/in.h>", "belongs to base/"),
    ("inspect/track.c", "#include <sys/epoll.h>", "belongs to base/"),
    ("inspect/query.c", "#include <sys/un.h>", "belongs to base/"),
    ("smb/hdr2.c", "#include <arpa/inet.h>", "belongs to base/"),
    ("inspect/classify.c", '#include "base/clock.h"', "a pure file has no use for base/clock.h"),
    ("nodes/place.c", "#include <time.h>", "a pure file has no use for time.h"),
    ("nodes/home.h", "#include <pthread.h>", "a pure file has no use for pthread.h"),
    ("proxy/first.c", "#include <sys/socket.h>", "a pure file has no use for sys/socket.h"),
]


def every_pair(tree):
    """A plant for each room and each other that it may not include."""
    for room in ROOMS:
        path = next(p for p in tree if re.match(room + r"/.*\.c$", p))
        for target in ROOMS:
            if target != room and target not in ROOMS[room]:
                header = next(p for p in tree if re.match(target + r"/.*\.h$", p))
                yield path, '#include "%s"' % header, "%s/ may not include %s/" % (room, target)


def every_library(tree):
    """A plant for each library and each room with a file that may not have it."""
    for pattern, allowed, header in LIBRARIES:
        for room in ROOMS:
            path = next((p for p in tree if re.match(room + r"/.*\.c$", p) and
                         not matches(p, allowed) and not PURE.match(tree[p])), None)
            if path:
                yield path, "#include <%s>" % header, "belongs to " + allowed[0]


def planted(tree, path, line):
    """A copy of the tree in which one file has got a further line."""
    return {**tree, path: tree[path] + line + "\n"}


def plants(tree, bad):
    """The tests that every rule is one: [(name, what is wrong)]."""
    out = []
    for path, line, said in PLANTS + list(every_pair(tree)) + list(every_library(tree)):
        if path not in tree:
            out.append(("planted in " + path, ["it is not there: plant it elsewhere"]))
            continue
        found = [v for v in violations(planted(tree, path, line), path) if v not in bad]
        good = len(found) == 1 and found[0][0] == path and said in found[0][2]
        out.append(("planted and found: %s in %s" % (line.strip().lstrip("#").strip(), path),
                    [] if good else ["found: %r" % found]))
    for header, line, inside in (("nodes/node.h", "#include <event2/event.h>", "inspect/"),
                                 ("auth/seal.h", "#include <sys/socket.h>", "inspect/")):
        found = unreached_wrong(planted(tree, header, line))
        good = any(b.startswith(inside) and "of %s:" % header in b for b in found)
        out.append(("planted and found: %s in %s, which %s includes" %
                    (line.lstrip("#"), header, inside), [] if good else ["found: %r" % found]))
    for room, other in (("base", "smb"), ("smb", "inspect"), ("inspect", "proxy"),
                        ("daemon", "keyd"), ("ctl", "daemon"), ("keyd", "smb"), ("ctl", "proxy")):
        found = table_wrong({**ROOMS, room: ROOMS[room] | {other}})
        out.append(("planted and found: a table of rooms that lets %s/ include %s/" % (room, other),
                    [] if found else ["not found"]))
    for pattern, who in (("confuse\\.h$", "smb/"), ("hiredis", "state/local.c"),
                         ("event2/", "no/such/file.c")):
        found = unused(tree, [(pattern, [who], "")])
        out.append(("planted and found: a table of libraries that allows %s to %s" % (pattern, who),
                    [] if found else ["not found"]))
    return out


def main():
    tree = rooms_read()
    bad = violations(tree)
    tests = [("there are sources (%d)" % len(tree), [] if len(tree) > 50 else ["so few"]),
             ("includes go down the layers", ["%s:%d: %s" % v for v in bad]),
             ("the rooms are in order, and may include only what is below", table_wrong(ROOMS)),
             ("inspect/ gets no sockets and no libevent by its includes", unreached_wrong(tree)),
             ("each library is allowed only to those that use it", unused(tree, LIBRARIES))]
    return report(tests + plants(tree, bad))


if __name__ == "__main__":
    sys.exit(main())
