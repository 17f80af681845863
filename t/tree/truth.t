#!/usr/bin/python3
# truth.t: what is counted is counted, and what comments and pages name is there
import os
import re
import sys
from collections import Counter

from csource import files, functions, read, report, split
from rooms import ROOMS, ROOT

STATS = "stats/stat.tbl.h"
CLOSES = "stats/close.tbl.h"
PAGES = ["README.md", "CONTRIBUTING.md", "NEWS"]
CODE = [*ROOMS, "t", "bench"]
# Folders whose files may be named by a path, and programs and settings whose comments name files.
TOPS = [*CODE, "contrib", "dev", "doc", "etc"]
SCRIPTS = ["contrib", "t", "dev", "bench", "etc"]

# Names that are not ours: why they may be named.
FUNCTIONS = {
    "mlock": "mlock2(2) without flags",
    "syslog": "syslog(3), where the log does without",
}
CONSTANTS = {
    "A_i": "SP800-38C A.3",
    "AUTHENTICATE_MESSAGE": "[MS-NLMP] 2.2.1.3",
    "CONN_MAGIC": "base/magic.h's example",
    "DO_TIME": "of KRB5_AUTH_CONTEXT_",
    "MORE_PROCESSING": "of STATUS_, cut short",
    "NETWORK_INTERFACE_INFO": "[MS-SMB2] 2.2.32.5",
    "NO_NEW_PRIVS": "prctl(2)",
    "PIPE_BUF": "pipe(7)",
    "PP2_TYPE_CRC32C": "the PROXY protocol",
    "PP2_TYPE_NOOP": "the PROXY protocol",
    "SERVER_TO_REDIR": "of SMB2_FLAGS_, [MS-SMB2] 2.2.1",
    "SMB_COM_NEGOTIATE": "[MS-CIFS] 2.2.4.52",
    "SMB_FLAGS_CASE_INSENSITIVE": "[MS-CIFS] 2.2.3.1",
    "SMB2_TRANSFORM_HEADER": "[MS-SMB2] 2.2.41",
    "TIME_WAIT": "a state of TCP, RFC 9293 3.3.2",
    "TRANSFORM_HEADER": "[MS-SMB2] 2.2.41",
    "WRITE_ANDX": "[MS-CIFS] 2.2.4.43",
}
WORDS = {
    "arcfour-hmac": "Kerberos",
    "forward": "nftables",
    "input": "nftables",
    "min-replicas-to-write": "Redis",
    "nft_socket": "Linux",
    "nft_tproxy": "Linux",
    "noeviction": "Redis",
    "public_addresses": "CTDB",
    "smbstatus": "Samba",
    "tcp_wmem": "Linux",
    "tproxy": "nftables",
}
FILES = {
    "config.h": "made by configure",
    "smb.conf": "Samba's",
    "policy-rc.d": "Debian's",
    "util.c": "what there shall not be",
}
# The rows of doc/PERFORMANCE.md, which bench/run makes up.
SERIES = re.compile(r"(idle|idle-used|lat|bulk|conn|logon|smbd)-[\w-]+$")

CALL = re.compile(r"(?<![\w*])(\w+)\(\)")
CAPITALS = re.compile(r"(?<![\w$])([A-Z][A-Z0-9]*_\w*)")
SNAKE = re.compile(r"(?<![\w/.%*-])([a-z][a-z0-9]*_[a-z0-9_]*[a-z0-9])\b(?![.\w/*-])")
TYPE = re.compile(r"\b((?:struct|enum|union) (?!(?:of|in|for|to|with|that|is|and|or)\b)[a-z_]\w*)")
QUOTED = re.compile(r"`([A-Za-z][\w-]*)`")
FILE = re.compile(r"(?<![\w/.<@:$}-])((?:[\w-]+/)*[\w.-]*\w\.(?:[cht]|tbl\.h|py|md|sh|conf|lua|mk|"
                  r"service|acl|ac|am|conv))\b(?![\w/(*]|\.\w)")
