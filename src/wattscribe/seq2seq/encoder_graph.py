"""encoder.onnx: mel → keys and values of every decoder layer's cross-attention, which depend on the audio alone.

sherpa-onnx's interface (scripts/whisper/export-onnx.py): mel (N, bands, T) → n_layer_cross_k and n_layer_cross_v, each
(layers, N, T / 2, width). Any T up to 30 s.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.models.directory import CROSS
from wattscribe.seq2seq.checkpoint import Sizes
from wattscribe.seq2seq.mel import FLOOR, RANGE, SCALE, SHIFT
from wattscribe.seq2seq.network import MICROSOFT, Network, Precision
from wattscribe.seq2seq.safetensors import Weights


def encoder(sizes: Sizes, weights: Weights, precision: Precision) -> tuple[Network, list[Any], list[Any]]:
    """The graph, its inputs and its outputs."""
    net = Network("encoder", precision)
    part = EncoderGraph(net, sizes, weights)
    x = part.front(part.filled("mel"))
    for layer in range(sizes.encoder_layers):
        x = part.layer(x, layer)
    x = part.norm(x, "encoder.layer_norm")
    part.cross(x)
    from onnx import TensorProto, helper

    kept = [sizes.decoder_layers, "N", "T_out", sizes.width]
    given = helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["N", sizes.mel_bands, "T"])
    return net, [given], [helper.make_tensor_value_info(name, TensorProto.FLOAT, kept) for name in CROSS]


class Blocks:
    """What encoder and decoder are made of; weights under the names of Transformers' checkpoints."""

    def __init__(self, net: Network, sizes: Sizes, weights: Weights) -> None:
        self.net, self.sizes, self.weights = net, sizes, weights

    def get(self, name: str) -> NDArray[np.float32]:
        return self.weights.array(f"model.{name}")

    def norm(self, x: str, name: str) -> str:
        return self.net.norm(
            x, name, self.sizes.width, lambda: self.get(f"{name}.weight"), lambda: self.get(f"{name}.bias")
        )

    def linear(self, x: str, name: str, inner: int, outer: int, *, bias: bool = True) -> str:
        return self.net.linear(
            x, name, (inner, outer), lambda: self.get(f"{name}.weight").T,
            (lambda: self.get(f"{name}.bias")) if bias else None,
        )  # fmt: skip

    def query(self, x: str, name: str, heads: int) -> str:
        """Scaled here, in the weights: of heads of 64 or 16 values the factor is a power of two, so nothing is rounded."""
        width, scale = self.sizes.width, self.scale(heads)
        return self.net.linear(
            x, name, (width, width), lambda: self.get(f"{name}.weight").T * scale,
            lambda: self.get(f"{name}.bias") * scale,
        )  # fmt: skip

    def scale(self, heads: int) -> np.float32:
        return np.float32((self.sizes.width // heads) ** -0.5)

    def joined(self, x: str, name: str, heads: int) -> tuple[str, str, str]:
        """Query (scaled), key and value of self-attention, in one product."""
        width, scale = self.sizes.width, self.scale(heads)

        def weight() -> NDArray[np.float32]:
            q, k, v = (self.get(f"{name}.{which}_proj.weight") for which in "qkv")
            return np.concatenate([q * scale, k, v]).T

        def bias() -> NDArray[np.float32]:
            q, v = self.get(f"{name}.q_proj.bias"), self.get(f"{name}.v_proj.bias")
            return np.concatenate([q * scale, np.zeros_like(q), v])

        qkv = self.net.linear(x, f"{name}.qkv", (width, 3 * width), weight, bias)
        names = [f"{name}.{which}" for which in "qkv"]
        q, k, v = self.net.ops("Split", [qkv], names, axis=-1)
        return q, k, v

    def heads(self, x: str, heads: int, name: str, *, keys: bool = False) -> str:
        """(N, T, D) → (N, heads, T, d); keys are turned to (N, heads, d, T) for the product that follows."""
        shape = self.net.constant(f"by_{heads}_heads", [0, 0, heads, self.sizes.width // heads])
        order = [0, 2, 3, 1] if keys else [0, 2, 1, 3]
        return self.net.op("Transpose", self.net.op("Reshape", x, shape), name=name, perm=order)

    def attended(self, q: str, k: str, v: str, name: str, mask: str | None = None) -> str:
        """softmax(q k) v of all heads, back to (N, T, D) and through the output projection."""
        net = self.net
        scores = net.op("MatMul", q, k, name=f"{name}.scores")
        if mask is not None:
            scores = net.op("Add", scores, mask)
        mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), v, name=f"{name}.mixed")
        flat = net.constant("flat", [0, 0, self.sizes.width])
        together = net.op("Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
        return self.linear(together, f"{name}.out_proj", self.sizes.width, self.sizes.width)

    def feed_forward(self, x: str, name: str, inner: int) -> str:
        net, width = self.net, self.sizes.width
        hidden = self.linear(self.norm(x, f"{name}.final_layer_norm"), f"{name}.fc1", width, inner)
        out = self.linear(net.gelu(hidden, f"{name}.gelu"), f"{name}.fc2", inner, width)
        return net.op("Add", x, out, name=f"{name}.out")


class EncoderGraph(Blocks):
    def filled(self, mel: str) -> str:
        """Frames of exact zeros as silence: sherpa-onnx fills a window with them, and 0 is a sound, often a loud one.

        Digital silence is `RANGE` decades under the loudest value of the window, as in `log_mel`.
        """
        net = self.net
        sums = net.op("ReduceL1", mel, axes=[1], keepdims=1)
        empty = net.op("Equal", sums, net.constant("nought", 0.0, "float32"), name="mel.empty")
        lowest = net.constant("mel.lowest", (np.log10(FLOOR) + SHIFT) / SCALE, "float32")
        loudest = net.op("ReduceMax", net.op("Where", empty, lowest, mel), axes=[1, 2], keepdims=1)
        under = net.op("Sub", loudest, net.constant("mel.range", RANGE / SCALE, "float32"))
        return net.op("Where", empty, net.op("Max", under, lowest, name="mel.silence"), mel, name="mel.filled")

    def front(self, mel: str) -> str:
        """Two convolutions, the second of stride 2, and fixed positions."""
        net, width = self.net, self.sizes.width
        x = mel
        for name, inner, stride in (("conv1", self.sizes.mel_bands, 1), ("conv2", width, 2)):
            at = f"encoder.{name}"
            weight = net.weight(f"{at}.weight", (width, inner, 3), partial(self.get, f"{at}.weight"))
            bias = net.weight(f"{at}.bias", (width,), partial(self.get, f"{at}.bias"))
            x = net.op("Conv", x, weight, bias, name=at, kernel_shape=[3], pads=[1, 1], strides=[stride])
            x = net.gelu(x, f"{at}.gelu")
        x = net.op("Transpose", x, name="encoder.frames", perm=[0, 2, 1])
        table = net.weight(
            "encoder.embed_positions.weight",
            (self.sizes.audio_positions, width),
            lambda: self.get("encoder.embed_positions.weight"),
        )
        frames = net.op("Shape", x, start=1, end=2)
        axis = net.constant("axis_0", [0])
        return net.op("Add", x, net.op("Slice", table, axis, frames, axis), name="encoder.placed")

    def layer(self, x: str, number: int) -> str:
        name, count = f"encoder.layers.{number}", self.sizes.encoder_heads
        at = f"{name}.self_attn"
        q, k, v = self.joined(self.norm(x, f"{at}_layer_norm"), at, count)
        # onnxruntime's own operator never holds the scores of all 1500 × 1500 pairs; written out they take 160 MB for tiny
        mixed = self.net.op(
            "MultiHeadAttention", q, k, v, name=f"{at}.mixed", domain=MICROSOFT, num_heads=count, scale=1.0
        )
        out = self.linear(mixed, f"{at}.out_proj", self.sizes.width, self.sizes.width)
        x = self.net.op("Add", x, out, name=f"{name}.attended")
        return self.feed_forward(x, name, self.sizes.encoder_inner)

    def cross(self, x: str) -> None:
        """Keys and values of all decoder layers, stacked."""
        net, width, first = self.net, self.sizes.width, self.net.constant("axis_0", [0])
        stacked: dict[str, list[str]] = {"k": [], "v": []}
        for layer in range(self.sizes.decoder_layers):
            for which, parts in stacked.items():
                name = f"decoder.layers.{layer}.encoder_attn.{which}_proj"
                parts.append(net.op("Unsqueeze", self.linear(x, name, width, width, bias=which == "v"), first))
        for name, parts in zip(CROSS, stacked.values(), strict=True):
            net.op("Concat", *parts, name=name, axis=0)
