"""What a stage showed of one configuration, utterance by utterance: errors, cost, delay; and its memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import Interval, RunFacts, TrialFacts
from wattscribe.results.cost import EnergyRule, latency_s, percentiles
from wattscribe.results.groups import Group, group
from wattscribe.scoring import ErrorCounts
from wattscribe.student import Z95
from wattscribe.tuning.objective import Cost, Objective
from wattscribe.tuning.space import key_of

Floats = NDArray[np.float64]
LATENCY_POINT = 90
"""Per cent of the utterances that must be within the limit of latency, as `compare` judges it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Arrays of shape (utterances,), in one order for all configurations of a stage."""

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    counts: ErrorCounts
    audio_s: Floats
    cost: Floats
    """What each utterance took: the measured total, spread as its processor time is. NaN where the total is not known."""
    latency_s: Floats
    peak_memory_bytes: int | None
    kind: tuple[str, str]
    cost_ci95: Interval | None = None
    """Of the whole total."""
    cost_log_sd: float = 0.0
    """By how much the total may be off, of this configuration alone; a natural logarithm."""
    reason: str | None = None
    """Why there is no cost, or what is to be known of it."""
    work_s: float = 0.0
    """Seconds in the recognizer: a guess of the cost where there is none."""

    @property
    def wer(self) -> float:
        return self.counts.wer or 0.0

    @property
    def rate(self) -> float | None:
        """Cost per second of audio; None: not known."""
        value = float(self.cost.sum() / self.audio_s.sum())
        return None if math.isnan(value) else value

    @property
    def rate_ci95(self) -> Interval | None:
        if self.cost_ci95 is None:
            return None
        audio_s = float(self.audio_s.sum())
        return self.cost_ci95[0] / audio_s, self.cost_ci95[1] / audio_s

    @property
    def latency_p90_s(self) -> float | None:
        return percentiles(self.latency_s.tolist(), LATENCY_POINT)[0]


def joined(parts: Sequence[Observed], *, noise: float = 0.0) -> Observed:
    """What several stages showed, as one. `noise`: of a cost from run to run, a natural logarithm, independent in each stage; for
    the interval of the whole no error shrinks, because a sensor's own is the same in all of them."""
    parts = _filled(parts)
    totals = np.array([part.cost.sum() for part in parts])
    errors = np.array([math.hypot(part.cost_log_sd, noise) for part in parts])
    whole, sd = float(totals.sum()), float(errors.max())
    known = all(part.cost_ci95 is not None for part in parts) and whole > 0
    memory = [part.peak_memory_bytes for part in parts if part.peak_memory_bytes is not None]
    return replace(
        parts[0],
        ids=tuple(one for part in parts for one in part.ids),
        speakers=tuple(one for part in parts for one in part.speakers),
        counts=_counts([part.counts for part in parts]),
        audio_s=np.concatenate([part.audio_s for part in parts]),
        cost=np.concatenate([part.cost for part in parts]),
        latency_s=np.concatenate([part.latency_s for part in parts]),
        peak_memory_bytes=max(memory, default=None),
        cost_log_sd=float(np.sqrt(np.square(totals * errors).sum())) / whole if whole > 0 else 0.0,
        cost_ci95=(whole * math.exp(-Z95 * sd), whole * math.exp(Z95 * sd)) if known else None,
        reason=next((part.reason for part in parts if part.reason), None),
        work_s=sum(part.work_s for part in parts),
    )


def _filled(parts: Sequence[Observed]) -> list[Observed]:
    """A stage that was too short for the sensor costs what the others do, per second of audio."""
    known = [part for part in parts if part.rate is not None]
    if not known or len(known) == len(parts):
        return list(parts)
    per_s = sum(float(part.cost.sum()) for part in known) / sum(float(part.audio_s.sum()) for part in known)
    sd = max(part.cost_log_sd for part in known)
    return [
        part
        if part.rate is not None
        else replace(part, cost=per_s * part.audio_s, cost_log_sd=sd, cost_ci95=known[0].cost_ci95)
        for part in parts
    ]


