"""Is one recognizer better than another on the same utterances? Two tests that do not share their assumptions, and Holm's
correction for asking more than once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.scoring.counting import ErrorCounts, Floats, Span
from wattscribe.scoring.intervals import RESAMPLES, clusters, resampled, widening

SEPARATING_WORDS = 2
"""Consecutive words that both systems have right end a segment, as in NIST's sc_stats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """The second recognizer against the first on the same utterances; differences are second − first, as a fraction."""

    difference: float
    ci95: Interval
    upper95: float
    """One-sided: with 95 % confidence the second is not worse than the first by more than this."""
    p: float
    """Two-sided."""
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedPairs:
    """MAPSSWE's answer; `difference` is second − first in errors per segment."""

    difference: float
    ci95: Interval
    z: float
    p: float
    segments: int
    method: str


def paired_bootstrap(
    first: ErrorCounts,
    second: ErrorCounts,
    speakers: Sequence[str] | None = None,
    *,
    fewest_speakers: int = 2,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedResult:
    """Resample the same speakers for both and look at the difference of the WERs (Bisani & Ney 2004, by speaker).

    Widened where there are few of them; below `fewest_speakers` utterances are drawn, which says nothing about others. The
    p-value is two-sided with one added to both counts, so that it is never below 1 / (resamples + 1) by chance alone; n units
    cannot show less than 2^(1 − n), the chance that all signs agree. Raises InputError for one utterance, or for other
    utterances on both sides.
    """
    _check_paired(first, second)
    groups = clusters(speakers, first.utterances, fewest=fewest_speakers)
    if groups.count < 2:
        raise InputError("a paired test needs two utterances or more, there is one", fix="Measure more utterances")
    columns = np.stack([groups.sums(second.errors - first.errors), groups.sums(first.words)], axis=1)
    totals = resampled(columns, resamples=resamples, seed=seed)
    totals = totals[totals[:, 1] > 0]
    difference = float(columns[:, 0].sum() / columns[:, 1].sum())
    away = totals[:, 0] / totals[:, 1] - difference
    two_sided, one_sided = (widening(groups.count, confidence) for confidence in (0.975, 0.95))
    low, high = (difference + two_sided * np.percentile(away, [2.5, 97.5])).tolist()
    draws = difference + two_sided * away
    tail = min(int(np.count_nonzero(draws <= 0)), int(np.count_nonzero(draws >= 0)))
    return PairedResult(
        difference=difference,
        ci95=(low, high),
        upper95=float(difference + one_sided * np.percentile(away, 95.0)),
        p=max(min(1.0, 2.0 * (tail + 1) / (len(draws) + 1)), 2.0 ** (1 - groups.count)),
        method=f"paired {groups.by}, {resamples} resamples",
    )


def mapsswe(first: Floats, second: Floats) -> MatchedPairs:
    """Matched pairs over segments (Gillick & Cox 1989): `first` and `second` are errors per segment, shape (segments,).

    Two-sided normal test of the mean difference, with the sample standard deviation (n − 1); n segments cannot show less than
    2^(1 − n), the chance that all signs agree. Raises InputError below two segments or on unequal lengths.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} segments stand against {len(second)}")
    count = len(first)
    if count < 2:
        raise InputError(f"a matched-pairs test needs two segments or more, there is {count}")
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count)
    z = 0.0 if mean == 0 else (math.copysign(math.inf, mean) if error == 0 else mean / error)
    few = " (few segments: the normal approximation is rough)" if count < 50 else ""
    return MatchedPairs(
        difference=mean,
        ci95=(mean - 1.959964 * error, mean + 1.959964 * error),
        z=z,
        p=max(math.erfc(abs(z) / math.sqrt(2.0)), 2.0 ** (1 - count)),
        segments=count,
        method=f"matched pairs over {count} segments{few}",
    )


def segments(
    first: ErrorCounts, second: ErrorCounts, *, separating_words: int = SEPARATING_WORDS
) -> tuple[Floats, Floats]:
    """Errors of both recognizers per segment with an error in it, as NIST's sc_stats cuts them.

    A segment is a stretch of the reference that ends where both have `separating_words` words in a row right, or where the
    utterance ends: errors in different segments may be taken as independent, errors within one may not.
    """
    _check_paired(first, second)
    pairs: list[tuple[float, float]] = []
    for one, other, words in zip(first.alignments, second.alignments, first.words, strict=True):
        pairs.extend(_cut(_per_word(one, int(words)), _per_word(other, int(words)), separating_words))
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _per_word(spans: Sequence[Span], words: int) -> list[int]:
    """Errors at every reference word; insertions stand at the word that they precede, the last slot is the utterance's end."""
    errors = [0] * (words + 1)
    for span in spans:
        if span.kind == "insert":
            errors[span.reference_start] += span.hypothesis_end - span.hypothesis_start
        elif span.kind != "equal":
            for index in range(span.reference_start, span.reference_end):
                errors[index] += 1
    return errors


def _cut(first: Sequence[int], second: Sequence[int], separating_words: int) -> list[tuple[float, float]]:
    found, right = [], 0
    one = other = 0
    for a, b in zip(first, second, strict=True):
        right = right + 1 if a == 0 and b == 0 else 0
        one, other = one + a, other + b
        if right >= separating_words:
            if one or other:
                found.append((float(one), float(other)))
            one = other = 0
    if one or other:
        found.append((float(one), float(other)))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of one false claim among all of these stays below the level one tests at."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _check_paired(first: ErrorCounts, second: ErrorCounts) -> None:
    if first.utterances != second.utterances or not np.array_equal(first.words, second.words):
        raise InputError("a paired test needs the same utterances and references on both sides")
    if not first.words.sum():
        raise InputError("a paired test needs reference words, there are none")
