# guide.py: the commands of a guide, as they stand there, for tests to run them
import os
import re
import textwrap

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def text(page):
    """A page: README.md, doc/UPGRADING.md."""
    with open(os.path.join(SOURCE, page)) as f:
        return f.read()


def commands(page, section=None):
    """The blocks of commands of a page, or of a section of it; drawings are none."""
    said = text(page)
    if section:
        said, = re.findall(r"(?ms)^#+ %s\n(.*?)(?=^#|\Z)" % re.escape(section), said)
    blocks = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", said)
    return [b for b in (textwrap.dedent(x).strip("\n") for x in blocks)
            if b and "\u2500" not in b and not b.startswith(("[", "|"))]
