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
        for name in [each.outputs[0] for each in self.editor.current()]:
            found = self.editor.maker(name)
            if found is not None and not found.domain:
                rule(found)

    def unchanged(self, found: Node) -> bool:
        """A change of shape to the shape that was there, a slice of everything."""
        if found.op_type not in ("Reshape", "Slice") or self._shape(found.outputs[0]) is None:
            return False
        same = self._shape(found.inputs[0]) == self._shape(found.outputs[0])
        return same and self._forward(found) and self._instead(found, found.inputs[0])

    def piece(self, found: Node) -> bool:
        """A slice of joined values that is one of them."""
        joined = self.editor.maker(found.inputs[0], "Concat") if found.op_type == "Slice" else None
        whole = self._shape(found.inputs[0])
        if joined is None or whole is None or len(found.inputs) < 4 or not self._forward(found):
            return False
        axis, (start, _, along) = joined.attributes["axis"], (self._number(name) for name in found.inputs[1:4])
        parts = [self._shape(name) for name in joined.inputs]
        if start is None or along is None or not isinstance(axis, int) or any(part is None for part in parts):
            return False
        axis, along = axis % len(whole), along % len(whole)
        sizes = [part[axis] for part in parts if part is not None]
        for name, begin in zip(joined.inputs, accumulate(sizes, initial=0), strict=False):
            there = start + whole[axis] if start < 0 else start
            if axis == along and begin == there and self._shape(name) == self._shape(found.outputs[0]):
                return self._instead(found, name)
        return False

    def turned(self, found: Node) -> bool:
        """A transposition that only moves axes of size 1 is another shape."""
        before, after = (
            self._shape(found.inputs[0]) if found.op_type == "Transpose" else None,
            self._shape(found.outputs[0]),
        )
        order = found.integers("perm")
        if before is None or after is None or order is None:
            return False
        long = [place for place in order if before[place] != 1]
        return long == sorted(long) and self._reshape(found, found.inputs[0], after)

    def shaped(self, found: Node) -> bool:
        """Two changes of shape in a row are the last one."""
        before = self.editor.maker(found.inputs[0], "Reshape", "Unsqueeze") if found.op_type == "Reshape" else None
        after = self._shape(found.outputs[0])
        return before is not None and after is not None and self._reshape(found, before.inputs[0], after)

    def _instead(self, found: Node, name: str) -> bool:
        """Everybody takes `name`; False where the node makes an output of the graph."""
        if found.outputs[0] in self.editor.outputs:
            return False
        self.editor.use_instead(found.outputs[0], name)
        return True

    def _reshape(self, found: Node, name: str, shape: Shape) -> bool:
        if shape not in self._constants:
            self._constants[shape] = self.editor.add_constant("shape", np.array(shape, np.int64))
        self.editor.replace(found, node("Reshape", [name, self._constants[shape]], found.outputs[0]))
        return True

    def _forward(self, found: Node) -> bool:
        """Whether a slice takes one value after the other."""
        steps = (
            self.editor.constant(found.inputs[4]) if found.op_type == "Slice" and len(found.inputs) > 4 else np.ones(1)
        )
        return steps is not None and bool((steps == 1).all())

    def _number(self, name: str) -> int | None:
        value = self.editor.scalar(name)
        return None if value is None else int(value)

    def _shape(self, name: str) -> Shape | None:
        """The value's shape, where all of it is known and it is not empty."""
        found = self._shapes.get(name, ())
        sizes = tuple(size for size in found if isinstance(size, int) and size > 0)
        return sizes if sizes and len(sizes) == len(found) else None
