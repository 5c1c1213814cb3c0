"""A counter and a power of the same thing: where both are there, each tells whether the other can be true."""

from __future__ import annotations

from dataclasses import dataclass, field

CHECK_S = 5.0
"""Counter and power are compared over stretches of this length: five times the average that the power may be."""
CHECK_SHARE = 0.25
"""By how much both may differ: 5 % each by NVIDIA's documentation, and what a sensor that looks a quarter of the time misses."""
LAG_S = 1.5
"""The power may be late by its average of 1 s and some refreshes."""


@dataclass(slots=True)
class CrossCheck:
    """A counter against the power of the same board: over each stretch of `CHECK_S` both must have drawn the same."""

    doubt: str | None = None
    """What the last whole stretch said against the counter."""
    _start: tuple[float, float] | None = None
    _last: tuple[float, float] | None = None
    _power_j: float = 0.0
    _powers_w: list[float] = field(default_factory=list)

    def see(self, t_s: float, counter_j: float, power_w: float) -> None:
        """One read of both."""
        if self._start is None or self._last is None or counter_j < self._last[1]:
            self._begin(t_s, counter_j, power_w)
            return
        self._power_j += (t_s - self._last[0]) * (power_w + self._powers_w[-1]) / 2
        self._powers_w.append(power_w)
        self._last = (t_s, counter_j)
        if t_s - self._start[0] >= CHECK_S:
            self._judge(t_s - self._start[0], counter_j - self._start[1])
            self._begin(t_s, counter_j, power_w)

    def _begin(self, t_s: float, counter_j: float, power_w: float) -> None:
        self._start = self._last = (t_s, counter_j)
        self._power_j, self._powers_w = 0.0, [power_w]

    def _judge(self, span_s: float, counted_j: float) -> None:
        late_j = LAG_S * (max(self._powers_w) - min(self._powers_w))
        allowed_j = CHECK_SHARE * max(counted_j, self._power_j) + late_j
        if abs(counted_j - self._power_j) <= allowed_j:
            self.doubt = None
            return
        self.doubt = (
            f"over {span_s:.3g} s its energy counter says {counted_j:.4g} J and its power {self._power_j:.4g} J: "
            "neither is taken"
        )
