"""A tiny random streaming model in the layout of moonshine-voice: five graphs in onnxruntime's own format and a tokenizer.

What follows from the audio goes through every graph; a token follows from the one before and from the mean over all of the audio.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from tests.recognizers.sherpa_models import FLOAT, INT64, LETTERS, ints, save, value, weight

SAMPLES, WIDTH, HEADS, SAID = 256, 16, 2, 5
"""Samples per frame divide what the library hands on at once (1280, and what is left of its voice gate's 512); after so many
tokens the end is said, before the library's limit for short audio."""
SYMBOLS = ["<unk>", "<s>", "</s>", *(f"▁{letter}" for letter in LETTERS)]


def _save(directory: Path, name: str, *graph: Any) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / f"{name}.onnx"
        save(source, *graph)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(directory / f"{name}.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _end() -> list[Any]:
    """Nodes for `ends`, which outweighs every letter from the place `said` on; places go on from those in the cache."""
    return [
        helper.make_node("Shape", ["k_self"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "three"], ["before"]),
        helper.make_node("Cast", ["before"], ["before_f"], to=FLOAT),
        helper.make_node("Cast", ["token"], ["token_f"], to=FLOAT),
        helper.make_node("Sub", ["token_f", "token_f"], ["nothing"]),
        helper.make_node("Cos", ["nothing"], ["ones"]),
        helper.make_node("CumSum", ["ones", "row"], ["places"]),
        helper.make_node("Add", ["places", "before_f"], ["all_places"]),
        helper.make_node("Greater", ["all_places", "said"], ["late"]),
        helper.make_node("Cast", ["late"], ["late_f"], to=FLOAT),
        helper.make_node("Unsqueeze", ["late_f", "last"], ["late3"]),
        helper.make_node("Mul", ["late3", "end"], ["ends"]),
    ]


def _frontend(directory: Path) -> None:
    """Samples → features; the states of a real one's convolutions are handed on."""
    states = {"sample_buffer": (1, 79), "conv1_buffer": (1, 4, 4), "conv2_buffer": (1, 4, 4)}
    _save(
        directory,
        "frontend",
        [
            helper.make_node("Reshape", ["audio_chunk", "frames"], ["framed"]),
            helper.make_node("MatMul", ["framed", "w"], ["features"]),
            *(helper.make_node("Identity", [name], [f"{name}_out"]) for name in (*states, "sample_len", "frame_count")),
        ],
        [
            value("audio_chunk", FLOAT, 1, "n"),
            value("sample_buffer", FLOAT, 1, 79),
            value("sample_len", INT64, 1),
            value("conv1_buffer", FLOAT, 1, 4, 4),
            value("conv2_buffer", FLOAT, 1, 4, 4),
            value("frame_count", INT64, 1),
        ],
        [
            value("features", FLOAT, 1, "F", WIDTH),
            *(value(f"{name}_out", FLOAT, *shape) for name, shape in states.items()),
            value("sample_len_out", INT64, 1),
            value("frame_count_out", INT64, 1),
        ],
        [weight("w", SAMPLES, WIDTH, scale=0.3), ints("frames", 1, -1, SAMPLES)],
    )


def _encoder_and_adapter(directory: Path) -> None:
    _save(
        directory,
        "encoder",
        [helper.make_node("MatMul", ["features", "w"], ["raw"]), helper.make_node("Tanh", ["raw"], ["encoded"])],
        [value("features", FLOAT, 1, "F", WIDTH)],
        [value("encoded", FLOAT, 1, "F", WIDTH)],
        [weight("w", WIDTH, WIDTH)],
    )
    _save(
        directory,
        "adapter",
        [
            helper.make_node("MatMul", ["encoded", "w"], ["memory"]),
            helper.make_node("Identity", ["pos_offset"], ["place"]),
        ],
        [value("encoded", FLOAT, 1, "F", WIDTH), value("pos_offset", INT64, 1)],
        [value("memory", FLOAT, 1, "F", WIDTH), value("place", INT64, 1)],
        [weight("w", WIDTH, WIDTH, scale=0.5)],
    )


def _cross_kv(directory: Path) -> None:
    """Frames → keys, and values that are the same."""
    per_head = WIDTH // HEADS
    cache = (1, 1, HEADS, "L", per_head)
    _save(
        directory,
        "cross_kv",
        [
            helper.make_node("Reshape", ["memory", "heads"], ["split"]),
            helper.make_node("Transpose", ["split"], ["turned"], perm=[0, 2, 1, 3]),
            helper.make_node("Unsqueeze", ["turned", "zero"], ["k_cross"]),
            helper.make_node("Identity", ["k_cross"], ["v_cross"]),
        ],
        [value("memory", FLOAT, 1, "L", WIDTH)],
        [value("k_cross", FLOAT, *cache), value("v_cross", FLOAT, *cache)],
        [ints("heads", 1, -1, HEADS, per_head), ints("zero", 0)],
    )


def _decoder(directory: Path) -> None:
    """The token before and the mean of all frames → scores; the cache counts the places."""
    per_head = WIDTH // HEADS
    cache = (1, 1, HEADS, "L", per_head)
    only_letters = np.array([-1e4] * 3 + [0.0] * (len(SYMBOLS) - 3), np.float32)
    _save(
        directory,
        "decoder_kv",
        [
            helper.make_node("Gather", ["table", "token"], ["embedded"], axis=0),
            helper.make_node("Reshape", ["embedded", "heads"], ["split"]),
            helper.make_node("Transpose", ["split"], ["turned"], perm=[0, 2, 1, 3]),
            helper.make_node("Unsqueeze", ["turned", "zero"], ["new"]),
            helper.make_node("Concat", ["k_self", "new"], ["out_k_self"], axis=3),
            helper.make_node("Concat", ["v_self", "new"], ["out_v_self"], axis=3),
            helper.make_node("ReduceMean", ["out_k_cross"], ["mean"], axes=[3], keepdims=0),
            helper.make_node("Reshape", ["mean", "flat"], ["context"]),
            helper.make_node("Mul", ["context", "loud"], ["heard"]),
            helper.make_node("Add", ["embedded", "heard"], ["sum"]),
            helper.make_node("Sin", ["sum"], ["bounded"]),
            helper.make_node("MatMul", ["bounded", "w"], ["raw"]),
            helper.make_node("Add", ["raw", "only_letters"], ["letters"]),
            *_end(),
            helper.make_node("Add", ["letters", "ends"], ["logits"]),
            helper.make_node("Identity", ["out_v_cross"], ["unused"]),
        ],
        [
            value("token", INT64, 1, "T"),
            value("k_self", FLOAT, 1, 1, HEADS, "C", per_head),
            value("v_self", FLOAT, 1, 1, HEADS, "C", per_head),
            value("out_k_cross", FLOAT, *cache),
            value("out_v_cross", FLOAT, *cache),
        ],
        [
            value("logits", FLOAT, 1, "T", len(SYMBOLS)),
            value("out_k_self", FLOAT, 1, 1, HEADS, "C2", per_head),
            value("out_v_self", FLOAT, 1, 1, HEADS, "C2", per_head),
        ],
        [
            weight("table", len(SYMBOLS), WIDTH),
            weight("w", WIDTH, len(SYMBOLS)),
            numpy_helper.from_array(only_letters, "only_letters"),
            numpy_helper.from_array(np.array([40.0], np.float32), "loud"),
            ints("heads", 1, -1, HEADS, per_head),
            ints("zero", 0),
            ints("flat", 1, 1, WIDTH),
            ints("three", 3),
            ints("last", 2),
            ints("row", 1),
            numpy_helper.from_array(np.array([float(SAID)], np.float32), "said"),
            numpy_helper.from_array(np.array([0, 0, 1e6, *([0] * len(LETTERS))], np.float32), "end"),
        ],
    )


def streaming_model(directory: Path) -> None:
    for part in (_frontend, _encoder_and_adapter, _cross_kv, _decoder):
        part(directory)
    (directory / "streaming_config.json").write_text(
        json.dumps(
            {
                "encoder_dim": WIDTH, "decoder_dim": WIDTH, "depth": 1, "nheads": HEADS, "head_dim": WIDTH // HEADS,
                "vocab_size": len(SYMBOLS), "bos_id": 1, "eos_id": 2, "frame_len": SAMPLES, "total_lookahead": 4,
                "d_model_frontend": 4, "c1": 4, "c2": 4, "max_seq_len": 64,
            }
        )
    )  # fmt: skip
    texts = [symbol.encode() for symbol in SYMBOLS]
    (directory / "tokenizer.bin").write_bytes(b"".join(bytes([len(text)]) + text for text in texts))
