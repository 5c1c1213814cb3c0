"""Constants that are still float32, stored in 16 bits and lifted where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """Weight → Cast to float32 → its readers. A CPU unpacks once at load; a device with 16-bit units reads half the bytes.

    A table of which rows alone are read is lifted row by row: as a whole it would stand in memory in 32 bits.
    """
    from onnx import helper

    model = asked.model
    index = Index(model)
    found = [each.name for each in model.graph.initializer if _fits(index, each.name)]
    names = asked.chosen(found, f"has no float32 weights of {SMALLEST_BYTES} bytes left")
    casts: list[Any] = []
    looked_up: dict[str, str] = {}
    for name in names:
        values = index.constant(name)
        if values is None:
            continue
        half = f"{name}/half"
        for each in list(model.graph.initializer):
            if each.name == name:
                model.graph.initializer.remove(each)
        add_constant(model, half, values.astype(np.float16))
        if all(user.op_type == "Gather" and user.input[0] == name for user in index.users[name]):
            looked_up[name] = half
        else:
            casts.append(helper.make_node("Cast", [half], [name], name=f"{name}/lift", to=1))
    put(model.graph.node, [*casts, *(made for node in model.graph.node for made in _lifted_rows(node, looked_up))])


def _lifted_rows(node: Any, looked_up: Mapping[str, str]) -> list[Any]:
    """The node; where it looks rows up in one of these tables, those of the 16-bit one, and what lifts them."""
    from onnx import helper

    half = looked_up.get(node.input[0]) if node.op_type == "Gather" else None
    if half is None:
        return [node]
    rows = node.output[0]
    node.input[0], node.output[0] = half, f"{rows}/half"
    return [node, helper.make_node("Cast", [f"{rows}/half"], [rows], name=f"{rows}/lift", to=1)]


def _fits(index: Index, name: str) -> bool:
    values = index.constant(name)
    if values is None or values.dtype != np.float32 or values.nbytes < SMALLEST_BYTES:
        return False
    if any(user.op_type in _NEED_CONSTANTS for user in index.users[name]):
        return False
    return bool(np.abs(values).max() < LARGEST)
