"""The same network in optimum's layouts, written with the pieces of our own graphs: what differs is who keeps which cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from wattscribe.seq2seq.checkpoint import Checkpoint, open_checkpoint
from wattscribe.seq2seq.encoder_graph import Blocks, EncoderGraph
from wattscribe.seq2seq.network import Network

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def optimum(checkpoint: Path, folder: Path) -> Path:
    """encoder_model, decoder_model and decoder_with_past_model, with the files of the tokenizer."""
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copy(checkpoint / name, folder / name)
    opened = open_checkpoint(str(checkpoint))
    _encoder(opened, folder / "encoder_model.onnx")
    _decoder(opened, folder / "decoder_model.onnx", past=False)
    _decoder(opened, folder / "decoder_with_past_model.onnx", past=True)
    return folder


def _encoder(opened: Checkpoint, path: Path) -> None:
    net = Network("encoder", "fp32")
    part = EncoderGraph(net, opened.sizes, opened.weights)
    x = part.front("input_features")
    for layer in range(opened.sizes.encoder_layers):
        x = part.layer(x, layer)
    net.op("Identity", part.norm(x, "encoder.layer_norm"), name="last_hidden_state")
    given = helper.make_tensor_value_info("input_features", FLOAT, ["batch_size", 80, 2 * opened.sizes.audio_positions])
    made = helper.make_tensor_value_info("last_hidden_state", FLOAT, ["batch_size", "frames", opened.sizes.width])
    net.write(path, [given], [made], {})


def _decoder(opened: Checkpoint, path: Path, *, past: bool) -> None:
    sizes, net = opened.sizes, Network("decoder", "fp32")
    part = Blocks(net, sizes, opened.weights)
    heads, width, at = sizes.decoder_heads, sizes.width, net.constant("axis_0", [0])
    shape = ["batch_size", heads, "past", width // heads]
    inputs = [helper.make_tensor_value_info("input_ids", INT64, ["batch_size", 1 if past else "tokens"])]
    outputs = [helper.make_tensor_value_info("logits", FLOAT, ["batch_size", "tokens", sizes.vocabulary])]
    if not past:
        inputs.append(helper.make_tensor_value_info("encoder_hidden_states", FLOAT, ["batch_size", "frames", width]))
    start = net.op("Shape", "past_key_values.0.decoder.key", start=2, end=3) if past else net.constant("nought", [0])
    end = net.op("Add", start, net.op("Shape", "input_ids", start=1, end=2))
    table = net.weight("positions", (sizes.text_positions, width), lambda: part.get("decoder.embed_positions.weight"))
    words = net.weight("words", (sizes.vocabulary, width), lambda: part.get("decoder.embed_tokens.weight"))
    x = net.op("Add", net.op("Gather", words, "input_ids"), net.op("Slice", table, start, end, at))
    mask = None if past else _causal(net, end)
    for layer in range(sizes.decoder_layers):
        name = f"decoder.layers.{layer}"
        q, k, v = part.joined(part.norm(x, f"{name}.self_attn_layer_norm"), f"{name}.self_attn", heads)
        q, k, v = (part.heads(each, heads, f"{each}.heads") for each in (q, k, v))
        kept = {}
        for kind, new in (("key", k), ("value", v)):
            old, now = f"past_key_values.{layer}.decoder.{kind}", f"present.{layer}.decoder.{kind}"
            kept[kind] = net.op("Concat", old, new, name=now, axis=2) if past else net.op("Identity", new, name=now)
            outputs.append(helper.make_tensor_value_info(now, FLOAT, shape))
            inputs += [helper.make_tensor_value_info(old, FLOAT, shape)] if past else []
        x = net.op("Add", x, part.attended(q, _turned(net, kept["key"]), kept["value"], f"{name}.self_attn", mask))
        own = f"{name}.encoder_attn"
        q = part.heads(part.query(part.norm(x, f"{own}_layer_norm"), f"{own}.q_proj", heads), heads, f"{own}.q")
        for kind in ("key", "value"):
            old = f"past_key_values.{layer}.encoder.{kind}"
            if past:
                inputs.append(
                    helper.make_tensor_value_info(old, FLOAT, ["batch_size", heads, "frames", width // heads])
                )
                kept[kind] = old
                continue
            made = part.linear("encoder_hidden_states", f"{own}.{kind[0]}_proj", width, width, bias=kind == "value")
            kept[kind] = part.heads(made, heads, f"present.{layer}.encoder.{kind}")
            outputs.append(helper.make_tensor_value_info(kept[kind], FLOAT, shape))
        x = net.op("Add", x, part.attended(q, _turned(net, kept["key"]), kept["value"], own))
        x = part.feed_forward(x, name, sizes.decoder_inner)
    x = part.norm(x, "decoder.layer_norm")
    net.op("MatMul", x, net.op("Transpose", words, perm=[1, 0]), name="logits")
    net.write(path, inputs, outputs, {})


def _turned(net: Network, keys: str) -> str:
    return net.op("Transpose", keys, perm=[0, 1, 3, 2])


def _causal(net: Network, end: str) -> str:
    places = net.op("Range", net.constant("0", 0), net.op("Squeeze", end), net.constant("1", 1))
    rows = net.op("Unsqueeze", places, net.constant("axis_1", [1]))
    may = net.op("LessOrEqual", net.op("Unsqueeze", places, net.constant("axis_0", [0])), rows)
    return net.op("Where", may, net.constant("0.0", 0.0, "float32"), net.constant("never", -np.inf, "float32"))
