# front.py: what may stand in front of SMB (NetBIOS, PROXY headers), and a relay that counts frames
import socket
import struct
import subprocess
import threading

import tap

KEEPALIVE = b"\x85\0\0\0"
GRANTED = b"\x82\0\0\0"
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21


def encoded(name, suffix=0x20):
    """First-level encoding, RFC 1001 14.1."""
    raw = name.encode("latin-1").ljust(15)[:15] + bytes([suffix])
    return b"\x20" + b"".join(bytes([65 + (b >> 4), 65 + (b & 15)]) for b in raw) + b"\0"


def session_request(called="NAS", calling="RAWCLIENT", trailer=None, flags=0):
    body = encoded(called) + encoded(calling, 0) if trailer is None else trailer
    return struct.pack(">BBH", 0x81, flags, len(body)) + body


def v1(src, dst, sport, dport):
    return ("PROXY TCP%d %s %s %d %d\r\n" %
            (6 if ":" in src else 4, src, dst, sport, dport)).encode()


def v2(src, dst, sport, dport, tlvs=b"", command=PROXY):
    six = ":" in src
    pton = (lambda a: socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, a))
    return v2_raw(command, 0x21 if six else 0x11,
                  pton(src) + pton(dst) + struct.pack(">HH", sport, dport) + tlvs)


def v2_raw(command, family, body, length=None):
    return V2_SIGNATURE + struct.pack(">BBH", command, family,
                                      len(body) if length is None else length) + body


def reasons(gate, before):
    """Why connections have ended since closes() gave before, as soon as one has; those that the
    test itself closed may still be among them, and do not count."""
    return tap.wait_for(lambda: set(gate.closed_since(before)) - {"client_eof"}, 20)


def own_network():
    """This process's network is one of its own (see t/e2e/nodes-blackhole.t): switch it on."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Relay:
    """Stands in for a node in a Gate, in front of a real one: counts what passes by type, notes the
    longest, and can say something to the client."""

    def __init__(self, t, node, addr, port):
        self.name, self.addr, self.port = node.name, addr, port
        self.endpoint = "%s:%d" % (addr, port)
        self.node, self.frames = node, {}
        self.count, self.longest = {}, {}
        self.lock = threading.Lock()
        self.listener = socket.create_server((addr, port), backlog=128)
        t.defer(self.listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            n = socket.create_connection((self.node.addr, self.node.port))
            self.frames[c] = 0
            for pair in ((c, n, "c2s"), (n, c, "s2c")):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, src, dst, way):
        head, left = b"", 0
        try:
            while True:
                data = src.recv(1 << 18)
                if not data:
                    dst.shutdown(socket.SHUT_WR)
                    return
                dst.sendall(data)
                while data:
                    if left:
                        data, left = data[left:], max(0, left - len(data))
                        continue
                    head, data = head + data[:4 - len(head)], data[4 - len(head):]
                    if len(head) == 4:
                        left, kind = int.from_bytes(head[1:], "big"), head[0]
                        with self.lock:
                            if way == "c2s":
                                self.frames[src] += 1
                            self.count[way, kind] = self.count.get((way, kind), 0) + 1
                            self.longest[way] = max(self.longest.get(way, 0), left)
                        head = b""
        except OSError:
            pass
        finally:
            if way == "c2s":
                self.frames.pop(src, None)

    def kinds(self, way):
        """The types of the frames that went that way, the SMB messages apart."""
        with self.lock:
            return sorted(k for w, k in self.count if w == way and k)

    def say(self, data):
        """To smbgate, as the node, on the connection that said most: the others are probes."""
        max(self.frames, key=self.frames.get).sendall(data)
