"""The race: more speech for whoever may be the best, until the cheapest that holds the limits has shown it on held-back speech.

Every stage is a bench of some configurations on one part of the speech. After each, `chances` says how likely each configuration
is the cheapest that holds the limits; the audio goes to those that may be, and in time to the proof of whoever has heard all
that is searched on. What is certain takes no audio, and nobody is dropped for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wattscribe.results.tuned import Proof, TuningLimits
from wattscribe.runs.part import PartEntry
from wattscribe.tuning.chances import FIRST_NOISE, Chance, chances, overshoot, run_noise
from wattscribe.tuning.observed import Observed, joined
from wattscribe.tuning.partition import PARTS, Partition
from wattscribe.tuning.proof import proof_of
from wattscribe.tuning.space import Configuration

FIRST_STAGE = 0.4
"""Of the budget: so that a quarter of the audio lets every configuration transcribe the first tenth of the speech."""
ROUND = 1 / 2
"""Of the audio that is left: one stage. More of them know more, but each is a bench with its waits."""
FEWEST = 2
"""Configurations that may be searched on all and proven whatever the budget: a space of few is raced, too."""
TOGETHER = 2
"""Proven in turn in one bench, so that two that may both be the best stand beside each other under the same conditions."""
MOST_TRIED = 5
"""On the held-back speech: with every further one the chance grows that one holds by luck."""
UNLIKELY = 0.02
"""Below this chance to be the best a configuration gets no audio, and is said to be certainly not the best."""
UNDECIDED = 0.05
"""Below this chance, together, of all that were not proven the one that was proven is taken."""


class Measure(Protocol):
    """Measures configurations on a part of the speech: a bench, on this machine or others, or what was recorded of one."""

    def __call__(
        self, stage: str, configurations: Sequence[Configuration], part: PartEntry, repeats: int
    ) -> Mapping[str, Observed | str]:
        """By key what was seen, or why there is nothing. The same stage asked again gives the same answer."""
        ...


class Sampler(Protocol):
    """Chooses which configurations enter the race, where there are more than places."""

    def ask(self, count: int) -> list[Configuration]: ...

    def tell(self, seen: Mapping[str, Observed | str]) -> None: ...


@dataclass(slots=True, kw_only=True)
class Race:
    """What is known so far."""

    configurations: Mapping[str, Configuration]
    partition: Partition
    limits: TuningLimits
    budget: float
    seed: int
    repeats: int
    shown: dict[str, list[Observed | None]] = field(default_factory=dict)
    """By key, part by part, the held-back one last."""
    sizes: list[int] = field(default_factory=list)
    """Configurations that each stage measured."""
    last: dict[str, int] = field(default_factory=dict)
    """The last stage (from 1) that measured a configuration."""
    failed: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    """In the order in which they were tried."""
    found: dict[str, Chance] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """Who has not failed, the most promising first."""
    noise: float = FIRST_NOISE
    spent_s: float = 0.0
    """Of audio."""

    @property
    def chosen(self) -> str | None:
        """The cheapest of those that were proven, on all that they transcribed."""
        holding = [key for key, proof in self.proofs.items() if proof.holds]
        return min(holding, key=lambda key: self.found[key].cost, default=None)

    def seen(self, key: str) -> Observed:
        """All that a configuration showed on the speech of the search."""
        return joined([one for one in self.shown[key][:-1] if one is not None], noise=self.noise)

    def complete(self, key: str) -> bool:
        """Whether it has transcribed all speech of the search."""
        return all(one is not None for one in self.shown[key][:-1])

    def add(self, part: int, answers: Mapping[str, Observed | str], repeats: int = 1) -> None:
        """One stage's answers; who failed is out."""
        self.sizes.append(len(answers))
        for key, one in answers.items():
            self.last[key] = len(self.sizes)
            if isinstance(one, str):
                self.failed[key] = one
                self.spent_s += repeats * self.part_s(part)
                continue
            self.shown.setdefault(key, [None] * len(self.partition.parts))[part] = one
            self.spent_s += repeats * float(one.audio_s.sum())
            if part == len(self.partition.parts) - 1:
                self.proofs[key] = proof_of(self.configurations[key], one, self.limits, repeats=repeats, seed=self.seed)
        racing = {key: shown for key, shown in self.shown.items() if key not in self.failed}
        self.noise = run_noise(list(racing.values()))
        counts, seed = self.partition.counts, self.seed + len(self.sizes)
        self.found = chances(racing, counts, self.limits, noise=self.noise, seed=seed)
        self.order = sorted(self.found, key=lambda key: self.found[key].order)

    def part_s(self, part: int) -> float:
        """Audio of a part; before anybody has transcribed it, as much as its utterances take elsewhere."""
        heard = [next((row[at] for row in self.shown.values() if row[at] is not None), None) for at in range(part + 1)]
        if (one := heard[part]) is not None:
            return float(one.audio_s.sum())
        known = [one for one in heard if one is not None]
        mean_s = sum(float(one.audio_s.sum()) for one in known) / max(1, sum(len(one.ids) for one in known))
        return mean_s * self.partition.counts[part]

    @property
    def searched_s(self) -> float:
        """Audio that one configuration transcribes when it is searched on all."""
        return sum(map(self.part_s, range(len(self.partition.searched))))

    @property
    def left_s(self) -> float:
        """Of the budget, which lets FEWEST configurations transcribe all and be proven, however small it is."""
        least_s = self.sizes[0] * self.part_s(0)
        least_s += FEWEST * (self.searched_s + self.repeats * self.part_s(len(self.partition.searched)))
        return max(self.budget * len(self.configurations) * self.searched_s, least_s) - self.spent_s

    def next_stage(self) -> tuple[int, list[str]] | None:
        """Which part, and who transcribes it: the most promising the part that it lacks, with those of the others that lack the
        same, as many as the audio allows. None: the race is over."""
        likely = [key for key in self.order if self.found[key].best >= UNLIKELY and self._may_go_on(key)]
        doubt = sum(self.found[key].best for key in self.order if key not in self.proofs)
        if not likely or len(self.proofs) >= MOST_TRIED or (self.chosen is not None and doubt < UNDECIDED):
            return None
        held_back = len(self.partition.searched)
        proof_s = self.repeats * self.part_s(held_back)
        for first in likely:
            part = self.shown[first].index(None)
            if part == held_back:
                count = min(TOGETHER, MOST_TRIED - len(self.proofs), int(self.left_s / proof_s))
            else:
                left_s, each_s = self.left_s - proof_s, self.part_s(part)
                count = max(int(ROUND * left_s / each_s), int(left_s >= each_s))
            if count:
                return part, [key for key in likely if self.shown[key].index(None) == part][:count]
        return None

    def _may_go_on(self, key: str) -> bool:
        """Whether there is speech that it has not transcribed, and it held the limits if only the proof is left."""
        return key not in self.proofs and (not self.complete(key) or overshoot(self.seen(key), self.limits) <= 1)


