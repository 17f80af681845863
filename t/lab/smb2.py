# smb2.py: a raw SMB2 client for tests, written from MS-SMB2 and independent of the C code
"""One Conn is one TCP connection.  Everything can be done by hand (raw bytes, raw frames, chosen
MessageIds); the usual exchanges have methods.  Wire integers are little-endian, the four byte
transport header big-endian."""

import hashlib
import hmac
import os
import socket
import struct
import time

from Cryptodome.Cipher import AES, ARC4
from Cryptodome.Hash import CMAC, MD4

NEGOTIATE, SESSION_SETUP, LOGOFF, TREE_CONNECT, TREE_DISCONNECT = 0, 1, 2, 3, 4
CREATE, CLOSE, FLUSH, READ, WRITE, LOCK, IOCTL, CANCEL, ECHO = 5, 6, 7, 8, 9, 10, 11, 12, 13
QUERY_DIRECTORY, CHANGE_NOTIFY, QUERY_INFO, SET_INFO, OPLOCK_BREAK = 14, 15, 16, 17, 18

RESPONSE, ASYNC, RELATED, SIGNED = 0x1, 0x2, 0x4, 0x8

OK = 0x00000000
PENDING = 0x00000103
INVALID_PARAMETER = 0xC000000D
INVALID_DEVICE_REQUEST = 0xC0000010
MORE_PROCESSING = 0xC0000016
ACCESS_DENIED = 0xC0000022
BUFFER_TOO_SMALL = 0xC0000023
LOGON_FAILURE = 0xC000006D
NOT_SUPPORTED = 0xC00000BB
REQUEST_NOT_ACCEPTED = 0xC00000D0
FS_DRIVER_REQUIRED = 0xC000019C
USER_SESSION_DELETED = 0xC0000203
NETWORK_NAME_DELETED = 0xC00000C9

IFINFO = 0x001401FC
VALIDATE_NEGOTIATE = 0x00140204
RSS, RDMA = 1, 2
ANY64 = 0xFFFFFFFFFFFFFFFF
HMAC_SHA256, AES_CMAC, AES_GMAC = 0, 1, 2
BINDING = 1

MULTI = ("PC NETWORK PROGRAM 1.0", "LANMAN1.0", "Windows for Workgroups 3.1a", "LM1.2X002",
         "LANMAN2.1", "NT LM 0.12", "SMB 2.002", "SMB 2.???")


class Closed(Exception):
    """The peer closed the connection (cleanly or by a reset)."""


class Broken(Exception):
    """The peer sent what no server may send."""


class Status(Exception):
    """An answer with an unexpected status."""

    def __init__(self, msg, what=""):
        super().__init__("%s: status 0x%08X" % (what, msg.status))
        self.msg, self.status = msg, msg.status


# -- small crypto ---------------------------------------------------------------------------
def kdf(ki, label, context, length=16):
    data = struct.pack(">I", 1) + label + b"\0" + context + struct.pack(">I", length * 8)
    return hmac.new(ki, data, hashlib.sha256).digest()[:length]


def signature(algo, key, data, mid, from_server, is_cancel=False):
    if algo == HMAC_SHA256:
        return hmac.new(key, data, hashlib.sha256).digest()[:16]
    if algo == AES_CMAC:
        return CMAC.new(key, ciphermod=AES, msg=data).digest()
    nonce = struct.pack("<QI", mid, (1 if from_server else 0) | (2 if is_cancel else 0))
    return AES.new(key, AES.MODE_GCM, nonce=nonce).update(data).digest()


def aead(cipher, key, nonce):
    """Ciphers by their number: 1 AES-128-CCM, 2 AES-128-GCM, 3 and 4 with 256 bits."""
    if cipher in (1, 3):
        return AES.new(key, AES.MODE_CCM, nonce=nonce[:11], mac_len=16)
    return AES.new(key, AES.MODE_GCM, nonce=nonce[:12])


