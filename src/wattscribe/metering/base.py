"""The seam between a sensor and the sampler."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from wattscribe.records import Evidence, Processor

MAX_OFFSET_W = 1.0
MAX_OFFSET_SHARE = 0.01
"""How far below zero a sensor at rest is believed: Jetson Thor's VDD_GPU shows -0.4 W when the GPU is off (its own tegrastats);
an INA3221's offset of 80 µV is 0.05 % of its range (TI data sheet SBOS576)."""

PSYS_SHARE = 0.98
"""RAPL's psys and its packages are not read at one instant: psys lower by this share is no contradiction, lower still is."""


class Clock(Protocol):
    """Time as the package sees it; `testing.FakeClock` stands in for tests."""

    def now_s(self) -> float:
        """Seconds on the monotonic clock, comparable between processes of one machine."""
        ...

    def sleep(self, duration_s: float) -> None: ...


class MonotonicClock:
    """The system's CLOCK_MONOTONIC."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        time.sleep(duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One rail or counter of a meter."""

    name: str
    covers: str
    kind: Literal["power", "energy"]
    """`power`: an instant or averaged reading in W. `energy`: a running counter in J, unwrapped by the meter; a value below the
    one before, or NaN, says that it was set back."""
    total: bool
    """True: may stand for the device. False: lies inside another rail or covers only a part; never added up."""
    update_interval_s: float
    resolution: float | None = None
    """The sensor's step in W (power) or J (energy)."""
    evidence: Evidence = "measured"
    averaging_s: float | None = None
    """The span that one value averages over, ending at its update; 0: an instant value; None: unknown."""
    ceiling_w: float | None = None
    """More power than this the part cannot draw: a value or a step of a counter above it is no measurement. None: not known."""
    processors: tuple[Processor, ...] = ()
    """Which ones the rail feeds where it is a part of the device. Empty: the whole device (`total`), or neither of them."""
    gpu_index: int | None = None
    """Of a GPU that is numbered as CUDA numbers it."""

    def is_possible_w(self, power_w: float) -> bool:
        """Whether a reading can be true. A little below zero is a sensor's offset; more is a broken value."""
        if math.isnan(power_w) or self.ceiling_w is None:
            return True
        return -max(MAX_OFFSET_W, MAX_OFFSET_SHARE * self.ceiling_w) <= power_w <= self.ceiling_w


class Meter(Protocol):
    """A sensor with one or more channels."""

    name: str

    def channels(self) -> Sequence[Channel]:
        """The channels in the order of `read`."""
        ...

    def read(self) -> Sequence[float | None]:
        """One value per channel, W or J; None where this read failed. Raises MeterError when the sensor is gone."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class PacedMeter(Meter, Protocol):
    """A meter that is expensive to read: the sampler asks it no more often than every `min_period_s`."""

    min_period_s: float


@runtime_checkable
class DoubtfulMeter(Meter, Protocol):
    """A meter that checks its own values against each other."""

    def doubts(self) -> Mapping[str, str]:
        """Why a channel's values are held back, by `meter.channel`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What looking for one kind of sensor found: `wattscribe meters` prints these."""

    meter: str
    available: bool
    reason: str
    """What was found, or why nothing can be read."""
    fix: str | None = None
    """The command that would fix it."""
    channels: tuple[Channel, ...] = ()
    instants: tuple[str, ...] = ()
    """Those of the channels that show instants at the default rate: what happens between two reads is unseen."""
