"""Which speech the search may use, part by part, and which is kept for the proof: each part evenly from all of it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.corpora import conditioned, open_corpus
from wattscribe.errors import InputError
from wattscribe.runs.experiment import Experiment
from wattscribe.runs.part import PartEntry

HELD_BACK = 0.25
"""Of all utterances: for the proof."""
PARTS = (0.1, 0.2, 0.3, 0.4)
"""Of the rest: little where there are many configurations, most where there are few."""
MOST_PARTS = 64
GOLDEN = (math.sqrt(5) - 1) / 2
FEWEST = 20
"""Utterances: below, the first stage would have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Parts that share no utterance and make up all of the speech."""

    searched: tuple[PartEntry, ...]
    held_back: PartEntry
    utterances: int

    @property
    def parts(self) -> tuple[PartEntry, ...]:
        """The held-back one last."""
        return *self.searched, self.held_back

    @property
    def counts(self) -> tuple[int, ...]:
        """Utterances of each of `parts`."""
        of = self.held_back.of
        return tuple(sum(len(range(each, self.utterances, of)) for each in part.taken) for part in self.parts)


def of_experiment(experiment: Experiment) -> Partition:
    """Raises InputError where a corpus has too few utterances to search on some and prove on others."""
    counts = {name: _entries(name, experiment) for name in dict.fromkeys(experiment.data)}
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < FEWEST:
        raise InputError(
            f"{fewest} utterances are too few to choose on some and prove on others",
            where=name,
            fix=f"Take {FEWEST} or more",
        )
    return split(fewest, seed=experiment.seed)


def split(utterances: int, *, seed: int) -> Partition:
    """Remainders of an utterance's position in steps of the golden ratio, from a start that is drawn: however few of them lie in
    a part, they come from all over the corpus, which is mostly sorted by speaker."""
    of = min(MOST_PARTS, utterances)
    step = min((n for n in range(1, of) if math.gcd(n, of) == 1), key=lambda n: abs(n - GOLDEN * of))
    start = random.Random(seed).randrange(of)
    drawn = [(start + step * at) % of for at in range(of)]
    kept = max(2, round(HELD_BACK * of))
    rest = drawn[kept:]
    ends = [round(sum(PARTS[: at + 1]) * len(rest)) for at in range(len(PARTS))]
    return Partition(
        utterances=utterances,
        searched=tuple(_part(of, rest[start:end]) for start, end in zip([0, *ends], ends, strict=False)),
        held_back=_part(of, drawn[:kept]),
    )


def _part(of: int, taken: Sequence[int]) -> PartEntry:
    return PartEntry(of=of, taken=sorted(taken))


def _entries(name: str, experiment: Experiment) -> int:
    corpus = conditioned(open_corpus(name), experiment.all_conditions()[0])
    count = sum(1 for _ in corpus)
    return count if experiment.limit is None else min(count, experiment.limit)
