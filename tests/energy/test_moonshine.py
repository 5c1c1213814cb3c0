"""Moonshine's layouts: sherpa-onnx's four graphs, and the pair in onnxruntime's own format whose decoder holds an If."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper

from tests.energy.builders import save
from wattscribe.errors import ModelError
from wattscribe.profiling import workload_of
from wattscribe.recognizers.detect import runtime_of

WIDTH, HOP, SYMBOLS = 8, 400, 20
F, I32, I64 = T.FLOAT, T.INT32, T.INT64
node = helper.make_node


def f32(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def four_graphs(folder: Path) -> Path:
    """The caches' lengths have names that say nothing, as in the releases."""
    save(
        folder / "preprocess.onnx",
        [node("Unsqueeze", ["args_0", "axis"], ["wide"]), node("Conv", ["wide", "w"], ["c"], strides=[HOP]),
         node("Transpose", ["c"], ["sequential"], perm=[0, 2, 1])],
        [("args_0", F, [1, "n"])], [("sequential", F, [1, "t", WIDTH])],
        {"w": f32(WIDTH, 1, HOP), "axis": np.array([1])},
    )  # fmt: skip
    save(
        folder / "encode.onnx",
        [node("MatMul", ["args_0", "w"], ["y"])],
        [("args_0", F, [1, "t", WIDTH]), ("args_1", I32, [1])], [("y", F, [1, "t", WIDTH])],
        {"w": f32(WIDTH, WIDTH)},
    )  # fmt: skip
    common: list[tuple[str, int, list[Any]]] = [
        ("args_0", I32, [1, 1]),
        ("args_1", F, [1, "s", WIDTH]),
        ("args_2", I32, [1]),
    ]
    weights = {"table": f32(SYMBOLS, WIDTH), "k": f32(WIDTH, WIDTH), "out": f32(WIDTH, SYMBOLS)}
    save(
        folder / "uncached_decode.onnx",
        [node("Gather", ["table", "args_0"], ["e"]), node("MatMul", ["e", "out"], ["logits"]),
         node("MatMul", ["e", "k"], ["own"]), node("MatMul", ["args_1", "k"], ["cross"])],
        common, [("logits", F, [1, 1, SYMBOLS]), ("own", F, [1, "u1", WIDTH]), ("cross", F, [1, "u2", WIDTH])], weights,
    )  # fmt: skip
    save(
        folder / "cached_decode.onnx",
        [node("Gather", ["table", "args_0"], ["e"]), node("MatMul", ["e", "out"], ["logits"]),
         node("MatMul", ["e", "k"], ["now"]), node("Concat", ["args_3", "now"], ["own"], axis=1),
         node("Transpose", ["own"], ["own_t"], perm=[0, 2, 1]), node("MatMul", ["e", "own_t"], ["a"]),
         node("Transpose", ["args_4"], ["cross_t"], perm=[0, 2, 1]), node("MatMul", ["e", "cross_t"], ["b"]),
         node("Identity", ["args_4"], ["cross"])],
        [*common, ("args_3", F, [1, "unk_1", WIDTH]), ("args_4", F, [1, "unk_2", WIDTH])],
        [("logits", F, [1, 1, SYMBOLS]), ("own", F, [1, "u1", WIDTH]), ("cross", F, [1, "u2", WIDTH]),
         ("a", F, [1, 1, "u3"]), ("b", F, [1, 1, "u4"])],
        weights,
    )  # fmt: skip
    return folder


def test_four_graphs_attend_to_every_encoder_frame(tmp_path: Path) -> None:
    found = workload_of(str(four_graphs(tmp_path)), chunk_ms=2000)
    frames = 32_000 // HOP
    macs = {each.name: each.total_macs for each in found.components}
    assert found.kind == "encoder-decoder"
    assert found.frames_per_segment == frames
    assert macs["preprocessor"] == frames * WIDTH * HOP
    assert macs["encoder"] == frames * WIDTH * WIDTH
    assert macs["cross_attention"] == frames * WIDTH * WIDTH
    assert macs["decoder"] == WIDTH * WIDTH + (12 + 1) * WIDTH + frames * WIDTH
    assert macs["vocabulary"] == WIDTH * SYMBOLS
    assert any(f"{frames} encoder frames" in note for note in found.notes)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = four_graphs(tmp_path)
    assert runtime_of(folder) == "onnx"
    (folder / "encode.onnx").unlink()
    with pytest.raises(ModelError, match=r"Moonshine.*encode\*\.onnx is missing"):
        workload_of(str(folder))