def seal(cipher, key, sid, payload):
    """A transform header and the encrypted payload."""
    size = 11 if cipher in (1, 3) else 12
    rest = os.urandom(size).ljust(16, b"\0") + struct.pack("<IHHQ", len(payload), 0, 1, sid)
    a = aead(cipher, key, rest).update(rest)
    data, tag = a.encrypt_and_digest(payload)
    return b"\xfdSMB" + tag + rest + data


def unseal(cipher, key, frame_):
    rest = frame_[20:52]
    size, = struct.unpack_from("<I", rest, 16)
    if size != len(frame_) - 52:
        raise Broken("transform of %d bytes says %d" % (len(frame_) - 52, size))
    return aead(cipher, key, rest).update(rest).decrypt_and_verify(frame_[52:], frame_[4:20])


def hmac_md5(key, data):
    return hmac.new(key, data, hashlib.md5).digest()


# -- SPNEGO, as far as NTLMSSP alone needs it ------------------------------------------------
def der(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


NTLMSSP_OID = der(6, bytes.fromhex("2b06010401823702020a"))


def spnego_init(token):
    return der(0x60, der(6, bytes.fromhex("2b0601050502")), der(0xA0, der(
        0x30, der(0xA0, der(0x30, NTLMSSP_OID)), der(0xA2, der(4, token)))))


def spnego_resp(token):
    return der(0xA1, der(0x30, der(0xA2, der(4, token))))


# -- NTLMSSP --------------------------------------------------------------------------------
NTLM_FLAGS = 0x00000001 | 0x00000004 | 0x00000010 | 0x00000200 | 0x00008000 | 0x00080000 \
    | 0x20000000 | 0x40000000


class Ntlm:
    """NTLMSSP, NTLMv2 with key exchange; user "" is anonymous.  Raw, or wrapped in SPNEGO."""

    def __init__(self, user, password, domain="", workstation="LABCLIENT", spnego=False):
        self.user, self.password, self.domain = user, password, domain
        self.ws, self.spnego = workstation, spnego
        self.key = bytes(16)

    # what login() asks of every mechanism: the next token, and the key when all is said
    def step(self, token):
        if token is None:
            mine = self.negotiate()
            return spnego_init(mine) if self.spnego else mine
        if self.spnego:
            token = token[token.index(b"NTLMSSP\0"):]
        mine = self.authenticate(token)
        return spnego_resp(mine) if self.spnego else mine

    def finish(self, token):
        pass

    def negotiate(self):
        return b"NTLMSSP\0" + struct.pack("<II", 1, NTLM_FLAGS) + bytes(16)

    def authenticate(self, challenge):
        if challenge[:8] != b"NTLMSSP\0" or struct.unpack_from("<I", challenge, 8)[0] != 2:
            raise Broken("not an NTLMSSP challenge: %r" % challenge[:16])
        flags, = struct.unpack_from("<I", challenge, 20)
        nonce = challenge[24:32]
        tlen, _, toff = struct.unpack_from("<HHI", challenge, 40)
        info = challenge[toff:toff + tlen]
        flags &= NTLM_FLAGS
        enc_key = b""
        if self.user == "":
            lm, nt = b"\0", b""
            flags = (flags | 0x800) & ~0x40000000
        else:
            nthash = MD4.new(self.password.encode("utf-16-le")).digest()
            v2 = hmac_md5(nthash, (self.user.upper() + self.domain).encode("utf-16-le"))
            now = (int(time.time()) + 11644473600) * 10000000
            blob = struct.pack("<BBHIQ", 1, 1, 0, 0, now) + os.urandom(8) + bytes(4) + info \
                + bytes(4)
            proof = hmac_md5(v2, nonce + blob)
            nt, lm = proof + blob, bytes(24)
            base = hmac_md5(v2, proof)
            self.key = base
            if flags & 0x40000000:
                self.key = os.urandom(16)
                enc_key = ARC4.new(base).encrypt(self.key)
        fields = [lm, nt] + [s.encode("utf-16-le") for s in (self.domain, self.user, self.ws)] \
            + [enc_key]
        off, head, data = 64, b"", b""
        order = [2, 3, 4, 0, 1, 5]  # payload order as usual: names, then responses, then key
        place = {}
        for i in order:
            place[i] = off + len(data)
            data += fields[i]
        for i in range(6):
            head += struct.pack("<HHI", len(fields[i]), len(fields[i]), place[i])
        return b"NTLMSSP\0" + struct.pack("<I", 3) + head + struct.pack("<I", flags) + data


# -- messages -------------------------------------------------------------------------------
class Msg:
    """One SMB2 message as received: header fields, body (after the header), raw bytes."""

    def __init__(self, raw):
        if len(raw) < 64 or raw[:4] != b"\xfeSMB":
            raise Broken("not an SMB2 message: %s" % raw[:80].hex())
        (size, self.charge, self.status, self.cmd, self.credits, self.flags, self.next, self.mid,
         self.pid, self.tid, self.sid) = struct.unpack_from("<HHIHHIIQIIQ", raw, 4)
        if size != 64:
            raise Broken("header size %d" % size)
        self.async_id = struct.unpack_from("<Q", raw, 32)[0] if self.flags & ASYNC else None
        self.sig = raw[48:64]
        self.raw = raw
        self.body = raw[64:]

    def __repr__(self):
        return "<Msg cmd=%d status=0x%08X mid=%d sid=0x%x flags=0x%x credits=%d len=%d>" % (
            self.cmd, self.status, self.mid, self.sid, self.flags, self.credits, len(self.raw))

    @property
    def secbuf(self):
        off, length = struct.unpack_from("<HH", self.body, 4)
        return self.raw[off:off + length]


def split(payload):
    """Walk a frame's compound strictly; every offset must be sane.  A related message is of the
    session before it, whatever its header says: that is its .owner."""
    out, off, owner = [], 0, ANY64
    while True:
        if len(payload) - off < 64:
            raise Broken("compound part of %d bytes" % (len(payload) - off))
        nxt, = struct.unpack_from("<I", payload, off + 20)
        if nxt and (nxt < 64 or nxt % 8 or nxt > len(payload) - off - 64):
            raise Broken("NextCommand %d of %d" % (nxt, len(payload) - off))
        m = Msg(payload[off:off + nxt] if nxt else payload[off:])
        if m.sid != ANY64:
            owner = m.sid
        m.owner = owner
        out.append(m)
        if nxt == 0:
            return out
        off += nxt


def header(cmd, mid, sid=0, tid=0, flags=0, credits=1, charge=1, nxt=0, pid=0xFEFF, status=0):
    return b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ", 64, charge, status, cmd, credits, flags, nxt,
                                    mid, pid, tid, sid) + bytes(16)


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def smb1_negotiate(dialects, flags2=0xC803, mid=0):
    strings = b"".join(b"\x02" + d.encode() + b"\0" for d in dialects)
    return b"\xffSMB\x72" + bytes(4) + b"\x18" + struct.pack("<H", flags2) + bytes(12) \
        + struct.pack("<HHHH", 0xFFFF, 0xFEFF, 0, mid) + b"\0" + struct.pack("<H", len(strings)) \
        + strings


