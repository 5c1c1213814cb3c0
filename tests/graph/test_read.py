"""ONNX read and written without the onnx package, compared with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.energy.builders import ZIPFORMER, needs_zipformer
from tests.streaming import models
from wattscribe.errors import ModelError
from wattscribe.graph.model import Tensor
from wattscribe.graph.read import parse_model, read_model
from wattscribe.graph.write import encode_node, encode_tensor, tensor


def compare(path: Path) -> None:
    """Everything that we read equals what onnx reads."""
    ours, theirs = read_model(path), onnx.load(str(path))
    assert ours.metadata == {each.key: each.value for each in theirs.metadata_props}
    assert ours.opsets == {each.domain: each.version for each in theirs.opset_import}
    assert ours.ir_version == theirs.ir_version
    for mine, other in zip(ours.graph.nodes, theirs.graph.node, strict=True):
        assert (mine.name, mine.op_type, mine.domain) == (other.name, other.op_type, other.domain)
        assert (list(mine.inputs), list(mine.outputs)) == (list(other.input), list(other.output))
        for attribute in other.attribute:
            wanted, found = onnx.helper.get_attribute_value(attribute), mine.attributes[attribute.name]
            if isinstance(found, Tensor):
                np.testing.assert_array_equal(found.array(), onnx.numpy_helper.to_array(wanted))
            elif not isinstance(wanted, onnx.GraphProto):
                assert (list(found) if isinstance(found, tuple) else found) == wanted
    for each in theirs.graph.initializer:
        wanted = onnx.numpy_helper.to_array(each)
        np.testing.assert_array_equal(ours.graph.initializers[each.name].array(), wanted)
        assert ours.graph.initializers[each.name].nbytes == wanted.nbytes
    known = {each.name for each in theirs.graph.initializer}
    assert [each.name for each in ours.graph.inputs] == [
        each.name for each in theirs.graph.input if each.name not in known
    ]


@needs_zipformer
@pytest.mark.parametrize("name", ["encoder.int8.onnx", "decoder.onnx", "joiner.onnx", "joiner.int8.onnx"])
def test_the_real_zipformer(name: str) -> None:
    compare(ZIPFORMER / name)


def test_every_way_to_store_a_tensor_and_an_attribute(tmp_path: Path) -> None:
    helper, proto = onnx.helper, onnx.TensorProto
    tensors = [
        helper.make_tensor("raw", proto.FLOAT, [2], np.array([1.5, -2], np.float32).tobytes(), raw=True),
        helper.make_tensor("floats", proto.FLOAT, [2], [1.5, -2.0]),
        helper.make_tensor("doubles", proto.DOUBLE, [1], [-0.1]),
        helper.make_tensor("halves", proto.FLOAT16, [2], [0.5, -3.0]),
        helper.make_tensor("int32s", proto.INT32, [2], [-7, 2**31 - 1]),
        helper.make_tensor("int8s", proto.INT8, [2], [-128, 127]),
        helper.make_tensor("int64s", proto.INT64, [2], [-(2**63), 2**63 - 1]),
        helper.make_tensor("uint64s", proto.UINT64, [1], [5]),
        helper.make_tensor("bools", proto.BOOL, [3], [True, False, True]),
        helper.make_tensor("scalar", proto.INT64, [], [3]),
        helper.make_tensor("nothing", proto.FLOAT, [0], []),
    ]
    attributes = {"f": 0.5, "i": -3, "s": "text", "fs": [1.0, 2.5], "ints": [-1, 2], "ss": ["a", "b"], "t": tensors[0]}
    node = helper.make_node("Custom", ["x", "", "y"], ["z"], name="n", domain="our.own", **attributes)
    inputs = [
        helper.make_tensor_value_info("x", proto.FLOAT, ["N", 3, None]),
        helper.make_tensor_value_info("raw", 1, [2]),
    ]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("z", proto.FLOAT, None)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("our.own", 2), helper.make_opsetid("", 17)])
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    compare(path)
    found = read_model(path)
    assert found.graph.inputs[0].shape == ("N", 3, None)
    assert found.graph.outputs[0].shape is None


def _says(error: BaseException, *parts: str) -> None:
    """One line that names the file, the fault and the remedy."""
    message = str(error)
    assert "\n" not in message
    assert all(part in message for part in parts), message
    assert ". " in message, f"no remedy: {message}"


def _external(folder: Path, location: str) -> Path:
    helper, proto = onnx.helper, onnx.TensorProto
    weight = helper.make_tensor("w", proto.FLOAT, [2], np.array([1, 2], np.float32).tobytes(), raw=True)
    onnx.external_data_helper.set_external_data(weight, location, offset=4, length=8)
    weight.ClearField("raw_data")
    graph = helper.make_graph([], "g", [], [helper.make_tensor_value_info("w", proto.FLOAT, [2])], [weight])
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_external_weights_stay_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"skip" + np.array([1, 2], np.float32).tobytes())
    assert read_model(_external(tmp_path, "w.bin")).graph.initializers["w"].array().tolist() == [1, 2]
    for location in ("../w.bin", "/etc/passwd", "a/../../b"):
        with pytest.raises(ModelError, match="outside the model's directory"):
            read_model(_external(tmp_path, location))
    (tmp_path / "w.bin").write_bytes(b"skip1234")
    with pytest.raises(ModelError, match="truncated"):
        read_model(_external(tmp_path, "w.bin"))


@needs_zipformer
def test_damaged_files_are_refused_not_half_read(tmp_path: Path) -> None:
    whole = (ZIPFORMER / "joiner.int8.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in (0, 1, 10, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.onnx: "):
            read_model(path)
    path.write_bytes(b"<!DOCTYPE html><html>404</html>")
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        read_model(path)
    with pytest.raises(ModelError, match="no such file"):
        read_model(tmp_path / "none.onnx")


def test_external_weights(tmp_path: Path) -> None:
    weights = np.arange(1000, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [models.value("x", [1000])], [models.value("y", [1000])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    (weight,) = read_model(tmp_path / "m.onnx").graph.initializers.values()
    assert weight.external is not None
    assert weight.external.path.name == "m.onnx.data"
    assert np.array_equal(weight.array(), weights)
    (tmp_path / "m.onnx.data").write_bytes(b"1234")
    with pytest.raises(ModelError) as caught:
        read_model(tmp_path / "m.onnx")
    _says(caught.value, "m.onnx", "truncated")
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(ModelError) as caught:
        read_model(tmp_path / "m.onnx")
    _says(caught.value, "m.onnx", "'m.onnx.data' are missing")


def test_what_is_written_is_what_onnx_reads() -> None:
    proto = helper.make_node(
        "Conv", ["x", "w"], ["y"], "name", domain="some.domain", pads=[1, -2], f=1.5, s="text", i=-7
    )
    graph = helper.make_graph([proto], "g", [models.value("x", [1])], [models.value("y", [1])])
    node = parse_model(helper.make_model(graph).SerializeToString(), Path("m.onnx")).graph.nodes[0]
    back = onnx.NodeProto.FromString(encode_node(dataclasses.replace(node, raw=None)))
    assert back == proto
    values = np.array([[1, -2], [3, 4]], np.int64)
    assert np.array_equal(
        numpy_helper.to_array(onnx.TensorProto.FromString(encode_tensor(tensor("v", values)))), values
    )


@pytest.mark.parametrize(
    ("content", "fault"), [(b"", "holds no graph"), (b"hello, this is not a model", "is not a whole ONNX model")]
)
def test_a_file_that_is_not_onnx(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_model(tmp_path / "x.onnx")
    _says(caught.value, "x.onnx", fault)
