"""Small random transducers in the layouts of sherpa-onnx's model families, built node by node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from tests.shared import ZIPFORMER as ZIPFORMER

MELS, SEGMENT, SHIFT, STRIDE, DIM, VOCAB = 20, 9, 8, 2, 12, 15
FRAMES = SHIFT // STRIDE
LAYOUTS = ("lstm", "conformer", "zipformer", "zipformer2")


@dataclass(frozen=True)
class State:
    """A state of the toy encoder: where its batch axis is, and how it is called going in and out."""

    name: str
    out: str
    shape: tuple[int, ...]
    axis: int


STATES: dict[str, tuple[State, ...]] = {
    "lstm": (State("h", "next_h", (1, 1, DIM), 1), State("c", "next_c", (1, 1, DIM), 1)),
    "conformer": (
        State("attn_cache", "next_attn_cache", (1, 1, 1, DIM), 2),
        State("cnn_cache", "next_cnn_cache", (1, 1, 1, DIM), 2),
    ),
    "zipformer": (
        State("cached_avg_0", "new_cached_avg_0", (1, 1, DIM), 1),
        State("cached_conv1_0", "new_cached_conv1_0", (1, 1, DIM, 1), 1),
    ),
    "zipformer2": (
        State("cached_key_0", "new_cached_key_0", (1, 1, DIM), 1),
        State("cached_conv1_0", "new_cached_conv1_0", (1, DIM, 1), 0),
    ),
}
METADATA: dict[str, dict[str, str]] = {
    "lstm": {"num_encoder_layers": "1", "rnn_hidden_size": str(DIM), "d_model": str(DIM)},
    "conformer": {"num_encoder_layers": "1", "left_context": "1", "encoder_dim": str(DIM), "pad_length": "1"},
    "zipformer": {"num_encoder_layers": "1", "encoder_dims": str(DIM)},
    "zipformer2": {"num_encoder_layers": "1", "encoder_dims": str(DIM)},
}


def build(
    folder: Path,
    *,
    layout: str = "lstm",
    seed: int = 0,
    predictor: str = "stateless",
    blank_bias: float = 1.2,
    quantised: bool = False,
    fixed_batch: bool = False,
) -> Path:
    """Write a complete transducer directory."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    onnx.save(encoder(rng, layout, fixed_batch), folder / "encoder.onnx")
    onnx.save(stateless(rng) if predictor == "stateless" else recurrent(rng), folder / "decoder.onnx")
    onnx.save(joiner(rng, blank_bias, quantised), folder / "joiner.onnx")
    write_tokens(folder, VOCAB)
    return folder


def write_tokens(folder: Path, count: int) -> None:
    symbols = ["<blk>", "<unk>", *(f"▁{chr(97 + i)}" if i % 3 == 0 else chr(97 + i) for i in range(count - 2))]
    (folder / "tokens.txt").write_text("".join(f"{s} {i}\n" for i, s in enumerate(symbols)), encoding="utf-8")


