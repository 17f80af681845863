# leases.py: does a node notice that the client whose lease it asks back is gone
"""smbd 4.17 does.  That of 4.25 lets whoever opens the file wait for 70 s, if the open came before
the end of the other's connection, and serves at once if it came after.  smbtorture ends one
connection and opens on the next; through smbgate the first ends a little later for the node than
directly, so RACES take the one way or the other."""
import os
import struct

import smb2

RACES = ("smb2.durable-open.open2-lease",)
READ_HANDLE = 3
SECONDS = 5     # more than it takes to notice, less than nodes wait for an answer


def _context(name, data, more):
    out = struct.pack("<HHHHI", 16, 4, 0, 24, len(data)) + name + bytes(4) + data
    size = 4 + len(out) + (-(4 + len(out)) % 8)
    return (struct.pack("<I", size if more else 0) + out).ljust(size if more else 0, b"\0")


def _create(c, s, tid, name, lease):
    """A CREATE as it is sent; with a lease, a durable handle that is shared with nobody."""
    n = name.encode("utf-16-le")
    contexts, share, oplock = b"", 7, 0
    if lease:
        key = os.urandom(16)
        contexts = _context(b"RqLs", key + struct.pack("<IIQ", READ_HANDLE, 0, 0), True) + \
            _context(b"DHnQ", bytes(16), False)
        share, oplock = 0, 0xFF
    pad = bytes(-len(n) % 8)
    body = struct.pack("<HBBIQQIIIIIHHII", 57, 0, oplock, 2, 0, 0, 0x12019F, 0x80, share, 3, 0x40,
                       120, len(n), 120 + len(n + pad) if lease else 0, len(contexts))
    return c.build(smb2.CREATE, body + n + pad + contexts, session=s, tid=tid)


def notices(enter):
    """enter(): a client at the node, as its connection, session and tree."""
    (a, sa, ta), (b, sb, tb) = enter(), enter()
    name = "lease-%s" % os.urandom(4).hex()
    first = _create(a, sa, ta, name, True)
    a.send_frame(first)
    a.check(a.answers([smb2.Msg(first).mid])[0], "create with a lease")
    second = _create(b, sb, tb, name, False)
    b.send_frame(second)
    a.recv()        # the node asks for the lease, and a does not give it back
    a.close()
    b.sock.settimeout(SECONDS)
    try:
        b.answers([smb2.Msg(second).mid])
        return True
    except TimeoutError:
        return False
    finally:
        b.close()


def left_out(t, enter):
    """What of smbtorture proves nothing at this node, as it is said."""
    if notices(enter):
        return ()
    t.skip(", ".join(RACES), "the node does not notice that the holder of a lease is gone")
    return RACES
