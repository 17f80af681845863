#!/usr/bin/python3
# keyed-ifinfo.t: with a keytab, signed and encrypted sessions too are told exactly what policy says
import hashlib
import os
import struct

import ad
import capture
import clients
import gate
import keyed
import model
import node
import smb2
import tap

why = ad.missing() or clients.missing("smbclient", "tcpdump", "tshark")
if why:
    tap.skip_all(why)
ad.enter()

SIZE = 64 << 20
SIGN, SEAL = "--client-protection=sign", "--client-protection=encrypt"


def algorithms(sign=None, cipher=None):
    out = ["-m", "SMB3_11", "--option=client min protocol=SMB3_11"]
    if sign:
        out.append("--option=client smb3 signing algorithms=" + sign)
    if cipher:
        out.append("--option=client smb3 encryption algorithms=" + cipher)
    return out


COPIES = [("3.0 signed", ["-m", "SMB3_00", SIGN]), ("3.0 sealed", ["-m", "SMB3_00", SEAL]),
          ("3.0.2 sealed", ["-m", "SMB3_02", SEAL])] \
    + [("3.1.1 signed " + a, algorithms(sign=a) + [SIGN])
       for a in ("HMAC-SHA256", "AES-128-CMAC", "AES-128-GMAC")] \
    + [("3.1.1 sealed " + a, algorithms(cipher=a) + [SEAL])
       for a in ("AES-128-CCM", "AES-128-GCM", "AES-256-CCM", "AES-256-GCM")]


def one_session(t, lab, prot, kind, addr, host, section, label, gated=None):
    """One session asks in every shape and works on.  Returns (shapes that were right, Keys)."""
    nas = lab.nas
    want = nas.told if section is None else keyed.told(section, addr, nas)
    right, keys, c = 0, None, None
    try:
        c = prot.connect(addr)
        s = prot.login(c, lab.auth(kind, host))
        keys = capture.Keys(c, s)
        tid = c.tree(s, "data", host)
        got = [("alone", [c.ifinfo(s, tid)])]
        for name, parts in keyed.compounds(s, tid):
            got.append((name, keyed.lists(c.calls(parts))))
        files = keyed.traffic(c, s, tid)
        flight = [c.build(smb2.IOCTL, smb2.ioctl_body(), session=s, tid=tid) for _ in range(5)]
        for m in flight:
            if s.seal:
                c.send_sealed(m, s)
            else:
                c.send_frame(m)
        got.append(("five in flight", keyed.lists(c.answers([smb2.Msg(m).mid for m in flight]))))
        got.append(("again", [c.ifinfo(s, tid)]))
        files = files and keyed.traffic(c, s, tid, 30000)
        wrong = [(n, x) for n, lists in got for x in lists if not model.wanted(x, want)]
        state = gated.keyed(s.sid) if gated else (True, None, "alice@LAB.EXAMPLE")
        t.ok(not wrong and files and state == (True, None, "alice@LAB.EXAMPLE"), label,
             "wrong: %r" % wrong, "want: %r" % (want,), "files: %s" % files, "shown: %r" % (state,))
        bad = {n for n, _ in wrong}
        right = 0 if not files or not state[0] else sum(1 for n, _ in got[:2] if n not in bad)
    except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
        t.ok(False, label, repr(e))
    if c:
        c.close()
    return right, keys


def control(t, lab):
    count = 0
    for prot in keyed.PROTECTIONS:
        for kind in keyed.AUTHS:
            n, _ = one_session(t, lab, prot, kind, lab.nas.addr, "nas", None,
                               "direct: %s, %s: the node's list" % (prot.label, kind))
            count += n
    t.ok(count >= 40, "direct: %d combinations" % count)
    for at in places(lab, None):
        channels(t, lab, at)
        again(t, lab, at)


