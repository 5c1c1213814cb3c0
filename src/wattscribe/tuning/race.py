"""The race: stage by stage more speech for fewer configurations, until the few that are left have transcribed all of it.

After each stage a configuration goes on that has a chance to be the cheapest which holds the limits; one that has none is
dropped, however many places there are, and of the others the least promising where there are too few places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wattscribe.results.tuned import TuningLimits
from wattscribe.runs.part import PartEntry
from wattscribe.tuning.chances import FIRST_NOISE, Chance, chances, overshoot, run_noise
from wattscribe.tuning.observed import Observed, joined
from wattscribe.tuning.partition import STAGES, Partition
from wattscribe.tuning.space import Configuration

SPENDING = (0.5, 0.2, 0.13, 0.17)
"""How the stages share the audio; with STAGES, a budget of a quarter begins with every configuration and ends with three."""
FOR_THE_PROOF = 0.2
"""Of the budget: for the proof."""
FEWEST = 2
"""Configurations that every stage keeps: what is held back may speak against the first."""
CERTAIN = 0.005
"""Below this chance to be the best a configuration is dropped, however many places there are."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Who left the race, after which stage (from 1), and why."""

    stage: int
    reason: str
    chance: Chance | None = None


@dataclass(slots=True, kw_only=True)
class Race:
    """What is known so far. `order`: those in the race, the most promising first."""

    limits: TuningLimits
    seed: int
    stages: list[dict[str, Observed]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Configurations that each stage measured."""
    dropped: dict[str, Dropped] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    found: dict[str, Chance] = field(default_factory=dict)
    noise: float = FIRST_NOISE

    def seen(self, key: str) -> Observed:
        """All that a configuration showed, over its stages."""
        return joined([stage[key] for stage in self.stages if key in stage], noise=self.noise)

    def add(self, answers: Mapping[str, Observed | str]) -> None:
        """One stage's answers; who failed is out."""
        self.stages.append({key: one for key, one in answers.items() if isinstance(one, Observed)})
        self.sizes.append(len(answers))
        for key, why in answers.items():
            if isinstance(why, str):
                self.dropped[key] = Dropped(stage=len(self.stages), reason=f"failed: {why}")
        self.noise = run_noise(self.stages)
        here = {key: self.seen(key) for key in self.stages[-1]}
        self.found = chances(here, self.limits, seed=self.seed + len(self.stages)) if here else {}
        self.order = sorted(self.found, key=lambda key: self.found[key].order)

    def keep(self, places: int) -> None:
        """Drop who has no chance, and the least promising beyond `places`."""
        stage, kept = len(self.stages), []
        for at, key in enumerate(self.order):
            chance = self.found[key]
            if at < FEWEST or (at < places and chance.best >= CERTAIN):
                kept.append(key)
            else:
                self.dropped[key] = Dropped(stage=stage, reason=self._why(key, chance), chance=chance)
        self.order = kept

    def ranked(self) -> list[str]:
        """Who may be proven, of those that hold the limits: finalists by cost, then the dropped, latest first."""
        cost = {key: self.seen(key).rate for key in {*self.order, *self.dropped} if any(key in s for s in self.stages)}
        known = {
            key: rate for key, rate in cost.items() if rate is not None and overshoot(self.seen(key), self.limits) <= 1
        }
        finalists = sorted((key for key in self.order if key in known), key=lambda key: known[key])
        others = sorted(
            (key for key in known if key not in finalists), key=lambda key: (-self.dropped[key].stage, known[key])
        )
        return finalists + others

    def _why(self, key: str, chance: Chance) -> str:
        if chance.holds < CERTAIN:
            return "breaks a limit"
        if chance.best < CERTAIN:
            return "certainly not the cheapest that holds the limits"
        return f"no place left: {100 * chance.best:.1f} % likely the best"


def places(configurations: int, budget: float) -> tuple[int, ...]:
    """How many configurations each stage takes, for a budget that is a share of what trying all would transcribe."""
    audio = budget * configurations * (1 - FOR_THE_PROOF)
    counts, before = [], configurations
    for spending, stage in zip(SPENDING, STAGES, strict=True):
        before = min(before, max(FEWEST, int(audio * spending / stage + 1e-9)))
        counts.append(before)
    return tuple(counts)


def run(
    configurations: Sequence[Configuration],
    partition: Partition,
    measure: Measure,
    limits: TuningLimits,
    *,
    budget: float,
    seed: int,
    sampler: Sampler | None = None,
    waves: int = 3,
    after: Callable[[Race], None] = lambda _: None,
) -> Race:
    """All stages. `sampler` chooses who enters where there are fewer places than configurations, in waves of which each knows
    what the one before showed; `after` is told of each stage."""
    counts = places(len(configurations), budget)
    race = Race(limits=limits, seed=seed)
    by_key = {each.key: each for each in configurations}
    for stage, part in enumerate(partition.stages):
        if stage == 0:
            race.add(_enter(configurations, counts[0], part, measure, sampler, waves))
        else:
            race.add(measure(f"stage-{stage + 1}", [by_key[key] for key in race.order], part, 1))
        if not race.order:
            break
        race.keep(counts[stage + 1] if stage + 1 < len(counts) else len(race.order))
        after(race)
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
