"""Graphs of other people's shapes: free and unnamed dimensions, states without declared sizes, calls per second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.energy.builders import save
from tests.energy.graphs import INT, F, f32, node
from tests.streaming import nemo_models
from wattscribe.energy import binding
from wattscribe.energy.files import of_directory
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.read import read_model


def test_unnamed_dimensions_are_not_one_dimension(tmp_path: Path) -> None:
    """Silero's voice gate: [None, None] samples and a state [2, None, 128] once were 95 GiB together."""
    graph = helper.make_graph(
        [
            node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
            node("Add", ["state", "mean"], ["stateN"], name="a"),
            node("MatMul", ["stateN", "w"], ["output"], name="m"),
        ],
        "gate",
        [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, None]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, None, 128]),
            helper.make_tensor_value_info("sr", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, None, 1]),
            helper.make_tensor_value_info("stateN", TensorProto.FLOAT, [None, None, None]),
        ],
        [onnx.numpy_helper.from_array(f32(128, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "gate.onnx")
    found = of_directory(tmp_path / "gate.onnx", segment_s=0.032)
    (gate,) = found.components
    assert (found.segment_s, gate.state_bytes, gate.total_macs) == (0.032, 2 * 128 * 4, 2 * 128)
    assert binding.free_sizes(read_model(tmp_path / "gate.onnx"), 512) == {
        "input[0]": 1,
        "input[1]": 512,
        "state[1]": 1,
    }


def _enhancer(folder: Path, metadata: dict[str, str] | None = None) -> Path:
    """One spectrum at a time, states whose outputs declare free dimensions only (as GTCRN's exporter leaves them)."""
    return save(
        folder / "enhancer.onnx",
        [
            node("MatMul", ["mix", "w"], ["enh"], name="m"),
            node("Identity", ["conv_cache"], ["conv_cache_out"], name="i"),
            node("Identity", ["inter_cache"], ["inter_cache_out"], name="j"),
        ],
        [("mix", F, [1, 257, 1, 2]), ("conv_cache", F, [2, 1, 16, 16, 33]), ("inter_cache", F, [2, 1, 33, 16])],
        [
            ("enh", F, ["a", "b", "c", "d"]),
            ("conv_cache_out", F, ["e", "f", "g", "h", "i"]),
            ("inter_cache_out", F, ["k", "l", "m", "n"]),
        ],
        {"w": f32(2, 2)},
        metadata=metadata,
    )


def test_states_are_counted_where_outputs_declare_no_sizes(tmp_path: Path) -> None:
    (part,) = of_directory(_enhancer(tmp_path)).components
    assert part.state_bytes == (2 * 16 * 16 * 33 + 2 * 33 * 16) * 4


def test_calls_per_second_are_stated_or_an_assumption_is_told(tmp_path: Path) -> None:
    path = _enhancer(tmp_path)
    stated = of_directory(path, calls_per_s=62.5)
    assert (stated.segment_s, stated.notes) == (0.016, ())
    assert of_directory(path, segment_s=0.016).segment_s == 0.016
    assumed = of_directory(path)
    assert assumed.segment_s == 1.0
    assert "one call a second is assumed (`calls_per_s`)" in assumed.notes[0]
    with pytest.raises(InputError, match="`calls_per_s` must be above 0"):
        of_directory(path, calls_per_s=0)


@pytest.mark.parametrize(
    ("metadata", "hop_s", "length"),
    [
        ({"decode_chunk_len": "32", "T": "45"}, 0.32, 45),
        ({"chunk_shift": "64", "window_size": "73"}, 0.64, 73),
        ({"chunk_size": "16", "subsampling_factor": "4", "right_context": "6"}, 0.64, 67),
        ({"chunk_size": "64"}, 0.64, 64),
    ],
    ids=["icefall", "nemo", "wenet", "plain"],
)
def test_the_models_own_chunk_and_hop(tmp_path: Path, metadata: dict[str, str], hop_s: float, length: int) -> None:
    path = save(
        tmp_path / "encoder.onnx",
        [node("MatMul", ["x", "w"], ["y"], name="m")],
        [("x", F, ["N", "T", 80])],
        [("y", F, ["N", "T", 8])],
        {"w": f32(80, 8)},
        metadata=metadata,
    )
    found = binding.segment_of(read_model(path))
    assert (found.hop_s, found.length, found.note) == (pytest.approx(hop_s), length, None)
    assert of_directory(path).components[0].total_macs == length * 80 * 8
    with pytest.raises(InputError, match=f"the graph fixes segments of {1000 * hop_s:g} ms"):
        binding.segment_of(read_model(path), calls_per_s=3)


def test_a_fixed_input_without_a_hop_says_what_is_assumed(tmp_path: Path) -> None:
    path = save(
        tmp_path / "words.onnx",
        [node("MatMul", ["x", "w"], ["y"], name="m")],
        [("x", F, [1, 76, 32])],
        [("y", F, [1, 76, 8])],
        {"w": f32(32, 8)},
    )
    assumed = of_directory(path)
    assert assumed.segment_s == pytest.approx(0.76)
    assert "the model takes 76 feature frames: calls without overlap are assumed" in assumed.notes[0]
    assert of_directory(path, calls_per_s=12.5).segment_s == 0.08


def test_nemos_cache_aware_layout(tmp_path: Path) -> None:
    """Frames come last, a cache's length is a state and no length of the segment, and an output length is no state."""
    path = save(
        tmp_path / "encoder.onnx",
        [
            node("Transpose", ["audio_signal"], ["t"], name="t", perm=[0, 2, 1]),
            node("MatMul", ["t", "w"], ["u"], name="m"),
            node("Transpose", ["u"], ["outputs"], name="v", perm=[0, 2, 1]),
            node("Identity", ["length"], ["encoded_lengths"], name="l"),
            node("Identity", ["cache_last_time"], ["cache_last_time_next"], name="c"),
            node("Identity", ["cache_last_channel_len"], ["cache_last_channel_next_len"], name="n"),
        ],
        [
            ("audio_signal", F, ["N", 80, "T"]),
            ("length", INT, ["N"]),
            ("cache_last_time", F, ["N", 1, 64, 8]),
            ("cache_last_channel_len", INT, ["N"]),
        ],
        [
            ("outputs", F, ["a", 64, "b"]),
            ("encoded_lengths", INT, ["N"]),
            ("cache_last_time_next", F, ["c", 1, 64, "d"]),
            ("cache_last_channel_next_len", INT, ["N"]),
        ],
        {"w": f32(80, 64)},
        metadata={"chunk_shift": "64", "window_size": "73", "subsampling_factor": "8"},
    )
    found = of_directory(path)
    assert found.segment_s == 0.64
    assert found.components[0].state_bytes == 64 * 8 * 4
    model = read_model(path)
    assert [value.name for value, _ in binding.states(model, binding.free_sizes(model, 73))] == ["cache_last_time"]


def test_nemos_caches_have_the_sizes_that_its_metadata_states(tmp_path: Path) -> None:
    """A cache whose free dimension was taken as one lost frames in silence, and with two layers the graph did not run."""
    one, two = (nemo_models.build(tmp_path / str(layers), layers=layers) / "encoder.onnx" for layers in (1, 2))
    for path, layers in ((one, 1), (two, 2)):
        model = read_model(path)
        states = {value.name: shape for value, shape in binding.states(model, binding.free_sizes(model, 41))}
        assert states["cache_last_time"] == (1, layers, 24, 4)
        assert of_directory(path).components[0].state_bytes == 4 * layers * (6 * 24 + 24 * 4)


def _with_past(folder: Path, name: str = "decoder_with_past_model.onnx") -> None:
    """optimum's decoder for one token: keys of 4 heads × 16, its own and the encoder's."""
    save(
        folder / name,
        [
            node("Gather", ["table", "input_ids"], ["e"], name="g"),
            node("Reshape", ["e", "to_heads"], ["q"], name="r"),
            node("Transpose", ["past_key_values.0.encoder.key"], ["k"], name="t", perm=[0, 1, 3, 2]),
            node("MatMul", ["q", "k"], ["scores"], name="m"),
            node("MatMul", ["scores", "past_key_values.0.encoder.value"], ["heard"], name="h"),
            node("Reshape", ["heard", "flat"], ["f"], name="s"),
            node("MatMul", ["f", "w"], ["logits"], name="l"),
            node("Identity", ["past_key_values.0.decoder.key"], ["present.0.decoder.key"], name="p"),
        ],
        [
            ("input_ids", INT, ["batch_size", 1]),
            ("past_key_values.0.decoder.key", F, ["batch_size", 4, "past_decoder_sequence_length", 16]),
            ("past_key_values.0.encoder.key", F, ["batch_size", 4, "encoder_sequence_length_out", 16]),
            ("past_key_values.0.encoder.value", F, ["batch_size", 4, "encoder_sequence_length_out", 16]),
        ],
        [("logits", F, ["batch_size", "x", 50]), ("present.0.decoder.key", F, ["b", 4, "y", 16])],
        {
            "table": f32(50, 64),
            "to_heads": np.array([1, 4, 1, 16], "int64"),
            "flat": np.array([1, 1, 64], "int64"),
            "w": f32(64, 50),
        },
    )


def test_cross_attention_looks_at_the_encoders_frames(tmp_path: Path) -> None:
    save(
        tmp_path / "encoder_model.onnx",
        [node("Conv", ["input_features", "w"], ["c"], name="c", pads=[1, 1], strides=[2]),
         node("Transpose", ["c"], ["last_hidden_state"], name="t", perm=[0, 2, 1])],
        [("input_features", F, ["batch_size", 80, 3000])],
        [("last_hidden_state", F, ["batch_size", 1500, 64])],
        {"w": f32(64, 80, 3)},
    )  # fmt: skip
    _with_past(tmp_path)
    _with_past(tmp_path, "decoder_model.onnx")  # the first token's: not what runs for every token
    found = of_directory(tmp_path)
    assert (found.kind, found.segment_s, found.frames_per_segment, found.vocabulary) == (
        "encoder-decoder",
        30.0,
        1500.0,
        50,
    )
    assert found.component("decoder").total_macs == 2 * 64 * 1500 + 64 * 50
    assert "decoder_with_past_model.onnx" in found.component("decoder").source
    few = of_directory(tmp_path, dims={"encoder_sequence_length_out": 100})
    assert few.component("decoder").total_macs == 2 * 64 * 100 + 64 * 50


def test_inputs_are_filled_and_unknown_names_refused(tmp_path: Path) -> None:
    then, other = (
        helper.make_graph([each], each.name, [], [helper.make_tensor_value_info(each.output[0], F, None)])
        for each in (node("MatMul", ["x", "w"], ["a"], name="m"), node("Identity", ["x"], ["b"], name="i"))
    )
    path = save(
        tmp_path / "branch.onnx",
        [
            node("Cast", ["sr"], ["wide"], name="c", to=TensorProto.BOOL),
            helper.make_node("If", ["wide"], ["y"], name="if", then_branch=then, else_branch=other),
        ],
        [("x", F, [1, 100, 80]), ("sr", INT, [])],
        [("y", F, ["n", "t", "f"])],
        {"w": f32(80, 8)},
    )
    assert of_directory(path).components[0].total_macs == 100 * 80 * 8  # a rate of 16 kHz, as speech has
    assert of_directory(path, values={"sr": 0}).components[0].total_macs == 0
    with pytest.raises(InputError, match=r"`inputs` rate: there is none of that name\. One of: sr, x"):
        of_directory(path, values={"rate": 1})
    with pytest.raises(InputError, match="`dims` T: there is none"):
        of_directory(path, dims={"T": 1})
    with pytest.raises(ModelError, match="`chunk_ms`, `dims`, `inputs`"):
        of_directory(_needs_length(tmp_path), segment_s=0.5)


def _needs_length(folder: Path) -> Path:
    return save(
        folder / "fixed.onnx",
        [node("MatMul", ["x", "w"], ["y"], name="m")],
        [("x", F, ["N", "T"])],
        [("y", F, ["N", 8])],
        {"w": f32(512, 8)},
    )
