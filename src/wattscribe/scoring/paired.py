"""Is one recognizer better than another on the same utterances? Two tests that do not share their assumptions, and Holm's
correction for asking more than once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.scoring.bounds import events_upper
from wattscribe.scoring.counting import ErrorCounts, Floats, Span
from wattscribe.scoring.intervals import RESAMPLES, Clusters, clusters, resampled, widening
from wattscribe.student import Z95, student_p

SEPARATING_WORDS = 2
"""Consecutive words that both systems have right end a segment, as in NIST's sc_stats."""
FEWEST_SPEAKERS = 5
"""Below, an interval for other speakers is too wide to show anything: a verdict is then on these speakers, and says so."""
CHARACTERS_PER_ERROR = 5.0
"""Wrong characters come by the word: so many, an English word's with its space, count as one event of an exact bound."""

Metric = Literal["wer", "cer"]


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
    differing_utterances: int
    """Utterances in which both made other numbers of errors; 0: nothing was seen, all bounds are those for no event."""
    standard_error: float
    """Of `difference`; 0 where nothing differs."""
    places: float
    """Where an error could have come independently of the others: reference words, or characters / CHARACTERS_PER_ERROR."""


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
    metric: Metric = "wer",
) -> PairedResult:
    """Resample the same speakers for both and look at the difference of the rates (Bisani & Ney 2004, by speaker).

    The interval is widened where there are few of them; below `fewest_speakers` utterances are drawn, which says nothing about
    others. Both ends reach at least as far as the exact bound for errors that were not seen, or hardly: equal transcripts are no
    proof. The p-value is `_p_value`'s, because counted draws could never pass a correction for many pairs. Raises InputError
    for one utterance, or for other utterances on both sides.
    """
    _check_paired(first, second)
    groups = clusters(speakers, first.utterances, fewest=fewest_speakers)
    if groups.count < 2:
        raise InputError("a paired test needs two utterances or more, there is one", fix="Measure more utterances")
    change, units = _change(first, second, metric)
    difference = float(change.sum() / units.sum())
    standard_error = _standard_error(change, units, groups)
    low, high, upper = _bootstrap(groups.sums(change), groups.sums(units), difference, resamples, seed)
    per_event = 1.0 if metric == "wer" else CHARACTERS_PER_ERROR
    exact_low, exact_high, exact_upper = _exact_bounds(change, units, per_event)
    return PairedResult(
        difference=difference,
        ci95=(min(low, exact_low), max(high, exact_high)),
        upper95=max(upper, exact_upper),
        p=_p_value(change, difference, standard_error, groups.count),
        method=_method(groups, change, float(units.sum()) / per_event, resamples),
        differing_utterances=int(np.count_nonzero(change)),
        standard_error=standard_error,
        places=float(units.sum()) / per_event,
    )


def standard_error(
    first: ErrorCounts, second: ErrorCounts, speakers: Sequence[str] | None = None, *, fewest_speakers: int = 2
) -> float | None:
    """Of the difference of two WERs as `paired_bootstrap` has it, without its draws; None for one utterance."""
    _check_paired(first, second)
    groups = clusters(speakers, first.utterances, fewest=fewest_speakers)
    return None if groups.count < 2 else _standard_error(*_change(first, second, "wer"), groups)


def _change(first: ErrorCounts, second: ErrorCounts, metric: Metric) -> tuple[Floats, Floats]:
    """Errors that the second makes more than the first, and reference words or characters, per utterance."""
    if metric == "wer":
        return second.errors - first.errors, first.words
    return second.character_errors - first.character_errors, first.characters


def _bootstrap(
    change: Floats, units: Floats, difference: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Both ends of the 95 % interval and the one-sided 95 % bound, from `change` and `units` per speaker or utterance."""
    totals = resampled(np.stack([change, units], axis=1), resamples=resamples, seed=seed)
    totals = totals[totals[:, 1] > 0]
    away = totals[:, 0] / totals[:, 1] - difference
    two_sided, one_sided = (widening(len(change), confidence) for confidence in (0.975, 0.95))
    low, high, upper = np.percentile(away, [2.5, 97.5, 95.0]).tolist()
    return difference + two_sided * low, difference + two_sided * high, difference + one_sided * upper


def _exact_bounds(change: Floats, units: Floats, per_event: float) -> tuple[float, float, float]:
    """Interval and one-sided bound when errors that came and errors that went are rare events, `per_event` units of each.

    One side's count is bounded exactly, the other's is taken as seen. It matters where few or none were seen; where there are
    many the bootstrap, which knows how they clump, reaches further.
    """
    worse, better = (float(np.maximum(sign * change, 0).sum()) / per_event for sign in (1, -1))
    places = float(units.sum()) / per_event
    return (
        (worse - events_upper(better, places, 0.975)) / places,
        (events_upper(worse, places, 0.975) - better) / places,
        (events_upper(worse, places, 0.95) - better) / places,
    )


def _standard_error(change: Floats, units: Floats, groups: Clusters) -> float:
    """Of the difference of the rates, linearised; by speaker or by utterance, whichever is larger.

    A handful of speakers can agree by chance; utterances of one speaker are never more independent than utterances.
    """
    residual = change - change.sum() / units.sum() * units
    by_utterance, by_group = residual, groups.sums(residual)
    variances = [len(parts) / (len(parts) - 1) * float(np.square(parts).sum()) for parts in (by_utterance, by_group)]
    return math.sqrt(max(variances)) / float(units.sum())


def _p_value(change: Floats, difference: float, standard_error: float, count: int) -> float:
    """Two-sided, of no difference, by Student's t with one degree of freedom less than there are speakers (or utterances).

    A tail of counted draws ends at 2 / draws, which Holm's correction for thirty pairs lifts over 5 %; this one does not end.
    n utterances that differ cannot show less than 2^(1 − n), the chance that all their signs agree.
    """
    differing = int(np.count_nonzero(change))
    if not differing or difference == 0:
        return 1.0
    p = student_p(difference / standard_error, count - 1) if standard_error > 0 else 0.0
    return min(1.0, max(p, 2.0 ** (1 - differing)))


def _method(groups: Clusters, change: Floats, places: float, resamples: int) -> str:
    if np.any(change):
        return f"paired {groups.by}, {resamples} resamples; p by Student's t"
    return f"no difference seen: exact bound for no event in {places:,.0f} places"


def mapsswe(first: Floats, second: Floats) -> MatchedPairs:
    """Matched pairs over segments (Gillick & Cox 1989): `first` and `second` are errors per segment, shape (segments,).

    Two-sided normal test of the mean difference, with the sample standard deviation (n − 1); n segments cannot show less than
    2^(1 − n), the chance that all signs agree. Raises InputError below two segments or on unequal lengths.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} segments for {len(second)}")
    count = len(first)
    if count < 2:
        raise InputError(f"a matched-pairs test needs two segments or more, there is {count}")
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count)
    z = 0.0 if mean == 0 else (math.copysign(math.inf, mean) if error == 0 else mean / error)
    few = " (few segments: the normal approximation is rough)" if count < 50 else ""
    return MatchedPairs(
        difference=mean,
        ci95=(mean - Z95 * error, mean + Z95 * error),
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
    segments, right = [], 0
    one = other = 0
    for a, b in zip(first, second, strict=True):
        right = right + 1 if a == 0 and b == 0 else 0
        one, other = one + a, other + b
        if right >= separating_words:
            if one or other:
                segments.append((float(one), float(other)))
            one = other = 0
    if one or other:
        segments.append((float(one), float(other)))
    return segments


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
