"""What a file's name says of it: which part of a recognizer it is, and at which precision its weights are stored.

The names are those that exporters write: icefall and sherpa-onnx (`encoder-epoch-99-avg-1.int8.onnx`, `tiny.en-encoder.onnx`,
`encode.onnx`), NeMo (`decoder_joint-model.onnx`), optimum and transformers.js (`decoder_with_past_model_q4.onnx`), wattscribe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STORED = "stored"
"""Precision "as the model directory stores it": nothing is asked for, so nothing can be missed."""
PRECISIONS = (STORED, "fp32", "fp16", "int8")
"""What may be asked of a directory."""

AUX = "auxiliary"
"""A file beside the model that no runtime asks for by itself: a part of a part, a voice gate, a language model."""
MODEL = "model"
"""The whole recognizer in one graph."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "int4": ("int4", "uint4", "q4", "q4f16", "bnb4", "w4a16"),
    "int8": ("int8", "i8", "qint8", "quantized", "quantised", "quant", "uint8", "q8", "w8a8"),
    "bf16": ("bf16", "bfloat16"),
    "fp16": ("fp16", "float16", "f16", "half"),
}
"""By precision, the words of a name that promise it; of several such files the one with the earlier word is taken."""
_BESIDE = {"vad", "silero", "lm", "rnnlm", "lodr", "punct", "nemo80", "nemo128", "denoiser", "gtcrn"}
"""Words of files that are no recognizer: voice gates, language models, feature extractors, enhancers."""

_ORDER: Mapping[str, tuple[str, ...]] = {
    "int8": ("int8", "fp32", "fp16", "bf16", "int4"),
    "fp16": ("fp16", "bf16", "fp32", "int8", "int4"),
}
_WIDEST_FIRST = ("fp32", "fp16", "bf16", "int8", "int4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model's file and what its name says; `rank` 0 is the plainest of several names for one precision."""

    path: Path
    role: str
    precision: str
    rank: int


def read_name(path: Path) -> Named:
    """Part and precision by the name alone; without a word for it, fp32."""
    stem = path.stem.lower()
    words = re.split(r"[^a-z0-9]+", stem)
    matches = [
        (precision, rank) for precision, marks in _WORDS.items() for rank, mark in enumerate(marks) if mark in words
    ]
    precision, rank = matches[0] if matches else ("fp32", 0)
    return Named(path=path, role=_role(stem, set(words)), precision=precision, rank=rank)


def order_of(precision: str) -> tuple[str, ...]:
    """Stored precisions, the one to take first: what was asked for, then the nearest above it."""
    return _ORDER.get(precision, _WIDEST_FIRST)


def _role(stem: str, words: set[str]) -> str:
    encodes, decodes = "encode" in stem, "decode" in stem
    joins = "joiner" in stem or "joint" in stem
    if joins and words & {"proj", "blank"}:  # a part of a joiner that is there as a whole
        return AUX
    if joins or (encodes and decodes):
        return "decoder_joint" if joins and decodes else AUX if encodes else "joiner"
    if decodes and "cached" in stem:
        return "uncached_decoder" if "uncached" in stem else "cached_decoder"
    if "preprocess" in stem:
        return "preprocessor"
    if encodes or decodes:
        return "encoder" if encodes else "decoder"
    return AUX if words & _BESIDE else MODEL