def negotiate_body(dialects, guid, security=1, caps=0x7F, ciphers=(2, 1), signing=(2, 1, 0),
                   salt=None, start=64):
    head = struct.pack("<HHHHI", 36, len(dialects), security, 0, caps) + guid
    dl = b"".join(struct.pack("<H", d) for d in dialects)
    if 0x0311 not in dialects:
        return head + bytes(8) + dl
    ctx = [(1, struct.pack("<HHH", 1, 32, 1) + (salt or os.urandom(32)))]
    if ciphers:
        ctx.append((2, struct.pack("<H%dH" % len(ciphers), len(ciphers), *ciphers)))
    if signing:
        ctx.append((8, struct.pack("<H%dH" % len(signing), len(signing), *signing)))
    off = start + 36 + len(dl)
    pad = -off % 8
    out = b""
    for i, (kind, data) in enumerate(ctx):
        out += struct.pack("<HHI", kind, len(data), 0) + data
        if i + 1 < len(ctx):
            out += bytes(-len(data) % 8)
    return head + struct.pack("<IHH", off + pad, len(ctx), 0) + dl + bytes(pad) + out


def ioctl_body(code=IFINFO, max_out=65536, data=b"", fid=b"\xff" * 16, max_in=0, flags=1,
               one_byte=True):
    off = 120 if data else 0
    return struct.pack("<HHI", 57, 0, code) + fid + struct.pack(
        "<IIIIIIII", off, len(data), max_in, 0, 0, max_out, flags, 0) \
        + (data or (b"\0" if one_byte else b""))


