# inject.py: system calls made by another process: what it may still do, tried from inside it
"""For a process as it was installed, with nothing loaded into it: it is stopped where it waits in a
system call, made to do another one, and goes on as if nothing had been.  x86-64 alone."""
import contextlib
import ctypes
import errno
import os
import struct

SEIZE, INTERRUPT, DETACH, SINGLESTEP = 0x4206, 0x4207, 17, 9
GETREGS, SETREGS = 12, 13
WALL = 0x40000000
# places in struct user_regs_struct
RAX, ORIG_RAX, RIP, RSP = 10, 15, 16, 19
ARGS = (14, 13, 12, 7, 9, 8)            # rdi rsi rdx r10 r8 r9
SYSCALL = b"\x0f\x05"

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def missing():
    """Why it cannot be done here, or None."""
    return None if os.uname().machine == "x86_64" else "not x86-64"


def _ptrace(what, pid, data=None):
    if libc.ptrace(what, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), "ptrace %#x" % what)


def _stop(tid):
    _ptrace(SEIZE, tid)
    _ptrace(INTERRUPT, tid)
    os.waitpid(tid, WALL)


def giving_way(pid):
    """The threads of a process that give way to others, in the order in which they began."""
    def nice(tid):
        with open("/proc/%d/task/%d/stat" % (pid, tid)) as f:
            return int(f.read().rpartition(")")[2].split()[16])
    # All of them may be nice, for a test of long duration.
    return [x for x in sorted(int(x) for x in os.listdir("/proc/%d/task" % pid))
            if nice(x) > nice(pid)]


@contextlib.contextmanager
def still(tids):
    """These threads of another process stand still meanwhile, on any machine."""
    for x in tids:
        _stop(x)
    try:
        yield
    finally:
        for x in tids:
            _ptrace(DETACH, x)


class Inside:
    """One thread of another process, which waits in a system call."""

    def __init__(self, pid):
        self.pid = pid
        _stop(pid)
        self.before = self._regs()

    def _regs(self):
        regs = (ctypes.c_uint64 * 27)()
        _ptrace(GETREGS, self.pid, ctypes.addressof(regs))
        return regs

    def call(self, number, *args):
        """Its result, -errno where it failed.  Bytes and text become addresses, of text that ends
        with a zero."""
        with open("/proc/%d/mem" % self.pid, "r+b", buffering=0) as mem:
            mem.seek(self.before[RIP] - 2)
            if mem.read(2) != SYSCALL:
                raise RuntimeError("it does not wait in a system call")
            at = self.before[RSP] - 8192
            regs = (ctypes.c_uint64 * 27)(*self.before)
            for place, arg in zip(ARGS, args):
                if isinstance(arg, (str, bytes)):
                    data = arg.encode() + b"\0" if isinstance(arg, str) else arg
                    mem.seek(at)
                    mem.write(data)
                    arg, at = at, at + (len(data) + 15) // 16 * 16
                regs[place] = arg & 0xFFFFFFFFFFFFFFFF
        regs[RAX], regs[ORIG_RAX], regs[RIP] = number, 0xFFFFFFFFFFFFFFFF, self.before[RIP] - 2
        _ptrace(SETREGS, self.pid, ctypes.addressof(regs))
        _ptrace(SINGLESTEP, self.pid)
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            raise RuntimeError("it ended: %#x" % status)
        return struct.unpack("q", struct.pack("Q", self._regs()[RAX]))[0]

    def leave(self):
        try:
            _ptrace(SETREGS, self.pid, ctypes.addressof(self.before))
            _ptrace(DETACH, self.pid)
        except OSError:
            pass        # it has ended


@contextlib.contextmanager
def inside(pid):
    i = Inside(pid)
    try:
        yield i
    finally:
        i.leave()


AT_FDCWD, NEWNET, NEWUSER, VM, THREAD = -100, 0x40000000, 0x10000000, 0x100, 0x10f00
# What none of the processes may do.  Where it can, what is done is harmless, or wrong in such a way
# that the kernel says something else than EPERM.
TRIES = (
    ("write /etc", 257, (AT_FDCWD, "/etc/smbgate-inject", os.O_WRONLY | os.O_CREAT, 0o600)),
    ("create in /etc", 257, (AT_FDCWD, "/etc/smbgate-inject", os.O_RDONLY | os.O_CREAT, 0o600)),
    ("write /tmp", 257, (AT_FDCWD, "/tmp/smbgate-inject", os.O_WRONLY | os.O_CREAT, 0o600)),
    ("append to /etc/passwd", 2, ("/etc/passwd", os.O_WRONLY | os.O_APPEND)),
    ("openat2", 437, (AT_FDCWD, "/etc/passwd", struct.pack("<3Q", os.O_RDWR, 0, 0), 24)),
    ("chmod", 90, ("/tmp", 0o1777)),
    ("rename", 82, ("/etc/smbgate-inject", "/etc/smbgate-inject2")),
    ("unlink", 87, ("/etc/smbgate-inject",)),
    ("mkdir", 83, ("/tmp/smbgate-inject.d", 0o700)),
    ("mount", 165, (0, 0, 0, 0, 0)),
    ("ptrace", 101, (0x4206, 1, 0, 0)),
    ("memory of another process", 310, (1, 0, 0, 0, 0, 0)),
    ("network namespace", 272, (NEWNET,)),
    ("user namespace", 272, (NEWUSER,)),
    ("enter a namespace", 308, (0, 0)),
    ("a child in a user namespace", 56, (NEWUSER | 17, 0, 0, 0, 0)),
    ("a thread", 56, (THREAD, 0, 0, 0, 0)),
    ("clone3", 435, (bytes(88), 88)),
    ("packet socket", 41, (17, 3, 0)),
    ("a signal", 62, (1, 0)),
    ("bpf", 321, (0, 0, 0)),
    ("io_uring", 425, (1, bytes(120))),
    ("keyctl", 250, (0, 0, 0, 0, 0)),
    ("userfaultfd", 323, (0,)),
    ("perf", 298, (0, 0, 0, 0, 0)),
    ("kernel module", 313, (-1, "", 0)),
    ("root directory", 161, ("/nonexistent",)),
    ("the machine's time", 227, (0, 0)),
    ("execve", 59, ("/bin/true", 0, 0)),
)
# Those that do not start programs, nor handle the keytab.
SERVERS = (
    ("fork", 57, ()), ("vfork", 58, ()), ("setuid", 105, (0,)), ("setresuid", 117, (0, 0, 0)),
    ("memory to run", 9, (0, 4096, 7, 0x22, -1, 0)),
    ("execveat", 322, (AT_FDCWD, "/bin/true", 0, 0, 0)),
)


def tries(pid, more=(), less=()):
    """{what: "yes", or an error's name}: what of TRIES and more is not forbidden.  Of less, which
    are names, nothing is tried."""
    out = {}
    with inside(pid) as i:
        for name, number, args in (*more, *TRIES):
            if name in less:
                continue
            r = i.call(number, *args)
            if -r not in (errno.EPERM, errno.EACCES, errno.EROFS):
                out[name] = "yes" if r >= 0 else errno.errorcode.get(-r, str(r))
    return out


def read_file(path):
    """A try: to open that file, to read."""
    return ("read " + path, 257, (AT_FDCWD, path, os.O_RDONLY, 0))
