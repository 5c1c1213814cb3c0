"""Windows, raw samples of power, and joules with their evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Evidence = Literal["measured", "calibrated", "modelled", "simulated", "unavailable"]
"""How a figure came about; `simulated`: read as a measurement is, but of a board that is played (`testing.board`). Figures of
different evidence are never ranked together."""
Interval = tuple[float, float]
Processor = Literal["cpu", "gpu"]
Origin = Literal["sensor", "attached"]
"""Whether a trace was sampled by the run itself, or recorded elsewhere and attached afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An interval on the monotonic clock whose energy we want."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTrace:
    """Raw samples of one rail: power against the monotonic clock, kept as they were read."""

    channel: str
    covers: str
    """In words, for people: `module total`, `CPU package 0`, `GPU board`."""
    total: bool
    """True: may stand for the device. False: lies inside another rail or covers only a part; never added up."""
    update_interval_s: float
    """The sensor's own refresh, which bounds the windows it can answer for."""
    evidence: Evidence
    t_s: tuple[float, ...]
    power_w: tuple[float, ...]
    resolution_w: float | None = None
    """The sensor's own step, where it is known."""
    averaging_s: float | None = None
    """The span that one value averages over, ending at its update; 0: an instant value. None: unknown, no lag is corrected."""
    interval_means: bool = False
    """True: `power_w[i]` is the exact mean from `t_s[i-1]` to `t_s[i]`, as from a differentiated energy counter."""
    failed_t_s: tuple[float, ...] = ()
    """When reads failed: gaps, never zeros."""
    clock_error_s: float = 0.0
    """How far all times may be off together, where another clock's times were aligned to ours; one standard deviation."""
    processors: tuple[Processor, ...] = ()
    """Which ones the rail feeds where it is a part of the device. Empty: the whole device (`total`), or neither of them."""
    gpu_index: int | None = None
    """Of a GPU that is numbered as CUDA numbers it."""
    origin: Origin = "sensor"
    meter: str | None = None
    """The kind of sensor, by the name of its meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Joules over a window: gross, idle and net, with evidence. `energy_j` is None only when unavailable."""

    energy_j: float | None
    energy_ci95_j: Interval | None
    idle_j: float | None
    net_j: float | None
    evidence: Evidence
    covers: str
    samples: int
    window_s: float
    update_interval_s: float | None = None
    reason: str | None = None
    """Why it is unavailable or marked."""
    net_ci95_j: Interval | None = None
    """Interval of `net_j`: that of the energy and that of the idle baseline together."""

    @classmethod
    def unavailable(
        cls, *, reason: str | None, covers: str = "", window_s: float, update_interval_s: float | None = None
    ) -> Reading:
        """A Reading that says why there is none."""
        return cls(
            energy_j=None,
            energy_ci95_j=None,
            idle_j=None,
            net_j=None,
            evidence="unavailable",
            covers=covers,
            samples=0,
            window_s=window_s,
            update_interval_s=update_interval_s,
            reason=reason,
        )
