"""Figures as people read them: three digits that mean something, a dash where there is none."""

from __future__ import annotations

import math
import unicodedata

from wattscribe.records import Interval

MISSING = "–"


def number(value: float | None, digits: int = 3) -> str:
    """`0.0421`, `3.65`, `1470`: so many significant digits, thousands kept."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 9)}f}" if places else f"{round(value):d}"


def percent_text(fraction: float | None) -> str:
    """A fraction as per cent with two decimals, without the sign."""
    return MISSING if fraction is None else f"{100 * fraction:.2f}"


def interval_text(interval: Interval | list[float] | None, scale: float = 1.0) -> str:
    """`[3.1, 4.2]`, both ends with the digits that the width deserves; empty where there is none."""
    if interval is None:
        return ""
    low, high = interval[0] * scale, interval[1] * scale
    width = high - low
    places = 1 if width == 0 else max(0, min(6, 1 - math.floor(math.log10(width))))
    return f"[{low:.{places}f}, {high:.{places}f}]"


def bytes_text(count: int | float | None) -> str:
    """`84.2 MB`; decimal units."""
    if count is None:
        return MISSING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{number(count / size)} {unit}"
    return f"{count:d} B" if isinstance(count, int) else f"{count:.0f} B"


def p_text(p: float) -> str:
    """`p = 0.031`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 speaker`, `3 speakers`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """The same text with a capital at its start; what follows keeps its case (`CPU`, `W`)."""
    return text[:1].upper() + text[1:]


def right_to_left(text: str) -> bool:
    """Whether most letters belong to a script that runs from right to left (Arabic, Hebrew and their kin)."""
    kinds = [unicodedata.bidirectional(letter) for letter in text]
    return kinds.count("R") + kinds.count("AL") > kinds.count("L")
