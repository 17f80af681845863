#!/usr/bin/python3
# hostile-tshark.t: the cases of t/hostile, read by tshark: does it see in them what they say?
"""smbgate's verdicts are judged by hostile-wire.t.  Here the messages themselves are: what goes
through must be what its case means, a good message of that command and number, and what ends a
connection because of its form must not be one for tshark either.  Where they differ, and the case
is right, OTHERS says why.  See t/lab/wirecase.py for what a case is."""
import fnmatch
import os
import shutil
import struct
import tempfile

import capture
import clients
import tap
import wirecase

why = clients.missing("tshark")
if why:
    tap.skip_all(why)

# Verdicts about the form of a message.  The others are about what stood before it, or may.
FORM = {"bad_chain", "bad_frame", "bad_message", "bad_protocol", "bad_proxy_header", "compression",
        "long_frame", "short_frame"}

# Where tshark (4.0) and a case differ: what tshark says, why the case is right, and which cases.
GOOD, BAD, OTHER = "good", "malformed", "other"
OTHERS = (
    (GOOD, "tshark looks at no StructureSize: MS-SMB2 2.2.1.2, 2.2.3 to 2.2.6 give each", (
        "header: StructureSize *", "negotiate: header StructureSize *",
        "negotiate: StructureSize *", "node-later: StructureSize 63", "node-logon: StructureSize *",
        "node-negotiate: StructureSize *", "session-setup: StructureSize *",
        "compound: the second has StructureSize 63")),
    (GOOD, "tshark leaves out what NextCommand leads to if it is no header there: MS-SMB2 3.3.5.2.7"
     " wants one, and another reader might find one where we have not looked", (
         "compound: NextCommand *", "compound: second one goes back*",
         "compound: * behind the last", "compound: the second is SMB1",
         "compound: the second is a TRANSFORM", "compound: the second is compressed",
         "compound: a frame of 200 KiB, and noise at its end", "negotiate: NextCommand 1",
         "node-later: NextCommand *", "node-logon: NextCommand 8")),
    (GOOD, "who has no dialect yet can say nothing behind a NEGOTIATE; smbgate wants it alone", (
        "negotiate: in front of an ECHO", "smb1-negotiate: then a NEGOTIATE in a compound")),
    (GOOD, "tshark takes answers and requests from both sides: MS-SMB2 3.3.5.2, 3.2.5.1", (
        "header: an answer from a client*", "compression: an answer from a client in it",
        "node-negotiate: a request comes back", "node-negotiate: not marked as an answer",
        "smb1-negotiate: an answer")),
    (GOOD, "a good message of a protocol that is not spoken here: MS-SMB2 3.3.5.2", (
        "framing-later: ProtocolId: SMB1", "header: SMB1 NEGOTIATE again", "node-later: SMB1",
        "node-logon: SMB1", "node-negotiate: an SMB1 answer", "smb1: SMB2*")),
    (GOOD, "it is good, and longer than what smbgate holds to look into it", (
        "header: LOGOFF of 70000 bytes", "ioctl: of 70000 bytes", "negotiate: 16000 dialects")),
    (GOOD, "what stands before the noise is good, and goes through", (
        "framing-later: an ECHO, then noise",)),
    (GOOD, "tshark reads a blob wherever it is: MS-SMB2 2.2.4 to 2.2.6 put it behind the body", (
        "node-logon: a blob *", "node-negotiate: a blob *", "session-setup: blob *")),
    (GOOD, "MS-SMB2 2.2.3: DialectCount is not 0", (
        "negotiate: DialectCount 0, and one there",
        "smb1-negotiate: then a NEGOTIATE with no dialect")),
    (GOOD, "tshark passes over contexts that MS-SMB2 2.2.4 and 2.2.4.1 do not allow: keys and"
     " ciphers depend on them", ("node-negotiate: 3.1.1, *",)),
    (GOOD, "tshark skips words and dialects that MS-CIFS 2.2.4.52.1 does not allow", (
        "smb1-negotiate: no dialect", "smb1-negotiate: WordCount *", "smb1-negotiate: ByteCount 0",
        "smb1-negotiate: *BufferFormat *")),
    (GOOD, "MS-CIFS 2.2.4.53.1: 10, 12 or 13 words", ("smb1: SESSION_SETUP of 0 words",)),
    (GOOD, "tshark does not know where a PROXY header has to be, and that there is one", (
        "proxy-header: version 1, twice", "proxy-header: no header at all")),
    (BAD, "PROXY UNKNOWN may end there, says proxy-protocol.txt 2.1; tshark wants addresses", (
        "proxy-header: version 1, UNKNOWN",)),
    (BAD, "a body that smbgate does not need is for the node to refuse: MS-SMB2 3.3.5.2", (
         "framing-later: a header and *", "header: command *, no body",
         "header: LOGOFF without a body", "ioctl: * bytes of body", "ioctl: * of a query's body",
         "ioctl: an input *", "ioctl: an output *")),
    (BAD, "contexts of a request are for the node to refuse: MS-SMB2 3.3.5.4", (
        "negotiate: NegotiateContextCount *", "negotiate: NegotiateContextOffset *",
        "negotiate: contexts cut in *", "negotiate: 65535 hash algorithms",
        "negotiate: a salt of 65535 bytes")),
    (BAD, "an empty buffer may be anywhere: MS-SMB2 2.2.5, 2.2.6", (
        "node-logon: an empty blob far away", "session-setup: an empty blob far away")),
    (BAD, "its head is an ECHO's, in the clear; where Offset is wrong the node ends it: MS-SMB2"
     " 3.3.5.2.13", ("compression: Offset past the end",)),
    (BAD, "words and strings of SMB1 are for the node and the client to refuse: MS-CIFS 2.2.3", (
        "node-logon: SMB1, cut in its words", "node-negotiate: SMB1, WordCount 17 and no words",
        "smb1: a header alone", "smb1: a header and WordCount",
        "smb1: SESSION_SETUP, ByteCount past the end")),
    (BAD, "a dialect without its NUL is none that smbgate knows; the client is told so", (
        "smb1-negotiate: no NUL",)),
    (OTHER, "NextCommand leads to the very end: nothing is hidden there, and the node judges", (
        "compound: NextCommand to the very end",)),
    (OTHER, "two names of 255 bytes are allowed (RFC 1002 4.1); tshark stops at 256 in all", (
        "netbios: called name of 255 bytes",)),
)

