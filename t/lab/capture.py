# capture.py: capture both legs, and read them with decoders that share nothing with smbgate
"""Capture runs tcpdump; streams() gives the frames of every TCP connection in it; Decoder opens
sealed frames and checks signatures with the keys of the raw client's own sessions.  tshark() is a
second opinion, with a keytab or with session keys."""

import os
import socket
import struct
import subprocess

import ad
import smb2
import tap


class Capture:
    def __init__(self, t, path, filt="tcp port 445", at=ad.STRANGER):
        """at: an address that is on lo, for packets of ours"""
        self.t, self.path, self.at = t, path, at
        # who stops a capture sends a packet first, so that all before it is in the file
        self.mark = free_udp_port()
        self.err = path + ".err"
        with open(self.err, "wb") as err:
            self.proc = t.spawn(["tcpdump", "-i", "lo", "-n", "-s", "0", "-U", "--immediate-mode",
                                 "-B", "65536", "-Z", "root", "-w", path,
                                 "(%s) or udp port %d" % (filt, self.mark)],
                                stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        t.defer(t.kill_group, self.proc)
        tap.wait_for(lambda: self._marked(), 60, message=lambda: "tcpdump: " + open(
            self.err, errors="replace").read())
        self.marks = 0

    def _marked(self):
        """Send a mark; whether there is one more in the file than before."""
        before = self._count()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"mark", (self.at, self.mark))
        return tap.wait_for(lambda: self._count() > before, 0.5)

    def _count(self):
        try:
            return sum(1 for p in packets(self.path) if p[0] == "udp")
        except (FileNotFoundError, struct.error):
            return 0

    def stop(self):
        """All that was on the wire until now is in the file."""
        tap.wait_for(self._marked, 60, message="tcpdump does not write")
        self.proc.terminate()
        self.proc.wait(30)
        with open(self.err, errors="replace") as f:
            self.said = f.read()
        return self

    def dropped(self):
        for line in self.said.splitlines():
            if line.endswith("packets dropped by kernel"):
                return int(line.split()[0])
        return -1


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("0.0.0.0", 0))
        return s.getsockname()[1]


def packets(path):
    """("tcp", src, sport, dst, dport, seq, flags, data) of each TCP packet; ("udp",) of others."""
    with open(path, "rb") as f:
        head = f.read(24)
        if len(head) < 24:
            return
        order = "<" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        link, = struct.unpack(order + "I", head[20:24])
        skip = {1: 14, 113: 16, 276: 20, 101: 0, 12: 0}[link & 0xFFFF]
        while True:
            rec = f.read(16)
            if len(rec) < 16:
                return
            size, = struct.unpack_from(order + "I", rec, 8)
            p = f.read(size)
            if len(p) < size:
                return
            ip = p[skip:]
            if len(ip) < 20 or ip[0] >> 4 != 4:
                continue
            hl = (ip[0] & 15) * 4
            if ip[9] != 6:
                yield ("udp",)
                continue
            total, = struct.unpack_from(">H", ip, 2)
            tcp = ip[hl:total] if total else ip[hl:]
            sport, dport, seq = struct.unpack_from(">HHI", tcp)
            yield ("tcp", socket.inet_ntoa(ip[12:16]), sport, socket.inet_ntoa(ip[16:20]), dport,
                   seq, tcp[13], tcp[(tcp[12] >> 4) * 4:])


def write(path, conversations):
    """A capture that nobody made: whole TCP connections, one after another.  Each is (the server's
    port, [(0 for client to server or 1, bytes), ..]); its number is tshark's tcp.stream."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
        for number, (port, said) in enumerate(conversations):
            ends = ((b"\x0a\x01" + struct.pack(">H", number + 1), 40000 + number % 20000),
                    (b"\x0a\x00\x00\x05", port))
            seq, steps = [1000, 5000], [(0, 2, b""), (1, 0x12, b""), (0, 0x10, b"")]
            for way, data in said:
                steps += [(way, 0x18, data[at:at + 32768]) for at in range(0, len(data), 32768)]
            steps += [(0, 0x11, b""), (1, 0x11, b""), (0, 0x10, b"")]
            for n, (way, flags, data) in enumerate(steps):
                (src, sport), (dst, dport) = ends[way], ends[1 - way]
                ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), n, 0x4000, 64, 6, 0) + \
                    src + dst + struct.pack(">HHIIBBHHH", sport, dport, seq[way],
                                            seq[1 - way] if n else 0, 0x50, flags, 65535, 0, 0)
                size = 14 + len(ip) + len(data)
                f.write(struct.pack("<IIII", 1700000000 + number, n, size, size) + bytes(12) +
                        b"\x08\x00" + ip + data)
                seq[way] += len(data) + (flags & 3 != 0)


class Stream:
    """One TCP connection: client and server as (address, port), frames[0] client to server,
    frames[1] server to client.  whole: its beginning was seen and nothing is missing."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.frames = ([], [])
        self.whole = True


