"""Which bytes onnxruntime's kernels read and write, operator by operator (its sources, version 1.31; one thread, x86).

What is not listed goes through its inputs and outputs side by side, once. Listed are those that read a value twice, only a part
of it, or lay something down in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from wattscribe.energy.operators import INTEGER_OPS, RECURRENT_GATES, ROW_LOOKUPS, is_matrix
from wattscribe.observing.addresses import ALIASES, Typed, size_of
from wattscribe.observing.callgrind import LINE_BYTES

STRIDE_BYTES = 4096
"""Of operands that are gone through side by side: far below any cache, far above a line."""
_PANEL, _DEPTH, _SUM_BYTES = 16, 4, 4
"""A packed matrix: columns in panels of 16; of 8 bits in rows of 4, with an int32 sum for each column (mlas/lib/qgemm.h)."""
_SEGMENT_BYTES = 65536
"""What a convolution unfolds at a time where it has more places than filters (mlas/lib/convolve.cpp: 128 × 128 floats)."""
_PACKED = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm")
_QUANTISED_FIRST = frozenset(("DynamicQuantizeMatMul", "DynamicQuantizeLSTM"))
_NOT_READ = frozenset(("Shape", "Size", "If", "Loop", "Scan", "Constant", "ConstantOfShape"))

Span = tuple[int, int]
"""(first byte, bytes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One execution of one node. `parts`: (offset, bytes) of the first input, where only those are read and known."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    domain: str = ""
    parts: tuple[Span, ...] | None = None


class Memory:
    """Reads and writes of bytes, as a cache of lines sees them."""

    def __init__(self, read: Callable[[int, int], None], write: Callable[[int, int], None]) -> None:
        self._read, self._write = read, write

    def read(self, start: int, size: int) -> None:
        if size:
            self._read(start // LINE_BYTES, -(-(start + size) // LINE_BYTES))

    def write(self, start: int, size: int) -> None:
        if size:
            self._write(start // LINE_BYTES, -(-(start + size) // LINE_BYTES))

    def together(self, given: Sequence[Span], made: Sequence[Span]) -> None:
        """Side by side; what is much smaller is read first, and again from where it lies then."""
        most = max((size for _, size in (*given, *made)), default=0)
        for start, size in given:
            if 2 * size < most:
                self.read(start, size)
        beside = [(self.read, span) for span in given if 2 * span[1] >= most]
        moves = [*beside, *((self.write, span) for span in made)]
        strides = max(1, -(-most // STRIDE_BYTES))
        for stride in range(strides):
            for move, (start, size) in moves:
                first = size * stride // strides
                move(start + first, size * (stride + 1) // strides - first)


def touch(step: Step, spans: Mapping[str, Span], typed: Mapping[str, Typed], memory: Memory, scratch: int) -> None:
    """Go through what the step reads and writes. `spans`: where each value lies; `scratch`: where kernels have their own room."""
    given = [spans[name] for name in step.inputs if name]
    made = [spans[name] for name in step.outputs if name]
    if step.op_type in _NOT_READ or (step.op_type in ALIASES and made[0][0] == given[0][0]):
        return
    if step.op_type == "Where":
        _where(given, made, memory, scratch)
    elif step.op_type in RECURRENT_GATES:
        _recurrent(step, given, made, typed, memory)
    elif is_matrix(step.op_type):
        _matrix(step, given, made, typed, memory, scratch)
    elif step.op_type == "DynamicQuantizeLinear":
        memory.read(*given[0])  # for its least and greatest value
        memory.together(given, made)
    elif step.parts is not None:
        start = given[0][0]
        memory.together([(start + offset, size) for offset, size in step.parts], made)
    elif step.op_type == "Slice" or step.op_type in ROW_LOOKUPS:
        memory.together([(given[0][0], min(given[0][1], made[0][1])), *given[1:]], made)
    else:
        memory.together(given, made)


def _where(given: Sequence[Span], made: Sequence[Span], memory: Memory, scratch: int) -> None:
    """Each choice into a value of its own, then both into one (core/providers/cpu/tensor/where_op.cc)."""
    condition, (target, size) = given[0], made[0]
    chosen = [(scratch, size), (scratch + size, size)]
    for choice, kept in zip(given[1:], chosen, strict=False):
        memory.together([condition, choice], [kept])
    memory.together(chosen, [(target, size)])


def _recurrent(
    step: Step, given: Sequence[Span], made: Sequence[Span], typed: Mapping[str, Typed], memory: Memory
) -> None:
    """The recurrent weights once for each step of time."""
    for start, size in given:
        memory.read(start, size)
    for _ in range(typed[step.inputs[0]][1][0] - 1):
        memory.read(*given[2])
    for start, size in made:
        memory.write(start, size)


def _matrix(
    step: Step, given: Sequence[Span], made: Sequence[Span], typed: Mapping[str, Typed], memory: Memory, scratch: int
) -> None:
    start, size = given[0]
    if step.op_type in _QUANTISED_FIRST:
        memory.read(start, size)  # for its least and greatest value
        memory.together(given[:1], [(scratch, size // 4)])
        start, size = scratch, size // 4
    unfolded = _unfolded_bytes(step, typed)
    if unfolded:
        memory.read(start, size)
        memory.write(scratch, unfolded)
        start, size = scratch, unfolded
    for place, length in ((start, size), *given[1:]):
        memory.read(place, length)
    for place, length in made:
        memory.write(place, length)


def _unfolded_bytes(step: Step, typed: Mapping[str, Typed]) -> int:
    """What a convolution lays down before it multiplies; none for single points, and for channels in blocks."""
    if "Conv" not in step.op_type or step.op_type == "ConvTranspose" or "nchwc" in step.domain:
        return 0
    weight = 3 if step.op_type == "QLinearConv" else 1
    filters, *window = typed[step.inputs[weight]][1]
    if prod(window[1:]) == 1:
        return 0
    places = prod(typed[step.outputs[0]][1][2:])
    if step.op_type in INTEGER_OPS:
        return prod(window) * places
    bytes_ = 4 * prod(window) * places
    groups = int(step.attributes.get("group", 1))
    return bytes_ if filters // groups > places else min(bytes_, _SEGMENT_BYTES)


def packed_bytes(op_type: str, typed: Typed) -> int:
    """What becomes of the right-hand matrix of a product when the session is opened; of other shapes nothing."""
    dtype, shape = typed
    if len(shape) != 2 or not (op_type in _PACKED or op_type in INTEGER_OPS):
        return size_of(typed)
    depth, columns = shape[0], -(-shape[1] // _PANEL) * _PANEL
    if dtype in ("int8", "uint8"):
        return columns * (-(-depth // _DEPTH) * _DEPTH + _SUM_BYTES)
    return columns * depth * size_of((dtype, (1,)))


def slice_parts(typed: Typed, made: Typed, bounds: Sequence[Sequence[int] | None]) -> tuple[Span, ...] | None:
    """What a Slice along one axis reads, `bounds` being its constant starts, ends, axes and steps; None where it is not that."""
    starts, _, axes, *steps = [*bounds, None, None, None][: max(3, len(bounds))]
    if starts is None or axes is None or len(starts) != 1 or any(step not in ([1], (1,)) for step in steps):
        return None
    dtype, shape = typed
    axis = axes[0] % len(shape)
    first = min(max(0, starts[0] + shape[axis] if starts[0] < 0 else starts[0]), shape[axis])
    item = size_of((dtype, shape[axis + 1 :]))
    wanted = made[1][axis] * item
    return tuple((row * shape[axis] * item + first * item, wanted) for row in range(prod(shape[:axis])))