PATH = re.compile(r"(?<![\w/.<@:$}-])((?:%s)/[\w./-]*\w)(?![\w*{<(])" % "|".join(TOPS))
WHERE = re.compile(r"\w+\(\)`? (?:in|of) `?(?:\w+/)*\w+\.[ch]\b")
SCRIPT = re.compile(r"/[^/.]+$|\.(py|t|sh|conf|acl|service|mk)$")
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")
COUNTER = re.compile(r"stats(?:\(\))?(?:\[|\.get\()\"(\w+)\"")


class Tree:
    """What there is, as far as it can be named."""

    def __init__(self):
        self.text = {path: read(path) for path in files(CODE)}
        self.parts = {path: split(text) for path, text in self.text.items()}
        self.code = {path: part[0] for path, part in self.parts.items()}
        code = "\n".join(self.code.values())
        self.called = set(re.findall(r"\b(\w+)\)?\s*\(", code))
        self.types = set(re.findall(r"\b((?:struct|enum|union) \w+)", code))
        strings = "\n".join(s for part in self.parts.values() for _, s in part[2])
        self.names = set(re.findall(r"\w+", code + "\n" + strings))
        self.tails, self.heads = set(), set()
        for name in self.names:
            for m in re.finditer("_", name):
                self.tails.add(name[m.end():])
                self.heads.add(name[:m.end()])
        self.included = set(re.findall(r"#\s*include\s*<(.*)>", code))
        self.scripts = {path: read(path) for path in files(SCRIPTS, "")
                        if SCRIPT.search(path) and is_text(path)}
        self.scripts.update((path, read(path)) for path in ["Makefile.am", "configure.ac"])
        self.scripts.update((path, read(path)) for path in files(ROOMS, (".mk", ".sh", ".lua")))
        self.pages = {path: read(path) for path in PAGES + list(files(["doc", *SCRIPTS], ".md"))}
        # What checks of the tree say is about names, and many of those are planted.
        said = strings + "\n" + "\n".join(re.sub(r"(^|\s)#.*", "", text) for path, text
                                          in self.scripts.items() if not path.startswith("t/tree/"))
        self.paths = set(files(TOPS, ""))
        self.words = self.names | set(re.findall(r"[\w-]+", said)) | set(re.findall(r"\w+", said))
        self.words |= {os.path.basename(path).split(".")[0] for path in self.paths}
        self.basenames = {os.path.basename(path) for path in self.paths} | set(os.listdir(ROOT))

    def prose(self, what):
        """(path, line, text) of every line of comments, of pages or of scripts' comments."""
        if "comments" in what:
            for path, part in self.parts.items():
                yield from ((path, number, line) for number, line in part[1])
        if "pages" in what:
            for path, text in self.pages.items():
                yield from ((path, n, line) for n, line in enumerate(text.split("\n"), 1))
        if "scripts" in what:
            for path, text in self.scripts.items():
                for n, line in enumerate(text.split("\n"), 1):
                    m = re.search(r"(?:^|\s)#\s(.*)", line)
                    if m:
                        yield path, n, m[1]

    # Each of these says whether a name is one of something that is not there.

    def no_function(self, name, path):
        if name.startswith("_"):
            return not any(c.endswith(name) for c in self.called)
        return name not in self.called and name not in FUNCTIONS

    def no_constant(self, name, path):
        # The tail of one is enough, as in SESSION_SETUP, and so is the beginning of several.
        one = name.rstrip("s")
        return not (name in CONSTANTS or one in self.words or one in self.tails or
                    name in self.heads)

    def not_there(self, name, path):
        m = re.match(r"(\w+).*?(\w+\.[ch])$", name)
        return not any(re.search(r"\b%s\(" % m[1], text) for p, text in self.code.items()
                       if os.path.basename(p) == m[2])

    def no_type(self, name, path):
        return name not in self.types

    def no_name(self, name, path):
        return name not in self.words and name not in WORDS

    def no_word(self, name, path):
        return self.no_name(name, path) and not SERIES.match(name)

    def no_file(self, name, path):
        near = os.path.normpath(os.path.join(os.path.dirname(path), name))
        # A circle of files, as dev/include-graph writes them, and looks at itself.
        if path == "doc/ARCHITECTURE.md" and re.fullmatch(r"[a-z]+/\w+(-\w+)+", name):
            return False
        return not (name in self.paths or near in self.paths or name in FILES or
                    name in self.basenames or name in self.included or PLACEHOLDER.search(name))

    def no_path(self, name, path):
        near = os.path.normpath(os.path.join(os.path.dirname(path), name))
        # A circle of files, as dev/include-graph writes them, and looks at itself.
        if path == "doc/ARCHITECTURE.md" and re.fullmatch(r"[a-z]+/\w+(-\w+)+", name):
            return False
        return not (any(os.path.exists(os.path.join(ROOT, n)) for n in (name, near, name + ".c")) or
                    PLACEHOLDER.search(name))

    def no_counter(self, name, path):
        return name not in self.names

    def wrong(self, rule, lines):
        """What a rule has against lines of (path, number, text)."""
        _, pattern, unknown, _, _ = rule
        return ["%s:%d: %s" % (path, number, name) for path, number, text in lines
                for name in pattern.findall(text) if unknown(self, name, path)]


