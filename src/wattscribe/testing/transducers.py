"""Transducers of any size with random weights, in sherpa-onnx's layout, written without the `onnx` package.

Their text means nothing, but their work is counted and timed as any other's: for trying out what needs several models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph import wire
from wattscribe.graph.editor import node
from wattscribe.graph.model import INITIALIZER, INPUT, NODE, OUTPUT, Node
from wattscribe.graph.write import encode_node, encode_port, encode_tensor, tensor

MELS = 80
STRIDE = 4
"""Feature frames in one frame of the encoder."""
VOCABULARY = 96
IR_VERSION, OPSET = 8, 13
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 1, 7, 8, 14
"""Field numbers of ModelProto (onnx.proto)."""
BLANK_BIAS = 6.0
"""Keeps what random weights say to a few tokens."""

Weights = Mapping[str, NDArray[np.generic]]
Port = tuple[str, str, tuple[int | str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A transducer to be made: `layers` square matrices of `width` see `frames` of the encoder's frames in each call."""

    width: int
    layers: int
    frames: int

    @property
    def name(self) -> str:
        return f"random-{self.layers}x{self.width}-{10 * STRIDE * self.frames}ms"


def write(folder: Path, size: Size, *, seed: int = 0) -> Path:
    """A whole directory; the same arguments give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, size.width, size.layers, size.frames])
    (folder / "encoder.onnx").write_bytes(_encoder(rng, size))
    (folder / "decoder.onnx").write_bytes(_predictor(rng, size.width))
    (folder / "joiner.onnx").write_bytes(_joiner(rng, size.width))
    symbols = ["<blk>", "<unk>", *(f"▁{chr(97 + index % 26)}{index // 26}" for index in range(VOCABULARY - 2))]
    lines = (f"{symbol} {index}\n" for index, symbol in enumerate(symbols))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def _encoder(rng: np.random.Generator, size: Size) -> bytes:
    """Stacked feature frames · W, then tanh(x · W) layer by layer; one state, the mean of the frames before."""
    shift = STRIDE * size.frames
    weights: dict[str, NDArray[np.generic]] = {
        "stack": np.array([0, size.frames, STRIDE * MELS], np.int64),
        "W_in": _matrix(rng, STRIDE * MELS, size.width),
    }
    nodes = [node("Reshape", ["x", "stack"], "stacked"), node("MatMul", ["stacked", "W_in"], "h0")]
    nodes.append(node("Add", ["h0", "before"], "a0"))
    for layer in range(size.layers):
        weights[f"W{layer}"] = _matrix(rng, size.width, size.width)
        nodes.append(node("MatMul", [f"a{layer}", f"W{layer}"], f"m{layer}"))
        out = "encoder_out" if layer == size.layers - 1 else f"a{layer + 1}"
        nodes.append(node("Tanh", [f"m{layer}"], out))
    nodes.append(node("ReduceMean", ["encoder_out"], "new_before", axes=(1,), keepdims=1))
    state: tuple[int | str, ...] = ("N", 1, size.width)
    return _model(
        nodes,
        weights,
        [("x", "float32", ("N", shift, MELS)), ("before", "float32", state)],
        [("encoder_out", "float32", ("N", size.frames, size.width)), ("new_before", "float32", state)],
        {"model_type": "random", "T": str(shift), "decode_chunk_len": str(shift), "version": "1"},
    )


def _predictor(rng: np.random.Generator, width: int) -> bytes:
    """The mean of the last two tokens' embeddings."""
    weights: dict[str, NDArray[np.generic]] = {
        "zero": np.array(0, np.int64),
        "E": rng.standard_normal((VOCABULARY, width)).astype(np.float32),
    }
    nodes = [
        node("Max", ["y", "zero"], "tokens"),
        node("Gather", ["E", "tokens"], "embedded"),
        node("ReduceMean", ["embedded"], "decoder_out", axes=(1,), keepdims=0),
    ]
    metadata = {"context_size": "2", "vocab_size": str(VOCABULARY)}
    return _model(nodes, weights, [("y", "int64", ("N", 2))], [("decoder_out", "float32", ("N", width))], metadata)


def _joiner(rng: np.random.Generator, width: int) -> bytes:
    weights: dict[str, NDArray[np.generic]] = {
        "W": _matrix(rng, width, VOCABULARY),
        "b": np.concatenate([[BLANK_BIAS], np.zeros(VOCABULARY - 1)]).astype(np.float32),
    }
    nodes = [
        node("Add", ["encoder_out", "decoder_out"], "sum"),
        node("Tanh", ["sum"], "hidden"),
        node("MatMul", ["hidden", "W"], "scores"),
        node("Add", ["scores", "b"], "logit"),
    ]
    inputs: list[Port] = [("encoder_out", "float32", ("N", width)), ("decoder_out", "float32", ("N", width))]
    metadata = {"joiner_dim": str(width)}
    return _model(nodes, weights, inputs, [("logit", "float32", ("N", VOCABULARY))], metadata)


def _matrix(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    return np.asarray(rng.standard_normal((rows, columns)) / rows**0.5, np.float32)


def _model(
    nodes: Sequence[Node],
    weights: Weights,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    metadata: Mapping[str, str],
) -> bytes:
    """ModelProto."""
    graph = [wire.field(NODE, encode_node(item)) for item in nodes]
    graph.append(wire.field(2, "random"))
    graph += [wire.field(INITIALIZER, encode_tensor(tensor(name, values))) for name, values in weights.items()]
    graph += [wire.field(INPUT, encode_port(*port)) for port in inputs]
    graph += [wire.field(OUTPUT, encode_port(*port)) for port in outputs]
    entries = [wire.field(1, key) + wire.field(2, value) for key, value in metadata.items()]
    return b"".join(
        [
            wire.field(_MODEL_IR, IR_VERSION),
            wire.field(_MODEL_GRAPH, b"".join(graph)),
            wire.field(_MODEL_OPSET, wire.field(2, OPSET)),
            *(wire.field(_MODEL_METADATA, entry) for entry in entries),
        ]
    )
