"""Held-back speech has the last word on what a strategy chose; and what its choosing is expected to have flattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wattscribe.compression import sets
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.recipe import Done
from wattscribe.compression.strategies import Outcome, kept
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError

MOST = 8
"""Recipes that are decoded on the held-back part to see what choosing flattered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How the result came to be chosen; WER as fractions."""

    chosen: sets.Change
    confirmed: sets.Change | None
    by: str | None
    """What was held back whole: `speaker` or `utterance`."""
    optimism: float | None
    """Mean over the recipes that held: WER added on the held-back part − on the choosing part."""
    recipes: int
    bound: float
    """What the best of as many recipes as were judged by their text may owe to chance, at most, on average."""

    @property
    def note(self) -> str:
        """In one sentence."""
        chosen = f"Chosen on {self.chosen.utterances} utterances (WER {_points(self.chosen.increase)} points)"
        bound = f"choosing by chance alone explains up to {100 * self.bound:.2f} points"
        if self.confirmed is None or self.optimism is None:
            return f"{chosen}, none held back: too few to be parted. On other speech expect more: {bound}."
        return (
            f"{chosen}, confirmed on {self.confirmed.utterances} that were held back by {self.by} "
            f"({_points(self.confirmed.increase)} points). Expected optimism {_points(self.optimism)} points, the mean of "
            f"{self.recipes} recipe{'' if self.recipes == 1 else 's'} that held; {bound}."
        )


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"


def confirmed(bench: Workbench, outcome: Outcome) -> Outcome:
    """The strongest of the recipes that held which holds on the held-back part too; the steps beyond it are taken back."""
    held = bench.held
    if held is None:
        return outcome
    whys: list[str] = []
    stages = (tuple(entry for entry in outcome.done if entry.kept), *outcome.fallbacks)
    for number, stage in enumerate(stages, start=1):
        change = sets.confirmed(bench, bench.build(kept(stage)))
        if change is None:
            return outcome
        bench.say(f"{held.confirm.name}: {change.summary}")
        if change.holds or number == len(stages):
            break
        whys.append(change.summary)
    if not whys:
        return outcome
    back = _taken_back(outcome.done, stage, f"reverted: with it, on the held-back part, {whys[0]}")
    note = f"Steps were taken back {len(whys)} times, until the limit held on the held-back part: there {whys[0]} at first."
    return replace(outcome, done=back, notes=(*outcome.notes, note.replace("1 times", "once")), fallbacks=())


def _taken_back(done: Sequence[Done], stage: Sequence[Done], why: str) -> tuple[Done, ...]:
    """The steps of `stage`, then all the others with the reason why they went."""
    mine = {entry.step.key for entry in stage}
    gone = [
        replace(entry, kept=False, reason=f"{why}; it went: {entry.reason}") if entry.kept else entry
        for entry in done
        if entry.step.key not in mine
    ]
    return (*stage, *gone)


def selection(bench: Workbench, result: Candidate) -> Selection:
    """What to say of how the result was chosen: recipes that were decoded on all that may be chosen on, and held there."""
    full = [recipe for recipe in bench.tried if recipe.on == "full"]
    chosen, there = sets.change(bench, result), sets.confirmed(bench, result)
    candidates = {result.digest: result}
    if there is not None:
        for recipe in sorted(full, key=lambda recipe: recipe.energy_mj):
            candidate = _built(bench, recipe.steps)
            if candidate is not None and len(candidates) < MOST and sets.change(bench, candidate).holds:
                candidates.setdefault(candidate.digest, candidate)
    spread = chosen.margin / sets.MARGIN
    return Selection(
        chosen=chosen, confirmed=there, by=None if bench.held is None else bench.held.by,
        optimism=_optimism(bench, candidates), recipes=len(candidates),
        bound=spread * math.sqrt(2 * math.log(max(1, len(full)))),
    )  # fmt: skip


def _optimism(bench: Workbench, candidates: Mapping[str, Candidate]) -> float | None:
    differences = []
    for candidate in candidates.values():
        there = sets.confirmed(bench, candidate)
        if there is not None:
            differences.append(there.increase - sets.change(bench, candidate).increase)
    return sum(differences) / len(differences) if differences else None


def _built(bench: Workbench, steps: Sequence[Any]) -> Candidate | None:
    try:
        return bench.build(steps)
    except InputError:
        return None


def to_json(choice: Selection) -> dict[str, Any]:
    """For result.json: WER as fractions, as everywhere in the file."""
    return {
        "chosen_on": _side(choice.chosen),
        "confirmed_on": None if choice.confirmed is None else _side(choice.confirmed),
        "held_back_by": choice.by,
        "margin": choice.chosen.margin,
        "small_set_slack": sets.SMALL_SLACK,
        "expected_optimism": choice.optimism,
        "expected_optimism_recipes": choice.recipes,
        "expected_optimism_bound": choice.bound,
    }


def _side(change: sets.Change) -> dict[str, Any]:
    return {
        "utterances": change.utterances,
        "words": change.words,
        "wer_before": change.before,
        "wer_after": change.before + change.increase,
        "wer_increase": change.increase,
        "holds": change.increase <= change.limit,
    }
