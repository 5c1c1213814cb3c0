"""The end of a graph: from its outputs back to the last product with a constant matrix, that one included.

In a Whisper of sherpa-onnx's layout the encoder ends in the keys and values of cross-attention, the decoder in the rows of the
vocabulary: parts with costs, and often rates, of their own. Where a cheap product over all rows picks some that are then looked
up and multiplied, that second product is a last one too.
"""

from __future__ import annotations

from collections.abc import Iterable

from wattscribe.energy import operators
from wattscribe.graph.model import Graph


def last_product(graph: Graph, outputs: Iterable[str], outside: Iterable[str] = ()) -> set[str]:
    """Values made from the last products on; lookups in the same table (a tied embedding) belong to them too.

    `outside`: constants of the graph in which this one is a branch.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    fixed = {*graph.initializers, *outside}
    for node in graph.nodes:  # in order: what depends on constants alone is one
        if node.op_type == "Constant" or (node.inputs and all(name in fixed for name in node.inputs if name)):
            fixed.update(node.outputs)
    rows = _rows(graph, fixed)
    values: set[str] = set()
    tables: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in makers or name in values or name in fixed or makers[name].op_type == "DynamicQuantizeLinear":
            continue  # the step of the product's input leads behind the product
        node = makers[name]
        values.update(node.outputs)
        if node.op_type in _SHAPES:
            continue  # which asks for no values
        if operators.is_matrix(node.op_type) and any(source in fixed for source in node.inputs):
            tables.update(source for source in node.inputs if source in fixed)
        elif operators.is_matrix(node.op_type) and any(source in rows for source in node.inputs):
            waiting += (source for source in node.inputs if source in rows)
        elif name in rows and node.op_type in operators.ROW_LOOKUPS:
            tables.add(node.inputs[0])
            waiting.append(node.inputs[1])
        else:
            waiting += node.inputs
    tables |= {
        source for name in tables if name in makers for source in makers[name].inputs
    }  # behind a folded transposition
    for node in graph.nodes:
        if node.op_type in operators.ROW_LOOKUPS and node.inputs[0] in tables:
            values.update(node.outputs)
    return values


def _rows(graph: Graph, fixed: set[str]) -> set[str]:
    """Rows of constant tables that were looked up, in whatever order and type."""
    rows: set[str] = set()
    for node in graph.nodes:
        looked_up = node.op_type in operators.ROW_LOOKUPS and node.inputs[0] in fixed
        if looked_up or (node.op_type in _SAME_VALUES and node.inputs[0] in rows):
            rows.update(node.outputs)
    return rows - fixed


_SHAPES = frozenset(("Shape", "Size"))
_SAME_VALUES = frozenset(("Cast", "Transpose", *(operators.VIEWS - _SHAPES)))
