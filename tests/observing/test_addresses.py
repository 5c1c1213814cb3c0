"""Which values share memory, as onnxruntime lays them out."""

from __future__ import annotations

from wattscribe.graph.model import Node
from wattscribe.observing.addresses import Typed, block, buffers

FLOAT, INT = "float32", "int64"


def node(op_type: str, inputs: str, outputs: str) -> Node:
    return Node(op_type=op_type, inputs=tuple(inputs.split()), outputs=tuple(outputs.split()))


def values(**shapes: tuple[int, ...]) -> dict[str, Typed]:
    return {name: (FLOAT, shape) for name, shape in shapes.items()}


def test_an_activation_function_overwrites_what_nobody_else_reads() -> None:
    steps = [node("Add", "x x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c"), node("Add", "b c", "y")]
    homes = buffers(steps, values(x=(8,), a=(8,), b=(8,), c=(8,), y=(8,)), {"x"}, ["y"])
    assert homes["b"] == "a"
    assert homes["c"] == "c"  # b is read once more
    assert homes["y"] == "y"  # the caller's


def test_a_sum_does_not_overwrite_but_takes_what_was_given_up() -> None:
    steps = [node("Exp", "x", "a"), node("Exp", "a", "b"), node("Exp", "b", "c"), node("Exp", "c", "y")]
    homes = buffers(steps, values(x=(8,), a=(8,), b=(8,), c=(8,), y=(8,)), {"x"}, ["y"])
    assert homes["b"] == "b"
    assert homes["c"] == "a"


def test_another_shape_takes_no_buffer_and_a_change_of_shape_is_one() -> None:
    steps = [
        node("Exp", "x", "a"),
        node("Reshape", "a s", "b"),
        node("Exp", "b", "c"),
        node("Exp", "c", "d"),
        node("Exp", "d", "y"),
    ]
    typed = {**values(x=(8,), a=(8,), b=(2, 4), c=(2, 4), d=(2, 4), y=(2, 4)), "s": (INT, (2,))}
    homes = buffers(steps, typed, {"x", "s"}, ["y"])
    assert homes["b"] == "a"
    assert homes["d"] == "d"  # what was given up is of the shape [8]


def test_inputs_and_weights_are_never_overwritten() -> None:
    steps = [node("Relu", "x", "a"), node("Relu", "w", "b"), node("Add", "a b", "y")]
    homes = buffers(steps, values(x=(8,), w=(8,), a=(8,), b=(8,), y=(8,)), {"x", "w"}, ["y"])
    assert (homes["a"], homes["b"]) == ("a", "b")


def test_values_of_different_times_lie_at_one_place() -> None:
    steps = [
        node("MatMul", "x w", "a"),  # 4 × 64 bytes
        node("MatMul", "a w", "b"),  # 1 line, behind a
        node("MatMul", "b w", "c"),  # 2 lines, where a lay
        node("MatMul", "c w", "y"),
    ]
    typed = values(x=(16,), w=(16,), a=(64,), b=(16,), c=(32,), y=(1,))
    found = block(steps, typed, buffers(steps, typed, {"x", "w"}, ["y"]), {"x", "w", "y"})
    assert found.places == {"a": 0, "b": 256, "c": 0}
    assert found.size == 320


def test_the_smallest_gap_is_taken() -> None:
    steps = [
        node("MatMul", "x w", "a"),
        node("MatMul", "a w", "k"),
        node("MatMul", "k w", "b"),
        node("MatMul", "b w", "l"),
        node("MatMul", "x w", "c"),  # a's four lines and b's two are free; it takes two of b's
        node("MatMul", "k l c", "y"),
    ]
    typed = values(x=(16,), w=(16,), a=(64,), k=(16,), b=(256,), l=(16,), c=(32,), y=(1,))
    found = block(steps, typed, buffers(steps, typed, {"x", "w"}, ["y"]), {"x", "w", "y"})
    assert found.places["k"] == 256
    assert found.places["b"] == 320  # larger than a's gap
    assert found.places["l"] == 0
    assert found.places["c"] == 64  # of 192 bytes, b's is of 1,024
