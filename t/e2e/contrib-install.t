#!/usr/bin/python3
# contrib-install.t: what make install puts where, that it works there, and that nothing stays
import os
import re
import shutil
import subprocess

import gate
import node
import tap

why = gate.missing()
if why is None and not os.path.exists(gate.build_dir() + "/Makefile"):
    why = "no Makefile in the build"
if why:
    tap.skip_all(why)

PAGES = ["man8/smbgate.8", "man8/smbgate-keyd.8", "man1/smbgatectl.1", "man5/smbgate.conf.5",
         "man5/smbgate-policy.5"]
# What lowdown does not mind: long lines, and an empty paragraph behind a heading.
HARMLESS = re.compile(r"STYLE: input text line longer than 80 bytes"
                      r"|WARNING: skipping paragraph macro: [PL]P after S[HS]")


def make(t, what, dest):
    r = subprocess.run(["make", "-C", gate.build_dir(), what, "DESTDIR=" + dest, "prefix=/opt/smb",
                        "docdir=/opt/smb/share/doc/smbgate", "systemdsystemunitdir=/units"],
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                       env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    t.ok(r.returncode == 0, "make " + what, r.stdout[-2000:])


def files(top):
    return {os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs}


def pages(t, top):
    man = top + "/opt/smb/share/man/"
    with open(gate.build_dir() + "/Makefile") as f:
        if not re.search(r"^LOWDOWN = \S", f.read(), re.M):
            t.skip("manual pages", "no lowdown")
            return
    for old, page in (("man5/policy.conf.5", PAGES[4]), ("man8/smbgatectl.8", PAGES[2]),
                      ("man8/smbgate-upgrade.8", PAGES[0])):
        with open(man + old) as f:
            t.same(f.read(), ".so %s\n" % page, "%s is another name of %s" % (old, page))
    for page in PAGES:
        with open(man + page) as f:
            text = f.read()
        name = os.path.basename(page)[:-2]
        t.ok('.TH "%s" "%s"' % (name.upper(), page[-1]) in text and re.search(
            r"^NAME\n\.(PP|LP)\n%s \\?- " % re.escape(name), text, re.M),
            page + ": its title and its name", text[:300])
        t.ok(not re.search("[\u2013\u2014](?=[a-z])", text), page + ": dashes are dashes")
        if shutil.which("mandoc"):
            r = subprocess.run(["mandoc", "-T", "lint", man + page], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            bad = [x for x in r.stdout.splitlines() if not HARMLESS.search(x)]
            t.same(bad, [], page + ": mandoc finds nothing")
    for page in PAGES if shutil.which("man") else ():
        r = subprocess.run(["man", "-l", man + page], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=dict(os.environ, MANWIDTH="80"))
        wide = [x for x in r.stdout.splitlines() if len(x) > 80]
        t.ok(r.returncode == 0 and "NAME\n" in r.stdout and not wide,
             page + ": nothing is wider than 80 columns", wide[:5], r.stderr)
        if page == PAGES[3]:
            t.ok("user = user\n" in r.stdout, "samples are shown as they are", r.stdout[:2000])


# zsh's completion for a line, where compadd prints what it is given.
ZSH = """compadd() { [ "$1" != -- ] || shift; (( $# == 0 )) || print -l -- "$@" }
file=$1; shift; words=("$@"); CURRENT=$#; source $file"""


def completion(t, top, g):
    """What the shells would offer behind a line."""
    share, env = top + "/opt/smb/share/", dict(os.environ, SMBGATE_CONTROL=g.control,
                                               PATH=top + "/opt/smb/bin:" + os.environ["PATH"])

    def bash(line):
        words = line.split(" ")
        r = subprocess.run(["bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); '
                            'COMP_CWORD=$(($# - 1)); _smbgatectl; printf "%s\\n" "${COMPREPLY[@]}"',
                            "bash", share + "bash-completion/completions/smbgatectl", *words],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        return set(r.stdout.split()), r.stderr

    def zsh(line):
        r = subprocess.run(["zsh", "-fc", ZSH, "zsh", share + "zsh/vendor-completions/_smbgatectl",
                            *line.split(" ")], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=env)
        # What is not meant zsh itself leaves out.
        word = line.rsplit(" ", 1)[1]
        return {x for x in r.stdout.split() if x.startswith(word)}, r.stderr
    text = subprocess.run(["smbgatectl", "--help"], text=True, stdout=subprocess.PIPE,
                          env=env).stdout
    there = {what: set(re.findall(pattern, text, re.M)) for what, pattern in (
        ("", r"^  ([a-z][a-z-]*)"), ("show ", r"^  show ([a-z]+)"),
        ("-", r"^ +(?:-\w, |)(--[a-z-]+)"))}
    for shell in (bash, zsh):
        if not shutil.which(shell.__name__):
            t.skip("completion", "no " + shell.__name__)
            continue
        for what, want in there.items():
            t.same(shell("smbgatectl " + what), (want, ""),
                   "%s offers all %d of --help behind \"%s\"" % (shell.__name__, len(want), what))
        t.same(shell("smbgatectl --json show st"), ({"stats"}, ""), "and of these what was begun")
        t.same(shell("smbgatectl drain n"), ({"n1", "n2"}, ""), "and nodes, as they are there")
        t.same(shell("smbgatectl --js"), ({"--json"}, ""), "and options")


class Away:
    """A node; there is none."""

    def __init__(self, name, endpoint):
        self.name, self.endpoint = name, endpoint


def main(t):
    top = node.tempdir(t) + "/dest"
    make(t, "install", top)
    there = files(top)
    need = {"opt/smb/sbin/smbgate", "opt/smb/sbin/smbgate-keyd", "opt/smb/bin/smbgatectl",
            "units/smbgate.service", "units/smbgate.socket", "opt/smb/sbin/smbgate-upgrade",
            "opt/smb/share/bash-completion/completions/smbgatectl",
            "opt/smb/share/zsh/vendor-completions/_smbgatectl",
            "opt/smb/share/doc/smbgate/README.md", "opt/smb/share/doc/smbgate/doc/KEYS.md",
            "opt/smb/share/doc/smbgate/contrib/cluster/README.md"}
    if "units/smbgate.service" not in there:
        t.skip("the unit", "configured without --with-systemdsystemunitdir")
        need -= {"units/smbgate.service", "units/smbgate.socket", "opt/smb/sbin/smbgate-upgrade"}
    else:
        with open(top + "/units/smbgate.service") as f:
            text = f.read()
        t.ok("ExecStart=/opt/smb/sbin/smbgate " in text and "/usr/" not in text and
             "ExecReload=+/opt/smb/bin/smbgatectl " in text, "the unit has this prefix", text)
    t.ok(need <= there, "%d files are where they belong" % len(there), need - there)
    t.ok(os.access(top + "/opt/smb/share/doc/smbgate/contrib/cluster/check-smbgate", os.X_OK),
         "scripts can be run")
    pages(t, top)
    with open(top + "/opt/smb/share/doc/smbgate/README.md") as f:
        links = set(re.findall(r"\]\((?!http|#)([^)#]*)", f.read()))
    doc = top + "/opt/smb/share/doc/smbgate/"
    t.same({x for x in links if not os.path.exists(doc + x)} - {"etc", "CONTRIBUTING.md",
            "doc/ARCHITECTURE.md", "LICENSE", "bench", "bench/run"}, set(),
           "README's links lead somewhere")
    g = gate.Gate(t, [Away("n1", "127.0.0.41:9"), Away("n2", "127.0.0.42:9")]).start(nodes_up=False)
    completion(t, top, g)
    g.stop()
    make(t, "uninstall", top)
    left = [d for d, _, _ in os.walk(top) if "smbgate" in d]
    t.same((files(top), left), (set(), []), "make uninstall leaves nothing")


with tap.Test(deadline=200) as test:
    main(test)
