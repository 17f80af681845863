#!/usr/bin/python3
# keyed-nonces.t: on both legs together, no key is ever used twice with one nonce for two messages
import os
import struct

import ad
import capture
import clients
import gate
import keyed
import node
import smb2
import tap

why = ad.missing() or clients.missing("smbclient", "tcpdump")
if why:
    tap.skip_all(why)
ad.enter()

GMAC = keyed.Protection(0x0311, 2)
SEALED = [p for p in keyed.PROTECTIONS if p.cipher]


class Nonces:
    """What was under each nonce: a session has the same keys on either leg."""

    def __init__(self):
        self.signed, self.sealed = {}, {}

    def add_signed(self, key, way, msg):
        """GMAC: the nonce is the MessageId, the direction, and whether it is a CANCEL."""
        nonce = (key, way, msg.cmd == smb2.CANCEL, msg.mid)
        self.signed.setdefault(nonce, set()).add(msg.raw[:48] + msg.raw[64:])

    def add_sealed(self, way, frame, cipher):
        sid, = struct.unpack_from("<Q", frame, 44)
        nonce = frame[20:31 if cipher in (1, 3) else 32]
        self.sealed.setdefault((sid, way, nonce), set()).add(frame)

    def add(self, stream, decoder):
        c = smb2.Conn("", 0, connect=False)
        for f in stream.frames[1]:
            if f[:4] == b"\xfeSMB" and smb2.Msg(f).cmd == smb2.NEGOTIATE:
                c._negotiated(smb2.Msg(f))
        for way in (0, 1):
            for f in stream.frames[way]:
                if f[:4] == b"\xfdSMB":
                    self.add_sealed(way, f, c.cipher)
        for s in decoder.messages(stream):
            if not s.sealed and s.msg.flags & smb2.SIGNED and c.dialect == 0x0311 \
                    and c.algo == smb2.AES_GMAC:
                # without keys (smbclient's one channel) the session stands for its key
                self.add_signed(s.key or ("session", s.msg.owner), s.way, s.msg)

    def twice(self):
        return [(kind, k[1:], len(v)) for kind, d in (("GMAC", self.signed), ("AEAD", self.sealed))
                for k, v in d.items() if len(v) > 1]


def work(t, lab, at, host, label):
    """A session of every kind, asking much.  Keys of all of them."""
    keys = []
    for prot in [GMAC] + SEALED:
        for kind in keyed.AUTHS:
            a = b = None
            try:
                a = prot.connect(at[0])
                s = prot.login(a, lab.auth(kind, host))
                keys.append(capture.Keys(a, s))
                tid = a.tree(s, "data", host)
                b = prot.connect(at[1], guid=a.guid)
                b.login(auth=lab.auth(kind, host), bind=s)
                for c in (a, b):
                    for _ in range(4):
                        c.ifinfo(s, tid)
                        for _, parts in keyed.compounds(s, tid):
                            keyed.lists(c.calls(parts))
                        small = c.ifinfo_raw(s, tid, max_out=152)
                        if small.status != smb2.BUFFER_TOO_SMALL:
                            raise smb2.Broken("152 bytes: %r" % small)
                    keyed.traffic(c, s, tid, 100000)
            except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
                t.ok(False, "%s: %s, %s" % (label, prot.label, kind), repr(e))
            for c in (a, b):
                if c:
                    c.close()
    return keys


def copies(t, lab, host, label):
    src = node.tempdir(t)
    with open(src + "/f", "wb") as f:
        f.write(os.urandom(2 << 20))
    for args in (["--client-protection=sign"], ["--client-protection=encrypt"],
                 ["--client-protection=encrypt", "-m", "SMB3_02"]):
        for kind in (True, False):
            r = lab.smbclient(host, ["put f", "get f g", "ls"], *args, cwd=src, kerberos=kind)
            if r.returncode:
                t.ok(False, "%s: smbclient %s" % (label, args), r.stdout)


