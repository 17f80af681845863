# tap.py: a small TAP producer with a cleanup stack and an overall deadline
"""Usage:

    with tap.Test(deadline=60) as t:
        t.defer(node.stop)
        t.ok(1 + 1 == 2, "sums work")

The plan is printed at the end.  An exception is one failed test with its traceback; what was
deferred runs in reverse order whatever happens.  When the deadline passes, the main thread gets
a Deadline exception; if cleaning up takes longer than GRACE seconds more, every process that was
started through spawn() is killed and the test exits.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

GRACE = 15
BUSY = 3        # so much longer than on a quiet machine may a test take on one that is not
PR_SET_PDEATHSIG = 1
BEAT, LATE = 0.02, 0.1      # see Test.ran()


class Deadline(Exception):
    """The test as a whole took too long."""


class Bail(Exception):
    """Nothing of what follows can work."""


def wait_for(what, seconds=5.0, every=0.02, message=None):
    """Call what() until it returns something true; return that.  After so many seconds return the
    last false value, or, with a message (or a function that makes one), raise TimeoutError.
    A machine that stood still or is busy has not waited: half the looks must have been taken."""
    end = time.monotonic() + seconds
    looks = seconds / every / 2
    while True:
        got = what()
        looks -= 1
        if got or (time.monotonic() >= end and looks <= 0):
            if not got and message:
                raise TimeoutError(message() if callable(message) else message)
            return got
        time.sleep(every)


class Test:
    def __init__(self, deadline=120):
        """deadline: seconds; None: it goes on until it is told to end."""
        self.count = 0
        self.failed = 0
        self.deadline = deadline * BUSY if deadline else 0
        self.cleanups = []
        self.procs = []
        self.start = time.monotonic()
        self.pid = os.getpid()
        self.over = threading.Event()
        self.pace = (self.start, 0)     # when last, and how late all in all

    # -- output ----------------------------------------------------------------------------
    def ok(self, good, name, *diag):
        """One test; diag lines are printed only when it failed.  Returns whether it passed."""
        self.count += 1
        name = str(name).replace("#", "\\#").replace("\n", " ")
        print("%s %d - %s" % ("ok" if good else "not ok", self.count, name), flush=True)
        if not good:
            self.failed += 1
            for d in diag:
                self.diag(d)
        return bool(good)

    def same(self, got, want, name):
        return self.ok(got == want, name, "got:  %r" % (got,), "want: %r" % (want,))

    def comes(self, look, want, name, seconds=60):
        """One test: look() returns what is wanted within so many seconds, or sooner."""
        seen = []

        def there():
            seen[:] = [look()]
            return seen[0] == want
        wait_for(there, seconds)
        return self.same(seen[0], want, name)

    def skip(self, name, why):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, name, why), flush=True)

    def diag(self, text):
        for line in str(text).splitlines() or [""]:
            print("# " + line, flush=True)

    def bail(self, why):
        raise Bail(why)

    def elapsed(self):
        return time.monotonic() - self.start

    def _beat(self):
        while not self.over.wait(BEAT):
            now = time.monotonic()
            self.pace = (now, self._late(now))

    def _late(self, now):
        last, late = self.pace
        more = now - last - BEAT
        return late + more if more > LATE else late

    def ran(self):
        """A clock that stands still while this machine does: for how long something may take.  For
        how long it must take, time.monotonic()."""
        now = time.monotonic()
        return now - self._late(now)

    # -- processes and cleaning up ---------------------------------------------------------
    def defer(self, fn, *args):
        self.cleanups.append((fn, args))

    def spawn(self, argv, **kw):
        """Popen in a process group of its own; it dies with us, at the latest."""
        libc = ctypes.CDLL(None)
        mine = os.getpid()
        extra = kw.pop("preexec_fn", None)

        def setup():
            os.setpgid(0, 0)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != mine:
                os._exit(1)
            if extra:
                extra()

        p = subprocess.Popen(argv, preexec_fn=setup, **kw)
        self.procs.append(p)
        return p

    def kill_group(self, p, sig=signal.SIGKILL, wait=5):
        """Signal the process group that spawn() made, and wait for its first process."""
        try:
            os.killpg(p.pid, sig)
        except ProcessLookupError:
            pass
        if wait:
            try:
                p.wait(wait)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait(wait)

    def _clean(self):
        while self.cleanups:
            fn, args = self.cleanups.pop()
            try:
                fn(*args)
            except Exception:  # one broken cleanup must not hinder the others
                self.diag("while cleaning up:\n" + traceback.format_exc())
        for p in self.procs:
            if p.poll() is None:
                self.kill_group(p)

    def _watchdog(self):
        if self.over.wait(self.deadline + GRACE):
            return
        for p in self.procs:
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except OSError:
                pass
        print("Bail out! still running %d s after the deadline" % GRACE, flush=True)
        os._exit(2)

    def __enter__(self):
        def late(_sig, _frame):
            raise Deadline("deadline of %d s passed" % self.deadline)

        signal.signal(signal.SIGALRM, late)
        signal.signal(signal.SIGTERM, lambda s, f: sys.exit(143))
        if self.deadline:
            signal.alarm(self.deadline)
            threading.Thread(target=self._watchdog, daemon=True).start()
        self.pace = (time.monotonic(), 0)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, kind, value, tb):
        if os.getpid() != self.pid:
            os._exit(1)
        signal.alarm(0)
        status = 2
        try:
            if kind is not None and kind is not Bail:
                self.ok(False, "ended by %s" % kind.__name__,
                        "".join(traceback.format_exception(kind, value, tb)))
            self._clean()
            if kind is Bail:
                print("Bail out! %s" % value, flush=True)
            else:
                print("1..%d" % self.count, flush=True)
                self.diag("%d passed, %d failed, %.1f s"
                          % (self.count - self.failed, self.failed, self.elapsed()))
                status = 1 if self.failed else 0
        finally:        # also when nobody reads our output any more
            self._clean()
            self.over.set()
            os._exit(status)


def skip_all(why):
    print("1..0 # SKIP " + why)
    sys.exit(0)
