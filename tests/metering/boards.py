"""Ask a simulated board: what was found, what is open, what it reads."""

from __future__ import annotations

from wattscribe.metering import Meter, Probe, open_meters, probe
from wattscribe.testing import (
    FakeClock,
)
from wattscribe.testing.sensor_trees import SensorTree


def found(tree: SensorTree, kind: str) -> Probe:
    return next(row for row in probe(host=tree.host()) if row.meter == kind)


def opened(tree: SensorTree, kind: str, clock: FakeClock | None = None) -> Meter:
    return next(meter for meter in open_meters(host=tree.host(clock)) if meter.name == kind)


def values(meter: Meter) -> dict[str, float | None]:
    return {channel.name: value for channel, value in zip(meter.channels(), meter.read(), strict=True)}