def entrants(configurations: int, budget: float) -> int:
    """How many configurations transcribe the first part, for a budget that is a share of what trying all would transcribe."""
    return min(configurations, max(FEWEST, int(budget * configurations * FIRST_STAGE / PARTS[0] + 1e-9)))


def run(
    configurations: Sequence[Configuration],
    partition: Partition,
    measure: Measure,
    limits: TuningLimits,
    *,
    budget: float,
    seed: int,
    repeats: int,
    sampler: Sampler | None = None,
    waves: int = 3,
    after: Callable[[Race], None] = lambda _: None,
) -> Race:
    """All stages. `sampler` chooses who enters where there are fewer places than configurations, in waves of which each knows
    what the one before showed; `repeats`: of the proof; `after` is told of each stage."""
    by_key = {each.key: each for each in configurations}
    race = Race(configurations=by_key, partition=partition, limits=limits, budget=budget, seed=seed, repeats=repeats)
    race.add(0, _enter(configurations, entrants(len(by_key), budget), partition.searched[0], measure, sampler, waves))
    taken = {"stage": 1, "proof": 0}
    while race.order:
        after(race)
        if (stage := race.next_stage()) is None:
            break
        part, keys = stage
        kind = "proof" if part == len(partition.searched) else "stage"
        taken[kind] += 1
        times = repeats if kind == "proof" else 1
        race.add(
            part, measure(f"{kind}-{taken[kind]}", [by_key[key] for key in keys], partition.parts[part], times), times
        )
    return race


def _enter(
    configurations: Sequence[Configuration],
    count: int,
    part: PartEntry,
    measure: Measure,
    sampler: Sampler | None,
    waves: int,
) -> dict[str, Observed | str]:
    """The first stage."""
    if count >= len(configurations):
        return dict(measure("stage-1", configurations, part, 1))
    if sampler is None:
        raise ValueError("more configurations than places need a sampler")
    seen: dict[str, Observed | str] = {}
    for wave in range(waves):
        asked = sampler.ask(count * (wave + 1) // waves - len(seen))
        if asked:
            answers = measure(f"stage-1-{wave + 1}", asked, part, 1)
            sampler.tell(answers)
            seen.update(answers)
    return seen
