# krb.py: Kerberos logons for the raw client: SPNEGO and keys by the system's GSS library
"""ctypes on MIT's libgssapi_krb5; the server's own library is Heimdal, so two implementations
meet.  Uses the credential cache that is named; KRB5_CONFIG says where the KDC is."""

import ctypes

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


KRB5 = _Oid.of(bytes.fromhex("2a864886f712010202"))
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
    spnego=False: bare Kerberos tokens.  mutual=False: no AP-REP is asked for."""

    def __init__(self, ccache, host="nas.lab.example", service="cifs", spnego=True, mutual=True):
        self.lib = _lib()
        self.key, self.done = b"", False
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
            ctypes.addressof(self.mech), self.flags, 0, None,
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

    def finish(self, token):
        """After the server's last word."""
        if not self.done:
            self.step(token)
        if not self.done:
            raise GssError("the server is content, the library is not")