def table(t, lab, g):
    """Everything, in both modes, with both legs captured."""
    count, asked = 0, {}
    cap = capture.Capture(t, os.path.join(lab.dir, "table.pcap"))
    for mode, section in keyed.MODES:
        g.reload(interfaces=keyed.interfaces(section))
        for prot in keyed.PROTECTIONS:
            for kind in keyed.AUTHS:
                n, k = one_session(t, lab, prot, kind, ad.GW[0], "gw", section,
                                   "%s: %s, %s" % (mode, prot.label, kind), g)
                count += n
                if k:
                    asked[k.sid] = (mode, prot, kind, k)
    cap.stop()
    t.ok(count >= 40, "%d combinations told what policy says (dialect, protection, logon, mode, "
         "alone or in a compound)" % count)
    wire(t, lab, cap, asked)


def wire(t, lab, cap, asked):
    """What was on either leg, as decoders see it that know nothing of smbgate."""
    t.same(cap.dropped(), 0, "capture: no packet is missing")
    flows = capture.streams(cap.path)
    front = [s for s in flows if s.server[0] in ad.GW]
    back = [s for s in flows if s.server[0] in lab.nas.addrs]
    forbidden = set(lab.nas.addrs) | {ad.GW[2]}
    dec = capture.Decoder([a[3] for a in asked.values()])
    lists, hidden = 0, 0
    leaks = []
    for s in front:
        for sid, ips in capture.addresses(s, dec):
            lists += 1
            mode = asked[sid][0]
            bad = forbidden if mode == "announce" else {lab.nas.addrs[2]}
            hidden += not set(ips) & bad
            if set(ips) & bad:
                leaks.append((asked[sid][1].label, ips))
        leaks += [("sockaddr", i) for i in capture.holds(s, dec, [lab.nas.addrs[2], ad.GW[2]])]
    t.ok(lists >= 200 and hidden == lists and not leaks,
         "client leg: %d lists, none names a forbidden address" % lists, leaks[:5])
    seen = set()
    for s in back:
        for sid, ips in capture.addresses(s, dec):
            if lab.nas.addrs[2] in ips:
                seen.add(sid)
    want = {sid for sid, a in asked.items() if a[0] == "filter"}
    t.ok(want and want <= seen, "node leg: the forbidden address is there, in %d of %d sessions "
         "of filter" % (len(want & seen), len(want)))
    t.ok(dec.opened > 100 and dec.verified > 100 and dec.failed == 0,
         "both legs: %d sealed frames opened, %d signatures right, %d not"
         % (dec.opened, dec.verified, dec.failed))

    # tshark: NTLM by the keytab, Kerberos by session keys (it does not do AES-256 with those)
    fields = ("ip.dst", "ip.src", "smb2.sesid", "smb2.windows.sockaddr.in.addr")
    for label, kind, kw in (
            ("NTLM by the keytab", "ntlm", {"keytab": lab.keytab}),
            ("Kerberos by session keys", "kerberos", {"keys": [
                a[3] for a in asked.values() if a[2] == "kerberos" and (a[1].cipher or 0) < 3]})):
        rows = capture.tshark(cap.path, fields=fields, display=fields[-1], **kw)
        sealed = {"front": set(), "back": set()}
        leaks = []
        for _, src, sids, ips in rows:
            sid = int(sids.split(",")[0], 16)
            if sid not in asked or asked[sid][2] != kind:
                continue
            mode, prot = asked[sid][:2]
            leg = "front" if src in ad.GW else "back"
            if prot.cipher:
                sealed[leg].add(sid)
            bad = forbidden if mode == "announce" else {lab.nas.addrs[2]}
            if leg == "front" and set(ips.split(",")) & bad:
                leaks.append((prot.label, ips))
        t.ok(len(sealed["front"]) >= 6 and not leaks,
             "tshark, %s: opened the lists of %d sealed sessions on the client leg, %d on the node "
             "leg: no forbidden address at the client"
             % (label, len(sealed["front"]), len(sealed["back"])), leaks[:5])