def judge(t, cap, keys, label, legs):
    t.same(cap.dropped(), 0, label + ": no packet is missing")
    flows = capture.streams(cap.path)
    n, dec = Nonces(), capture.Decoder(keys)
    seen = {}
    for s in flows:
        n.add(s, dec)
        seen[s.server[0]] = seen.get(s.server[0], 0) + 1
    t.ok(all(leg & set(seen) for leg in legs), label + ": connections %r" % seen)
    t.ok(len(n.signed) > 200 and len(n.sealed) > 500 and dec.failed == 0,
         "%s: %d GMAC nonces, %d AEAD nonces; %d signatures right and %d frames opened, %d wrong"
         % (label, len(n.signed), len(n.sealed), dec.verified, dec.opened, dec.failed))
    t.ok(not n.twice(), label + ": none of them for two different messages", n.twice()[:10])
    return n


def planted(t, n):
    """The check sees what it looks for."""
    key, msg = next((k, next(iter(v))) for k, v in n.signed.items())
    other = bytearray(msg[:48] + bytes(16) + msg[48:])
    other[-1] ^= 1
    n.add_signed(key[0], key[1], smb2.Msg(bytes(other)))
    (_, way, nonce), frames = next(iter(n.sealed.items()))
    frame = bytearray(next(iter(frames)))
    frame[-1] ^= 1
    n.add_sealed(way, bytes(frame), 1 if len(nonce) == 11 else 2)
    t.same(sorted(x[0] for x in n.twice()), ["AEAD", "GMAC"], "planted: both are found")


def without_cipher(t, lab, g):
    """GMAC with nothing to lift with: only gmac = resign, which policy.conf warns of, signs twice
    under one nonce.  That is seen, so it would be seen elsewhere too."""
    prot = keyed.Protection(0x0311, 2, ciphers=())
    for gmac in ("pass", "refuse", "resign"):
        for mode, section in keyed.MODES:
            g.reload(interfaces=keyed.interfaces(section), gmac=gmac)
            cap = capture.Capture(t, os.path.join(lab.dir, "no-cipher.pcap"))
            c = prot.connect(ad.GW[0])
            s = prot.login(c, lab.auth("kerberos"))
            keys = [capture.Keys(c, s)]
            tid = c.tree(s, "data", "gw")
            for _ in range(5):
                c.ifinfo_raw(s, tid)
                if gmac != "refuse":        # that ends the connection
                    c.calls(keyed.compounds(s, tid)[0][1])
            c.close()
            n, dec = Nonces(), capture.Decoder(keys)
            for x in capture.streams(cap.stop().path):
                n.add(x, dec)
            t.ok(bool(n.twice()) == (gmac == "resign") and dec.verified > 10 and dec.failed == 0,
                 "%s, gmac = %s, no cipher: %d nonces, %d of them twice, %d signatures right"
                 % (mode, gmac, len(n.signed), len(n.twice()), dec.verified), n.twice()[:5])
    g.reload(gmac=None)


def main(t):
    lab = ad.Domain(t).start()
    cap = capture.Capture(t, os.path.join(lab.dir, "direct.pcap"))
    keys = work(t, lab, lab.nas.addrs, "nas", "direct")
    copies(t, lab, "nas", "direct")
    planted(t, judge(t, cap.stop(), keys, "direct", [set(lab.nas.addrs)]))
    why = gate.missing()
    if why:
        t.bail(why)
    g = keyed.start_gate(t, lab, lab.keytab)
    for mode, section in keyed.MODES:
        for gmac in ("pass", "resign"):
            g.reload(interfaces=keyed.interfaces(section), gmac=gmac)
            label = "through, %s, gmac = %s" % (mode, gmac)
            cap = capture.Capture(t, os.path.join(lab.dir, mode + gmac + ".pcap"))
            before = g.stats()
            keys = work(t, lab, ad.GW, "gw", label)
            if gmac == "pass":
                copies(t, lab, "gw", label)
            after = g.stats()
            t.ok(after.get("ifinfo_opaque", 0) == before.get("ifinfo_opaque", 0),
                 label + ": no query was opaque")
            judge(t, cap.stop(), keys, label, [set(ad.GW), set(lab.nas.addrs)])
    without_cipher(t, lab, g)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=180) as test:
    main(test)
