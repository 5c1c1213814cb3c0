"""Does a tuning find what trying everything finds? `python -m benchmarks.tuning [RECORDING]`.

60 configurations of real recognizers transcribe all of the bundled speech once, as an ordinary bench (RECORDING: its
directory, made if it is not there, gone on with if it was broken off). Then the race is run over what they showed, for many
partitions of the speech, and its choice is set against the best of all. Joules are a simulated board's (Jetson Orin Nano's
constants): counted work where it is counted, else watts per busy core, and the board's idle power for the processor time that
a configuration takes, so that other work on the machine that recorded it is in none of them. Each stage's joules are off by
NOISE, as two measurements of one thing are.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.journal import holds_run, read_run
from wattscribe.records import Counts, RecognizerSpec, TrialFacts
from wattscribe.results.groups import Group, group, take
from wattscribe.results.tuned import TuningLimits
from wattscribe.runs.part import PartEntry
from wattscribe.runs.runner import run
from wattscribe.testing.board import kind_of
from wattscribe.testing.work import joules_of
from wattscribe.tuning import race as racing
from wattscribe.tuning.chances import overshoot
from wattscribe.tuning.observed import Observed
from wattscribe.tuning.partition import Partition, split
from wattscribe.tuning.space import Configuration, Space, key_of, read

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
ZIPFORMER = SHARED / "models/zipformer-gigaspeech-3.3m"
BOARD = kind_of("orin-nano")
PARTITIONS, FIRST = 40, 100
"""Partitions 0 to 39 were looked at when the rule was made, so it is judged on others (of the same speech)."""
NOISE = 0.02
BUDGET = 0.25
WITHIN = 0.03
OFTEN = 0.9
"""Of the races that return one: so many are within WITHIN."""
LIMITS = (0.22, 0.25, 0.30)
"""WER; the race is run for each."""
PENALTIES = [0, 1]
BEAMS: dict[str, Any] = {"decoding": "beam", "beam": [2, 4, 8], "blank_penalty": PENALTIES}
BY_FRAME = {"frame_by_frame": [False, True]}
SPACE: dict[str, Any] = {
    "data": ["bundled"],
    "idle_s": 0.0,
    "models": [
        {"model": "reference", "precision": ["fp16", "int8"], "threads": [1, 2], "options": BY_FRAME},
        {"model": "reference", "precision": ["fp16", "int8"], "batch_size": [4, 8]},
        {"model": "reference", "precision": ["fp16", "int8"], "options": BEAMS},
        {"model": "sherpa:reference", "precision": ["fp16", "int8"], "options": {"blank_penalty": PENALTIES}},
        {"model": "sherpa:reference", "precision": ["fp16", "int8"], "options": BEAMS},
        {"model": f"onnx:{ZIPFORMER}", "threads": [1, 2], "options": BY_FRAME},
        {"model": f"onnx:{ZIPFORMER}", "batch_size": 4},
        {"model": f"onnx:{ZIPFORMER}", "options": BEAMS},
        {"model": f"sherpa:{ZIPFORMER}", "options": {"blank_penalty": PENALTIES}},
        {"model": f"sherpa:{ZIPFORMER}", "options": BEAMS},
        {"model": "pocketsphinx:en-us"},
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Every configuration's answers, which the race is shown in part."""

    configurations: tuple[Configuration, ...]
    whole: Mapping[str, Observed]
    """By key: all utterances, in one order, with the board's joules."""

    @classmethod
    def of(cls, chosen: Space, out: Path) -> Recorded:
        """From a recording that has a verdict for every configuration."""
        seen: dict[str, Observed] = {}
        for one in group(read_run(out), normaliser=chosen.experiment.normaliser, resamples=1):
            if one.scored is None:
                raise RuntimeError(f"{one.label}: {one.trials[0].reason}")
            seen[_wherever(one.recognizer)] = _as_on_the_board(one.done[0], one)
        there = {each.key: seen[_wherever(each.recognizer)] for each in chosen.configurations}
        return cls(configurations=chosen.configurations, whole=there)

    def inside(self, key: str, part: PartEntry) -> Observed:
        taken, one = part.part(), self.whole[key]
        at = [place for place in range(len(one.ids)) if taken.holds(place)]
        return replace(
            one,
            ids=tuple(one.ids[place] for place in at),
            speakers=tuple(one.speakers[place] for place in at),
            counts=take(replace(one.counts, alignments=((),) * one.counts.utterances), at),
            audio_s=one.audio_s[at],
            cost=one.cost[at],
            latency_s=one.latency_s[at],
        )


def _wherever(spec: RecognizerSpec) -> str:
    """A recognizer's key whatever folder its model lay in when it was recorded."""
    return key_of(replace(spec, model=Path(spec.model).name), None)


def _as_on_the_board(trial: TrialFacts, one: Group) -> Observed:
    """What it took, were it run on the board with nothing beside it: the idle power for its processor time, shared by its
    threads, and what its work costs on top."""
    if one.scored is None:
        raise ValueError("nothing was scored")
    results = {result.id: result for result in trial.utterances}
    spec, ordered = trial.trial.recognizer, [results[name] for name in one.scored.ids]
    cpu_s = np.array([result.cpu_s or 0.0 for result in ordered])
    counted = [result.counts for result in ordered if result.counts is not None]
    work_j = BOARD.core_w * float(cpu_s.sum())
    if len(counted) == len(ordered):
        work_j = joules_of(spec, sum(counted, Counts()), BOARD.constants)
    joules = BOARD.idle_w * cpu_s / spec.threads + work_j * cpu_s / cpu_s.sum()
    return Observed(
        ids=one.scored.ids,
        speakers=one.scored.speakers,
        counts=one.scored.counts,
        audio_s=np.array([result.audio_s for result in ordered]),
        cost=joules,
        latency_s=cpu_s / spec.threads,
        peak_memory_bytes=trial.peak_memory_bytes,
        kind=("simulated", "the board, at the recorded processor time"),
    )


