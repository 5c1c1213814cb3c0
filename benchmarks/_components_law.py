"""WER = exp(a·size + b) + c for one component, its intervals from utterances resampled again, and whether it holds at all.

The same utterances are decoded at every size, so a draw takes an utterance with all its sizes: what is common to them cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy.accuracy import MB, AccuracyLaw

Array = NDArray[np.float64]
DRAWS = 1000
GRID = 300
"""Rates that are tried, from a fiftieth to fifty over the span of sizes, a factor of 1.03 apart."""
FARTHEST = 2.5
"""Standard errors that the worst point may lie off a law that holds: of five points one in a hundred does."""
LEAST_FITTED = 0.95
"""Of the draws, in which WER must fall with size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law(AccuracyLaw):
    """Its intervals are the bootstrap's. `worst` is the largest residual in its standard errors."""

    worst: float
    fitted: float
    """Share of the draws in which WER falls with size."""

    @property
    def holds(self) -> bool:
        return self.fitted >= LEAST_FITTED and self.worst <= FARTHEST


def fit_law(sizes_bytes: Array, errors: Array, words: Array, *, draws: int = DRAWS, seed: int = 0) -> Law | None:
    """`errors` (sizes, utterances) and `words` (utterances) → the law; None where WER does not fall as the component grows.

    Least squares, each size weighed alike, c ≥ 0. Raises ValueError for fewer than four sizes.
    """
    sizes = np.asarray(sizes_bytes, dtype=np.float64) / MB
    if len(set(sizes.tolist())) < 4:
        raise ValueError("a law of three parameters needs four sizes")
    rng = np.random.default_rng(seed)
    resampled = rng.multinomial(len(words), np.full(len(words), 1 / len(words)), size=draws).astype(np.float64)
    wers = np.concatenate([[errors.sum(1) / words.sum()], (resampled @ errors.T) / (resampled @ words)[:, None]])
    fits = fit_many(sizes, wers)
    if np.isnan(fits[0, 0]):
        return None
    a, b, c = fits[0]
    # At least a word: where all is wrong in every draw, nothing varies.
    spread = np.maximum(wers[1:].std(0, ddof=1), 1 / words.sum())
    residual = wers[0] - np.exp(a * sizes + b) - c
    fitted_draws = fits[1:][~np.isnan(fits[1:, 0])]
    low, high = np.quantile(fitted_draws, [0.025, 0.975], axis=0) if len(fitted_draws) else (fits[0], fits[0])
    intervals = [(float(min(one, at)), float(max(two, at))) for one, two, at in zip(low, high, fits[0], strict=True)]
    return Law(
        a_per_mb=float(a), b=float(b), c=float(c), a_ci95=intervals[0], b_ci95=intervals[1], c_ci95=intervals[2],
        r2=1 - float((residual**2).sum() / max(((wers[0] - wers[0].mean()) ** 2).sum(), 1e-300)),
        residual=float(np.sqrt((residual**2).mean())), points=len(sizes),
        worst=float(np.abs(residual / spread).max()), fitted=len(fitted_draws) / draws,
    )  # fmt: skip


def fit_many(sizes: Array, wers: Array) -> Array:
    """(draws, sizes) → (draws, 3) of a, b, c; NaN where WER does not fall. For a given rate the rest is linear."""
    span = float(sizes.max() - sizes.min())
    rates = np.geomspace(0.02, 50.0, GRID) / span
    shapes = np.exp(-rates[:, None] * (sizes - sizes.min()))
    centred = shapes - shapes.mean(1, keepdims=True)
    scale = np.maximum(wers @ centred.T / (centred**2).sum(1), 0.0)
    c = wers.mean(1)[:, None] - scale * shapes.mean(1)
    alone = np.maximum(wers @ shapes.T / (shapes**2).sum(1), 0.0)
    scale, c = np.where(c < 0, alone, scale), np.maximum(c, 0.0)
    # ‖w − s·x − c‖² by its sums: no array of draws × rates × sizes
    error = (
        (wers**2).sum(1)[:, None] + scale**2 * (shapes**2).sum(1) + len(sizes) * c**2
        - 2 * scale * (wers @ shapes.T) - 2 * c * wers.sum(1)[:, None] + 2 * scale * c * shapes.sum(1)
    )  # fmt: skip
    best = error.argmin(1)
    rows = np.arange(len(wers))
    best_scale = scale[rows, best]
    with np.errstate(divide="ignore"):
        b = np.log(best_scale) + rates[best] * sizes.min()
    fits = np.stack([-rates[best], b, c[rows, best]], axis=1)
    fits[best_scale <= 1e-12] = np.nan
    return fits
