#!/usr/bin/python3
# copies.py: copies a file there and back with impacket again and again; run as a program by tests
"""usage: copies.py ADDRESS PORT DIALECT USER PASSWORD SECONDS

Prints a line for every connection: ok, refused (the logon was), or what went wrong."""

import io
import os
import sys
import time

from impacket import smb3structs, smbconnection

DIALECTS = {"NT1": "NT LM 0.12", "2.02": smb3structs.SMB2_DIALECT_002,
            "2.1": smb3structs.SMB2_DIALECT_21, "3.0": smb3structs.SMB2_DIALECT_30}


def one(addr, port, dialect, user, password):
    c = smbconnection.SMBConnection("nas", addr, sess_port=port, timeout=60,
                                    preferredDialect=DIALECTS.get(dialect))
    try:
        c.login(user, password)
    except smbconnection.SessionError as e:
        return "refused" if e.getErrorCode() == 0xC000006D else repr(e)
    data, out = os.urandom(50000), io.BytesIO()
    name = "impacket-%d" % os.getpid()
    c.putFile("data", name, io.BytesIO(data).read)
    c.getFile("data", name, out.write)
    c.deleteFile("data", name)
    c.close()
    return "ok" if out.getvalue() == data else "other bytes"


def main(addr, port, dialect, user, password, seconds):
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            print(one(addr, int(port), dialect, user, password), flush=True)
        except Exception as e:      # whatever it is, it is a client's failure
            print("%s: %r" % (type(e).__name__, e), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
