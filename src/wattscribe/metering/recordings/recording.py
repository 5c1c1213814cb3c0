"""A recording as it was read: power against the meter's own clock, and from which columns of which meter's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wattscribe.metering.window.signal import Floats, longest_step_s

NAME = "external"
COVERS = "whole device (external meter)"
PART_MEANS = 1 << 15
"""Made at a time, to need little memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Power against the meter's own clock, in s from whatever its zero is."""

    name: str
    t_s: Floats
    power_w: Floats
    """At `t_s`; where `interval_means`, the mean from the stamp before to this one, NaN where it is unknown."""
    skipped_lines: int
    """Lines among the data that held no sample."""
    interval_means: bool = False
    """A meter that writes means, or a history of changes: every stretch of time has its energy."""
    meter: str | None = None
    """The kind that the header was recognised as; None: no known meter, the columns were taken by their names."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Quantity → the column's name in the file."""
    units: Mapping[str, str] = field(default_factory=dict)
    samples_read: int | None = None
    """In the file; None: as many as there are here."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know: equal stamps that were spread, a unit that was assumed, boards added up."""

    @property
    def samples(self) -> int:
        return len(self.t_s) if self.samples_read is None else self.samples_read

    @property
    def duration_s(self) -> float:
        return float(self.t_s[-1] - self.t_s[0])

    @property
    def spacing_s(self) -> float:
        """The ordinary distance of two samples here, by the first million; that of the file may be shorter."""
        return float(np.median(np.diff(self.t_s[: 1 << 20])))

    @property
    def gaps_s(self) -> Floats:
        """The unseen stretches, each in s."""
        steps_s = np.diff(self.t_s)
        if self.interval_means:
            return steps_s[np.isnan(self.power_w[1:])]
        return steps_s[steps_s > longest_step_s(self.spacing_s, 0.0)]

    @property
    def mean_w(self) -> float:
        """Over the time that was seen. A sample stands for the time around it: with even spacing that is the plain mean."""
        steps_s = np.diff(self.t_s)
        if self.interval_means:
            seen = np.isfinite(self.power_w[1:])
            return float(np.average(self.power_w[1:][seen], weights=steps_s[seen]))
        longest_s = longest_step_s(self.spacing_s, 0.0)
        around_s = np.where(steps_s > longest_s, self.spacing_s, steps_s)
        return float(
            np.average(self.power_w, weights=np.append(around_s[0], around_s) + np.append(around_s, around_s[-1]))
        )

    @property
    def energy_j(self) -> float:
        """Mean power over the time that was seen."""
        return self.mean_w * (self.duration_s - float(self.gaps_s.sum()))

    def steps_j(self) -> Floats:
        """Energy between each two stamps; an unknown mean has its neighbours'."""
        power_w = self.known_w()
        if self.interval_means:
            return np.diff(self.t_s) * power_w[1:]
        steps_j = power_w[:-1] + power_w[1:]
        steps_j *= np.diff(self.t_s)
        steps_j /= 2
        return steps_j

    def known_w(self) -> Floats:
        """Power without unknown stretches, for what only looks for a shape."""
        unknown = np.isnan(self.power_w)
        if not unknown.any():
            return self.power_w
        filled = self.power_w.copy()
        filled[unknown] = np.interp(np.flatnonzero(unknown), np.flatnonzero(~unknown), self.power_w[~unknown])
        return filled

    def points(self) -> tuple[Floats, Floats]:
        """Times and powers to interpolate between: a mean belongs to the middle of its stretch."""
        if not self.interval_means:
            return self.t_s, self.power_w
        return (self.t_s[1:] + self.t_s[:-1]) / 2, self.known_w()[1:]

    def part(self, first: int, last: int, most: int) -> tuple[Floats, Floats]:
        """Times and powers of samples `first` to `last`, joined where they are more than `most`."""
        t_s, power_w = self.t_s[first:last], self.power_w[first:last]
        factor = -(-len(t_s) // most)
        if factor <= 1:
            return t_s, power_w
        if self.interval_means:
            return _coarser(t_s, power_w, factor)
        longest_s, at_once = longest_step_s(self.spacing_s, 0.0), factor * PART_MEANS
        pieces = [
            joined(t_s[at : at + at_once + 1], power_w[at : at + at_once + 1], factor, longest_s)
            for at in range(0, len(t_s) - 1, at_once)
        ]
        return np.concatenate([piece for piece, _ in pieces]), np.concatenate([piece for _, piece in pieces])

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "meter": self.meter,
            "columns": dict(self.columns),
            "units": dict(self.units),
            "samples": self.samples,
            "duration_s": self.duration_s,
            "interval_s": self.spacing_s if self.samples_read is None else self.duration_s / max(self.samples - 1, 1),
            "mean_w": self.mean_w,
            "energy_j": self.energy_j,
            "skipped_lines": self.skipped_lines,
            "gaps": len(self.gaps_s),
            "gaps_s": float(self.gaps_s.sum()),
            "notes": list(self.notes),
        }


def joined(t_s: Floats, power_w: Floats, factor: int, longest_s: float) -> tuple[Floats, Floats]:
    """`factor` samples at a time as one: their mean power at the middle of their time, so that energy is kept.

    Where samples are further apart than `longest_s` nothing is joined over the gap: those beside it are left out.
    """
    steps_s = np.diff(t_s)
    steps_j = steps_s * (power_w[:-1] + power_w[1:]) / 2
    steps_j[steps_s > longest_s] = np.nan
    ends, means = _means(t_s, steps_j, factor)
    middles = (ends[1:] + ends[:-1]) / 2
    known = np.isfinite(means)
    return middles[known], means[known]


def _coarser(t_s: Floats, power_w: Floats, factor: int) -> tuple[Floats, Floats]:
    """Means since the stamp before, over `factor` of these stretches; unknown where one of them is."""
    ends, means = _means(t_s, np.diff(t_s) * power_w[1:], factor)
    return ends, np.append(power_w[:1], means)


def _means(t_s: Floats, steps_j: Floats, factor: int) -> tuple[Floats, Floats]:
    """Every `factor`-th stamp, and the mean power between each two; the last stretch may be shorter."""
    starts = np.arange(0, len(steps_j), factor)
    ends = t_s[np.append(starts, len(t_s) - 1)]
    return ends, np.add.reduceat(steps_j, starts) / np.diff(ends)
