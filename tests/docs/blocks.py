"""Markdown → its fenced blocks, each with the mark that stands in a comment above it.

<!-- not run: REASON -->      the block is shown only
<!-- file: NAME -->           the block is written to this file, for the blocks behind it
<!-- given: NAME, NAME -->    files and runs that are put beside the block first (`given.py` makes them)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ("console", "sh", "python")
"""What is run. Files (`toml`, `json`, `yaml`) are written; `text` is output, or a formula."""
LANGUAGES = (*RUN, "toml", "json", "yaml", "text")

_MARK = re.compile(r"<!-- (not run|file|given): (.+?) -->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None
    """Why it is not run."""
    file: str | None = None
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.reason is None and self.file is None


def pages() -> list[str]:
    """Every page that shows commands, relative to the root. Decisions show none."""
    found = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/boards").glob("*.md")]
    return ["README.md", "CONTRIBUTING.md", *sorted(path.relative_to(ROOT).as_posix() for path in found)]


def blocks(page: str, text: str | None = None) -> Iterator[Block]:
    """The blocks of a page, in its order. Raises ValueError for a fence that is not closed or a mark that is not known."""
    lines = (text if text is not None else (ROOT / page).read_text(encoding="utf-8")).splitlines()
    marks: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if re.match(r"<!-- (not run|file|given)\b", line):
            match = _MARK.fullmatch(line)
            if match is None:
                raise ValueError(f"{page}:{at + 1}: a mark is one line, <!-- not run: REASON -->")
            marks[match[1]] = match[2]
        elif line.startswith("```"):
            end = next((number for number in range(at + 1, len(lines)) if lines[number] == "```"), None)
            if end is None:
                raise ValueError(f"{page}:{at + 1}: this fence is not closed")
            yield Block(
                page=page,
                line=at + 1,
                language=line[3:],
                text="\n".join(lines[at + 1 : end]),
                reason=marks.get("not run"),
                file=marks.get("file"),
                given=tuple(name.strip() for name in marks.get("given", "").split(",") if name.strip()),
            )
            marks, at = {}, end
        elif marks and line.strip():
            raise ValueError(f"{page}:{at + 1}: a mark stands just above its block")
        at += 1


def indented(page: str) -> list[int]:
    """Lines at which a block of code is indented, instead of a fence or with it, so that it would escape."""
    lines, fenced, before = list[int](), False, ""
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= line.startswith("```")
        if not fenced and (
            (line.startswith("    ") and not before.strip()) or (line.lstrip() != line and "```" in line)
        ):
            lines.append(number)
        before = line
    return lines


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Of a console: each command, its continued lines joined, with the output that is shown under it."""
    command, shown = "", list[str]()
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
            while command.endswith("\\"):
                command += "\n" + next(lines)
        else:
            shown.append(line)
    if command:
        yield command, shown