def is_text(path):
    """No program, and none that was built where the sources are."""
    with open(os.path.join(ROOT, path), "rb") as f:
        return b"\0" not in f.read(4096)


# (what is named, how it looks, which is not there, where it is looked for, [(planted, found?)])
RULES = [
    ("every function that is named", CALL, Tree.no_function, "comments pages",
     [("See frobnicate() for that.", True), ("`no_such_call()` says it.", True),
      ("as xyz_at() has", True), ("what memcpy() does", False), ("wr_*_at() patches", False),
      ("see mediate_held()", False)]),
    ("every function that is said to be in a file", WHERE, Tree.not_there, "comments pages",
     [("by `die()` in flow.c", True), ("die() of inspect/track.c", True), ("die() of none.c", True),
      ("dies by `hdr2_get()` in smb/hdr2.c", False)]),
    ("every constant that is named", CAPITALS, Tree.no_constant, "comments pages",
     [("counted as STAT_no_such", True), ("CLOSE_NO_SUCH ends it", True),
      ("if POL_GMAC_NEVER", True), ("a SESSION_SETTLE", True), ("SMB3_CIPHER_ says", True),
      ("CLOSE_NO_NODE", False), ("a SESSION_SETUP", False), ("of SMB2_CIPHER_", False)]),
    ("every structure that is named", TYPE, Tree.no_type, "comments pages",
     [("a struct no_such", True), ("of enum no_such,", True), ("a struct conn", False),
      ("a struct of ours", False)]),
    ("every name_like_this", SNAKE, Tree.no_name, "comments pages",
     [("set by no_such_thing,", True), ("`sealed_frames_known`", True), ("logged_on", False)]),
    ("every word that a page has in `backquotes`", QUOTED, Tree.no_word, "pages",
     [("`frobnicate` is on", True), ("the `no-such` option", True), ("a `pin-linger`", False)]),
    ("every file that is named", FILE, Tree.no_file, "comments pages scripts",
     [("see frob.h", True), ("as in t/tree/frob.t.", True), ("inspect/no_such.c has it", True),
      ("contrib/cluster/no.conf", True), ("of conn.c, which", False),
      ("as <sys/none.h> has", False), ("sys/socket.h", False), ("smbgate-policy(5)", False)]),
    ("every path that is named", PATH, Tree.no_path, "comments pages scripts",
     [("contrib/frobnicate does", True), ("t/e2e/no-such", True), ("what dev/none lists", True),
      ("contrib/quickstart", False), ("t/unit/base", False), ("/etc/none", False)]),
]


def uncalled(code):
    """Functions for others that no other names: not more often than to declare and to define it."""
    named = Counter(word for text in code.values() for word in re.findall(r"\w+", text))
    bad = []
    for path, text in code.items():
        inline = path.endswith(".h")
        for f in functions(text) if path.split("/")[0] in ROOMS else []:
            others = (inline or not f.static) and f.name != "main"
            if others and named[f.name] < (2 if inline else 3):
                bad.append("%s:%d: %s()" % (path, f.line, f.name))
    return bad


