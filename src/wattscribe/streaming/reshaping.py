"""A rule that spares operators which only give a value another shape; it moves no bit of it. See also `trimming`."""

from __future__ import annotations

from math import prod

import numpy as np

from wattscribe.streaming.editing import Editor, Values, node
from wattscribe.streaming.onnxfile import Node


def shifted(editor: Editor, found: Node) -> int:
    """Relative positions: gathering along the last axis needs no matrix, so the shape need not change and change back."""
    sizes = _sizes(editor, found)
    gather = None if sizes is None else editor.maker(found.inputs[0], "GatherElements")
    if (
        sizes is None
        or gather is None
        or gather.attributes.get("axis") != 1
        or editor.only_user(gather.outputs[0]) is None
    ):
        return 0
    places, before = editor.constant(gather.inputs[1]), editor.maker(gather.inputs[0], "Reshape")
    flat = None if before is None else _sizes(editor, before)
    if places is None or before is None or flat is None or not _rows(sizes, flat, places):
        return 0
    data, shape = f"{found.outputs[0]}/data", editor.add_constant(before.inputs[1], np.array([*sizes[:-1], flat[1]]))
    moved = editor.add_constant(gather.inputs[1], places.reshape(sizes))
    editor.replace(
        found,
        [
            node("Reshape", [before.inputs[0], shape], data),
            node("GatherElements", [data, moved], found.outputs[0], axis=len(sizes) - 1),
        ],
    )
    return 1


def _rows(sizes: list[int], flat: list[int], places: Values) -> bool:
    """Does the matrix [rows, columns] have the rows of `sizes`, all of them known?"""
    known = len(flat) == 2 and flat[1] > 0 and all(size > 0 for size in sizes)
    return known and places.shape == (prod(sizes[:-1]), sizes[-1]) and flat[0] in (-1, places.shape[0])


def _sizes(editor: Editor, found: Node) -> list[int] | None:
    """What a Reshape asks for, where that is constant."""
    if found.op_type != "Reshape" or found.domain or len(found.inputs) != 2:
        return None
    sizes = editor.constant(found.inputs[1])
    return None if sizes is None else [int(size) for size in sizes.reshape(-1)]
