"""A running energy counter → mean powers between its updates, so that no joule is lost and none is invented."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class CounterEdges:
    """Follows one counter. `see` returns the points (time, mean power since the point before) that a read completes.

    The power between two updates is exactly ΔE/Δt. A read that finds the old value says only that no update has come; a failed
    read says nothing; in both cases the energy arrives with the next update. A counter that was set back (its value falls, or is
    NaN) starts anew: the first point after that has NaN as its power, since what was drawn up to there is unknown.
    """

    update_interval_s: float
    ceiling_w: float | None = None
    """A step that needs more power than this is a jump: what was drawn up to there is unknown, as after a set-back."""
    _edge_s: float | None = None
    _edge_j: float = 0.0
    _started: bool = False
    _read_s: float | None = None
    points: list[tuple[float, float]] = field(default_factory=list)

    def see(self, t_s: float, value_j: float) -> list[tuple[float, float]]:
        """One good read: J at a time in s. A first value is only a start: when it was updated is not known."""
        last_read_s, self._read_s = self._read_s, t_s
        if last_read_s is None or not value_j >= self._edge_j:  # The first value, or the first after it was set back.
            self._edge_s, self._edge_j = None, value_j
            return []
        if value_j == self._edge_j:
            return []
        edge_s = self._update_time_s(last_read_s, t_s)
        if self._edge_s is None:
            self._edge_s, self._edge_j = edge_s, value_j
            return [(edge_s, math.nan)] if self._started else []
        if self._is_jump(value_j - self._edge_j, edge_s - self._edge_s):
            self._edge_s, self._edge_j = edge_s, value_j
            return [(edge_s, math.nan)] if self._started else []
        power_w = (value_j - self._edge_j) / (edge_s - self._edge_s)
        points = [(edge_s, power_w)] if self._started else [(self._edge_s, power_w), (edge_s, power_w)]
        self._started, self._edge_s, self._edge_j = True, edge_s, value_j
        return points

    def _is_jump(self, step_j: float, step_s: float) -> bool:
        """The update's time is known to one update interval only; for so much longer the step may have been drawn."""
        return self.ceiling_w is not None and step_j > self.ceiling_w * (step_s + self.update_interval_s)

    def _update_time_s(self, last_read_s: float, t_s: float) -> float:
        """The update lies between two reads, and at most one update interval back: the middle of what is possible."""
        return t_s - min(self.update_interval_s, t_s - last_read_s) / 2
