"""How each operator behaves when values of several segments are stacked along an axis: the one table of rules.

A rule says on which axis an operator's output is stacked when its inputs are; where no rule holds the operator runs once for each
segment, which is always right. `RULES` keep every bit. The runtime stacks along any axis on which one segment has size 1
(`unroll`); `compress` along the first, of any size, and follows axes of time through the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph.model import Node

Shape = tuple[int, ...]
Constants = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Operand:
    """An input as a rule sees it: its shape for one segment, the axis it is stacked on (None: shared), its value if constant."""

    shape: Shape
    axis: int | None
    constant: NDArray[np.generic] | None

    def from_right(self) -> int | None:
        return None if self.axis is None else self.axis - len(self.shape)


Rule = Callable[[Node, Sequence[Operand], Shape], int | None]
"""The axis on which the output is stacked; None: run it apart."""


def elementwise(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Broadcasting operators: all stacked inputs agree, counted from the right."""
    places = {operand.from_right() for operand in operands if operand.axis is not None}
    if len(places) != 1:
        return None
    place = places.pop()
    return None if place is None else place + len(out)


def transpose(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    order = node.integers("perm") or tuple(reversed(range(len(out))))
    axis = operands[0].axis
    return None if axis is None else order.index(axis)


def reshape(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """The axis of the same size with as many elements before it as in the input; None where it is merged into another."""
    shape, axis = operands[0].shape, operands[0].axis
    if axis is None:
        return None
    before = prod(shape[:axis])
    places = [place for place, size in enumerate(out) if size == shape[axis] and prod(out[:place]) == before]
    return min(places, key=lambda place: abs(place - axis)) if places else None


def along(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Operators that work along one axis, which may not be the stacked one: Softmax, LayerNormalization, Split."""
    axis, own = operands[0].axis, _integer(node, "axis", 0 if node.op_type == "Split" else -1)
    if axis is None or any(operand.axis is not None for operand in operands[1:]):
        return None
    rank = len(operands[0].shape)
    own %= rank
    taken = range(own, rank) if node.op_type == "LayerNormalization" else (own,)
    return None if axis in taken else axis


def concat(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    axes = {operand.axis for operand in operands}
    axis = axes.pop() if len(axes) == 1 else None
    return None if axis is None or axis == _integer(node, "axis", 0) % len(out) else axis


def cut(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Slice with constant bounds along other axes."""
    settings = [operand.constant.reshape(-1) for operand in operands[1:] if operand.constant is not None]
    axis = operands[0].axis
    if len(settings) != len(operands) - 1 or axis is None or len(settings) < 2:
        return None
    axes = settings[2] if len(settings) > 2 else np.arange(len(settings[0]))
    return None if axis in {int(place) % len(out) for place in axes} else axis


def reduce(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    axis, rank = operands[0].axis, len(operands[0].shape)
    axes = _axes(node, operands)
    if axis is None or not axes:
        return None
    taken = {place % rank for place in axes}
    if axis in taken:
        return None
    return axis if _integer(node, "keepdims", 1) else axis - sum(place < axis for place in taken)


def unsqueeze(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    axis, axes = operands[0].axis, _axes(node, operands)
    if axis is None or axes is None:
        return None
    added = {place % len(out) for place in axes}
    return [place for place in range(len(out)) if place not in added][axis]


def squeeze(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    axis, axes = operands[0].axis, _axes(node, operands)
    if axis is None or axes is None:
        return None
    gone = {place % len(operands[0].shape) for place in axes}
    return None if axis in gone else axis - sum(place < axis for place in gone)


def matmul(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Stacked along a batch axis of the product; or along the left one's rows, the right one being a matrix for all."""
    left, right = operands[:2]
    place = left.from_right() if left.axis is not None else right.from_right()
    if place is None or min(len(left.shape), len(right.shape)) < 2 or node.attributes.get("transBatchA"):
        return None
    if place <= -3:
        return elementwise(node, (left, right), out)
    rows = place == -2 and right.axis is None and len(right.shape) == 2 and not node.attributes.get("transA")
    return len(out) - 2 if rows and left.axis is not None else None


def gather(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Constant indices along another axis."""
    data, indices = operands[:2]
    if data.axis is None or indices.axis is not None:
        return None
    own = _integer(node, "axis", 0) % len(data.shape)
    if own == data.axis:
        return None
    return data.axis if data.axis < own else data.axis + len(indices.shape) - 1


def expand(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    place = operands[0].from_right()
    return None if operands[1].constant is None or place is None else place + len(out)


def _integer(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    return value if isinstance(value, int) else default


def _axes(node: Node, operands: Sequence[Operand]) -> list[int] | None:
    """The axes of Reduce, Squeeze and Unsqueeze: an attribute, or a constant input from opset 13 or 18 on."""
    axes = node.integers("axes")
    if axes is not None:
        return list(axes)
    if len(operands) > 1 and (constant := operands[1].constant) is not None:
        return [int(axis) for axis in constant.reshape(-1)]
    return None


def alone(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Operators whose one input that matters is stacked along the first axis."""
    return 0 if operands[0].axis == 0 and all(operand.axis is None for operand in operands[1:]) else None


def one_scale(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """(De)quantisation, where one scale holds for all."""
    return alone(node, operands, out) if all(prod(operand.shape) == 1 for operand in operands[1:]) else None


def gemm(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    plain = not node.attributes.get("transA") and all(len(operand.shape) < 2 for operand in operands[2:])
    return alone(node, operands, out) if plain else None


def integer_matmul(node: Node, operands: Sequence[Operand], out: Shape) -> int | None:
    """Zero points are the same for all."""
    return None if any(operand.axis is not None for operand in operands[2:]) else matmul(node, operands[:2], out)


_ELEMENTWISE = (
    "Abs Add And Cast Ceil Clip Cos Div Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid Identity LeakyRelu Less "
    "LessOrEqual Log Max Min Mod Mul Neg Not Or PRelu Pow QuickGelu Reciprocal Relu Round Sigmoid Sign Sin Softplus Sqrt Sub "
    "Tanh Where"
)
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
"""Operators that broadcast their inputs."""

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(["ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"], reduce),
    **dict.fromkeys(["LayerNormalization", "LogSoftmax", "Softmax", "Split"], along), "Concat": concat,
    **dict.fromkeys(("Conv", "FusedConv", "ReorderInput", "ReorderOutput"), alone), "Expand": expand,
    "FusedMatMul": matmul, "Gather": gather, "MatMul": matmul, "Reshape": reshape, "Slice": cut, "Squeeze": squeeze,
    "Transpose": transpose, "Unsqueeze": unsqueeze,
}  # fmt: skip
RANGED: Mapping[str, Rule] = {
    **dict.fromkeys(("DynamicQuantizeLinear", "MatMulNBits", "QLinearConv"), alone),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), one_scale),
    "Gemm": gemm,
    "MatMulInteger": integer_matmul,
}
"""More of them, where the last bit may change: a range is taken over all segments, or more rows are added in another order."""
