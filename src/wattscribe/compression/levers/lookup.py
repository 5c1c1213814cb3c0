"""The embedding table in 8 bits: onnxruntime's quantiser reads the row in 8 bits and scales it afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.levers.quiet import quiet
from wattscribe.compression.linears import Index, sweep
from wattscribe.errors import InputError

SMALLEST = 4096
"""Bytes: shorter constants that a Gather reads are no embedding tables."""


def int8(
    model: Any, component: str, tensors: Sequence[str], options: Mapping[str, Any], calibration: Calibration
) -> None:
    """Gather of a float table → Gather of uint8 rows → DequantizeLinear."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    index = Index(model)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    nodes = [node.name for node in model.graph.node if node.op_type == "Gather" and _is_table(index, node.input[0])]
    if not nodes:
        raise InputError(f"the {component} looks nothing up in a float table", fix="Leave this step away")
    del model.graph.value_info[:]
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder, quiet(component):
        made = Path(folder) / "lookup.onnx"
        quantize_dynamic(
            model, str(made), op_types_to_quantize=["Gather"], weight_type=QuantType.QUInt8, nodes_to_quantize=nodes
        )
        model.ParseFromString(made.read_bytes())
    sweep(model)


def _is_table(index: Index, name: str) -> bool:
    table = index.array(name)
    return table is not None and str(table.dtype) == "float32" and table.ndim == 2 and table.nbytes >= SMALLEST
