"""Energy against WER along two chains of recipes, and where one lies below the other at equal WER."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattscribe.compression.levels import Uniform
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.step import Step
from wattscribe.compression.transducers import Transducers
from wattscribe.compression.workbench import Workbench, joined

TAIL = (
    Step(lever="int8", component="joiner"),
    Step(lever="int8", component="predictor"),
    Step(lever="lookup-int8", component="predictor"),
)
LEVERS = Transducers.lossless[:3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One recipe: what it adds to the WER, and its energy with and without the lossless levers."""

    change: float
    lossless_mj: float
    plain_mj: float


def chains(bench: Workbench) -> dict[str, list[tuple[Step, ...]]]:
    """Recipes of rising compression, all maps in 8 bits."""
    inner = tuple(pairs(bench.original.model("encoder")))
    whole = Step(lever="int8", component="encoder")
    narrow = [
        Step(lever="prune-width", component="encoder", tensors=inner, options={"keep": keep})
        for keep in (0.95, 0.9, 0.8)
    ]
    return {
        "targeted": [(whole, *TAIL), *((step, whole, *TAIL) for step in narrow)],
        "uniform": [tuple(Uniform.steps(bench, keep)) for keep in (1.0, 0.95, 0.9, 0.8)],
    }


def front(bench: Workbench, chain: Sequence[tuple[Step, ...]], count: int = 4) -> list[Point]:
    """Decoded with segments joined, which changes the text no more than a last bit of 8-bit inputs does."""
    base = bench.measure(bench.original).wer
    points = []
    for steps in chain:
        together = bench.build([*LEVERS, joined(count), *steps])
        apart = replace(bench.build(steps), placement="component", decoding="frame-by-frame")
        wer = bench.measure(together).wer
        points.append(Point(change=wer - base, lossless_mj=bench.energy_mj(together), plain_mj=bench.energy_mj(apart)))
        bench.say(f"  {len(steps)} steps: {100 * (wer - base):+.2f} points, {points[-1].lossless_mj:.3f} mJ/s")
    return points


def at(points: Sequence[Point], change: float, *, lossless: bool) -> float:
    """Energy of the front at so much more WER: the least energy known at or below each WER, straight lines between."""
    ordered = sorted(points, key=lambda point: point.change)
    energies = np.minimum.accumulate([point.lossless_mj if lossless else point.plain_mj for point in ordered])
    return float(np.interp(change, [point.change for point in ordered], energies))


__all__ = ["Point", "at", "chains", "front"]
