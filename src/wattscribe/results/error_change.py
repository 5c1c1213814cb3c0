"""Does a new run make more errors than its base on the same utterances? Judged by what the speech can show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.records import Interval
from wattscribe.results.findings import Entry
from wattscribe.results.gates import ERROR_INCREASE_POINTS, UNSEEN_INCREASE_POINTS, Gates
from wattscribe.results.groups import take
from wattscribe.results.words import plural
from wattscribe.scoring import (
    FEWEST_SPEAKERS,
    ErrorCounts,
    Metric,
    PairedResult,
    can_show,
    it_takes,
    paired_bootstrap,
    too_few,
    units_to_bound,
    units_to_show,
    unseen_rate,
)

RESAMPLES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorChange:
    """Word or character error rates in per cent, their increase in points (per cent of the reference)."""

    metric: Metric
    base_percent: float
    new_percent: float
    increase_points: float
    increase_ci95_points: Interval
    increase_upper95_points: float
    """One-sided."""
    p: float
    method: str
    limit_points: float
    words: int
    words_needed: int | None
    """About how many reference words would show an increase within the limit, were there none; None: no number does."""
    speakers: int
    unseen_speakers_upper95_percent: float | None
    """Where nothing differs: the share of speakers for whom something might, with 95 % confidence."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def error_change(base: Entry, new: Entry, gates: Gates, *, seed: int) -> ErrorChange:
    """Both entries are scored on the same utterances. Raises InputError where these cannot be tested."""
    if base.group.scored is None or new.group.scored is None:
        raise InputError("both runs must be scored")
    old, fresh = base.group.scored, new.group.scored
    place = {key: index for index, key in enumerate(fresh.ids)}
    aligned = take(fresh.counts, [place[key] for key in old.ids])
    result = paired_bootstrap(
        old.counts,
        aligned,
        old.speakers,
        fewest_speakers=FEWEST_SPEAKERS,
        resamples=RESAMPLES,
        seed=seed,
        metric=gates.metric,
    )
    limit, words, speakers = _limit_points(gates, result), round(old.counts.words.sum()), len(set(old.speakers))
    needed = _words_needed(result, words, limit)
    reason = _reason(gates.metric, result, limit, words, needed)
    unseen = not result.differing_utterances
    return ErrorChange(
        metric=gates.metric,
        base_percent=100 * (_rate(old.counts, gates.metric) or 0.0),
        new_percent=100 * (_rate(aligned, gates.metric) or 0.0),
        increase_points=100 * result.difference,
        increase_ci95_points=(100 * result.ci95[0], 100 * result.ci95[1]),
        increase_upper95_points=100 * result.upper95,
        p=result.p,
        method=result.method,
        limit_points=limit,
        words=words,
        words_needed=needed,
        speakers=speakers,
        unseen_speakers_upper95_percent=100 * unseen_rate(speakers) if unseen else None,
        reasons=(reason,) if reason else (),
        notes=(_unseen_note(result, words, speakers),) if unseen and not reason else (),
    )


def _words_needed(result: PairedResult, words: float, limit_points: float) -> int | None:
    """From the paired variance that was seen, and never fewer than the exact bound for no event takes."""
    if result.differing_utterances:
        needed = units_to_show(limit_points / 100, result.standard_error, result.places)
    else:
        needed = units_to_bound(limit_points / 100)
    return None if math.isinf(needed) else math.ceil(needed * words / result.places)


def _rate(counts: ErrorCounts, metric: Metric) -> float | None:
    return counts.wer if metric == "wer" else counts.cer


def _limit_points(gates: Gates, result: PairedResult) -> float:
    """The limit asked for. Unasked, what was not seen at all may be bounded less closely than what was."""
    if gates.max_error_increase_points is not None:
        return gates.max_error_increase_points
    return ERROR_INCREASE_POINTS if result.differing_utterances else UNSEEN_INCREASE_POINTS


def _reason(metric: Metric, result: PairedResult, limit: float, words: int, needed: int | None) -> str | None:
    """Why the increase is not shown to be within the limit; None: it is."""
    name, rise, upper = metric.upper(), 100 * result.difference, 100 * result.upper95
    able = can_show(limit / 100, result.places)
    if upper <= limit + 1e-9 and able:
        return None
    if not able:
        return f"{name} is not judged: {too_few(limit, words, needed)}"
    figures = f"{rise:+.2f} points, with 95 % confidence below {upper:+.2f}"
    if rise > limit:
        return f"{name} rises by more than {limit:+.2f} points: {figures}"
    few = f"{plural(words, 'word')} are too few to tell"
    return f"{name} is not shown to rise by less than {limit:+.2f} points: {figures}; {few}, {it_takes(needed)}"


def _unseen_note(result: PairedResult, words: int, speakers: int) -> str:
    people = f"; for up to {100 * unseen_rate(speakers):.0f} % of speakers something may differ" if speakers > 1 else ""
    return (
        f"nothing differs in {plural(words, 'word')} of {plural(speakers, 'speaker')}: with 95 % confidence the rate rises by "
        f"less than {100 * result.upper95:.2f} points on speech like this{people}"
    )
