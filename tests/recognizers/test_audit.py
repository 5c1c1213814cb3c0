"""The judge against the traps that users of quantised models report, and the counting of facts in ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.recognizers.audit import Facts, judge
from wattscribe.records import RecognizerSpec

MB = 1_000_000


def facts(requested: str, weights: dict[str, int], **more: Any) -> Facts:
    keywords: dict[str, Any] = {"requested_device": "cpu", "device": "cpu", **more}
    return Facts(requested=requested, weight_bytes=weights, **keywords)


TRAPS = {
    "fp32 as asked": (facts("fp32", {"float32": MB}, operators={"MatMul:float32": 3}), None),
    "fp16 as asked": (
        facts("fp16", {"float16": MB, "float32": 1000}, operators={"mm:float16": 3, "mm:float32": 1}),
        None,
    ),
    "bf16 as asked": (facts("bf16", {"bfloat16": MB}), None),
    "int8 with float remains": (
        facts("int8", {"int8": 6 * MB, "float32": 4 * MB}, operators={"_int_mm:int8": 9}),
        None,
    ),
    "exactly half in int8": (facts("int8", {"int8": MB, "float32": MB}), None),
    "4-bit counts as small": (facts("int8", {"uint4": MB, "float32": MB // 2}), None),
    "stored asks for nothing": (facts("stored", {"int8": MB}), None),
    "int8_float16 as asked": (facts("int8_float16", {"int8": MB, "float16": 1000}), None),
    "cuda:1 is cuda": (facts("fp32", {"float32": MB}, requested_device="cuda", device="cuda:1"), None),
    "int8 that runs as fp32 after constant folding": (
        facts("int8", {"float32": 4 * MB}, operators={"MatMul:float32": 9}),
        "0% of the weight bytes are 8-bit",
    ),
    "int8 in small part": (facts("int8", {"int8": MB, "float32": 3 * MB}), "25% of the weight bytes are 8-bit"),
    "masks are no weights": (facts("int8", {"bool": 9 * MB, "float32": MB}), "0% of the weight bytes are 8-bit"),
    "int8 that is only dequantised": (
        facts("int8", {"int8": MB}, dequantised_bytes=MB, operators={"MatMul:float32": 9}),
        "only dequantised to float",
    ),
    "a runtime silently on the CPU": (
        facts("fp32", {"float32": MB}, requested_device="cuda", device="cpu"),
        "cuda was asked for, cpu executed",
    ),
    "fp16 that stays 32-bit": (facts("fp16", {"float32": MB}), "0% of the weight bytes are float16"),
    "bf16 that stays 32-bit": (facts("bf16", {"float32": MB}), "0% of the weight bytes are bfloat16"),
    "fp16 asked, bf16 loaded": (facts("fp16", {"bfloat16": MB}), "0% of the weight bytes are float16"),
    "fp16 weights multiplied in fp32": (
        facts("fp16", {"float16": MB}, operators={"MatMul:float32": 9}),
        "the products are computed in float32",
    ),
    "fp32 asked, half precision loaded": (facts("fp32", {"float16": MB}), "0% of the weight bytes are float32"),
    "fp32 asked, int8 inside": (
        facts("fp32", {"float32": 3 * MB, "int8": 2 * MB}, operators={"MatMulInteger:int8": 9, "Conv:float32": 1}),
        "computed in int8",
    ),
    "int8_float16 whose rest is fp32": (
        facts("int8_float16", {"int8": MB, "float32": MB // 2}),
        "what is not int8 is float32",
    ),
    "nothing visible": (facts("int8", {}), "no weights are visible"),
    "the adapter's note is told": (
        facts("int8", {"float32": MB}, note="only encoder.onnx is there"),
        "only encoder.onnx",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_traps(name: str) -> None:
    given, expected = TRAPS[name]
    audit = judge(given)
    assert audit.ok is (expected is None)
    assert (audit.reason is None) if expected is None else (expected in str(audit.reason))
    assert audit.weight_bytes == given.weight_bytes


# --- facts in ONNX files --------------------------------------------------------------------------------------------
onnx = pytest.importorskip("onnx", reason="the models of these tests are written with onnx")


def _model(path: Path, nodes: list[Any], weights: Mapping[str, Any]) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


BYTES = {
    "w8": np.ones((64, 64), np.int8),
    "scale": np.array(0.1, np.float32),
    "zero": np.array(0, np.int8),
}


def _audit(path: Path, precision: str) -> Any:
    from wattscribe.recognizers.onnx_facts import audit_onnx

    return audit_onnx(RecognizerSpec(runtime="onnx", model=".", precision=precision), [path], device="cpu")


def test_a_graph_that_only_dequantises_its_weights_is_found_out(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    audit = _audit(_model(tmp_path / "m.onnx", nodes, BYTES), "int8")
    assert not audit.ok
    assert "only dequantised" in str(audit.reason)
    assert audit.operators == {"DequantizeLinear": 1, "MatMul:float32": 1}
    assert audit.weight_bytes == {"int8": 64 * 64 + 1, "float32": 4}


def test_dequantising_through_a_transpose_changes_nothing(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"]),
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "wt"], ["y"]),
    ]
    assert "only dequantised" in str(_audit(_model(tmp_path / "m.onnx", nodes, BYTES), "int8").reason)


def test_a_pair_that_the_runtime_fuses_to_an_integer_product_passes(tmp_path: Path) -> None:
    """Both sides dequantised: what the optimised graph of onnxruntime executes is integer, which is checked here too."""
    from onnx import helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["xf", "w"], ["y"]),
    ]
    path = _model(tmp_path / "m.onnx", nodes, BYTES)
    assert _audit(path, "int8").ok
    assert {"MatMulIntegerToFloat", "QLinearMatMul"} & _executed(path)


def test_what_the_runtime_executes_for_the_trap_is_float(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    executed = _executed(_model(tmp_path / "m.onnx", nodes, BYTES))
    assert executed & {"MatMul", "MatMulNBits"}  # the latter keeps the bytes and multiplies floats, block by block
    assert not {"MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul"} & executed


def _executed(path: Path) -> set[str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}


def test_a_dynamically_quantised_graph_passes_as_int8_and_not_as_fp32(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x8", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["x8", "w8", "xz", "zero"], ["yi"]),
        helper.make_node("Cast", ["yi"], ["yc"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["yc", "scale"], ["y"]),
    ]
    path = _model(tmp_path / "m.onnx", nodes, BYTES)
    audit = _audit(path, "int8")
    assert audit.ok
    assert audit.operators["MatMulInteger:int8"] == 1
    assert audit.parameters == 64 * 64 + 2
    assert not _audit(path, "fp32").ok


def test_half_precision_weights_cast_to_float_are_found_out(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["w16"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    audit = _audit(_model(tmp_path / "m.onnx", nodes, {"w16": np.ones((64, 64), np.float16)}), "fp16")
    assert not audit.ok
    assert "computed in float32" in str(audit.reason)


def test_the_real_zipformer(zipformer: Path) -> None:
    """Its encoder is int8 (MODEL.md: 2.54 MB int8, 0.93 MB fp32), so asking for fp32 is not answered."""
    from wattscribe.recognizers import open_recognizer, parse_model

    audits = {
        precision: open_recognizer(parse_model(f"sherpa:{zipformer}", precision=precision)).audit()
        for precision in ("stored", "int8", "fp32")
    }
    assert {precision: audit.ok for precision, audit in audits.items()} == {"stored": True, "int8": True, "fp32": False}
    assert audits["stored"].weight_bytes["int8"] == pytest.approx(2.54e6, rel=0.01)
    assert "encoder.int8.onnx" in str(audits["fp32"].reason)
    assert 3.1e6 < (audits["stored"].parameters or 0) < 3.5e6
