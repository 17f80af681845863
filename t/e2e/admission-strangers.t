#!/usr/bin/python3
# admission-strangers.t: what guests and connections without a logon may take, and who pays for it
"""SMBGATE_STRANGERS: how many keep as much as they can."""
import os
import struct

import fake
import gate
import node
import smb2
import tap

why = node.missing() or gate.missing()
if why:
    tap.skip_all(why)

STRANGERS = int(os.environ.get("SMBGATE_STRANGERS", "240"))
GUESTS = USERS = 48
SOURCE_MOST, MOST = 32, 64      # without a logon: of one source, in all
BUDGET = 4000000
LOST = (smb2.Closed, ConnectionError)


def enters(g, src, user="alice", password="Alice-pw-1"):
    """A connection through which somebody has logged on, and goes on; None: it was closed."""
    try:
        c = smb2.Conn("127.0.0.1", g.port, src=src).negotiate([0x0302])
        # A session without a tree is ended by smbd itself after a minute.
        c.tree(c.login(user, password), "IPC$")
        c.echo()
        return c
    except LOST:
        return None


def guests_in(g, src, n, **who):
    got = [enters(g, src, **who) for _ in range(n)]
    return [c for c in got if c]


def stand(g):
    s = g.stats()
    return s["unauthenticated"], s["guests"]


def all_echo(cs):
    """Do all of them live?"""
    try:
        for c in cs:
            c.echo()
        return True
    except LOST:
        return False


