# redis.py: Redis servers and Sentinels of a test's own, and a Redis that says what it is told to
"""Every server has a directory of its own and a free port on 127.0.0.1 (or a unix socket alone)."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import gate
import node
import tap

SERVER, SENTINEL = "/usr/bin/redis-server", "/usr/bin/redis-sentinel"


def missing():
    """Why no Redis can be run here, or None."""
    for p in (SERVER, SENTINEL):
        if not os.path.exists(p):
            return "no %s" % p
    return None


class Error(Exception):
    """An error that Redis answered."""


def encode(*args):
    out = b"*%d\r\n" % len(args)
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        out += b"$%d\r\n%s\r\n" % (len(a), a)
    return out


def context(ca, cert=None, key=None):
    """TLS for a Client."""
    c = ssl.create_default_context(cafile=ca)
    if cert:
        c.load_cert_chain(cert, key)
    return c


class Client:
    """A blocking connection: enough to look at what smbgate has written.  tls: a context()."""

    def __init__(self, where, timeout=30, tls=None):
        if isinstance(where, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(where)
        else:
            self.sock = socket.create_connection(where, timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=where[0])
        self.f = self.sock.makefile("rb")

    def close(self):
        self.f.close()
        self.sock.close()

    def __call__(self, *args):
        self.sock.sendall(encode(*args))
        return self.reply()

    def pipe(self, commands):
        """Many commands in one go; their answers."""
        self.sock.sendall(b"".join(encode(*c) for c in commands))
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.f.readline()
        if not line:
            raise EOFError("redis closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self.f.read(n + 2)[:-2]
        n = int(rest)
        return None if n < 0 else [self.reply() for _ in range(n)]

    def hash(self, key):
        flat = self("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))


class Server:
    """One redis-server (or Sentinel).  conf: further lines."""

    def __init__(self, t, conf="", unix=False, program=SERVER, port=None, name="redis"):
        self.t, self.name, self.program = t, name, program
        self.dir = node.tempdir(t)
        self.port = 0 if unix else port or node.free_port("127.0.0.1")
        self.path = self.dir + "/redis.sock" if unix else None
        self.proc = self.tls = None
        self.text = "bind 127.0.0.1\nport %d\ndir %s\nsave ''\nappendonly no\n" \
            "protected-mode no\nlogfile %s/log\ndaemonize no\n" % (self.port, self.dir, self.dir)
        if unix:
            self.text += "unixsocket %s\nunixsocketperm 777\n" % self.path
        self.text += conf

    @property
    def where(self):
        return self.path or ("127.0.0.1", self.port)

    @property
    def endpoint(self):
        return self.path or "127.0.0.1:%d" % self.port

    def start(self):
        conf = self.dir + "/conf"
        if self.proc is None and not os.path.exists(conf):
            with open(conf, "w") as f:
                f.write(self.text)
        # A Sentinel that is late by 2 s does nothing for 30 s.
        self.proc = self.t.spawn([*gate.FIRST, self.program, conf], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        self.t.defer(self.kill)
        tap.wait_for(self.answers, 60, message=lambda: "%s does not start: %s" % (
            self.name, self.log()[-2000:]))
        return self

    def answers(self):
        try:
            c = Client(self.where, 2, self.tls)
        except OSError:
            return False
        try:
            return c("PING") == "PONG"
        except Error as e:
            return "NOAUTH" in str(e)
        except (OSError, EOFError):
            return False
        finally:
            c.close()

    def client(self, *auth):
        c = Client(self.where, tls=self.tls)
        if auth:
            c("AUTH", *auth)
        return c

    def do(self, *args):
        c = self.client()
        try:
            return c(*args)
        finally:
            c.close()

    def kill(self):
        """SIGKILL, and wait."""
        if self.proc is None:
            return
        p, self.proc = self.proc, None
        if p.poll() is None:
            p.send_signal(signal.SIGCONT)
        self.t.kill_group(p)

    def stop(self):
        self.proc.send_signal(signal.SIGSTOP)

    def cont(self):
        self.proc.send_signal(signal.SIGCONT)

    def log(self):
        try:
            with open(self.dir + "/log", errors="replace") as f:
                return f.read()
        except OSError:
            return ""


def sentinels(t, master, count=3, quorum=2, down_ms=500, name="mymaster"):
    """Sentinels that watch master.  Quick: a failover takes a second or two."""
    out = []
    for i in range(count):
        s = Server(t, "sentinel monitor %s 127.0.0.1 %d %d\n"
                   "sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 5000\n"
                   "sentinel parallel-syncs %s 1\n" % (name, master.port, quorum, name, down_ms,
                                                       name, name),
                   program=SENTINEL, name="sentinel%d" % i)
        s.text = s.text.replace("save ''\nappendonly no\n", "")
        out.append(s.start())
    tap.wait_for(lambda: all(settled(s, name, count) for s in out), 60,
                 message="the Sentinels do not see each other")
    return out


def settled(s, name, count):
    flat = s.do("SENTINEL", "master", name)
    m = dict(zip(flat[::2], flat[1::2]))
    return int(m[b"num-other-sentinels"]) == count - 1 and int(m[b"num-slaves"]) >= 1


def master_of(s, name="mymaster"):
    host, port = s.do("SENTINEL", "get-master-addr-by-name", name)
    return host.decode(), int(port)


class Hostile:
    """A server whose answers are made by answer(args, peer): bytes, or None to close.  peer is a
    dict for that function, one a connection.  raw: whatever came is answered, with args None."""

    def __init__(self, t, answer, raw=False):
        self.t, self.answer, self.raw = t, answer, raw
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.over = False
        self.connections = self.sent = 0
        self.lock, self.socks, self.threads = threading.Lock(), [], []
        t.defer(self.stop)
        self._thread(self._accept)

    @property
    def endpoint(self):
        return "127.0.0.1:%d" % self.port

    def _thread(self, f, *args):
        th = threading.Thread(target=f, args=args, daemon=True)
        th.start()
        self.threads.append(th)

    def _accept(self):
        self.listener.settimeout(0.2)
        while not self.over:
            try:
                s, _ = self.listener.accept()
            except OSError:
                continue
            # who is counted can be hung up
            with self.lock:
                self.socks.append(s)
                self.connections += 1
            self._thread(self._serve, s)

    def _serve(self, s):
        peer = {"n": 0, "sock": s}
        s.settimeout(0.2)
        buf = b""
        with s:
            while not self.over:
                try:
                    got = s.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not got:
                    return
                buf += got
                while True:
                    args, rest = (None, b"") if self.raw else decode(buf)
                    if args is None and not (self.raw and buf):
                        break
                    buf = rest
                    peer["n"] += 1
                    out = self.answer(args, peer)
                    if out is None:
                        return
                    try:
                        s.settimeout(5)
                        for at in range(0, len(out), 65536):
                            s.sendall(out[at:at + 65536])
                            self.sent += len(out[at:at + 65536])
                        s.settimeout(0.2)
                    except OSError:
                        return

    def hang_up(self):
        """End every connection there is; how many had ever been."""
        with self.lock:
            socks, self.socks, n = self.socks, [], self.connections
        for s in socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return n

    def stop(self):
        self.over = True
        for th in self.threads:
            th.join(2)
        self.listener.close()


def decode(buf):
    """The first command of what a client sent, and what is behind it; None: not whole yet."""
    end = buf.find(b"\r\n")
    if end == -1:
        return None, buf
    n, at, args = int(buf[1:end]), end + 2, []
    for _ in range(n):
        end = buf.find(b"\r\n", at)
        if end == -1:
            return None, buf
        size = int(buf[at + 1:end])
        if len(buf) < end + 2 + size + 2:
            return None, buf
        args.append(buf[end + 2:end + 2 + size])
        at = end + 2 + size + 2
    return args, buf[at:]


def greeting(args, peer):
    """What a good server says to a new connection; None: it is a later question."""
    word = args[0].upper()
    if word == b"AUTH":
        return b"+OK\r\n"
    if word == b"ROLE":
        return b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
    if word == b"SCRIPT":
        return b"$40\r\n" + (b"%040x" % len(args[2])) + b"\r\n"
    if word == b"EVALSHA" and len(args) == 4:
        return b":1\r\n"        # a try of all commands: they work
    if word == b"TIME":
        now = time.time()
        return encode("%d" % now, "%d" % (now % 1 * 1e6))
    return None