FIELDS = ("tcp.stream", "nbss.type", "smb2.cmd", "smb2.msg_id", "smb.cmd", "smb.mid",
          "smb2.header.transform.msg_size", "smb2.header.comp_transform.original_size",
          "smb2.windows.sockaddr.in.addr", "_ws.malformed", "_ws.expert.severity")
ERROR = 0x800000
# Only SMB's own layers: tokens are for those who log somebody on.  A PROXY header may stand first;
# and a compound of 2,000 messages is a tree of such a depth.
MORE = ["-o", "tcp.try_heuristic_first:TRUE", "-o", "gui.max_tree_depth:5000"]
for protocol in ("ntlmssp", "gss-api", "spnego", "kerberos"):
    MORE += ["--disable-protocol", protocol]


class Broken(Exception):
    """Not a message, by MS-SMB2 as this file reads it."""


class Meant:
    """What is in some bytes: SMB2 messages as (command, MessageId), SMB1 messages as (command,
    mid), sizes of sealed and of compressed ones, types of other transport messages."""

    def __init__(self, data=b""):
        self.smb2, self.smb1, self.sealed, self.packed, self.other = [], [], [], [], []
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[1:4], "big"):
            n = 4 + int.from_bytes(data[1:4], "big")
            if data[0]:
                self.other.append(data[0])
            elif n > 4:
                self.message(data[4:n])
            data = data[n:]

    def message(self, p):
        if p[:4] == b"\xffSMB" and len(p) >= 32:
            self.smb1.append((p[4], struct.unpack_from("<H", p, 30)[0]))
        elif p[:4] == b"\xfdSMB" and len(p) >= 52:
            size, = struct.unpack_from("<I", p, 36)
            self.sealed.append(size)
            if p[52 + size:]:
                self.message(p[52 + size:])
        elif p[:4] == b"\xfcSMB" and len(p) >= 16:
            self.packed.append(struct.unpack_from("<I", p, 4)[0])
            plain = unpacked(p)
            if plain:
                self.message(plain)
        else:
            self.chain(p)

    def chain(self, p):
        while True:
            if len(p) < 64 or p[:4] != b"\xfeSMB":
                raise Broken("no SMB2 header: " + p[:16].hex())
            cmd, = struct.unpack_from("<H", p, 12)
            nxt, mid = struct.unpack_from("<IQ", p, 20)
            self.smb2.append((cmd, mid))
            if nxt == 0:
                return
            p = p[nxt:]

    def __str__(self):
        return " ".join("%s=%s" % kv for kv in sorted(vars(self).items()) if kv[1])[:200]


