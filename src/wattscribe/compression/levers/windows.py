"""Several segments as one: where attention is masked by addition, the later segments' windows become rows of the mask.

Unrolling (`segments`) writes attention, states and convolutions once per segment; most of a small encoder's time then goes into
operators that move values. Here the graph keeps its size: every axis of time grows, and a frame is kept from the keys that its
own segment would not have had. Sums run over the same terms and zeros: the last bit may change, so `segments` runs both
graphs and compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from wattscribe.compression.levers.carried import Graph
from wattscribe.compression.levers.stacking import operands_of
from wattscribe.compression.linears import add_constant, copied, option, put
from wattscribe.errors import InputError
from wattscribe.graph.read import parse_node
from wattscribe.graph.rules import RULES

HIDDEN = -1e4
"""Added to the score of a key that a frame must not see: exp() of it is 0 in float32, and float16 can hold it."""
Axes = dict[int, tuple[int, int]]
"""Axis of time → its length in the original and here."""


def widen(graph: Graph, count: int, taken: int, shift: int) -> None:
    """Change `graph.model` in place. Raises InputError, and changes nothing, where an axis of time cannot be followed."""
    if taken != shift:
        raise InputError("segments that overlap cannot become one")
    wide = Wide(graph=graph, count=count)
    wide.axes[graph.audio] = {1: (taken, count * taken)}
    for node in copied(graph.nodes):
        if any(name in wide.axes for name in node.input):
            wide.follow(node)
        wide.nodes.append(node)
    grown = wide.axes.get(graph.outputs[0], {})
    if list(grown) != [1] or any(name in wide.axes for name in graph.states.values()):
        raise InputError("the encoder's frames must grow with the segment, and its states must not")
    for name, value in wide.constants.items():
        add_constant(graph.model, name, value)
    for declared in (*graph.model.graph.input, *graph.model.graph.output):
        dims = declared.type.tensor_type.shape.dim
        if declared.name in (graph.audio, graph.outputs[0]) and dims[1].dim_value:
            dims[1].dim_value = wide.axes[declared.name][1][1]
    del graph.model.graph.value_info[:]
    put(graph.model.graph.node, wide.nodes)


@dataclass(slots=True, kw_only=True)
class Wide:
    """The graph while its axes of time grow; `axes` holds the values that have one."""

    graph: Graph
    count: int
    axes: dict[str, Axes] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def follow(self, node: Any) -> None:
        """What this operator makes of the axes; its constants are exchanged where they state a length."""
        rule = _RULES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            raise InputError(f"{node.op_type} over time cannot be followed")
        axes = rule(self, node)
        for name in node.output:
            if axes:
                self.axes[name] = dict(axes)

    # --- what rules ask ---------------------------------------------------------------------------------------------
    def of(self, name: str) -> Axes:
        return self.axes.get(name, {})

    def shape(self, name: str) -> tuple[int, ...]:
        """As the trial run had it."""
        if name not in self.graph.shapes:
            raise InputError(f"the shape of {name!r} is not known")
        return self.graph.shapes[name]

    def fixed(self, node: Any, place: int) -> Any:
        """A constant input's values; None where there is none."""
        if len(node.input) <= place or not node.input[place]:
            return None
        value = self.graph.values.get(node.input[place])
        if value is None:
            raise InputError(f"{node.op_type} over time by numbers that are computed")
        return value

    def constant(self, node: Any, place: int, values: Any) -> None:
        """Another value for one input of one node."""
        name = f"{node.output[0]}/wide{place}"
        self.constants[name] = values
        node.input[place] = name

    # --- the mask -----------------------------------------------------------------------------------------------------
    def mask(self, name: str, scores: Axes, rank: int) -> str:
        """A mask over keys [.., keys] → [.., frames, keys]: its own columns, open ones for what is new, windows by rows."""
        mask = f"{name}/windows"
        if mask in self.constants:
            return f"{name}/wide"
        frames, keys = scores.get(rank - 2), scores.get(rank - 1)
        shape = self.shape(name)
        if frames is None or keys is None or len(shape) != rank or shape[-1] != keys[0] or shape[-2] not in (1,):
            raise InputError("what is added to the scores is no mask over keys")
        from onnx import helper

        more = keys[1] - keys[0]
        step = more // (self.count - 1)
        segment = np.arange(frames[1])[:, None] // frames[0]
        key = np.arange(keys[1])[None]
        seen = (key >= step * segment) & (key < step * segment + keys[0])
        self.constants[mask] = np.where(seen, 0.0, HIDDEN).astype(np.float32).reshape((1,) * (rank - 2) + seen.shape)
        self.constants[f"{name}/pads"] = np.array([0] * (2 * rank - 1) + [more], np.int64)
        self.nodes += [
            helper.make_node("Pad", [name, f"{name}/pads"], [f"{name}/longer"]),
            helper.make_node("Add", [f"{name}/longer", mask], [f"{name}/wide"]),
        ]
        return f"{name}/wide"


# --- rules: (wide, node) → the axes of its outputs --------------------------------------------------------------------------
def _same(wide: Wide, node: Any) -> Axes:
    return wide.of(node.input[0])


