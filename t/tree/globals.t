#!/usr/bin/python3
# globals.t: no writable globals in what was built, and programs that are linked as they should be
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from csource import report
from rooms import ROOMS

BUILD = os.path.abspath(os.environ.get("SMBGATE_BUILD", "."))
PROGRAMS = ["daemon/smbgate", "ctl/smbgatectl", "keyd/smbgate-keyd"]

# The one program with the keytab, and what no other may be able to do.
KEYD = "keyd/smbgate-keyd"
KEYD_LIBS = ["libkrb5", "libseccomp"]

# (object, symbol): why it may be written to.
ALLOWED = {
    ("log.o", "sink"): "set by log_open() before the first thread; what changes later is atomic",
    ("conffile.o", "parsing"): "thread-local: libconfuse's callbacks are given no argument of ours",
}

# Rooms whose code no program but smbgate may have, and what smbgate-keyd may not have either.
OTHERS = {
    "ctl/smbgatectl": {"smb", "stats", "state", "auth", "nodes", "inspect", "proxy", "daemon"},
    "keyd/smbgate-keyd": {"stats", "policy", "state", "nodes", "inspect", "proxy", "daemon"},
}

# Calls of a room that moves no bytes itself.
CALLS = re.compile(r"(event|evutil|evbuffer|bufferevent|evconnlistener|epoll)_|"
                   r"(socket|socketpair|connect|bind|listen|accept4?|shutdown|splice|poll|select|"
                   r"(send|recv)(to|from|msg|mmsg)?|[gs]etsockopt|getsockname|getpeername)$")

# What compilers and sanitizers add of their own.
NOISE = re.compile(r"\.L|__asan|__odr|__ubsan|__tsan|__unnamed|__gcov|__llvm|asan\.|_?\.str")

# 0000000000000000 l     O .data	0000000000000008 sink
SYMBOL = re.compile(r"^[0-9a-f]{8,16} (.{7}) (\S+)\s+([0-9a-f]{8,16})(?: \.\w+)? (\S+)$")


