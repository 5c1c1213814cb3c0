"""Strategies that go ever further until the limit is broken: the same for every component, or one threshold over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.judgement import Judgement, judge
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.linears import Linear, linears
from wattscribe.compression.moves import moves, recurrent
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import Outcome, kept
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError


def as_far_as_it_goes(
    name: str, bench: Workbench, lossless: Sequence[Done], levels: Iterable[tuple[str, Sequence[Step]]]
) -> Outcome:
    """The last of ever stronger recipes that holds; those that the model has nothing for, and the one that does not hold, are
    recorded as well."""
    base = kept(lossless)
    best: list[Done] = []
    gone: list[Done] = []
    weaker: list[tuple[Done, ...]] = []
    with bench.budget.searching(bench.say):
        for level, added in levels:
            steps = [*base, *added]
            try:
                after = bench.build(steps)
            except InputError as error:
                bench.say(f"{level}: {error.what}")
                gone += Judgement(kept=False, reason=f"{level}: not applicable: {error.what}").of(added)
                continue
            judgement = judge(bench, name, bench.build(base), after, steps)
            bench.say(f"{level}: {judgement.reason}")
            if not judgement.kept:
                gone += judgement.of(added, reason=f"{level}: {judgement.reason}")
                break
            weaker.insert(0, (*(entry for entry in lossless if entry.kept), *best))
            best = judgement.of(added)
    return Outcome(strategy=name, done=(*lossless, *best, *gone), fallbacks=tuple(weaker))


@dataclass(slots=True)
class Uniform:
    """The same compression for every component: 8 bits everywhere, then every linear map to the same part of its weights."""

    name: str = "uniform"
    keeps: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6, 0.5)

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        own = ((f"uniform, {keep:g} of every map", self.steps(bench, keep)) for keep in (1.0, *self.keeps))
        levels = bench.family.even_levels or own
        return as_far_as_it_goes(self.name, bench, lossless, levels)

    @staticmethod
    def steps(bench: Workbench, keep: float) -> list[Step]:
        """Thin every map to `keep` by SVD on activations, then 8 bits for all maps, tables and convolutions."""
        steps: list[Step] = []
        offered = moves(bench.original)
        convolution = [move for move in offered if move.slot == "convolution"]
        steps += [step for move in convolution[:1] for step in move.steps]
        for component in ("encoder", "predictor", "joiner"):
            maps = linears(bench.original.model(component))
            if not maps:
                continue
            if keep < 1:
                steps.append(Step(lever="low-rank", component=component, options={"keep": keep}))
            if keep < 1 or any(linear.form == "float" for linear in maps.values()):
                options = {"rounding": "nearest"} if keep < 1 else {}
                steps.append(Step(lever="int8", component=component, options=options))
        steps += recurrent(offered)
        steps.append(Step(lever="lookup-int8", component="predictor"))
        return steps


@dataclass(slots=True)
class GlobalMagnitude:
    """One threshold over all inner channels of all components: those of least energy go, wherever they are."""

    name: str = "global"
    keeps: tuple[float, ...] = (0.95, 0.9, 0.8, 0.7, 0.6)

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        levels = ((f"global, {keep:g} of all channels", self.steps(bench, keep)) for keep in self.keeps)
        return as_far_as_it_goes(self.name, bench, lossless, levels)

    @staticmethod
    def steps(bench: Workbench, keep: float) -> list[Step]:
        """One prune-width step per pair of maps, each with the part that the common threshold leaves it; then 8 bits."""
        steps: list[Step] = []
        for name, part in global_parts(bench, keep).items():
            component, _, tensor = name.partition(":")
            options = {"keep": part}
            tensors = () if component == "joiner" else (tensor,)
            steps.append(Step(lever="prune-width", component=component, tensors=tensors, options=options))
        steps.sort(key=lambda step: step.component != "joiner")
        return [*steps, *bench.family.eight_bits(bench)]


def global_parts(bench: Workbench, keep: float) -> Mapping[str, float]:
    """`component:map` → the part of its channels above the common threshold; only those that lose some."""
    scores: dict[str, NDArray[np.float64]] = {}
    for component in bench.family.inner:
        model = bench.original.model(component)
        maps = linears(model)
        for first, second in pairs(model).items():
            scores[f"{component}:{first}"] = _scores(bench, component, maps[second])
    joint = list(linears(bench.original.model("joiner")).values()) if "joiner" in bench.original.FILES else []
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
    energy = np.sqrt(np.maximum(np.diag(gram), 0)) * np.linalg.norm(linear.weight.astype(np.float64), axis=1)
    relative: NDArray[np.float64] = energy / max(float(energy.mean()), 1e-30)
    return relative
