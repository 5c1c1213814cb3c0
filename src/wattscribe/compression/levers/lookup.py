"""The embedding table in 8 bits: onnxruntime's quantiser reads the row in 8 bits and scales it afterwards."""

from __future__ import annotations

from wattscribe.compression.levers.tools import Asked, name_nodes, written_by_quantiser
from wattscribe.compression.linears import Index, sweep

SMALLEST = 4096
"""Bytes: shorter constants that a Gather reads are no embedding tables."""


def int8(asked: Asked) -> None:
    """Gather of a float table → Gather of uint8 rows → DequantizeLinear."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = asked.model
    index = Index(model)
    name_nodes(model)
    nodes = [node.name for node in model.graph.node if node.op_type == "Gather" and _is_table(index, node.input[0])]
    if not nodes:
        raise asked.nothing("looks nothing up in a float table")
    with written_by_quantiser(asked) as path:
        quantize_dynamic(
            model, path, op_types_to_quantize=["Gather"], weight_type=QuantType.QUInt8, nodes_to_quantize=nodes
        )
    sweep(model)


def _is_table(index: Index, name: str) -> bool:
    table = index.constant(name)
    return table is not None and str(table.dtype) == "float32" and table.ndim == 2 and table.nbytes >= SMALLEST