class IoctlReply:
    def __init__(self, msg):
        b = msg.body
        if len(b) < 48 or struct.unpack_from("<H", b)[0] != 49:
            raise Broken("IOCTL answer: %s" % b[:64].hex())
        self.code, = struct.unpack_from("<I", b, 4)
        self.fid = b[8:24]
        (self.in_off, self.in_len, self.out_off, self.out_len, self.flags,
         _) = struct.unpack_from("<IIIIII", b, 24)
        if self.out_len:
            want = self.in_off + self.in_len
            if self.out_off < 112 or self.out_off % 8 or self.out_off < want:
                raise Broken("OutputOffset %d, input %d+%d" % (self.out_off, self.in_off,
                                                               self.in_len))
        if self.out_off + self.out_len > len(msg.raw):
            raise Broken("output %d+%d past the end of %d" % (self.out_off, self.out_len,
                                                              len(msg.raw)))
        self.out = msg.raw[self.out_off:self.out_off + self.out_len]
        self.rest = len(msg.raw) - (self.out_off + self.out_len if self.out_len else 112)


class Iface:
    """One entry of an interface list."""

    def __init__(self, ip, speed, caps, index):
        self.ip, self.speed, self.caps, self.index = ip, speed, caps, index

    def key(self):
        return (self.ip, self.speed, self.caps, self.index)

    def __eq__(self, other):
        return self.key() == other.key()

    def __repr__(self):
        return "%s speed=%d caps=%d if=%d" % self.key()


def parse_ifinfo(buf):
    """A NETWORK_INTERFACE_INFO list, with everything that must be zero or in step checked."""
    out, off = [], 0
    if not buf:
        return out
    while True:
        e = buf[off:off + 152]
        if len(e) != 152:
            raise Broken("entry of %d bytes" % len(e))
        nxt, index, caps, res, speed, fam = struct.unpack_from("<IIIIQH", e)
        if res or index == 0 or caps & ~3:
            raise Broken("entry: index %d caps 0x%x reserved %d" % (index, caps, res))
        sa = e[24:]
        if fam == 2:
            ip, zero = socket.inet_ntop(socket.AF_INET, sa[4:8]), sa[2:4] + sa[8:]
        elif fam == 0x17:
            ip, zero = socket.inet_ntop(socket.AF_INET6, sa[8:24]), sa[2:8] + sa[24:]
        else:
            raise Broken("family 0x%x" % fam)
        if any(zero):
            raise Broken("address entry not zero filled: %s" % sa.hex())
        out.append(Iface(ip, speed, caps, index))
        if nxt == 0:
            if off + 152 != len(buf):
                raise Broken("%d bytes after the last entry" % (len(buf) - off - 152))
            return out
        if nxt != 152:
            raise Broken("Next %d" % nxt)
        off += nxt


# -- sessions and connections ---------------------------------------------------------------
class Session:
    def __init__(self, sid=0):
        self.sid = sid
        self.key = bytes(16)        # the GSS key, 16 bytes
        self.signing_key = None     # of the first channel
        self.flags = 0
        self.sign = False           # sign requests of this session?
        self.seal = False           # seal them?  then they are not signed
        self.strict = False         # every answer must be signed, or sealed where that was asked
        self.channels = {}          # Conn -> signing key of that channel
        self.c2s = self.s2c = None  # cipher keys

    def key_for(self, conn):
        return self.channels.get(conn, self.signing_key)


