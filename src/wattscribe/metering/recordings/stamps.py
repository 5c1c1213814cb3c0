"""When a line was recorded: seconds in any unit, Unix times, date-times with or without a zone, times of day."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from wattscribe.metering.recordings.cells import UNITS, value

DAY_S = 86400.0
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
EPOCHS = ((1e17, "ns", 1e-9), (1e14, "us", 1e-6), (1e11, "ms", 1e-3), (1e8, "s", 1.0))
"""A number this large without a unit is Unix time in this unit: 1e8 s is 1973, 1e11 s is the year 5138."""

_TIME = r"(\d{1,3}):(\d{2}):(\d{2})(?:[.,:](\d+))?\s*([AaPp][Mm])?"
_ZONE = r"\s*(?:(Z|UTC|GMT)|([+-])(\d{2}):?(\d{2})?|[A-Z]{2,5})?"
_DATE = r"(\d{1,4})([-/.])(\d{1,2}|[A-Za-z]{3})\2(\d{1,4})"
_DATE_TIME = re.compile(rf"{_DATE}[T ,_]+(?:{_TIME}|(\d{{1,2}}):(\d{{2}})){_ZONE}")
_CLOCK = re.compile(_TIME)
_MINUTES = re.compile(r"(\d{1,3}):(\d{2})[.,](\d+)")

Order = str
"""Of the date's parts: ymd, dmy (13.05.2024) or mdy (05/13/2024)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """How the time column is read: `read` gives s, or raises ValueError."""

    read: Callable[[str], float]
    unit: str
    """For the reader: `ms`, `date-time, UTC offsets taken off`, `time of day`."""
    factor: float | None = None
    """To s, where the cells are plain numbers; None: they are not."""
    guessed: bool = False
    """Neither the header nor the size of the numbers gives the unit."""


def is_stamp(cell: str) -> bool:
    """Whether it is a date-time or a time of day; plain numbers are none."""
    return any(form.fullmatch(cell) for form in (_DATE_TIME, _CLOCK, _MINUTES))


def is_date(cell: str) -> bool:
    """A date alone: its column says which day a time of day belongs to."""
    return re.fullmatch(_DATE, cell) is not None


def choose(cells: Sequence[str], unit: str | None) -> Stamps:
    """How to read a column that looks like these cells, from the file's beginning and end. Raises ValueError.

    `unit` is the header's, or None: then by size, else seconds.
    """
    first = next((cell for cell in cells if cell), "")
    if _DATE_TIME.fullmatch(first):
        order = _order([cell for cell in cells if _DATE_TIME.fullmatch(cell)])
        return Stamps(read=lambda cell: _date_time_s(cell, order), unit="date-time")
    if _CLOCK.fullmatch(first) or _MINUTES.fullmatch(first):
        return Stamps(read=_Clock(), unit="time of day")
    size = abs(value(first)[0])
    factor = UNITS["time"].get(unit or "")
    guessed = False
    if factor is None:
        unit, factor = next(((name, factor) for least, name, factor in EPOCHS if size >= least), ("s", 1.0))
        guessed = size < EPOCHS[-1][0]
    return Stamps(read=lambda cell: value(cell)[0] * factor, unit=unit or "s", factor=factor, guessed=guessed)


# --- dates ------------------------------------------------------------------------------------------------------------
def _order(cells: Sequence[str]) -> Order:
    """Day or month first: whichever all dates allow; where both do, the one under which the file is shorter."""
    spans = {}
    for order in ("ymd", "dmy", "mdy"):
        try:
            times = [_date_time_s(cell, order) for cell in cells]
        except ValueError:
            continue
        spans[order] = max(times) - min(times)
    if not spans:
        raise ValueError(f"no date: {cells[0]!r}")
    return min(spans, key=lambda order: spans[order])


def _date_time_s(cell: str, order: Order) -> float:
    """Seconds since 1970-01-01; a zone's offset is taken off, without one the times count as they stand."""
    match = _DATE_TIME.fullmatch(cell)
    if match is None:
        raise ValueError(f"no date-time: {cell!r}")
    a, _, b, c, hour, minute, second, fraction, half, short_hour, short_minute, _, sign, zone_h, zone_m = match.groups()
    day_s = _day(a, b, c, order) * DAY_S
    if short_hour is not None:
        clock_s = int(short_hour) * 3600.0 + int(short_minute) * 60.0
    else:
        clock_s = _clock_s(hour, minute, second, fraction, half)
    if sign:
        offset_s = int(zone_h) * 3600.0 + int(zone_m or 0) * 60.0
        clock_s += offset_s if sign == "-" else -offset_s
    return day_s + clock_s


@lru_cache(maxsize=64)
def _day(a: str, b: str, c: str, order: Order) -> int:
    """Days since 1970-01-01. Raises ValueError where the parts are no date in this order."""
    if (len(a) == 4) != (order == "ymd"):
        raise ValueError("the year stands elsewhere")
    year, month, day = {"ymd": (a, b, c), "dmy": (c, b, a), "mdy": (c, a, b)}[order]
    if month.isalpha():
        month = str(MONTHS.index(month.casefold()) + 1)
    years = int(year) + (2000 if len(year) <= 2 else 0)
    return date(years, int(month), int(day)).toordinal() - date(1970, 1, 1).toordinal()


# --- times of day -----------------------------------------------------------------------------------------------------
def _clock_s(hour: str, minute: str, second: str, fraction: str | None, half: str | None) -> float:
    hours = int(hour)
    if half:
        hours = hours % 12 + (12 if half.casefold() == "pm" else 0)
    return hours * 3600.0 + int(minute) * 60.0 + int(second) + (float(f"0.{fraction}") if fraction else 0.0)


class _Clock:
    """Times of day, or elapsed ones, on through midnight."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._days = 0

    def __call__(self, cell: str) -> float:
        match = _CLOCK.fullmatch(cell)
        if match is not None:
            clock_s = _clock_s(*match.groups())
        else:
            short = _MINUTES.fullmatch(cell)
            if short is None:
                raise ValueError(f"no time of day: {cell!r}")
            clock_s = int(short[1]) * 60.0 + int(short[2]) + float(f"0.{short[3]}")
        if clock_s < self._last_s - DAY_S / 2:
            self._days += 1
        self._last_s = clock_s
        return self._days * DAY_S + clock_s
