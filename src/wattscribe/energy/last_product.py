"""The end of a graph: from its outputs back to the last product with a constant matrix, that one included.

In a Whisper of sherpa-onnx's layout the encoder ends in the keys and values of cross-attention, the decoder in the rows of the
vocabulary: parts with costs, and often rates, of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from wattscribe.energy import operators
from wattscribe.graph.model import Graph


def last_product(graph: Graph, outputs: Iterable[str]) -> set[str]:
    """Values made from the last products on; lookups in the same table (a tied embedding) belong to them too."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    fixed = set(graph.initializers)
    for node in graph.nodes:  # in order: what depends on constants alone is one
        if node.inputs and all(name in fixed for name in node.inputs if name):
            fixed.update(node.outputs)
    found: set[str] = set()
    tables: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in makers or name in found or name in fixed or makers[name].op_type == "DynamicQuantizeLinear":
            continue  # the step of the product's input leads behind the product
        node = makers[name]
        found.update(node.outputs)
        if operators.is_matrix(node.op_type) and any(each in fixed for each in node.inputs):
            tables.update(each for each in node.inputs if each in fixed)
        else:
            waiting += node.inputs
    tables |= {
        each for name in tables if name in makers for each in makers[name].inputs
    }  # behind a folded transposition
    for node in graph.nodes:
        if node.op_type in operators.ROW_LOOKUPS and node.inputs[0] in tables:
            found.update(node.outputs)
    return found
