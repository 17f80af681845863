# smb1.py: an SMB1 client (impacket) whose VcNumber and workstation can be chosen
"""    c = smb1.Client(addr, port, vc=0, name="PC1").login()
    c.write(0, b"...")
    c.read(0, 100)
    c.alive()

The bytes that it sends are its own: c.sent is every SESSION_SETUP_ANDX as it went out."""

import hashlib
import socket

from impacket import nmb, smb

SESSION_SETUP_ANDX = 0x73


class Negotiating(smb.SMB):
    extended = True

    def neg_session(self, extended_security=True, negPacket=None):
        return super().neg_session(self.extended, negPacket)


class Client:
    def __init__(self, addr, port, vc=None, name="LABCLIENT", extended=True, port_name="*SMBSERVER",
                 timeout=20):
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

        session = nmb.NetBIOSTCPSession(name, port_name, addr, sess_port=port, timeout=timeout)
        session.send_packet = changed.__get__(session)
        kind = type("Smb", (Negotiating,), {"extended": extended})
        self.smb = kind(port_name, addr, my_name=name, sess_port=port, timeout=timeout,
                        session=session)
        self.sock = session.get_socket()
        self.extended = extended
        self.tid = self.fid = None

    def login(self, user="alice", password="Alice-pw-1"):
        if self.extended:
            self.smb.login_extended(user, password)
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

    def gone(self, seconds=5):
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
