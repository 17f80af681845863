#!/usr/bin/python3
# manuals.t: the manuals have every counter, close reason, option, command and word, and no other
"""manuals.t --write renews the tables of counters and close reasons in doc/smbgatectl.1.md."""
import os
import re
import sys

from csource import read, report
from rooms import ROOT

PAGE = "doc/smbgatectl.1.md"
# (file, its macro, which text is the name, None: the first word; the head of the page's table)
TABLES = [("stats/stat.tbl.h", "STAT", None, "counter"),
          ("stats/close.tbl.h", "CLOSE", 0, "close reason")]
# As daemon/metrics*.c has them in its strings.
METRIC = re.compile(r"\"((?:smbgate|process)_[a-z0-9_]+[a-z0-9])\b")


def want(text, macro, named):
    """The page's rows of such a table."""
    out = []
    for m in re.finditer(r"^%s\((\w+),(.*?)\)$" % macro, text, re.MULTILINE | re.DOTALL):
        said = re.findall(r'"((?:\\.|[^"\\])*)"', m[2])
        name, said = (m[1], said) if named is None else (said[named], said[named + 1:])
        out.append("| `%s` | %s |" % (name, "".join(said).replace('\\"', '"').replace("|", "\\|")))
    return out


def have(page, head):
    part = re.search(r"^\| %s \|.*\n\|---.*\n((?:\|.*\n)+)" % head, page, re.MULTILINE)
    return part and (part.start(1), part.end(1), part[1].splitlines())


def options(text, page):
    """Options of a program that its page lacks, and the reverse."""
    said = set(re.findall(r"--([a-z][a-z-]+)(?: [A-Z]+)?\*\*", page))
    return sorted(set(text) ^ said)


def commands(text, page):
    """Commands that the page has no paragraph of, and the reverse."""
    there = set(re.findall(r'^COMMAND\("([\w-]+)"', text, re.MULTILINE))
    part = page[page.index("## DESCRIPTION"):page.index("## CHECK")]
    said = {w for m in re.finditer(r"(?m)^\*\*.*$", part)
            for w in re.findall(r"\*\*([\w-]+)", m[0])}
    return sorted(there ^ said)


def shown(text, page):
    """What show shows that the page lacks."""
    what = re.findall(r'^COMMAND\("show", "([\w-]+)"', text, re.MULTILINE)
    return [] if len(what) > 5 else ["few"] + what, [w for w in what if "show " + w not in page]


def metrics(code, page):
    there = set(METRIC.findall(code))
    said = set(re.findall(r"`((?:smbgate|process)_\w+)`", page))
    return sorted(there ^ said)


def firsts(page, head):
    """The names in the first column of the page's table with that head."""
    part = re.search(r"^\| %s \|.*\n\|---.*\n((?:\|.*\n)+)" % head, page, re.MULTILINE)
    return {w for row in (part[1] if part else "").splitlines()
            for w in re.findall(r"`([\w-]+)`", row.split("|")[1])}


def listed(page, before):
    """The names in the brackets that come behind such words."""
    part = re.search(re.escape(before) + r" *\(((?:`\w+`,?\s*)+)", page)
    return set(re.findall(r"`(\w+)`", part[1])) if part else set()


def checks(code):
    """What smbgatectl check looks at."""
    said = set(re.findall(r'check_found\([^",]*, "([a-z-]+)"', code))
    return said | set(re.findall(r'(?m)^#define ID "([a-z-]+)"', code))


def traced(code):
    """Events of a trace."""
    calls = re.findall(r'(?:tapped_event\(\w+|\bsay\(m), "(\w+)"|"(bind)" : "(logon)"', code)
    return {w for c in calls for w in c if w} | set(
        re.findall(r'\[SMB2_\w+\] = "(\w+)"', code))


