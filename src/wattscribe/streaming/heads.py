"""Attention without moving its heads: the matrix product reads keys, values and queries where their projections wrote them."""

from __future__ import annotations

import numpy as np

from wattscribe.streaming.editing import Editor, node
from wattscribe.streaming.onnxfile import Attribute, Node

MICROSOFT = "com.microsoft"
_ORDER = (0, 2, 1, 3)


def heads(editor: Editor, found: Node) -> int:
    """Products of [1, heads, rows, size] made of [1, rows, heads, size]: onnxruntime's FusedMatMul takes [rows, heads, size].

    Only for one stream. It makes shapes known that were not, after which products with a bias are fused, unless they are
    quantised: only for quantised encoders too.
    """
    if found.op_type not in ("MatMul", "FusedMatMul") or len(found.inputs) != 2:
        return 0
    left, right = (_rows(editor, name) for name in found.inputs)
    if right is None or found.attributes.get("transA"):
        return 0
    (source, (rows, count, size)), base = right, found.outputs[0]
    turned = bool(found.attributes.get("transB"))
    settings: dict[str, Attribute] = {"transBatchB": 1, "transB": int(turned)}
    first, shape = (found.inputs[0], (count, -1, size if turned else rows)) if left is None else left
    if left is not None:
        settings["transBatchA"] = 1
        if shape[1] != count:
            return 0
    end = editor.only_user(base, "Mul")
    scale = None if end is None else next((s for s in map(editor.scalar, end.inputs) if s is not None), None)
    if end is not None and scale is not None:
        settings["alpha"] = scale
    last = end if end is not None and scale is not None else found
    editor.replace(
        last,
        [
            node("Reshape", [first, _sizes(editor, base, shape)], f"{base}/a"),
            node("Reshape", [source, _sizes(editor, base, (rows, count, size))], f"{base}/b"),
            node("FusedMatMul", [f"{base}/a", f"{base}/b"], f"{base}/ab", MICROSOFT, **settings),
            node(
                "Reshape",
                [f"{base}/ab", _sizes(editor, base, (1, count, -1, rows if turned else size))],
                last.outputs[0],
            ),
        ],
    )
    return 1


def _rows(editor: Editor, name: str) -> tuple[str, tuple[int, ...]] | None:
    """What is turned into the value, and its rows, heads and size."""
    turned = editor.maker(name, "Transpose")
    if turned is None or turned.attributes.get("perm") != _ORDER:
        return None
    before = editor.maker(turned.inputs[0], "Reshape")
    sizes = None if before is None else editor.constant(before.inputs[1])
    if (
        before is None
        or sizes is None
        or sizes.size != 4
        or int(sizes[0]) not in (-1, 1)
        or min(int(each) for each in sizes[1:]) < 1
    ):
        return None
    return before.inputs[0], tuple(int(each) for each in sizes[1:])


def _sizes(editor: Editor, base: str, sizes: tuple[int, ...]) -> str:
    return editor.add_constant(base, np.array(sizes, np.int64))
