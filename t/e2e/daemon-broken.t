#!/usr/bin/python3
# daemon-broken.t: smbgate -t: broken files, and machines that they do not fit, each with its line
import os
import socket
import struct
import subprocess

import gate
import netns
import node
import tap

why = netns.missing() or gate.missing()
if why:
    tap.skip_all(why)

NODE = 'node "n1" { address = "127.0.0.41:9" }\n'
IFACES = 'interfaces "lan" { address "10.1.0.5" { } }\n'
POLICY = NODE + IFACES
LISTEN = 'listen "lan" { address = "10.1.0.5:445" }\n'
HEAD = 'control = "control.sock"\n'


def keytab(*entries):
    """entries: (components, enctype, length of the key)."""
    out = b"\5\2"
    for names, enctype, n in entries:
        e = struct.pack(">H", len(names))
        for text in ["LAB.EXAMPLE", *names]:
            e += struct.pack(">H", len(text)) + text.encode()
        e += struct.pack(">IIBHH", 1, 0, 3, enctype, n) + bytes(n)
        out += struct.pack(">i", len(e)) + e
    return out


GOOD = keytab((("cifs", "nas.lab.example"), 18, 32))


class Box:
    """A directory with both files, which are good but for what a case breaks."""

    def __init__(self, t):
        self.dir = node.tempdir(t)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data, mode=0o600):
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(self.path(name), mode)

    def test(self, conf=LISTEN, policy=POLICY, *prefix, mode=0o644):
        """(exit status, lines) of -t; both files begin with a line that is good."""
        self.write("smbgate.conf", conf if isinstance(conf, bytes) else HEAD + conf, 0o644)
        self.write("policy.conf", policy if isinstance(policy, bytes) else "\n" + policy, mode)
        r = subprocess.run([*prefix, gate.program(), "-t", "-c", self.path("smbgate.conf")],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        return r.returncode, r.stdout.replace(self.dir + "/", "").splitlines()

    def starts(self):
        """Does it come to serve? It is ended then."""
        p = subprocess.Popen([gate.program(), "-c", self.path("smbgate.conf")], text=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for line in p.stderr:
                if "is ready" in line:
                    return True
            return False
        finally:
            p.terminate()
            p.communicate(timeout=30)


P, C = "policy.conf:%d: ", "smbgate.conf:%d: "
REDIS = 'state "redis" { servers = { "127.0.0.1:9" } '

# What is broken: policy.conf or smbgate.conf (behind its first line), and what is said, of which
# line. All of these are refused.
REFUSED = [
    ("a name for an address", dict(policy='node a { address = "nas1.example.com" }\n'),
     P % 2 + 'address: "nas1.example.com" is not an address: a name; names are not looked up'),
    ("a zone id", dict(policy='node a { address = "[fe80::1%eth0]:445" }\n'),
     P % 2 + 'address: "[fe80::1%eth0]:445" is not an address: it has a zone id'),
    ("a bracket is missing", dict(policy='node a { address = "[fd00::1:445" }\n'),
     P % 2 + 'address: "[fd00::1:445" is not an address: the closing bracket is missing'),
    ("a link-local node", dict(policy='node a { address = "[fe80::1]:445" }\n'),
     P % 2 + 'node "a": [fe80::1]:445 is link-local, and of no use without an interface'),
    ("a broadcast", dict(policy='node a { address = "255.255.255.255" }\n'),
     P % 2 + 'node "a": 255.255.255.255:445 is the broadcast address'),
    ("a semicolon", dict(policy='node a {\n address = "10.2.0.11"; }\n'),
     P % 3 + "a semicolon: nothing ends with one here"),
    ("a port that is none", dict(policy='node a { address = "10.2.0.11:70000" }\n'),
     P % 2 + 'address: "10.2.0.11:70000" is not an address: "70000" is not a port'),
    ("a leading zero", dict(policy='node a { address = "10.2.0.011" }\n'), "a leading zero"),
    ("three numbers", dict(policy='node a { address = "10.2.0" }\n'), "four numbers, and not 3"),
    ("a URL", dict(policy='node a { address = "smb://10.2.0.11" }\n'), "a URL"),
    ("a length", dict(policy='node a { address = "10.2.0.11/24" }\n'), "a length (from / on)"),
    ("host bits", dict(policy=POLICY + 'addresses { allow = { "10.1.0.5/24" } }\n'),
     P % 4 + 'allow: "10.1.0.5/24" is not an address: host bits are set: for the network write '
     '"10.1.0.0/24"'),
    ("listen *:445", dict(conf='listen "lan" { address = "*:445" }\n'),
     C % 2 + 'address: "*:445" is not an address: for all addresses write 0.0.0.0 or [::]'),
    ("listen 445", dict(conf='listen "lan" { address = "445" }\n'), "a number alone"),
    ("listen eth0", dict(conf='listen "lan" { address = "eth0" }\n'), "names are not looked up"),
    ("Redis by its URL", dict(conf=LISTEN + 'state "redis" { servers = { "redis://10.3.0.1" } }\n'),
     C % 3 + 'servers: "redis://10.3.0.1" is neither ADDRESS:PORT nor the absolute path of a '
     'socket: a URL'),
    ("a mistyped option", dict(conf=LISTEN + 'polcy = "policy.conf"\n'),
     C % 3 + "no such option 'polcy'; policy?"),
    ("an option outside its section", dict(policy=POLICY + "rise = 3\n"),
     P % 4 + "no such option 'rise' here: it belongs into a section \"health\""),
    ("a node in smbgate.conf", dict(conf=LISTEN + NODE), C % 3 + "no such option 'node'"),
    ("lines that end in CR alone", dict(policy=POLICY + "# rules\rsmb1 = allow\r"),
     P % 4 + "a line ends in CR alone"),
    ("UTF-16", dict(policy=POLICY.encode("utf-16")),
     "policy.conf: the file is UTF-16: save it as UTF-8"),
    ("typographic quotation marks", dict(policy=POLICY + "smb1 = \u201callow\u201d\n"),
     P % 4 + "a typographic quotation mark: it must be a plain \""),
    ("a no-break space", dict(policy=POLICY + "smb1\u00a0= allow\n"), P % 4 + "a no-break space"),
    ("a variable that is not set", dict(policy='node a { address = "${NAS_ADDRESS}" }\n'),
     P % 2 + "the environment has no variable NAS_ADDRESS"),
    ("a section that does not end", dict(policy=POLICY + "health {\n rise = 2\n"),
     P % 4 + "this opening brace is never closed"),
    ("no nodes", dict(policy=IFACES), "no node: there must be at least one"),
    ("no listener", dict(conf=""), "no listener: there must be at least one"),
    ("two nodes of one address", dict(policy=POLICY + NODE.replace("n1", "n2")),
     P % 4 + 'node "n2" has the same address as node "n1"'),
    ("a deny-file that is not there",
     dict(policy=POLICY + 'addresses { deny-file = { "gone" } }\n'),
     P % 4 + "deny-file gone: No such file or directory"),
    ("a node that is a listener of ours", dict(policy=POLICY + 'node n2 { address = "10.1.0.5" }\n'),
     P % 4 + 'node "n2": 10.1.0.5:445 is smbgate\'s own listener "lan"'),
    ("a listener's address that is not here",
     dict(conf=LISTEN + 'listen "b" { address = "10.1.0.6" }\n'),
     C % 3 + 'listen "b": cannot bind 10.1.0.6:445: Cannot assign requested address'),
    ("a listener's port that is taken",
     dict(conf=LISTEN + 'listen "b" { address = "10.1.0.5:446" }\n'),
     C % 3 + 'listen "b": cannot bind 10.1.0.5:446: Address already in use'),
    ("http where nothing can be bound", dict(conf=LISTEN + 'http = "10.9.9.9"\n'),
     C % 3 + "http: cannot bind 10.9.9.9:9445: Cannot assign requested address"),
    ("control where a file is", dict(conf=b'control = "policy.conf"\n' + LISTEN.encode()),
     C % 1 + 'control "policy.conf": it exists and is not a socket'),
    ("control in no directory", dict(conf=b'\ncontrol = "a/b/x.sock"\n' + LISTEN.encode()),
     C % 2 + 'control "a/b/x.sock": there is no directory a'),
    ("a user who does not exist", dict(conf=LISTEN + "\nuser = nobody-at-all\n"),
     C % 4 + 'user "nobody-at-all" does not exist'),
    ("a keyd-user who does not exist", dict(conf=LISTEN + "keyd-user = nobody-at-all\n"),
     C % 3 + 'user "nobody-at-all" does not exist'),
    ("a control-group that does not exist", dict(conf=LISTEN + "control-group = no-such-group\n"),
     C % 3 + 'control-group "no-such-group" does not exist'),
    ("no cluster-secret", dict(conf=LISTEN + '\n\ncluster-secret = "gone"\n'),
     C % 5 + "cluster-secret gone: No such file or directory"),
    ("no password-file", dict(conf=LISTEN + REDIS + '\npassword-file = "gone"\n}\n'),
     C % 4 + "password-file gone: No such file or directory"),
    ("a keytab that everybody can read", dict(conf=LISTEN + 'keytab = "open.keytab"\n'),
     C % 3 + "keytab open.keytab: it has owner 0, group 0, mode 0644"),
]

# These are warned of: smbgate starts.
WARNED = [
    ("no keytab", dict(conf=LISTEN + '\nkeytab = "gone"\n'),
     C % 4 + "warning: keytab gone: No such file or directory"),
    ("an empty keytab", dict(conf=LISTEN + 'keytab = "empty.keytab"\n'),
     C % 3 + "warning: keytab empty.keytab: it is empty"),
    ("a keytab that is none", dict(conf=LISTEN + 'keytab = "junk.keytab"\n'),
     C % 3 + "warning: keytab junk.keytab: not a keytab file"),
    ("a keytab of other services", dict(conf=LISTEN + 'keytab = "host.keytab"\n'),
     C % 3 + "warning: keytab host.keytab: no key of cifs is in it, and 1 of other services"),
    ("a keytab of old kinds of keys", dict(conf=LISTEN + 'keytab = "des.keytab"\n'),
     C % 3 + "warning: keytab des.keytab: no key in it that could be used: all are of kinds"),
    ("an announced address that is not here",
     dict(policy=IFACES.replace('5" { }', '5" { }\n address "10.1.0.7" { }\n') + NODE),
     P % 3 + 'warning: interfaces "lan": 10.1.0.7 is on no interface of this machine'),
    ("an announced address that is forbidden",
     dict(policy=POLICY + 'addresses { deny = { "10.1.0.0/24" } }\n'),
     P % 3 + 'warning: interfaces "lan": 10.1.0.5 is never announced: the section addresses'),
    ("an announced address that is link-local",
     dict(policy=NODE + 'interfaces "lan" { address "fe80::1" { } }\n'),
     P % 3 + 'warning: interfaces "lan": fe80::1 is never announced: it is link-local'),
    ("a node with a port and no brackets",
     dict(policy=IFACES + 'node a {\n address = "fd00::1:445" }\n'),
     P % 4 + 'warning: node "a": an IPv6 address with a port needs brackets'),
    ("an agent with a port and no brackets",
     dict(policy=IFACES + 'node a { address = "127.0.0.41:9" agent = "fd00::1:9446" }\n'),
     P % 3 + 'warning: node "a": an IPv6 address with a port needs brackets'),
    ("no interfaces", dict(policy=NODE),
     C % 2 + 'warning: listen "lan": there is no section interfaces "lan" in policy.conf'),
    ("interfaces of no listener", dict(policy=POLICY + 'interfaces "wan" { }\n'),
     P % 4 + 'warning: interfaces "wan": there is no listener of that name'),
    ("a source-pool that is not here",
     dict(policy=POLICY + 'source = pool\nsource-pool = { "10.1.0.5",\n "10.1.0.8" }\n'),
     P % 6 + "warning: source-pool: 10.1.0.8 is on no interface of this machine"),
    ("a node in a deny-file",
     dict(policy='node a { address = "10.2.0.100:9" }\n' + IFACES +
          'addresses { deny-file = { "public" } }\n'),
     P % 2 + 'warning: node "a": its address is in a deny-file'),
    ("no node of the listener's cluster",
     dict(conf='listen "lan" { address = "10.1.0.5:445" cluster = "x" }\n'),
     C % 2 + 'warning: listen "lan": no node is of cluster "x"'),
    ("a pid-file in no directory", dict(conf=LISTEN + 'pid-file = "no/pid"\n'),
     C % 3 + "warning: pid-file no/pid cannot be written: No such file or directory"),
    ("a policy that the user cannot read", dict(conf=LISTEN + "\nuser = nobody\n", mode=0o600),
     C % 4 + 'warning: user "nobody" cannot read the policy again'),
]


def table(t, box):
    for what, files, said in REFUSED:
        status, lines = box.test(**files)
        t.ok(status == 1 and any(said in x for x in lines) and not any(":0: " in x for x in lines),
             "refused: " + what, lines)
    for what, files, said in WARNED:
        status, lines = box.test(**files)
        warnings = [x for x in lines if ": warning: " in x]
        t.ok(status == 0 and len(warnings) == 1 and warnings[0].startswith(said),
             "warned of: " + what, lines)


def same_as_start(t, box):
    """What -t passes comes to serve, and what it refuses on account of the machine does not."""
    status, lines = box.test()
    t.ok(status == 0 and not any("warning" in x for x in lines), "-t: both files are good", lines)
    t.ok(box.starts(), "so smbgate starts")
    for what, files, said in WARNED:
        box.test(**files)
        t.ok(box.starts(), "warned of, and it starts: " + what)
    # Of the one that is a node as well, the listener serves the others.
    for what, files, said in REFUSED[-11:]:
        box.test(**files)
        t.ok(not box.starts(), "refused, and it does not start: " + what)


def rights(t, box):
    """Who may not do what the service may is warned, and no more."""
    status, lines = box.test(LISTEN, POLICY, "setpriv", "--reuid", "nobody", "--clear-groups",
                             "--bounding-set", "-all", "--inh-caps", "-all")
    t.ok(status == 0 and any("warning" in x and "Permission denied" in x for x in lines),
         "a port below 1024, asked as a plain user: a warning", lines)
    status, lines = box.test(LISTEN, POLICY + "source = transparent\n", "setpriv",
                             "--bounding-set", "-net_raw")
    t.ok(status == 1 and any(x.startswith(P % 4 + "source = transparent needs CAP_NET_RAW")
                             for x in lines), "transparent, and without CAP_NET_RAW", lines)


def elsewhere(t, box):
    status, lines = box.test(policy=NODE + 'interfaces "lan" {\n address "10.1.0.5" { }\n'
                             ' address "10.1.0.7" { elsewhere = true }\n}\n')
    t.ok(status == 0 and not any("warning" in x for x in lines), "another proxy has it", lines)


def running(t, box):
    """Beside the smbgate that has the listeners: its own are not in the way."""
    box.test()
    p = t.spawn([gate.program(), "-c", box.path("smbgate.conf")], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE)
    while b"is ready" not in p.stderr.readline():
        pass
    status, lines = box.test()
    t.ok(status == 0 and not any("in use" in x for x in lines), "-t beside a running one", lines)
    p.terminate()
    t.same(p.wait(30), 0, "which ends with status 0")


def main(t):
    host = netns.Host(t, "one")
    host.sysctl("ipv6.conf.all.disable_ipv6", "1")
    box = Box(t)
    os.chmod(box.dir, 0o755)
    box.write("open.keytab", GOOD, 0o644)
    box.write("empty.keytab", b"")
    box.write("junk.keytab", b"not a keytab")
    box.write("host.keytab", keytab((("host", "nas.lab.example"), 18, 32)))
    box.write("des.keytab", keytab((("cifs", "nas.lab.example"), 3, 8)))
    box.write("public", b"\xef\xbb\xbf10.2.0.100/24 eth0\r\n", 0o644)
    with host.inside(), socket.socket() as other:
        subprocess.run(["ip", "address", "add", "10.1.0.5/32", "dev", "lo"], check=True)
        other.bind(("10.1.0.5", 446))
        other.listen()
        table(t, box)
        same_as_start(t, box)
        elsewhere(t, box)
        rights(t, box)
        running(t, box)


with tap.Test(deadline=120) as test:
    main(test)
