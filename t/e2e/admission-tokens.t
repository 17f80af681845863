#!/usr/bin/python3
# admission-tokens.t: logons' tokens, well formed and not, read here and by Samba's own library
"""SMBGATE_SECONDS: how long (4).  SMBGATE_SEED: the dice.

The rules in t/fuzz/samba.c, which the fuzz target fuzz-door goes by, are held to what Samba's own
functions read; and what smbgate reads as one mechanism's token is never another's to Samba."""

import ctypes
import glob
import os
import random
import struct
import subprocess
import time

import tap

SECONDS = float(os.environ.get("SMBGATE_SECONDS") or 4)
SEED = int(os.environ.get("SMBGATE_SEED") or time.time_ns() % 1000000)
DOOR = os.path.join(os.environ["SMBGATE_BUILD"], "t", "door")
LIBS = glob.glob("/usr/lib/*/samba/libcliauth-samba4.so.0")
OID = {k: bytes.fromhex(v) for k, v in (
    ("spnego", "2b0601050502"), ("krb5", "2a864886f712010202"), ("ms", "2a864882f712010202"),
    ("ntlm", "2b06010401823702020a"), ("negoex", "2b06010401823702021e"))}

if not LIBS or not os.access(DOOR, os.X_OK):
    tap.skip_all("Samba's libcliauth is not here, or t/door is not built")


class Blob(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("length", ctypes.c_size_t)]

    @staticmethod
    def of(data):
        return Blob((ctypes.c_uint8 * max(1, len(data))).from_buffer_copy(data or b"\0"),
                    len(data))

    def bytes(self):
        return ctypes.string_at(self.data, self.length) if self.length else b""


class Init(ctypes.Structure):
    _fields_ = [("mechs", ctypes.c_void_p), ("flags", Blob), ("padding", ctypes.c_uint8),
                ("token", Blob), ("mic", Blob), ("principal", ctypes.c_char_p)]


class Resp(ctypes.Structure):
    _fields_ = [("result", ctypes.c_int), ("mech", ctypes.c_char_p), ("token", Blob),
                ("mic", Blob)]


class Spnego(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("init", Init), ("resp", Resp)]


class Samba:
    """Its own functions, of the release that is installed."""

    def __init__(self):
        self.lib = ctypes.CDLL(LIBS[0])
        self.talloc = ctypes.CDLL("libtalloc.so.2")
        self.talloc.talloc_named_const.restype = ctypes.c_void_p
        self.lib.spnego_read_data.argtypes = [ctypes.c_void_p, Blob, ctypes.POINTER(Spnego)]
        self.lib.spnego_read_data.restype = ctypes.c_ssize_t
        self.lib.msrpc_parse.restype = ctypes.c_bool

    def __enter__(self):
        self.mem = ctypes.c_void_p(self.talloc.talloc_named_const(None, 0, b"test"))
        return self

    def __exit__(self, *_):
        self.talloc._talloc_free(self.mem, b"test")

    def read(self, data):
        """(init, resp or raw; the mechanism's token)."""
        out = Spnego()
        blob = Blob.of(data)
        if self.lib.spnego_read_data(self.mem, blob, ctypes.byref(out)) == -1:
            return "raw", data
        return ("init", out.init.token.bytes()) if out.type == 0 else \
            ("resp", out.resp.token.bytes())

    def user(self, data, unicode):
        """Who is named in an AUTHENTICATE message; None: it is refused."""
        blob, char = Blob.of(data), b"U" if unicode else b"A"
        texts = [ctypes.c_char_p() for _ in range(3)]
        blobs = [Blob() for _ in range(3)]
        nums = [ctypes.c_uint32(), ctypes.c_uint32()]
        ref = ctypes.byref
        for more in (b"Bd", b""):
            args = [ref(nums[0]), ref(blobs[0]), ref(blobs[1])] + [ref(x) for x in texts]
            if more:
                args += [ref(blobs[2]), ref(nums[1])]
            if self.lib.msrpc_parse(self.mem, ref(blob), b"CdBB" + 3 * char + more, b"NTLMSSP",
                                    *args):
                return texts[1].value or b""
        return None


