#!/usr/bin/python3
# contrib-rpm.t: contrib/rpm/smbgate.spec makes a package of what make install installs
"""What the build directory has is packaged, without compiling: each file that is installed must be
in the spec, and each of the spec's be there.  It is looked at, and not installed: nothing here has
RPM's database."""
import glob
import os
import re
import shutil
import subprocess

import gate
import node
import tap

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
why = gate.missing() or (None if shutil.which("rpmbuild") else "no rpmbuild")
if why is None and not os.path.exists(gate.build_dir() + "/Makefile"):
    why = "no Makefile in the build"
if why:
    tap.skip_all(why)

# Instead of a compiler: what has been built, under the prefix that %configure would have set.
INSTALL = ("make -C %s install DESTDIR=%%{buildroot} prefix=%%{_prefix} docdir=%%{_docdir}/smbgate "
           "systemdsystemunitdir=%%{_unitdir}")
NEED = {"/usr/sbin/smbgate", "/usr/sbin/smbgate-keyd", "/usr/sbin/smbgate-upgrade",
        "/usr/bin/smbgatectl", "/usr/lib/systemd/system/smbgate.service",
        "/usr/lib/systemd/system/smbgate.socket", "/usr/lib/sysusers.d/smbgate.conf",
        "/usr/lib/tmpfiles.d/smbgate.conf", "/etc/smbgate/smbgate.conf", "/etc/smbgate/policy.conf",
        "/usr/share/doc/smbgate/doc/FIRST-CLUSTER.md",
        "/usr/share/bash-completion/completions/smbgatectl"}


def sh(argv, **kw):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=env, **kw)


def build(t, top):
    """The path of the package."""
    with open(SOURCE + "/contrib/rpm/smbgate.spec") as f:
        spec = f.read()
    spec, n = re.subn(r"(?ms)^%build\n.*?(?=^%install)", "%build\n\n", spec)
    spec, k = re.subn(r"(?m)^%make_install$", lambda _: INSTALL % gate.build_dir(), spec)
    t.same((n, k), (1, 1), "the spec has what is replaced")
    with open(top + "/smbgate.spec", "w") as f:
        # Symbols and build ids are looked for in programs that a package may well be without.
        f.write("%global debug_package %{nil}\n%global __os_install_post %{nil}\n" + spec)
    version, = re.findall(r"(?m)^Version: (\S+)", spec)
    tree = "smbgate-" + version
    os.makedirs(top + "/SOURCES")
    for what in ("etc", "contrib/debian", "LICENSE"):
        to = "%s/%s/%s" % (top, tree, what)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        (shutil.copytree if os.path.isdir(SOURCE + "/" + what) else shutil.copy)(
            SOURCE + "/" + what, to)
    sh(["tar", "-C", top, "-czf", "%s/SOURCES/%s.tar.gz" % (top, tree), tree])
    man = [] if shutil.which("lowdown") else ["--without", "man"]
    r = sh(["rpmbuild", "-bb", "--nodeps", *man, "--define", "_topdir " + top,
            top + "/smbgate.spec"])
    made = glob.glob(top + "/RPMS/*/smbgate-%s-*.rpm" % version)
    t.ok(r.returncode == 0 and len(made) == 1, "rpmbuild makes it", r.stdout[-3000:])
    return made[0] if made else None


def main(t):
    with open(gate.build_dir() + "/Makefile") as f:
        if not re.search(r"(?m)^systemdsystemunitdir = \S", f.read()):
            t.skip("the package", "configured without --with-systemdsystemunitdir")
            return
    rpm = build(t, node.tempdir(t))
    if not rpm:
        return
    there = set(sh(["rpm", "-qpl", rpm]).stdout.split("\n"))
    t.ok(NEED <= there, "its %d files are where they belong" % len(there), NEED - there)
    kept = set(sh(["rpm", "-qpc", rpm]).stdout.split("\n"))
    t.ok({"/etc/smbgate/smbgate.conf", "/etc/smbgate/policy.conf"} <= kept,
         "both files of the configuration are kept", kept)
    scripts = sh(["rpm", "-qp", "--scripts", rpm]).stdout
    parts = re.split(r"(?m)^\w+ scriptlet \(using /bin/sh\):\n", scripts)[1:]
    t.ok(len(parts) == 4 and all(sh(["sh", "-n", "-c", p]).returncode == 0 for p in parts),
         "its four scripts are ones of the shell", scripts)
    t.ok("smbgate-upgrade" in parts[-1], "an upgrade is a takeover, once the new one is there",
         scripts)


with tap.Test(deadline=120) as test:
    main(test)
