"""Texts and tables as Markdown: on one line, never taken for HTML; where others read it as a comment, for nothing else either."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKUP = re.compile(r"[\\`*_\[\]!~|]")
_LINKED = re.compile(r"[@#]|:(?=//)|www(?=\.)", re.IGNORECASE)


def inline(text: str) -> str:
    """Text on one line that is not taken for HTML; a command in it can be copied as it is."""
    return " ".join(text.replace("<", "&lt;").split())


def cell_text(text: str) -> str:
    """The same, inside its Markdown cell."""
    return inline(text.replace("|", "\\|"))


def plain(text: str) -> str:
    """Text that no Markdown takes for anything else: no link, emphasis, code, image or column, and on GitHub no mention of a
    person or an issue. What would be one is parted by a zero-width space."""
    escaped = _MARKUP.sub(r"\\\g<0>", inline(text.replace("&", "&amp;")))
    return _LINKED.sub("\\g<0>\u200b", escaped)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table that is read as it stands, its header first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
