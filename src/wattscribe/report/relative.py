"""How much more or less energy one recognizer takes than another: a ratio with its interval and test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.records import Interval, TrialFacts
from wattscribe.report.cost import Energy

Z95 = 1.959964
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`new` energy over `base` energy; interval and p (two-sided, of a ratio of 1) are None where nothing spreads."""

    value: float
    ci95: Interval | None
    p: float | None
    method: str


def energy_ratio(
    base: Energy, new: Energy, base_trials: Sequence[TrialFacts], new_trials: Sequence[TrialFacts], *, seed: int = 0
) -> Ratio | None:
    """None where a figure is missing or not positive, or where evidence or coverage differ: those do not compare.

    Measured: on the logarithm, from both intervals taken as independent (a common gain error would cancel: careful).
    Modelled from CPU seconds: watts per core cancel, so only the CPU seconds can differ; utterances are resampled in pairs.
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
    if base.evidence == "modelled":
        error, method = _paired_cpu_error(base_trials, new_trials, seed)
    else:
        error, method = _error_of_both(base, new)
    if error is None:
        return Ratio(value=value, ci95=None, p=None, method=method)
    p = 1.0 if value == 1 else (0.0 if error == 0 else math.erfc(abs(math.log(value)) / error / math.sqrt(2)))
    return Ratio(value=value, ci95=(value * math.exp(-Z95 * error), value * math.exp(Z95 * error)), p=p, method=method)


def _error_of_both(base: Energy, new: Energy) -> tuple[float | None, str]:
    """Standard error of the log ratio from the two 95 % intervals."""
    if base.ci95_j is None or new.ci95_j is None or base.energy_j is None or new.energy_j is None:
        return None, "one figure has no interval"
    parts = [
        (interval[1] - interval[0]) / 2 / Z95 / value
        for interval, value in ((base.ci95_j, base.energy_j), (new.ci95_j, new.energy_j))
    ]
    return math.hypot(*parts), "log ratio, both intervals taken as independent"


def _paired_cpu_error(
    base_trials: Sequence[TrialFacts], new_trials: Sequence[TrialFacts], seed: int
) -> tuple[float | None, str]:
    base, new = _cpu_seconds(base_trials), _cpu_seconds(new_trials)
    common = sorted(base.keys() & new.keys())
    if len(common) < 2:
        return None, "CPU seconds per utterance are not recorded"
    columns = np.array([(base[key], new[key]) for key in common], dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(common), size=(RESAMPLES, len(common)))
    totals = columns[draws].sum(axis=1)
    totals = totals[(totals > 0).all(axis=1)]
    if len(totals) < 2:
        return None, "CPU seconds are zero"
    spread = float(np.std(np.log(totals[:, 1] / totals[:, 0]), ddof=1))
    return spread, f"CPU seconds, paired bootstrap over {len(common)} utterances; watts per core cancel"


def _cpu_seconds(trials: Sequence[TrialFacts]) -> dict[str, float]:
    """Mean CPU seconds per utterance over the repeats."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        for result in trial.utterances:
            if result.cpu_s is not None:
                found.setdefault(result.id, []).append(result.cpu_s)
    return {key: sum(values) / len(values) for key, values in found.items()}
