# search.py: where bytes are in a process: in memory that may be swapped out, or is locked
import base64
import os
import re
import signal

# what no process has that much of, but a sanitizer's shadow
SPARSE = 1 << 36


class Mapping:
    """A range of addresses, and what smaps says of it."""

    def __init__(self, start, end, perms, name):
        self.start, self.end, self.perms, self.name = start, end, perms, name
        self.rss, self.flags = 0, set()

    @property
    def locked(self):
        return "lo" in self.flags

    @property
    def dumped(self):
        return "dd" not in self.flags

    def __repr__(self):
        return "%s %s %s" % (self.name or "anonymous", self.perms, " ".join(sorted(self.flags)))


def mappings(pid):
    out = []
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)", line)
            if m:
                out.append(Mapping(int(m[1], 16), int(m[2], 16), m[3], m[4]))
            elif line.startswith("Rss:"):
                out[-1].rss = int(line.split()[1])
            elif line.startswith("VmFlags:"):
                out[-1].flags = set(line.split()[1:])
    return out


def find(pid, needles):
    """{name of a needle: mappings of the process that have it}, those that are found.  The process
    stands meanwhile."""
    out = {}
    if pid != os.getpid():
        os.kill(pid, signal.SIGSTOP)
    try:
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
            for m in mappings(pid):
                if "r" not in m.perms or not m.rss or m.name in ("[vvar]", "[vsyscall]") or \
                        m.end - m.start > SPARSE:
                    continue
                for name in _in(mem, m, needles):
                    out.setdefault(name, []).append(m)
    finally:
        if pid != os.getpid():
            os.kill(pid, signal.SIGCONT)
    return out


def _in(mem, mapping, needles, chunk=1 << 24):
    """The names of those that it has; chunks overlap."""
    found, tail, at = set(), b"", mapping.start
    while at < mapping.end:
        try:
            mem.seek(at)
            data = mem.read(min(chunk, mapping.end - at))
        except (OSError, OverflowError, ValueError):
            break
        if not data:
            break
        found |= {name for name, bytes_ in needles.items() if bytes_ in tail + data}
        tail, at = data[-256:], at + len(data)
    return found


def texts(needle):
    """How bytes may be written down."""
    return (needle, needle.hex().encode(), needle.hex().upper().encode(),
            base64.b64encode(needle).rstrip(b"=")[:-1])
