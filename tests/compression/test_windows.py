"""One long segment instead of several unrolled ones, and depthwise convolutions in planes: the same frames, fewer operators."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compression import builders
from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.levers import windows
from wattscribe.compression.levers.agreement import agree
from wattscribe.compression.levers.carried import carried
from wattscribe.compression.levers.depthwise import in_planes
from wattscribe.compression.levers.segments import joined
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.lift import lifted
from wattscribe.compression.step import Step
from wattscribe.errors import InputError
from wattscribe.models import REFERENCE


@pytest.fixture(scope="module")
def reference() -> Candidate:
    return lifted(read_candidate(REFERENCE))


@pytest.fixture(scope="module")
def widened(reference: Candidate) -> onnx.ModelProto:
    step = Step(lever="segments", component="encoder", options={"count": 4})
    return builders.uncalibrated(reference, step).model("encoder")


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_the_graph_keeps_its_size(reference: Candidate, widened: onnx.ModelProto) -> None:
    before, after = kinds(reference.model("encoder")), kinds(widened)
    assert joined(widened) == 4
    assert after - before == Counter({"Pad": 1, "Add": 1})
    unrolled = Step(lever="segments", component="encoder", options={"count": 4, "unroll": True})
    assert len(builders.uncalibrated(reference, unrolled).model("encoder").graph.node) > 1.5 * len(widened.graph.node)


def test_it_answers_as_the_original_with_and_without_history(reference: Candidate, widened: onnx.ModelProto) -> None:
    assert agree(reference.model("encoder"), widened, 4)


@pytest.mark.parametrize("wrong", ["open", "late"])
def test_a_wrong_mask_is_noticed(reference: Candidate, widened: onnx.ModelProto, wrong: str) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(widened)
    (mask,) = [each for each in changed.graph.initializer if each.name.endswith("/windows")]
    values = numpy_helper.to_array(mask).copy()
    assert values.shape == (1, 1, 16, 48)
    assert (values == 0).sum(axis=-1).tolist() == [[[36] * 16]]
    values = np.zeros_like(values) if wrong == "open" else np.roll(values, 4, axis=2)
    mask.CopyFrom(numpy_helper.from_array(values.astype(np.float32), mask.name))
    assert not agree(reference.model("encoder"), changed, 4)


def test_what_cannot_be_followed_is_refused_and_left_alone(reference: Candidate) -> None:
    graph = carried(reference.model("encoder"))
    before = graph.model.SerializeToString(deterministic=True)
    with pytest.raises(InputError, match="overlap"):
        windows.widen(graph, 4, 45, 32)
    graph.nodes[60].op_type = "CumSum"
    with pytest.raises(InputError):
        windows.widen(graph, 4, 32, 32)
    assert graph.model.SerializeToString(deterministic=True) == before


def depthwise_model(*, turned: bool, pads: int = 0, group: int = 6) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    weights = {"w": rng.standard_normal((6, 6 // group, 5)).astype(np.float32), "b": np.arange(6, dtype=np.float32)}
    nodes = [helper.make_node("Conv", ["t" if turned else "x", "w", "b"], ["c"], group=group, pads=[pads, pads])]
    if turned:
        nodes = [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            *nodes,
            helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 1]),
        ]
    else:
        nodes.append(helper.make_node("Neg", ["c"], ["y"]))
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 12, 6] if turned else ["N", 6, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def asked(model: onnx.ModelProto) -> Asked:
    return Asked(model=model, component="encoder", tensors=(), options={}, calibration=None)  # type: ignore[arg-type]


def answer(model: onnx.ModelProto) -> np.ndarray:
    shape = [each.dim_value or 2 for each in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": values})[0]
    return found


@pytest.mark.parametrize(("turned", "pads"), [(True, 0), (False, 0), (False, 2)])
def test_depthwise_convolutions_answer_the_same_in_planes(turned: bool, pads: int) -> None:
    model = depthwise_model(turned=turned, pads=pads)
    before = answer(model)
    in_planes(asked(model))
    (conv,) = [node for node in model.graph.node if node.op_type == "Conv"]
    (taps,) = [each for each in model.graph.initializer if each.name == conv.input[1]]
    assert list(taps.dims) == [6, 1, 5, 1]
    assert kinds(model)["Transpose"] == (2 if turned else 0)
    np.testing.assert_allclose(answer(model), before, rtol=1e-5, atol=1e-5)


def test_other_convolutions_are_left(reference: Candidate) -> None:
    with pytest.raises(InputError, match="no depthwise convolution"):
        in_planes(asked(depthwise_model(turned=True, group=1)))
    with pytest.raises(InputError, match="no depthwise convolution"):
        builders.uncalibrated(reference, Step(lever="depthwise", component="joiner"))