def _elementwise(wide: Wide, node: Any) -> Axes:
    """Broadcast from the right. What stands across an axis of time must have one element there, the same axis, or be a mask."""
    rank = len(wide.shape(node.output[0]))
    axes: Axes = {}
    for name in node.input:
        shift = rank - len(wide.shape(name))
        axes.update({axis + shift: length for axis, length in wide.of(name).items()})
    for place, name in enumerate(node.input):
        shape = wide.shape(name)
        shift = rank - len(shape)
        for axis, length in axes.items():
            if axis >= shift and shape[axis - shift] != 1 and wide.of(name).get(axis - shift) != length:
                if node.op_type != "Add" or wide.of(name):
                    raise InputError(f"{node.op_type} of values of other lengths")
                node.input[place] = wide.mask(name, axes, rank)
                break
    return axes


def _moved(wide: Wide, node: Any) -> Axes:
    """What only moves an axis, or works along others, does so as the table of rules says of a stacked one."""
    parsed, out, axes = parse_node(node.SerializeToString()), wide.shape(node.output[0]), Axes()
    for axis, length in wide.of(node.input[0]).items():
        place = RULES[node.op_type](parsed, operands_of(node, wide.graph, {0}, axis), out)
        if place is None:
            raise InputError(f"{node.op_type} over time cannot be followed")
        axes[place] = length
    return axes


def _matmul(wide: Wide, node: Any) -> Axes:
    first, second = node.input
    rank = len(wide.shape(node.output[0]))
    if len(wide.shape(first)) != rank or (wide.of(second) and len(wide.shape(second)) != rank):
        raise InputError("a matrix product that broadcasts cannot be followed")
    left, right = dict(wide.of(first)), dict(wide.of(second))
    if left.pop(rank - 1, None) != right.pop(rank - 2, None):
        raise InputError("a matrix product over time by weights")
    if any(axis < rank - 2 for axis in (*left, *right)):
        raise InputError("a matrix product with time as its batch")
    return {**left, **right}


def _concat(wide: Wide, node: Any) -> Axes:
    rank = len(wide.shape(node.output[0]))
    axis = option(node, "axis", 0) % rank
    others = {other: length for name in node.input for other, length in wide.of(name).items() if other != axis}
    for name in node.input:
        if {other: length for other, length in wide.of(name).items() if other != axis} != others:
            raise InputError("a concatenation of values of other lengths")
    if not any(axis in wide.of(name) for name in node.input):
        return others
    lengths = [wide.of(name).get(axis, (wide.shape(name)[axis],) * 2) for name in node.input]
    return {**others, axis: (sum(before for before, _ in lengths), sum(after for _, after in lengths))}


def _slice(wide: Wide, node: Any) -> Axes:
    """Along time only what reaches to the end and leaves out the beginning: a state's last frames."""
    axes, rank = wide.of(node.input[0]), len(wide.shape(node.input[0]))
    starts, ends = wide.fixed(node, 1), wide.fixed(node, 2)
    chosen, steps = wide.fixed(node, 3), wide.fixed(node, 4)
    along = list(range(len(starts))) if chosen is None else [int(axis) % rank for axis in chosen]
    grown = [place for place, axis in enumerate(along) if axis in axes]
    if not grown:
        return axes
    left = dict(axes)
    starts, ends = starts.copy(), ends.copy()
    for place in grown:
        before, after = axes[along[place]]
        whole = ends[place] >= before and (steps is None or steps[place] == 1)
        if not whole or not 0 < starts[place] + (before if starts[place] < 0 else 0) < before:
            raise InputError("a piece of time that is not its end")
        starts[place] += (after - before) if starts[place] > 0 else 0
        ends[place] = after
        left.pop(along[place])
    wide.constant(node, 1, starts)
    wide.constant(node, 2, ends)
    return left


def _reshape(wide: Wide, node: Any) -> Axes:
    """An axis of time keeps its place: as many elements stand before it, and its length is a part of what it was."""
    source, target = wide.shape(node.input[0]), wide.shape(node.output[0])
    wanted = wide.fixed(node, 1).copy()
    axes: Axes = {}
    for axis, (before, after) in wide.of(node.input[0]).items():
        place = next((i for i in range(len(target)) if prod(target[:i]) == prod(source[:axis]) and target[i] > 1), None)
        if place is None or before % target[place] or wanted[place] == 0:
            raise InputError("time is mixed with other axes")
        axes[place] = (target[place], after * target[place] // before)
        wanted[place] = axes[place][1]
    if (wanted < 0).sum() > 1:
        raise InputError("a shape with two free axes")
    wide.constant(node, 1, wanted)
    return axes


def _convolution(wide: Wide, node: Any) -> Axes:
    """Over time as the last axis, one step at a time, without padding."""
    axes, rank = wide.of(node.input[0]), len(wide.shape(node.input[0]))
    plain = all(set(option(node, name, [good])) == {good} for name, good in (("strides", 1), ("pads", 0)))
    if list(axes) != [rank - 1] or not plain or option(node, "auto_pad", b"NOTSET") != b"NOTSET":
        raise InputError("a convolution over time that strides or pads")
    before, after = axes[rank - 1]
    length = wide.shape(node.output[0])[-1]
    return {rank - 1: (length, length + after - before)}


_UNARY = (
    "Abs", "Cast", "Clip", "Erf", "Exp", "Identity", "Log", "Neg", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Tanh",
)  # fmt: skip
_RULES: Mapping[str, Callable[[Wide, Any], Axes]] = {
    **dict.fromkeys(_UNARY, _same),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"), _elementwise),
    **dict.fromkeys(("LayerNormalization", "Split", "Squeeze", "Transpose", "Unsqueeze"), _moved),
    "MatMul": _matmul,
    "Concat": _concat,
    "Slice": _slice,
    "Reshape": _reshape,
    "Conv": _convolution,
}

__all__ = ["widen"]
