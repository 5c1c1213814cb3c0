"""In which order a model is compressed. A strategy walks a workbench and answers with the steps that it would keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression import sets
from wattscribe.compression.bits import ladders
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers import LEVERS
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.linears import Linear, linears
from wattscribe.compression.moves import Move, moves, recurrent, steps_of
from wattscribe.compression.recipe import Done, Step, Value
from wattscribe.compression.workbench import SLOWER, Workbench
from wattscribe.errors import InputError

LEAST_SAVING = 0.001
"""Of the energy: a move that saves less is not worth an operator."""
LEAST_KL = 1e-6
"""Divergences below this are not told apart."""
MOST_KL = 0.1
"""Nat per frame: beyond this a recognizer no longer hears the same language; not worth a decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What one move does by itself, after the lossless levers."""

    move: Move
    saved_mj: float
    kl: float

    @property
    def ratio(self) -> float:
        """Millijoules saved per nat of divergence."""
        return self.saved_mj / max(self.kl, LEAST_KL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a strategy did: the steps in order, kept ones and reverted ones, and what it measured before."""

    strategy: str
    done: tuple[Done, ...]
    sensitivities: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    """What whoever reads the result should know."""
    fallbacks: tuple[tuple[Done, ...], ...] = ()
    """Weaker recipes that held as well, kept steps only, the strongest first: should held-back speech not confirm it."""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(each.step for each in self.done if each.kept)


class Strategy(Protocol):
    """A way through the recipes."""

    name: str

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        """Steps after the lossless ones, which are done already."""
        ...


def kept(done: Sequence[Done]) -> tuple[Step, ...]:
    return tuple(each.step for each in done if each.kept)


def recorded(steps: Sequence[Step], reason: str, numbers: Mapping[str, Value], *, good: bool) -> list[Done]:
    """Steps that went together."""
    return [Done(step=step, kept=good, reason=reason, numbers=numbers) for step in steps]


