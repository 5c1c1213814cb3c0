"""The axis of energies: from zero, or logarithmic where they span much, with labels that can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

LOG_FROM = 8.0
"""An axis whose values span more than this factor is logarithmic."""


def energy_axis(energies: Sequence[float], *, room: bool = False) -> dict[str, Any]:
    """`room`: space at both ends for the names of bubbles."""
    title = {"title": {"text": "J per second of audio"}}
    positive = [each for each in energies if each > 0]
    if len(positive) < len(energies) or not positive or max(positive) / min(positive) <= LOG_FROM:
        return {**title, "rangemode": "tozero"}
    ends = [math.log10(min(positive)) - 0.3, math.log10(max(positive)) + 0.3]
    return {**title, "type": "log", **_log_ticks(ends[0], ends[1]), **({"range": ends} if room else {})}


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Whole numbers at 1, 2 and 5, or over two decades at 1 alone: plotly's own short labels (`5`, `0.1`, `2`) mislead."""
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    decades = range(math.floor(low) - 1, math.ceil(high) + 2)
    values = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}
