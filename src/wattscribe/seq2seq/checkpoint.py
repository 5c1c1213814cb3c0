"""What a Whisper checkpoint says of itself: sizes, special tokens, languages, what it never says. No library of models is needed.

Read from config.json, generation_config.json and tokenizer.json (or vocab.json with added_tokens.json), as save_pretrained writes
them; a hub name is fetched with the hub's own client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError, MissingExtraError, ModelError
from wattscribe.models.vocabulary import MOST_IDS
from wattscribe.seq2seq.safetensors import Weights
from wattscribe.seq2seq.special import Special
from wattscribe.seq2seq.vocabulary import bytes_of
from wattscribe.text_files import parse_json, read_bytes

_FILES = ("*.json", "*.safetensors")
"""Of a hub repository: neither pickled weights nor code."""
_AGAIN = "Copy or download the model again"
_KINDS = "openai/whisper-* and distil-whisper/* have the shape that is exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The shape of the network, under the names of its configuration."""

    mel_bands: int
    width: int
    encoder_layers: int
    encoder_heads: int
    encoder_inner: int
    decoder_layers: int
    decoder_heads: int
    decoder_inner: int
    vocabulary: int
    audio_positions: int
    """Encoder frames of 20 ms: 1500."""
    text_positions: int
    scale_embedding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A Whisper-like model before export."""

    name: str
    sizes: Sizes
    special: Special
    tokens: Mapping[int, bytes]
    """Of every token that stands for text."""
    weights: Weights


def open_checkpoint(model: str, *, revision: str | None = None) -> Checkpoint:
    """A local directory or a hub name. Raises ModelError for what is not Whisper-like, InputError for a name that is nothing."""
    directory = _local(model, revision)
    config = read_json(directory / "config.json")
    if config.get("model_type") != "whisper":
        kind = config.get("model_type") or "model without a type"
        raise ModelError(f"is a {kind}, not Whisper", where=model, fix=_KINDS)
    sizes = _sizes(config, directory)
    vocabulary, added = read_vocabulary(directory)
    special = read_special(directory, config, added)
    tokens = {number: bytes_of(text) for text, number in vocabulary.items() if number < special.end}
    return Checkpoint(name=Path(model).name, sizes=sizes, special=special, tokens=tokens, weights=Weights(directory))


def _local(model: str, revision: str | None) -> Path:
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise InputError("there is no such directory", where=model, fix="Name a directory or a hub model")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hf", needed_for="A model of the hub") from None
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_FILES)))
    except Exception as error:  # noqa: BLE001  (the client's own, its transport's and the system's)
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot be fetched from the hub ({reason})", where=model, fix="Check the name, or give a local directory"
        ) from None


def read_json(path: Path, *, needed: bool = True) -> dict[str, Any]:
    """A JSON table; empty where it is missing and not needed. Raises ModelError."""
    if not path.is_file() and not needed:
        return {}
    try:
        table = parse_json(read_bytes(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read ({error})", where=path, fix=_AGAIN) from None
    if not isinstance(table, dict):
        raise ModelError("holds no table", where=path, fix=_AGAIN)
    return table


def _sizes(config: Mapping[str, Any], directory: Path) -> Sizes:
    def size(name: str, default: int | None = None) -> int:
        value = config.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"its configuration says {name}={value!r}", where=directory, fix="Copy it again")
        return value

    if config.get("activation_function", "gelu") != "gelu":
        raise ModelError(f"its activation is {config['activation_function']}", where=directory, fix=_KINDS)
    sizes = Sizes(
        mel_bands=size("num_mel_bins", 80),
        width=size("d_model"),
        encoder_layers=size("encoder_layers"),
        encoder_heads=size("encoder_attention_heads"),
        encoder_inner=size("encoder_ffn_dim"),
        decoder_layers=size("decoder_layers"),
        decoder_heads=size("decoder_attention_heads"),
        decoder_inner=size("decoder_ffn_dim"),
        vocabulary=size("vocab_size"),
        audio_positions=size("max_source_positions", 1500),
        text_positions=size("max_target_positions", 448),
        scale_embedding=bool(config.get("scale_embedding", False)),
    )
    if sizes.width % sizes.encoder_heads or sizes.width % sizes.decoder_heads:
        raise ModelError("its heads do not divide its width", where=directory, fix="Copy its configuration again")
    return sizes


def read_vocabulary(directory: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens of the text in their byte alphabet, and the added ones, each with its number."""
    path = directory / "tokenizer.json"
    if path.is_file():
        whole = read_json(path)
        model, listed = whole.get("model"), whole.get("added_tokens") or []
        pieces = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise ModelError("its added_tokens are no list of tables", where=path, fix=_AGAIN)
        added = _numbers({str(entry.get("content")): entry.get("id") for entry in listed}, path)
    elif (directory / "vocab.json").is_file():
        path = directory / "vocab.json"
        pieces, extra = read_json(path), directory / "added_tokens.json"
        added = _numbers(read_json(extra, needed=False), extra)
    else:
        raise ModelError("holds no tokenizer.json", where=directory, fix="Copy it from the model's directory")
    return {text: number for text, number in _numbers(pieces, path).items() if text not in added}, added


