"""Which of sherpa-onnx's model layouts a directory is, and which file serves each part at a precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import ModelError
from wattscribe.graph.model import Model as OnnxFile
from wattscribe.graph.read import read_model as read_header
from wattscribe.recognizers.registry import STORED
from wattscribe.records import RecognizerSpec
from wattscribe.streaming.encoder import tail_for

Kind = Literal[
    "online transducer",
    "online zipformer2 ctc",
    "online nemo ctc",
    "offline transducer",
    "offline nemo transducer",
    "offline zipformer ctc",
    "offline nemo ctc",
    "offline wenet ctc",
    "whisper",
    "moonshine",
    "moonshine v2",
]

_PARTS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("transducer", (("encoder", "*encoder*.onnx"), ("decoder", "*decoder*.onnx"), ("joiner", "*joiner*.onnx"))),
    (
        "moonshine",
        (
            ("preprocessor", "preprocess*.onnx"),
            ("encoder", "encode*.onnx"),
            ("uncached_decoder", "uncached_decode*.onnx"),
            ("cached_decoder", "cached_decode*.onnx"),
        ),
    ),
    ("moonshine v2", (("encoder", "encoder_model*.ort"), ("decoder", "decoder_model_merged*.ort"))),
    ("whisper", (("encoder", "*encoder*.onnx"), ("decoder", "*decoder*.onnx"))),
    ("ctc", (("model", "*.onnx"),)),
)
"""Tried in this order: the first layout whose every part has a file. Names are those of sherpa-onnx's own releases."""

_SUFFIX = {"int8": (".int8.", "_int8.", "-int8.", "_quantized."), "fp16": (".fp16.", "_fp16.", "-fp16.")}
_PREFERENCE = {
    STORED: ("fp32", "fp16", "int8"),
    "fp32": ("fp32", "fp16", "int8"),
    "fp16": ("fp16", "fp32", "int8"),
    "int8": ("int8", "fp32", "fp16"),
}
"""A precision's files, the best first: releases quantise only some parts, and the audit judges what that amounts to."""

_NEEDED = "A streaming or offline transducer (encoder, decoder, joiner), a CTC model, Whisper or Moonshine, each with tokens.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model directory as sherpa-onnx wants it told: kind, one file per part, and the tokens."""

    kind: Kind
    parts: Mapping[str, Path]
    tokens: Path
    metadata: Mapping[str, str]
    """Of the encoder or the single model; empty for .ort files."""
    fixed_batch: int | None
    """Streams per call that the export was frozen to; None: any number."""

    @property
    def tail_s(self) -> float:
        """Silence after an utterance that fills a streaming encoder's last segment."""
        stated = self.metadata.get("T", self.metadata.get("window_size", ""))
        return tail_for(int(stated) if stated.isdecimal() and len(stated) < 6 else 0)

    @property
    def online(self) -> bool:
        return self.kind.startswith("online")


def find_layout(spec: RecognizerSpec) -> Layout:
    """Read the directory of `spec`. Raises ModelError when parts are missing, ambiguous or of a kind that is not run here."""
    directory = Path(spec.model).expanduser()
    if not directory.is_dir():
        raise ModelError("there is no such directory", where=directory)
    tokens = sorted(directory.glob("*tokens.txt"))
    if len(tokens) != 1:
        raise ModelError(f"holds {len(tokens)} files *tokens.txt, one is needed", where=directory, fix=_NEEDED)
    for family, patterns in _PARTS:
        if all(any(directory.glob(pattern)) for _, pattern in patterns):
            parts = {part: _choose(directory, part, pattern, spec) for part, pattern in patterns}
            main = parts.get("encoder") or parts["model"]
            header = None if main.suffix == ".ort" else read_header(main)
            return Layout(
                kind=_kind(family, main, header),
                parts=parts,
                tokens=tokens[0],
                metadata=header.metadata if header else {},
                fixed_batch=_fixed_batch(header),
            )
    raise ModelError("holds no model that sherpa-onnx runs", where=directory, fix=_NEEDED)


def _choose(directory: Path, part: str, pattern: str, spec: RecognizerSpec) -> Path:
    named = spec.options.get(part)
    if named is not None:
        if not (directory / named).is_file():
            raise ModelError(f"there is no file {named!r} for option {part}", where=directory)
        return directory / named
    groups: dict[str, list[Path]] = {"fp32": [], "fp16": [], "int8": []}
    for path in sorted(directory.glob(pattern)):
        groups[stored_precision(path)].append(path)
    for precision in _PREFERENCE[spec.precision]:
        if len(groups[precision]) > 1:
            names = ", ".join(path.name for path in groups[precision])
            raise ModelError(
                f"several files could be the {part}: {names}", where=directory, fix=f"Name one: ?{part}=FILE"
            )
        if groups[precision]:
            return groups[precision][0]
    raise ModelError(f"holds no {part} ({pattern})", where=directory)


def stored_precision(path: Path) -> str:
    """The precision that a file's name promises; the audit looks inside."""
    for precision, marks in _SUFFIX.items():
        if any(mark in path.name for mark in marks):
            return precision
    return "fp32"


def _fixed_batch(header: OnnxFile | None) -> int | None:
    size = header.graph.inputs[0].shape[0] if header and header.graph.inputs and header.graph.inputs[0].shape else None
    return size if isinstance(size, int) and size > 0 else None


def _kind(family: str, main: Path, header: OnnxFile | None) -> Kind:
    if header is None:
        return "moonshine v2"
    states = len(header.graph.inputs) > 2
    model_type = header.metadata.get("model_type", "")
    nemo = model_type.startswith("EncDec") or "window_size" in header.metadata
    if family == "transducer":
        if states:
            return "online transducer"
        return "offline nemo transducer" if nemo else "offline transducer"
    if family == "ctc":
        return _ctc_kind(main, model_type, nemo=nemo, states=states)
    if family == "whisper" and not model_type.startswith("whisper"):
        raise ModelError(
            f"is an encoder and decoder of type {model_type or 'unknown'!r}, not Whisper", where=main, fix=_NEEDED
        )
    return "whisper" if family == "whisper" else "moonshine"


def _ctc_kind(model: Path, model_type: str, *, nemo: bool, states: bool) -> Kind:
    if states and model_type == "zipformer2":
        return "online zipformer2 ctc"
    if nemo:
        return "online nemo ctc" if states else "offline nemo ctc"
    if model_type in ("zipformer2_ctc", "zipformer_ctc"):
        return "offline zipformer ctc"
    if model_type in ("wenet_ctc", "wenet-ctc") and not states:
        return "offline wenet ctc"
    raise ModelError(
        f"is a CTC model of type {model_type or 'unknown'!r}, which is not run here", where=model, fix=_NEEDED
    )
