"""The package's docstrings as reStructuredText, which they aren't: they are written to be read in a terminal.

What they are made of: paragraphs; entries such as ``limit: the magnitude of full colour``, which go on indented;
formulas and commands, set off by a blank line and four spaces; and sections, ``Example:`` and ``References:``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

SECTION = re.compile(r"^(Example|Examples|References|Reference):$")
ENTRY = re.compile(r"^(\**\w+(?:, \**\w+)*): (?=\S)")
# Code in double backticks and *emphasis* mean what they mean; all other signs are text.
MEANT = re.compile(r"(``.+?``|(?<![\w*])\*[A-Za-z](?:[^*\n]*[A-Za-z])?\*(?![\w*]))")
SIGNS = re.compile(r"([\\*`|]|(?<=\w)_(?!\w))")


def as_rest(docstring: str) -> str:
    """Return a docstring as reStructuredText."""
    return "\n".join(_lines(docstring.strip("\n"))) + "\n"


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of paragraphs, blocks and sections, a blank one after each."""
    section = ""
    for part in _parts(text):
        head = SECTION.match(part[0])
        if head:
            section = head[1]
            yield from ("", f".. rubric:: {section}", "")
            part = textwrap.dedent("\n".join(part[1:])).splitlines()
        elif part[0].startswith("    ") and not section:
            yield from ("::", "", *part, "")
            continue
        else:
            section = section if part[0].startswith(" ") else ""
            part = textwrap.dedent("\n".join(part)).splitlines()
        yield from (*_paragraph(part, section), "")


def _parts(text: str) -> Iterator[list[str]]:
    """Yield the paragraphs as lists of lines; blocks that only blank lines set apart are one."""
    parts: list[list[str]] = []
    for blank, group in groupby(text.splitlines(), key=lambda line: not line.strip()):
        part = [] if blank else list(group)
        if part and parts and part[0].startswith("    ") and parts[-1][0].startswith("    "):
            parts[-1] += ["", *part]
        elif part:
            parts.append(part)
    yield from parts


def _paragraph(lines: list[str], section: str) -> list[str]:
    """Return a paragraph: an example, a list of references or of entries, or words."""
    if not lines or lines[0].startswith(">>>"):
        return lines
    heads = [line for line in lines if not line.startswith(" ")]
    if section.startswith("Reference") or all(ENTRY.match(line) for line in heads):
        return [_item(line, section) for line in lines]
    return [escaped(line.strip()) for line in lines]


def _item(line: str, section: str) -> str:
    """Return a line of a list: one that isn't indented begins an entry."""
    if line.startswith(" "):
        return f"  {escaped(line.strip())}"
    name = None if section else ENTRY.match(line)
    return f"* ``{name[1]}``: {escaped(line[name.end() :])}" if name else f"* {escaped(line)}"


def escaped(text: str) -> str:
    """Return text in which only code and emphasis are marked up."""
    parts = MEANT.split(text)
    return "".join(part if n % 2 else SIGNS.sub(r"\\\1", part) for n, part in enumerate(parts))
