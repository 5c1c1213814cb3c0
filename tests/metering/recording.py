"""Run a simulated sensor under a fake clock, as the bench's sampler would."""

from __future__ import annotations

from typing import Any

from wattscribe.metering import Sampler
from wattscribe.records import PowerTrace
from wattscribe.testing import FakeClock, SimulatedMeter
from wattscribe.testing.loads import Load

START_S = 1000.0


def record(load: Load, *, rate_hz: float, duration_s: float, **sensor: Any) -> PowerTrace:
    """The trace of one rail from `START_S` on."""
    clock = FakeClock(START_S)
    sampler = Sampler([SimulatedMeter(load, clock, **sensor)], rate_hz, clock)
    period_s = 1 / rate_hz - sensor.get("read_s", 0.0)
    while clock.now_s() < START_S + duration_s:
        sampler.read_once()
        clock.sleep(period_s)
    return sampler.drain()[0]


def trace(t_s: list[float], power_w: list[float], **fields: Any) -> PowerTrace:
    """A trace by hand, of a sensor that updates every 0.05 s unless told otherwise."""
    given = {
        "channel": "m.rail",
        "covers": "module total",
        "total": True,
        "update_interval_s": 0.05,
        "evidence": "measured",
    }
    return PowerTrace(t_s=tuple(t_s), power_w=tuple(power_w), **{**given, **fields})
