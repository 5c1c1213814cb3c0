"""ggml files of Whisper as whisper.cpp's convert-h5-to-ggml.py writes them: of a checkpoint, or random."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wattscribe.seq2seq.mel import mel_filters

Weights = Mapping[str, NDArray[Any]]
ENGLISH, MULTILINGUAL = 51864, 51865
TYPES = {"float32": 0, "float16": 1, "q5_0": 6, "q8_0": 8}
BLOCK = 32
NAMES = {
    "self_attn.k_proj": "attn.key", "self_attn.q_proj": "attn.query", "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out", "self_attn_layer_norm": "attn_ln", "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.q_proj": "cross_attn.query", "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out", "encoder_attn_layer_norm": "cross_attn_ln", "fc1": "mlp.0", "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}  # fmt: skip
WHOLE = {
    "encoder.layer_norm": "encoder.ln_post", "decoder.layer_norm": "decoder.ln",
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
}  # fmt: skip
FULL = ("positional_embedding", "conv1.bias", "conv2.bias")
"""Of whatever rank, these stay in 32 bits."""


def convert(checkpoint: Path, target: Path, dtype: str = "float16") -> Path:
    """A Transformers checkpoint's weights, with the vocabulary of its tokenizer."""
    from safetensors.numpy import load_file

    config = json.loads((checkpoint / "config.json").read_text())
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    letters = _letters()
    words = [
        bytes(letters[letter] for letter in word) for word in sorted(vocabulary, key=lambda word: vocabulary[word])
    ]
    weights = {
        renamed(name): values
        for name, values in load_file(checkpoint / "model.safetensors").items()
        if name != "proj_out.weight"
    }
    sizes = (
        config["vocab_size"], config["max_source_positions"], config["d_model"], config["encoder_attention_heads"],
        config["encoder_layers"], config["max_target_positions"], config["d_model"], config["decoder_attention_heads"],
        config["decoder_layers"], config["num_mel_bins"],
    )  # fmt: skip
    return write(target, sizes, words, weights, dtype)


def renamed(name: str) -> str:
    """As OpenAI's own checkpoints call it."""
    name = name.removeprefix("model.").replace(".layers.", ".blocks.")
    for theirs, ours in {**WHOLE, **{f".{key}.": f".{value}." for key, value in NAMES.items()}}.items():
        name = name.replace(theirs, ours)
    return name


def write(target: Path, sizes: tuple[int, ...], words: list[bytes], weights: Weights, dtype: str) -> Path:
    """`sizes` without the last one of the header, which is that of the type."""
    with target.open("wb") as file:
        kind = {"float32": 0, "float16": 1, "q8_0": 7 + 2000, "q5_0": 8 + 2000}[
            dtype
        ]  # ggml_ftype, quantisation version 2
        _numbers(file, 0x67676D6C, *sizes, kind)
        filters = mel_filters(sizes[-1])
        _numbers(file, *filters.shape)
        file.write(filters.astype("<f4").tobytes())
        _numbers(file, len(words))
        for word in words:
            _numbers(file, len(word))
            file.write(word)
        for name, values in weights.items():
            _tensor(file, name, values, dtype)
    return target


