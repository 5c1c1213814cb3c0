"""Which lossy changes a model offers, by slot: at most one of a slot's choices is in a recipe, so that weights are always
made from the original ones and never rounded twice.

Later slots come later in the recipe: structure before form. Weights in 16 bits are not among them: onnxruntime's CPU kernels lift
them once, at load, and read 32 bits at each call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wattscribe.compression.candidate import COMPONENTS, Candidate
from wattscribe.compression.levers.convolution import convolutions
from wattscribe.compression.levers.depth import blocks
from wattscribe.compression.levers.recurrent import lstms
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.linears import Index, Linear, linears
from wattscribe.compression.step import Step

KEEPS = (0.9, 0.75, 0.5)
LEAST_WEIGHTS = 4096
"""Of a map: fewer are not worth operators of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One choice of a slot; several steps where one needs another (thin maps are stored in 8 bits at once)."""

    slot: str
    component: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        return " + ".join(str(step) for step in self.steps)

    @property
    def key(self) -> str:
        """Equal for equal moves."""
        return json.dumps([step.key for step in self.steps])


Choices = Mapping[str, Move]
"""Slot → what is chosen for it."""
ORDER = (
    "cut", "window", "gate", "joint", "activation", "convolution", "depth", "width", "rank", "recurrent", "form", "table",
)  # fmt: skip


def steps_of(choices: Choices) -> tuple[Step, ...]:
    """The steps of a set of choices, in the order in which they can be carried out."""
    ranked = sorted(choices.items(), key=lambda item: (ORDER.index(item[0].split(":")[0]), item[0]))
    return tuple(step for _, move in ranked for step in move.steps)


def moves(candidate: Candidate) -> list[Move]:
    """What this model offers but for the bits of single maps (`bits.ladders`); whether it pays is measured later."""
    offered: list[Move] = []
    for component in COMPONENTS:
        model = candidate.model(component)
        maps = linears(model)
        index = Index(model)
        if component == "encoder":
            offered += _activation(component, index)
            offered += _convolutions(component, index)
            offered += _depth(component, model)
            offered += [move for keep in KEEPS for move in _width(component, model, keep)]
            offered += _rank(component, maps)
        else:
            offered += _forms(component, maps)
        offered += _recurrent(component, candidate.model(component))
        if component == "predictor":
            offered.append(_move("table:predictor", component, Step(lever="lookup-int8", component=component)))
    offered += [
        _move("joint", "joiner", Step(lever="prune-width", component="joiner", options={"keep": keep}))
        for keep in KEEPS
    ]
    return offered


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
    offered = [_move("convolution", component, Step(lever="int8-conv", component=component, tensors=planes))]
    if len(planes) < len(names):
        offered.append(_move("convolution", component, Step(lever="int8-conv", component=component)))
    return offered


def _rank_of(index: Index, output: str) -> int:
    node = index.maker(output)
    weight = None if node is None else index.constant(node.input[1])
    return 0 if weight is None else int(weight.ndim)


def _recurrent(component: str, model: Any) -> list[Move]:
    """All LSTMs of a network whose weights are worth an operator that quantises its inputs."""
    large = []
    nodes = lstms(model)
    index = Index(model)
    for name, node in nodes.items():
        weights = [index.constant(source) for source in node.input[1:3]]
        if sum(weight.size for weight in weights if weight is not None) >= LEAST_WEIGHTS:
            large.append(name)
    if not large:
        return []
    return [
        _move(f"recurrent:{component}", component, Step(lever="lstm-int8", component=component, tensors=tuple(large)))
    ]


def recurrent(offered: Iterable[Move]) -> list[Step]:
    """Every LSTM in 8 bits, for strategies that do not choose."""
    return [step for move in offered if move.slot.startswith("recurrent") for step in move.steps]


def _forms(component: str, maps: Mapping[str, Linear]) -> list[Move]:
    """How the weights of a small network are stored, all together; map by map: `bits.ladders`, for encoder and joiner."""
    if not maps:
        return []
    slot = f"form:{component}"
    eight = Step(lever="blockwise", component=component, options={"bits": 8, "block": 64, "accuracy": 4})
    four = Step(lever="blockwise", component=component, options={"bits": 4, "block": 32, "accuracy": 4})
    steps = [four]
    if any(linear.form == "float" for linear in maps.values()):
        steps = [Step(lever="int8", component=component), eight, four]
    return [_move(slot, component, step) for step in steps]


def _depth(component: str, model: object) -> list[Move]:
    """Each block by itself."""
    maps = linears(model)
    offered = []
    for name, first in blocks(model).items():
        if maps[first].weight.size + maps[name].weight.size < LEAST_WEIGHTS:
            continue
        steps = [Step(lever="linearise", component=component, tensors=(name,))]
        if maps[name].form == "dynamic8":
            steps.append(Step(lever="int8", component=component, tensors=(name,)))
        offered.append(_move(f"depth:{name}", component, *steps))
    return offered


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
    sizes = [linear.weight.size for linear in maps.values()]
    if not sizes:
        return []
    large = [linear for linear in maps.values() if linear.weight.size >= 4 * float(np.median(sizes))]
    offered = []
    for linear in large:
        for keep in KEEPS[1:]:
            thin = Step(lever="low-rank", component=component, tensors=(linear.name,), options={"keep": keep})
            steps: Sequence[Step] = [thin]
            if linear.form == "dynamic8":
                inner = (f"{linear.name}/thin", linear.name)
                steps = [thin, Step(lever="int8", component=component, tensors=inner, options={"rounding": "nearest"})]
            offered.append(_move(f"rank:{linear.name}", component, *steps))
    return offered