def _counts(parts: Sequence[ErrorCounts]) -> ErrorCounts:
    def all_of(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])

    return ErrorCounts(
        substitutions=all_of("substitutions"),
        deletions=all_of("deletions"),
        insertions=all_of("insertions"),
        words=all_of("words"),
        character_errors=all_of("character_errors"),
        characters=all_of("characters"),
    )


def observe(
    runs: Sequence[tuple[RunFacts, EnergyRule]], objective: Objective, normaliser: str
) -> dict[str, Observed | str]:
    """By configuration, from the runs of one stage; a text says why a trial failed. Raises InputError where costs of one stage
    cover different things, which cannot be compared."""
    found: dict[str, Observed | str] = {}
    for facts, rule in runs:
        by_key: dict[str, list[Group]] = {}
        for one in group(facts, normaliser=normaliser, resamples=1):
            by_key.setdefault(key_of(one.recognizer, one.mode), []).append(one)
        for key, groups in by_key.items():
            found[key] = _of_corpora(groups, rule, objective)
    kinds = {each.kind: None for each in found.values() if isinstance(each, Observed) and each.kind[0] != "unavailable"}
    if len(kinds) > 1:
        what = "; ".join(f"{evidence}: {covers}" for evidence, covers in list(kinds)[:3])
        raise InputError(
            f"what is measured of these configurations covers different things ({what}), so they do not compare",
            fix="Tune each kind by itself, or name a meter of the whole device (meters = ['whole:METER.CHANNEL'])",
        )
    return found


def _of_corpora(groups: Sequence[Group], rule: EnergyRule, objective: Objective) -> Observed | str:
    parts = []
    for one in groups:
        failed = [trial.reason or trial.status for trial in one.trials if trial.status != "done"]
        if failed or one.scored is None:
            return failed[0] if failed else "nothing was transcribed"
        parts.append(_of_group(one, objective.cost(one.done, rule)))
    return parts[0] if len(parts) == 1 else joined(parts)


def _of_group(one: Group, cost: Cost) -> Observed:
    if one.scored is None:
        raise ValueError("nothing was scored")
    first = {result.id: result for result in one.done[0].utterances}
    audio_s = np.array([first[name].audio_s for name in one.scored.ids], dtype=np.float64)
    delays = [[latency_s(u) for u in trial.utterances] for trial in one.done]
    memory = [trial.peak_memory_bytes for trial in one.done if trial.peak_memory_bytes is not None]
    return Observed(
        ids=one.scored.ids,
        speakers=one.scored.speakers,
        counts=one.scored.counts,
        audio_s=audio_s,
        cost=_spread(cost, one.scored.ids, audio_s),
        latency_s=np.array([delay for trial in delays for delay in trial], dtype=np.float64),
        peak_memory_bytes=max(memory, default=None),
        kind=cost.kind,
        cost_ci95=cost.ci95,
        cost_log_sd=_log_sd(cost),
        reason=cost.reason,
        work_s=_work_s(one.done),
    )


def _spread(cost: Cost, ids: Sequence[str], audio_s: Floats) -> Floats:
    """The total over the utterances: in proportion to what is known of each, or to their length."""
    if cost.total is None:
        return np.full(len(ids), np.nan)
    weights = np.array([cost.per_utterance.get(name, 0.0) for name in ids], dtype=np.float64)
    weights = weights if weights.sum() > 0 else audio_s
    return np.asarray(cost.total * weights / weights.sum(), dtype=np.float64)


def _log_sd(cost: Cost) -> float:
    if not cost.independent or cost.ci95 is None or not cost.total:
        return 0.0
    return max(cost.total - cost.ci95[0], cost.ci95[1] - cost.total) / Z95 / cost.total


def _work_s(done: Sequence[TrialFacts]) -> float:
    return sum(trial.window.duration_s for trial in done if trial.window is not None) / max(1, len(done))
