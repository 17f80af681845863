# numbered.py: a scripted node that knows users, signs and seals, and gives small numbers again
"""A NumberedNode authenticates the lab's users by NTLM, and signs and seals as a server does.  It
numbers sessions as ksmbd does: the least number that is free, from 1, and so again after a LOGOFF,
after the connection has gone, after forget(), and after restart()."""

import hashlib
import os
import struct

from Cryptodome.Cipher import ARC4
from Cryptodome.Hash import MD4

import fake
import node
import smb2

LOGON_FAILURE = smb2.LOGON_FAILURE


def field(token, at):
    n, _, off = struct.unpack_from("<HHI", token, at)
    return token[off:off + n]


def session_key(token, nonce):
    """Of an AUTHENTICATE message, and its user; (None, user) where the password is wrong."""
    nt, domain, user = (field(token, i) for i in (20, 28, 36))
    name = user.decode("utf-16-le")
    if name not in node.USERS or len(nt) < 16:
        return None, name
    nthash = MD4.new(node.USERS[name][0].encode("utf-16-le")).digest()
    v2 = smb2.hmac_md5(nthash, name.upper().encode("utf-16-le") + domain)
    if smb2.hmac_md5(v2, nonce + nt[16:]) != nt[:16]:
        return None, name
    base = smb2.hmac_md5(v2, nt[:16])
    flags, = struct.unpack_from("<I", token, 60)
    return ARC4.new(base).decrypt(field(token, 52)) if flags & 0x40000000 else base, name


class Live:
    """A session: its keys, and each connection's own signing key."""

    def __init__(self, key, user):
        self.key, self.user = key, user
        self.signing, self.c2s, self.s2c = {}, None, None


