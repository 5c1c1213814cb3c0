"""Windows and traces in one line."""

from __future__ import annotations

from typing import Any

from tests.metering.recording import trace
from wattscribe.records import PowerTrace, Window


def of(start_s: float, end_s: float) -> Window:
    return Window(start_s=start_s, end_s=end_s)


def grid(power: list[float], step_s: float = 0.05, **fields: Any) -> PowerTrace:
    return trace([index * step_s for index in range(len(power))], power, **fields)