class Conn:
    def __init__(self, addr, port, src=None, timeout=30, connect=True):
        self.addr, self.port, self.src, self.timeout = addr, port, src, timeout
        self.mid, self.credits = 0, 1
        self.guid = None
        self.dialect = 0
        self.algo = HMAC_SHA256
        self.cipher = 1
        self.preauth = bytes(64)
        self.frames = []            # (direction, payload) when recording is on
        self.record = None
        self.pendings = []          # interim answers seen
        self.sessions = {}
        self.sock = None
        if connect:
            self.connect()

    def connect(self):
        fam = socket.AF_INET6 if ":" in self.addr else socket.AF_INET
        self.sock = socket.socket(fam, socket.SOCK_STREAM)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.settimeout(self.timeout)
            if self.src:
                self.sock.bind((self.src, 0))
            self.sock.connect((self.addr, self.port))
        except OSError:
            self.sock.close()
            raise

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def reset(self):
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- bytes
    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError) as e:
            raise Closed(str(e))

    def send_frame(self, payload):
        if self.record is not None:
            self.record.append((0, frame(payload)))
        self.send_raw(frame(payload))

    def _exactly(self, n):
        out = bytearray()
        while len(out) < n:
            try:
                got = self.sock.recv(min(n - len(out), 1 << 20))
            except ConnectionResetError as e:
                raise Closed(str(e))
            if not got:
                raise Closed("end of stream after %d of %d bytes" % (len(out), n))
            out += got
        return bytes(out)

    def recv_frame(self):
        head = self._exactly(4)
        if head[0]:
            raise Broken("transport type 0x%02x" % head[0])
        payload = self._exactly(struct.unpack(">I", head)[0])
        if self.record is not None:
            self.record.append((1, head + payload))
        return payload

    def recv_eof(self, seconds=None):
        """Wait for the peer to close; returns what it still sent.  TimeoutError if it does not."""
        out = b""
        end = time.monotonic() + (seconds or self.timeout)
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("still open")
            self.sock.settimeout(left)
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            finally:
                self.sock.settimeout(self.timeout)
            if not got:
                return out
            out += got

    def is_open(self):
        """Not closed by the peer, as far as can be seen now."""
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(self.timeout)

    # -- requests
    def build(self, cmd, body, session=None, tid=0, flags=0, sign=None, mid=None, charge=None,
              credits=None, sid=None, nxt=0, pad=0):
        """One message; takes the next MessageId unless mid is given."""
        if charge is None:
            charge = 0 if self.dialect in (0, 0x0202) or cmd == CANCEL else 1
        if credits is None:
            credits = 1 if self.credits > 64 else 64
        if mid is None:
            mid = self.take(max(charge, 1))
        if sid is None:
            sid = session.sid if session else 0
        sign = sign if sign is not None else bool(session and session.sign)
        if sign:
            flags |= SIGNED
        m = header(cmd, mid, sid, tid, flags, credits, charge, nxt) + body + bytes(pad)
        if sign:
            sig = signature(self.algo, session.key_for(self), m, mid, False, cmd == CANCEL)
            m = m[:48] + sig + m[64:]
        return m

    def take(self, n=1):
        if self.credits < n:
            raise Broken("out of credits")
        mid = self.mid
        self.mid += n
        self.credits -= n
        return mid

    def compound(self, parts):
        """parts: list of dicts for build() with cmd and body; sets NextCommand and padding."""
        out = []
        for i, p in enumerate(parts):
            p = dict(p)
            cmd, body = p.pop("cmd"), p.pop("body")
            if i + 1 < len(parts):
                pad = -(64 + len(body)) % 8
                out.append(self.build(cmd, body, nxt=64 + len(body) + pad, pad=pad, **p))
            else:
                out.append(self.build(cmd, body, **p))
        return b"".join(out)

    def _got(self, m):
        self.credits += m.credits
        s = self.sessions.get(m.owner)
        if s and s.strict and m.status not in (PENDING, USER_SESSION_DELETED) and m.mid != ANY64:
            if s.seal and not m.sealed:
                raise Broken("not sealed: %r" % m)
            if s.sign and not m.sealed and not m.flags & SIGNED:
                raise Broken("not signed: %r" % m)
        if m.flags & SIGNED and s and m.status != PENDING and not (
                m.cmd == SESSION_SETUP and m.status in (MORE_PROCESSING,)):
            key = s.key_for(self)
            if key and m.status not in (USER_SESSION_DELETED,):
                want = signature(self.algo, key, m.raw[:48] + bytes(16) + m.raw[64:], m.mid, True)
                m.sig_ok = want == m.sig
        return m

    def recv(self):
        """The messages of the next frame, decrypted if it is sealed."""
        payload = self.recv_frame()
        sealed = payload[:4] == b"\xfdSMB"
        if sealed:
            sid, = struct.unpack_from("<Q", payload, 44)
            payload = unseal(self.cipher, self.sessions[sid].s2c, payload)
        out = split(payload)
        for m in out:
            m.sealed = sealed
            self._got(m)
        return out

    def send_sealed(self, payload, session):
        self.send_frame(seal(self.cipher, session.c2s, session.sid, payload))

    def answers(self, mids):
        """Final answers for these MessageIds, in this order; interim ones are noted."""
        want, got = list(mids), {}
        while any(m not in got for m in want):
            for m in self.recv():
                if m.status == PENDING and m.flags & ASYNC:
                    self.pendings.append(m)
                elif m.mid in want and m.mid not in got:
                    got[m.mid] = m
                elif m.mid != ANY64:
                    raise Broken("answer that nobody asked for: %r" % m)
        for m in got.values():
            if getattr(m, "sig_ok", True) is False:
                raise Broken("bad signature: %r" % m)
        return [got[m] for m in want]

    def call(self, cmd, body, sealed=False, **kw):
        """Send one request and return its final answer, whatever its status."""
        s = kw.get("session")
        m = self.build(cmd, body, **kw)
        if sealed or s and s.seal:
            self.send_sealed(m, s)
        else:
            self.send_frame(m)
        return self.answers([Msg(m).mid])[0]

    def calls(self, parts):
        """Send one compound; the answers in the order of the requests."""
        p = self.compound(parts)
        sealing = [x["session"] for x in parts if x.get("session") and x["session"].seal]
        if sealing:
            self.send_sealed(p, sealing[0])
        else:
            self.send_frame(p)
        return self.answers([m.mid for m in split(p)])

    @staticmethod
    def check(m, what, *allowed):
        if m.status not in (allowed or (OK,)):
            raise Status(m, what)
        return m

    # -- exchanges
    def multi_negotiate(self, dialects=MULTI):
        """SMB1 multi-protocol NEGOTIATE; returns the SMB2 answer's dialect (0x02FF, 0x0202)."""
        self.send_frame(smb1_negotiate(dialects))
        m, = self.recv()
        self.check(m, "multi-protocol negotiate")
        if m.mid != 0 or m.cmd != NEGOTIATE or not m.flags & RESPONSE:
            raise Broken("multi-protocol answer %r" % m)
        self.mid, self.credits = 1, m.credits
        self._negotiated(m)
        return self.dialect

    def _negotiated(self, m):
        (size, self.security, self.dialect, count, self.server_guid, self.caps, self.max_trans,
         self.max_read, self.max_write) = struct.unpack_from("<HHHH16sIIII", m.body)
        if size != 65:
            raise Broken("NEGOTIATE answer size %d" % size)
        self.neg_answer = m
        self.algo = HMAC_SHA256 if self.dialect < 0x0300 or self.dialect == 0x02FF else AES_CMAC
        if self.dialect == 0x0311:
            off, = struct.unpack_from("<I", m.body, 60)
            for _ in range(count):
                kind, length = struct.unpack_from("<HH", m.raw, off)
                if kind == 2:
                    self.cipher, = struct.unpack_from("<H", m.raw, off + 10)
                if kind == 8:
                    self.algo, = struct.unpack_from("<H", m.raw, off + 10)
                off += 8 + length + (-length % 8)

    def negotiate(self, dialects=(0x0202, 0x0210, 0x0300, 0x0302, 0x0311), guid=None, multi=None,
                  **kw):
        """The whole start.  multi: SMB1 dialect strings to open with (True: the usual ones)."""
        if multi:
            self.multi_negotiate(MULTI if multi is True else multi)
            if self.dialect == 0x0202:
                return self
        self.guid = guid if guid is not None else (self.guid or os.urandom(16))
        body = negotiate_body(list(dialects), self.guid, **kw)
        req = self.build(NEGOTIATE, body, charge=0, credits=31)
        self.preauth = hashlib.sha512(bytes(64) + req).digest()
        self.send_frame(req)
        m, = self.answers([Msg(req).mid])
        self.check(m, "negotiate")
        self.preauth = hashlib.sha512(self.preauth + m.raw).digest()
        self._negotiated(m)
        return self

    def setup_request(self, blob, session=None, sid=0, flags=0, prev=0, security=1, sign=False,
                      channel=0, mid=None):
        body = struct.pack("<HBBIIHHQ", 25, flags, security, 1, channel, 88, len(blob), prev) + blob
        return self.build(SESSION_SETUP, body, session=session, sid=sid, sign=sign, mid=mid)

    # An smbd without any tree connect closes its connections 60 s after the first came: whoever
    # logs on and stays calls tree() as well.
    def login(self, user="alice", password="Alice-pw-1", bind=None, prev=0, security=1,
              session=None, sign=None, allow=(), domain="", auth=None, seal=False, strict=False):
        """Log on (bind=: as a further channel of that session; session=: again, on it).  auth: a
        mechanism, instead of raw NTLMSSP with user and password.  Returns the Session.  Raises
        Status with the answer if it is refused at any leg."""
        auth = auth or Ntlm(user, password, domain)
        s = bind or session or Session()
        pre = self.preauth
        flags = BINDING if bind else 0
        sid, blob, leg = s.sid, auth.step(None), 0
        signed = bool(bind) or bool(session and session.sign)
        while True:
            leg += 1
            req = self.setup_request(blob, s, sid, flags, prev, security, signed)
            pre = hashlib.sha512(pre + req).digest()
            self.send_frame(req)
            m, = self.answers_setup(Msg(req).mid)
            if m.status != MORE_PROCESSING:
                break
            pre = hashlib.sha512(pre + m.raw).digest()
            sid, blob = m.sid, auth.step(m.secbuf)
        if m.status and m.status in allow:
            return m
        self.check(m, "session setup %d" % leg)
        auth.finish(m.secbuf)
        if session:
            return session
        sid, full = m.sid, auth.key
        gss = full[:16].ljust(16, b"\0")
        if self.dialect == 0x0311:
            key = kdf(gss, b"SMBSigningKey\0", pre)
        elif self.dialect >= 0x0300 and self.dialect != 0x02FF:
            key = kdf(gss, b"SMB2AESCMAC\0", b"SmbSign\0")
        else:
            key = gss
        if bind:
            s.channels[self] = key
        else:
            if self.dialect == 0x0311:
                big = 32 if self.cipher > 2 else 16
                ki = full if big == 32 else gss     # MS-SMB2 3.3.5.5.3: FullSessionKey
                s.c2s = kdf(ki, b"SMBC2SCipherKey\0", pre, big)
                s.s2c = kdf(ki, b"SMBS2CCipherKey\0", pre, big)
            elif self.dialect >= 0x0300:
                s.c2s = kdf(gss, b"SMB2AESCCM\0", b"ServerIn \0")
                s.s2c = kdf(gss, b"SMB2AESCCM\0", b"ServerOut\0")
            s.sid, s.key, s.full_key, s.signing_key = sid, gss, full, key
            s.flags, = struct.unpack_from("<H", m.body, 2)
            guest = bool(s.flags & 3) or (isinstance(auth, Ntlm) and auth.user == "")
            if guest:
                s.signing_key = None
            s.seal, s.strict = seal, strict
            s.sign = sign if sign is not None else (
                not seal and not guest and (self.dialect == 0x0311 or bool(self.security & 2)))
        self.sessions[s.sid] = s
        if strict and not m.flags & SIGNED:
            raise Broken("final SESSION_SETUP answer: not signed")
        if m.flags & SIGNED and s.key_for(self):
            want = signature(self.algo, s.key_for(self), m.raw[:48] + bytes(16) + m.raw[64:],
                             m.mid, True)
            if want != m.sig:
                raise Broken("final SESSION_SETUP answer: bad signature")
        return s

    def answers_setup(self, mid):
        """As answers(), but without judging signatures (the keys are just being made)."""
        while True:
            for m in split(self.recv_frame()):
                self.credits += m.credits
                if m.mid == mid and not (m.status == PENDING and m.flags & ASYNC):
                    return [m]

    def guest(self, **kw):
        """A guest session: an unknown user, which the lab's nodes map to guest."""
        return self.login("nosuchuser", "x", **kw)

    def logoff(self, s, **kw):
        return self.call(LOGOFF, struct.pack("<HH", 4, 0), session=s, **kw)

    def tree(self, s, share="data", host="nas", check=True, **kw):
        path = ("\\\\%s\\%s" % (host, share)).encode("utf-16-le")
        m = self.call(TREE_CONNECT, struct.pack("<HHHH", 9, 0, 72, len(path)) + path, session=s,
                      **kw)
        if check:
            self.check(m, "tree connect")
            return m.tid
        return m

    def create_body(self, name, access=0x12019F, disp=3, options=0x40, share=7):
        n = name.encode("utf-16-le")
        return struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, access, 0x80, share, disp,
                           options, 120, len(n), 0, 0) + (n or b"\0")

    def create(self, s, tid, name, **kw):
        m = self.check(self.call(CREATE, self.create_body(name, **kw), session=s, tid=tid),
                       "create " + name)
        return m.body[64:80]

    def write(self, s, tid, fid, off, data):
        charge = max(1, (len(data) + 65535) // 65536) if self.dialect > 0x0202 else None
        body = struct.pack("<HHIQ", 49, 112, len(data), off) + fid + bytes(16) + data
        return self.check(self.call(WRITE, body, session=s, tid=tid, charge=charge), "write")

    def read_body(self, fid, off, length):
        return struct.pack("<HBBIQ", 49, 0x50, 0, length, off) + fid + struct.pack(
            "<IIIHH", 0, 0, 0, 0, 0) + b"\0"

    def read(self, s, tid, fid, off, length):
        charge = max(1, (length + 65535) // 65536) if self.dialect > 0x0202 else None
        m = self.check(self.call(READ, self.read_body(fid, off, length), session=s, tid=tid,
                                 charge=charge), "read")
        o, n = m.body[2], struct.unpack_from("<I", m.body, 4)[0]
        return m.raw[o:o + n]

    def close_file(self, s, tid, fid):
        return self.check(self.call(CLOSE, struct.pack("<HHI", 24, 0, 0) + fid, session=s,
                                    tid=tid), "close")

    def echo(self, **kw):
        return self.check(self.call(ECHO, struct.pack("<HH", 4, 0), **kw), "echo")

    def ifinfo_raw(self, s, tid=0, max_out=65536, **kw):
        return self.call(IOCTL, ioctl_body(max_out=max_out), session=s, tid=tid, **kw)

    def ifinfo(self, s, tid=0, **kw):
        """The interface list as parsed entries."""
        return ifinfo_of(self.check(self.ifinfo_raw(s, tid, **kw), "interface query"))


def ifinfo_of(m):
    r = IoctlReply(m)
    if r.code != IFINFO or r.fid != b"\xff" * 16 or r.in_len or r.flags:
        raise Broken("IOCTL answer: code 0x%x fid %s input %d flags 0x%x" % (
            r.code, r.fid.hex(), r.in_len, r.flags))
    return parse_ifinfo(r.out)
