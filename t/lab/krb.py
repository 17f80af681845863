# krb.py: Kerberos logons for the raw client: SPNEGO and keys by the system's GSS library
"""ctypes on MIT's libgssapi_krb5; the server's own library is Heimdal, so two implementations
meet.  Uses the credential cache that is named; KRB5_CONFIG says where the KDC is."""

import ctypes
import os

import smb2

_C = ctypes.c_void_p
MUTUAL, REPLAY, SEQUENCE, DCE = 2, 4, 8, 0x1000
CONTINUE = 1


class _Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", _C)]

    @classmethod
    def of(cls, data):
        keep = ctypes.create_string_buffer(data, len(data))
        b = cls(len(data), ctypes.cast(keep, _C))
        b.keep = keep
        return b

    def bytes(self):
        return ctypes.string_at(self.value, self.length) if self.length else b""


class _Oid(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("value", _C)]

    @classmethod
    def of(cls, der):
        keep = ctypes.create_string_buffer(der, len(der))
        o = cls(len(der), ctypes.cast(keep, _C))
        o.keep = keep
        return o


class _Set(ctypes.Structure):
    _fields_ = [("count", ctypes.c_size_t), ("elements", ctypes.POINTER(_Buffer))]


class _KeyValue(ctypes.Structure):
    _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]


class _Store(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint32), ("elements", ctypes.POINTER(_KeyValue))]


OID = bytes.fromhex("2a864886f712010202")
KRB5 = _Oid.of(OID)
SPNEGO = _Oid.of(bytes.fromhex("2b0601050502"))
HOSTBASED = _Oid.of(bytes.fromhex("2a864886f71201020104"))
SESSION_KEY = _Oid.of(bytes.fromhex("2a864886f71201020205" + "05"))


class GssError(Exception):
    pass


def _lib():
    lib = ctypes.CDLL("libgssapi_krb5.so.2")
    lib.gss_init_sec_context.argtypes = [
        _C, _C, _C, _C, _C, ctypes.c_uint32, ctypes.c_uint32, _C, _C, _C, _C, _C, _C]
    lib.gss_inquire_sec_context_by_oid.argtypes = [_C, _C, _C, _C]
    return lib


class Kerberos:
    """One logon at service@host.  step() makes tokens; .key is the GSS key, whole, when done.
    spnego=False: bare Kerberos tokens.  mutual=False: no AP-REP is asked for.  life: seconds that
    the ticket is to be good for, if the cache has none yet; 0: as long as may be."""

    def __init__(self, ccache, host="nas.lab.example", service="cifs", spnego=True, mutual=True,
                 life=0):
        self.lib = _lib()
        self.key, self.done, self.life = b"", False, life
        self.mech = SPNEGO if spnego else KRB5
        self.flags = REPLAY | SEQUENCE | (MUTUAL if mutual else 0)
        self.ctx, self.name, self.cred = _C(), _C(), _C()
        self.minor = ctypes.c_uint32()
        text = _Buffer.of(("%s@%s" % (service, host)).encode())
        self._check(self.lib.gss_import_name(
            ctypes.byref(self.minor), ctypes.byref(text), ctypes.byref(HOSTBASED),
            ctypes.byref(self.name)), "name")
        pair = _KeyValue(b"ccache", ccache.encode())
        store = _Store(1, ctypes.pointer(pair))
        self._check(self.lib.gss_acquire_cred_from(
            ctypes.byref(self.minor), None, 0xFFFFFFFF, None, 1, ctypes.byref(store),
            ctypes.byref(self.cred), None, None), "credentials")

    def _check(self, major, what):
        if major & 0xFFFF0000:
            text = []
            for code, kind in ((major, 1), (self.minor.value, 2)):
                out, more = _Buffer(), ctypes.c_uint32()
                minor = ctypes.c_uint32()
                self.lib.gss_display_status(ctypes.byref(minor), ctypes.c_uint32(code), kind,
                                            ctypes.byref(KRB5), ctypes.byref(more),
                                            ctypes.byref(out))
                text.append(out.bytes().decode(errors="replace"))
            raise GssError("%s: %s" % (what, "; ".join(text)))
        return major

    def step(self, token):
        """The next token of ours; token is the peer's last one, None at first."""
        given = _Buffer.of(token) if token else None
        out = _Buffer()
        major = self._check(self.lib.gss_init_sec_context(
            ctypes.addressof(self.minor), self.cred, ctypes.addressof(self.ctx), self.name,
            ctypes.addressof(self.mech), self.flags, self.life, None,
            ctypes.addressof(given) if given else None, None, ctypes.addressof(out), None, None),
            "context")
        if not major & CONTINUE:
            self.done = True
            self._take_key()
        data = out.bytes()
        self.lib.gss_release_buffer(ctypes.byref(self.minor), ctypes.byref(out))
        return data

    def _take_key(self):
        got = ctypes.POINTER(_Set)()
        self._check(self.lib.gss_inquire_sec_context_by_oid(
            ctypes.addressof(self.minor), self.ctx, ctypes.addressof(SESSION_KEY),
            ctypes.addressof(got)), "session key")
        self.key = got.contents.elements[0].bytes()

    def mic(self, data):
        """A signature of the context's: of SPNEGO's mechanisms, say."""
        given, out = _Buffer.of(data), _Buffer()
        self._check(self.lib.gss_get_mic(ctypes.byref(self.minor), self.ctx, 0,
                                         ctypes.byref(given), ctypes.byref(out)), "MIC")
        data = out.bytes()
        self.lib.gss_release_buffer(ctypes.byref(self.minor), ctypes.byref(out))
        return data

    def finish(self, token):
        """After the server's last word."""
        if not self.done:
            self.step(token)
        if not self.done:
            raise GssError("the server is content, the library is not")


