"""Made-up configurations whose every answer is known: what a race should find, without a recognizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from wattscribe.records import RecognizerSpec
from wattscribe.results.tuned import TuningLimits
from wattscribe.runs.part import PartEntry
from wattscribe.scoring import ErrorCounts
from wattscribe.tuning.observed import Floats, Observed
from wattscribe.tuning.partition import Partition, split
from wattscribe.tuning.space import Configuration, key_of


def configuration(**settings: str) -> Configuration:
    spec = RecognizerSpec(runtime="fake", model=settings.pop("model", "a"), options=settings)
    label = " ".join([spec.model, *(f"{name}={value}" for name, value in settings.items())])
    return Configuration(key=key_of(spec, None), label=label, recognizer=spec, mode=None)


@dataclass(kw_only=True)
class World:
    """Arrays of shape (configurations, utterances); `measure` shows what lies in a part, with the noise of a measurement."""

    configurations: list[Configuration]
    errors: Floats
    cost: Floats
    latency_s: Floats
    words: Floats
    audio_s: Floats
    speakers: tuple[str, ...]
    memory: list[int]
    noise: float
    seed: int
    transcribed_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    @cached_property
    def partition(self) -> Partition:
        return split(len(self.words), seed=self.seed)

    def inside(self, part: PartEntry) -> list[int]:
        taken = part.part()
        return [at for at in range(len(self.words)) if taken.holds(at)]

    @cached_property
    def searched(self) -> list[int]:
        return [at for part in self.partition.searched for at in self.inside(part)]

    def measure(
        self, stage: str, configurations: Sequence[Configuration], part: PartEntry, repeats: int
    ) -> Mapping[str, Observed | str]:
        self.asked.append(stage)
        rows, places = {each.key: at for at, each in enumerate(self.configurations)}, self.inside(part)
        draw = np.random.default_rng([self.seed, len(self.asked)])
        self.transcribed_s += float(self.audio_s[places].sum()) * repeats * len(configurations)
        return {
            each.key: self.seen(rows[each.key], places, float(np.exp(self.noise * draw.standard_normal())))
            for each in configurations
        }

    def seen(self, row: int, places: Sequence[int], off: float = 1.0) -> Observed:
        there = np.asarray(places)
        none = np.zeros(len(there))
        counts = ErrorCounts(
            substitutions=self.errors[row, there], deletions=none, insertions=none, words=self.words[there],
            character_errors=none, characters=self.words[there],
        )  # fmt: skip
        total = float(self.cost[row, there].sum()) * off
        return Observed(
            ids=tuple(f"u{at}" for at in there),
            speakers=tuple(self.speakers[at] for at in there),
            counts=counts,
            audio_s=self.audio_s[there],
            cost=self.cost[row, there] * off,
            latency_s=self.latency_s[row, there],
            peak_memory_bytes=self.memory[row],
            kind=("simulated", "made up"),
            cost_ci95=(total * (1 - 2 * self.noise), total * (1 + 2 * self.noise)),
            cost_log_sd=self.noise,
            work_s=total,
        )

    def holds(self, row: int, places: Sequence[int], limits: TuningLimits) -> bool:
        from wattscribe.tuning.chances import overshoot

        return overshoot(self.seen(row, places), limits) <= 1

    def rate(self, row: int) -> float:
        """Its cost per second of all speech, without noise."""
        return float(self.cost[row].sum() / self.audio_s.sum())


def world(seed: int, *, utterances: int = 400, speakers: int = 12, noise: float = 0.02) -> World:
    """60 configurations of 5 models with precisions, beams and threads that change errors and cost as such settings do."""
    draw = np.random.default_rng(seed)
    words = 1.0 + draw.poisson(9, utterances)
    audio_s = words * draw.gamma(40, 1 / 100, utterances)
    of = draw.integers(0, speakers, utterances)
    hard = draw.lognormal(0, 0.6, utterances) * draw.lognormal(0, 0.3, speakers)[of]
    configurations, memory = list[Configuration](), list[int]()
    errors, costs, latencies = list[Floats](), list[Floats](), list[Floats]()
    for model in "abcde":
        base_wer, base_cost = draw.uniform(0.05, 0.3), draw.lognormal(0, 0.8)
        for precision, (worse, cheaper) in {
            "fp32": (1.0, 1.0),
            "int8": (draw.uniform(1.0, 1.3), draw.uniform(0.4, 0.9)),
        }.items():
            for beam in ("1", "4", "8"):
                better, dearer = draw.uniform(0.85, 1.0) if beam != "1" else 1.0, 1 + 0.15 * (int(beam) - 1)
                for threads in ("1", "2"):
                    more = draw.uniform(0.95, 1.3) if threads == "2" else 1.0
                    configurations.append(configuration(model=model, precision=precision, beam=beam, threads=threads))
                    share = np.clip(base_wer * worse * better * hard, 0, 0.95)
                    # the two thread counts answer alike
                    errors.append(
                        errors[-1] if threads == "2" else draw.binomial(words.astype(int), share).astype(float)
                    )
                    costs.append(base_cost * cheaper * dearer * more * audio_s * draw.lognormal(0, 0.1, utterances))
                    latencies.append(0.1 * base_cost * audio_s / int(threads))
                    memory.append(int(1e8 * draw.uniform(0.5, 2)))
    return World(
        configurations=configurations, errors=np.array(errors), cost=np.array(costs), latency_s=np.array(latencies),
        words=words.astype(np.float64), audio_s=audio_s, speakers=tuple(f"s{one}" for one in of), memory=memory, noise=noise,
        seed=seed,
    )  # fmt: skip