class Place:
    """Where to ask: straight at the node, or through smbgate in one of its modes."""

    def __init__(self, lab, label, addrs, host, section=None):
        self.lab, self.label, self.addrs, self.host = lab, label, addrs, host
        self.section = section

    def told(self, i=0):
        """What a connection at the i-th address is told."""
        return keyed.told(self.section, self.addrs[i], self.lab.nas) if self.section \
            else self.lab.nas.told


def places(lab, g):
    """All of them; g: smbgate, or None for the node alone."""
    if g is None:
        yield Place(lab, "direct", lab.nas.addrs, "nas")
    else:
        for mode, section in keyed.MODES:
            g.reload(interfaces=keyed.interfaces(section))
            yield Place(lab, "through, " + mode, ad.GW, "gw", section)


def channels(t, lab, at):
    """The query on the second channel of a session."""
    for prot in [p for p in keyed.PROTECTIONS if p.cipher or p.sign == 2 or p.dialect == 0x0302]:
        for kind in keyed.AUTHS:
            label = "%s: second channel: %s, %s" % (at.label, prot.label, kind)
            a = b = None
            try:
                a = prot.connect(at.addrs[0])
                s = prot.login(a, lab.auth(kind, at.host))
                tid = a.tree(s, "data", at.host)
                b = prot.connect(at.addrs[1], guid=a.guid)
                b.login(auth=lab.auth(kind, at.host), bind=s)
                got = [b.ifinfo(s, tid)] + keyed.lists(b.calls(keyed.compounds(s, tid)[0][1]))
                first = a.ifinfo(s, tid)
                good = keyed.traffic(b, s, tid) and keyed.traffic(a, s, tid)
                t.ok(good and all(model.wanted(x, at.told(1)) for x in got)
                     and model.wanted(first, at.told(0)), label, got, first)
            except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
                t.ok(False, label, repr(e))
            for c in (a, b):
                if c:
                    c.close()


def again(t, lab, at):
    """A session logs on once more; its keys stay."""
    for prot in [p for p in keyed.PROTECTIONS if not p.cipher]:
        for kind in keyed.AUTHS:
            label = "%s: second logon: %s, %s" % (at.label, prot.label, kind)
            c = None
            try:
                c = prot.connect(at.addrs[0])
                s = prot.login(c, lab.auth(kind, at.host))
                tid = c.tree(s, "data", at.host)
                got = []
                for other in (kind, "ntlm" if kind == "kerberos" else "kerberos"):
                    c.login(auth=lab.auth(other, at.host), session=s)
                    got.append(c.ifinfo(s, tid))
                t.ok(all(model.wanted(x, at.told()) for x in got) and keyed.traffic(c, s, tid),
                     label, got)
            except (smb2.Status, smb2.Broken, smb2.Closed, TimeoutError) as e:
                t.ok(False, label, repr(e))
            if c:
                c.close()


def no_cipher(t, lab, g):
    """GMAC and no cipher to lift with: filter does what gmac says, announce needs none."""
    prot = keyed.Protection(0x0311, 2, ciphers=())
    for gmac in ("pass", "resign", "refuse"):
        for mode, section in keyed.MODES:
            g.reload(interfaces=keyed.interfaces(section), gmac=gmac)
            label = "%s, gmac = %s: %s" % (mode, gmac, prot.label)
            c = prot.connect(ad.GW[0])
            s = prot.login(c, lab.auth("kerberos"))
            tid = c.tree(s, "data", "gw")
            want = lab.nas.told if mode == "filter" and gmac == "pass" else keyed.told(
                section, ad.GW[0], lab.nas)
            try:
                got = c.ifinfo(s, tid)
                t.ok((mode, gmac) != ("filter", "refuse") and model.wanted(got, want)
                     and keyed.traffic(c, s, tid), label, got, want)
            except smb2.Status as e:
                # STATUS_NOT_SUPPORTED, and the session goes on.
                t.ok((mode, gmac) == ("filter", "refuse") and e.status == 0xC00000BB
                     and keyed.traffic(c, s, tid), label + ": refused", repr(e))
            except (smb2.Closed, smb2.Broken, TimeoutError) as e:
                t.ok(False, label, repr(e))
            c.close()
    g.reload(gmac=None)