def _value(data):
    """What the first DER value in there holds, and what is behind it."""
    n, at = data[1], 2
    if n & 0x80:
        at += n & 0x7F
        n = int.from_bytes(data[2:at], "big")
    return data[at:at + n], data[at + n:]


def response_token(data):
    """The mechanism's token in a negTokenResp."""
    fields = _value(_value(data)[0])[0]
    while fields[0] != 0xA2:
        fields = _value(fields)[1]
    return _value(_value(fields)[0])[0]


class Second:
    """Kerberos where another mechanism is offered first, with a token that no server here reads:
    SPNEGO falls back, and wants both sides to sign what was offered."""

    def __init__(self, ccache, first, token, host="nas.lab.example"):
        self.raw = Kerberos(ccache, host, spnego=False)
        self.mechs = smb2.der(0x30, smb2.der(6, first), smb2.der(6, bytes.fromhex(
            "2a864886f712010202")))
        self.token, self.legs = token, 0

    def step(self, token):
        self.legs += 1
        if self.legs == 1:
            return smb2.der(0x60, smb2.der(6, bytes.fromhex("2b0601050502")), smb2.der(
                0xA0, smb2.der(0x30, smb2.der(0xA0, self.mechs),
                               smb2.der(0xA2, smb2.der(4, self.token)))))
        if self.legs == 2:
            return smb2.spnego_resp(self.raw.step(None))
        self.raw.finish(response_token(token))
        return smb2.der(0xA1, smb2.der(0x30, smb2.der(0xA3, smb2.der(
            4, self.raw.mic(self.mechs)))))

    def finish(self, token):
        pass

    @property
    def key(self):
        return self.raw.key


def forged(size):
    """An AP-REQ in SPNEGO, with a ticket of that size that nobody has a key for."""
    der = smb2.der

    def number(n):
        return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))

    def sealed(n):
        return der(0x30, der(0xa0, number(18)), der(0xa1, number(1)),
                   der(0xa2, der(4, os.urandom(n))))
    name = der(0x30, der(0xa0, number(1)),
               der(0xa1, der(0x30, der(0x1b, b"cifs"), der(0x1b, b"nas"))))
    ticket = der(0x61, der(0x30, der(0xa0, number(5)), der(0xa1, der(0x1b, b"LAB.EXAMPLE")),
                           der(0xa2, name), der(0xa3, sealed(size))))
    req = der(0x6e, der(0x30, der(0xa0, number(5)), der(0xa1, number(14)),
                        der(0xa2, der(3, bytes(5))), der(0xa3, ticket), der(0xa4, sealed(64))))
    token = der(0x60, der(6, OID), b"\1\0", req)
    return der(0x60, der(6, bytes.fromhex("2b0601050502")),
               der(0xa0, der(0x30, der(0xa0, der(0x30, der(6, OID))), der(0xa2, der(4, token)))))