def _numbers(table: object, path: Path) -> dict[str, int]:
    """A table of tokens with their numbers. Raises ModelError for anything else."""
    if not isinstance(table, dict):
        raise ModelError("holds no vocabulary", where=path, fix=_AGAIN)
    for text, number in table.items():
        if type(number) is not int or not 0 <= number < MOST_IDS:
            raise ModelError(f"its token {text[:40]!r} has the number {number!r}", where=path, fix=_AGAIN)
    return table


_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


def read_special(directory: Path, config: Mapping[str, Any], added: Mapping[str, int]) -> Special:
    """Special tokens by their names; what is never said from generation_config.json, else config.json."""
    stated = {**config, **read_json(directory / "generation_config.json", needed=False)}

    def number(*names: str) -> int:
        value = next((added[name] for name in names if name in added), None)
        if value is None:
            raise ModelError(f"its tokenizer has no {names[0]}", where=directory, fix=_KINDS)
        return value

    def listed(key: str) -> tuple[int, ...]:
        values = stated.get(key) or []
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise ModelError(f"its {key} are no list of tokens: {values!r:.60}", where=directory, fix=_AGAIN)
        return tuple(values)

    most = stated.get("max_new_tokens") or stated.get("max_length")  # to which Transformers adds the prompt's
    if most is not None and (type(most) is not int or most < 1):
        raise ModelError(f"its max_new_tokens is {most!r:.60}", where=directory, fix=_AGAIN)
    languages = _numbers(stated.get("lang_to_id") or {}, directory / "generation_config.json")
    size = stated.get("vocab_size", 0)
    multilingual = bool(stated.get("is_multilingual", type(size) is int and size >= _MULTILINGUAL))
    if multilingual and not languages:
        languages = {name: number_ for name, number_ in added.items() if _LANGUAGE.fullmatch(name)}
    return Special(
        start=number("<|startoftranscript|>"),
        end=number("<|endoftext|>"),
        transcribe=number("<|transcribe|>"),
        translate=number("<|translate|>"),
        previous=number("<|startofprev|>"),
        language_model=number("<|startoflm|>"),
        no_speech=number("<|nospeech|>", "<|nocaptions|>"),
        no_timestamps=number("<|notimestamps|>"),
        languages={name.strip("<|>"): token for name, token in sorted(languages.items(), key=lambda item: item[1])}
        if multilingual
        else {},
        suppressed=listed("suppress_tokens"),
        suppressed_first=listed("begin_suppress_tokens"),
        most=most,
    )


_MULTILINGUAL = 51865
"""Tokens of a multilingual vocabulary at least; English-only ones have 51864."""
