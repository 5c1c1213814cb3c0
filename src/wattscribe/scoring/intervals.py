"""How far a word error rate could be off: bootstrap intervals that respect that one speaker's utterances go together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.scoring.bounds import unseen_rate
from wattscribe.scoring.counting import ErrorCounts, Floats
from wattscribe.student import student_t

RESAMPLES = 1000
FEW_SPEAKERS = 10
"""Below this many speakers the method field says that there are few."""
DRAWS_AT_ONCE = 1 << 22
"""Indices drawn at a time: bounds memory to about 32 MB however many utterances there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateInterval:
    """A rate, where 95 % of the resamples fall, and how that was found."""

    rate: float | None
    ci95: Interval | None
    method: str
    resamples: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """Which utterances go together: `of` has shape (utterances,), values below `count`."""

    of: NDArray[np.int64]
    count: int
    by: str
    """In words, for the method field."""

    def sums(self, values: Floats) -> Floats:
        """Per-cluster totals, shape (count,)."""
        return np.bincount(self.of, weights=values, minlength=self.count).astype(np.float64)


def clusters(speakers: Sequence[str] | None, utterances: int, *, fewest: int = 2) -> Clusters:
    """Group utterances by speaker; below `fewest` speakers or none given: each utterance stands for itself, and `by` says so."""
    if speakers is not None and len(speakers) != utterances:
        raise InputError(f"{len(speakers)} speakers for {utterances} utterances")
    names, of = np.unique(np.asarray(speakers if speakers is not None else [], dtype=str), return_inverse=True)
    if len(names) >= fewest:
        few = " (few, so it is wide)" if len(names) < FEW_SPEAKERS else ""
        return Clusters(of=of.astype(np.int64), count=len(names), by=f"bootstrap over {len(names)} speakers{few}")
    amount = "one speaker" if len(names) == 1 else f"{len(names)} speakers"
    why = f"{amount}: says nothing about other speakers" if len(names) else "speakers not given"
    return Clusters(
        of=np.arange(utterances, dtype=np.int64), count=utterances, by=f"bootstrap over {utterances} utterances ({why})"
    )


def resampled(columns: Floats, *, resamples: int, seed: int) -> Floats:
    """Totals of `columns`, shape (units, k), over `resamples` draws of units with replacement → (resamples, k)."""
    units = len(columns)
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [columns[generator.integers(0, units, size=(draws, units))].sum(axis=1) for draws in _batches(resamples, units)]
    )


def widening(units: int, confidence: float) -> float:
    """By how much a percentile bootstrap over so few units is too narrow, at this one-sided confidence; infinite for one unit.

    Resampling n units shows √((n − 1) / n) of their spread and a normal's tails instead of Student's: √(n / (n − 1)) · t / z
    (Hesterberg 2015, "What teachers should know about the bootstrap", section 4.1).
    """
    if units < 2:
        return math.inf
    return math.sqrt(units / (units - 1)) * student_t(units - 1, confidence) / student_t(math.inf, confidence)


def _batches(resamples: int, units: int) -> Iterator[int]:
    at_once = max(1, DRAWS_AT_ONCE // max(1, units))
    while resamples > 0:
        yield min(at_once, resamples)
        resamples -= at_once


def wer_interval(
    counts: ErrorCounts, speakers: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> RateInterval:
    """The WER and its 95 % interval, resampling speakers (or utterances where there is only one), widened for few of them.

    One utterance has no interval. Where no error was seen, resampling cannot show one: the upper end is then
    1 − 0.05^(1/words), the exact binomial bound.
    """
    if counts.utterances == 0 or counts.wer is None:
        return RateInterval(rate=None, ci95=None, method="no reference words", resamples=0)
    if counts.errors.sum() == 0:
        words = float(counts.words.sum())
        upper = unseen_rate(words)
        return RateInterval(
            rate=0.0, ci95=(0.0, upper), method=f"no error in {words:g} words: exact binomial bound", resamples=0
        )
    groups = clusters(speakers, counts.utterances)
    if groups.count < 2:
        return RateInterval(rate=counts.wer, ci95=None, method="one utterance: no interval", resamples=0)
    totals = resampled(
        np.stack([groups.sums(counts.errors), groups.sums(counts.words)], axis=1), resamples=resamples, seed=seed
    )
    totals = totals[totals[:, 1] > 0]
    away = widening(groups.count, 0.975) * (np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5]) - counts.wer)
    low, high = (counts.wer + away).tolist()
    return RateInterval(rate=counts.wer, ci95=(max(0.0, low), high), method=groups.by, resamples=resamples)