def merged(folder: Path) -> Path:
    """Encoder of samples, and a decoder whose two branches are chosen by use_cache_branch; its mask is as long as the audio."""
    save(
        folder / "encoder_model.onnx",
        [node("Unsqueeze", ["input_values", "axis"], ["wide"]), node("Conv", ["wide", "w"], ["c"], strides=[HOP]),
         node("Transpose", ["c"], ["last_hidden_state"], perm=[0, 2, 1])],
        [("input_values", F, ["batch_size", "encoder_sequence_length"])],
        [("last_hidden_state", F, ["batch_size", "t", WIDTH])],
        {"w": f32(WIDTH, 1, HOP), "axis": np.array([1])},
    )  # fmt: skip

    def branch(name: str, cached: bool) -> onnx.GraphProto:
        source = "past_key_values.0.encoder.key" if cached else "encoder_hidden_states"
        nodes = [
            node("Transpose", [source], [f"{name}_t"], perm=[0, 2, 1]),
            node("MatMul", ["e", f"{name}_t"], [f"{name}_scores"]),
            node("Add", [f"{name}_scores", "mask"], [f"{name}_masked"]),
            node("MatMul", [f"{name}_masked", source], [f"{name}_read"]),
            node("MatMul", [f"{name}_read", "out"], [f"{name}_logits"]),
            node("Identity", [source], [f"{name}_key"]),
        ]
        kept = [(f"{name}_logits", [1, 1, SYMBOLS]), (f"{name}_key", [1, "s", WIDTH])]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(n, F, s) for n, s in kept])

    sizes = ["batch_size", "encoder_sequence_length", WIDTH]
    save(
        folder / "decoder_model_merged.onnx",
        [node("Gather", ["table", "input_ids"], ["e"]),
         node("Slice", ["encoder_attention_mask", "from", "to", "one", "hop"], ["every"]),
         node("Cast", ["every"], ["mask"], to=F),
         helper.make_node("If", ["use_cache_branch"], ["logits", "present.0.encoder.key"],
                          then_branch=branch("then", True), else_branch=branch("else", False))],
        [("encoder_attention_mask", I64, ["batch_size", "encoder_sequence_length"]), ("input_ids", I64, ["batch_size", "u"]),
         ("encoder_hidden_states", F, sizes), ("past_key_values.0.encoder.key", F, sizes),
         ("use_cache_branch", T.BOOL, [1])],
        [("logits", F, ["batch_size", "u", SYMBOLS]), ("present.0.encoder.key", F, sizes)],
        {"table": f32(SYMBOLS, WIDTH), "out": f32(WIDTH, SYMBOLS), "from": np.array([0]), "to": np.array([1 << 30]),
         "one": np.array([1]), "hop": np.array([HOP])},
    )  # fmt: skip
    return folder


def test_the_pair_in_onnxruntimes_own_format_is_counted_as_its_onnx(tmp_path: Path) -> None:
    source, target = tmp_path / "onnx", tmp_path / "ort"
    source.mkdir()
    target.mkdir()
    for path in sorted(merged(source).glob("*.onnx")):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(target / f"{path.stem}.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(path), options)
    plain, own = (workload_of(str(folder), chunk_ms=2000) for folder in (source, target))
    frames = 32_000 // HOP
    assert own.frames_per_segment == plain.frames_per_segment == frames
    for found in (plain, own):
        macs = {each.name: each.total_macs for each in found.components}
        assert macs == {
            "encoder": frames * HOP * WIDTH, "cross_attention": 0,
            "decoder": 2 * frames * WIDTH, "vocabulary": WIDTH * SYMBOLS,
        }  # fmt: skip
    assert any("(.ort)" in note for note in own.notes)
    assert runtime_of(target) == "onnx"
