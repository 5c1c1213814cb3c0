"""Which operators give the same answers for several segments stacked along the first axis as for each by itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from wattscribe.compression.levers.carried import Graph
from wattscribe.graph.read import parse_node
from wattscribe.graph.rules import ELEMENTWISE, RANGED, RULES, Operand

_APART = ("Expand", "Gather")
"""Could be stacked too, as products by a constant of more axes than a matrix: networks of earlier recipes have them apart."""
_TABLE = {name: rule for name, rule in {**RULES, **RANGED}.items() if name not in _APART}


def operands_of(node: Any, graph: Graph, stacked: Collection[int], axis: int) -> list[Operand]:
    """The node's inputs, those at the places `stacked` along `axis`."""
    return [
        Operand(graph.shapes.get(name, ()), axis if place in stacked else None, graph.values.get(name))
        for place, name in enumerate(node.input)
    ]


def stackable(node: Any, graph: Graph, common: Collection[str]) -> bool:
    """`common`: values that are the same for all segments."""
    rule, first = _TABLE.get(node.op_type), node.op_type not in ELEMENTWISE
    named = [name for name in (*node.input, *node.output) if name]
    if rule is None or any(name not in graph.shapes for name in named if not first or name not in common):
        return False
    stacked = {place for place, name in enumerate(node.input) if name and name not in common}
    out = graph.shapes[node.output[0]]
    operands = operands_of(node, graph, stacked, 0)
    if not out or (first and 0 not in stacked) or any(operands[place].shape[:1] != out[:1] for place in stacked):
        return False
    across = (
        operand.shape[0]
        for operand in operands
        if operand.axis is None and operand.shape and len(operand.shape) == len(out)
    )
    if not first and any(size != 1 for size in across):
        return False
    if node.op_type in ("MatMul", "MatMulInteger") and 1 not in stacked and len(operands[1].shape) != 2:
        return False
    if node.op_type == "Reshape" and (
        operands[1].constant is None or operands[1].constant.reshape(-1)[0] not in (0, -1)
    ):
        return False  # a first size that the graph states is that of one segment
    return rule(parse_node(node.SerializeToString()), operands, out) == 0