@dataclass(slots=True, kw_only=True)
class Shown:
    """Measures by looking into the recording, NOISE off each time."""

    recorded: Recorded
    draw: np.random.Generator
    audio_s: float = 0.0

    def __call__(
        self, stage: str, configurations: Sequence[Configuration], part: PartEntry, repeats: int
    ) -> Mapping[str, Observed | str]:
        answers: dict[str, Observed | str] = {}
        for each in configurations:
            one = self.recorded.inside(each.key, part)
            self.audio_s += float(one.audio_s.sum()) * repeats
            off = math.exp(NOISE / math.sqrt(repeats) * self.draw.standard_normal())
            total = float(one.cost.sum()) * off
            interval = (total * (1 - 2 * NOISE), total * (1 + 2 * NOISE))
            answers[each.key] = replace(one, cost=one.cost * off, cost_ci95=interval, cost_log_sd=NOISE, work_s=total)
        return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One race against trying everything."""

    share: float
    """Of the audio that all configurations take on the speech of the search; the proof's is in it."""
    over_best: float | None
    """What the choice takes over what trying everything returns; None: one of them returns none."""
    returned: bool
    exists: bool
    """Whether trying everything returns one."""
    holds: bool
    """Whether what was returned holds on the held-back speech; true where none was."""


def exhaustive(recorded: Recorded, partition: Partition, limits: TuningLimits) -> str | None:
    """What trying everything returns by the same rule: all transcribe all speech of the search, at no noise, and of those that
    hold the limits there the cheapest that holds them on what is held back. The proof has no bound on how many it tries."""
    searched = PartEntry(of=partition.held_back.of, taken=sorted(r for part in partition.searched for r in part.taken))
    kept = [
        each.key
        for each in recorded.configurations
        if all(overshoot(recorded.inside(each.key, part), limits) <= 1 for part in (searched, partition.held_back))
    ]
    return min(kept, key=lambda key: recorded.whole[key].rate or math.inf, default=None)


def race_once(recorded: Recorded, limit: float, seed: int) -> Outcome:
    limits = TuningLimits(max_wer=limit)
    partition = split(len(next(iter(recorded.whole.values())).ids), seed=seed)
    shown = Shown(recorded=recorded, draw=np.random.default_rng([seed, round(1000 * limit)]))
    race = racing.run(recorded.configurations, partition, shown, limits, budget=BUDGET, seed=seed, repeats=3)
    best, key = exhaustive(recorded, partition, limits), race.chosen
    rates = {each: one.rate or math.inf for each, one in recorded.whole.items()}
    first = next(iter(recorded.whole))
    searched_s = sum(float(recorded.inside(first, part).audio_s.sum()) for part in partition.searched)
    return Outcome(
        share=shown.audio_s / len(recorded.configurations) / searched_s,
        over_best=None if key is None or best is None else rates[key] / rates[best] - 1,
        returned=key is not None,
        exists=best is not None,
        holds=key is None or overshoot(recorded.inside(key, partition.held_back), limits) <= 1,
    )


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`within_3_percent`: of the races in which trying everything returns one; one that returns none is not within."""
    over = [each.over_best for each in outcomes if each.over_best is not None]
    there = sum(each.exists for each in outcomes)
    return {
        "races": len(outcomes),
        "trying_everything_returns_one": there,
        "share_of_audio_mean": float(np.mean([each.share for each in outcomes])),
        "share_of_audio_max": max(each.share for each in outcomes),
        "none_returned_though_one_holds": sum(each.exists and not each.returned for each in outcomes),
        "within_3_percent": sum(each <= WITHIN for each in over) / there if there else None,
        "over_best_median": float(np.median(over)) if over else None,
        "over_best_p90": float(np.percentile(over, 90)) if over else None,
        "breaks_a_limit_on_held_back": sum(not each.holds for each in outcomes),
    }


def measure(out: Path) -> dict[str, Any]:
    """Record what is not recorded yet, then race."""
    chosen = read(SPACE)
    if not (holds_run(out) and all(trial.status == "done" for trial in read_run(out).trials)):
        run(chosen.experiment, out, resume=holds_run(out))
    recorded = Recorded.of(chosen, out)
    by_limit = {
        f"WER {100 * limit:g} %": [race_once(recorded, limit, seed) for seed in range(FIRST, FIRST + PARTITIONS)]
        for limit in LIMITS
    }
    every = summary([one for outcomes in by_limit.values() for one in outcomes])
    rates = [one.rate or 0.0 for one in recorded.whole.values()]
    return {
        "configurations": len(recorded.configurations),
        "audio_s": float(next(iter(recorded.whole.values())).audio_s.sum()),
        "j_per_audio_s": [min(rates), max(rates)],
        "wer": [min(one.wer for one in recorded.whole.values()), max(one.wer for one in recorded.whole.values())],
        "noise": NOISE,
        "by_limit": {name: summary(outcomes) for name, outcomes in by_limit.items()},
        "all": every,
        "within": (every["within_3_percent"] or 0.0) >= OFTEN
        and every["share_of_audio_max"] <= BUDGET
        and not every["breaks_a_limit_on_held_back"],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(sys.argv[1]) if sys.argv[1:] else Path(folder) / "recording"), indent=1))
