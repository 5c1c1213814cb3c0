"""One line of NVIDIA's tegrastats, of any generation: read by name, whatever stands in the columns around it.

Every pattern is matched against one blank-separated word, so that a line of any length takes time in proportion to it, and a
word that cannot be read is left out: no line, however broken, raises an error.
"""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timezone

from wattscribe.metering.sensors import rails
from wattscribe.units import w_from_mw

MAX_RAIL_W = 500.0
"""No rail of a Jetson draws more: the largest module, Thor, is rated 130 W, and its board's supply 240 W (NVIDIA)."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# `5139mW/4971mW`, `900/943`, `5765mW`, and three values in newer releases. A bare single number (`APE 150`), memory
# (`613/3964MB`), loads (`0%`) and temperatures do not match. Nine digits are 1 MW: more is no power.
_VALUES = re.compile(r"(-?\d{1,9})(?:mW(?:/-?\d{1,9}mW)*|(?:/-?\d{1,9})+)")
_DATE = re.compile(r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})")
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?(?:Z|[+-]\d{2}:?\d{2})?")
_EPOCH = re.compile(r"(\d{10})(\d{3})?(?:\.(\d{1,9}))?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rails_w(line: str) -> dict[str, float]:
    """Instant power, the first value of each rail; what is wired to nothing (NC) is no rail.

    A value beyond what any rail can draw is left out, as a failed read.
    """
    power_by_rail: dict[str, float] = {}
    for name, value in itertools.pairwise(line.split()):
        match = _VALUES.fullmatch(value) if _NAME.fullmatch(name) and rails.is_rail(name) else None
        if match and abs(power_w := w_from_mw(float(match[1]))) <= MAX_RAIL_W:
            power_by_rail[name] = power_w
    return power_by_rail


# --- the stamp ----------------------------------------------------------------------------------------------------------
def stamp_s(line: str) -> float | None:
    """The line's own time in s since 1970, or None. tegrastats writes `11-21-2023 09:15:02` (month first); what others put in
    front of a line is read too: ISO 8601, syslog's `Nov 21 09:15:02`, Unix time in s or ms, in brackets or not."""
    words = [word.strip("[](),") for word in line[:80].split()[:3]]
    if not words:
        return None
    if match := _EPOCH.fullmatch(words[0]):
        return float(match[1]) + float(f"0.{match[2] or match[3] or 0}")
    if words[0] in _MONTHS and len(words) == 3 and words[1].isdigit():
        return _moment_s((1970, _MONTHS.index(words[0]) + 1, int(words[1])), words[2])
    date, _, rest = words[0].partition("T")
    match = _DATE.fullmatch(date)
    if match is None or not (rest or len(words) > 1):
        return None
    first, second, third = (int(part) for part in match.groups())
    if first > 31:
        return _moment_s((first, second, third), rest or words[1])
    month, day = (second, first) if first > 12 else (first, second)
    return _moment_s((third, month, day), rest or words[1])


def _moment_s(date: tuple[int, int, int], time: str) -> float | None:
    match = _TIME.fullmatch(time)
    if match is None:
        return None
    hour, minute, second = (int(match[index]) for index in (1, 2, 3))
    try:
        moment = datetime(*date, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{match[4] or 0}")
