"""Leave out what moves nothing, once onnxruntime has optimised a graph and stated the shape of every value.

No bit of a value changes: only operators whose output is an input of theirs, or one that is there already, or the same
values under another shape. Each costs a call, and a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np

from wattscribe.graph.editor import Editor, node
from wattscribe.graph.model import Model, Node
from wattscribe.graph.read import shapes

Shape = tuple[int, ...]


def trimmed(model: Model) -> bytes:
    """The optimised model with fewer operators."""
    trim = _Trim(model)
    for rule in (trim.turned, trim.shaped, trim.unchanged, trim.piece):
        trim.apply(rule)
    return trim.editor.to_bytes()


class _Trim:
    def __init__(self, model: Model) -> None:
        self.editor = Editor(model)
        self._shapes = shapes(model.graph)
        self._constants: dict[Shape, str] = {}

    def apply(self, rule: Callable[[Node], bool]) -> None:
        """Once for each node, as it stands when its turn comes."""
        for name in [op.outputs[0] for op in self.editor.current()]:
            op = self.editor.maker(name)
            if op is not None and not op.domain:
                rule(op)

    def unchanged(self, op: Node) -> bool:
        """A change of shape to the shape that was there, a slice of everything."""
        if op.op_type not in ("Reshape", "Slice") or self._shape(op.outputs[0]) is None:
            return False
        same = self._shape(op.inputs[0]) == self._shape(op.outputs[0])
        return same and self._forward(op) and self._instead(op, op.inputs[0])

    def piece(self, op: Node) -> bool:
        """A slice of joined values that is one of them."""
        joined = self.editor.maker(op.inputs[0], "Concat") if op.op_type == "Slice" else None
        whole = self._shape(op.inputs[0])
        if joined is None or whole is None or len(op.inputs) < 4 or not self._forward(op):
            return False
        axis, (start, _, along) = joined.attributes["axis"], (self._number(name) for name in op.inputs[1:4])
        parts = [self._shape(name) for name in joined.inputs]
        if start is None or along is None or not isinstance(axis, int) or any(part is None for part in parts):
            return False
        axis, along = axis % len(whole), along % len(whole)
        sizes = [part[axis] for part in parts if part is not None]
        for name, begin in zip(joined.inputs, accumulate(sizes, initial=0), strict=False):
            there = start + whole[axis] if start < 0 else start
            if axis == along and begin == there and self._shape(name) == self._shape(op.outputs[0]):
                return self._instead(op, name)
        return False

    def turned(self, op: Node) -> bool:
        """A transposition that only moves axes of size 1 is another shape."""
        before, after = (
            self._shape(op.inputs[0]) if op.op_type == "Transpose" else None,
            self._shape(op.outputs[0]),
        )
        order = op.integers("perm")
        if before is None or after is None or order is None:
            return False
        long = [place for place in order if before[place] != 1]
        return long == sorted(long) and self._reshape(op, op.inputs[0], after)

    def shaped(self, op: Node) -> bool:
        """Two changes of shape in a row are the last one."""
        before = self.editor.maker(op.inputs[0], "Reshape", "Unsqueeze") if op.op_type == "Reshape" else None
        after = self._shape(op.outputs[0])
        return before is not None and after is not None and self._reshape(op, before.inputs[0], after)

    def _instead(self, op: Node, name: str) -> bool:
        """Everybody takes `name`; False where the node makes an output of the graph."""
        if op.outputs[0] in self.editor.outputs:
            return False
        self.editor.use_instead(op.outputs[0], name)
        return True

    def _reshape(self, op: Node, name: str, shape: Shape) -> bool:
        if shape not in self._constants:
            self._constants[shape] = self.editor.add_constant("shape", np.array(shape, np.int64))
        self.editor.replace(op, node("Reshape", [name, self._constants[shape]], op.outputs[0]))
        return True

    def _forward(self, op: Node) -> bool:
        """Whether a slice takes one value after the other."""
        steps = self.editor.constant(op.inputs[4]) if op.op_type == "Slice" and len(op.inputs) > 4 else np.ones(1)
        return steps is not None and bool((steps == 1).all())

    def _number(self, name: str) -> int | None:
        value = self.editor.scalar(name)
        return None if value is None else int(value)

    def _shape(self, name: str) -> Shape | None:
        """The value's shape, where all of it is known and it is not empty."""
        shape = self._shapes.get(name, ())
        sizes = tuple(size for size in shape if isinstance(size, int) and size > 0)
        return sizes if sizes and len(sizes) == len(shape) else None