def model(nodes: Any, inputs: Any, outputs: Any, weights: Any, metadata: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "toy", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in weights.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    helper.set_model_props(made, metadata)
    return made


def value(name: str, shape: Any, kind: int = T.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def encoder(rng: np.random.Generator, layout: str, fixed_batch: bool = False) -> onnx.ModelProto:
    """tanh(frame pair · W + Σ states); each state becomes the mean of the segment's frames plus half of itself."""
    batch: int | str = 1 if fixed_batch else "N"
    weights: dict[str, np.ndarray] = {
        "W": (rng.standard_normal((STRIDE * MELS, DIM)) * 0.15).astype(np.float32),
        "from": np.array([0], np.int64), "to": np.array([SHIFT], np.int64), "time": np.array([1], np.int64),
        "pairs": np.array([0, FRAMES, STRIDE * MELS], np.int64), "flat": np.array([-1, 1, DIM], np.int64),
        "half": np.array(0.5, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "time"], ["cut"]),
        helper.make_node("Reshape", ["cut", "pairs"], ["stacked"]),
        helper.make_node("MatMul", ["stacked", "W"], ["sum_0"]),
    ]
    inputs, outputs = [value("x", [batch, SEGMENT, MELS])], [value("encoder_out", [batch, FRAMES, DIM])]
    states = STATES[layout]
    for i, state in enumerate(states):
        shape = [batch if axis == state.axis else size for axis, size in enumerate(state.shape)]
        inputs.append(value(state.name, shape))
        outputs.append(value(state.out, shape))
        nodes += [
            helper.make_node("Reshape", [state.name, "flat"], [f"flat_{i}"]),
            helper.make_node("Add", [f"sum_{i}", f"flat_{i}"], [f"sum_{i + 1}"]),
        ]
    total = f"sum_{len(states)}"
    if layout == "conformer":
        inputs.append(value("processed_lens", [batch], T.INT64))
        nodes += _clock(total, weights)
        total = "clocked"
    nodes.append(helper.make_node("Tanh", [total], ["encoder_out"]))
    nodes.append(helper.make_node("ReduceMean", ["encoder_out"], ["mean"], axes=[1], keepdims=1))
    for i, state in enumerate(states):
        nodes += _next_state(i, state, weights)
    if layout in ("zipformer", "zipformer2"):
        name = "cached_len_0" if layout == "zipformer" else "processed_lens"
        lengths = [1, batch] if layout == "zipformer" else [batch]
        inputs.append(value(name, lengths, T.INT64))
        outputs.append(value(f"new_{name}", lengths, T.INT64))
        weights["frames"] = np.array([FRAMES], np.int64)
        nodes.append(helper.make_node("Add", [name, "frames"], [f"new_{name}"]))
    metadata = {"model_type": layout, "T": str(SEGMENT), "decode_chunk_len": str(SHIFT), "version": "1"}
    return model(nodes, inputs, outputs, weights, {**metadata, **METADATA[layout]})


def _next_state(number: int, state: State, weights: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    target = [-1 if axis == state.axis else size for axis, size in enumerate(state.shape)]
    weights[f"shape_{number}"] = np.array(target, np.int64)
    return [
        helper.make_node("Mul", [f"flat_{number}", "half"], [f"old_{number}"]),
        helper.make_node("Sub", ["mean", f"old_{number}"], [f"next_{number}"]),
        helper.make_node("Reshape", [f"next_{number}", f"shape_{number}"], [state.out]),
    ]


def _clock(total: str, weights: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """What a frame says depends on how many came before it."""
    weights["per_frame"], weights["column"] = np.array(0.001, np.float32), np.array([-1, 1, 1], np.int64)
    return [
        helper.make_node("Cast", ["processed_lens"], ["clock"], to=T.FLOAT),
        helper.make_node("Mul", ["clock", "per_frame"], ["small"]),
        helper.make_node("Reshape", ["small", "column"], ["clock_column"]),
        helper.make_node("Add", [total, "clock_column"], ["clocked"]),
    ]


def stateless(rng: np.random.Generator, context: int = 2) -> onnx.ModelProto:
    weights = {
        "E": rng.standard_normal((VOCAB, DIM)).astype(np.float32), "zero": np.array(0, np.int64),
        "scale": np.array([[1.0], [0.4]], np.float32)[-context:],
    }  # fmt: skip
    nodes = [
        helper.make_node("Max", ["y", "zero"], ["tokens"]),
        helper.make_node("Gather", ["E", "tokens"], ["embedded"]),
        helper.make_node("Mul", ["embedded", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["decoder_out"], axes=[1], keepdims=0),
    ]
    metadata = {"context_size": str(context), "vocab_size": str(VOCAB)}
    return model(nodes, [value("y", ["N", context], T.INT64)], [value("decoder_out", ["N", DIM])], weights, metadata)


def recurrent(rng: np.random.Generator) -> onnx.ModelProto:
    """One token at a time, with a state: h' = tanh(E[y] + h · W)."""
    weights = {
        "E": rng.standard_normal((VOCAB, DIM)).astype(np.float32),
        "W": (rng.standard_normal((DIM, DIM)) * 0.3).astype(np.float32),
        "zero": np.array(0, np.int64), "flat": np.array([-1, DIM], np.int64), "shape": np.array([1, -1, DIM], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Max", ["y", "zero"], ["tokens"]),
        helper.make_node("Gather", ["E", "tokens"], ["embedded"]),
        helper.make_node("Reshape", ["embedded", "flat"], ["token"]),
        helper.make_node("Reshape", ["h", "flat"], ["old"]),
        helper.make_node("MatMul", ["old", "W"], ["moved"]),
        helper.make_node("Add", ["token", "moved"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["decoder_out"]),
        helper.make_node("Reshape", ["decoder_out", "shape"], ["new_h"]),
    ]
    return model(
        nodes,
        [value("y", ["N", 1], T.INT64), value("h", [1, "N", DIM])],
        [value("decoder_out", ["N", DIM]), value("new_h", [1, "N", DIM])],
        weights,
        {"context_size": "1", "vocab_size": str(VOCAB)},
    )


def joiner(
    rng: np.random.Generator, blank_bias: float = 1.2, quantised: bool = False, dim: int = DIM, vocab: int = VOCAB
) -> onnx.ModelProto:
    weights = {
        "W": rng.standard_normal((dim, vocab)).astype(np.float32),
        "b": np.concatenate([[blank_bias], np.zeros(vocab - 1)]).astype(np.float32),
    }
    nodes = [
        helper.make_node("Add", ["encoder_out", "decoder_out"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["hidden"]),
    ]
    if quantised:
        scale = np.float32(np.abs(weights["W"]).max() / 127)
        weights["Q"] = np.round(weights.pop("W") / scale).astype(np.int8)
        weights["q_scale"], weights["q_zero"] = np.array(scale), np.array(0, np.int8)
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["hidden"], ["h8", "h_scale", "h_zero"]),
            helper.make_node("Mul", ["h_scale", "q_scale"], ["both"]),
            helper.make_node("MatMulInteger", ["h8", "Q", "h_zero", "q_zero"], ["product"]),
            helper.make_node("Cast", ["product"], ["real"], to=T.FLOAT),
            helper.make_node("Mul", ["real", "both"], ["scaled"]),
            helper.make_node("Add", ["scaled", "b"], ["logit"]),
        ]
    else:
        nodes += [helper.make_node("MatMul", ["hidden", "W"], ["m"]), helper.make_node("Add", ["m", "b"], ["logit"])]
    inputs = [value("encoder_out", ["N", dim]), value("decoder_out", ["N", dim])]
    return model(nodes, inputs, [value("logit", ["N", vocab])], weights, {"joiner_dim": str(dim)})


def sound(seed: int, samples: int) -> np.ndarray:
    """Noise in bursts: loud and quiet stretches make tokens and blanks."""
    rng = np.random.default_rng(seed)
    bursts = np.repeat(rng.uniform(0, 0.4, samples // 800 + 1), 800)[:samples]
    return (rng.standard_normal(samples) * bursts).astype(np.float32)