def sensitivities(bench: Workbench, base: Sequence[Step], offered: Sequence[Move]) -> list[Sensitivity]:
    """Energy and divergence of each move by itself; moves that the model has nothing for, or that save nothing, are left out."""
    before = bench.build(base)
    whole = bench.energy_mj(before)
    found = []
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
        found.append(Sensitivity(move=move, saved_mj=saved, kl=kl))
    return found


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
        found: list[Sensitivity] = []
        done = list(lossless)
        with bench.budget.searching(bench.say):
            bench.say("sensitivity of each lever by itself:")
            found += sensitivities(bench, base, [*moves(bench.original), *ladders(bench, base)])
            self._alone = {each.move.key: each for each in found}
            left = list(found)
            for phase in ("joiner", "predictor", "encoder", "all"):
                before = len(self._history)
                self._phase(bench, base, left, phase, done)
                if len(self._history) > before:
                    self._hold(bench, base, done)
        if bench.budget.cut and self._history:
            self._hold(bench, base, done)
        weaker = tuple(stage(done, (*base, *steps_of(choices))) for _, choices in reversed(self._history))
        ordered = arranged(done, (*base, *steps_of(self._choices)))
        return Outcome(strategy=self.name, done=ordered, sensitivities=tuple(found), fallbacks=weaker)

    def _phase(
        self, bench: Workbench, base: Sequence[Step], left: list[Sensitivity], phase: str, done: list[Done]
    ) -> None:
        """Adds to `done` move by move, so that a search that is cut short has what it did."""
        reverts = 0
        while reverts < self.patience:
            best = self._best(bench, base, [each for each in left if self._may(bench, base, each, phase)])
            if best is None:
                break
            left.remove(best)
            made = self._try(bench, base, best.move)
            done += made
            reverts = 0 if made[-1].kept else reverts + 1

    def _hold(self, bench: Workbench, base: Sequence[Step], done: list[Done]) -> None:
        """All that may be chosen on, after a turn: moves are taken back, the last first, until the limit holds."""
        while True:
            steps = (*base, *steps_of(self._choices))
            candidate = bench.build(steps)
            found = sets.change(bench, candidate)
            wer = bench.measure(candidate).wer
            bench.note(self.name, steps, candidate, kl=bench.kl(candidate).kl, wer=wer, on="full")
            bench.say(f"{bench.dev.name}: {found.told}")
            if found.holds or not self._history:
                return
            move, self._choices = self._history.pop()
            why = f"reverted: with it {found.told}"
            bench.say(f"{move.name}: {why}")
            mine = [i for i, each in enumerate(done) if each.kept and each.step in move.steps][-len(move.steps) :]
            done[:] = [replace(each, kept=False, reason=why) if i in mine else each for i, each in enumerate(done)]

    def _may(self, bench: Workbench, base: Sequence[Step], each: Sensitivity, phase: str) -> bool:
        """A component's turn takes each slot once, mildest choice first; what goes further waits for the last phase."""
        if each.kl > MOST_KL:
            return False
        if phase == "all":
            return True
        if each.move.component != phase or each.move.slot in self._choices or each.move.slot == "joint":
            return False
        return not (phase == "joiner" and self._fits(bench, base, "joiner"))

    def _fits(self, bench: Workbench, base: Sequence[Step], component: str) -> bool:
        candidate = bench.build([*base, *steps_of(self._choices)])
        placed = bench.measurer.energy(candidate, *bench.counts(candidate)).placement
        weights = bench.measurer.workload(candidate).component(component).weights
        return all(placed.is_local(component, each.name) for each in weights if each.call_bytes)

    def _best(self, bench: Workbench, base: Sequence[Step], offered: Sequence[Sensitivity]) -> Sensitivity | None:
        """The move of most worth now. What each was worth by itself is the guess by which they are asked: a recipe is built only
        while a guess promises more than the best that was found."""
        best: Sensitivity | None = None
        most = 0.0
        for each in sorted(offered, key=self._guess, reverse=True):
            if best is not None and self._guess(each) <= most:
                break
            worth = self._worth(bench, base, each)
            if worth > most:
                best, most = each, worth
        return best

    def _guess(self, each: Sensitivity) -> float:
        present = self._present(each)
        return (each.saved_mj - (present.saved_mj if present else 0.0)) / self._added(each)

    def _added(self, each: Sensitivity) -> float:
        """Divergence beyond what the slot's present choice costs."""
        present = self._present(each)
        return max(each.kl - (present.kl if present else 0.0), LEAST_KL)

    def _present(self, each: Sensitivity) -> Sensitivity | None:
        chosen = self._choices.get(each.move.slot)
        return None if chosen is None else self._alone[chosen.key]

    def _worth(self, bench: Workbench, base: Sequence[Step], each: Sensitivity) -> float:
        """Millijoules saved now, beyond what is chosen, per nat that is added to what the slot's present choice costs."""
        try:
            now = bench.energy_mj(bench.build([*base, *steps_of(self._choices)]))
            after = bench.energy_mj(bench.build([*base, *steps_of({**self._choices, each.move.slot: each.move})]))
        except InputError:
            return 0.0
        saved = now - after
        if _only_faster(each.move) and each.move.slot not in self._choices:
            saved = max(saved, LEAST_SAVING * now)
        return saved / self._added(each) if saved >= LEAST_SAVING * now else 0.0

    def _try(self, bench: Workbench, base: Sequence[Step], move: Move) -> list[Done]:
        before_choices = self._choices
        choices = {**before_choices, move.slot: move}
        before = bench.build([*base, *steps_of(before_choices)])
        steps = (*base, *steps_of(choices))
        after = bench.build(steps)
        reason, numbers = judge(bench, self.name, before, after, steps, small=True)
        good = not reason.startswith("reverted")
        if good:
            self._history.append((move, before_choices))
            self._choices = choices
        bench.say(f"{move.name}: {reason}")
        says = "; ".join(LEVERS[step.lever].says for step in move.steps)
        return [Done(step=step, kept=good, reason=f"{reason} ({says})", numbers=numbers) for step in move.steps]


