"""How much more or less energy one recognizer takes than another: a ratio with its interval and test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wattscribe.records import Interval
from wattscribe.results.cost import Energy
from wattscribe.student import Z95

RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`new` energy over `base` energy; interval and p (two-sided, of a ratio of 1) are None where nothing spreads."""

    value: float
    ci95: Interval | None
    p: float | None
    method: str


def energy_ratio(base: Energy, new: Energy, *, seed: int = 0) -> Ratio | None:
    """None where a figure is missing or not positive, or where evidence or coverage differ: those do not compare.

    Measured: on the logarithm, from both intervals taken as independent (a common gain error would cancel: careful).
    Modelled: the constants (watts per core, a device's costs) are the same on both sides and are held fixed, so only the work
    counted can differ; utterances are resampled in pairs.
    """
    if (
        base.energy_j is None
        or new.energy_j is None
        or base.energy_j <= 0
        or new.energy_j <= 0
        or base.kind != new.kind
    ):
        return None
    value = new.energy_j / base.energy_j
    if base.evidence == "modelled" or (base.per_utterance and new.per_utterance):
        error, method = _paired_error(base.per_utterance, new.per_utterance, seed)
    else:
        error, method = _error_of_both(base, new)
    if error is None:
        return Ratio(value=value, ci95=None, p=None, method=method)
    p = 1.0 if value == 1 else (0.0 if error == 0 else math.erfc(abs(math.log(value)) / error / math.sqrt(2)))
    return Ratio(value=value, ci95=(value * math.exp(-Z95 * error), value * math.exp(Z95 * error)), p=p, method=method)


def _error_of_both(base: Energy, new: Energy) -> tuple[float | None, str]:
    """Standard error of the log ratio from the two 95 % intervals, of each its wider side: the lower one may end at zero."""
    if base.ci95_j is None or new.ci95_j is None or base.energy_j is None or new.energy_j is None:
        return None, "one figure has no interval"
    parts = [
        max(value - interval[0], interval[1] - value) / Z95 / value
        for interval, value in ((base.ci95_j, base.energy_j), (new.ci95_j, new.energy_j))
    ]
    return math.hypot(*parts), "log ratio, both intervals taken as independent"


def _paired_error(base: Mapping[str, float], new: Mapping[str, float], seed: int) -> tuple[float | None, str]:
    """Standard error of the log ratio when the same utterances are drawn for both."""
    common = sorted(base.keys() & new.keys())
    if len(common) < 2:
        return None, "the work per utterance is not recorded"
    columns = np.array([(base[key], new[key]) for key in common], dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(common), size=(RESAMPLES, len(common)))
    totals = columns[draws].sum(axis=1)
    totals = totals[(totals > 0).all(axis=1)]
    if len(totals) < 2:
        return None, "no work was counted"
    spread = float(np.std(np.log(totals[:, 1] / totals[:, 0]), ddof=1))
    return spread, f"paired bootstrap over {len(common)} utterances, the model's constants held fixed"