def unpacked(p):
    """[MS-SMB2] 2.2.42: what is compressed in it, if it is LZ77 without matches, or in a chain but
    not compressed; as are those of t/hostile that can be read."""
    size, algo, flags, clear = struct.unpack_from("<IHHI", p, 4)
    if (algo, flags) == (0, 1) and clear == size == len(p) - 16:
        return p[16:]
    if (algo, flags) != (2, 0):
        return None
    out, at, flag, left = p[16:16 + clear], 16 + clear, 0, 0
    while True:
        if left == 0:
            if at + 4 > len(p):
                return None
            flag, left, at = struct.unpack_from("<I", p, at)[0], 32, at + 4
        left -= 1
        if flag >> left & 1:
            return out if at == len(p) and len(out) == clear + size else None
        if at == len(p):
            return None
        out, at = out + p[at:at + 1], at + 1


class Seen:
    """What tshark sees in the same."""

    def __init__(self, rows):
        def numbers(name, base=0):
            at = FIELDS.index(name)
            return [int(v, base) for r in rows for v in r[at].split(",") if v]
        self.meant = Meant()
        self.meant.smb2 = list(zip(numbers("smb2.cmd"), numbers("smb2.msg_id")))
        self.meant.smb1 = list(zip(numbers("smb.cmd"), numbers("smb.mid")))
        self.meant.sealed = numbers("smb2.header.transform.msg_size")
        self.meant.packed = numbers("smb2.header.comp_transform.original_size")
        self.meant.other = [n for n in numbers("nbss.type") if n]
        self.malformed = any(r[FIELDS.index("_ws.malformed")] for r in rows) or \
            max(numbers("_ws.expert.severity"), default=0) >= ERROR
        self.addresses = {v for r in rows
                          for v in r[FIELDS.index("smb2.windows.sockaddr.in.addr")].split(",") if v}


class Part:
    """Bytes of a case that are looked at: what, and what was said before them."""

    def __init__(self, case, before, way, data, about):
        self.case, self.before, self.way, self.data, self.about = case, before, way, data, about
        self.meant = data

    def said(self):
        return self.before + [(self.way, self.data)]


def parts(case, number):
    """What a case sends, and what comes through of it or is answered to it."""
    steps, asked = wirecase.stages(number)[case.field["on"]]
    before = [(way, data) for step in steps for way, data in enumerate(step) if data]
    if asked is not None:
        before.append((0, asked))
    way = 0 if asked is None else 1
    sent, verdict = case.field["send"], case.field["verdict"].split()
    yield Part(case, before, way, sent, "sent")
    if case.field["node"] is not None and case.field["node"] != sent:
        yield Part(case, before, way, case.field["node"], "through")
    if verdict[0] == "answered" and not verdict[1].startswith("0x"):
        yield Part(case, before + [(way, sent)], 1, bytes.fromhex(verdict[1]), "answer")


def good(part, seen):
    """How it differs from a good message, or None."""
    try:
        meant = Meant(part.meant)
    except Broken as e:
        return OTHER, "no message: %s" % e
    if vars(meant) != vars(seen.meant):
        return OTHER, "it is %s, for tshark %s" % (meant, seen.meant)
    return (BAD, "") if seen.malformed else None


