"""decoder.onnx: tokens, those before and the audio's keys and values → scores of the next token, and the longer cache.

sherpa-onnx's interface (scripts/whisper/export-onnx.py): tokens (N, t), in_n_layer_self_{k,v}_cache (layers, N, places, width),
n_layer_cross_{k,v} (layers, N, T, width), offset (1) → logits (N, t, vocabulary), out_n_layer_self_{k,v}_cache. The new keys and
values enter the cache in one operator that changes nothing else, so a runtime that binds input and output to one buffer moves
these rows alone. What the checkpoint never says is out of reach in the scores already, as sherpa-onnx has no list of it; our
runtime has, and opens the graph without that step, so that a beam's probabilities are those of all tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.models.directory import CROSS, LOGITS, SCORES
from wattscribe.seq2seq.checkpoint import Sizes
from wattscribe.seq2seq.encoder_graph import Blocks
from wattscribe.seq2seq.network import Network, Precision, quantise
from wattscribe.seq2seq.safetensors import Weights
from wattscribe.seq2seq.special import Special

CACHES = ("in_n_layer_self_k_cache", "in_n_layer_self_v_cache")
UPDATED = ("out_n_layer_self_k_cache", "out_n_layer_self_v_cache")
CROSS_KEYS, CROSS_VALUES = "cross.{layer}.k", "cross.{layer}.v"
"""Names of one layer's keys (N, heads, d, T) and values (N, heads, T, d): our runtime hands them in as they are here, so that
they are turned once per window and not once per token."""
CROSS_QUERIES = "decoder.layers.{layer}.encoder_attn.q_proj.biased"
"""Name of one layer's queries of cross-attention (N, t, D), scaled."""

_NEVER = -1e4
"""Far below every score, and a number, so that probabilities of two such graphs can be compared."""


