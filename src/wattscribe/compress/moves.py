"""Which lossy changes a model offers, by slot: at most one of a slot's choices is in a recipe, so that weights are always
made from the original ones and never rounded twice.

Later slots come later in the recipe: structure before form, form before what is left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.compress.candidate import COMPONENTS, Candidate
from wattscribe.compress.levers.convolution import convolutions
from wattscribe.compress.levers.width import pairs
from wattscribe.compress.linears import Index, Linear, linears
from wattscribe.compress.recipe import Step

LARGE_KERNEL = 9
"""Weights per output and input channel product from which a convolution is worth its two extra operators."""
KEEPS = (0.9, 0.75, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One choice of a slot; several steps where one needs another (thin maps are stored in 8 bits at once)."""

    slot: str
    component: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        return " + ".join(str(step) for step in self.steps)


Choices = Mapping[str, Move]
"""Slot → what is chosen for it."""
ORDER = ("joint", "activation", "convolution", "width", "rank", "form", "table", "rest")


def steps_of(choices: Choices) -> tuple[Step, ...]:
    """The steps of a set of choices, in the order in which they can be carried out."""
    ranked = sorted(choices.items(), key=lambda item: (ORDER.index(item[0].split(":")[0]), item[0]))
    return tuple(step for _, move in ranked for step in move.steps)


def moves(candidate: Candidate) -> list[Move]:
    """Everything that this model offers; whether it pays and what it costs is measured later."""
    found: list[Move] = []
    for component in COMPONENTS:
        model = candidate.model(component)
        maps = linears(model)
        index = Index(model)
        if component == "encoder":
            found += _activation(component, index)
            found += _convolutions(component, index)
            found += [each for keep in KEEPS for each in _width(component, model, keep)]
            found += _rank(component, maps)
        found += _forms(component, maps, index)
        if component == "predictor":
            found.append(_move("table:predictor", component, Step(lever="lookup-int8", component=component)))
        found.append(_move(f"rest:{component}", component, Step(lever="fp16", component=component)))
    found += [
        _move("joint", "joiner", Step(lever="prune-width", component="joiner", options={"keep": keep}))
        for keep in KEEPS
    ]
    return found


def _move(slot: str, component: str, *steps: Step) -> Move:
    return Move(slot=slot, component=component, steps=steps)


def _activation(component: str, index: Index) -> list[Move]:
    if any(node.op_type == "Log" for node in index.model.graph.node):
        return [_move("activation", component, Step(lever="short-softplus", component=component))]
    return []


def _convolutions(component: str, index: Index) -> list[Move]:
    """All two-dimensional ones together (an acoustic front end), then those over time."""
    names = convolutions(index.model)
    planes = tuple(name for name in names if _rank_of(index, name) == 4)
    if not planes:
        return []
    found = [_move("convolution", component, Step(lever="int8-conv", component=component, tensors=planes))]
    if len(planes) < len(names):
        found.append(_move("convolution", component, Step(lever="int8-conv", component=component)))
    return found


def _rank_of(index: Index, output: str) -> int:
    weight = index.array(index.maker[output].input[1])
    return 0 if weight is None else int(weight.ndim)


def _forms(component: str, maps: Mapping[str, Linear], index: Index) -> list[Move]:
    """How the maps' weights are stored: by family of maps in the encoder, all together elsewhere."""
    found = []
    for family, names in families(component, maps, index).items():
        slot = f"form:{component}:{family}"
        tensors = tuple(names) if component == "encoder" else ()
        if any(maps[name].form == "float" for name in names):
            found.append(_move(slot, component, Step(lever="int8", component=component, tensors=tensors)))
            eight = {"bits": 8, "block": 64, "accuracy": 4}
            found.append(
                _move(slot, component, Step(lever="blockwise", component=component, tensors=tensors, options=eight))
            )
        four = {"bits": 4, "block": 32, "accuracy": 4}
        found.append(
            _move(slot, component, Step(lever="blockwise", component=component, tensors=tensors, options=four))
        )
    return found


def families(component: str, maps: Mapping[str, Linear], index: Index) -> dict[str, list[str]]:
    """Maps of one kind: `/feed_forward1/in_proj_3/MatMul_output_0` is of `feed_forward1/in_proj`. Small maps are left out.

    Where the exporter numbered its values (`val_300`), the bias that is added says what a map is.
    """
    if component != "encoder":
        return {"all": list(maps)} if maps else {}
    found: dict[str, list[str]] = {}
    for name, each in maps.items():
        if each.weight.size >= 4096:
            found.setdefault(_family(_said(each, index)), []).append(name)
    return found


def _said(linear: Linear, index: Index) -> str:
    """The map's own name, or `a/b/c` for the bias `a.b.c.bias` behind a map without one."""
    if "/" in linear.name:
        return linear.name
    added = index.only_user(linear.output, "Add")
    names = [] if added is None else [name for name in added.input if index.array(name) is not None]
    return names[0].removesuffix(".bias").replace(".", "/") if names else linear.name


def _family(name: str) -> str:
    parts = [part.rstrip("0123456789").rstrip("_") for part in name.strip("/").split("/")]
    kept = [part for part in parts if part and not part.startswith(("MatMul", "Gemm", "linear", "node"))]
    for known in ("feed_forward", "self_attn", "conv"):
        if any(part.startswith(known) for part in kept):
            return known
    return "/".join(kept[-2:] if "blocks" in kept[-3:-2] else kept[-1:]) or "other"


def _width(component: str, model: object, keep: float) -> list[Move]:
    inner = tuple(pairs(model))
    if not inner:
        return []
    maps = linears(model)
    narrow = Step(lever="prune-width", component=component, tensors=inner, options={"keep": keep})
    changed = tuple(dict.fromkeys([*inner, *(pairs(model)[name] for name in inner)]))
    if all(maps[name].form == "dynamic8" for name in inner):
        return [_move("width", component, narrow, Step(lever="int8", component=component, tensors=changed))]
    return [_move("width", component, narrow)]


def _rank(component: str, maps: Mapping[str, Linear]) -> list[Move]:
    """Only maps that are large for their kind: two thin maps are two operators instead of one."""
    sizes = [each.weight.size for each in maps.values()]
    if not sizes:
        return []
    large = [each for each in maps.values() if each.weight.size >= 4 * float(np.median(sizes))]
    found = []
    for each in large:
        for keep in KEEPS[1:]:
            thin = Step(lever="low-rank", component=component, tensors=(each.name,), options={"keep": keep})
            steps: Sequence[Step] = [thin]
            if each.form == "dynamic8":
                inner = (f"{each.name}/thin", each.name)
                steps = [thin, Step(lever="int8", component=component, tensors=inner, options={"rounding": "nearest"})]
            found.append(_move(f"rank:{each.name}", component, *steps))
    return found
