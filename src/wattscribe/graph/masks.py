"""Masks that never mask: what of a small boolean tensor is known before the first run.

A streaming zipformer masks padding inside its segment, but a segment has none: that half of the mask is a constant False behind
slices and expansions of a tensor whose other half does change. Here both halves are followed.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph.editor import Editor
from wattscribe.graph.model import Node

Known = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values, and which of them are known."""
_COMPARISONS = ("LessOrEqual", "Less", "Greater", "GreaterOrEqual", "Equal")
_LARGEST = 1 << 20


def never(editor: Editor, name: str) -> bool:
    """Whether the boolean value is False everywhere, whatever the inputs are."""
    value = known(editor, name)
    return value is not None and value[0].dtype == bool and bool(value[1].all()) and not value[0].any()


def known(editor: Editor, name: str, depth: int = 12) -> Known | None:
    """What is known of a value; None where not even its shape is."""
    constant = editor.constant(name)
    if constant is not None:
        return constant, np.ones(constant.shape, bool)
    shape = editor.input_shape(name)
    if shape is not None:
        return np.zeros(shape, np.int64), np.zeros(shape, bool)
    maker = editor.maker(name)
    if maker is None or maker.domain or depth == 0:
        return None
    return _apply(editor, maker, depth - 1)


def _apply(editor: Editor, node: Node, depth: int) -> Known | None:
    if node.op_type in _COMPARISONS:
        sides = [known(editor, name, depth) for name in node.inputs]
        if any(side is None for side in sides):
            return None
        shape = np.broadcast_shapes(*(side[0].shape for side in sides if side is not None))
        return np.zeros(shape, bool), np.zeros(shape, bool)
    if node.op_type == "Concat":
        parts = [known(editor, name, depth) for name in node.inputs]
        axis = node.attributes.get("axis")
        if any(part is None for part in parts) or not isinstance(axis, int):
            return None
        whole = cast("list[Known]", parts)
        return np.concatenate([p[0] for p in whole], axis), np.concatenate([p[1] for p in whole], axis)
    if node.op_type not in ("Slice", "Unsqueeze", "Expand"):
        return None
    data = known(editor, node.inputs[0], depth)
    settings = [editor.constant(name) for name in node.inputs[1:]]
    if data is None or any(setting is None for setting in settings):
        return None
    numbers = [[int(value) for value in np.asarray(setting).reshape(-1)] for setting in settings]
    return _moved(node.op_type, data[0], numbers), _moved(node.op_type, data[1], numbers)


def _moved(kind: str, values: NDArray[Any], numbers: list[list[int]]) -> NDArray[Any]:
    if kind == "Unsqueeze":
        return np.expand_dims(values, tuple(numbers[0]))
    if kind == "Expand":
        shape = np.broadcast_shapes(values.shape, tuple(numbers[0]))
        return np.broadcast_to(values, shape) if np.prod(shape) <= _LARGEST else values
    starts, ends = numbers[0], numbers[1]
    axes = numbers[2] if len(numbers) > 2 else list(range(len(starts)))
    steps = numbers[3] if len(numbers) > 3 else [1] * len(starts)
    index = [slice(None)] * values.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -values.shape[axis] else end, step)
    return values[tuple(index)]
