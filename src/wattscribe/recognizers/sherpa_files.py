"""Which of sherpa-onnx's kinds of model a directory holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import ModelError
from wattscribe.graph.model import Model as OnnxFile
from wattscribe.graph.read import read_model as read_header
from wattscribe.models.directory import FIRST_DECODER, NAMEABLE, ModelFiles, find_model
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
    "online paraformer",
    "whisper",
    "moonshine",
    "moonshine v2",
]

_NEEDED = "A streaming or offline transducer (encoder, decoder, joiner), a CTC model, Whisper or Moonshine, each with tokens.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model directory as sherpa-onnx needs it described: kind, one file per part, and the tokens."""

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
    named = {part: spec.options[part] for part in NAMEABLE if part in spec.options}
    files = find_model(spec.model, spec.precision, named=named)
    tokens = files.tokens()
    header = None if files.is_ort else read_header(files.main)
    return Layout(
        kind=_kind(files, header),
        parts={part: path for part, path in files.parts.items() if part != FIRST_DECODER},
        tokens=tokens,
        metadata=header.metadata if header else {},
        fixed_batch=_fixed_batch(header),
    )


def _fixed_batch(header: OnnxFile | None) -> int | None:
    size = header.graph.inputs[0].shape[0] if header and header.graph.inputs and header.graph.inputs[0].shape else None
    return size if isinstance(size, int) and size > 0 else None


def _kind(files: ModelFiles, header: OnnxFile | None) -> Kind:
    if header is None:
        return _ort_kind(files)
    if files.layout == "moonshine":
        return "moonshine"
    states = len(header.graph.inputs) > 2
    model_type = header.metadata.get("model_type", "")
    nemo = model_type.startswith("EncDec") or "window_size" in header.metadata
    if files.layout == "transducer":
        if states:
            return "online transducer"
        return "offline nemo transducer" if nemo else "offline transducer"
    if files.layout == "single":
        return _ctc_kind(files.main, model_type, nemo=nemo, states=states)
    if (
        "lfr_window_size" in header.metadata
    ):  # frames stacked as FunASR's models want them (csrc/online-paraformer-model.cc)
        return "online paraformer"
    if not model_type.startswith("whisper"):
        raise ModelError(
            f"is an encoder and decoder of type {model_type or 'unknown'!r}, not Whisper", where=files.main, fix=_NEEDED
        )
    return "whisper"


def _ort_kind(files: ModelFiles) -> Kind:
    """Graphs in onnxruntime's own format tell nothing of themselves here; Moonshine's pair is told by its names."""
    if files.layout == "encoder-decoder" and "merged" in files.parts["decoder"].name:
        return "moonshine v2"
    fix = "Run it with onnx:DIRECTORY" if files.layout == "transducer" else "Give the .onnx files that it was made of"
    raise ModelError(
        "is in onnxruntime's own format (.ort), in which sherpa: runs only Moonshine", where=files.main, fix=fix
    )


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