# (name, C, is it to be found?)
UNCALLED = [
    ("a function that nobody calls",
     {"base/a.h": "void a(void);\n", "base/a.c": "void\na(void)\n{\n}\n"}, True),
    ("a static inline one", {"base/a.h": "static inline void\na(void)\n{\n}\n"}, True),
    ("one that is called", {"base/a.h": "void a(void);\n", "base/a.c": "void\na(void)\n{\n}\n",
                            "t/b.c": "void\nb(void)\n{\n\ta();\n}\n"}, False),
    ("one whose address is taken",
     {"base/a.h": "void a(void);\n", "base/a.c": "void\na(void)\n{\n}\n",
      "base/b.c": "static const struct x x = { .f = a };\n"}, False),
]


# json_object_set_new(o, "key", and what stands for it.
JSON = re.compile(r"\b\w*set\w*\(\s*[\w>.-]+,\s*\"(\w+)\"")


def unsaid(code, page):
    """Keys of answers on the control socket that their page does not have."""
    said = set(re.findall(r"`([\w-]+)`|\"(\w+)\"", page))
    said = {word for pair in said for word in pair}
    return sorted({key for text in code for key in JSON.findall(text)} - said)


def rows(text, macro):
    """(name, its texts) of each row of a table."""
    return [(m[1], re.findall(r'"((?:\\.|[^"\\])*)"', m[2]))
            for m in re.finditer(r"^%s\((\w+),(.*)\)$" % macro, text, re.MULTILINE)]


def never(names, prefix, code):
    """Names of a table that no code makes use of, but to look them up or to compare with them."""
    use = re.compile(r"(\[|[=!]= |\bcase )?\b%s(\w+)" % prefix)
    used = {name for text in code.values() for idle, name in use.findall(text) if not idle}
    return [name for name in names if name not in used]


def mute(table):
    """Rows without a text that can be read, and texts that stand twice."""
    bad = ["%s has no text" % name for name, texts in table if not texts or
           any(len(t.split()) < 1 for t in texts) or len(texts[-1].split()) < 2]
    said = [texts[-1] for _, texts in table if texts]
    return bad + ["two rows say: " + s for s in sorted(set(said)) if said.count(s) > 1]


def counted(tree):
    """The tests of both tables."""
    code = {path: text for path, text in tree.code.items()
            if path.split("/")[0] in ROOMS and not path.startswith("stats/")}
    stats, closes = rows(tree.text[STATS], "STAT"), rows(tree.text[CLOSES], "CLOSE")
    out = [("there are counters (%d) and close reasons (%d)" % (len(stats), len(closes)),
            [] if len(stats) > 30 and len(closes) > 30 and
            len(stats) == tree.text[STATS].count("\nSTAT(") and
            len(closes) == tree.text[CLOSES].count("\nCLOSE(") else ["not all were read"])]
    for what, table, prefix, said in (("counter", stats, "STAT_", "is counted"),
                                      ("close reason", closes, "CLOSE_", "is given")):
        names = [name for name, _ in table]
        out.append(("every %s %s somewhere" % (what, said), never(names, prefix, code)))
        out.append(("every %s has a text of its own" % what, mute(table)))
        for text, wanted in (("f(%sx);", False), ("a = b ? %sy : %sx;", False),
                             ("f(s[%sx]);", True), ("if (why == %sx)", True),
                             ("case %sx:", True), ("f(%sxx);", True)):
            text = text.replace("%s", prefix)
            got = never(["x"], prefix, {"proxy/a.c": text}) == ["x"]
            out.append(("planted and %s: %s" % ("found" if wanted else "let be", text),
                        [] if got == wanted else ["not so"]))
    for text, wanted in (('M(x, "")', True), ('M(x, " ")', True),
                         ('M(x, "")\nM(y, "so it is")', True),
                         ('M(x, "so it is")\nM(y, "so it is")', True), ('M(x, "x", "")', True),
                         ('M(x, "so it is")\nM(y, "x", "not so")', False)):
        text_line = text.replace("\n", " ")
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", text_line),
                    [] if bool(mute(rows(text, "M"))) == wanted else ["not so"]))
    return out


