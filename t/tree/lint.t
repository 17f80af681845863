#!/usr/bin/python3
# lint.t: each linter of dev/lint goes red for a violation that is planted, and not without one
import os
import shutil
import subprocess
import sys
import tempfile

from rooms import ROOT

LINT = os.path.join(ROOT, "dev", "lint")
BUILD = os.path.abspath(os.environ.get("SMBGATE_BUILD", "."))

GOOD = """/* good.c: has nothing that a linter minds */
int twice(int n);

int
twice(int n)
{
	if (n > 1000)
		return -1;
	return n * 2;
}
"""
SCRIPT = "#!/bin/sh\nset -e\necho \"$1\"\n"
PROGRAM = "import sys\n\nprint(sys.argv)\n"
COMMON = "local function common()\n\treturn 1\nend\n"

# (linter, tool, what, file, text, the line at which it is to be found)
PLANTS = [
    ("columns", None, "a line of C that is too wide", "p.c", GOOD + "/* %s */\n" % ("far " * 30), 11),
    ("columns", None, "tabs that make it too wide", "p.c", GOOD + "\t" * 12 + "a = b + c;\n", 11),
    ("columns", None, "a page that is too wide", "p.md", "# p\n\n%s\n" % ("far " * 40), 3),
    ("format", "clang-format", "if(", "p.c", GOOD.replace("if (", "if("), 7),
    ("format", "clang-format", "a brace behind the head", "p.c", GOOD.replace("\n{", " {"), 5),
    ("format", "clang-format", "a type before the name", "p.c", GOOD.replace("int\ntw", "int tw"), 4),
    ("format", "clang-format", "spaces in place of tabs", "p.c",
     GOOD.replace("\tif (", "    if ("), 7),
    ("format", "clang-format", "a body on its if's line", "p.c",
     GOOD.replace("\n\t\treturn -1", " return -1"), 7),
    ("format", "clang-format", "a pointer's star at its type", "p.c",
     GOOD + "\nextern char* name;\n", 12),
    ("shellcheck", "shellcheck", "a word that may be split", "p", SCRIPT.replace('"', ""), 3),
    ("pyflakes", "pyflakes3", "an import that nobody uses", "p.py", "import os\n" + PROGRAM, 1),
    ("pyflakes", "pyflakes3", "a name that is nowhere", "p.t",
     "#!/usr/bin/python3\n" + PROGRAM + "print(nowhere)\n", 5),
    ("codespell", "codespell", "a word misspelt", "p.md", "# p\n\nwhich is rec%sved\n" % "ie", 3),
    ("luac", "luac5.1", "a script that does not parse", "p.lua", "return common(\n\nx y)\n", 3),
    ("luac", "luac5.1", "its common part does not", "common.lua", COMMON + "end end\n", 4),
    ("cppcheck", "cppcheck", "one beyond an array", "p.c",
     GOOD.replace("\tif", "\tint a[4];\n\n\ta[4] = n;\n\tif"), 9),
    ("clang-tidy", "clang-tidy", "both branches alike", "p.c",
     GOOD.replace("\treturn n", "\telse\n\t\treturn -1;\n\treturn n"), 7),
    ("clang-tidy", "clang-tidy", "a value that nothing has set", "p.c",
     GOOD.replace("\tif", "\tint m;\n\n\tif (n == 7)\n\t\treturn m;\n\tif"), 10),
]


def git(root, *args):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *args], cwd=root,
                   check=True, stdout=subprocess.DEVNULL)


def make(root):
    """A small tree with nothing wrong in it, in git where that is."""
    for f in (".clang-format", ".clang-tidy"):
        shutil.copy(os.path.join(ROOT, f), root)
    for f, text in (("good.c", GOOD), ("good.sh", SCRIPT), ("good.py", PROGRAM),
                    ("common.lua", COMMON), ("good.lua", "return common()\n"), ("p.c", GOOD)):
        write(root, f, text)
    if shutil.which("git"):
        git(root, "init", "-q", "-b", "main")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "all good")


def write(root, name, text):
    with open(os.path.join(root, name), "w", encoding="utf-8") as f:
        f.write(text)


def lint(root, *args):
    return subprocess.run([sys.executable, LINT, "--root", root, "--build", BUILD, *args],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def planted(linter, name, text, line):
    """What is wrong with the linter's answer; nothing, if it is as it should be."""
    with tempfile.TemporaryDirectory() as root:
        make(root)
        good = lint(root, "--only", linter)
        write(root, name, text)
        bad = lint(root, "--only", linter)
        where = "%s:%d: " % (name, line)
        if good.returncode != 0:
            return "red without it: " + good.stdout
        if bad.returncode != 1 or where not in bad.stdout:
            return "not found at %s: %s" % (where, bad.stdout)
    return None


def no_history():
    """A clone without history, a head that no branch has: nothing fails for that."""
    with tempfile.TemporaryDirectory() as root:
        make(root)
        git(root, "checkout", "-q", "--detach")
        git(root, "branch", "-q", "-D", "main")
        r = lint(root, "--only", "format")
        return r.stdout if r.returncode != 0 else None


def missing():
    """A tool that is not there is an error, unless that is wished."""
    with tempfile.TemporaryDirectory() as root:
        make(root)
        env, args = dict(os.environ, PATH="/nowhere"), ["--root", root, "--only", "shellcheck"]
        for more, status in (([], 1), (["--missing-ok"], 0)):
            r = subprocess.run([sys.executable, LINT, *args, *more], text=True, env=env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if r.returncode != status or "shellcheck is missing" not in r.stdout:
                return "status %d: %s" % (r.returncode, r.stdout)
    return None


def main():
    print("1..%d" % (len(PLANTS) + 2))
    failed, n = False, 0
    for linter, tool, what, name, text, line in PLANTS:
        n += 1
        title = "ok %d - planted and found by %s: %s" % (n, linter, what)
        if tool and not shutil.which(tool) or linter == "format" and not shutil.which("git"):
            print(title + " # SKIP no " + (tool if not shutil.which(tool or "sh") else "git"))
            continue
        if linter == "clang-tidy" and not os.path.exists(os.path.join(BUILD, "config.status")):
            print(title + " # SKIP no build in %s: set SMBGATE_BUILD" % BUILD)
            continue
        wrong = planted(linter, name, text, line)
        print(("not " if wrong else "") + title)
        failed |= bool(wrong)
        if wrong:
            print("# " + wrong.replace("\n", "\n# "))
    for what, check, tool in (("neither a branch nor history is needed", no_history, "git"),
                              ("a tool that is missing is an error, unless that is wished", missing,
                               "git")):
        n += 1
        wrong = check() if shutil.which(tool) else None
        print("%sok %d - %s%s" % ("not " if wrong else "", n, what,
                                  "" if shutil.which(tool) else " # SKIP no " + tool))
        failed |= bool(wrong)
        if wrong:
            print("# " + wrong.replace("\n", "\n# "))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
