"""Names of recognizers in figures: without what all of them share, and short enough to stand beside a point.

Tables and hover texts keep the full label; a figure has no room for `ct2:whisper-` twenty times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wattscribe.models.names import STORED
from wattscribe.results.findings import Entry, EvalSet

LONGEST = 36
"""Characters of a name in a figure: as many as a phone of 390 px shows in a legend."""
LINE = 18
"""Characters in one line of a point's name."""
_BREAKS = "-:/_ "
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Short names by model label, and what was cut off all of them."""

    short: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    end: str = ""

    def model(self, entry: Entry) -> str:
        """The model alone, where the precision is told in another way."""
        label = entry.row.model_label
        return self.short.get(label, label)

    def of(self, entry: Entry) -> str:
        """Model and precision; a model that comes in one precision only goes without."""
        precision = entry.row.precision
        return self.model(entry) if precision == STORED else f"{self.model(entry)} {precision}"

    def in_lines(self, entry: Entry) -> str:
        """The same in lines of a length that fits beside a point."""
        return "<br>".join(broken(self.of(entry)))

    @property
    def sentence(self) -> str:
        """What a reader of the figures must know; empty where nothing was cut."""
        ends = [f"begin with {self.start}" if self.start else "", f"end in {self.end}" if self.end else ""]
        shared = " and ".join(end for end in ends if end)
        return f"All names {shared}; the figures leave that out." if shared else ""


AS_LABELLED = Names()
"""Every recognizer by its full label."""


def names_of(all_eval_sets: Sequence[EvalSet]) -> Names:
    """One set of names for all figures of a page."""
    return short_names([entry.row.model_label for eval_set in all_eval_sets for entry in eval_set.entries])


def short_names(labels: Sequence[str]) -> Names:
    """Cut where words end; each rest keeps a letter and differs from every other."""
    distinct = list(dict.fromkeys(labels))
    start = _common([re.split(rf"(?<=[{_BREAKS}])", name) for name in distinct])
    rests = [name[len(start) :] for name in distinct]
    end = _common([re.split(rf"(?=[{_BREAKS}])", rest)[::-1] for rest in rests], backwards=True)
    rests = [rest[: len(rest) - len(end)] for rest in rests]
    shown = [shortened(rest) for rest in rests]
    kept = shown if len(set(shown)) == len(distinct) else rests
    return Names(short=dict(zip(distinct, kept, strict=True)), start=start, end=end)


def _common(all_parts: Sequence[Sequence[str]], *, backwards: bool = False) -> str:
    """What every list of parts begins with, as far as each keeps a rest with a letter in it."""
    if len(all_parts) < 2:
        return ""
    count = 0
    for parts in zip(*all_parts, strict=False):
        rests = ["".join(pieces[count + 1 :]) for pieces in all_parts]
        if len(set(parts)) > 1 or not all(_LETTER.search(rest) for rest in rests):
            break
        count += 1
    shared = all_parts[0][:count]
    return "".join(reversed(shared) if backwards else shared)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Without its middle where it is too long: what tells models apart stands at either end."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def broken(text: str, width: int = LINE) -> list[str]:
    """Lines of about `width` characters, broken where words end."""
    lines = [""]
    for part in re.split(rf"(?<=[{_BREAKS}])", text):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return lines