def bad(seen):
    """How it differs from what is no message, or None."""
    if seen.malformed or not (seen.meant.smb2 or seen.meant.smb1):
        return None
    return GOOD, str(seen.meant)


def difference(part, seen):
    """Between the verdict of its case and tshark's: (GOOD, BAD or OTHER, what); or None."""
    what, _, reason = part.case.field["verdict"].partition(" ")
    if part.about != "sent":
        return good(part, seen)
    if what == "relayed" and part.case.field["node"] is not None:   # something else goes first
        return (BAD, "") if seen.malformed else None
    if what in ("closed", "cut") and reason in FORM or what == "waits":
        return bad(seen)
    if what == "answered" and reason.startswith("83"):      # a name that is none
        return bad(seen)
    if what in ("closed", "cut", "changed"):
        return None if seen.malformed else good(part, seen)
    if what == "relayed" and any(a.startswith("10.66.") for a in seen.addresses):
        return OTHER, "forbidden addresses: %s" % seen.addresses
    return good(part, seen)


def other(part, says):
    """The name that OTHERS has for this case, and the reason why it may differ; or None."""
    for what, reason, names in OTHERS:
        for name in names:
            if what == says and fnmatch.fnmatchcase(part.case.where + ": " + part.case.name, name):
                return name, reason
    return None


def read(t, all_parts):
    """[Seen] of each part, from one capture and one run of tshark."""
    path = tempfile.mkdtemp(prefix="smbgate-tshark-") + "/cases.pcap"
    t.defer(shutil.rmtree, os.path.dirname(path))
    capture.write(path, [(139 if p.case.field["on"] == "netbios" else 445, p.said())
                         for p in all_parts])
    rows = capture.tshark(path, fields=FIELDS, display="tcp.len > 0", more=MORE)
    streams = [[] for _ in all_parts]
    for r in rows:
        streams[int(r[0])].append(r)

    def packets(data):
        return -(-len(data) // 32768)
    return [Seen(rows[sum(packets(data) for _, data in p.before):])
            for p, rows in zip(all_parts, streams)]


def broken():
    """Cases that are wrong about their bytes: each has to differ, in this way."""
    for says, on, send, verdict in (
            (OTHER, "3.0 guest", wirecase.ECHO[:16] + b"\x0c" + wirecase.ECHO[17:], "relayed"),
            (OTHER, "3.0 guest", wirecase.ECHO[:28] + b"\x63" + wirecase.ECHO[29:], "relayed"),
            (BAD, "3.0 guest", wirecase.F(wirecase.ECHO[4:-2]), "relayed"),
            (GOOD, "3.0 guest", wirecase.ECHO, "closed bad_message"),
            (GOOD, "node 3.0 echo", wirecase.ECHO, "cut bad_chain"),
            (GOOD, "fresh", wirecase.ECHO, "waits")):
        case = wirecase.Case("that is wrong: %s, for tshark %s" % (verdict, says), "a case")
        case.field.update(on=on, send=send, verdict=verdict)
        yield case, says


def main(t):
    said = [p for n, c in enumerate(wirecase.cases()) for p in parts(c, n)]
    wrong = [(p, says) for c, says in broken() for p in parts(c, 0)]
    for p, _ in wrong[:2]:      # what is meant is an ECHO with MessageId 2
        p.meant = wirecase.ECHO
    seen, used = read(t, said + [p for p, _ in wrong]), set()
    for p, s in zip(said, seen):
        name = "%s: %s: %s" % (p.case.where, p.case.name, p.about)
        differs = difference(p, s)
        allowed = differs and other(p, differs[0])
        if allowed:
            used.add((differs[0], allowed[0]))
            name += " (for tshark it is %s. %s)" % (differs[0], allowed[1])
        t.ok(not differs or allowed, name, differs)
    for (p, says), s in zip(wrong, seen[len(said):]):
        differs = difference(p, s)
        name = p.case.where + " " + p.case.name
        t.ok(differs and differs[0] == says, name + " is found", differs)
    never = [n for what, _, names in OTHERS for n in names if (what, n) not in used]
    t.same(never, [], "%d names in the table of what may differ, none for nothing" % len(used))


with tap.Test(deadline=60) as test:
    main(test)