class Maker:
    """Tokens: mostly in the grammar, with lengths in every form, fields anywhere, bytes changed."""

    def __init__(self, dice):
        self.d = dice
        self.odd = 0.2

    def der(self, tag, *parts):
        body = b"".join(parts)
        n = len(body)
        if self.d.random() > self.odd:
            octets = 0 if n < 128 else (n.bit_length() + 7) // 8
            return bytes([tag]) + (bytes([n]) if octets == 0 else
                                   bytes([0x80 | octets]) + n.to_bytes(octets, "big")) + body
        form = self.d.choice(("zero", "one", "four", "five", "nine", "long", "off", "none"))
        if form == "off":
            n = max(0, n + self.d.choice((-1, 1, -2, 2, 100)))
        octets = {"one": 1, "four": 4, "five": 5, "nine": 9, "long": 100}.get(form, 2)
        if form in ("zero", "none"):
            return bytes([tag, 0x80]) + (bytes([n & 0xff]) if form == "zero" else b"") + body
        if n >> 8 * octets:
            octets = 2
        return bytes([tag, 0x80 | octets]) + n.to_bytes(octets, "big") + body

    def ntlm(self, kind):
        t = b"NTLMSSP\0" + struct.pack("<I", kind)
        if kind != 3:
            return t + bytes(self.d.randrange(40))
        head, data, end = b"", b"", self.d.choice((64, 72, 88))
        for i in range(6):
            x = self.d.choice((b"", b"a", b"a\0", b"\0", b"\0\0", b"\0\0a\0", b"\0\1", b"al",
                               b"a\0l\0", b"\0\xd8", bytes(24)))
            at = end + len(data) if self.d.random() > self.odd / 4 else self.d.choice((0, 8, 36))
            again = len(x) if self.d.random() > self.odd / 4 else self.d.randrange(4)
            head += struct.pack("<HHI", len(x), again, at)
            data += x
        return t + head + struct.pack("<I", self.d.choice((0, 1, 2, 3))) + bytes(end - 64) + data

    def krb(self):
        req = self.der(self.d.choice((0x6e, 0x6e, 0x6f, 0x7e)), bytes(self.d.randrange(20)))
        if self.d.random() < 0.3:
            return req
        oid = OID[self.d.choice(("krb5", "ms", "ntlm"))]
        return self.der(0x60, self.der(6, oid), self.d.choice((b"\1\0", b"\2\0", b"\4\4")), req)

    def token(self):
        kind = self.d.randrange(6)
        return (self.ntlm(1), self.ntlm(3), self.ntlm(3), self.krb(),
                self.ntlm(self.d.choice((0, 2, 4))),
                self.d.choice((b"", b"x" * 8, b"NEGOEXTS" + bytes(8))))[kind]

    def field(self, init):
        kind = self.d.choice((0, 1, 2, 2, 2, 3))
        if kind == 2:
            return 0xA2, self.der(0xA2, self.der(4, self.token()))
        if kind == 0 and init:
            mechs = b"".join(self.der(6, self.d.choice(list(OID.values())))
                             for _ in range(self.d.randrange(4)))
            return 0xA0, self.der(0xA0, self.der(0x30, mechs))
        if kind == 0:
            return 0xA0, self.der(0xA0, self.der(10, bytes([self.d.randrange(4)])))
        if kind == 1:
            return 0xA1, self.der(0xA1, self.der(3, b"\1\2") if init
                                  else self.der(6, OID["ntlm"]))
        mic = self.der(4, bytes(16)) if self.d.random() < 0.7 else \
            self.der(0x30, self.der(0xA0, self.der(0x1B, b"x@y")))
        return 0xA3, self.der(0xA3, mic)

    def one(self):
        self.odd = self.d.choice((0, 0.03, 0.2))
        if self.d.random() < 0.15:
            t = self.token()
        else:
            init = self.d.random() < 0.5
            fields = [self.field(init) for _ in range(self.d.randrange(5))]
            if self.d.random() < 0.7:
                fields = sorted(dict(fields).items())
            body = b"".join(f for _, f in fields)
            if self.d.random() < self.odd:
                body += self.der(self.d.randrange(256), b"?")
            t = self.der(0xA0 if init else 0xA1, self.der(0x30, body))
            if init:
                t = self.der(0x60, self.der(6, OID["spnego"]), t)
        for _ in range(self.d.choice((0, 0, 0, 1, 3))):
            if t:
                at = self.d.randrange(len(t))
                t = t[:at] + bytes([self.d.randrange(256)]) + t[at + self.d.randrange(2):]
        return t


def compare(samba, data, said):
    """What is wrong with what t/door has said of a token; None: nothing."""
    kind, _, size, as_, at, n, *names = said.split()
    form, token = samba.read(data)
    if as_ != form or (data[int(at):int(at) + int(n)] if int(at) >= 0 else b"") != token:
        return "t/fuzz/samba.c reads %s %s, Samba %s %s" % (as_, at, form, token.hex())
    if kind != "unread" and len(token) >= 12 and token[:8] == b"NTLMSSP\0" and \
            (not kind.startswith("ntlm") or int(size) != len(token)):
        return "Samba reads NTLM, smbgate %s" % kind
    if kind != "ntlm3":
        return None
    ours, rules = (x.split("=")[1] for x in names)
    for unicode in (0, 1):
        user = samba.user(token, unicode)
        if user is not None and (rules[unicode] == "1") != (user != b""):
            return "t/fuzz/samba.c: a user named: %s, Samba %r" % (rules, user)
        if user == b"" and ours[unicode] == "1":
            return "smbgate sees a user, Samba none"
    return None


with tap.Test(deadline=int(SECONDS) + 60) as t:
    maker, end = Maker(random.Random(SEED)), time.monotonic() + SECONDS
    count, wrong, kinds, forms = 0, [], {}, {}
    while time.monotonic() < end and len(wrong) < 5:
        tokens = [maker.one() for _ in range(2000)]
        r = subprocess.run([DOOR], input="".join(x.hex() + "\n" for x in tokens), text=True,
                           stdout=subprocess.PIPE, check=True)
        with Samba() as s:
            for data, said in zip(tokens, r.stdout.splitlines(), strict=True):
                why = compare(s, data, said)
                kinds[said.split()[0]] = kinds.get(said.split()[0], 0) + 1
                forms[said.split()[3]] = forms.get(said.split()[3], 0) + 1
                if why:
                    wrong.append("%s: %s: %s" % (data.hex(), said, why))
        count += len(tokens)
    t.diag("%d tokens, seed %d: %s, to Samba %s" % (count, SEED, kinds, forms))
    t.ok(not wrong, "what smbgate reads is what Samba reads, and so say the fuzzer's rules", *wrong)
    t.ok(all(kinds.get(k, 0) > count / 1000
             for k in ("none", "unread", "ap-req", "ntlm1", "ntlm3")) and
         all(forms.get(k, 0) > count / 100 for k in ("init", "resp", "raw")),
         "all kinds were among them", kinds, forms)
