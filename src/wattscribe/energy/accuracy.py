"""How word errors grow as a component shrinks: WER = exp(a·size + b) + c, fitted with intervals, or refused.

The law is the study's (arXiv 2402.13076). Sizes in megabytes, WER as a fraction. For a given `a` the rest is linear, so the
fit is a search along one axis (variable projection), which has no starting point to get wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.student import student_t

Array = NDArray[np.float64]
MB = 1e6
LEAST_POINTS = 4
LEAST_BYTES, MOST_BYTES = 1.0, 1e13
MOST_WER = 1e3
"""What no component and no recognizer reaches, and arithmetic bears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyLaw:
    """A fitted law with 95 % intervals; `r2` and `residual` (root mean square, WER) say how well it holds."""

    a_per_mb: float
    b: float
    c: float
    a_ci95: Interval
    b_ci95: Interval
    c_ci95: Interval
    r2: float
    residual: float
    points: int

    def wer(self, size_bytes: float) -> float:
        """WER at a size."""
        return math.exp(self.a_per_mb * size_bytes / MB + self.b) + self.c


def fit(points: Sequence[tuple[float, float]]) -> AccuracyLaw:
    """(size in bytes, WER) points → the law by least squares with a < 0 and c ≥ 0.

    Raises InputError with fewer than four distinct sizes, for values that cannot be, or where WER does not fall with size.
    """
    sizes = np.array([size / MB for size, _ in points], dtype=np.float64)
    wers = np.array([wer for _, wer in points], dtype=np.float64)
    if len(set(sizes.tolist())) < LEAST_POINTS:
        raise InputError(
            f"an accuracy law needs {LEAST_POINTS} sizes, {len(set(sizes.tolist()))} were given",
            fix="Measure WER at more sizes of the component",
        )
    known = ((sizes >= LEAST_BYTES / MB) & (sizes <= MOST_BYTES / MB) & (wers >= 0) & (wers <= MOST_WER)).all()
    if not known:  # nor where one is no number
        raise InputError(
            f"sizes must be {LEAST_BYTES:g} to {MOST_BYTES:g} bytes and WER a fraction of 0 to {MOST_WER:g}"
        )
    span = float(sizes.max() - sizes.min())
    grid = np.geomspace(0.02, 200.0, 400) / span
    errors = [_linear(rate, sizes, wers)[2] for rate in grid]
    best = int(np.argmin(errors))
    rate = _golden(sizes, wers, grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)])
    scale, c, _ = _linear(rate, sizes, wers)
    if scale <= 1e-12:
        raise InputError(
            "WER does not fall as the component grows, so no law can be fitted", fix="Measure again with more data"
        )
    return _law(-rate, math.log(scale) + rate * float(sizes.min()), c, sizes, wers)


def _linear(rate: float, sizes: Array, wers: Array) -> tuple[float, float, float]:
    """(scale ≥ 0 of exp(−rate·(size − smallest)), c ≥ 0, squared error) for one rate."""
    shape = np.exp(-rate * (sizes - sizes.min()))
    centred = shape - shape.mean()
    spread = float(centred @ centred)
    scale = max(0.0, float(centred @ wers) / spread) if spread > 0 else 0.0
    c = float(wers.mean() - scale * shape.mean())
    if c < 0:
        c, scale = 0.0, max(0.0, float(shape @ wers) / float(shape @ shape))
    residual = wers - scale * shape - c
    return scale, c, float(residual @ residual)


def _golden(sizes: Array, wers: Array, low: float, high: float) -> float:
    """The rate of least error between two, by golden section over its logarithm."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = math.log(low), math.log(high)
    for _ in range(80):
        lower, other = right - ratio * (right - left), left + ratio * (right - left)
        if _linear(math.exp(lower), sizes, wers)[2] <= _linear(math.exp(other), sizes, wers)[2]:
            right = other
        else:
            left = lower
    return math.exp((left + right) / 2)


def _law(a: float, b: float, c: float, sizes: Array, wers: Array) -> AccuracyLaw:
    bend = np.exp(a * sizes + b)
    residual = wers - bend - c
    freedom = len(sizes) - 3
    slopes = np.stack([sizes * bend, bend, np.ones_like(bend)], axis=1)
    variance = float(residual @ residual) / freedom
    deviation = np.sqrt(np.maximum(0.0, np.diag(np.linalg.pinv(slopes.T @ slopes)) * variance))
    quantile = student_t(freedom, 0.975)
    a_half, b_half, c_half = (float(sd) * quantile for sd in deviation)
    spread = float(((wers - wers.mean()) ** 2).sum())
    return AccuracyLaw(
        a_per_mb=a,
        b=b,
        c=c,
        a_ci95=(a - a_half, a + a_half),
        b_ci95=(b - b_half, b + b_half),
        c_ci95=(c - c_half, c + c_half),
        r2=1 - float(residual @ residual) / spread if spread > 0 else 0.0,
        residual=math.sqrt(float(residual @ residual) / len(sizes)),
        points=len(sizes),
    )
