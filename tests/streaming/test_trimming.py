"""What moves nothing is left out of an optimised graph, and no bit of its outputs changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper

from wattscribe.graph.read import parse_model, shapes
from wattscribe.graph.session import open_session
from wattscribe.graph.trim import trimmed

ROWS, WIDTH, KEPT = 4, 6, 3
port = helper.make_tensor_value_info


def graph(nodes: list[onnx.NodeProto], output: list[int], **constants: list[int]) -> bytes:
    """x [1, ROWS, WIDTH] and state [1, KEPT, WIDTH] → y, with the shapes of all values stated, as onnxruntime states them."""
    made = helper.make_graph(
        nodes, "g",
        [port("x", T.FLOAT, [1, ROWS, WIDTH]), port("state", T.FLOAT, [1, KEPT, WIDTH])],
        [port("y", T.FLOAT, output)],
        [onnx.numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = onnx.shape_inference.infer_shapes(model, data_prop=True).SerializeToString()
    return data


def run(data: bytes) -> np.ndarray:
    rng = np.random.default_rng(3)
    net = open_session(Path("model.onnx"), model=data, optimised=False)
    feeds = {port.name: rng.standard_normal(port.shape).astype(np.float32) for port in net.get_inputs()}
    found: np.ndarray = net.run(None, feeds)[0]
    return found


def types(data: bytes) -> list[str]:
    return [each.op_type for each in parse_model(data, Path("model.onnx")).graph.nodes]


def check(data: bytes, left: list[str]) -> None:
    less = trimmed(parse_model(data, Path("model.onnx")))
    assert types(less) == left
    assert np.array_equal(run(data), run(less))


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def test_slices_and_shapes_that_change_nothing() -> None:
    check(
        graph(
            [
                node("Slice", "x zero end axis step", "a"), node("Reshape", "a same", "b"), node("Neg", "b", "y"),
            ],
            [1, ROWS, WIDTH], zero=[0], end=[WIDTH], axis=[2], step=[1], same=[1, ROWS, WIDTH],
        ),
        ["Neg"],
    )  # fmt: skip


def test_a_slice_that_is_one_of_the_joined_values() -> None:
    check(
        graph(
            [
                node("Concat", "state x", "a", axis=-2), node("Slice", "a begin end axis step", "b"), node("Neg", "b", "y"),
            ],
            [1, ROWS, WIDTH], begin=[-ROWS], end=[2**62], axis=[1], step=[1],
        ),
        ["Neg"],
    )  # fmt: skip


def test_turning_axes_of_one_and_two_shapes_in_a_row() -> None:
    check(
        graph(
            [
                node("Transpose", "x", "a", perm=[1, 0, 2]), node("Reshape", "a flat", "b"), node("Neg", "b", "y"),
            ],
            [1, ROWS * WIDTH], flat=[1, -1],
        ),
        ["Reshape", "Neg"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "output", "constants"),
    [
        # Backwards: the same shape, other values.
        ([node("Slice", "x begin end axis step", "a"), node("Neg", "a", "y")], [1, ROWS, WIDTH],
         {"begin": [-1], "end": [-(2**62)], "axis": [2], "step": [-1]}),
        # A transposition that does move values.
        ([node("Transpose", "x", "a", perm=[0, 2, 1]), node("Neg", "a", "y")], [1, WIDTH, ROWS], {}),
        # A slice across the seam, and one along another axis.
        ([node("Concat", "state x", "a", axis=1), node("Slice", "a begin end axis step", "b"), node("Neg", "b", "y")],
         [1, ROWS, WIDTH], {"begin": [1], "end": [1 + ROWS], "axis": [1], "step": [1]}),
        ([node("Concat", "x x", "a", axis=1), node("Slice", "a begin end axis step", "b"), node("Neg", "b", "y")],
         [1, ROWS, WIDTH], {"begin": [0], "end": [2 * ROWS], "axis": [1], "step": [2]}),
    ],
)  # fmt: skip
def test_what_does_move_values_stays(
    nodes: list[onnx.NodeProto], output: list[int], constants: dict[str, list[int]]
) -> None:
    check(graph(nodes, output, **constants), [each.op_type for each in nodes])


def test_what_makes_an_output_stays() -> None:
    check(graph([node("Reshape", "x same", "y")], [1, ROWS, WIDTH], same=[1, ROWS, WIDTH]), ["Reshape"])


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_chain_of_moves_keeps_its_bits(data: st.DataObject) -> None:
    """Reshape, Transpose, Slice and Concat one after the other, in any order."""
    constants: dict[str, Any] = {}
    name, shape, nodes = "x", [1, ROWS, WIDTH], []

    def constant(values: list[int]) -> str:
        constants[f"c{len(constants)}"] = values
        return f"c{len(constants) - 1}"

    for step in range(data.draw(st.integers(1, 6))):
        kind, after = data.draw(st.sampled_from(["Reshape", "Transpose", "Slice", "Concat"])), f"v{step}"
        axis = data.draw(st.integers(0, len(shape) - 1))
        if kind == "Reshape":
            shape = data.draw(st.permutations([*shape, 1])) if len(shape) < 4 else [*shape[:2], shape[2] * shape[3]]
            nodes.append(node("Reshape", f"{name} {constant(list(shape))}", after))
        elif kind == "Transpose":
            order = data.draw(st.permutations(range(len(shape))))
            shape = [shape[place] for place in order]
            nodes.append(node("Transpose", name, after, perm=order))
        elif kind == "Concat":
            shape = [size * 2 if place == axis else size for place, size in enumerate(shape)]
            nodes.append(node("Concat", f"{name} {name}", after, axis=axis))
        else:
            begin = data.draw(st.integers(0, shape[axis] - 1))
            size = data.draw(st.integers(1, shape[axis] - begin))
            settings_ = " ".join(constant([value]) for value in (begin - shape[axis], begin + size, axis, 1))
            nodes.append(node("Slice", f"{name} {settings_}", after))
            shape = [size if place == axis else each for place, each in enumerate(shape)]
        name = after
    made = graph([*nodes, node("Neg", name, "y")], list(shape), **constants)
    less = trimmed(parse_model(made, Path("model.onnx")))
    assert len(types(less)) <= len(types(made))
    assert np.array_equal(run(made), run(less))


def test_shapes_that_a_file_states() -> None:
    made = graph([node("Transpose", "x", "a", perm=[0, 2, 1]), node("Neg", "a", "y")], [1, WIDTH, ROWS], same=[1])
    assert shapes(parse_model(made, Path("model.onnx")).graph) == {
        "x": (1, ROWS, WIDTH), "state": (1, KEPT, WIDTH), "a": (1, WIDTH, ROWS), "y": (1, WIDTH, ROWS), "same": (1,),
    }  # fmt: skip