class NumberedNode(fake.FakeNode):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.sessions = {}      # number -> Live
        self.logons = {}        # (peer, number) -> (nonce, hash), and None in sessions

    def forget(self, number):
        """The session is over, and nobody is told."""
        self.sessions.pop(number, None)

    def restart(self):
        self.stop()
        self.sessions.clear()
        self.logons.clear()
        self.peers.clear()
        self.start()

    def _drop(self, p):
        for number, s in list(self.sessions.items()):
            if s is not None and p in s.signing:
                del s.signing[p]
                if not s.signing:
                    self.forget(number)
        for who in [x for x in self.logons if x[0] is p]:
            del self.logons[who]
            if self.sessions.get(who[1], 0) is None:
                self.forget(who[1])
        super()._drop(p)

    # -- keys
    def _sign(self, p, live, answer):
        key = live.signing.get(p) or next(iter(live.signing.values()))
        answer = answer[:16] + struct.pack(
            "<I", struct.unpack_from("<I", answer, 16)[0] | smb2.SIGNED) + answer[20:]
        mid, = struct.unpack_from("<Q", answer, 24)
        return answer[:48] + smb2.signature(p.algo, key, answer, mid, True) + answer[64:]

    @staticmethod
    def _derive(p, live, pre):
        """The channel's signing key; of the first one, the cipher keys too."""
        if p.dialect == 0x0311:
            live.signing[p] = smb2.kdf(live.key, b"SMBSigningKey\0", pre)
            c2s = (b"SMBC2SCipherKey\0", pre), (b"SMBS2CCipherKey\0", pre)
        else:
            live.signing[p] = smb2.kdf(live.key, b"SMB2AESCMAC\0", b"SmbSign\0")
            c2s = (b"SMB2AESCCM\0", b"ServerIn \0"), (b"SMB2AESCCM\0", b"ServerOut\0")
        if live.c2s is None:
            live.c2s, live.s2c = (smb2.kdf(live.key, *x) for x in c2s)

    # -- messages
    def _frame(self, p, payload):
        if payload[:4] == b"\xffSMB":
            return super()._frame(p, payload)
        if payload[:4] == b"\xfdSMB":
            number, = struct.unpack_from("<Q", payload, 44)
            live = self.sessions.get(number)
            if live is None:
                return fake.CLOSE
            m, = smb2.split(smb2.unseal(p.cipher, live.c2s, payload))
            p.got.append(m.cmd)
            answer = self._of_session(p, m, live)
            return smb2.frame(smb2.seal(p.cipher, live.s2c, number, answer))
        m, = smb2.split(payload)
        p.got.append(m.cmd)
        if m.cmd == smb2.NEGOTIATE:
            return smb2.frame(self._negotiate(p, m))
        if m.cmd == smb2.SESSION_SETUP:
            return smb2.frame(self._setup(p, m))
        live = self.sessions.get(m.sid)
        if m.sid == 0 and m.cmd == smb2.ECHO:
            return smb2.frame(self.answer(p, m))
        if live is None or p not in live.signing:
            return smb2.frame(self.error(m, smb2.USER_SESSION_DELETED))
        answer = self._of_session(p, m, live)
        return smb2.frame(self._sign(p, live, answer) if m.flags & smb2.SIGNED else answer)

    def _of_session(self, p, m, live):
        if m.cmd == smb2.LOGOFF:
            self.forget(m.sid)
        return self.answer(p, m)

    def _negotiate(self, p, m):
        n, = struct.unpack_from("<H", m.body, 2)
        p.dialect = max(struct.unpack_from("<%dH" % n, m.body, 36))
        p.guid, p.cipher, p.algo = m.body[12:28], 1, smb2.AES_CMAC
        if p.dialect < 0x0311:
            return self.negotiate_answer(m.mid, p.dialect, m)
        offered = self._contexts(m)
        p.cipher, p.algo = offered[2][0], offered[8][0]
        ctx = struct.pack("<HHIHHH", 1, 38, 0, 1, 32, 1) + os.urandom(32) + bytes(2)
        ctx += struct.pack("<HHIHH", 2, 4, 0, 1, p.cipher) + bytes(4)
        ctx += struct.pack("<HHIHH", 8, 4, 0, 1, p.algo)
        answer = self.negotiate_answer(m.mid, p.dialect, m, ctx, 3)
        p.hash = hashlib.sha512(hashlib.sha512(bytes(64) + m.raw).digest() + answer).digest()
        return answer

    @staticmethod
    def _contexts(m):
        """What is offered of each kind."""
        off, count = struct.unpack_from("<IH", m.body, 28)
        out = {}
        for _ in range(count):
            kind, n = struct.unpack_from("<HH", m.raw, off)
            if kind in (2, 8):
                k, = struct.unpack_from("<H", m.raw, off + 8)
                out[kind] = struct.unpack_from("<%dH" % k, m.raw, off + 10)
            off += 8 + n + -n % 8
        return out

    def _setup(self, p, m):
        binding = bool(m.body[2] & smb2.BINDING)
        off, n = struct.unpack_from("<HH", m.body, 12)
        token = m.raw[off:off + n]
        number, pre = m.sid, getattr(p, "hash", b"")
        if token[8:12] == b"\1\0\0\0":
            if binding and self.sessions.get(number) is None:
                return self.error(m, smb2.USER_SESSION_DELETED)
            if number == 0:
                number = next(i for i in range(1, 1 << 20) if i not in self.sessions)
                self.sessions[number] = None
            out = fake.challenge()
            a = self.reply(m, struct.pack("<HHHH", 9, 0, 72, len(out)) + out,
                           smb2.MORE_PROCESSING, sid=number)
            pre = hashlib.sha512(hashlib.sha512(pre + m.raw).digest() + a).digest()
            self.logons[p, number] = out[24:32], pre
            return a
        nonce, pre = self.logons.pop((p, number), (b"", b""))
        key, user = session_key(token, nonce)
        live = self.sessions.get(number)
        if key is None:
            self.forget(number)
            return self.error(m, LOGON_FAILURE)
        previous, = struct.unpack_from("<Q", m.body, 16)
        old = self.sessions.get(previous)
        if old is not None and previous != number and old.user == user and not binding:
            self.forget(previous)
        if live is None:
            live = self.sessions[number] = Live(key, user)
        if p not in live.signing:
            first, live.key = live.key, key
            self._derive(p, live, hashlib.sha512(pre + m.raw).digest())
            live.key = first
        return self._sign(p, live, self.reply(m, struct.pack("<HHHH", 9, 0, 72, 0)))
