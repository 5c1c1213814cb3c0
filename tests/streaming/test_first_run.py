"""A graph that never ends, or computes what is no number, is refused with its file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wattscribe import first_run
from wattscribe.errors import ModelError
from wattscribe.graph import session

onnx = pytest.importorskip("onnx", reason="needs wattscribe[profile]")


def endless(path: Path) -> Path:
    """A Loop whose condition stays true, for 2^62 rounds."""
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "always", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("rounds", TensorProto.INT64, [], [1 << 62]),
         helper.make_tensor("always", TensorProto.BOOL, [], [1])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_loop_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "LONGEST_S", 0.3)
    path = endless(tmp_path / "m.onnx")
    net = session.open_session(path)
    with pytest.raises(ModelError, match=r"m\.onnx: one run of it takes more than 0\.3 s"):
        session.run_first(net, path, ["y"], {"x": np.ones(1, np.float32)})


def test_values_that_are_no_numbers_are_named() -> None:
    path = Path("encoder.onnx")
    session.require_numbers(np.zeros(3), path)
    session.require_numbers(np.array([0.0, -np.inf]), path, infinite=True)
    for value, infinite in ((np.nan, False), (np.inf, False), (np.nan, True)):
        with pytest.raises(ModelError, match=r"encoder\.onnx: computes values that are not numbers"):
            session.require_numbers(np.array([0.0, value]), path, infinite=infinite)
