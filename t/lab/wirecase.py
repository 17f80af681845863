# wirecase.py: the cases of t/hostile, in bytes, with the conversation before each
"""A case is a section of a file of t/hostile:

    [name]
    # the rule that it is about
    on STAGE            where the conversation stands: see stages()
    send HEX            what is sent then, by the client, or by the node for a stage of NODE;
                        "00*32" is a byte 32 times, and an indented line goes on with it
    node HEX            what comes through of it, where that is not what was sent
    verdict WHAT

WHAT: "closed REASON": smbgate ends the connection, with that reason counted, and nothing of what
was sent comes through; "cut REASON": what stood before it did. "relayed": it comes through, byte
for byte. "waits": it is not whole; nothing is said until its sender ends the connection. "answered
STATUS", or the bytes: smbgate answers, and the other side sees nothing. "changed": something else
comes through, without a forbidden address. "told": what nobody here can open, or may change, comes
through as it is, with such an address."""
import glob
import os
import re
import struct

import smb2

F = smb2.frame
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SID, UID = 5, 7


def negotiate(dialect, number):
    """A frame that no other case begins with."""
    guid = b"case" + struct.pack("<I", number) + bytes(8)
    return F(smb2.header(smb2.NEGOTIATE, 0, credits=31, charge=0) +
             smb2.negotiate_body([dialect], guid, salt=bytes(32)))


def answer(cmd, mid, body, status=0, sid=0):
    return smb2.header(cmd, mid, sid, 0, smb2.RESPONSE, 32, 1, 0, 0xFEFF, status) + body


def negotiated(dialect, packed=False):
    ctx, count = b"", 0
    if dialect == 0x0311:
        ctx, count = struct.pack("<HHIHHH", 1, 38, 0, 1, 32, 1) + bytes(32), 1
        if packed:
            ctx += bytes(2) + struct.pack("<HHIHHIH", 3, 10, 0, 1, 0, 1, 2)
            count = 2
    body = struct.pack("<HHHH", 65, 1, dialect, count) + b"wire".ljust(16, b"\0") + \
        struct.pack("<IIII", 0x7F if dialect >= 0x0300 else 1, 1 << 20, 1 << 20, 1 << 20) + \
        bytes(16) + struct.pack("<HHI", 128, 0, 128 if ctx else 0) + ctx
    return F(answer(smb2.NEGOTIATE, 0, body))


SETUP = F(smb2.header(smb2.SESSION_SETUP, 1, credits=31) +
          struct.pack("<HBBIIHHQ", 25, 0, 1, 1, 0, 88, 16, 0) + b"NTLMSSP\0" +
          struct.pack("<II", 3, 0))
GUEST = F(answer(smb2.SESSION_SETUP, 1, struct.pack("<HHHH", 9, 1, 72, 0), sid=SID))
QUERY = F(smb2.header(smb2.IOCTL, 2, SID, 7) + smb2.ioctl_body(one_byte=False))
ECHO = F(smb2.header(smb2.ECHO, 2, SID) + b"\4\0\0\0")


def smb1_negotiate(number):
    m = bytearray(smb2.smb1_negotiate(["NT LM 0.12"]))
    struct.pack_into("<H", m, 26, number)
    return F(bytes(m))


def smb1_head(cmd, number, flags=0x98, mid=0, uid=0):
    return b"\xffSMB" + bytes([cmd]) + bytes(4) + bytes([flags]) + struct.pack(
        "<H", 0xC001) + bytes(12) + struct.pack("<HHHH", 0, number, uid, mid)


def smb1_negotiated(number):
    return F(smb1_head(0x72, number) + b"\x11" + struct.pack(
        "<HBHHIIIIQHB", 0, 3, 50, 1, 16644, 65536, 0, 0x8000005C, 0, 0, 0) +
        struct.pack("<H", 16) + b"wire" * 4)


def smb1_setup(number):
    return F(smb1_head(0x73, number, 0x18, 1) + b"\x0c\xff\0" + struct.pack(
        "<HHHHIHIIH", 0, 16644, 2, 1, 0, 4, 0, 0x80000054, 9) + b"blob" + bytes(5))


def smb1_guest(number):
    return F(smb1_head(0x73, number, mid=1, uid=UID) + b"\x04\xff\0" + struct.pack(
        "<HHH", 0, 1, 0) + struct.pack("<H", 3) + bytes(3))


def stages(number):
    """name -> ([(what the client sends, what the node answers)], what the client asks last)."""
    out = {"fresh": ([], None), "netbios": ([], None), "proxied": ([], None)}
    multi = bytearray(smb2.smb1_negotiate(smb2.MULTI))
    struct.pack_into("<H", multi, 26, number)
    out["multi"] = ([(F(bytes(multi)), None)], None)    # smbgate answers that itself
    for name, dialect, packed in (("2.0.2", 0x0202, False), ("2.1", 0x0210, False),
                                  ("3.0", 0x0300, False), ("3.1.1", 0x0311, False),
                                  ("packed", 0x0311, True)):
        first = (negotiate(dialect, number), negotiated(dialect, packed))
        out[name] = ([first], None)
        out[name + " guest"] = ([first, (SETUP, GUEST)], None)
        out["node %s negotiate" % name] = ([], first[0])
        out["node %s setup" % name] = ([first], SETUP)
        out["node %s query" % name] = ([first, (SETUP, GUEST)], QUERY)
        out["node %s echo" % name] = ([first, (SETUP, GUEST)], ECHO)
    one = (smb1_negotiate(number), smb1_negotiated(number))
    out["smb1"] = ([one], None)
    out["smb1 guest"] = ([one, (smb1_setup(number), smb1_guest(number))], None)
    out["node smb1 negotiate"] = ([], one[0])
    out["node smb1 setup"] = ([one], smb1_setup(number))
    return out


class Case:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.field = {"send": b"", "node": None, "on": "", "verdict": ""}


def unhex(text):
    out = b""
    for word in text.split():
        digits, _, times = word.partition("*")
        out += bytes.fromhex(digits) * int(times or 1)
    return out


def cases():
    for path in sorted(glob.glob(os.path.join(HERE, "hostile", "*.txt"))):
        case, text = None, open(path, encoding="ascii").read()
        for line in re.sub(r"\n[ \t]+(?=\S)", " ", text).splitlines():
            if line.startswith("["):
                if case:
                    yield case
                case = Case(line[1:-1], os.path.basename(path)[:-4])
            elif line and not line.startswith("#"):
                key, _, value = line.partition(" ")
                case.field[key] = unhex(value) if key in ("send", "node") else value
        yield case
