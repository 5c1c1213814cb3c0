"""Does one property of models go with another? Rank correlation for the handful of models that a bench compares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.scoring.counting import Floats

FEWEST_MODELS = 4
"""With three models even a perfect order has a two-sided p of 1/3: nothing can be concluded."""
EXACT_UP_TO = 7
"""5,040 orders are enumerated; beyond that, orders are drawn."""
ORDERS_DRAWN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's rho with the p-value of a permutation test and a bootstrap interval over the models."""

    rho: float
    ci95: Interval
    p: float
    count: int
    method: str


def spearman(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 1000, seed: int = 0
) -> RankCorrelation:
    """Rank correlation of two properties of the same models. Raises InputError below four models or where all are equal."""
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(x) != len(y):
        raise InputError(f"{len(x)} values for {len(y)}")
    if len(x) < FEWEST_MODELS:
        there = "there is 1" if len(x) == 1 else f"there are {len(x)}"
        raise InputError(f"a rank correlation needs {FEWEST_MODELS} models or more, {there}")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise InputError("a rank correlation needs values that differ")
    rank_x, rank_y = ranks(x), ranks(y)
    rho = _correlation(rank_x, rank_y)
    orders, how = _orders(len(x), seed)
    permuted = _correlations(rank_x, rank_y[orders])
    as_strong = int(np.count_nonzero(np.abs(permuted) >= abs(rho) - 1e-12))
    p = as_strong / len(orders) if how == "exact" else (as_strong + 1) / (len(orders) + 1)
    low, high = np.percentile(_resampled_rho(x, y, resamples, seed), [2.5, 97.5])
    return RankCorrelation(
        rho=rho,
        ci95=(float(low), float(high)),
        p=p,
        count=len(x),
        method=f"Spearman, {how} permutation test over {len(x)} models; interval by bootstrap over models",
    )


def ranks(values: Floats) -> Floats:
    """Ranks from 0, ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = ((ends - counts) + (ends - 1)) / 2.0
    return means[inverse]


def _correlation(x: Floats, y: Floats) -> float:
    return float(_correlations(x, y[None, :])[0])


def _correlations(x: Floats, y: Floats) -> Floats:
    """Pearson's r of `x`, shape (n,), with each row of `y`, shape (m, n)."""
    a, b = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    result: Floats = (b @ a) / np.sqrt((a @ a) * (b * b).sum(axis=1))
    return result


def _orders(count: int, seed: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], str]:
    if count <= EXACT_UP_TO:
        listed = list(itertools.permutations(range(count)))
        return np.array(listed, dtype=np.int64).reshape(math.factorial(count), count), "exact"
    generator = np.random.default_rng(seed)
    return np.argsort(generator.random((ORDERS_DRAWN, count)), axis=1).astype(np.int64), f"{ORDERS_DRAWN:,}-draw"


def _resampled_rho(x: Floats, y: Floats, resamples: int, seed: int) -> Floats:
    """Rho over resampled models; draws in which one side has a single value say nothing and are left out."""
    generator = np.random.default_rng(seed)
    rhos = []
    for draw in generator.integers(0, len(x), size=(resamples, len(x))):
        if np.ptp(x[draw]) > 0 and np.ptp(y[draw]) > 0:
            rhos.append(_correlation(ranks(x[draw]), ranks(y[draw])))
    return np.array(rhos, dtype=np.float64)