def stage(done: Sequence[Done], steps: Sequence[Step]) -> tuple[Done, ...]:
    """These steps, each as it went when it was kept last."""
    return tuple(next(each for each in reversed(done) if each.kept and each.step == step) for step in steps)


def arranged(done: Sequence[Done], steps: Sequence[Step]) -> tuple[Done, ...]:
    """The kept steps in the order in which they are carried out, then those that went or that a further choice replaced."""
    left = list(done)
    kept_steps: list[Done] = []
    for step in steps:
        place = max(i for i, each in enumerate(left) if each.kept and each.step == step)
        kept_steps.append(left.pop(place))
    gone = [
        replace(each, kept=False, reason=f"replaced by a further choice; it went: {each.reason}") if each.kept else each
        for each in left
    ]
    return (*kept_steps, *gone)


def judge(
    bench: Workbench, strategy: str, before: Candidate, after: Candidate, steps: Sequence[Step], *, small: bool = False
) -> tuple[str, dict[str, Value]]:
    """Measure a recipe against the limit and against the one before it: (reason, numbers). The reason of a step that must
    go begins with `reverted`."""
    found = bench.measure(after, small=small)
    change = sets.change(bench, after, small=small)
    kl = bench.kl(after).kl
    bench.note(strategy, steps, after, kl=kl, wer=found.wer, on="small" if small else "full")
    energy, energy_before = bench.energy_mj(after), bench.energy_mj(before)
    numbers: dict[str, Value] = {
        "energy_mj_per_audio_s": energy, "saved_mj": energy_before - energy, "wer": found.wer, "wer_increase": change.increase,
        "wer_margin": change.margin,
        "kl": kl, "size_bytes": after.size_bytes,
    }  # fmt: skip
    if not change.holds:
        return f"reverted: {change.told}", numbers
    if energy > energy_before * (1 + 1e-9):
        return f"reverted: modelled energy rises by {energy - energy_before:.4f} mJ/s", numbers
    slower = bench.slower_by(before, after)
    numbers["time_ratio"] = slower
    if slower > SLOWER:
        return f"reverted: measured {100 * (slower - 1):.0f} % slower", numbers
    return (
        f"saves {energy_before - energy:.4f} mJ/s, WER {100 * change.increase:+.2f} points, time x{slower:.2f}",
        numbers,
    )


def _as_far_as_it_goes(
    name: str, bench: Workbench, lossless: Sequence[Done], levels: Iterable[tuple[str, Sequence[Step]]]
) -> Outcome:
    """The last of ever stronger recipes that holds; those that the model has nothing for, and the one that does not hold, are
    recorded as well."""
    base = kept(lossless)
    best: list[Done] = []
    gone: list[Done] = []
    weaker: list[tuple[Done, ...]] = []
    with bench.budget.searching(bench.say):
        for level, made in levels:
            steps = [*base, *made]
            try:
                after = bench.build(steps)
            except InputError as error:
                bench.say(f"{level}: {error.what}")
                gone += recorded(made, f"{level}: not applicable: {error.what}", {}, good=False)
                continue
            reason, numbers = judge(bench, name, bench.build(base), after, steps)
            bench.say(f"{level}: {reason}")
            if reason.startswith("reverted"):
                gone += recorded(made, f"{level}: {reason}", numbers, good=False)
                break
            weaker.insert(0, (*(each for each in lossless if each.kept), *best))
            best = recorded(made, reason, numbers, good=True)
    return Outcome(strategy=name, done=(*lossless, *best, *gone), fallbacks=tuple(weaker))