def crowd(t, n):
    """Guests have their share and no more; users are none of them."""
    g = gate.Gate(t, [n], limits={"unauthenticated-per-source": SOURCE_MOST,
                                  "unauthenticated": MOST}).start()
    before = g.closes()
    users = [enters(g, "127.0.4.%d" % (i % 2 + 1)) for i in range(USERS)]
    t.ok(all(users), "%d users log on" % USERS)
    t.comes(lambda: stand(g), (0, 0), "and are no strangers any more")
    nobody = {"user": "nosuchuser", "password": "x"}
    guests = guests_in(g, "127.0.3.1", GUESTS, **nobody)
    t.same(len(guests), SOURCE_MOST, "of %d guests from one source so many stay" % GUESTS)
    t.comes(lambda: stand(g), (SOURCE_MOST, SOURCE_MOST), "they stay counted")
    t.comes(lambda: g.closed_since(before), {"unauthenticated_source": GUESTS - SOURCE_MOST},
            "one reason for the others")
    more = guests_in(g, "127.0.3.2", 20, user="", password="")
    t.same(len(guests + more), MOST * 3 // 4, "the anonymous have what is left of three quarters")
    t.ok("unauthenticated_limit" in g.closed_for("unauthenticated_limit", before),
         "the rest is told so", g.closed_since(before))
    t.ok(all_echo(guests + more), "no guest that was there is cut", g.closed_since(before))
    t.ok(all_echo(users), "nor is any user", g.closed_since(before), g.log()[-3000:])
    late = [enters(g, "127.0.4.%d" % (i % 3 + 1)) for i in range(12)]
    t.ok(all(late), "users go on logging on, from where others are, too")
    guests[0].login()
    t.ok(tap.wait_for(lambda: stand(g)[1] == MOST * 3 // 4 - 1, 20),
         "a guest that a user joins is none any more", stand(g))
    for c in guests + more:
        c.close()
    t.ok(tap.wait_for(lambda: stand(g) == (0, 0), 20), "all guests gone", stand(g))
    t.same(len(guests_in(g, "127.0.3.1", 3, **nobody)), 3, "and guests are served again")
    g.wait_connections(len(users + late))
    source_full(t, g, users)
    for c in users + late:
        c.close()
    t.same(g.stop(), 0, "crowd: smbgate ends with status 0")


def source_full(t, g, users):
    """connections-per-source: newcomers are refused, and nobody else pays."""
    g.reload(limits={"connections-per-source": 5})
    before = g.closes()
    five = [enters(g, "127.0.5.1") for _ in range(9)]
    t.same(sum(c is not None for c in five), 5, "of one source five connections stay")
    t.comes(lambda: g.closed_since(before), {"connections_per_source": 4},
            "four were refused for that")
    t.ok(enters(g, "127.0.5.2"), "another source is served")
    t.ok(enters(g, "127.0.4.1") is None, "a source that had more before gets no more")
    t.ok(all_echo([c for c in five if c] + users), "and keeps what it has")
    five[0].close()
    t.ok(tap.wait_for(lambda: enters(g, "127.0.5.1"), 20), "one goes: one is served")


def old_clients(t, n):
    """SMB1's guests and users."""
    try:
        import smb1
    except ImportError as e:
        t.skip("guests at SMB1", "no impacket: %s" % e)
        return
    g = gate.Gate(t, [n], smb1="allow").start()
    for who, want in ((("alice", "Alice-pw-1"), 0), (("nosuchuser", "x"), 1), (("", ""), 1)):
        c = smb1.Client("127.0.0.1", g.port).login(*who)
        t.comes(lambda w=want: stand(g), (want, want), "SMB1, %s: %s" % (
            who[0] or "anonymous", "a guest" if want else "a user"))
        c.close()
        g.wait_connections(0)
    t.same(g.stop(), 0, "SMB1: smbgate ends with status 0")


# -- memory ----------------------------------------------------------------------------------------
def silent_to_strangers(peer, m):
    """A logon is not answered, unless it is one of NTLM's."""
    if m.cmd == smb2.SESSION_SETUP and b"NTLMSSP" not in m.raw:
        return b""
    return None


def raw_setup(mid, token):
    return smb2.frame(smb2.header(smb2.SESSION_SETUP, mid) + struct.pack(
        "<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token)


def negotiated(g, i):
    return smb2.Conn("127.0.0.1", g.port, src="127.0.6.%d" % (i % 100 + 1)).negotiate(
        [0x0302], guid=os.urandom(16))


def endless_setup(g, i):
    """A SESSION_SETUP of which the last byte never comes."""
    c = negotiated(g, i)
    return c, raw_setup(1, bytes(65000))[:-1]


def pieces(g, i):
    """Sixteen tokens, each in pieces of which one is missing."""
    c = negotiated(g, i)
    token = b"\x60\x83\x01\xf0\x00" + bytes(60000)
    return c, b"".join(raw_setup(1 + k, token) for k in range(16))


def behind_first(g, i):
    """As much as fits behind the first frame, whose node is away."""
    c = smb2.Conn("127.0.0.1", g.port, src="127.0.6.%d" % (i % 100 + 1))
    return c, smb2.frame(smb2.header(smb2.NEGOTIATE, 0) + smb2.negotiate_body(
        [0x0302], os.urandom(16))) + bytes(200000)


def deaf(g, i):
    """Asks, before a logon, and does not take the answers."""
    c = negotiated(g, i)
    return c, b"".join(smb2.frame(smb2.header(smb2.ECHO, 1 + k) + struct.pack("<HH", 4, 0))
                       for k in range(3000))


WAYS = [endless_setup, pieces, deaf]


def keep(cs):
    """Whatever the kernel takes."""
    rest = []
    for c, data in cs:
        try:
            c.sock.setblocking(False)
            sent = c.sock.send(data) if data else 0
            rest.append((c, data[sent:]))
        except BlockingIOError:
            rest.append((c, data))
        except OSError:
            rest.append((c, b""))
    return rest


def memory(t):
    """Each stranger keeps as much as it can: the budget holds, and strangers pay for it."""
    f = fake.FakeNode(t, on_message=silent_to_strangers, guests=False).start()
    g = gate.Gate(t, [f], workers=1, limits={"unauthenticated-memory": "4M"}).start()
    users = [enters(g, "127.0.4.1") for _ in range(16)]
    before, rss, most, crowd = g.closes(), g.rss_kb(), 0, []
    for way in WAYS:
        peak = 0
        for i in range(STRANGERS // len(WAYS)):
            try:
                crowd.append(way(g, i))
            except LOST:
                pass
            if i % 16 == 15 or i == STRANGERS // len(WAYS) - 1:
                for _ in range(3):
                    crowd = keep(crowd)
                    peak = max(peak, g.stats()["unauthenticated_bytes"])
                all_echo(users)
        most = max(most, peak)
        t.diag("%s: %d bytes at most" % (way.__name__, peak))
        t.ok(enters(g, "127.0.4.2"), "%s: a newcomer logs on beside them" % way.__name__)
    # more by what one connection brings, before anybody is closed
    t.ok(BUDGET / 2 < most < BUDGET * 1.25, "the budget of %d bytes was used, and held: %d"
         % (BUDGET, most))
    t.ok(g.closed_since(before).get("unauthenticated_memory", 0) > 10,
         "strangers were closed for it", g.closed_since(before))
    grown = g.rss_kb() - rss
    t.ok(grown < 20000 or g.sanitized(), "%d strangers: %d KiB more" % (STRANGERS, grown))
    t.ok(all_echo(users), "all users go on")
    for c, _ in crowd:
        c.close()
    t.ok(tap.wait_for(lambda: g.stats()["unauthenticated_bytes"] == 0, 20), "nothing stays",
         g.stats()["unauthenticated_bytes"])
    g.ctl("drain", "--force", f.name)
    crowd, seen = keep([behind_first(g, i) for i in range(100)]), []

    def held():
        s = g.stats()
        seen.append(s["unauthenticated_bytes"])     # they are held for a second
        return s["no_node_held"] >= 100
    t.ok(tap.wait_for(held, 20) and 0 < max(seen) < 100 * 8192,
         "behind a first frame that waits little is kept: %d bytes" % (max(seen) / 100))
    t.ok(all_echo(users), "with the node drained users go on")
    for c, _ in crowd + [(c, 0) for c in users]:
        c.close()
    t.same(g.stop(), 0, "memory: smbgate ends with status 0")


def main(t):
    n = node.Node(node.Lab(t)).start()
    crowd(t, n)
    old_clients(t, n)
    n.kill()
    memory(t)


with tap.Test(deadline=150) as test:
    main(test)
