# keeper.py: what one command starts, in namespaces of its own, and another one ends
"""A process, the keeper, stays between the commands.  Its child goes into net, mount, UTS, IPC and
pid namespaces (ad.enter), and starts all the rest there: whatever becomes of it, the kernel ends
everything with it.  All files are in one folder, which the keeper removes at the end:

    k = Kept("/tmp/x")
    k.up(main, tell)    # main(t, say): runs inside; tell(line): what it says
    k.state()           # what main has left for those outside: put_state()
    k.down()"""
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import time
import traceback

import ad
import netns
import tap

UP = "up"
END = 60        # seconds within which everything inside ends by itself when it is told to


def put_state(top, state):
    with open(top + "/state.new", "w") as f:
        json.dump(state, f)
    os.rename(top + "/state.new", top + "/state")


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


def began(pid):
    """When a process has started, in the kernel's ticks; None: there is none."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def running(pids):
    """Of these processes, when each has started."""
    return {p: at for p, at in ((p, began(p)) for p in pids) if at}


def left(then):
    """Of what running() gave, what runs still."""
    return [p for p, at in then.items() if began(p) == at]


def _inside(top, main, say_fd):
    """The keeper's child: for good."""
    netns.libc.prctl(tap.PR_SET_PDEATHSIG, signal.SIGKILL)
    tempfile.tempdir = top
    ad.enter()
    with tap.Test(deadline=None) as t:
        r, w = os.pipe()
        with os.fdopen(say_fd, "w", buffering=1) as out:
            main(t, lambda line: print(line, file=out))
            signal.signal(signal.SIGTERM, lambda *_: os.write(w, b"."))
            print(UP, file=out)
        os.read(r, 1)


class _Keeper:
    def __init__(self, top, main, say_fd, tie):
        self.top, self.waiting = top, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(top + "/socket")
        self.listener.listen()
        self.tie = os.pidfd_open(tie) if tie else None
        with open(top + "/keeper", "w") as f:
            f.write("%d %d" % (os.getpid(), began(os.getpid())))
        self.child = os.fork()
        if self.child == 0:
            try:
                self.listener.close()
                _inside(top, main, say_fd)
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(2)
        os.close(say_fd)
        self.gone = os.pidfd_open(self.child)
        self.told = None

    def end(self, *_):
        if self.told is None:
            self.told = time.monotonic()
            os.kill(self.child, signal.SIGTERM)

    def keep(self):
        """Until the child ends, by itself or because somebody wants it; its status."""
        signal.signal(signal.SIGTERM, self.end)
        while True:
            fds = [self.gone, self.listener] + ([self.tie] if self.tie else [])
            ready, _, _ = select.select(fds, [], [], 1)
            if self.gone in ready:
                return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            if self.listener in ready:
                self.waiting.append(self.listener.accept()[0])
                self.end()
            if self.tie in ready:
                self.tie = None
                self.end()
            if self.told and time.monotonic() - self.told > END:
                os.kill(self.child, signal.SIGKILL)


def _keep(top, main, say_fd, tie):
    os.setsid()
    with open(os.devnull) as nothing, open(top + "/log", "ab") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir("/")
    k = _Keeper(top, main, say_fd, tie)
    status = k.keep()
    with open(top + "/log", errors="replace") as f:
        log = f.read()
    shutil.rmtree(top, True)
    for s in k.waiting:
        try:
            s.sendall(("%d\n%s" % (status, log)).encode())
        except OSError:
            pass
    os._exit(0)


class Kept:
    """What is, or will be, in that folder."""

    def __init__(self, top):
        self.top = top

    def keeper(self):
        """The keeper's process id, or None."""
        try:
            if os.lstat(self.top).st_uid != os.geteuid():
                return None     # in /tmp anybody can make one
            with open(self.top + "/keeper") as f:
                pid, start = map(int, f.read().split())
        except (OSError, ValueError):
            return None
        return pid if began(pid) == start else None

    def up(self, main, tell, tie=None):
        """Why it is not up now; None: it is.  tie: it is not to outlive that process."""
        if os.path.exists(self.top + "/keeper") and not self.keeper():
            shutil.rmtree(self.top)     # a keeper that was killed
        try:
            os.mkdir(self.top, 0o755)
        except FileExistsError:
            return "%s is there: it is up already, or the folder is another's" % self.top
        with open(self.top + "/log", "a+", errors="replace") as log:
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(r)
                    _keep(self.top, main, w, tie)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(2)
            os.close(w)
            with os.fdopen(r) as lines:
                # the first processes of the namespaces have the other end, too
                for line in map(str.strip, lines):
                    if line == UP:
                        return None
                    tell(line)
            os.waitpid(pid, 0)
            shutil.rmtree(self.top, True)
            log.seek(0)
            return log.read()

    def down(self):
        """(status, what was logged) of the end; None: it was not up."""
        pid = self.keeper()
        if pid is None:
            if os.path.exists(self.top + "/keeper"):
                shutil.rmtree(self.top)
            return None
        gone = os.pidfd_open(pid)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.top + "/socket")
            with s.makefile(errors="replace") as f:
                status, log = int(f.readline() or 2), f.read()
        select.select([gone], [], [], END)
        os.close(gone)
        return status, log

    def state(self):
        with open(self.top + "/state") as f:
            return json.load(f)

    def processes(self):
        """All that run inside: pid there -> pid here.  Those of deeper namespaces are there with
        the pid that the first of them gives."""
        out, todo = {}, children(self.keeper())
        todo = [x for pid in todo for x in children(pid)]
        while todo:
            pid = todo.pop()
            todo += children(pid)
            try:
                with open("/proc/%d/status" % pid) as f:
                    ids = next(x for x in f if x.startswith("NSpid:")).split()[1:]
            except (OSError, StopIteration):
                continue
            if began(pid):
                out[int(ids[1])] = pid
        return out
