"""Counted work of recognizers of one or two files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.energy.builders import save
from tests.energy.graphs import f32, node
from wattscribe.energy.files import of_directory

onnx = pytest.importorskip("onnx")
helper = onnx.helper
F, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def _frames(path: Path, *, name: str = "x", out: int = 30) -> Path:
    """A network over 80-band frames of any number: a convolution over time."""
    return save(
        path,
        [
            node("Transpose", [name], ["t"], name="t", perm=[0, 2, 1]),
            node("Conv", ["t", "w"], ["y"], name="c", pads=[1, 1], strides=[2]),
        ],
        [(name, F, ["N", "T", 80]), ("x_lens", INT, ["N"])],
        [("y", F, ["N", out, "T2"])],
        {"w": f32(out, 80, 3)},
    )


def test_a_ctc_model_is_one_component_over_a_segment_of_the_asked_length(tmp_path: Path) -> None:
    path = _frames(tmp_path / "model.onnx")
    ten = of_directory(path)
    assert (ten.kind, ten.segment_s, [each.name for each in ten.components]) == ("ctc", 10.0, ["encoder"])
    assert ten.components[0].total_macs == 500 * 30 * 80 * 3
    two = of_directory(tmp_path, segment_s=2.0)
    assert two.components[0].total_macs == 100 * 30 * 80 * 3
    assert two.components[0].call_bytes == ten.components[0].call_bytes == 30 * 80 * 3 * 4


def test_encoder_and_decoder_without_a_joiner_are_encoder_and_decoder(tmp_path: Path) -> None:
    _frames(tmp_path / "tiny-encoder.onnx", name="mel")
    _frames(tmp_path / "tiny-encoder.int8.onnx", name="mel", out=7)
    save(
        tmp_path / "tiny-decoder.onnx",
        [node("Gather", ["table", "tokens"], ["e"], name="g"), node("MatMul", ["e", "w"], ["logits"], name="m")],
        [("tokens", INT, ["n_audio", "n_tokens"])],
        [("logits", F, ["n_audio", "n_tokens", 50])],
        {"table": f32(50, 8), "w": f32(8, 50)},
    )
    found = of_directory(tmp_path, segment_s=30.0)
    assert (found.kind, found.segment_s) == ("encoder-decoder", 30.0)
    assert [each.name for each in found.components] == ["encoder", "decoder"]
    assert found.component("decoder").total_macs == 8 * 50
    assert found.component("decoder").row_bytes == 8 * 4
    small = of_directory(tmp_path, segment_s=30.0, precision="int8")
    assert small.component("encoder").weights[0].shape[0] == 7
    assert "there is no int8 decoder" in small.notes[0]
