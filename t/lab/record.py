#!/usr/bin/python3
# record.py: record whole conversations with a real smbd into t/frames, run by hand
"""usage: record.py DIRECTORY

Each NAME.conv holds records {u8 direction (0 client to server, 1 server to client), u32 LE length,
bytes}; one record is one transport frame with its four byte header, in the order seen."""

import os
import select
import socket
import struct
import subprocess
import sys
import threading

import node
import smb2
import tap

HOST = "127.0.0.11"


class Tape:
    """A relay for one connection that keeps its frames."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.records = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client, _ = self.listener.accept()
        self.listener.close()
        server = socket.create_connection(self.target)
        buf = {client: b"", server: b""}
        while True:
            for s in select.select([client, server], [], [])[0]:
                got = s.recv(1 << 20)
                if not got:
                    client.close()
                    server.close()
                    return
                buf[s] += got
                while len(buf[s]) >= 4:
                    n = 4 + int.from_bytes(buf[s][1:4], "big")
                    if len(buf[s]) < n:
                        break
                    self.records.append((0 if s is client else 1, buf[s][:n]))
                    buf[s] = buf[s][n:]
                (server if s is client else client).sendall(got)


def save(path, records):
    data = b"".join(struct.pack("<BI", d, len(b)) + b for d, b in records)
    with open(path, "wb") as f:
        f.write(data)
    print("%-40s %3d frames %6d bytes" % (os.path.basename(path), len(records), len(data)))


def main(out):
    with tap.Test(120) as t:
        lab = node.Lab(t)
        plain = node.Node(lab, "n1", HOST, netbios="NAS", interfaces=[
            "127.0.0.11/8;speed=1000000000,capability=RSS,if_index=7",
            "127.0.0.12/8;speed=10000000000,if_index=8"]).start()
        signed = node.Node(lab, "n2", "127.0.0.21", netbios="NAS", signing="mandatory").start()
        nomc = node.Node(lab, "n3", "127.0.0.31", netbios="NAS", multichannel=False).start()
        small = os.path.join(lab.dir, "small")
        with open(small, "wb") as f:
            f.write(bytes(range(256)) * 8)

        def smbclient(name, n, *args, script=None, share="data"):
            tape = Tape((n.addr, n.port))
            script = script or "put %s up; ls; get up %s.back; mkdir d; rm up; rmdir d" % (
                small, small)
            r = subprocess.run(["smbclient", "//127.0.0.1/" + share, "-p", str(tape.port),
                                "-n", "LABCLIENT", "-s", "/dev/null", *args,
                                "-c", script], capture_output=True, text=True, timeout=20)
            tape.thread.join(5)
            t.ok(r.returncode == 0 or share == "none", name, r.stdout + r.stderr)
            save(os.path.join(out, name + ".conv"), tape.records)

        alice = "-Ualice%Alice-pw-1"
        for m in ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"):
            smbclient("smbclient-%s" % m.lower().replace("_", ""), plain, alice, "-m", m,
                      "--option=client min protocol=" + m)
        smbclient("smbclient-multi-smb300", plain, alice, "-m", "SMB3_00",
                  "--option=client min protocol=NT1")
        smbclient("smbclient-multi-smb202", plain, alice, "-m", "SMB2_02",
                  "--option=client min protocol=NT1")
        smbclient("smbclient-multi-default", plain, alice, "--option=client min protocol=NT1")
        smbclient("smbclient-signed-gmac", signed, alice, "-m", "SMB3_11")
        smbclient("smbclient-signed-cmac", signed, alice, "-m", "SMB3_11",
                  "--option=client smb3 signing algorithms=AES-128-CMAC")
        smbclient("smbclient-sealed", plain, alice, "--client-protection=encrypt")
        smbclient("smbclient-guest", plain, "-Unosuchuser%x", script="ls")
        smbclient("smbclient-logon-failure", plain, "-Ualice%wrong", script="ls", share="none")

        def raw(name, fn, n=plain):
            c = smb2.Conn(n.addr, n.port)
            c.record = []
            fn(c, n)
            c.close()
            t.ok(True, name)
            save(os.path.join(out, name + ".conv"), c.record)

        def ifinfo(dialects, login, **kw):
            def run(c, n):
                c.negotiate(dialects, **kw)
                s = login(c)
                tid = c.tree(s, "IPC$")
                c.ifinfo_raw(s, tid)
                c.ifinfo_raw(s, tid, max_out=303)
                c.ifinfo_raw(s, tid, max_out=304)
                c.ifinfo_raw(s, tid, max_out=0)
                c.echo(session=s)
                c.logoff(s)
            return run

        raw("ifinfo-unsigned-300", ifinfo([0x0300], lambda c: c.login()))
        raw("ifinfo-unsigned-302-multi", ifinfo([0x0300, 0x0302], lambda c: c.login(), multi=True))
        raw("ifinfo-unsigned-202", ifinfo([0x0202], lambda c: c.login(),
                                          multi=smb2.MULTI[:-1]))
        raw("ifinfo-guest-311", ifinfo([0x0311], lambda c: c.guest()))
        raw("ifinfo-anonymous-311", ifinfo([0x0311], lambda c: c.login("", "")))
        raw("ifinfo-signed-gmac-311", ifinfo([0x0311], lambda c: c.login()), signed)
        raw("ifinfo-signed-cmac-311", ifinfo([0x0311], lambda c: c.login(), signing=(1,)), signed)
        raw("ifinfo-no-multichannel-300", ifinfo([0x0300], lambda c: c.login()), nomc)

        def compounds(c, n):
            c.negotiate([0x0202, 0x0210, 0x0300])
            s = c.login()
            tid = c.tree(s, "IPC$")
            echo = {"cmd": smb2.ECHO, "body": struct.pack("<HH", 4, 0)}
            query = {"cmd": smb2.IOCTL, "body": smb2.ioctl_body(), "session": s, "tid": tid}
            c.calls([echo, query])
            c.calls([query, echo])
            c.calls([echo, query, echo])
            c.calls([query, query, query])
            c.calls([dict(echo, session=s, tid=tid),
                     dict(query, flags=smb2.RELATED, session=None, sid=smb2.ANY64,
                          tid=0xFFFFFFFF)])
            c.logoff(s)
        raw("ifinfo-compounds-300", compounds)

        def files(c, n):
            """Related create, write, read, close; a query behind a request that goes async."""
            c.negotiate([0x0202, 0x0210, 0x0300, 0x0302])
            s = c.login()
            tid = c.tree(s)
            any_ = b"\xff" * 16
            rel = {"flags": smb2.RELATED, "sid": smb2.ANY64, "tid": 0xFFFFFFFF}
            c.calls([
                {"cmd": smb2.CREATE, "body": c.create_body("r", disp=5), "session": s, "tid": tid},
                dict(rel, cmd=smb2.WRITE, body=struct.pack("<HHIQ", 49, 112, 8, 0) + any_
                     + bytes(16) + b"contents"),
                dict(rel, cmd=smb2.READ, body=c.read_body(any_, 0, 8)),
                dict(rel, cmd=smb2.CLOSE, body=struct.pack("<HHI", 24, 0, 0) + any_)])
            m = c.check(c.call(smb2.CREATE, c.create_body("", access=0x81, options=1), session=s,
                               tid=tid), "open the directory")
            d = m.body[64:80]
            watch = c.build(smb2.CHANGE_NOTIFY, struct.pack("<HHI", 32, 0, 4096) + d
                            + struct.pack("<II", 1, 0), session=s, tid=tid)
            c.send_frame(watch)
            pending, = c.recv()
            c.check(pending, "change notify", smb2.PENDING)
            c.ifinfo_raw(s, tid)
            cancel = smb2.header(smb2.CANCEL, pending.mid, s.sid, 0, smb2.ASYNC, 0, 0)
            cancel = cancel[:32] + struct.pack("<Q", pending.async_id) + cancel[40:] \
                + struct.pack("<HH", 4, 0)
            c.send_frame(cancel)
            c.answers([pending.mid])
            c.logoff(s)
        raw("files-compound-async-302", files)

        def bind(dialects, name, **kw):
            a = smb2.Conn(plain.addr, plain.port)
            a.negotiate(dialects, **kw)
            s = a.login()

            def second(c, n):
                c.negotiate(dialects, guid=a.guid, **kw)
                c.login(bind=s)
                tid = c.tree(s, sign=True)
                c.ifinfo_raw(s, tid, sign=s.sign)
                c.logoff(s, sign=True)
            raw(name, second)
            a.close()
        bind([0x0300], "bind-300")
        bind([0x0311], "bind-311-gmac")
        bind([0x0311], "bind-311-cmac", signing=(1,))

        def unknown_bind(c, n):
            c.negotiate([0x0302])
            s = smb2.Session(0x1234567)
            s.signing_key = bytes(16)
            try:
                c.login(bind=s)
            except smb2.Status:
                pass
            c.login()
        raw("bind-unknown-session", unknown_bind)

        def two(c, n):
            """Two sessions on one connection, a reauthentication, a failed logon, logoffs."""
            c.negotiate([0x0302])
            s = c.login()
            g = c.login("bob", "Bob-pw-2")
            c.login(session=s)
            try:
                c.login("alice", "wrong")
            except smb2.Status:
                pass
            c.logoff(s)
            c.echo(session=g)
            c.ifinfo_raw(s)
            c.logoff(g)
        raw("two-sessions-302", two)

        def smb1(c, n):
            c.send_frame(smb2.smb1_negotiate(["NT LM 0.12"]))
            c.recv_frame()
        raw("smb1-only", smb1)

        def no_common(c, n):
            c.send_frame(smb2.smb1_negotiate(["XENIX CORE"]))
            c.recv_frame()
        raw("smb1-no-dialect", no_common)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    main(sys.argv[1])
