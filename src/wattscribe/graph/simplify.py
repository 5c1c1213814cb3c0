"""Rewrite an exported encoder's graph so that onnxruntime runs it faster, bit for bit the same.

A rule may not even change the last bit: dynamic quantisation turns a last bit into a whole step of an 8-bit value, and through
the states that becomes another word (measured: fusing Swoosh into five operators changed 2 texts of 20). So only
operators that do nothing, or do the same in a costlier way, are replaced. A rule takes a node and says whether it applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from wattscribe.graph.editor import Editor, node
from wattscribe.graph.index import Values, index_of
from wattscribe.graph.masks import never
from wattscribe.graph.model import OPSET, Attribute, Model, Node

MICROSOFT = "com.microsoft"
_BY_HEADS = (0, 2, 1, 3)
_LIFTING = ("Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose", "Unsqueeze")
"""What weights may go through on their way to a product."""


def simplified(
    model: Model, rules: tuple[str, ...] | None = None, *, alone: bool = False
) -> tuple[bytes, dict[str, int]]:
    """The rewritten model's bytes and how often each rule was applied; `alone`: every product is quantised, for one stream."""
    editor = Editor(model)
    applied: dict[str, int] = {}
    if model.opset >= OPSET:
        for name, rule in (RULES | (FOR_ONE if alone else {})).items():
            if rules is None or name in rules:
                applied[name] = sum(rule(editor, op) for op in editor.current())
    return editor.to_bytes(), applied


def quantised(model: Model) -> bool:
    """Whether every product with weights is: `heads` then leaves each of them as it is, bias and all."""
    index = index_of(model.graph)

    def is_weight(name: str) -> bool:
        seen: set[str] = set()  # an unsound graph may go round
        while name not in index.constants and name not in seen:
            seen.add(name)
            maker = index.maker(name, *_LIFTING)
            if maker is None or not maker.inputs:
                return False
            name = maker.inputs[0]
        return name in index.constants

    products = (op for op in model.graph.nodes if op.op_type in ("MatMul", "Gemm"))
    return not any(is_weight(name) for product in products for name in product.inputs[1:2])


def absolute(editor: Editor, op: Node) -> bool:
    """|0 − d| is |d|: one operator less in the spelled-out logaddexp of Swoosh, on its largest tensors."""
    difference = editor.maker(op.inputs[0], "Sub") if op.op_type == "Abs" else None
    if difference is None or editor.scalar(difference.inputs[0]) != 0.0:
        return False
    editor.replace(op, replace(op, inputs=(difference.inputs[1],), raw=None))
    return True


def positive(editor: Editor, op: Node) -> bool:
    """max(0, d) is Relu(d), which has a faster kernel."""
    if op.op_type != "Max" or len(op.inputs) != 2:
        return False
    for zero, value in (op.inputs, op.inputs[::-1]):
        constant = editor.constant(zero)
        if constant is not None and constant.ndim == 0 and constant.dtype == "float32" and float(constant) == 0.0:
            editor.replace(op, node("Relu", [value], op.outputs[0]))
            return True
    return False


def transposed_keys(editor: Editor, op: Node) -> bool:
    """Attention scores: the matrix product takes keys as rows, so that their transposition moves rows, not single values."""
    if op.op_type != "MatMul" or op.domain:
        return False
    keys = editor.maker(op.inputs[1], "Transpose")
    order = None if keys is None else keys.integers("perm")
    if keys is None or order is None or len(order) < 3 or editor.only_user(keys.outputs[0]) is None:
        return False
    if order[-1] == len(order) - 1 or order[-2] != len(order) - 1:
        return False
    rows = f"{op.outputs[0]}/rows"
    turned = (*order[:-2], order[-1], order[-2])
    editor.replace(
        op,
        node("Transpose", [keys.inputs[0]], rows, perm=turned),
        node("FusedMatMul", [op.inputs[0], rows], op.outputs[0], MICROSOFT, transB=1),
    )
    return True


def masks(editor: Editor, op: Node) -> bool:
    """where(never, a, b) is b: the padding mask of a segment that has no padding."""
    if op.op_type != "Where" or op.outputs[0] in editor.outputs or not never(editor, op.inputs[0]):
        return False
    if editor.scalar(op.inputs[1]) is None:
        return False
    editor.use_instead(op.outputs[0], op.inputs[2])
    return True