def writable(path):
    """(object, symbol, section) of all writable data in an object or archive."""
    text = subprocess.run(["objdump", "-t", path], check=True, text=True, stdout=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C")).stdout
    out, obj = [], os.path.basename(path)
    for line in text.splitlines():
        head = re.match(r"(\S+):\s+file format ", line)
        if head:
            obj = os.path.basename(head[1])
        m = SYMBOL.match(line)
        if not m or "d" in m[1][5] or "f" in m[1][6] or int(m[3], 16) == 0:
            continue
        section = m[2]
        if section.startswith(".data.rel.ro") or NOISE.match(m[4]):
            continue
        if section == "*COM*" or re.match(r"\.(data|bss|tdata|tbss)\b", section):
            # An optimiser may split a structure into sink.0, sink.1: it is one thing to allow.
            out.append((obj, re.sub(r"\.\d+$", "", m[4]), section))
    return out


def functions(path):
    """(functions that an object or archive defines for others, what it needs of others)."""
    text = subprocess.run(["nm", "-P", "-g", path], check=True, text=True, stdout=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C")).stdout
    found = re.findall(r"^(\S+) ([TtUw])\b", text, re.MULTILINE)
    return ({name for name, kind in found if kind in "Tt"},
            {name.split("@")[0] for name, kind in found if kind in "Uw"})


def others(program, libraries, rooms):
    """Functions that a program has of the libraries of these rooms."""
    return ["%s() is of %s/" % (name, room) for room in sorted(rooms & set(libraries))
            for name in sorted(functions(program)[0] & functions(libraries[room])[0])]


def calls(path):
    # __recv_chk() is how gcc -D_FORTIFY_SOURCE calls recv().
    return ["it calls %s()" % name for name in sorted(functions(path)[1])
            if CALLS.match(re.sub(r"^__(\w+)_chk$", r"\1", name))]


def compiler():
    return next((cc for cc in ("gcc", "clang", "cc") if shutil.which(cc)), None)


# (name, C, is it to be found?)
PLANTS = [
    ("a global with a value", "int planted = 1;", True),
    ("a global without a value", "int planted;", True),
    ("a static", "static int planted; int *f(void); int *f(void) { return &planted; }", True),
    ("a static in a function", "int f(void); int f(void) { static int planted; return ++planted; }", True),
    ("a thread-local", "__thread int planted;", True),
    ("a writable table of pointers", 'const char *planted[] = { "a", "b" };', True),
    ("a constant", "const int planted = 1;", False),
    ("a constant table of pointers", 'const char *const planted[] = { "a", "b" };', False),
]


def planted(cc, text, flags):
    with tempfile.TemporaryDirectory() as d:
        src, obj = os.path.join(d, "x.c"), os.path.join(d, "x.o")
        with open(src, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        subprocess.run([cc, "-fPIE", "-c", src, "-o", obj] + flags, check=True)
        return any(re.match(r"planted\b", s) for _, s, _ in writable(obj))


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], check=True, text=True,
                          stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C")).stdout


def sanitized(path):
    """gcc links a sanitizer as a library, clang into the program."""
    return bool(re.search(r"lib[atu]b?san", readelf("-d", path)) or
                re.search(r"__[at]san_init", readelf("-s", path)))


def linked_wrong(path, keyd):
    dynamic, bad = readelf("-d", path), []
    for lib in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if re.match(r"lib(krb5|k5crypto|com_err|gssapi)", lib) and not keyd:
            bad.append("%s is linked, which is smbgate-keyd's" % lib)
        if re.match(r"lib(event|confuse|jansson|systemd|hiredis)", lib) and keyd:
            bad.append("%s is linked, which smbgate-keyd must do without" % lib)
    for lib in KEYD_LIBS if keyd else []:
        if not re.search(r"\(NEEDED\).*\[%s\." % lib, dynamic):
            bad.append("%s is not linked" % lib)
    if sanitized(path):
        return bad
    if not re.search(r"Type:\s+DYN", readelf("-h", path)):
        bad.append("it is not position-independent")
    if not re.search(r"\(FLAGS(_1)?\).*\b(BIND_NOW|NOW)\b", dynamic):
        bad.append("its symbols are not bound at the start (-z now)")
    if "GNU_RELRO" not in readelf("-l", path):
        bad.append("its tables stay writable (-z relro)")
    if re.search(r"GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RWE", readelf("-l", path)):
        bad.append("its stack is executable")
    return bad


def main():
    for tool in ("objdump", "readelf", "nm"):
        if shutil.which(tool) is None:
            print("1..0 # SKIP no " + tool)
            return 0
    built = [a for room in ROOMS for a in sorted(glob.glob(os.path.join(BUILD, room, "*.a")))]
    built += sorted(glob.glob(os.path.join(BUILD, "ctl", "*.o")))
    built += sorted(glob.glob(os.path.join(BUILD, "daemon", "smbgate-*.o")))
    built += sorted(glob.glob(os.path.join(BUILD, "keyd", "smbgate_keyd-*.o")))
    if not any(b.endswith(".a") for b in built):
        print("1..0 # SKIP no libraries in %s: set SMBGATE_BUILD to a build" % BUILD)
        return 0

    tests, seen = [], set()
    for path in built:
        found = writable(path)
        seen |= {(o, s) for o, s, _ in found}
        tests.append(("%s has no writable globals" % os.path.relpath(path, BUILD),
                      ["%s: %s in %s" % f for f in found if f[:2] not in ALLOWED]))
    tests.append(("what is allowed is there",
                  ["%s: %s is allowed for nothing" % a for a in ALLOWED if a not in seen]))
    for program in PROGRAMS:
        path = os.path.join(BUILD, program)
        tests.append(("%s is linked as it should be" % program,
                      linked_wrong(path, program == KEYD) if os.path.exists(path) else
                      ["it is not there"]))
    libraries = {room: a for room in ROOMS for a in glob.glob(os.path.join(BUILD, room, "*.a"))}
    for program, rooms in OTHERS.items():
        path = os.path.join(BUILD, program)
        bad = others(path, libraries, rooms) if os.path.exists(path) else ["it is not there"]
        tests.append(("%s has no code of %s" % (program, ", ".join(sorted(rooms))), bad))
    smbgate = os.path.join(BUILD, PROGRAMS[0])
    for room in sorted(OTHERS["ctl/smbgatectl"] - {"daemon"}):
        tests.append(("the same finds the code of %s in smbgate" % room,
                      [] if others(smbgate, libraries, {room}) else ["not found"]))
    for room in "smb", "inspect":
        tests.append(("%s calls neither sockets nor libevent" % room,
                      calls(libraries[room]) if room in libraries else ["it has no library"]))
    tests.append(("the same finds the calls of proxy",
                  [] if calls(libraries["proxy"]) else ["not found"]))
    cc = compiler()
    for name, text, wanted in PLANTS if cc else []:
        for flags in ["-O0"], ["-O2", "-fcommon"]:
            tests.append(("planted and %s: %s (%s)" % (
                "found" if wanted else "let be", name, " ".join(flags)),
                [] if planted(cc, text, flags) == wanted else ["not so"]))
    return report(tests)


if __name__ == "__main__":
    sys.exit(main())
