"""Axes that begin where the data are: linear, or logarithmic where they span much, with labels that can be read.

For points only. Bars keep their zero, since their length is what is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

LOG_FROM = 8.0
"""An axis whose values span more than this factor is logarithmic."""
ROOM = 0.16
"""Share of the span that is left free at each end, for bubbles and names."""
NARROWEST = 0.1
"""The least span, as a share of the largest value: smaller differences are not blown up to the whole figure."""


def energy_axis(energies: Sequence[float]) -> dict[str, Any]:
    """Joules per second of audio."""
    title = {"title": {"text": "J per second of audio"}}
    positive = [energy for energy in energies if energy > 0]
    if len(positive) < len(energies) or not positive or max(positive) / min(positive) <= LOG_FROM:
        return {**title, **linear_range(energies)}
    low, high = math.log10(min(positive)), math.log10(max(positive))
    room = ROOM * (high - low)
    ends = [low - room, high + room]
    return {**title, "type": "log", "range": ends, **_log_ticks(*ends)}


def wer_axis(percents: Sequence[float]) -> dict[str, Any]:
    """WER in per cent; at least half a point is shown."""
    return {"title": {"text": "WER, %"}, **linear_range(percents, narrowest=0.5)}


def linear_range(values: Sequence[float], *, narrowest: float = 0.0) -> dict[str, Any]:
    """From the least to the largest value with room at both ends; no label below zero, which nothing here can be."""
    if not values:
        return {"rangemode": "tozero"}
    low, high = min(values), max(values)
    lacking = max(narrowest, NARROWEST * abs(high), 1e-12) - (high - low)
    if lacking > 0:
        low, high = low - lacking / 2, high + lacking / 2
    room = ROOM * (high - low)
    ends = [low - room, high + room]
    return {"range": ends} if ends[0] >= 0 else {"range": ends, "zeroline": True, **_ticks_from_zero(ends[1])}


def _ticks_from_zero(high: float) -> dict[str, Any]:
    step = next(
        step
        for step in (m * 10.0**e for e in range(math.floor(math.log10(high)) - 2, 99) for m in (1, 2, 5))
        if high / step <= 7
    )
    values = [step * n for n in range(int(high / step) + 1)]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:.6g}" for value in values]}


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Whole numbers at 1, 2 and 5, or over two decades at 1 alone: plotly's own short labels (`5`, `0.1`, `2`) mislead."""
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    decades = range(math.floor(low) - 1, math.ceil(high) + 2)
    values = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}
