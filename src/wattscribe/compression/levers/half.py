"""Constants that are still float32, stored in 16 bits and lifted where they are used."""

from __future__ import annotations

import numpy as np

from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.linears import Index, add_constant, put

SMALLEST_BYTES = 256
"""Smaller ones cost more in operators than they save."""
LARGEST = 65504.0
"""Of float16."""
_NEED_CONSTANTS = (
    "MatMulNBits", "DequantizeLinear", "QuantizeLinear", "QLinearConv", "MatMulInteger", "DynamicQuantizeLSTM",
)  # fmt: skip


def fp16(asked: Asked) -> None:
    """Weight → Cast to float32 → its readers. A CPU unpacks once at load; a device with 16-bit units reads half the bytes."""
    from onnx import helper

    model = asked.model
    index = Index(model)
    candidates = [tensor.name for tensor in model.graph.initializer if _fits(index, tensor.name)]
    names = asked.chosen(candidates, f"has no float32 weights of {SMALLEST_BYTES} bytes left")
    casts = []
    for name in names:
        values = index.constant(name)
        if values is None:
            continue
        half = f"{name}/half"
        for tensor in list(model.graph.initializer):
            if tensor.name == name:
                model.graph.initializer.remove(tensor)
        add_constant(model, half, values.astype(np.float16))
        casts.append(helper.make_node("Cast", [half], [name], name=f"{name}/lift", to=1))
    put(model.graph.node, [*casts, *model.graph.node])


def _fits(index: Index, name: str) -> bool:
    values = index.constant(name)
    if values is None or values.dtype != np.float32 or values.nbytes < SMALLEST_BYTES:
        return False
    if any(user.op_type in _NEED_CONSTANTS for user in index.users[name]):
        return False
    return bool(np.abs(values).max() < LARGEST)
