"""What is read from a graph: bytes by the rules of the model, operations against independent counters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.energy.builders import ZIPFORMER, needs_zipformer, save
from tests.energy.graphs import by_name, count, f32, node
from wattscribe.energy import counting
from wattscribe.energy.files import of_directory
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.read import read_model

onnx = pytest.importorskip("onnx")
helper = onnx.helper
F, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def test_a_gemm_reads_its_weights_once_whatever_the_rows(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("Gemm", ["x", "w", "b"], ["y"], name="g", transB=1)],
        [("x", F, ["N", 6])],
        [("y", F, ["N", 5])],
        {"w": f32(5, 6), "b": f32(5)},
    )
    for rows in (1, 7):
        found = count(path, rows)
        assert by_name(found) == {"w": (120, 0), "b": (20, 0)}
        assert found.macs == {"float32": 30}
        assert found.activation_bytes == (6 + 5) * 4


def test_an_embedding_reads_rows_not_the_table(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("Gather", ["table", "y"], ["e"], name="g")],
        [("y", INT, ["N", 2])],
        [("e", F, ["N", 2, 4])],
        {"table": f32(100, 4)},
    )
    found = count(path, 3)
    assert by_name(found) == {"table": (0, 2 * 4 * 4)}
    assert found.size_bytes == 1600


def test_shared_weights_count_once_in_size_and_at_each_use_in_reads(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("MatMul", ["x", "w"], ["h"], name="a"), node("MatMul", ["h", "w"], ["y"], name="b")],
        [("x", F, ["N", 4])],
        [("y", F, ["N", 4])],
        {"w": f32(4, 4)},
    )
    found = count(path)
    assert (found.size_bytes, found.call_bytes, found.total_macs) == (64, 128, 32)


def test_what_depends_on_constants_alone_is_folded(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [
            node("Transpose", ["w"], ["t"], name="t", perm=[1, 0]),
            node("Add", ["t", "bias"], ["u"], name="u"),
            node("MatMul", ["x", "u"], ["y"], name="m"),
        ],
        [("x", F, ["N", 4])],
        [("y", F, ["N", 3])],
        {"w": f32(3, 4), "bias": f32(3)},
    )
    found = count(path)
    assert by_name(found) == {"w": (48, 0), "bias": (12, 0)}
    assert found.operators == 1


def test_int8_weights_with_zero_points(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="q"),
            node("MatMulInteger", ["q", "w", "z", "wz"], ["i"], name="m"),
            node("Cast", ["i"], ["f"], name="c", to=F),
            node("Mul", ["f", "s"], ["y"], name="k"),
        ],
        [("x", F, ["N", 8])],
        [("y", F, ["N", 5])],
        {"w": np.zeros((8, 5), np.int8), "wz": np.zeros(5, np.int8)},
    )
    found = count(path)
    assert found.macs == {"int8": 40}
    assert found.bytes_by_dtype == {"int8": 45}
    assert found.call_bytes == 45


@pytest.mark.parametrize(("level", "dtype"), [(4, "int8"), (1, "float32"), (None, "float32")])
def test_weights_in_blocks_multiply_as_onnxruntime_executes_them(tmp_path: Path, level: int | None, dtype: str) -> None:
    more = {} if level is None else {"accuracy_level": level}
    path = save(
        tmp_path / "m.onnx",
        [node("MatMulNBits", ["x", "w", "s"], ["y"], name="m", domain="com.microsoft", K=32, N=8, bits=4,
              block_size=16, **more)],
        [("x", F, ["N", 32])],
        [("y", F, ["N", 8])],
        {"w": np.zeros((8, 2, 8), np.uint8), "s": f32(8, 2)},
    )  # fmt: skip
    found = count(path, 3)
    assert found.macs == {dtype: 32 * 8}
    assert found.call_bytes == 8 * 2 * 8 + 8 * 2 * 4


def test_dequantised_weights_are_read_as_they_are_stored(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("DequantizeLinear", ["w", "s", "z"], ["d"], name="d"), node("MatMul", ["x", "d"], ["y"], name="m")],
        [("x", F, ["N", 8])],
        [("y", F, ["N", 5])],
        {"w": np.zeros((8, 5), np.int8), "s": np.array(0.1, np.float32), "z": np.array(0, np.int8)},
    )
    found = count(path)
    assert (found.call_bytes, found.macs) == (40 + 4 + 1, {"float32": 40})


def test_convolutions_grouped_and_transposed(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [
            node("Conv", ["x", "d"], ["h"], name="d", group=6, pads=[1, 1]),
            node("Conv", ["h", "p"], ["k"], name="p", strides=[2]),
            node("ConvTranspose", ["k", "t"], ["y"], name="t"),
        ],
        [("x", F, ["N", 6, 20])],
        [("y", F, ["N", 2, 12])],
        {"d": f32(6, 1, 3), "p": f32(4, 6, 1), "t": f32(4, 2, 3)},
    )
    assert count(path).total_macs == 6 * 20 * 3 + 4 * 10 * 6 + 4 * 10 * 2 * 3


def test_a_recurrent_matrix_is_read_at_every_step(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["y", "h2", "c2"], name="l", hidden_size=5)],
        [("x", F, [9, 1, 3]), ("h", F, [1, 1, 5]), ("c", F, [1, 1, 5])],
        [("y", F, [9, 1, 1, 5]), ("h2", F, [1, 1, 5]), ("c2", F, [1, 1, 5])],
        {"w": f32(1, 20, 3), "r": f32(1, 20, 5), "b": f32(1, 40)},
    )
    found = count(path)
    assert by_name(found) == {"w": (240, 0), "r": (9 * 400, 0), "b": (160, 0)}
    assert found.total_macs == 9 * 20 * (3 + 5)
    assert found.state_bytes == 2 * 5 * 4


def _branches() -> list[Any]:
    """If without names (two nodes called alike once they run), then a loop of three steps over the same weight."""
    left = helper.make_graph(
        [node("MatMul", ["x", "w"], ["a"])], "then", [], [helper.make_tensor_value_info("a", F, None)]
    )
    right = helper.make_graph(
        [node("MatMul", ["x", "v"], ["b"])], "else", [], [helper.make_tensor_value_info("b", F, None)]
    )
    body = helper.make_graph(
        [node("MatMul", ["c_in", "w"], ["c_out"]), node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("c_in", F, None),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("c_out", F, None),
        ],
    )
    return [
        node("If", ["which"], ["y"], then_branch=left, else_branch=right),
        node("Loop", ["n", "", "y"], ["z"], body=body),
    ]


def test_branches_and_loops_count_as_they_run(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        _branches(),
        [("x", F, ["N", 4]), ("which", onnx.TensorProto.BOOL, [])],
        [("z", F, ["N", 4])],
        {"w": f32(4, 4), "v": f32(4, 4), "n": np.array(3, np.int64)},
    )
    found = count(path)  # zeros choose the else branch
    assert by_name(found)["w"] == (3 * 64, 0)
    assert by_name(found)["v"] == (64, 0)
    assert found.total_macs == 4 * 16
    assert found.size_bytes == 2 * 64 + 8


def test_external_weights(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("MatMul", ["x", "w"], ["y"], name="m")],
        [("x", F, ["N", 64])],
        [("y", F, ["N", 64])],
        {"w": np.arange(4096, dtype=np.float32).reshape(64, 64)},
        external=True,
    )
    found = count(path)
    assert (found.size_bytes, found.call_bytes, found.total_macs) == (16384, 16384, 4096)
    assert read_model(path).graph.initializers["w"].array()[1, 0] == 64


@pytest.mark.parametrize("name", ["named", ""])
def test_shapes_beside_the_model_are_read(tmp_path: Path, name: str) -> None:
    """torch's exporter puts every constant outside; onnxruntime infers shapes before it looks there."""
    path = save(
        tmp_path / "m.onnx",
        [
            node("Slice", ["x", "from", "to"], ["part"], name=name),
            node("MatMul", ["part", "w"], ["y"], name=name and "m"),
        ],
        [("x", F, [9, 64])],
        [("y", F, ["k", 64])],
        {"w": f32(64, 64), "from": np.array([0]), "to": np.array([2])},
        external=True,
    )
    assert count(path).total_macs == 2 * 64 * 64


