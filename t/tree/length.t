#!/usr/bin/python3
# length.t: no function is longer than a screen; how long the files are
import statistics
import sys

from csource import files, functions, read, report, split
from rooms import ROOMS

# Lines between the braces. A test may be a long list; what it tests may not.
LONGEST = 60
LONGEST_TEST = 90


def too_long(path, text, most):
    return ["%s:%d: %s() has %d lines, more than %d" % (path, f.line, f.name, f.length, most)
            for f in functions(split(text)[0]) if f.length > most]


def body(n):
    return "\tint x = 0;\n\n" + "\tx++;\n" * (n - 2)


# (name, C, is it to be found?)
PLANTS = [
    ("a function of 61 lines", "int\nf(void)\n{\n" + body(61) + "}\n", True),
    ("a static inline one", "static inline int\nf(int a,\n    int b)\n{\n" + body(61) + "}\n",
     True),
    ("one that is written in another style", "int f(void) {\n" + body(61) + "}\n", True),
    ("one with the brace on its own line only", "int f(void)\n{\n" + body(61) + "}\n", True),
    ("one behind another", "int\ng(void)\n{\n}\nint\nf(void)\n{\n" + body(61) + "}\n", True),
    ("a function of 60 lines", "int\nf(void)\n{\n" + body(60) + "}\n", False),
    ("a long table", "static const int f[] = {\n" + "\t1,\n" * 99 + "};\n", False),
    ("a long structure", "struct f {\n" + "".join("\tint a%d;\n" % i for i in range(99)) + "};\n",
     False),
    ("a long comment", "/*\nf(void)\n{\n" + "*\n" * 99 + "*/\n", False),
]


def longest(texts, n=5):
    """The n longest functions, as text."""
    every = [(f.length, f.name) for text in texts.values() for f in functions(split(text)[0])]
    return ", ".join("%s() %d" % (name, length) for length, name in sorted(every)[:-n - 1:-1])


def sizes(texts):
    """How long the files are, as text: a .c and its .h are one."""
    lengths = {}
    for path, text in texts.items():
        stem = path.rsplit(".", 1)[0]
        lengths[stem] = lengths.get(stem, 0) + text.count("\n")
    sources = [text.count("\n") for path, text in texts.items() if path.endswith(".c")]
    return "median of a .c %d lines, of a .c and its .h %d; the longest: %s" % (
        statistics.median(sources), statistics.median(lengths.values()),
        ", ".join("%s %d" % (p, lengths[p]) for p in sorted(lengths, key=lengths.get)[:-6:-1]))


def main():
    rooms = {path: read(path) for path in files([*ROOMS, "bench"])}
    tests = {path: read(path) for path in files(["t"])}
    out = []
    for what, texts, most in ("the rooms", rooms, LONGEST), ("tests", tests, LONGEST_TEST):
        print("# %s: %d files, %s" % (what, len(texts), sizes(texts)))
        n = sum(len(functions(split(text)[0])) for text in texts.values())
        print("# %s: %d functions, the longest: %s" % (what, n, longest(texts)))
        out.append(("functions of %s were found" % what, [] if n > 400 else ["%d only" % n]))
        out.append(("no function of %s is longer than %d lines" % (what, most),
                    [b for path in texts for b in too_long(path, texts[path], most)]))
    for name, text, wanted in PLANTS:
        out.append(("planted and %s: %s" % ("found" if wanted else "let be", name),
                    [] if bool(too_long("x.c", text, LONGEST)) == wanted else ["not so"]))
    return report(out)


if __name__ == "__main__":
    sys.exit(main())
