"""Give each row of a dynamically quantised network its own scale, so that rows do not change one another.

DynamicQuantizeLinear takes one scale over all rows of a call. Frames asked together would then get other scores than asked one
by one, and another text. Here every row is quantised by itself, with the operator's own arithmetic (onnx
DynamicQuantizeLinear-11: range with 0 in it, 255 steps, round half to even): a row alone gives the same bits as before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wattscribe.graph.editor import Editor, node
from wattscribe.graph.model import OPSET, Model, Node

_AXES_ARE_INPUT = 18


def by_row(model: Model) -> bytes | None:
    """The model with every dynamic quantisation per row; None where there is none, or one that cannot be taken apart."""
    quantised = [op for op in model.graph.nodes if op.op_type == "DynamicQuantizeLinear"]
    if not quantised or model.opset < OPSET:
        return None
    editor = Editor(model)
    if not all(_split(editor, op) for op in quantised):
        return None
    return editor.to_bytes()


def _split(editor: Editor, quantise: Node) -> bool:
    """Replace one DynamicQuantizeLinear and the products that use it."""
    values, scale, zero = quantise.outputs
    products = list(editor.users[values])
    if any(p.op_type != "MatMulInteger" or p.inputs[0] != values or p.inputs[2:3] != (zero,) for p in products):
        return False
    if any(editor.constant(p.inputs[1]) is None for p in products) or len(editor.users[zero]) != len(products):
        return False
    if any(user.op_type != "Mul" for user in editor.users[scale]):
        return False
    for product in products:
        _correct(editor, product, f"{zero}/int")
    editor.replace(quantise, *_quantise(editor, quantise))
    return True


def _quantise(editor: Editor, quantise: Node) -> list[Node]:
    """x → its 8-bit values, scale and zero point per row (reduced over the last axis)."""
    x, (values, scale, zero) = quantise.inputs[0], quantise.outputs
    nothing = editor.add_constant(x, np.array(0, np.float32))
    steps = editor.add_constant(x, np.array(255, np.float32))
    least = editor.add_constant(x, np.array(np.finfo(np.float32).tiny))
    parts = ("low", "min", "high", "max", "range", "step", "from", "div", "near", "sum", "cut")
    n = {part: f"{values}/{part}" for part in parts}
    return [
        _reduced(editor, "ReduceMin", x, n["low"]),
        node("Min", [n["low"], nothing], n["min"]),
        _reduced(editor, "ReduceMax", x, n["high"]),
        node("Max", [n["high"], nothing], n["max"]),
        node("Sub", [n["max"], n["min"]], n["range"]),
        node("Div", [n["range"], steps], n["step"]),
        node("Max", [n["step"], least], scale),  # a row of zeros gives zeros at any scale
        node("Div", [n["min"], scale], n["from"]),
        node("Round", [n["from"]], f"{zero}/below"),  # minus the zero point, which lies between 0 and 255
        node("Cast", [f"{zero}/below"], f"{zero}/int", to=6),
        node("Div", [x, scale], n["div"]),
        node("Round", [n["div"]], n["near"]),
        node("Sub", [n["near"], f"{zero}/below"], n["sum"]),
        node("Clip", [n["sum"], nothing, steps], n["cut"]),
        node("Cast", [n["cut"]], values, to=2),
    ]


def _reduced(editor: Editor, kind: str, x: str, output: str) -> Node:
    """Over the last axis, which is an input from opset 18 on and was an attribute before."""
    if editor.model.opset < _AXES_ARE_INPUT:
        return node(kind, [x], output, axes=(-1,), keepdims=1)
    return node(kind, [x, editor.add_constant(output, np.array([-1], np.int64))], output, keepdims=1)


def _correct(editor: Editor, product: Node, zero: str) -> None:
    """Σ(a − zero)·b = Σa·b − zero·Σb: the product without a zero point, and each row's own correction; `zero` holds −zero."""
    weight = editor.constant(product.inputs[1])
    if weight is None:
        raise ValueError(f"the weight of {product.name!r} is not constant")
    offset = editor.constant(product.inputs[3]) if len(product.inputs) > 3 and product.inputs[3] else None
    columns = weight.astype(np.int64) - (0 if offset is None else offset.astype(np.int64))
    sums = editor.add_constant(product.outputs[0], columns.sum(axis=0).astype(np.int32))
    out = product.outputs[0]
    bare = replace(
        product,
        inputs=(product.inputs[0], product.inputs[1], "", *product.inputs[3:]),
        outputs=(f"{out}/bare",),
        raw=None,
    )
    editor.replace(
        product, bare, node("Mul", [zero, sums], f"{out}/shift"), node("Add", [f"{out}/bare", f"{out}/shift"], out)
    )