def decoder(
    sizes: Sizes, weights: Weights, special: Special, precision: Precision
) -> tuple[Network, list[Any], list[Any]]:
    """The graph, its inputs and its outputs."""
    net = Network("decoder", precision)
    part = DecoderGraph(net, sizes, weights)
    x = part.front()
    for layer in range(sizes.decoder_layers):
        x = part.layer(x, layer)
    never, first = special.suppressed, special.suppressed_first
    part.scores(part.norm(x, "decoder.layer_norm"), SCORES if never or first else LOGITS)
    if never or first:
        part.silence(never, first)
    part.update()
    from onnx import TensorProto, helper

    def port(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    layers, width = sizes.decoder_layers, sizes.width
    cache, cross = [layers, "N", sizes.text_positions, width], [layers, "N", "T", width]
    inputs = [port("tokens", ["N", "n_tokens"], TensorProto.INT64)]
    inputs += [port(name, cache) for name in CACHES] + [port(name, cross) for name in CROSS]
    inputs.append(port("offset", [1], TensorProto.INT64))
    outputs = [port(LOGITS, ["N", "n_tokens", sizes.vocabulary])] + [port(name, cache) for name in UPDATED]
    return net, inputs, outputs


class DecoderGraph(Blocks):
    def __init__(self, net: Network, sizes: Sizes, weights: Weights) -> None:
        super().__init__(net, sizes, weights)
        self._new: dict[str, list[str]] = {"k": [], "v": []}
        tied = "proj_out.weight" not in weights
        self._output = "model.decoder.embed_tokens.weight" if tied else "proj_out.weight"

    def front(self) -> str:
        """Embedding rows and learned positions from `offset` on; positions and mask are shared by all layers."""
        net, sizes = self.net, self.sizes
        axis = net.constant("axis_0", [0])
        table = net.weight(
            "decoder.embed_positions.weight",
            (sizes.text_positions, sizes.width),
            lambda: self.get("decoder.embed_positions.weight"),
        )
        self._end = net.op("Add", "offset", net.op("Shape", "tokens", start=1, end=2), name="end")
        places = net.op("Slice", table, "offset", self._end, axis, name="decoder.places")
        self._mask = self._causal()
        x = self._embedded()
        if sizes.scale_embedding:
            x = net.op("Mul", x, net.constant("root_of_width", np.sqrt(sizes.width), "float32"))
        return net.op("Add", x, places, name="decoder.placed")

    def _embedded(self) -> str:
        net, shape = self.net, (self.sizes.vocabulary, self.sizes.width)
        name = "decoder.embed_tokens"
        if net.precision != "int8":
            return net.op("Gather", net.weight(f"{name}.weight", shape, self._table), "tokens", name=name)
        table, steps = self._eight(name, self._table)
        rows = net.op("Cast", net.op("Gather", table, "tokens"), to=1)
        return net.op("Mul", rows, net.op("Gather", net.op("Unsqueeze", steps, net.constant("axis_1", [1])), "tokens"))

    def _table(self) -> NDArray[np.float32]:
        return self.get("decoder.embed_tokens.weight")

    def _eight(self, name: str, make: Any) -> tuple[str, str]:
        """A table of 8-bit rows and the step of each, shared by embedding and output where they are one."""
        net, shape = self.net, (self.sizes.vocabulary, self.sizes.width)
        table = net.stored(f"{name}.weight", "int8", shape, lambda: quantise(make(), axis=1)[0])
        return table, net.stored(f"{name}.scale", "float32", shape[:1], lambda: quantise(make(), axis=1)[1])

    def _causal(self) -> str:
        """(t, offset + t): 0 where a token may look, −∞ at those behind it."""
        net = self.net
        first = net.op("Squeeze", "offset")
        last = net.op("Squeeze", self._end)
        zero, one = net.constant("zero", 0), net.constant("step", 1)
        self._own = net.op("Range", first, last, one, name="own_places")
        seen = net.op("Unsqueeze", net.op("Range", zero, last, one), net.constant("axis_0", [0]))
        own = net.op("Unsqueeze", self._own, net.constant("axis_1", [1]))
        may = net.op("LessOrEqual", seen, own)
        nought, never = net.constant("nought", 0.0, "float32"), net.constant("never", -np.inf, "float32")
        return net.op("Where", may, nought, never, name="mask")

    def layer(self, x: str, number: int) -> str:
        name, count = f"decoder.layers.{number}", self.sizes.decoder_heads
        at = f"{name}.self_attn"
        q, k, v = self.joined(self.norm(x, f"{at}_layer_norm"), at, count)
        self._new["k"].append(k)
        self._new["v"].append(v)
        past = [self._past(cache, number) for cache in CACHES]
        k, v = (self.net.op("Concat", old, new, axis=1) for old, new in zip(past, (k, v), strict=True))
        q = self.heads(q, count, f"{at}.q.heads")
        k, v = self.heads(k, count, f"{at}.k.heads", keys=True), self.heads(v, count, f"{at}.v.heads")
        x = self.net.op("Add", x, self.attended(q, k, v, at, self._mask), name=f"{name}.attended")
        at = f"{name}.encoder_attn"
        q = self.heads(self.query(self.norm(x, f"{at}_layer_norm"), f"{at}.q_proj", count), count, f"{at}.q.heads")
        k, v = (self._cross(source, number) for source in CROSS)
        k = self.heads(k, count, CROSS_KEYS.format(layer=number), keys=True)
        v = self.heads(v, count, CROSS_VALUES.format(layer=number))
        x = self.net.op("Add", x, self.attended(q, k, v, at), name=f"{name}.heard")
        return self.feed_forward(x, name, self.sizes.decoder_inner)

    def _past(self, cache: str, layer: int) -> str:
        """(N, offset, width): what the layer keeps of the tokens before."""
        net = self.net
        low = net.op("Concat", net.constant(f"layer_{layer}", [layer]), net.constant("axis_0", [0]), axis=0)
        high = net.op("Concat", net.constant(f"layer_{layer + 1}", [layer + 1]), "offset", axis=0)
        part = net.op("Slice", cache, low, high, net.constant("layer_and_place", [0, 2]))
        return net.op("Squeeze", part, net.constant("axis_0", [0]), name=f"{cache}.{layer}")

    def _cross(self, source: str, layer: int) -> str:
        net, axis = self.net, self.net.constant("axis_0", [0])
        low, high = (net.constant(f"layer_{index}", [index]) for index in (layer, layer + 1))
        return net.op("Squeeze", net.op("Slice", source, low, high, axis), axis, name=f"{source}.{layer}")

    def scores(self, x: str, name: str) -> None:
        """(N, t, vocabulary), under this name. As table × xᵀ: the table is the embedding's own, and stands in memory once."""
        net, shape = self.net, (self.sizes.vocabulary, self.sizes.width)
        tied = self._output.endswith("embed_tokens.weight")
        source = "decoder.embed_tokens" if tied else "proj_out"
        make = self._table if tied else lambda: self.weights.array(self._output)
        if net.precision == "int8":
            table, steps = self._eight(source, make)
            turned = net.op("Transpose", table, name="proj_out.turned", perm=[1, 0])
            net.integer_product(x, turned, steps, name)
            return
        # a second Cast of the same half would be a second table of 32 bits
        table = f"{source}.weight" if tied else net.weight(f"{source}.weight", shape, make)
        turned = net.op("Transpose", x, perm=[0, 2, 1])
        net.op("Transpose", net.op("MatMul", table, turned, name="proj_out"), name=name, perm=[0, 2, 1])

    def silence(self, never: Sequence[int], first: Sequence[int]) -> None:
        """Tokens that are never said, and those that are not said first, out of reach."""
        net = self.net
        always = self._penalty("never", never)
        starts = net.op("Equal", "offset", net.constant("axis_0", [0]))
        net.op("Add", SCORES, net.op("Where", starts, self._penalty("first", {*never, *first}), always), name=LOGITS)

    def _penalty(self, name: str, tokens: Collection[int]) -> str:
        """(vocabulary,), made when the graph is loaded."""
        net, chosen = self.net, np.array(sorted(tokens), np.int64)
        none = net.op("ConstantOfShape", net.constant("vocabulary", [self.sizes.vocabulary]))
        far = np.full(len(chosen), _NEVER)
        return net.op(
            "ScatterElements", none, net.constant(f"{name}.tokens", chosen), net.constant(f"{name}.far", far, "float32"),
            name=f"{name}.penalty",
        )  # fmt: skip

    def update(self) -> None:
        """Rows of the new tokens into the caches, by (layer, stream, place)."""
        net, layers = self.net, self.sizes.decoder_layers
        streams = net.op("Shape", "tokens", start=0, end=1)
        count = net.op("Shape", "tokens", start=1, end=2)
        one = net.constant("ones_1", [1])
        shape = net.op("Concat", net.constant("layers", [layers]), streams, count, one, axis=0)
        zero, step, first = net.constant("zero", 0), net.constant("step", 1), net.constant("axis_0", [0])
        by_layer = net.constant("by_layer", np.arange(layers).reshape(layers, 1, 1, 1))
        by_stream = net.op("Range", zero, net.op("Squeeze", streams, first), step)
        by_stream = net.op("Reshape", by_stream, net.constant("as_stream", [1, -1, 1, 1]))
        by_place = net.op("Reshape", self._own, net.constant("as_place", [1, 1, -1, 1]))
        grids = [net.op("Expand", index, shape) for index in (by_layer, by_stream, by_place)]
        where = net.op("Concat", *grids, name="rows_to_write", axis=-1)
        for cache, updated, new in zip(CACHES, UPDATED, self._new.values(), strict=True):
            rows = net.op("Concat", *(net.op("Unsqueeze", part, first) for part in new), axis=0)
            net.op("ScatterND", cache, where, rows, name=updated)
