"""Rewrite an exported encoder's graph so that onnxruntime runs it faster, bit for bit the same.

A rule may not even change the last bit: dynamic quantisation turns a last bit into a whole step of an 8-bit value, and through
the states that becomes another word (measured: fusing Swoosh into five operators changed 2 texts of 20). So only
operators that do nothing, or do the same in a costlier way, are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wattscribe.streaming.editing import Editor, node
from wattscribe.streaming.heads import heads
from wattscribe.streaming.masks import never
from wattscribe.streaming.onnxfile import Node, OnnxFile
from wattscribe.streaming.reshaping import shifted

OPSET = 13
"""The rules write operators of this opset or later; older models run as they are."""
MICROSOFT = "com.microsoft"


def rewrite(
    model: OnnxFile, rules: tuple[str, ...] | None = None, *, alone: bool = False
) -> tuple[bytes, dict[str, int]]:
    """The rewritten model's bytes and how often each rule was applied; `alone`: it is quantised, for one stream."""
    editor = Editor(model)
    applied: dict[str, int] = {}
    if model.opsets.get("", 0) >= OPSET:
        for name, rule in (RULES | (FOR_ONE if alone else {})).items():
            if rules is None or name in rules:
                applied[name] = sum(rule(editor, each) for each in editor.nodes())
    return editor.to_bytes(), applied


def absolute(editor: Editor, found: Node) -> int:
    """|0 − d| is |d|: one operator less in the spelled-out logaddexp of Swoosh, on its largest tensors."""
    if found.op_type != "Abs":
        return 0
    difference = editor.maker(found.inputs[0], "Sub")
    if difference is None or editor.scalar(difference.inputs[0]) != 0.0:
        return 0
    editor.replace_same(found, replace(found, inputs=(difference.inputs[1],), raw=None))
    return 1


def positive(editor: Editor, found: Node) -> int:
    """max(0, d) is Relu(d), which has a faster kernel."""
    if found.op_type != "Max" or len(found.inputs) != 2:
        return 0
    for zero, value in (found.inputs, found.inputs[::-1]):
        constant = editor.constant(zero)
        if constant is not None and constant.ndim == 0 and constant.dtype == "float32" and float(constant) == 0.0:
            editor.replace_same(found, node("Relu", [value], found.outputs[0]))
            return 1
    return 0


def transposed_keys(editor: Editor, found: Node) -> int:
    """Attention scores: the matrix product takes keys as rows, so that their transposition moves rows, not single values."""
    if found.op_type != "MatMul" or found.domain:
        return 0
    keys = editor.maker(found.inputs[1], "Transpose")
    order = None if keys is None else keys.attributes.get("perm")
    if keys is None or not isinstance(order, tuple) or len(order) < 3 or editor.only_user(keys.outputs[0]) is None:
        return 0
    if order[-1] == len(order) - 1 or order[-2] != len(order) - 1:
        return 0
    rows = f"{found.outputs[0]}/rows"
    editor.replace(
        found,
        [
            node("Transpose", [keys.inputs[0]], rows, perm=(*order[:-2], order[-1], order[-2])),
            node("FusedMatMul", [found.inputs[0], rows], found.outputs[0], MICROSOFT, transB=1),
        ],
    )
    return 1


def masks(editor: Editor, found: Node) -> int:
    """where(never, a, b) is b: the padding mask of a segment that has no padding."""
    if found.op_type != "Where" or found.outputs[0] in editor.outputs or not never(editor, found.inputs[0]):
        return 0
    if editor.scalar(found.inputs[1]) is None:
        return 0
    editor.use_instead(found.outputs[0], found.inputs[2])
    return 1


RULES: dict[str, Callable[[Editor, Node], int]] = {
    "absolute": absolute,
    "positive": positive,
    "transposed_keys": transposed_keys,
    "masks": masks,
    "shifted": shifted,
}
FOR_ONE: dict[str, Callable[[Editor, Node], int]] = {"heads": heads}