def shifted(editor: Editor, op: Node) -> bool:
    """Relative positions: gathering along the last axis needs no matrix, so the shape need not change and change back."""
    sizes = _asked_shape(editor, op)
    gather = None if sizes is None else editor.maker(op.inputs[0], "GatherElements")
    if sizes is None or gather is None or gather.attributes.get("axis") != 1:
        return False
    places, before = editor.constant(gather.inputs[1]), editor.maker(gather.inputs[0], "Reshape")
    flat = None if before is None else _asked_shape(editor, before)
    if places is None or before is None or flat is None or not _are_rows(sizes, flat, places):
        return False
    if editor.only_user(gather.outputs[0]) is None:
        return False
    data, shape = f"{op.outputs[0]}/data", editor.add_constant(before.inputs[1], np.array([*sizes[:-1], flat[1]]))
    moved = editor.add_constant(gather.inputs[1], places.reshape(sizes))
    editor.replace(
        op,
        node("Reshape", [before.inputs[0], shape], data),
        node("GatherElements", [data, moved], op.outputs[0], axis=len(sizes) - 1),
    )
    return True


def _are_rows(sizes: list[int], flat: list[int], places: Values) -> bool:
    """Does the matrix [rows, columns] have the rows of `sizes`, all of them known?"""
    known = len(flat) == 2 and flat[1] > 0 and all(size > 0 for size in sizes)
    return known and places.shape == (prod(sizes[:-1]), sizes[-1]) and flat[0] in (-1, places.shape[0])


def _asked_shape(editor: Editor, op: Node) -> list[int] | None:
    """What a Reshape asks for, where that is constant."""
    if op.op_type != "Reshape" or op.domain or len(op.inputs) != 2:
        return None
    sizes = editor.constant(op.inputs[1])
    return None if sizes is None else [int(size) for size in sizes.reshape(-1)]


def heads(editor: Editor, op: Node) -> bool:
    """Attention without moving its heads: the product reads keys, values and queries where their projections wrote them.

    Products of [1, heads, rows, size] made of [1, rows, heads, size]: onnxruntime's FusedMatMul takes [rows, heads, size].
    Only for one stream. It makes shapes known that were not, after which products with a bias are fused, unless they are
    quantised: only for quantised encoders too.
    """
    if op.op_type not in ("MatMul", "FusedMatMul") or len(op.inputs) != 2:
        return False
    left, right = (_by_rows(editor, name) for name in op.inputs)
    if right is None or op.attributes.get("transA"):
        return False
    (source, (rows, count, size)), base = right, op.outputs[0]
    turned = bool(op.attributes.get("transB"))
    settings: dict[str, Attribute] = {"transBatchB": 1, "transB": int(turned)}
    first, shape = (op.inputs[0], (count, -1, size if turned else rows)) if left is None else left
    if left is not None:
        settings["transBatchA"] = 1
        if shape[1] != count:
            return False
    end = editor.only_user(base, "Mul")
    scale = None if end is None else next((s for s in map(editor.scalar, end.inputs) if s is not None), None)
    if end is not None and scale is not None:
        settings["alpha"] = scale
    last = end if end is not None and scale is not None else op

    def sizes(*values: int) -> str:
        return editor.add_constant(base, np.array(values, np.int64))

    editor.replace(
        last,
        node("Reshape", [first, sizes(*shape)], f"{base}/a"),
        node("Reshape", [source, sizes(rows, count, size)], f"{base}/b"),
        node("FusedMatMul", [f"{base}/a", f"{base}/b"], f"{base}/ab", MICROSOFT, **settings),
        node("Reshape", [f"{base}/ab", sizes(1, count, -1, rows if turned else size)], last.outputs[0]),
    )
    return True


def _by_rows(editor: Editor, name: str) -> tuple[str, tuple[int, ...]] | None:
    """What is turned into the value, and its rows, heads and size."""
    turned = editor.maker(name, "Transpose")
    if turned is None or turned.attributes.get("perm") != _BY_HEADS:
        return None
    before = editor.maker(turned.inputs[0], "Reshape")
    sizes = None if before is None else editor.constant(before.inputs[1])
    if before is None or sizes is None or sizes.size != 4:
        return None
    first, *rest = (int(size) for size in sizes)
    return (before.inputs[0], tuple(rest)) if first in (-1, 1) and min(rest) >= 1 else None


RULES: dict[str, Callable[[Editor, Node], bool]] = {
    "absolute": absolute,
    "positive": positive,
    "transposed_keys": transposed_keys,
    "masks": masks,
    "shifted": shifted,
}
FOR_ONE: dict[str, Callable[[Editor, Node], bool]] = {"heads": heads}
