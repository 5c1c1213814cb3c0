"""Mixed bits: each linear map of a network in as few bits as it bears, found map by map on unlabelled speech.

One map after the other is stored in 4 bits, the rest left alone, and the divergence that this adds is measured. What other
forms of the same map would add follows from the error of its output (XᵀX), to which the divergence is proportional as long as
both are small. The forms of all maps are then walked in the order of bytes saved per divergence: a ladder of recipes, each of
which is the least harm known for its size. Weights are read once a call, so bytes are energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wattscribe.compression.levers.weights import block_codes, known_gram
from wattscribe.compression.linears import Linear
from wattscribe.compression.moves import LEAST_WEIGHTS, Move
from wattscribe.compression.rounding import output_error
from wattscribe.compression.step import Step, Value
from wattscribe.compression.workbench import Workbench

BLOCKS = (32, 64, 128, 256)
"""Weights that share a scale of 4 bytes: 5 to 4.125 bits a weight where the inputs are a multiple of them."""
PROBE_S = 40.0
"""Speech on which each map is looked at: there are many of them, and only their order matters."""
RUNGS = 10
"""Recipes on the ladder, in even steps of bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to store a map; `bits` None: in 8 bits as every other map is."""

    bytes: int
    kl: float
    """What it adds to the divergence, by the error of the map's output; below 0 where 8 bits do more harm, as on CPUs that clip
    their sums."""
    bits: int | None = None
    block: int = 0


def ladders(bench: Workbench, base: Sequence[Step]) -> list[Move]:
    """Those of the encoder and of the joiner, whose map to the whole vocabulary bears other blocks than those of its inputs.

    What stores the joiner in 8 bits alone is offered by `moves` already.
    """
    joiner = ladder(bench, base, "joiner")
    return [
        *ladder(bench, base, "encoder"),
        *(move for move in joiner if any(step.lever == "blockwise" for step in move.steps)),
    ]


def ladder(bench: Workbench, base: Sequence[Step], component: str, *, rest_float: bool = False) -> list[Move]:
    """Moves of one slot from mild to strong. Empty where a network has no map of a size that pays.

    `rest_float`: each map is looked at while the others are left in float, which is quicker where the network is large.
    """
    maps = {
        name: linear
        for name, linear in bench.original.linears(component).items()
        if linear.weight.size >= LEAST_WEIGHTS
    }
    if not maps:
        return []
    eight = _eight(component, maps)
    probe = bench.probe.shorter(PROBE_S)
    rest = () if rest_float else eight
    before = bench.kl(bench.build((*base, *rest)), probe).kl
    forms = {}
    for name, linear in maps.items():
        gram = known_gram(linear, component, bench.calibration)
        coarse = _fewest_bytes(linear)
        alone = Step(lever="blockwise", component=component, tensors=(name,), options=_options(4, coarse))
        added = bench.kl(bench.build([*base, *_without(rest, {name}), alone]), probe).kl - before
        forms[name] = _forms(linear, gram, coarse, added)
    rungs = _rungs(forms)
    bench.say(
        f"  bits of {len(maps)} maps of the {component}: {len(rungs)} recipes from {_text(rungs[0])} to {_text(rungs[-1])}"
    )
    slot = f"form:{component}"
    mild = [Move(slot=slot, component=component, steps=eight)] if eight else []
    return [*mild, *(Move(slot=slot, component=component, steps=_steps(component, rung, eight)) for rung in rungs)]


def _eight(component: str, maps: Mapping[str, Linear]) -> tuple[Step, ...]:
    """The step that stores what is still float in 8 bits; none for a model that comes in 8 bits."""
    names = tuple(name for name, linear in maps.items() if linear.form == "float")
    return (Step(lever="int8", component=component, tensors=names),) if names else ()


def _without(eight: Sequence[Step], taken: set[str]) -> list[Step]:
    """The 8-bit step for the maps that are left."""
    steps = []
    for step in eight:
        left = tuple(name for name in step.tensors if name not in taken)
        if left:
            steps.append(Step(lever=step.lever, component=step.component, tensors=left))
    return steps


def _options(bits: int, block: int) -> Mapping[str, Value]:
    return {"bits": bits, "block": block, "accuracy": 4}


def _stored(linear: Linear, bits: int, block: int) -> int:
    """Bytes of codes and scales, the last block filled up."""
    inputs, outputs = linear.shape
    return outputs * -(-inputs // block) * (block * bits // 8 + 4)


def _fewest_bytes(linear: Linear) -> int:
    """The block that takes the fewest bytes: of the inputs of a narrow map a large one would be mostly filling."""
    return min(BLOCKS, key=lambda block: (_stored(linear, 4, block), -block))


def _forms(linear: Linear, gram: object, coarse: int, added: float) -> list[Form]:
    """From 8 bits down; only those of which a smaller one is more harmful. Blocks are told apart by plain rounding: GPTQ takes
    about the same part off the error of each."""
    inputs, outputs = linear.shape
    weight = gram if isinstance(gram, np.ndarray) else np.eye(inputs)
    errors = {}
    for block in BLOCKS:
        codes, _, spread = block_codes(linear.weight, None if gram is None else weight, 4, block, "nearest")
        errors[block] = output_error(linear.weight, (codes * spread).astype(np.float32), weight)
    forms = [Form(bytes=inputs * outputs + 4 * outputs, kl=0.0)]
    for block in sorted(BLOCKS, key=lambda block: -_stored(linear, 4, block)):
        harm = added * errors[block] / max(errors[coarse], 1e-30)
        size = _stored(linear, 4, block)
        if size < forms[-1].bytes:
            forms.append(Form(bytes=size, kl=harm, bits=4, block=block))
    return _hull(forms)


def _hull(forms: Sequence[Form]) -> list[Form]:
    """The lower convex hull of harm over bytes saved, so that each further form costs more per byte than the one before."""
    hull: list[Form] = []
    for form in forms:
        while len(hull) > 1 and _slope(hull[-2], form) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        if len(hull) == 1 and form.kl <= hull[0].kl and form.bytes <= hull[0].bytes:
            hull.pop()
        hull.append(form)
    return hull


def _slope(milder: Form, form: Form) -> float:
    """Divergence per byte saved."""
    return (form.kl - milder.kl) / max(milder.bytes - form.bytes, 1)


def _rungs(forms: Mapping[str, Sequence[Form]]) -> list[dict[str, Form]]:
    """All maps' further forms in the order of divergence per byte, cut in even steps of bytes; the last has them all."""
    changes = sorted(
        (_slope(milder, form), name, place)
        for name, choices in forms.items()
        for place, (milder, form) in enumerate(pairwise(choices), start=1)
    )
    now = {name: choices[0] for name, choices in forms.items()}
    whole = sum(choices[0].bytes - choices[-1].bytes for choices in forms.values())
    rungs = [dict(now)] if any(form.bits for form in now.values()) else []
    saved, first = 0, len(rungs)
    for _, name, place in changes:
        saved += now[name].bytes - forms[name][place].bytes
        now[name] = forms[name][place]
        if saved >= whole * (len(rungs) - first + 1) / RUNGS:
            rungs.append(dict(now))
    return rungs or [now]


def _text(rung: Mapping[str, Form]) -> str:
    four = sum(form.bits == 4 for form in rung.values())
    size, kl = sum(form.bytes for form in rung.values()), sum(form.kl for form in rung.values())
    return f"{four} in 4 bits ({size / 1e6:.2f} MB, divergence {kl:.1e})"


def _steps(component: str, rung: Mapping[str, Form], eight: Sequence[Step]) -> tuple[Step, ...]:
    """The 8 bits of what takes no fewer, then a step per kind of form: onnxruntime infers no types behind weights in blocks."""
    kinds = sorted({(form.bits, form.block) for form in rung.values() if form.bits is not None})
    steps = [
        Step(
            lever="blockwise", component=component, options=_options(bits, block),
            tensors=tuple(name for name, form in rung.items() if (form.bits, form.block) == (bits, block)),
        )
        for bits, block in kinds
    ]  # fmt: skip
    taken = {name for step in steps for name in step.tensors}
    return (*_without(eight, taken), *steps)


__all__ = ["ladder", "ladders"]