# Tables of words that scripts go by: the file, its macro, and the head of the page's table.
CLOSED = [("daemon/explain.tbl.h", "REASON", "code"),
          ("auth/nokey.tbl.h", "NOKEY", "cause")]


def unlike(text, macro, page, head):
    """A table of words, in its order, and the page's table of the same: what differs."""
    have = re.findall(r"^%s\((\w+)," % macro, text, re.MULTILINE)
    part = re.search(r"^\| %s \|.*\n\|---.*\n((?:\|.*\n)+)" % head, page, re.MULTILINE)
    said = re.findall(r"^\| `(\w+)` \|", part[1] if part else "", re.MULTILINE)
    return [] if have and have == said else ["%s: %s and %s" % (macro, have, said)]


def worded(tree):
    """The tests of these."""
    page = tree.pages["doc/smbgatectl.1.md"]
    out = [("%s has each word of %s" % ("smbgatectl.1.md", path),
            unlike(tree.text[path], macro, page, head)) for path, macro, head in CLOSED]
    rows_of_two = "| code | x |\n|---|---|\n| `a` | y |\n| `b` | z |\n\n"
    for text, wanted in (("R(a, 1)\nR(b, 2)\n", False), ("R(b, 1)\nR(a, 2)\n", True),
                         ("R(a, 1)\n", True), ("", True)):
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", text.split()),
                    [] if bool(unlike(text, "R", rows_of_two, "code")) == wanted else ["not so"]))
    return out


def main():
    tree = Tree()
    out = counted(tree) + worded(tree)
    for rule in RULES:
        what, pattern, _, where, planted = rule
        lines = list(tree.prose(where))
        n = sum(len(pattern.findall(text)) for _, _, text in lines)
        out.append(("%s is there (%d)" % (what, n), tree.wrong(rule, lines) if n > 0 else ["none"]))
        for text, wanted in planted:
            got = bool(tree.wrong(rule, [("doc/X.md", 1, text)]))
            out.append(("planted and %s: %s" % ("found" if wanted else "let be", text),
                        [] if got == wanted else ["not so"]))
    out.append(("every function for others is called by one", uncalled(tree.code)))
    for name, code, wanted in UNCALLED:
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", name),
                    [] if bool(uncalled(code)) == wanted else ["not so"]))
    daemon = [text for path, text in tree.text.items() if path.startswith("daemon/")]
    page = tree.pages["doc/smbgatectl.1.md"]
    n = len({key for text in daemon for key in JSON.findall(text)})
    out.append(("every key of a JSON answer is in smbgatectl.1.md (%d)" % n,
                unsaid(daemon, page) if n > 50 else ["so few"]))
    for text, wanted in (('set_int(o, "no_such", 1);', True), ('set_int(o, "since_s", 1);', False),
                         ('json_object_set_new(c->root, "no_such",\n    x);', True)):
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", text.split("\n")[0]),
                    [] if bool(unsaid([text], page)) == wanted else ["not so"]))
    tests = [(path, n, line) for path, text in tree.scripts.items() if path.startswith("t/")
             and not path.startswith("t/tree/") for n, line in enumerate(text.split("\n"), 1)]
    rule = "", COUNTER, Tree.no_counter, "", []
    out.append(("every counter that a test asks for is there", tree.wrong(rule, tests)))
    for text, wanted in (('stats()["no_such"]', True), ('g.stats().get("no_such", 0)', True),
                         ('g.stats()["accepted"]', False)):
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", text),
                    [] if bool(tree.wrong(rule, [("t/x.t", 1, text)])) == wanted else ["not so"]))
    return report(out)


if __name__ == "__main__":
    sys.exit(main())
