# failing.py: smbgate in which the nth call of a kind fails, while it runs (see failing.c)
import errno
import mmap
import os
import struct
import subprocess

import node

# in the order of failing.c
CALLS = ("accept4", "socket", "connect", "bind", "setsockopt", "getsockopt", "getsockname", "recv",
         "send", "sendmsg", "splice", "pipe2", "epoll_ctl", "epoll_wait", "shutdown", "read",
         "write", "alloc")
# Errors that a call may end with on a machine that is in trouble, or whose network is; those that
# mean "again" cost nobody anything.
AGAIN = {"accept4": ("EINTR", "EAGAIN", "ECONNABORTED"), "connect": ("EINTR",), "recv": ("EINTR",),
         "send": ("EINTR",), "splice": ("EINTR",), "epoll_wait": ("EINTR",),
         "read": ("EINTR", "EAGAIN"), "write": ("EINTR",)}
HARD = {"accept4": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO"),
        "socket": ("EMFILE", "ENOBUFS"),
        "connect": ("ECONNREFUSED", "EADDRNOTAVAIL", "EHOSTUNREACH", "ENETUNREACH", "EPERM"),
        "bind": ("EADDRINUSE",), "setsockopt": ("ENOBUFS",), "getsockopt": ("ENOBUFS",),
        "getsockname": ("ENOBUFS",), "recv": ("ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENOMEM"),
        "send": ("EPIPE", "ECONNRESET", "ENOBUFS", "ENOMEM"), "sendmsg": ("ENOBUFS",),
        "splice": ("ECONNRESET", "ENOMEM", "EINVAL"), "pipe2": ("EMFILE", "ENFILE"),
        "epoll_ctl": ("ENOMEM", "ENOSPC"), "shutdown": ("ENOTCONN",), "alloc": ("ENOMEM",)}
PLACES = ("call", "nth", "err", "fired", "main", "small", "since", "date",
          "spare", "spare too", "late")


def build(t):
    """The library, and the page that commands it."""
    top = node.tempdir(t)
    os.chmod(top, 0o755)
    lib = top + "/failing.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", lib, os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "failing.c")], check=True)
    with open(top + "/page", "wb") as f:
        f.write(bytes(4096))
    return Failing(lib, top + "/page")


class Failing:
    def __init__(self, lib, name):
        self.lib, self.name = lib, name
        with open(name, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.off()

    def prefix(self):
        """For gate.Gate(argv_prefix=)."""
        return ["env", "LD_PRELOAD=" + self.lib, "FAILING=" + self.name, "ASAN_OPTIONS=" + ":".join(
            [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"])]

    def put(self, place, n):
        struct.pack_into("<i", self.page, 4 * PLACES.index(place), n)

    def get(self, place):
        return struct.unpack_from("<i", self.page, 4 * PLACES.index(place))[0]

    def off(self):
        self.put("call", len(CALLS))

    def arm(self, call, nth, err):
        """The nth of those calls from now fails; every other succeeds."""
        self.off()
        self.put("fired", 0)
        self.put("err", getattr(errno, err))
        self.put("nth", nth)
        self.put("call", CALLS.index(call))

    def spare(self, fds):
        """No call on these two descriptors fails."""
        for place, fd in zip(("spare", "spare too"), fds):
            self.put(place, fd)

    def fired(self):
        return self.get("fired") > 0

    def seen(self):
        """{call: how many since it was asked last}"""
        at = 4 * len(PLACES)
        out = struct.unpack_from("<%dI" % len(CALLS), self.page, at)
        struct.pack_into("<%dI" % len(CALLS), self.page, at, *[0] * len(CALLS))
        return dict(zip(CALLS, out))
