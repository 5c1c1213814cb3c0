"""What kernels read and write, counted in lines past a memory that holds nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from wattscribe.observing.addresses import Typed, size_of
from wattscribe.observing.kernels import Memory, Span, Step, packed_bytes, slice_parts, touch

KB = 1024
SCRATCH = 1 << 30


def moved(op_type: str, inputs: Mapping[str, Typed], outputs: Mapping[str, Typed], **more: object) -> tuple[int, int]:
    """(read, written) bytes of one step, every value at a place of its own."""
    read: list[int] = []
    written: list[int] = []
    typed = {**inputs, **outputs}
    spans: dict[str, Span] = {name: (place << 20, size_of(value)) for place, (name, value) in enumerate(typed.items())}
    memory = Memory(lambda start, end: read.append(end - start), lambda start, end: written.append(end - start))
    step = Step(op_type=op_type, inputs=tuple(inputs), outputs=tuple(outputs), attributes={}, **more)  # type: ignore[arg-type]
    touch(step, spans, typed, memory, SCRATCH)
    return 64 * sum(read), 64 * sum(written)


def floats(*shape: int) -> Typed:
    return "float32", shape


@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs", "bytes_moved"),
    [
        ("Add", {"a": floats(4096), "b": floats(4096)}, {"y": floats(4096)}, (32 * KB, 16 * KB)),
        ("Add", {"a": floats(4096), "b": floats(16)}, {"y": floats(4096)}, (16 * KB + 64, 16 * KB)),
        (
            "DynamicQuantizeLinear",
            {"x": floats(4096)},
            {"y": ("uint8", (4096,))},
            (32 * KB, 4 * KB),
        ),  # its extremes first
        # twice the float32 values, their uint8 copy, the weights; the copy and the result
        (
            "DynamicQuantizeMatMul",
            {"a": floats(4, 1024), "b": ("int8", (1024, 64))},
            {"y": floats(4, 64)},
            (2 * 16 * KB + 4 * KB + 64 * KB, 4 * KB + KB),
        ),
        # each choice into a value of its own, then both into one
        (
            "Where",
            {"c": ("bool", (4096,)), "a": floats(4096), "b": floats(4096)},
            {"y": floats(4096)},
            (2 * (4 + 16) * KB + 32 * KB, 48 * KB),
        ),
        ("Gather", {"t": floats(500, 256), "i": ("int64", (2,))}, {"y": floats(2, 256)}, (2 * KB + 64, 2 * KB)),
        # the recurrent matrix once for each of three steps of time
        (
            "LSTM",
            {"x": floats(3, 1, 16), "w": floats(1, 64, 16), "r": floats(1, 64, 16)},
            {"y": floats(3, 1, 1, 16)},
            (192 + 4 * KB + 3 * 4 * KB, 192),
        ),
        # 3 × 3 windows of 4 channels at 64 places, unfolded for 16 filters: 9.2 kB
        (
            "Conv",
            {"x": floats(1, 4, 10, 10), "w": floats(16, 4, 3, 3)},
            {"y": floats(1, 16, 8, 8)},
            (1600 + 9 * KB + 2304, 9 * KB + 4 * KB),
        ),
        ("Conv", {"x": floats(1, 16, 64), "w": floats(16, 16, 1)}, {"y": floats(1, 16, 64)}, (5 * KB, 4 * KB)),
        ("Shape", {"x": floats(4096)}, {"y": ("int64", (1,))}, (0, 0)),
    ],
)
def test_bytes_of_an_operator(
    op_type: str, inputs: Mapping[str, Typed], outputs: Mapping[str, Typed], bytes_moved: tuple[int, int]
) -> None:
    assert moved(op_type, inputs, outputs) == bytes_moved


def test_a_slice_reads_its_piece_of_every_row() -> None:
    whole, piece = floats(4, 32, 16), floats(4, 8, 16)
    parts = slice_parts(whole, piece, [[-8], [2**62], [1]])
    assert parts == tuple((row * 2048 + 1536, 512) for row in range(4))
    assert moved("Slice", {"x": whole}, {"y": piece}, parts=parts) == (4 * 512, 4 * 512)
    assert slice_parts(whole, piece, [None, None, [1]]) is None  # computed
    assert slice_parts(whole, piece, [[0], [16], [1], [2]]) is None  # every other


@pytest.mark.parametrize(
    ("op_type", "typed", "size"),
    [
        ("MatMul", floats(256, 500), 256 * 512 * 4),  # columns in panels of 16
        ("MatMulInteger", ("int8", (255, 500)), 512 * (256 + 4)),  # depth in rows of 4, and a sum for each column
        ("MatMul", floats(2, 8, 8), 512),  # not a matrix: as it is
        ("Add", floats(256, 500), 512_000),
    ],
)
def test_packed_weights(op_type: str, typed: Typed, size: int) -> None:
    assert packed_bytes(op_type, typed) == size
