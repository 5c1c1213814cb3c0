"""Loads of known energy, a sensor that sees them as real ones do (late, averaged, held, in steps), and a clock for both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wattscribe.metering.base import Channel, Clock
from wattscribe.records import Window


class Draws(Protocol):
    """What a simulated meter must know of a load."""

    def power_w(self, t_s: float) -> float: ...

    def energy_j(self, start_s: float, end_s: float) -> float: ...


class FakeClock:
    """Stands in for the monotonic clock: `sleep` and `advance` move it, nothing else does."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        """Move on. Raises ValueError for a negative step: the monotonic clock never goes back."""
        if duration_s < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-duration_s} s")
        self._now_s += duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Power that is constant between `edges_s`: `powers_w` has one value more than there are edges."""

    powers_w: tuple[float, ...]
    edges_s: tuple[float, ...] = ()

    def power_w(self, t_s: float) -> float:
        return self.powers_w[int(np.searchsorted(self.edges_s, t_s, side="right"))]

    def energy_j(self, start_s: float, end_s: float) -> float:
        """Exactly."""
        inner = [edge for edge in self.edges_s if start_s < edge < end_s]
        times = [start_s, *inner, end_s]
        return math.fsum(self.power_w(a) * (b - a) for a, b in itertools.pairwise(times))

    def powers_between(self, edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Between each two of these times, none of which has an edge of the load between it and the next."""
        middles = (edges_s[:-1] + edges_s[1:]) / 2
        return np.asarray(self.powers_w)[np.searchsorted(self.edges_s, middles, side="right")]

    def overlaid(self, pulses: Sequence[Window], power_w: float) -> Load:
        """This load but for `power_w` in each of the pulses, which come one after another."""
        ends = [end for pulse in pulses for end in (pulse.start_s, pulse.end_s)]
        edges = np.unique([*self.edges_s, *ends])
        middles = (edges[:-1] + edges[1:]) / 2
        inside = np.searchsorted(ends, middles, side="right") % 2 == 1
        powers = np.where(inside, power_w, self.powers_between(edges))
        return Load(powers_w=(self.powers_w[0], *powers.tolist(), self.powers_w[-1]), edges_s=tuple(edges.tolist()))

    def window_j(self, window: Window) -> float:
        return self.energy_j(window.start_s, window.end_s)


def constant(power_w: float) -> Load:
    """The same power for ever."""
    return Load(powers_w=(power_w,))


def step(idle_w: float, load_w: float, at_s: float) -> Load:
    """Idle until `at_s`, load from then on."""
    return Load(powers_w=(idle_w, load_w), edges_s=(at_s,))


def box(idle_w: float, load_w: float, start_s: float, end_s: float) -> Load:
    """Load between two times, idle around it: a trial."""
    return Load(powers_w=(idle_w, load_w, idle_w), edges_s=(start_s, end_s))


def pulses(idle_w: float, load_w: float, *, start_s: float, end_s: float, period_s: float, duty: float = 0.5) -> Load:
    """Load for the first `duty` of every period, from `start_s` until `end_s`."""
    edges: list[float] = []
    powers = [idle_w]
    for index in range(max(round((end_s - start_s) / period_s), 1)):
        rise_s = start_s + index * period_s
        edges += [rise_s, rise_s + duty * period_s]
        powers += [load_w, idle_w]
    return Load(powers_w=tuple(powers), edges_s=tuple(edges))


class SimulatedMeter:
    """One rail of a simulated sensor.

    It refreshes every `update_interval_s` (at `phase_s` + k · interval) and holds the value until the next refresh. A value is
    the mean over the `averaging_s` before the refresh, or instant for 0, in steps of `step`. `kind` energy: a counter in J. A
    read at one of `failing` indices gives None. A read takes `read_s` of the clock's time.
    """

    def __init__(
        self,
        load: Draws,
        clock: Clock,
        *,
        update_interval_s: float = 0.05,
        averaging_s: float = 0.0,
        step: float = 0.0,
        phase_s: float = 0.0,
        kind: Literal["power", "energy"] = "power",
        name: str = "simulated",
        failing: Sequence[int] = (),
        read_s: float = 0.0,
        declared: Channel | None = None,
    ) -> None:
        self.name = name
        self._load, self._clock = load, clock
        self._interval_s, self._averaging_s = update_interval_s, averaging_s
        self._step, self._phase_s, self._kind = step, phase_s, kind
        self._failing, self._read_s = frozenset(failing), read_s
        self._origin_s = clock.now_s()
        self._reads = 0
        self._channel = declared or Channel(
            name="rail",
            covers="simulated device",
            kind=kind,
            total=True,
            update_interval_s=update_interval_s,
            resolution=step or None,
            averaging_s=averaging_s,
        )

    def channels(self) -> Sequence[Channel]:
        return [self._channel]

    def read(self) -> Sequence[float | None]:
        self._clock.sleep(self._read_s / 2)
        now_s = self._clock.now_s()
        self._clock.sleep(self._read_s / 2)
        self._reads += 1
        return [None if self._reads - 1 in self._failing else self.value_at(now_s)]

    def value_at(self, t_s: float) -> float:
        """What the sensor shows at a time: W, or J since it was made."""
        updates = math.floor((t_s - self._phase_s) / self._interval_s + 1e-9)
        refreshed_s = self._phase_s + updates * self._interval_s
        if self._kind == "energy":
            value = self._load.energy_j(self._origin_s, refreshed_s) if refreshed_s > self._origin_s else 0.0
        elif self._averaging_s > 0:
            value = self._load.energy_j(refreshed_s - self._averaging_s, refreshed_s) / self._averaging_s
        else:
            value = self._load.power_w(refreshed_s)
        return round(value / self._step) * self._step if self._step else value

    def close(self) -> None:
        """Nothing is open."""
