"""The seam between a sensor and the sampler."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from wattscribe.records import Evidence


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
    """A meter that is dear to read: the sampler asks it no more often than every `min_period_s`."""

    min_period_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What looking for one kind of sensor found: `wattscribe meters` prints these."""

    meter: str
    available: bool
    reason: str
    """What was found, or why nothing can be read."""
    fix: str | None = None
    """The command that would mend it."""
    channels: tuple[Channel, ...] = ()
    instants: tuple[str, ...] = ()
    """Those of the channels that show instants at the default rate: what happens between two reads is unseen."""