def streams(path, server_port=445):
    flows, order = {}, []
    for p in packets(path):
        if p[0] != "tcp":
            continue
        _, src, sport, dst, dport, seq, flags, data = p
        if flags & 2 and not flags & 16:        # a new connection: SYN without ACK
            key = (src, sport, dst, dport)
            flows[key] = ({}, {}, [None, None])
            order.append((key, flows[key]))
        way = 0 if dport == server_port and (src, sport, dst, dport) in flows else 1
        key = (src, sport, dst, dport) if way == 0 else (dst, dport, src, sport)
        if key not in flows:
            continue
        if flags & 2:
            flows[key][2][way] = (seq + 1) & 0xFFFFFFFF
        if data:
            old = flows[key][way].get(seq, b"")
            if len(data) > len(old):
                flows[key][way][seq] = data
    out = []
    for (src, sport, dst, dport), flow in order:
        s = Stream((src, sport), (dst, dport))
        for way in (0, 1):
            data = _join(s, flow[way], flow[2][way])
            off = 0
            while off + 4 <= len(data):
                size = int.from_bytes(data[off + 1:off + 4], "big")
                if off + 4 + size > len(data):
                    s.whole = False
                    break
                s.frames[way].append(data[off + 4:off + 4 + size])
                off += 4 + size
        out.append(s)
    return out


def _join(s, segments, start):
    if not segments or start is None:
        return b""
    out, at = bytearray(), 0
    for rel, data in sorted((((q - start) & 0xFFFFFFFF), d) for q, d in segments.items()):
        if rel > at:
            s.whole = False
            break
        if rel + len(data) > at:
            out += data[at - rel:]
            at = rel + len(data)
    return bytes(out)


class Keys:
    """What opens one session: taken from the raw client when it has logged on."""

    def __init__(self, conn, session):
        self.sid, self.session = session.sid, session
        self.cipher, self.algo = conn.cipher, conn.algo
        self.c2s, self.s2c = session.c2s, session.s2c

    def signing(self):
        return [self.session.signing_key] + list(self.session.channels.values())


class Seen:
    """One message of a capture."""

    def __init__(self, way, msg, sealed, verified, nonce, key):
        self.way, self.msg, self.sealed, self.verified = way, msg, sealed, verified
        self.nonce, self.key = nonce, key


class Decoder:
    def __init__(self, keys):
        self.keys = {k.sid: k for k in keys}
        self.opened = self.verified = self.failed = 0

    def messages(self, stream):
        """Every SMB2 message of known sessions: opened, and its signature checked."""
        for way in (0, 1):
            for f in stream.frames[way]:
                if f[:4] == b"\xfdSMB":
                    k = self.keys.get(struct.unpack_from("<Q", f, 44)[0])
                    if not k:
                        continue
                    size = 11 if k.cipher in (1, 3) else 12
                    key = k.s2c if way else k.c2s
                    try:
                        payload = smb2.unseal(k.cipher, key, f)
                    except (ValueError, smb2.Broken):
                        self.failed += 1
                        continue
                    self.opened += 1
                    for m in smb2.split(payload):
                        yield Seen(way, m, True, True, f[20:20 + size], key)
                elif f[:4] == b"\xfeSMB":
                    for m in smb2.split(f):
                        k = self.keys.get(m.owner)
                        good, key = None, None
                        if k and m.flags & smb2.SIGNED:
                            good, key = self._check(k, way, m)
                        yield Seen(way, m, False, good, None, key)

    def _check(self, k, way, m):
        data = m.raw[:48] + bytes(16) + m.raw[64:]
        for key in k.signing():
            if key and smb2.signature(k.algo, key, data, m.mid, bool(way),
                                      m.cmd == smb2.CANCEL) == m.sig:
                self.verified += 1
                return True, key
        self.failed += 1
        return False, None


def addresses(stream, decoder, way=1):
    """Interface lists that were on that connection: [(session id, [address, ..])]."""
    out = []
    for s in decoder.messages(stream):
        if s.way == way and s.msg.cmd == smb2.IOCTL and s.msg.status == 0 \
                and struct.unpack_from("<I", s.msg.body, 4)[0] == smb2.IFINFO:
            out.append((s.msg.owner, [e.ip for e in smb2.ifinfo_of(s.msg)]))
    return out


def holds(stream, decoder, ips, way=1):
    """Those of ips that occur as an IPv4 sockaddr in any opened message of that direction."""
    want = {ip: struct.pack("<HH", 2, 0) + socket.inet_aton(ip) for ip in ips}
    found = set()
    for s in decoder.messages(stream):
        if s.way == way:
            found |= {ip for ip, b in want.items() if b in s.msg.raw}
    return found


def tshark(path, keytab=None, keys=(), fields=(), display="smb2", more=()):
    """Rows of field values.  keytab: for NTLM.  keys: Keys with AES-128; tshark 4.0 does not open
    AES-256 under a Kerberos key of 32 bytes."""
    # in one pass: with two (-2) it does not open sealed frames by the keytab
    argv = ["tshark", "-n", "-r", path, "-Y", display, "-T", "fields", "-E", "separator=|",
            "-E", "occurrence=a", "-E", "aggregator=,"]
    argv += more
    for f in fields:
        argv += ["-e", f]
    if keytab:
        argv += ["-K", keytab, "-o", "kerberos.decrypt:TRUE", "-o", "smb2.verify_signatures:FALSE"]
    for k in keys:
        argv += ["-o", 'uat:smb2_seskey_list:%s,%s,"",""' % (
            struct.pack("<Q", k.sid).hex(), k.session.key.hex())]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                       env=dict(os.environ, HOME="/nonexistent"), stdin=subprocess.DEVNULL)
    if r.returncode:
        raise RuntimeError("tshark: %d: %s" % (r.returncode, r.stderr[-2000:]))
    return [line.split("|") for line in r.stdout.splitlines()]
