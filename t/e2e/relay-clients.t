#!/usr/bin/python3
# relay-clients.t: smbclient copies files through smbgate at every dialect and kind of start
import hashlib
import os
import re
import shutil

import clients
import gate
import node
import smb2
import tap

why = node.missing() or clients.missing("smbclient")
if why:
    tap.skip_all(why)

# name on the share -> size; the big one is what a copy is made of, the rest are the odd ones
FILES = {"plain.txt": 700, "empty": 0, "name with spaces.bin": 70001,
         "ünïcode-名前.dat": 200000, "just-64k": 65536, "big.bin": 64 << 20}

MODES = [("SMB2_02", ["-m", "SMB2_02"]),
         ("SMB2_10", ["-m", "SMB2_10"]),
         ("SMB3_00", ["-m", "SMB3_00"]),
         ("SMB3_02", ["-m", "SMB3_02"]),
         ("SMB3_11", ["-m", "SMB3_11", "--option=client min protocol=SMB3_11"]),
         ("default start (SMB1 first)", ["--option=client min protocol=NT1"]),
         ("SMB3_00, SMB1 first", ["-m", "SMB3_00", "--option=client min protocol=NT1"]),
         ("SMB2_02, SMB1 first", ["-m", "SMB2_02", "--option=client min protocol=NT1"]),
         ("signed", ["--client-protection=sign"]),
         ("encrypted", ["--client-protection=encrypt"])]


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while True:
            b = f.read(1 << 20)
            if not b:
                return h.hexdigest()
            h.update(b)


def exchange(t, nodes, src, want, label, addr, port, args):
    """Put everything, list it, get it back, delete some; compare at both ends."""
    back = node.tempdir(t)
    script = ["put \"%s\"" % f for f in FILES]
    script += ["put plain.txt gone.txt", "mkdir sub", "mkdir gone", "ls", "del gone.txt",
               "rmdir gone", "lcd \"%s\"" % back]
    script += ["get \"%s\"" % f for f in FILES]
    r = clients.smbclient(addr, port, script, *args, cwd=src)
    t.ok(r.returncode == 0, label + ": put, mkdir, ls, del, rmdir, get", r.stdout[-1500:])
    t.ok(all(f in r.stdout for f in list(FILES) + ["sub", "gone.txt"]), label + ": listing",
         r.stdout[-1500:])
    holders = [n for n in nodes if os.listdir(n.data())]
    t.same(len(holders), 1, label + ": one node has them")
    for n in holders:
        t.same(sorted(os.listdir(n.data())), sorted(list(FILES) + ["sub"]),
               label + ": what is on the node")
        t.same({f: digest(n.data(f)) for f in FILES}, want, label + ": identical on the node")
        shutil.rmtree(n.data())
        os.mkdir(n.data())
        os.chmod(n.data(), 0o777)
    t.same({f: digest(os.path.join(back, f)) for f in os.listdir(back)}, want,
           label + ": identical when back")
    shutil.rmtree(back)
    return holders


def main(t):
    nodes = node.cluster(t, 2)
    src = node.tempdir(t)
    want = {}
    for f, size in FILES.items():
        with open(os.path.join(src, f), "wb") as out:
            out.write(os.urandom(size))
        want[f] = digest(os.path.join(src, f))

    for name, args in MODES:
        exchange(t, nodes, src, want, "direct, " + name, nodes[0].addr, nodes[0].port, args)
    nt1 = ["-m", "NT1", "--option=client min protocol=NT1"]
    r = clients.smbclient(nodes[0].addr, nodes[0].port, "ls", *nt1)
    t.ok(r.returncode == 0, "direct, SMB1 alone: works at this node", r.stdout)
    why = gate.missing()
    if why:
        t.bail(why)

    six = node.free_port("::1")
    g = gate.Gate(t, nodes, listen={"lan": "127.0.0.1:%d" % node.free_port("127.0.0.1"),
                                    "six": "[::1]:%d" % six}, health=gate.PATIENT).start()
    for name, args in MODES:
        exchange(t, nodes, src, want, "through, " + name, "127.0.0.1", g.port, args)
    exchange(t, nodes, src, want, "through, IPv6", "::1", six, [])

    # SMB1 alone: an answer that says no, then the end; never a node
    before = g.closes()
    r = clients.smbclient("127.0.0.1", g.port, "ls", *nt1)
    t.ok(r.returncode != 0 and re.search("(?i)protocol negotiation.* failed", r.stdout),
         "through, SMB1 alone: refused in the negotiation", r.stdout)
    t.ok(g.wait_closed(before, 60), "the refusal is counted: %s" % g.closed_since(before))
    c = smb2.Conn("127.0.0.1", g.port)
    c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
    answer = c.recv_frame()
    t.ok(answer[:5] == b"\xffSMB\x72" and answer[9] & 0x80 and answer[32] >= 1
         and answer[33:35] == b"\xff\xff", "its answer names no dialect", answer.hex())
    t.same(c.recv_eof(60), b"", "and then the connection is closed")
    c.close()

    g.reload(smb1="allow")
    r = clients.smbclient("127.0.0.1", g.port, ["put plain.txt", "get plain.txt back.txt"], *nt1,
                          cwd=src)
    t.ok(r.returncode == 0, "smb1 = allow: SMB1 copies through smbgate", r.stdout)
    t.ok(os.path.exists(src + "/back.txt") and digest(src + "/back.txt") == want["plain.txt"],
         "smb1 = allow: identical")
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=400) as test:
    main(test)
