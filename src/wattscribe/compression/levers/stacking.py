"""Which operators give the same answers for several segments stacked along the first axis as for each by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import Any

from wattscribe.compression.levers.carried import Graph

_ELEMENTWISE = (
    "Abs Add And Cast Clip Div Equal Erf Exp Greater GreaterOrEqual HardSigmoid Identity LeakyRelu Less LessOrEqual Log Max Min "
    "Mul Neg Not Or Pow Reciprocal Relu Sigmoid Softplus Sqrt Sub Tanh Where"
)


def stackable(node: Any, graph: Graph, common: Collection[str]) -> bool:
    """`common`: values that are the same for all segments."""
    rule = _RULES.get(node.op_type)
    if rule is None or any(
        name and name not in graph.shapes for name in (*node.input, *node.output) if name not in common
    ):
        return False
    return rule(_View(node, graph, common))


class _View:
    """A node as a rule sees it."""

    def __init__(self, node: Any, graph: Graph, common: Collection[str]) -> None:
        self.node, self.graph, self.common = node, graph, common
        self.out = graph.shapes[node.output[0]]

    def shape(self, place: int) -> tuple[int, ...]:
        return self.graph.shapes.get(self.node.input[place], ())

    def is_common(self, place: int) -> bool:
        return self.node.input[place] in self.common

    def rest_common(self) -> bool:
        return not self.is_common(0) and all(not name or name in self.common for name in self.node.input[1:])

    def attribute(self, name: str, default: Any) -> Any:
        from onnx import helper

        return next((helper.get_attribute_value(each) for each in self.node.attribute if each.name == name), default)

    def axes(self, place: int) -> list[int] | None:
        """Of an attribute or of a constant input."""
        found = self.attribute("axes", None)
        if found is None and len(self.node.input) > place and self.node.input[place] in self.graph.values:
            found = self.graph.values[self.node.input[place]].reshape(-1).tolist()
        return None if found is None else [int(each) for each in found]


def _elementwise(view: _View) -> bool:
    rank = len(view.out)
    for place, name in enumerate(view.node.input):
        if not name:
            continue
        shape = view.shape(place)
        if view.is_common(place):
            if name not in view.graph.shapes or (len(shape) == rank and shape[0] != 1):
                return False
        elif len(shape) != rank or not rank or shape[0] != view.out[0]:
            return False
    return True


def _matmul(view: _View) -> bool:
    """Rows of a matrix product, or products of a batch; zero points of the integer one are the same for all."""
    left, right = view.shape(0), view.shape(1)
    if view.is_common(0) or len(left) < 2 or any(name and name not in view.common for name in view.node.input[2:]):
        return False
    if view.is_common(1):
        return len(right) == 2
    return len(left) == len(right) >= 3 and left[0] == right[0]


def _gemm(view: _View) -> bool:
    return (
        view.rest_common()
        and not view.attribute("transA", 0)
        and len(view.shape(2) if len(view.node.input) > 2 else ()) < 2
    )


def _along(default: int) -> Callable[[_View], bool]:
    """Works along one axis, which may not be the first."""

    def rule(view: _View) -> bool:
        rank = len(view.shape(0))
        return rank > 1 and view.rest_common() and view.attribute("axis", default) % rank != 0

    return rule


def _concat(view: _View) -> bool:
    axis = view.attribute("axis", 0) % max(len(view.out), 1)
    same = all(
        not view.is_common(place) and view.shape(place)[:1] == view.out[:1] for place in range(len(view.node.input))
    )
    return bool(axis) and same


def _transpose(view: _View) -> bool:
    order = view.attribute("perm", None)
    return order is not None and order[0] == 0


def _reshape(view: _View) -> bool:
    """The first size is taken over, or what is left; the others stay what they are."""
    wanted = view.graph.values.get(view.node.input[1])
    given = view.shape(0)
    if wanted is None or view.is_common(0) or not given or given[0] != view.out[0]:
        return False
    sizes = wanted.reshape(-1).tolist()
    return sizes[0] in (0, -1) and prod(given[1:]) == prod(view.out[1:])


def _slice(view: _View) -> bool:
    axes = view.axes(3)
    return view.rest_common() and axes is not None and all(each % len(view.out) for each in axes)


def _reduce(view: _View) -> bool:
    axes = view.axes(1)
    return view.rest_common() and bool(axes) and bool(view.attribute("keepdims", 1)) and all(
        each % len(view.out) for each in axes or ()
    )  # fmt: skip


def _unsqueeze(view: _View) -> bool:
    axes = view.axes(1)
    return view.rest_common() and axes is not None and all(each % len(view.out) for each in axes)


def _squeeze(view: _View) -> bool:
    axes = view.axes(1)
    return view.rest_common() and axes is not None and all(each % len(view.shape(0)) for each in axes)


def _scaled(view: _View) -> bool:
    """(De)quantisation by one scale."""
    return view.rest_common() and all(prod(view.shape(place)) == 1 for place in range(1, len(view.node.input)))


def _alone(view: _View) -> bool:
    return view.rest_common()


_RULES: dict[str, Callable[[_View], bool]] = {
    **dict.fromkeys(_ELEMENTWISE.split(" "), _elementwise),
    **dict.fromkeys(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"], _reduce),
    **dict.fromkeys(["QuantizeLinear", "DequantizeLinear"], _scaled),
    **dict.fromkeys(["Conv", "QLinearConv", "MatMulNBits", "DynamicQuantizeLinear"], _alone),
    **dict.fromkeys(["Softmax", "LogSoftmax", "LayerNormalization"], _along(-1)),
    "Split": _along(0),
    **dict.fromkeys(["MatMul", "MatMulInteger"], _matmul),
    "Gemm": _gemm,
    "Concat": _concat,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
}
