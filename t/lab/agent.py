# agent.py: agents of nodes: what is run, or said, for each connection, as under a socket unit
import selectors
import socket
import subprocess
import threading


class Program:
    """A program is run for each connection, and what it prints is the answer."""

    def __init__(self, t, addr, argv, env=None, port=0):
        self.argv, self.env, self.over = argv, env, False
        self.listener = socket.create_server((addr, port))
        self.endpoint = "%s:%d" % self.listener.getsockname()
        threading.Thread(target=self._run, daemon=True).start()
        t.defer(self.stop)

    def _one(self, c):
        with c:
            try:
                subprocess.run(self.argv, env=self.env, stdin=c, stdout=c, timeout=20,
                               stderr=subprocess.DEVNULL, check=False)
            except subprocess.TimeoutExpired:
                pass

    def _run(self):
        while not self.over:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(c,), daemon=True).start()

    def stop(self):
        self.over = True
        self.listener.close()


class Crowd:
    """Agents of many nodes in one thread.  say(address) gives bytes: an answer; None: the
    connection is closed at once; a list of bytes: one each TRICKLE, and [] is silence for ever."""
    TRICKLE = 0.05

    def __init__(self, t, say):
        self.say, self.over, self.asked = say, False, {}
        self.listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.listener.setblocking(False)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        t.defer(self.stop)

    def _accept(self, waiting):
        c, _ = self.listener.accept()
        addr = c.getsockname()[0]
        self.asked[addr] = self.asked.get(addr, 0) + 1
        what = self.say(addr)
        if isinstance(what, list):
            waiting.append((c, list(what)))
            return
        try:
            c.setblocking(False)
            if what is not None:
                c.send(what)
        except OSError:
            pass
        c.close()

    def _run(self):
        sel, waiting = selectors.DefaultSelector(), []
        sel.register(self.listener, selectors.EVENT_READ)
        while not self.over:
            if sel.select(self.TRICKLE):
                self._accept(waiting)
            for item in list(waiting):
                c, rest = item
                try:
                    if rest:
                        c.send(rest.pop(0))
                    elif c.recv(1, socket.MSG_DONTWAIT) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                except OSError:
                    c.close()
                    waiting.remove(item)

    def stop(self):
        self.over = True
        self.thread.join(5)
        self.listener.close()
