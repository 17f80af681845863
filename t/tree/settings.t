#!/usr/bin/python3
# settings.t: the manual pages and the sample files say of every setting what its table says
import csv
import os
import re
import shutil
import subprocess
import sys

from csource import report
from rooms import ROOT

# (table, the header that it needs, page, sample file)
FILES = [
    ("policy/settings.tbl.h", "policy/policy.h", "doc/smbgate-policy.5.md", "etc/policy.conf"),
    ("policy/conf.tbl.h", "policy/conf.h", "doc/smbgate.conf.5.md", "etc/smbgate.conf"),
]

# Defaults that are no constants, as the page has them, and where they come from.
CHOSEN = {
    ("root", "keyd-user"): ('`"smbgate-keyd"`', "daemon/guard.c, or a uid if there is no such user"),
    ("root", "keytab-services"): ('`{ "cifs" }`', "policy/conf.c"),
    ("root", "auth-winbind"): ("`no`", "policy/conf.c, where everything else is an error"),
    ("address", "ifindex"): ("chosen", "policy/schema_iface.c, one that no other address has"),
    **{("listener", o): ("the file's", "policy/schema_listener.c")
       for o in ("smb1", "source", "vc-reset", "ntlm", "guest", "min-dialect")},
}

QUOTED = ("TEXT", "PATH", "DURATION", "SECONDS", "SPEED", "SIZE")
RANGED = ("NUMBER", "DURATION", "SECONDS", "SPEED", "SIZE")
UNITS = {"": 1, "ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000,
         "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Row:
    def __init__(self, kind, is_list, dflt, least, most, words):
        self.kind, self.is_list, self.dflt = kind, is_list, dflt
        self.least, self.most, self.words = least, most, words


def compiler():
    return next((cc for cc in ("gcc", "clang", "cc") if shutil.which(cc)), None)


def table(cc, path, header):
    """(section, option) -> Row, as the preprocessor expands the table."""
    source = """#include "%s"
#define SETTING(section, name, type, field, ...) @row, section, name, __VA_ARGS__@
#define LIST(section, name, kind) @list, section, name, kind@
#define OTHER(section, name, kind) @other, section, name, kind@
#include "%s"
""" % (header, path)
    r = subprocess.run([cc, "-std=gnu11", "-D_GNU_SOURCE", "-E", "-P", "-I", ROOT, "-x", "c", "-"],
                       input=source, text=True, check=True, stdout=subprocess.PIPE)
    rows = {}
    for cells in csv.reader(" ".join(r.stdout.split()).split("@"), skipinitialspace=True):
        if len(cells) < 4 or cells[0] not in ("row", "list", "other"):
            continue
        how, section, name, kind = cells[:4]
        if how == "row":
            # NULL is a cast of 0.
            dflt = None if cells[4].startswith("(") else cells[4]
            rows[section, name] = Row(kind, False, dflt, number(cells[5]), number(cells[6]),
                                      cells[7:])
        else:
            rows[section, name] = Row(kind, how == "list", None, None, None, [])
    return rows


def number(text):
    """A constant of C, suffixes and brackets included."""
    return int(re.sub(r"[()uUlL]", "", text))


def amount(text):
    """"50ms", "1d", "1000T", "16384" as a number; None where it is none."""
    m = re.fullmatch(r"(\d+)(\w*)", text)
    return int(m[1]) * UNITS[m[2]] if m and m[2] in UNITS else None


def page_options(text):
    """[(section, option, default, values)]: the rows of every table that begins with "| option"."""
    section, inside, out = "root", False, []
    for line in text.splitlines():
        head = re.match(r"#+ (.*)", line)
        if head:
            m = re.match(r"`([\w-]+)", head[1])
            section = m[1] if m else "root"
        if not line.startswith("|"):
            inside = False
            continue
        cells = [c.strip() for c in line.strip("|").split("|")]
        if cells[0] == "option":
            inside = True
        elif inside and not re.fullmatch(r"-+", cells[0]):
            out.append((section, cells[0].strip("`"), cells[1], cells[2]))
    return out


def wrong_default(key, row, said):
    if key in CHOSEN:
        want = [CHOSEN[key][0]]
    elif row.is_list:
        want = ["`{}`", "must be given"]
    elif row.dflt is None:
        want = ["none", "must be given"]
    elif row.kind in QUOTED and row.dflt != "0":
        want = ['`"%s"`' % row.dflt]
    else:
        want = ["`%s`" % row.dflt]
    return None if said in want else \
        "the page has the default %s, not %s" % (said, " or ".join(want))


def wrong_values(key, row, said):
    words = ["true", "false"] if row.kind == "BOOL" and key not in CHOSEN else row.words
    if words:
        want = ", ".join("`%s`" % w for w in words)
        return None if said == want else "the page has the words %s, not %s" % (said, want)
    if row.kind in RANGED:
        m = re.fullmatch(r"(\w+)–(\w+)", said)
        if m is None or (amount(m[1]), amount(m[2])) != (row.least, row.most):
            return "the page has the range %s, not %d to %d" % (said, row.least, row.most)
    return None if said else "the page has no values"


def check_page(rows, text):
    """Where a page differs from the table."""
    bad, seen = [], set()
    for section, name, dflt, values in page_options(text):
        key = (section, name)
        if key not in rows:
            bad.append("%s %s: no such setting" % key)
            continue
        if key in seen:
            bad.append("%s %s: is there twice" % key)
        seen.add(key)
        for why in (wrong_default(key, rows[key], dflt), wrong_values(key, rows[key], values)):
            if why:
                bad.append("%s %s: %s" % (section, name, why))
    return bad + ["%s %s: is missing" % k for k in rows if k not in seen]


# name = value; value: a word, a string or a list.
ASSIGNMENT = re.compile(r'([a-z][a-z0-9-]*)\s*=\s*("[^"]*"|\{[^}]*\}|[\w.]+)')


def sample_settings(text):
    """[(line, section, option, value, a comment?)] of a sample file; "#name = value" counts."""
    out, stack = [], ["root"]
    for n, line in enumerate(text.splitlines(), 1):
        # "#\t" begins a line of a section that is commented out as a whole; "# " begins prose.
        m = re.match(r"(\s*)(#?)(?! )(.*)", line)
        if m is None:
            continue
        code = re.sub(r"\s#.*", "", m[3])
        rest = code
        while rest:
            opened = re.match(r'\s*([a-z-]+)\s*("[^"]*")?\s*\{', rest)
            assigned = re.match(r"\s*" + ASSIGNMENT.pattern, rest)
            if assigned:
                out.append((n, stack[-1], assigned[1], assigned[2], bool(m[2])))
                rest = rest[assigned.end():]
            elif opened:
                stack.append(opened[1])
                rest = rest[opened.end():]
            elif rest.lstrip().startswith("}") and len(stack) > 1:
                stack.pop()
                rest = rest.lstrip()[1:]
            else:
                break
    return out


def check_sample(rows, text):
    """Options of a sample file that do not exist, and commented defaults that are none."""
    bad, seen, lines = [], sample_settings(text), text.splitlines()
    for n, section, name, value, comment in seen:
        row = rows.get((section, name))
        if row is None:
            bad.append("line %d: %s %s: no such setting" % (n, section, name))
            continue
        value = value.strip('"')
        words = re.search(r"#\s*([\w.]+(?: \| [\w.]+)+)$", lines[n - 1])
        if row.words and value not in row.words:
            bad.append("line %d: %s is not one of %s" % (n, value, " ".join(row.words)))
        if row.words and words and words[1].split(" | ") != row.words:
            bad.append("line %d: the words are %s" % (n, " | ".join(row.words)))
        # Sections with a name are examples as a whole; so are names and paths.
        if comment and row.dflt is not None and row.kind not in ("TEXT", "PATH") and \
                section != "listen" and value != row.dflt:
            bad.append("line %d: %s = %s, but the default is %s" % (n, name, value, row.dflt))
    return bad if len(seen) > 5 else bad + ["no settings are found in it"]


# (what, file of FILES, page or sample, text, what stands in its place)
PLANTS = [
    ("a wrong default", 0, "page", '| `interval` | `"2s"`', '| `interval` | `"3s"`'),
    ("a wrong default that is a word", 0, "page", "| `gmac` | `pass`", "| `gmac` | `refuse`"),
    ("a default of what has none", 1, "page", "| `user` | none", '| `user` | `"root"`'),
    ("a missing option", 0, "page", "| `flap-hold` |", "| flap-hold: |"),
    ("an option that does not exist", 0, "page", "| `smb1` |", "| `smb2` | `a` | b | c |\n| `smb1` |"),
    ("an option in another section", 0, "page", "## `tcp {", "## `limits {"),
    ("an option twice", 0, "page", "| `rise` |", "| `rise` | `2` | 1–100 | |\n| `rise` |"),
    ("a wrong range", 0, "page", "50ms–1d", "50ms–2d"),
    ("a range of another unit", 1, "page", "5ms–5s", "5ms–5m"),
    ("a missing word", 0, "page", "`pass`, `refuse`, `resign`", "`pass`, `refuse`"),
    ("a word too many", 0, "page", "`off`, `address`, `identity`", "`off`, `address`, `identity`, `all`"),
    ("a sample's option that does not exist", 0, "sample", "#rise =", "#rice ="),
    ("a sample's option in another section", 1, "sample", "#pid-file =", "listen \"x\" {\n#pid-file ="),
    ("a sample's default that is none", 0, "sample", '#hang = "30s"', '#hang = "31s"'),
    ("a sample's comment with a missing word", 0, "sample", "# pass | refuse | resign", "# pass | refuse"),
    ("a sample's word that does not exist", 0, "sample", "mode = announce", "mode = hide"),
]


def planted(rows, texts, plant):
    """Is the planted violation found?"""
    _, which, kind, old, new = plant
    text = texts[which][kind]
    if old not in text:
        return ["%r is not there to be replaced" % old]
    check = check_page if kind == "page" else check_sample
    return [] if check(rows[which], text.replace(old, new, 1)) else ["it is not found"]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def main():
    cc = compiler()
    if cc is None:
        print("1..0 # SKIP no compiler")
        return 0
    tests, rows, texts = [], [], []
    for path, header, page, sample in FILES:
        found = table(cc, path, header)
        # A row that the preprocessor hides, or this does not understand, must not go unnoticed.
        n = len(re.findall(r"^(?:SETTING|LIST|OTHER)\(", read(path), re.M))
        tests.append(("%s: all %d rows are understood" % (path, n),
                      [] if len(found) == n > 0 else ["%d of them" % len(found)]))
        rows.append(found)
        texts.append({"page": read(page), "sample": read(sample)})
        tests.append(("%s says what %s says" % (page, path), check_page(found, texts[-1]["page"])))
        tests.append(("%s says what %s says" % (sample, path),
                      check_sample(found, texts[-1]["sample"])))
    every = {key for found in rows for key in found}
    tests.append(("what is chosen is a setting", ["%s %s" % k for k in CHOSEN if k not in every]))
    for plant in PLANTS:
        tests.append(("planted and found: " + plant[0], planted(rows, texts, plant)))
    return report(tests)


if __name__ == "__main__":
    sys.exit(main())
