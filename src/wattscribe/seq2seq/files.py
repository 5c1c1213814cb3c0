"""In whose layout the files of an encoder–decoder are; which they are, `models.directory` says.

Layouts: sherpa-onnx's Whisper (encoder, decoder, tokens.txt) and Moonshine (four graphs, tokens.txt), and optimum's of both
(encoder_model, decoder_model with decoder_with_past_model or one merged decoder, with the files of the tokenizer), which is also
what Moonshine's authors ship as .ort files with tokenizer.bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import ModelError
from wattscribe.models.directory import FIRST_DECODER, ModelFiles, find_model, graphs_of
from wattscribe.models.names import read_name

Kind = Literal["sherpa-onnx Whisper", "sherpa-onnx Moonshine", "optimum"]
_OURS = {"uncached_decoder": "first_decoder", "cached_decoder": "decoder", FIRST_DECODER: "first_decoder"}
_TOKENIZERS = ("tokenizer.bin", "tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The chosen files by part (encoder, decoder, first_decoder, preprocessor); `notes`: other precisions than asked for."""

    directory: Path
    kind: Kind
    parts: Mapping[str, Path]
    tokens: Path
    notes: tuple[str, ...] = ()


def is_encoder_decoder(directory: Path) -> bool:
    """Whether names alone say so: an encoder and a decoder, and no joiner."""
    roles = {read_name(path).role for path in graphs_of(directory)}
    return not roles & {"joiner", "decoder_joint"} and ({"encoder", "decoder"} <= roles or "cached_decoder" in roles)


def kind_of(model: ModelFiles) -> Kind:
    """The layout of a directory that is an encoder–decoder's."""
    if model.layout == "moonshine":
        return "sherpa-onnx Moonshine"
    return "optimum" if "encoder_model" in model.main.name else "sherpa-onnx Whisper"


def find(directory: Path | str, precision: str | None = None) -> Files:
    """Raises InputError for no directory or an unknown precision, ModelError for what is missing or ambiguous."""
    model = find_model(directory, precision)
    if model.layout not in ("moonshine", "encoder-decoder"):
        raise ModelError(
            "is no encoder with its decoder", where=directory, fix="Give the directory of a Whisper or Moonshine"
        )
    kind = kind_of(model)
    parts = {_OURS.get(part, part): path for part, path in model.parts.items()}
    if kind == "optimum" and "merged" not in parts["decoder"].name:
        for part, name, why in (
            ("decoder", "decoder_with_past_model", "it runs with caches"),
            ("first_decoder", "decoder_model", "it fills the caches"),
        ):  # fmt: skip
            if part not in parts or name not in parts[part].name:
                raise ModelError(
                    f"holds no {name}*.onnx: {why}", where=model.directory,
                    fix="Export it with decoder and decoder-with-past, or a merged one (optimum-cli does so)",
                )  # fmt: skip
    return Files(directory=model.directory, kind=kind, parts=parts, tokens=_tokens(model, kind), notes=model.notes)


def _tokens(model: ModelFiles, kind: Kind) -> Path:
    """tokens.txt of sherpa-onnx, or what a tokenizer leaves."""
    if kind != "optimum" or model.has_tokens:
        return model.tokens()
    for name in _TOKENIZERS:
        if (model.directory / name).is_file():
            return model.directory / name
    raise ModelError(
        f"holds no tokens.txt and no tokenizer ({', '.join(_TOKENIZERS)})", where=model.directory,
        fix="Copy it from where the model was exported",
    )  # fmt: skip
