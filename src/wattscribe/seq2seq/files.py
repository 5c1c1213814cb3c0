"""Which files of a directory make up an encoder–decoder, and in whose layout.

Layouts: sherpa-onnx's Whisper (encoder, decoder, tokens.txt) and Moonshine (four graphs, tokens.txt), and optimum's of both
(encoder_model, decoder_model with decoder_with_past_model or one merged decoder, with the files of the tokenizer), which is also
what Moonshine's authors ship as .ort files with tokenizer.bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import InputError, ModelError

Kind = Literal["sherpa-onnx Whisper", "sherpa-onnx Moonshine", "optimum"]

_LAYOUTS: Mapping[Kind, Mapping[str, str]] = {
    "sherpa-onnx Moonshine": {
        "preprocessor": "preprocess",
        "encoder": "encode",
        "first_decoder": "uncached_decode",
        "decoder": "cached_decode",
    },
    "optimum": {
        "encoder": "encoder_model",
        "decoder": "decoder_model_merged",
    },
    "sherpa-onnx Whisper": {"encoder": "encoder", "decoder": "decoder"},
}
"""Beginnings of file names; sherpa-onnx's Whisper files may have the model's name before them."""
_SPLIT = {"encoder": "encoder_model", "first_decoder": "decoder_model", "decoder": "decoder_with_past_model"}
_MARKS: Mapping[str, tuple[str, ...]] = {
    "int8": (".int8.", "_int8.", "-int8.", "_quantized."),
    "fp16": (".fp16.", "_fp16.", "-fp16."),
}
_ORDER = {"int8": ("int8", "fp32", "fp16"), "fp16": ("fp16", "fp32", "int8")}
_STORED = ("fp32", "fp16", "int8")
PRECISIONS = ("stored", "fp32", "fp16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The chosen files by part; `notes` says where the precision that was asked for is not there."""

    directory: Path
    kind: Kind
    parts: Mapping[str, Path]
    tokens: Path
    notes: tuple[str, ...] = ()


def is_encoder_decoder(directory: Path) -> bool:
    """Whether names alone say so: an encoder and a decoder, and no joiner."""
    names = [path.name for path in directory.iterdir() if path.suffix in (".onnx", ".ort")]
    return (
        any("encode" in name for name in names)
        and any("decode" in name for name in names)
        and not any("join" in name for name in names)
    )


def find(directory: Path | str, precision: str | None = None) -> Files:
    """Raises InputError for no directory or an unknown precision, ModelError for what is missing or ambiguous."""
    folder, wanted = Path(directory).expanduser(), precision or "stored"
    if wanted not in PRECISIONS:
        raise InputError(f"there is no precision {wanted!r}", where=directory, fix="One of: " + ", ".join(PRECISIONS))
    if not folder.is_dir():
        raise InputError("there is no such directory", where=directory, fix="Give the one that holds encoder*.onnx")
    notes: list[str] = []
    kind, names = _layout(folder)
    parts = {
        part: _choose(folder, _candidates(folder, kind, name), part, wanted, notes) for part, name in names.items()
    }
    return Files(directory=folder, kind=kind, parts=parts, tokens=_tokens(folder, kind), notes=tuple(notes))


def _layout(folder: Path) -> tuple[Kind, Mapping[str, str]]:
    """The first layout whose every part has a file."""
    for kind, names in _LAYOUTS.items():
        if kind == "optimum" and not _candidates(folder, kind, names["decoder"]):
            names = _SPLIT
            if not _candidates(folder, kind, names["decoder"]) and not _candidates(
                folder, kind, names["first_decoder"]
            ):
                continue
        found = {part: _candidates(folder, kind, name) for part, name in names.items()}
        if all(found.values()):
            return kind, names
        if kind == "optimum" and found["encoder"]:
            missing = next(part for part, files in found.items() if not files)
            why = "it fills the caches" if missing == "first_decoder" else "it runs with caches"
            raise ModelError(
                f"holds no {names[missing]}*.onnx: {why}", where=folder,
                fix="Export it with decoder and decoder-with-past, or a merged one (optimum-cli does so)",
            )  # fmt: skip
    raise ModelError(
        "holds no encoder and decoder", where=folder,
        fix="Looked for encoder*.onnx, decoder*.onnx and tokens.txt, or optimum's and Moonshine's files",
    )  # fmt: skip


def _candidates(folder: Path, kind: Kind, name: str) -> list[Path]:
    """Files of one part; optimum keeps them in a folder `onnx` on the hub."""
    start = "*" if kind == "sherpa-onnx Whisper" else ""
    found: list[Path] = []
    for place in (folder, folder / "onnx") if kind == "optimum" else (folder,):
        for suffix in (".onnx", ".ort"):
            found = found or sorted(place.glob(f"{start}{name}*{suffix}"))
    if name == "decoder_model":
        found = [path for path in found if "merged" not in path.name]
    return found


def _choose(folder: Path, found: list[Path], part: str, precision: str, notes: list[str]) -> Path:
    by_precision: dict[str, list[Path]] = {name: [] for name in _STORED}
    for path in found:
        by_precision[stored_precision(path)].append(path)
    for name in _ORDER.get(precision, _STORED):
        files = by_precision[name]
        if len(files) > 1:
            listed = ", ".join(path.name for path in files)
            raise ModelError(f"several files could be the {part}: {listed}", where=folder, fix="Keep one of them")
        if files:
            if not files[0].stat().st_size:
                raise ModelError("is empty", where=files[0], fix="Copy it again")
            if precision not in ("stored", name):
                notes.append(f"there is no {precision} {part}: {files[0].name} ({name}) runs")
            return files[0]
    raise ModelError(f"holds no {part}", where=folder)


def stored_precision(path: Path) -> str:
    """The precision that a file's name promises."""
    return next((name for name, marks in _MARKS.items() if any(mark in path.name for mark in marks)), "fp32")


def _tokens(folder: Path, kind: Kind) -> Path:
    """tokens.txt of sherpa-onnx, or what a tokenizer leaves."""
    found = sorted(folder.glob("*tokens.txt"))
    if not found and kind == "optimum":
        found = [
            folder / name for name in ("tokenizer.bin", "tokenizer.json", "vocab.json") if (folder / name).is_file()
        ][:1]
    if len(found) != 1:
        what = "no tokens.txt" if not found else "several files *tokens.txt"
        fix = "Copy it from where the model was exported"
        raise ModelError(f"holds {what}" + (" or tokenizer" if kind == "optimum" else ""), where=folder, fix=fix)
    return found[0]