def random(
    target: Path, dtype: str = "float16", *, vocabulary: int = ENGLISH, layers: int = 4, width: int = 64
) -> Path:
    """A small model that says something of everything it hears; words are letters."""
    draw = np.random.default_rng(7)

    def part(name: str, attentions: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        shapes: dict[str, tuple[int, ...]] = {f"mlp_ln.{end}": (width,) for end in ("weight", "bias")}
        shapes |= {"mlp.0.weight": (4 * width, width), "mlp.0.bias": (4 * width,)}
        shapes |= {"mlp.2.weight": (width, 4 * width), "mlp.2.bias": (width,)}
        for each in attentions:
            shapes |= {f"{each}_ln.weight": (width,), f"{each}_ln.bias": (width,), f"{each}.key.weight": (width, width)}
            for end in ("query", "value", "out"):
                shapes |= {f"{each}.{end}.weight": (width, width), f"{each}.{end}.bias": (width,)}
        return {
            f"{name}.blocks.{layer}.{key}": _drawn(draw, shape)
            for layer in range(layers)
            for key, shape in shapes.items()
        }

    weights = {
        "encoder.positional_embedding": _drawn(draw, (1500, width)),
        "encoder.conv1.weight": _drawn(draw, (width, 80, 3)), "encoder.conv1.bias": _drawn(draw, (width,)),
        "encoder.conv2.weight": _drawn(draw, (width, width, 3)), "encoder.conv2.bias": _drawn(draw, (width,)),
        **part("encoder", ("attn",)),
        "encoder.ln_post.weight": _drawn(draw, (width,)), "encoder.ln_post.bias": _drawn(draw, (width,)),
        "decoder.positional_embedding": _drawn(draw, (448, width)),
        "decoder.token_embedding.weight": _drawn(draw, (vocabulary, width)),
        **part("decoder", ("attn", "cross_attn")),
        "decoder.ln.weight": _drawn(draw, (width,)), "decoder.ln.bias": _drawn(draw, (width,)),
    }  # fmt: skip
    weights["decoder.token_embedding.weight"][50256] *= 2.5  # the end, which then comes soon
    words = [b" " + bytes([97 + index % 26]) for index in range(50257)]
    words[220] = b" "  # looked up, to be suppressed
    return write(target, (vocabulary, 1500, width, 1, layers, 448, width, 1, layers, 80), words, weights, dtype)


def _drawn(draw: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return draw.normal(0, 1 if len(shape) == 1 else 2 / np.sqrt(shape[-1]), shape).astype(np.float32)


def _tensor(file: BinaryIO, name: str, values: NDArray[Any], dtype: str) -> None:
    values = values.squeeze().astype(np.float32)
    full = values.ndim < 2 or name.endswith(FULL)
    if name.endswith(("conv1.bias", "conv2.bias")):
        values = values[:, None]
    kind = "float32" if full else "float16" if values.ndim == 3 and dtype != "float32" else dtype
    encoded = name.encode()
    _numbers(file, values.ndim, len(encoded), TYPES[kind], *values.shape[::-1])
    file.write(encoded)
    file.write(_ENCODERS[kind](values))


def _q8_0(values: NDArray[np.float32]) -> bytes:
    """Blocks of 32: a float16 scale and 32 signed bytes (ggml-quants.c, quantize_row_q8_0_ref)."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    whole = np.round(np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale > 0)).astype(np.int8)
    return np.concatenate([scale.astype("<f2").view(np.uint8), whole.view(np.uint8)], axis=1).tobytes()


def _q5_0(values: NDArray[np.float32]) -> bytes:
    """A float16 scale, 32 fifth bits, 32 halves of a byte: the first 16 elements in the low ones (quantize_row_q5_0_ref)."""
    blocks = values.reshape(-1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / -16
    scaled = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
    whole = np.clip((scaled + 16.5).astype(np.int32), 0, 31)
    fifth = np.packbits((whole >> 4).astype(np.uint8), axis=1, bitorder="little")
    low = whole & 15
    halves = (low[:, :16] | (low[:, 16:] << 4)).astype(np.uint8)
    return np.concatenate([scale.astype("<f2").view(np.uint8), fifth, halves], axis=1).tobytes()


_ENCODERS = {
    "float32": lambda values: values.astype("<f4").tobytes(),
    "float16": lambda values: values.astype("<f2").tobytes(),
    "q8_0": _q8_0,
    "q5_0": _q5_0,
}


def _numbers(file: BinaryIO, *numbers: int) -> None:
    file.write(struct.pack(f"<{len(numbers)}i", *numbers))


def _letters() -> dict[str, int]:
    """GPT-2's letters for bytes, as its byte-level vocabularies are written."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(rest)}