def test_a_slice_of_a_constant_reads_the_slice(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("Slice", ["table", "start", "end"], ["part"], name="s"), node("Add", ["part", "x"], ["y"], name="a")],
        [("x", F, [2, 4]), ("start", INT, [1]), ("end", INT, [1])],
        [("y", F, [2, 4])],
        {"table": f32(100, 4)},
    )
    model = read_model(path)
    with pytest.raises(ModelError, match="cannot execute the graph"):
        counting.component(model, "encoder", dims={})  # zeros ask for an empty slice, which cannot be added
    fixed = save(
        tmp_path / "f.onnx",
        [node("Slice", ["x", "start", "end"], ["y"], name="s")],
        [("x", F, [100, 4])],
        [("y", F, ["k", 4])],
        {"start": np.array([0]), "end": np.array([2])},
    )
    assert count(fixed).activation_bytes_unfused == (400 + 8) * 4


def test_a_graph_that_cannot_run_says_which_file_and_why(tmp_path: Path) -> None:
    path = save(
        tmp_path / "broken.onnx",
        [node("MatMul", ["x", "w"], ["y"], name="the_bad_one")],
        [("x", F, ["N", 5])],
        [("y", F, ["N", 4])],
        {"w": f32(4, 4)},
    )
    with pytest.raises(ModelError, match=r"broken\.onnx: onnxruntime cannot execute the graph: .*the_bad_one"):
        count(path)


