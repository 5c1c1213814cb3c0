"""Shards of one pass over a corpus, whoever transcribed them, put together again as the one trial that they are parts of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from wattscribe.records import (
    Heard,
    Part,
    PowerTrace,
    Reading,
    RunFacts,
    TrialFacts,
    UtteranceResult,
    Window,
    to_json,
)

ORDER = ("done", "failed", "running", "pending")
"""Of several attempts at one shard, on several boards, that one counts which came furthest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(TrialFacts):
    """A trial made of shards, its utterances in the corpus's order; the shards lie behind each other on a time line that is
    nobody's clock."""

    shards: tuple[TrialFacts, ...]
    """With their own times and traces; on several boards each on a clock of its own."""
    apart: str | None = None
    """Why the shards' joules are not added up; None: they are."""


def traces_of(trial: TrialFacts) -> Iterable[PowerTrace]:
    """Its own, or those of its shards."""
    parts = trial.shards if isinstance(trial, Joined) else (trial,)
    return (trace for part in parts for trace in part.traces)


def joined(facts: RunFacts, *, apart: str | None = None) -> RunFacts:
    """The run without shards: each pass one trial, done where all of its shards are; each speech that was prepared one row."""
    if all(trial.trial.part is None for trial in facts.trials):
        return facts
    passes: dict[str, list[TrialFacts]] = {}
    for trial in facts.trials:
        passes.setdefault(_pass_of(trial), []).append(trial)
    return replace(
        facts,
        trials=tuple(one for trials in passes.values() for one in _whole(trials, apart)),
        heard=_heard(facts.heard),
        rejected=tuple(dict.fromkeys(replace(lost, condition=_plain(lost.condition)) for lost in facts.rejected)),
    )


def _pass_of(trial: TrialFacts) -> str:
    return json.dumps(to_json(replace(trial.trial, id="", part=None)), sort_keys=True)


def _whole(trials: Sequence[TrialFacts], apart: str | None) -> list[TrialFacts]:
    """Trials of the whole corpus, or of the one part that was asked for, as they are; of shards the trial that they make."""
    if len({trial.trial.part for trial in trials}) == 1:
        return list(trials)
    best: dict[Part, TrialFacts] = {}
    for trial in sorted(trials, key=lambda one: ORDER.index(one.status)):
        if trial.trial.part is not None:
            best.setdefault(trial.trial.part, trial)
    shards = tuple(best[part] for part in sorted(best, key=lambda part: part.taken))
    first = shards[0]
    whole = replace(first.trial, part=None)
    statuses = {shard.status for shard in shards}
    count = len(shards)
    if statuses == {"done"}:
        return [_done(shards, apart)]
    status = next(name for name in ("failed", "running", "pending") if name in statuses or name == "pending")
    through = sum(shard.status == "done" for shard in shards)
    reasons = list(dict.fromkeys(shard.reason for shard in shards if shard.reason))
    return [
        TrialFacts(trial=whole, status=status, reason="; ".join([f"{through} of {count} parts are done", *reasons]))
    ]


def _done(shards: tuple[TrialFacts, ...], apart: str | None) -> TrialFacts:
    first = shards[0]
    audit = next((s.audit for s in shards if s.audit is not None and not s.audit.ok), first.audit)
    utterances, end_s = _in_order(shards)
    return Joined(
        trial=replace(first.trial, part=None),
        status="done",
        prepare_s=_most([shard.prepare_s for shard in shards]),
        load_s=_mean([shard.load_s for shard in shards]),
        warmup_s=_mean([shard.warmup_s for shard in shards]),
        cpu_s=_sum([shard.cpu_s for shard in shards]),
        peak_memory_bytes=_most([shard.peak_memory_bytes for shard in shards]),
        gpu_memory_bytes=_most([shard.gpu_memory_bytes for shard in shards]),
        window=Window(start_s=0.0, end_s=end_s),
        audit=audit,
        workload=first.workload,
        starved_s=_sum([shard.starved_s for shard in shards]),
        utterances=utterances,
        shards=shards,
        apart=apart,
    )


def _in_order(shards: Sequence[TrialFacts]) -> tuple[tuple[UtteranceResult, ...], float]:
    """All utterances in the corpus's order, each shard's window behind the one before; and where the last one ends."""
    utterances: list[UtteranceResult] = []
    at_s = 0.0
    for shard in shards:
        if shard.window is None:
            continue
        shift_s = at_s - shard.window.start_s
        utterances += (replace(u, start_s=u.start_s + shift_s, end_s=u.end_s + shift_s) for u in shard.utterances)
        at_s += shard.window.duration_s
    return tuple(sorted(utterances, key=lambda one: one.position or 0)), at_s


def _heard(rows: Sequence[Heard]) -> tuple[Heard, ...]:
    """A corpus under a condition in one row; there is no digest of parts, since a digest is of samples in one stream."""
    speech: dict[tuple[str, str], list[Heard]] = {}
    for row in dict.fromkeys(rows):
        speech.setdefault((row.corpus, _plain(row.condition) or ""), []).append(row)
    return tuple(
        replace(parts[0], condition=name)
        if len(parts) == 1
        else Heard(
            corpus=corpus,
            condition=name,
            digest="",
            utterances=sum(part.utterances for part in parts),
            audio_s=sum(part.audio_s for part in parts),
            scaled_utterances=_sum([part.scaled_utterances for part in parts]),
            scale_min=min((part.scale_min for part in parts if part.scale_min is not None), default=None),
        )
        for (corpus, name), parts in speech.items()
    )


def _plain(condition: str | None) -> str | None:
    """The condition of what `Trial.speech` calls a part."""
    return condition if condition is None else Part.unnamed(condition)


def summed(readings: Sequence[Reading]) -> Reading:
    """Joules of all shards; their intervals add up, for a sensor's error may be the same in all. Unavailable where one is."""
    missing = next((reading for reading in readings if reading.energy_j is None), None)
    if missing is not None or len({(reading.evidence, reading.covers) for reading in readings}) > 1:
        reason = "its parts were measured differently" if missing is None else f"a part has no figure: {missing.reason}"
        return Reading.unavailable(reason=reason, window_s=sum(reading.window_s for reading in readings))
    return replace(
        readings[0],
        energy_j=_sum([reading.energy_j for reading in readings]),
        energy_ci95_j=_ends([reading.energy_ci95_j for reading in readings]),
        idle_j=_sum([reading.idle_j for reading in readings]),
        net_j=_sum([reading.net_j for reading in readings]),
        net_ci95_j=_ends([reading.net_ci95_j for reading in readings]),
        samples=sum(reading.samples for reading in readings),
        window_s=sum(reading.window_s for reading in readings),
        reason="; ".join(dict.fromkeys(reading.reason for reading in readings if reading.reason)) or None,
    )


def _ends(intervals: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [interval for interval in intervals if interval is not None]
    return (sum(low for low, _ in known), sum(high for _, high in known)) if len(known) == len(intervals) else None


Number = TypeVar("Number", int, float)


def _sum(values: Sequence[Number | None]) -> Number | None:
    there = [value for value in values if value is not None]
    return sum(there) if there and len(there) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _most(values: Sequence[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)