def words(ctl, inspect, proxy, page, conf):
    """(what, those of the program, those of a page)"""
    return [
        ("what check looks at", checks(ctl), firsts(page, "check")),
        ("the events of a trace", traced(inspect + proxy), listed(page, "`connection`, `event`")),
        ("what can be wrong with Redis", set(re.findall(
            r'(?m)^FAULT\(\w+, "(\w+)"', read("state/fault.tbl.h"))),
         listed(page, "what went wrong, by kind")),
        ("the events of the log", set(re.findall(
            r'(?m)^EVENT\(\w+, "(\w+)"', read("base/logevent.tbl.h"))), firsts(conf, "event"))]


def planted(name, got, wanted):
    return "planted and %s: %s" % ("found" if wanted else "let be", name), \
        [] if bool(got) == wanted else ["not so"]


def main():
    page = read(PAGE)
    out = []
    for path, macro, named, head in TABLES:
        rows, at = want(read(path), macro, named), have(page, head)
        if "--write" in sys.argv[1:]:
            page = page[:at[0]] + "\n".join(rows) + "\n" + page[at[1]:]
            continue
        there = at[2] if at else []
        out.append(("each %s of %s (%d) is in %s" % (head, path, len(rows), PAGE),
                    [r for r in rows if r not in there] if len(rows) > 30 else ["few"]))
        out.append(("and no other, in this order", [] if rows == there else
                    [r for r in there if r not in rows] or ["run t/tree/manuals.t --write"]))
    if "--write" in sys.argv[1:]:
        with open(os.path.join(ROOT, PAGE), "w", encoding="utf-8") as f:
            f.write(page)
        return 0
    out.append(planted("a counter that is new", set(want('STAT(x, "a b")\n', "STAT", None)) -
                       set(have(page, "counter")[2]), True))
    out.append(planted("a reason of two lines", want('CLOSE(X, "x", "a"\n    "b")\n', "CLOSE", 0) !=
                       ["| `x` | ab |"], False))

    daemon = re.findall(r'\{ "([a-z-]+)", \w+_argument', read("daemon/main.c"))
    ctl = re.findall(r"^OPTION\(\w+, [^,]+, \"([\w-]+)\"", read("ctl/options.tbl.h"), re.MULTILINE)
    for program, there, path in (("smbgate", daemon, "doc/smbgate.8.md"),
                                 ("smbgatectl", ctl, PAGE)):
        out.append(("the options of %s (%d) are those of %s" % (program, len(there), path),
                    options(there, read(path)) if len(there) > 4 else ["few"]))
    out.append(planted("an option", options(["all"], "**-a, --all**\n**--no-such N**"), True))
    out.append(planted("no option", options(["all"], "**-a, --all FILE**"), False))

    text = read("ctl/commands.tbl.h")
    out.append(("the commands of smbgatectl are those of its page", commands(text, page)))
    out.append(planted("a command", commands(text + 'COMMAND("fly", NULL,', page), True))
    few, missing = shown(text, page)
    out.append(("and what show shows", few + missing))

    code = "".join(read("daemon/" + f) for f in os.listdir(os.path.join(ROOT, "daemon"))
                   if f.startswith("metric") and f.endswith(".c"))
    out.append(("the metrics are those of smbgate.conf.5.md",
                metrics(code, read("doc/smbgate.conf.5.md"))))
    rooms = ["".join(read(room + f) for f in sorted(os.listdir(os.path.join(ROOT, room)))
                     if f.endswith(".c")) for room in ("ctl/", "inspect/", "proxy/")]
    for what, there, said in words(*rooms, read(PAGE), read("doc/smbgate.conf.5.md")):
        out.append(("%s (%d) is what the page has" % (what, len(there)),
                    sorted(there ^ said) if len(there) > 5 else ["few"]))
    out.append(planted("a check", checks('check_found(c, "new-one", OK') - firsts(
        "| check | x |\n|---|---|\n| `old-one`, `other` | x |\n", "check"), True))
    out.append(planted("an event", traced('tapped_event(c, "a"') ^ listed(
        "an `event` (`a`)", "an `event`"), False))
    out.append(planted("a metric", metrics('"smbgate_x_total"', "`smbgate_y_total`"), True))
    return report(out)


if __name__ == "__main__":
    sys.exit(main())
