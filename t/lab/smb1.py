# smb1.py: an SMB1 client (impacket) whose VcNumber and workstation can be chosen
"""    c = smb1.Client(addr, port, vc=0, name="PC1").login()
    c.write(0, b"...")
    c.read(0, 100)
    c.alive()

The bytes that it sends are its own: c.sent is every SESSION_SETUP_ANDX as it went out."""

import hashlib
import socket
import struct

from impacket import nmb, ntlm, smb

SESSION_SETUP_ANDX = 0x73


class Negotiating(smb.SMB):
    extended = True

    def neg_session(self, extended_security=True, negPacket=None):
        return super().neg_session(self.extended, negPacket)


class Session(nmb.NetBIOSTCPSession):
    src = None

    def _setup_connection(self, peer, timeout=None):
        return socket.create_connection(peer, timeout, self.src and (self.src, 0))


class Client:
    def __init__(self, addr, port, vc=None, name="LABCLIENT", extended=True, port_name="*SMBSERVER",
                 timeout=30, src=None):
        """vc: put into every SESSION_SETUP_ANDX; None: as impacket has it (1).  extended: security
        blobs (WordCount 12), else WordCount 13, for which the server has to take NTLMv1.  Signs
        where the server requires it, and then signs what it has changed too."""
        self.vc, self.sent, self.key, self.seq = vc, [], None, 0
        send = nmb.NetBIOSTCPSession.send_packet

        def changed(session, data):
            if data[4] == SESSION_SETUP_ANDX:
                if self.vc is not None:
                    data = data[:41] + self.vc.to_bytes(2, "little") + data[43:]
                self.sent.append(data)
            if self.key is not None:
                data = data[:14] + self.seq.to_bytes(8, "little") + data[22:]
                data = data[:14] + hashlib.md5(self.key + data).digest()[:8] + data[22:]
                self.seq += 2
            return send(session, data)

        made = type("Session", (Session,), {"src": src})
        session = made(name, port_name, addr, sess_port=port, timeout=timeout)
        session.send_packet = changed.__get__(session)
        kind = type("Smb", (Negotiating,), {"extended": extended})
        self.smb = kind(port_name, addr, my_name=name, sess_port=port, timeout=timeout,
                        session=session)
        self.sock = session.get_socket()
        self.extended = extended
        self.tid = self.fid = None

    def login(self, user="alice", password="Alice-pw-1", domain=""):
        if self.extended:
            self.smb.login_extended(user, password, domain)
        else:
            self.smb.login_standard(user, password)
        if self.smb._SignatureEnabled and self.key is None:
            self.key, self.seq = self.smb._SigningSessionKey, 2
        return self

    def open(self, name, share="data"):
        self.tid = self.smb.tree_connect_andx(r"\\nas\%s" % share, None)
        self.fid = self.smb.nt_create_andx(self.tid, name, disposition=5, accessMask=0x12019F)
        return self

    def write(self, offset, data):
        self.smb.write_andx(self.tid, self.fid, data, offset)

    def read(self, offset, n):
        return self.smb.read_andx(self.tid, self.fid, offset, n)

    def alive(self):
        """It can still read its file."""
        try:
            self.read(0, 1)
            return True
        except Exception:       # impacket raises many kinds of them
            return False

    def gone(self, seconds=30):
        """The other side has closed, within that time."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b""
        except socket.timeout:
            return False
        except OSError:
            return True

    def close(self):
        self.sock.close()


class Raw:
    """The open form (WordCount 13, NTLMv1), message by message: several at once, in any order.

    r = Raw(addr, port, src="127.0.0.51")
    r.send(r.logon("alice", "Alice-pw-1", vc=0, mid=1), r.logon("bob", "wrong", mid=2))
    status, uid = r.answer()"""

    def __init__(self, addr, port, src=None, timeout=30, negotiate=True, extended=False):
        """extended: security blobs, for logon_blob()."""
        self.sock = socket.create_connection((addr, port), timeout, src and (src, 0))
        self.uid, self.challenge, self.flags2 = 0, bytes(8), 0x4801 if extended else 0x4001
        if not negotiate:
            return
        self.send(self.negotiation())
        r = self.recv()
        self.challenge = r[35 + 2 * r[32]:][:8]

    def negotiation(self):
        return self.message(0x72, b"", b"\x02NT LM 0.12\0", flags2=self.flags2)

    @staticmethod
    def block(words, data):
        return bytes([len(words) // 2]) + words + struct.pack("<H", len(data)) + data

    def header(self, cmd, mid=1, uid=0, tid=0, flags2=0x4001):
        return b"\xffSMB" + struct.pack("<BIBH12xHHHH", cmd, 0, 0x18, flags2, tid, mid, uid, mid)

    def message(self, cmd, words, data, **header):
        return self.header(cmd, **header) + self.block(words, data)

    def logon(self, user, password, vc=1, mid=1, tree=None):
        """tree: a TREE_CONNECT to that share in the same message.  password None: nobody's."""
        answer = b"" if password is None else ntlm.get_ntlmv1_response(
            ntlm.compute_nthash(password), self.challenge)
        data = answer + user.encode() + b"\0LABGROUP\0Unix\0lab\0"
        words = [0x75 if tree else 0xFF, 0, 0, 65535, 50, vc, 0, 0, len(answer), 0, 0x50]
        size = struct.calcsize("<BBHHHHIHHII")
        words[2] = 32 + 1 + size + 2 + len(data) if tree else 0
        out = self.message(SESSION_SETUP_ANDX, struct.pack("<BBHHHHIHHII", *words), data, mid=mid)
        if tree:
            share = b"\0\\\\NAS\\%s\0?????\0" % tree.encode()
            out += self.block(struct.pack("<BBHHH", 0xFF, 0, 0, 0, 1), share)
        return out

    def logon_blob(self, token, vc=1, mid=1):
        words = struct.pack("<BBHHHHIHII", 0xFF, 0, 0, 65535, 50, vc, 0, len(token), 0, 0x80000050)
        return self.message(SESSION_SETUP_ANDX, words, token + b"Unix\0lab\0", mid=mid,
                            uid=self.uid, flags2=self.flags2)

    def send(self, *messages):
        self.sock.sendall(b"".join(struct.pack(">I", len(m)) + m for m in messages))

    def exactly(self, n):
        out = b""
        while len(out) < n:
            got = self.sock.recv(n - len(out))
            if not got:
                raise ConnectionError("closed")
            out += got
        return out

    def recv(self):
        return self.exactly(struct.unpack(">I", self.exactly(4))[0])

    def answer(self):
        """Status and UID of the next one."""
        r = self.recv()
        return struct.unpack_from("<I", r, 5)[0], struct.unpack_from("<H", r, 28)[0]

    def login(self, user="alice", password="Alice-pw-1", **kw):
        self.send(self.logon(user, password, **kw))
        status, self.uid = self.answer()
        if status:
            raise ConnectionError("logon: 0x%08X" % status)
        return self

    def echo(self):
        self.send(self.message(0x2B, b"\1\0", b"x", mid=999, tid=0xFFFF, uid=self.uid))
        if self.recv()[4] != 0x2B:
            raise ValueError("an ECHO is answered by something else")

    def is_open(self):
        """It answers an ECHO."""
        try:
            self.echo()
            return True
        except (OSError, ValueError):
            return False

    def close(self):
        self.sock.close()
