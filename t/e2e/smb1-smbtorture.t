#!/usr/bin/python3
# smb1-smbtorture.t: smbtorture's results over NT1 are those that it has directly
"""SMBGATE_SUITES names other suites of smbtorture, apart by spaces."""
import os
import subprocess

import clients
import gate
import node
import tap

why = node.missing() or gate.missing() or clients.missing("smbtorture")
if why:
    tap.skip_all(why)

SUITES = os.environ.get("SMBGATE_SUITES", "raw.unlink raw.seek raw.context raw.session raw.read "
                        "base.tcon base.vuid base.negnowait").split()
OPTIONS = ["--option=client min protocol=NT1", "--option=client max protocol=NT1"]


def run(addr, port, suite):
    try:
        got, _ = clients.smbtorture(addr, port, suite, timeout=60, options=OPTIONS)
    except subprocess.TimeoutExpired:
        return {"(the suite ends)": "hangs"}
    return {k: v[0] for k, v in got.items()}


def main(t):
    n = node.Node(node.Lab(t)).start()
    g = gate.Gate(t, [n], smb1="allow").start()
    compared = 0
    for suite in SUITES:
        direct = run(n.addr, n.port, suite)
        got = run("127.0.0.1", g.port, suite)
        compared += len(got)
        if got == direct and direct:
            t.ok(True, "%s: %d results, all as directly" % (suite, len(got)))
            continue
        # what is not stable directly is told, and proves nothing
        again = run(n.addr, n.port, suite)
        differ = [(k, direct.get(k), got.get(k)) for k in sorted(set(direct) | set(got))
                  if direct.get(k) != got.get(k) and direct.get(k) == again.get(k)]
        t.ok(direct and not differ, "%s: %d results, as directly" % (suite, len(got)), differ)
    smb1 = g.stats()["closed"].get("smb1_signed", 0)
    t.same(smb1, 0, "%d results compared; no connection was ended for what it asked" % compared)
    t.same(g.stop(), 0, "smbgate ends with status 0")


with tap.Test(deadline=400) as test:
    main(test)
