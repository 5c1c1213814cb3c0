"""The kept steps of a recipe carried out on a model, each measured and proven anew: what a file says of another run is not taken
over, and a step that makes energy or speed worse here is reverted and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from wattscribe.compression.levers import LEVERS
from wattscribe.compression.recipe import Done, Recipe
from wattscribe.compression.step import Step, Value
from wattscribe.compression.strategies import LEAST_SAVING, Outcome, kept
from wattscribe.compression.workbench import SLOWER, Workbench
from wattscribe.errors import InputError


def carry_out(bench: Workbench, recipe: Recipe, path: Path) -> Outcome:
    """Nothing is chosen. Raises InputError that names the file and the step that the model has nothing for."""
    steps = _applicable(bench, recipe, path)
    replay = _Replay(bench=bench, proven=_proven_chains(bench, steps), left=list(steps))
    replay.run()
    return Outcome(strategy=f"recipe {path.name}", done=tuple(replay.done), notes=tuple(replay.notes))


def _applicable(bench: Workbench, recipe: Recipe, path: Path) -> list[Step]:
    steps: list[Step] = []
    for number, entry in enumerate(recipe.done, start=1):
        if not entry.kept:
            continue
        steps.append(entry.step)
        try:
            bench.build(steps)
        except InputError as error:
            raise InputError(f"step {number}, {entry.step}: {error.what}", where=path, fix=error.fix) from error
    return steps


def _proven_chains(bench: Workbench, steps: Sequence[Step]) -> set[tuple[str, ...]]:
    """Beginnings of the recipe whose last step is lossless here: one decode proves the lossless steps that follow each other."""
    chains: set[tuple[str, ...]] = set()
    start = 0
    for lossless, group in groupby(steps, key=lambda step: LEVERS[step.lever].lossless):
        end = start + len(list(group))
        if lossless and bench.identical(bench.build(steps[:start]), bench.build(steps[:end])) == len(bench.dev):
            chains |= {_key(steps[:number]) for number in range(start + 1, end + 1)}
        start = end
    return chains


def _key(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(step.key for step in steps)


@dataclass(slots=True, kw_only=True)
class _Replay:
    """The way through a recipe: what is done, what is left."""

    bench: Workbench
    proven: set[tuple[str, ...]]
    left: list[Step]
    done: list[Done] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def base(self) -> tuple[Step, ...]:
        return kept(self.done)

    def run(self) -> None:
        while self.left:
            group = self._group()
            if not group:
                self._revert(0, self._costs(self.left[:1]))
                continue
            needless = self._needless(group)
            if needless is not None:
                self._revert(needless, self._costs(self.left[: needless + 1]))
                continue
            slower = self._slower(group)
            if slower > SLOWER:
                for _ in group:
                    self._revert(0, f"reverted: measured {100 * (slower - 1):.0f} % slower")
                continue
            for _ in group:
                self._take(slower)

    # --- energy and speed -------------------------------------------------------------------------------------------
    def _energy_mj(self, steps: Sequence[Step]) -> float | None:
        """After what is kept and these steps; None where they cannot be carried out, since one that they need has gone."""
        try:
            return self.bench.energy_mj(self.bench.build([*self.base, *steps]))
        except InputError:
            return None

    def _group(self) -> list[Step]:
        """The next steps that together cost no energy: one alone, as a rule; a map that is cut in float and stored in 8 bits by
        the step after it. Empty where the next step costs energy whatever follows. What is too little to be looked for is too
        little to go for, too."""
        most = self.bench.energy_mj(self.bench.build(self.base)) * (1 + LEAST_SAVING)
        for count in range(1, len(self.left) + 1):
            energy = self._energy_mj(self.left[:count])
            if energy is None:
                return []
            if energy <= most:
                return self.left[:count]
        return []

    def _needless(self, group: Sequence[Step]) -> int | None:
        """The place of a step without which the group would cost less."""
        together = self._energy_mj(group)
        for place in range(len(group) - 1):
            without = self._energy_mj([*group[:place], *group[place + 1 :]])
            if together is not None and without is not None and without < together * (1 - LEAST_SAVING):
                return place
        return None

    def _costs(self, steps: Sequence[Step]) -> str:
        """Why the last of the steps goes."""
        before, after = self._energy_mj(steps[:-1]), self._energy_mj(steps)
        if before is None or after is None:
            return "reverted: it cannot be carried out without a step that was reverted"
        return f"reverted: modelled energy rises by {after - before:.4f} mJ/s ({100 * (after / before - 1):+.1f} %)"

    def _slower(self, group: Sequence[Step]) -> float:
        """Time after the group over time before."""
        return self.bench.slower_by(self.bench.build(self.base), self.bench.build([*self.base, *group]))

    # --- records ----------------------------------------------------------------------------------------------------
    def _revert(self, place: int, reason: str) -> None:
        step = self.left[place]
        numbers = {} if self._energy_mj(self.left[: place + 1]) is None else self._numbers(self.left[:place], step)
        self._record(step, reason, numbers, good=False)
        del self.left[place]

    def _take(self, slower: float) -> None:
        """The next step goes in."""
        step = self.left[0]
        numbers = {**self._numbers((), step), "time_ratio": slower}
        says = LEVERS[step.lever].says
        if not LEVERS[step.lever].lossless:
            self._record(step, f"saves {numbers['saved_mj']:.4f} mJ/s ({says})", numbers, good=True)
        else:
            self._prove(step, says, numbers)
        del self.left[0]

    def _prove(self, step: Step, says: str, numbers: Mapping[str, Value]) -> None:
        """A lossless step whose text differs here is one of the lossy ones: it is reported, and the acceptance decides."""
        bench, steps = self.bench, [*self.base, step]
        whole = len(bench.dev)
        before, after = bench.build(self.base), bench.build(steps)
        same = whole if _key(steps) in self.proven else bench.identical(before, after)
        proof = f"text of {same} of {whole} utterances identical"
        if same == whole:
            self._record(step, f"{says}; {proof}", {**numbers, "identical": same}, good=True)
            return
        old, new = bench.measure(before).wer, bench.measure(after).wer
        reason = f"kept as a lossy step: not lossless here, {proof}, WER {100 * (new - old):+.2f} points"
        increase = new - bench.measure(bench.reference).wer
        figures: dict[str, Value] = {**numbers, "identical": same, "wer": new, "wer_increase": increase}
        self._record(step, reason, figures, good=True, noted=True)

    def _record(
        self, step: Step, reason: str, numbers: Mapping[str, Value], *, good: bool, noted: bool = False
    ) -> None:
        self.bench.say(f"{step}: {reason}")
        self.done.append(Done(step=step, kept=good, reason=reason, numbers=numbers))
        if noted or not good:
            self.notes.append(f"{step}: {reason}.")

    def _numbers(self, between: Sequence[Step], step: Step) -> dict[str, Value]:
        """Figures of a step that goes in after what is kept and the steps between."""
        bench = self.bench
        before, after = bench.build([*self.base, *between]), bench.build([*self.base, *between, step])
        energy = bench.energy_mj(after)
        numbers: dict[str, Value] = {
            "energy_mj_per_audio_s": energy, "saved_mj": bench.energy_mj(before) - energy, "size_bytes": after.size_bytes,
        }  # fmt: skip
        own = LEVERS[step.lever].numbers
        return numbers if own is None else {**numbers, **own(before, after, step)}


__all__ = ["carry_out"]
