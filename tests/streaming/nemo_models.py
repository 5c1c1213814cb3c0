"""Random transducers in NeMo's cache-aware layout: subsampling by eight, cached attention and convolution, LSTM, joint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from tests.streaming.models import value

FACTOR, KERNEL, PAST = 8, 17, 9
"""Subsampling, its window, and the feature frames of a call that the call before has heard (NeMo's pre_encode_cache_size)."""


def build(
    folder: Path,
    *,
    seed: int = 0,
    layers: int = 1,
    mels: int = 80,
    shift: int = 32,
    width: int = 24,
    cache: int = 6,
    symbols: int = 19,
    blank_bias: float = 2.0,
    normalize: str = "NA",
    quantised: bool = False,
    prompt: bool = False,
) -> Path:
    """Write a complete directory; `prompt`: with the input for a language that multilingual models have."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    models = {
        "encoder": encoder(rng, layers, mels, width, cache, prompt),
        "decoder": predictor(rng, layers, width, symbols + 1),
        "joiner": joiner(rng, width, symbols + 1, blank_bias),
    }
    props = {
        "vocab_size": symbols, "window_size": shift + PAST, "chunk_shift": shift, "subsampling_factor": FACTOR,
        "normalize_type": normalize, "pred_rnn_layers": layers, "pred_hidden": width, "model_type": "EncDecRNNTBPEModel",
        "cache_last_channel_dim1": layers, "cache_last_channel_dim2": cache, "cache_last_channel_dim3": width,
        "cache_last_time_dim1": layers, "cache_last_time_dim2": width, "cache_last_time_dim3": 4, "version": "1",
    }  # fmt: skip
    helper.set_model_props(models["encoder"], {name: str(each) for name, each in props.items()})
    for name, model in models.items():
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")
        if quantised:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            target = folder / f"{name}.int8.onnx"
            quantize_dynamic(folder / f"{name}.onnx", target, weight_type=QuantType.QUInt8)
            (folder / f"{name}.onnx").unlink()
    names = [f"▁{chr(97 + i % 26)}{i}" if i % 3 == 0 else f"{chr(97 + i % 26)}{i}" for i in range(symbols)]
    lines = "".join(f"{name} {i}\n" for i, name in enumerate([*names, "<blk>"]))
    (folder / "tokens.txt").write_text(lines, encoding="utf-8")
    return folder


def _model(nodes: Any, inputs: Any, outputs: Any, weights: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "toy", inputs, outputs, [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def _random(rng: np.random.Generator, *shape: int, gain: float = 1.0) -> np.ndarray:
    found: np.ndarray = (rng.standard_normal(shape) * gain / np.sqrt(shape[0])).astype(np.float32)
    return found


def encoder(rng: np.random.Generator, layers: int, mels: int, width: int, cache: int, prompt: bool) -> onnx.ModelProto:
    """A convolution of stride 8, then per layer attention over the cache and a convolution over time."""
    weights: dict[str, np.ndarray] = {
        "sub": (rng.standard_normal((width, mels, KERNEL)) * 0.5 / np.sqrt(mels * KERNEL)).astype(np.float32),
        "level": np.array(9.0, np.float32), "one": np.array([1], np.int64), "two": np.array([2], np.int64),
        "far": np.array([1 << 30], np.int64), "axis2": np.array([2], np.int64), "axis3": np.array([3], np.int64),
        "from_end": np.array([-cache], np.int64), "from_end_time": np.array([-4], np.int64),
        "room": np.array(cache, np.int64), "slots": np.arange(cache, dtype=np.int64)[None], "low": np.array(-1e4, np.float32),
        "factor": np.array(FACTOR, np.int64), "dim_f": np.array(2, np.int64), "zero": np.array(0, np.float32),
    }  # fmt: skip
    nodes = _front()
    for i in range(layers):
        weights |= {f"{kind}{i}": _random(rng, width, width, gain=2.0) for kind in "qkv"}
        weights[f"depth{i}"] = (rng.standard_normal((width, 1, 5)) * 0.5).astype(np.float32)
        weights[f"layer{i}"] = np.array(i, np.int64)
        nodes += _layer(i, width)
    nodes += [
        helper.make_node("Concat", [f"channel{i}" for i in range(layers)], ["cache_last_channel_next"], axis=1),
        helper.make_node("Concat", [f"time{i}" for i in range(layers)], ["cache_last_time_next"], axis=1),
        helper.make_node("Transpose", [f"x_{layers}"], ["outputs"], perm=[0, 2, 1]),
    ]
    inputs = [
        value("audio_signal", ["N", mels, "T"]), value("length", ["N"], T.INT64),
        value("cache_last_channel", ["B1", layers, cache, width]), value("cache_last_time", ["B2", layers, width, "K"]),
        value("cache_last_channel_len", ["B3"], T.INT64),
    ]  # fmt: skip
    if prompt:
        inputs.append(value("prompt_index", ["N"], T.INT64))
    outputs = [
        value("outputs", ["M1", width, "F"]), value("encoded_lengths", ["M2"], T.INT64),
        value("cache_last_channel_next", ["M3", layers, "C", width]),
        value("cache_last_time_next", ["M4", layers, width, "K2"]),
        value("cache_last_channel_next_len", ["M5"], T.INT64),
    ]  # fmt: skip
    return _model(nodes, inputs, outputs, weights)


def _front() -> list[onnx.NodeProto]:
    """Up to the first layer: frames, how many have been heard, and the mask of the places that the cache does not fill yet."""
    node = helper.make_node
    return [
        node("Add", ["audio_signal", "level"], ["levelled"]),
        node("Conv", ["levelled", "sub"], ["reduced"], strides=[FACTOR]),
        node("Tanh", ["reduced"], ["bounded"]),
        node("Transpose", ["bounded"], ["x_0"], perm=[0, 2, 1]),
        node("Div", ["length", "factor"], ["encoded_lengths"]),
        node("Shape", ["x_0"], ["sizes"]),
        node("Slice", ["sizes", "one", "two"], ["frames"]),
        node("Add", ["cache_last_channel_len", "frames"], ["longer"]),
        node("Min", ["longer", "room"], ["cache_last_channel_next_len"]),
        node("Unsqueeze", ["cache_last_channel_len", "one"], ["held"]),
        node("Sub", ["room", "held"], ["empty"]),
        node("Less", ["slots", "empty"], ["unheard"]),  # the cache fills from its end
        node("Cast", ["unheard"], ["unheard_f"], to=T.FLOAT),
        node("Mul", ["unheard_f", "low"], ["mask_cache"]),
        node("Unsqueeze", ["mask_cache", "one"], ["mask_row"]),
        node("ReduceMean", ["x_0"], ["mean"], axes=[2], keepdims=1),
        node("Mul", ["mean", "zero"], ["mask_now_column"]),
        node("Transpose", ["mask_now_column"], ["mask_now"], perm=[0, 2, 1]),
        node("Concat", ["mask_row", "mask_now"], ["mask"], axis=2),
    ]


def _layer(i: int, width: int) -> list[onnx.NodeProto]:
    """Attention over the cache, then a convolution over time."""
    node = helper.make_node
    return [
        node("Gather", ["cache_last_channel", f"layer{i}"], [f"old{i}"], axis=1),
        node("Concat", [f"old{i}", f"x_{i}"], [f"seen{i}"], axis=1),
        node("MatMul", [f"x_{i}", f"q{i}"], [f"query{i}"]),
        node("MatMul", [f"seen{i}", f"k{i}"], [f"key{i}"]),
        node("MatMul", [f"seen{i}", f"v{i}"], [f"worth{i}"]),
        node("Transpose", [f"key{i}"], [f"turned{i}"], perm=[0, 2, 1]),
        node("MatMul", [f"query{i}", f"turned{i}"], [f"match{i}"]),
        node("Add", [f"match{i}", "mask"], [f"masked{i}"]),
        node("Softmax", [f"masked{i}"], [f"weight{i}"], axis=-1),
        node("MatMul", [f"weight{i}", f"worth{i}"], [f"read{i}"]),
        node("Add", [f"x_{i}", f"read{i}"], [f"attended{i}"]),
        node("Slice", [f"seen{i}", "from_end", "far", "one"], [f"left{i}"]),
        node("Unsqueeze", [f"left{i}", "one"], [f"channel{i}"]),
        node("Transpose", [f"attended{i}"], [f"flat{i}"], perm=[0, 2, 1]),
        node("Gather", ["cache_last_time", f"layer{i}"], [f"before{i}"], axis=1),
        node("Concat", [f"before{i}", f"flat{i}"], [f"long{i}"], axis=2),
        node("Conv", [f"long{i}", f"depth{i}"], [f"swept{i}"], group=width),
        node("Slice", [f"long{i}", "from_end_time", "far", "axis2"], [f"kept{i}"]),
        node("Unsqueeze", [f"kept{i}", "one"], [f"time{i}"]),
        node("Tanh", [f"swept{i}"], [f"calm{i}"]),
        node("Transpose", [f"calm{i}"], [f"x_{i + 1}"], perm=[0, 2, 1]),
    ]


def predictor(rng: np.random.Generator, layers: int, width: int, vocabulary: int) -> onnx.ModelProto:
    """An embedding and LSTM layers, their states going in and out."""
    node = helper.make_node
    weights: dict[str, np.ndarray] = {
        "table": _random(rng, vocabulary, width, gain=3.0),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        node("Gather", ["table", "targets"], ["embedded"]),
        node("Transpose", ["embedded"], ["y_0"], perm=[1, 0, 2]),
        node("Identity", ["target_length"], ["prednet_lengths"]),
    ]
    states: dict[str, list[str]] = {"h": [], "c": []}
    for i in range(layers):
        weights[f"w{i}"] = (rng.standard_normal((1, 4 * width, width)) * 2 / np.sqrt(width)).astype(np.float32)
        weights[f"r{i}"] = (rng.standard_normal((1, 4 * width, width)) * 2 / np.sqrt(width)).astype(np.float32)
        weights[f"from{i}"], weights[f"to{i}"] = np.array([i], np.int64), np.array([i + 1], np.int64)
        weights["first"] = np.array([0], np.int64)
        for name, source in (("h", "states.1"), ("c", "onnx::LSTM_3")):
            nodes.append(node("Slice", [source, f"from{i}", f"to{i}", "first"], [f"{name}{i}"]))
            states[name].append(f"{name}{i}_next")
        nodes += [
            node("LSTM", [f"y_{i}", f"w{i}", f"r{i}", "", "", f"h{i}", f"c{i}"], [f"raw{i}", f"h{i}_next", f"c{i}_next"],
                 hidden_size=width),
            node("Squeeze", [f"raw{i}", "axis"], [f"y_{i + 1}"]),
        ]  # fmt: skip
    nodes += [
        node("Concat", states["h"], ["states"], axis=0),
        node("Concat", states["c"], ["162"], axis=0),
        node("Transpose", [f"y_{layers}"], ["outputs"], perm=[1, 2, 0]),
    ]
    shapes = [value(name, [layers, f"{name}_batch", width]) for name in ("states.1", "onnx::LSTM_3", "states", "162")]
    inputs = [value("targets", ["N", "U"], T.INT32), value("target_length", ["N"], T.INT32), *shapes[:2]]
    outputs = [value("outputs", ["N", width, "U"]), value("prednet_lengths", ["N"], T.INT32), *shapes[2:]]
    return _model(nodes, inputs, outputs, weights)


def joiner(rng: np.random.Generator, width: int, vocabulary: int, blank_bias: float) -> onnx.ModelProto:
    """[N, D, T] and [N, D, U] → [N, T, U, V], the blank last."""
    node = helper.make_node
    bias = np.zeros(vocabulary, np.float32)
    bias[-1] = blank_bias
    weights = {
        "we": _random(rng, width, width, gain=1.5), "wd": _random(rng, width, width, gain=1.5),
        "wo": _random(rng, width, vocabulary, gain=2.0), "bias": bias,
        "axis1": np.array([1], np.int64), "axis2": np.array([2], np.int64),
    }  # fmt: skip
    nodes = [
        node("Transpose", ["encoder_outputs"], ["e"], perm=[0, 2, 1]),
        node("Transpose", ["decoder_outputs"], ["d"], perm=[0, 2, 1]),
        node("MatMul", ["e", "we"], ["e1"]),
        node("MatMul", ["d", "wd"], ["d1"]),
        node("Unsqueeze", ["e1", "axis2"], ["e2"]),
        node("Unsqueeze", ["d1", "axis1"], ["d2"]),
        node("Add", ["e2", "d2"], ["sum"]),
        node("Tanh", ["sum"], ["bounded"]),
        node("MatMul", ["bounded", "wo"], ["scores"]),
        node("Add", ["scores", "bias"], ["biased"]),
        node("LogSoftmax", ["biased"], ["outputs"], axis=-1),
    ]
    inputs = [value("encoder_outputs", ["N", width, "T"]), value("decoder_outputs", ["N", width, "U"])]
    return _model(nodes, inputs, [value("outputs", ["A", "B", "C", vocabulary])], weights)
