"""The study's way through the recipes: component by component, what saves most per harm first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wattscribe.compression import sets
from wattscribe.compression.judgement import judge
from wattscribe.compression.levers import LEVERS
from wattscribe.compression.moves import Move, steps_of
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import (
    LEAST_KL,
    LEAST_SAVING,
    Outcome,
    Sensitivity,
    arranged,
    kept,
    stage,
)
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError


def sensitivities(bench: Workbench, base: Sequence[Step], offered: Sequence[Move]) -> list[Sensitivity]:
    """Energy and divergence of each move by itself; moves that the model has nothing for, or that save nothing, are left out."""
    before = bench.build(base)
    whole = bench.energy_mj(before)
    measured = []
    for move in offered:
        try:
            after = bench.build([*base, *move.steps])
        except InputError as error:
            bench.say(f"  {move.name}: {error.what}")
            continue
        saved = whole - bench.energy_mj(after)
        if saved < LEAST_SAVING * whole and not _only_faster(move):
            bench.say(f"  {move.name}: saves {saved:.4f} mJ/s, left out")
            continue
        kl = bench.kl(after).kl
        bench.note("sensitivity", [*base, *move.steps], after, kl=kl)
        bench.say(f"  {move.name}: saves {saved:.4f} mJ/s, divergence {kl:.2e}")
        measured.append(Sensitivity(move=move, saved_mj=saved, kl=kl))
    return measured


def _only_faster(move: Move) -> bool:
    return move.slot == "activation"


@dataclass(slots=True)
class Targeted:
    """The study's way: joiner, until it fits local memory; then predictor, then encoder; then whatever is best.

    Within the turn of a component, and in the last phase over all of them, the move that saves most per harm goes first.
    After each move energies are computed anew, text (small set) and speed are measured, and the move is reverted where the
    WER limit or the speed would be broken. After each turn all speech that may be chosen on is decoded; where the limit does not
    hold there, with the margin that its size asks for, the last moves are taken back until it does. It ends when no move is left.
    """

    name: str = "targeted"
    patience: int = 4
    """Reverts in a row that end a phase."""
    _choices: dict[str, Move] = field(default_factory=dict)
    _history: list[tuple[Move, dict[str, Move]]] = field(default_factory=list)
    """Kept moves, each with the choices before it."""
    _alone: dict[str, Sensitivity] = field(default_factory=dict)
    """Each move by itself."""

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        base = kept(lossless)
        offered: list[Sensitivity] = []
        done = list(lossless)
        with bench.budget.searching(bench.say):
            bench.say("sensitivity of each lever by itself:")
            offered += sensitivities(bench, base, bench.family.moves(bench, base))
            self._alone = {sensitivity.move.key: sensitivity for sensitivity in offered}
            left = list(offered)
            for phase in bench.family.phases(bench):
                before = len(self._history)
                self._phase(bench, base, left, phase, done)
                if len(self._history) > before:
                    self._hold(bench, base, done)
        if bench.budget.cut and self._history:
            self._hold(bench, base, done)
        weaker = tuple(stage(done, (*base, *steps_of(choices))) for _, choices in reversed(self._history))
        ordered = arranged(done, (*base, *steps_of(self._choices)))
        return Outcome(strategy=self.name, done=ordered, sensitivities=tuple(offered), fallbacks=weaker)

    def _phase(
        self, bench: Workbench, base: Sequence[Step], left: list[Sensitivity], phase: str, done: list[Done]
    ) -> None:
        """Adds to `done` move by move, so that a search that is cut short has what it did."""
        reverts = 0
        while reverts < self.patience:
            best = self._best(
                bench, base, [sensitivity for sensitivity in left if self._may(bench, base, sensitivity, phase)]
            )
            if best is None:
                break
            left.remove(best)
            tried = self._try(bench, base, best.move)
            done += tried
            reverts = 0 if tried[-1].kept else reverts + 1

    def _hold(self, bench: Workbench, base: Sequence[Step], done: list[Done]) -> None:
        """All that may be chosen on, after a turn: moves are taken back, the last first, until the limit holds."""
        while True:
            steps = (*base, *steps_of(self._choices))
            candidate = bench.build(steps)
            change = sets.change(bench, candidate)
            wer = bench.measure(candidate).wer
            bench.note(self.name, steps, candidate, kl=bench.kl(candidate).kl, wer=wer, on="full")
            bench.say(f"{bench.dev.name}: {change.summary}")
            if change.holds or not self._history:
                return
            move, self._choices = self._history.pop()
            why = f"reverted: with it {change.summary}"
            bench.say(f"{move.name}: {why}")
            mine = [i for i, entry in enumerate(done) if entry.kept and entry.step in move.steps][-len(move.steps) :]
            done[:] = [replace(entry, kept=False, reason=why) if i in mine else entry for i, entry in enumerate(done)]

    def _may(self, bench: Workbench, base: Sequence[Step], sensitivity: Sensitivity, phase: str) -> bool:
        """A component's turn takes each slot once, mildest choice first; what goes further waits for the last phase."""
        if sensitivity.kl > bench.family.most_kl:
            return False
        if phase == "all":
            return True
        if (
            sensitivity.move.component != phase
            or sensitivity.move.slot in self._choices
            or sensitivity.move.slot == "joint"
        ):
            return False
        return not (phase == "joiner" and self._fits(bench, base, "joiner"))

    def _fits(self, bench: Workbench, base: Sequence[Step], component: str) -> bool:
        candidate = bench.build([*base, *steps_of(self._choices)])
        placed = bench.measurer.energy(candidate, *bench.counts(candidate)).placement
        weights = bench.measurer.workload(candidate).component(component).weights
        return all(placed.is_local(component, weight.name) for weight in weights if weight.call_bytes)

    def _best(self, bench: Workbench, base: Sequence[Step], offered: Sequence[Sensitivity]) -> Sensitivity | None:
        """The move of most worth now. What each was worth by itself is the guess by which they are asked: a recipe is built only
        while a guess promises more than the best that was found."""
        best: Sensitivity | None = None
        most = 0.0
        for sensitivity in sorted(offered, key=self._guess, reverse=True):
            if best is not None and self._guess(sensitivity) <= most:
                break
            worth = self._worth(bench, base, sensitivity)
            if worth > most:
                best, most = sensitivity, worth
        return best

    def _guess(self, sensitivity: Sensitivity) -> float:
        present = self._present(sensitivity)
        return (sensitivity.saved_mj - (present.saved_mj if present else 0.0)) / self._added(sensitivity)

    def _added(self, sensitivity: Sensitivity) -> float:
        """Divergence beyond what the slot's present choice costs."""
        present = self._present(sensitivity)
        return max(sensitivity.kl - (present.kl if present else 0.0), LEAST_KL)

    def _present(self, sensitivity: Sensitivity) -> Sensitivity | None:
        chosen = self._choices.get(sensitivity.move.slot)
        return None if chosen is None else self._alone[chosen.key]

    def _worth(self, bench: Workbench, base: Sequence[Step], sensitivity: Sensitivity) -> float:
        """Millijoules saved now, beyond what is chosen, per nat that is added to what the slot's present choice costs."""
        try:
            now = bench.energy_mj(bench.build([*base, *steps_of(self._choices)]))
            after = bench.energy_mj(
                bench.build([*base, *steps_of({**self._choices, sensitivity.move.slot: sensitivity.move})])
            )
        except InputError:
            return 0.0
        saved = now - after
        if _only_faster(sensitivity.move) and sensitivity.move.slot not in self._choices:
            saved = max(saved, LEAST_SAVING * now)
        return saved / self._added(sensitivity) if saved >= LEAST_SAVING * now else 0.0

    def _try(self, bench: Workbench, base: Sequence[Step], move: Move) -> list[Done]:
        before_choices = self._choices
        choices = {**before_choices, move.slot: move}
        before = bench.build([*base, *steps_of(before_choices)])
        steps = (*base, *steps_of(choices))
        after = bench.build(steps)
        judgement = judge(bench, self.name, before, after, steps, small=True)
        if judgement.kept:
            self._history.append((move, before_choices))
            self._choices = choices
        bench.say(f"{move.name}: {judgement.reason}")
        says = "; ".join(LEVERS[step.lever].says for step in move.steps)
        return judgement.of(move.steps, reason=f"{judgement.reason} ({says})")