# --- against independent counters -----------------------------------------------------------------------------------
def test_macs_agree_with_torch_on_an_exported_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from torch.utils.flop_counter import FlopCounterMode

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.front = torch.nn.Conv2d(1, 8, 3, stride=2)
            self.wide = torch.nn.Linear(8 * 39, 64)
            layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
            self.blocks = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = torch.nn.Conv1d(64, 40, 5, groups=4)

        def forward(self, x: Any) -> Any:
            h = self.front(x[:, None]).transpose(1, 2).flatten(2)
            return self.out(self.blocks(self.wide(h)).transpose(1, 2))

    network, audio = Network().train(), torch.zeros(1, 45, 80)  # in eval mode torch fuses a block into one uncounted op
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)  # the CPU's flash kernel is not counted
    with torch.no_grad(), plain, FlopCounterMode(display=False) as flops:
        network(audio)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network.eval(), (audio,), str(path), dynamo=False, input_names=["x"])
    found = count(path)
    assert found.total_macs == pytest.approx(flops.get_total_flops() / 2, rel=0.01)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # the exporter stores equal weights once (both blocks start alike); reads count every use
    assert found.call_bytes / 4 == pytest.approx(parameters, rel=0.01)


@needs_zipformer
def test_macs_agree_with_onnx_tool_on_the_real_zipformer() -> None:
    """onnx-tool counts element-wise operators as well: only its matrix operators are compared, type by type."""
    tool = pytest.importorskip("onnx_tool")
    expected = 0.0
    for name in ("decoder.onnx", "joiner.onnx"):
        model = tool.Model(str(ZIPFORMER / name), {"constant_folding": False})
        inputs = (
            {"y": np.zeros((1, 2), np.int64)}
            if name[0] == "d"
            else {key: np.zeros((1, 320), np.float32) for key in ("encoder_out", "decoder_out")}
        )
        model.graph.shape_infer(inputs)
        model.graph.profile()
        nodes = model.graph.nodemap.values()
        expected += sum(float(each.macs[0]) for each in nodes if each.op_type in ("Gemm", "Conv", "MatMul"))
    found = of_directory(ZIPFORMER)
    ours = found.component("predictor").total_macs + found.component("joiner").total_macs
    assert ours == pytest.approx(expected, rel=0.01)


@needs_zipformer
def test_the_real_zipformer() -> None:
    found = of_directory(ZIPFORMER)
    encoder, predictor, joiner = found.components
    assert (found.segment_s, found.frames_per_segment, found.vocabulary) == (0.32, 8.0, 500)
    assert joiner.size_bytes == joiner.call_bytes == (320 * 500 + 500) * 4
    assert predictor.row_bytes == 2 * 320 * 4  # two embedding rows
    assert predictor.call_bytes == pytest.approx(1_061_152 - 500 * 320 * 4, rel=1e-3)
    assert encoder.call_bytes == pytest.approx(encoder.size_bytes, rel=0.01)
    assert 0.6 < encoder.bytes_by_dtype["int8"] / encoder.size_bytes < 0.8
    small = of_directory(ZIPFORMER, precision="int8")
    assert small.component("joiner").macs == {"int8": 160_000}
    assert small.component("joiner").size_bytes < joiner.size_bytes / 3.9
    assert small.notes == ("there is no int8 decoder: decoder.onnx (fp32) runs",)
    assert Workload.from_json(found.to_json()) == found


def test_directories_at_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        of_directory(tmp_path / "missing")
    with pytest.raises(ModelError, match="no model is recognised here"):
        of_directory(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "decoder.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"decoder\.onnx: is empty"):
        of_directory(tmp_path)
    (tmp_path / "decoder.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        of_directory(tmp_path)
