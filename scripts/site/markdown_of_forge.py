"""Markdown as forges read it (CommonMark) → as Python-Markdown reads it, where the two differ in what our pages use."""

from __future__ import annotations

import re

ITEM = re.compile(r"\s*([-*+]|\d+[.)])\s+")
TABLE = re.compile(r"\|.*\|\s*$")


def adapted(text: str) -> str:
    """A list or a table right below a paragraph's line gets the blank line that it needs, an item within an item four spaces."""
    lines: list[str] = []
    fenced, before = False, ""
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced:
            if any(kind.match(line) and begins_anew(before, kind) for kind in (ITEM, TABLE)):
                lines.append("")
            if line.startswith(" ") and ITEM.match(line):
                line = "    " + line.lstrip()
        lines.append(line)
        before = line
    return "\n".join(lines) + "\n"


def begins_anew(before: str, kind: re.Pattern[str]) -> bool:
    """Whether a list or a table begins at a line although something of another kind stands right above it."""
    return bool(before.strip()) and not kind.match(before) and not before.startswith((" ", "#", "```"))
