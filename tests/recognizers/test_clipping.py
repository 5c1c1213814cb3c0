"""8-bit sums that clip are told where, and only where, they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from tests.known import known
from tests.streaming import models
from wattscribe.recognizers import clipping, open_recognizer, parse_model

FLAGS = {
    "avx2": ("flags\t\t: fpu sse2 avx avx2 fma\n", True),
    "avx512": ("flags\t\t: fpu avx2 avx512f\n", True),
    "vnni": ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
    "avx-vnni": ("flags\t\t: fpu avx2 avx_vnni\n", False),
    "sse": ("flags\t\t: fpu sse2\n", False),
    "arm": ("Features\t: fp asimd asimddp\n", False),
}


@pytest.mark.parametrize("kind", FLAGS)
def test_processors(tmp_path: Path, kind: str) -> None:
    text, clips = FLAGS[kind]
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}")
    assert clipping.clips_here(tmp_path / "cpuinfo") is clips
    assert not clipping.clips_here(tmp_path / "none")


def product(path: Path, weight: np.ndarray) -> Path:
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
         helper.make_node("MatMulInteger", ["q", "w", "z"], ["y"])],
        "g", [models.value("x", [1, 4])], [models.value("y", [1, 3], T.INT32)], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (np.full((4, 3), 100, np.int8), True),
        (np.full((4, 3), -65, np.int8), True),
        (np.full((4, 3), 64, np.int8), False),
        (np.full((4, 3), 200, np.uint8), False),
    ],
)
def test_only_signed_weights_beyond_seven_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: np.ndarray, told: bool
) -> None:
    monkeypatch.setattr(clipping, "clips_here", lambda: True)
    note = clipping.clipping_note([product(tmp_path / "m.onnx", weight)])
    assert (note is not None) is told
    if told:
        assert "1 weights" in known(note)
        assert "clip sums" in known(note)


def test_the_audit_carries_the_note_and_stays_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.build(tmp_path, quantised=True)
    for clips in (True, False):
        monkeypatch.setattr(clipping, "clips_here", lambda clips=clips: clips)
        audit = open_recognizer(parse_model(f"onnx:{folder}")).audit()
        assert audit.ok
        assert (audit.note is not None) is clips
