# way.py: a way to a server, on which what passes is delayed, comes late, or not at all
"""A TCP forwarder on 127.0.0.1, for one that is asked something: a Redis."""
import queue
import socket
import threading
import time


class Way:
    """up, down: how many seconds later what is said, or answered, arrives; numbers, or functions
    of each piece.  Each piece is behind those before it on its connection; those
    of different connections overtake each other."""

    def __init__(self, t, port):
        self.port_there = port
        self.up = self.down = 0.0
        self.open = True
        self.lock, self.socks = threading.Lock(), []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        t.defer(self.stop)

    def delay(self, up=0.0, down=0.0):
        self.up, self.down = up, down

    def drop(self):
        """Whoever is connected hears the end at once; what is on its way still arrives, and then
        there is nobody to be answered."""
        with self.lock:
            socks, self.socks = self.socks, []
        for s in socks:
            shut(s)

    def cut(self):
        """No way, until mend()."""
        self.open = False
        self.drop()

    def mend(self):
        self.open = True

    def stop(self):
        self.cut()
        shut(self.listener)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.port_there), 5)
            except OSError:
                here.close()
                continue
            with self.lock:
                if not self.open:
                    here.close()
                    there.close()
                    continue
                self.socks.append(here)
            for s in (here, there):
                s.settimeout(None)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass(here, there, "up")
            self._pass(there, here, "down")

    def _pass(self, a, b, name):
        pieces = queue.SimpleQueue()

        def take():
            piece = b"."
            while piece:
                try:
                    piece = a.recv(65536)
                except OSError:
                    piece = b""
                late = getattr(self, name)
                pieces.put((time.monotonic() + (late(piece) if callable(late) else late), piece))

        def give():
            while True:
                at, piece = pieces.get()
                time.sleep(max(0, at - time.monotonic()))
                try:
                    b.sendall(piece)
                except OSError:
                    piece = b""
                if not piece:
                    break
            shut(b)
            if name == "up":
                shut(a)
        for f in (take, give):
            threading.Thread(target=f, daemon=True).start()


def shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