def digest(path):
    h = hashlib.sha256()
    try:
        with open(path, "rb") as f:
            while True:
                b = f.read(1 << 20)
                if not b:
                    return h.hexdigest()
                h.update(b)
    except FileNotFoundError:
        return "no file"


def copies(t, lab, host, label, which):
    """smbclient puts 64 MiB and gets them back."""
    src = node.tempdir(t)
    with open(src + "/big", "wb") as f:
        f.write(os.urandom(SIZE))
    want = digest(src + "/big")
    for i, (name, args) in enumerate(which):
        kind = keyed.AUTHS[i % 2]
        r = lab.smbclient(host, ["put big", "get big back"], *args, cwd=src,
                          kerberos=kind == "kerberos")
        t.ok(r.returncode == 0 and digest(lab.nas.data("big")) == want
             and digest(src + "/back") == want,
             "%s: smbclient, %s, %s: 64 MiB there and back" % (label, name, kind),
             r.stdout[-1500:])
        for f in (lab.nas.data("big"), src + "/back"):
            if os.path.exists(f):
                os.unlink(f)


def shown(t, lab, g):
    """The operator's command, while sessions live."""
    prot = keyed.PROTECTIONS[-1]
    live = []
    for user in ad.USERS:
        for kind in keyed.AUTHS:
            c = prot.connect(ad.GW[0])
            live.append((c, prot.login(c, lab.auth(kind, user=user)), user))
            live[-1][0].echo(session=live[-1][1])
    out = g.ctl("show", "sessions")[gate.KEYS["sessions"]]
    by = {int(x[gate.KEYS["session_id"]], 16): x for x in out}
    for c, s, user in live:
        x = by.get(s.sid, {})
        t.ok(x.get(gate.KEYS["keyed"]) is True and x.get(gate.KEYS["opaque_because"]) is None
             and x.get(gate.KEYS["principal"]) == user + "@LAB.EXAMPLE",
             "smbgatectl show sessions: keyed, %s" % user, x)
        c.close()


def validate(t, lab, g):
    """Another IOCTL on keyed sessions is nobody's business: answers are the node's."""
    for prot in keyed.PROTECTIONS[:4]:
        c = prot.connect(ad.GW[0])
        s = prot.login(c, lab.auth("kerberos"))
        tid = c.tree(s, "data", "gw")
        body = smb2.ioctl_body(code=smb2.VALIDATE_NEGOTIATE, max_out=24, data=struct.pack(
            "<I", 0x7F) + c.guid + struct.pack("<HHH", 1, 1, prot.dialect))
        m = c.call(smb2.IOCTL, body, session=s, tid=tid)
        t.ok(m.status == 0 and len(smb2.IoctlReply(m).out) == 24
             and smb2.IoctlReply(m).out[4:20] == c.server_guid,
             "the negotiation is validated: " + prot.label, m)
        c.close()


def main(t):
    lab = ad.Domain(t).start()
    t.diag("domain: " + ", ".join("%s %.1f s" % i for i in lab.times.items()))
    control(t, lab)
    copies(t, lab, "nas", "direct", COPIES)
    why = gate.missing()
    if why:
        t.bail(why)
    g = keyed.start_gate(t, lab, lab.keytab)
    table(t, lab, g)
    for at in places(lab, g):
        channels(t, lab, at)
        again(t, lab, at)
    no_cipher(t, lab, g)
    shown(t, lab, g)
    validate(t, lab, g)
    for mode, section in keyed.MODES:
        g.reload(interfaces=keyed.interfaces(section))
        copies(t, lab, "gw", "through, " + mode, COPIES if mode == "announce" else COPIES[5:7])
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=240) as test:
    main(test)