@dataclass(slots=True)
class Uniform:
    """The same compression for every component: 8 bits everywhere, then every linear map to the same part of its weights."""

    name: str = "uniform"
    keeps: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6, 0.5)

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        levels = ((f"uniform, {keep:g} of every map", self.steps(bench, keep)) for keep in (1.0, *self.keeps))
        return _as_far_as_it_goes(self.name, bench, lossless, levels)

    @staticmethod
    def steps(bench: Workbench, keep: float) -> list[Step]:
        """Thin every map to `keep` by SVD on activations, then 8 bits for all maps, tables and convolutions."""
        found: list[Step] = []
        offered = moves(bench.original)
        convolution = [each for each in offered if each.slot == "convolution"]
        found += [step for each in convolution[:1] for step in each.steps]
        for component in ("encoder", "predictor", "joiner"):
            maps = linears(bench.original.model(component))
            if not maps:
                continue
            if keep < 1:
                found.append(Step(lever="low-rank", component=component, options={"keep": keep}))
            if keep < 1 or any(each.form == "float" for each in maps.values()):
                options = {"rounding": "nearest"} if keep < 1 else {}
                found.append(Step(lever="int8", component=component, options=options))
        found += recurrent(offered)
        found.append(Step(lever="lookup-int8", component="predictor"))
        return found


@dataclass(slots=True)
class GlobalMagnitude:
    """One threshold over all inner channels of all components: those of least energy go, wherever they are."""

    name: str = "global"
    keeps: tuple[float, ...] = (0.95, 0.9, 0.8, 0.7, 0.6)

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        levels = ((f"global, {keep:g} of all channels", self.steps(bench, keep)) for keep in self.keeps)
        return _as_far_as_it_goes(self.name, bench, lossless, levels)

    @staticmethod
    def steps(bench: Workbench, keep: float) -> list[Step]:
        """One prune-width step per pair of maps, each with the part that the common threshold leaves it; then 8 bits."""
        found: list[Step] = []
        for name, part in global_parts(bench, keep).items():
            component, _, tensor = name.partition(":")
            options = {"keep": part}
            tensors = () if component == "joiner" else (tensor,)
            found.append(Step(lever="prune-width", component=component, tensors=tensors, options=options))
        found.sort(key=lambda step: step.component != "joiner")
        for component in ("encoder", "predictor", "joiner"):
            if linears(bench.original.model(component)):
                found.append(Step(lever="int8", component=component))
        return [*found, *recurrent(moves(bench.original))]


def global_parts(bench: Workbench, keep: float) -> Mapping[str, float]:
    """`component:map` → the part of its channels above the common threshold; only those that lose some."""
    scores: dict[str, NDArray[np.float64]] = {}
    for component in ("encoder", "predictor"):
        model = bench.original.model(component)
        maps = linears(model)
        for first, second in pairs(model).items():
            scores[f"{component}:{first}"] = _scores(bench, component, maps[second])
    joint = list(linears(bench.original.model("joiner")).values())
    if len(joint) == 1:  # a factorised joiner's width is left as it is
        scores["joiner:"] = _scores(bench, "joiner", joint[0])
    if not scores:
        return {}
    threshold = float(np.quantile(np.concatenate(list(scores.values())), 1 - keep))
    parts = {name: float((values >= threshold).mean()) for name, values in scores.items()}
    return {name: min(max(part, 0.1), 0.99) for name, part in parts.items() if part < 0.98}


def _scores(bench: Workbench, component: str, linear: Linear) -> NDArray[np.float64]:
    """Energy of each channel relative to its map's mean, so that maps of other scales can be compared."""
    gram = bench.calibration.moments(component, linear.source).gram
    found = np.sqrt(np.maximum(np.diag(gram), 0)) * np.linalg.norm(linear.weight.astype(np.float64), axis=1)
    relative: NDArray[np.float64] = found / max(float(found.mean()), 1e-30)
    return relative
