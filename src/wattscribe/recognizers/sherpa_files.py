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
from wattscribe.models.names import order_of, read_name
from wattscribe.records import RecognizerSpec
from wattscribe.streaming.encoder import tail_for
from wattscribe.text_files import read_text

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
    "online t-one ctc",
    "online wenet ctc",
    "telespeech ctc",
    "dolphin ctc",
    "fire red asr ctc",
    "medasr ctc",
    "omnilingual asr ctc",
    "tdnn ctc",
    "sense voice",
    "offline paraformer",
    "whisper",
    "moonshine",
    "moonshine v2",
    "nemo canary",
    "fire red asr",
    "cohere transcribe",
    "funasr nano",
    "qwen3 asr",
]

_NEEDED = "A transducer (encoder, decoder, joiner), a CTC model, or another of sherpa-onnx's, with the metadata that it writes"
_SINGLE: Mapping[str, Kind] = {
    "zipformer2_ctc": "offline zipformer ctc",
    "zipformer_ctc": "offline zipformer ctc",
    "wenet_ctc": "offline wenet ctc",
    "wenet-ctc": "offline wenet ctc",
    "telespeech_ctc": "telespeech ctc",
    "dolphin": "dolphin ctc",
    "fire-red-asr-2-ctc": "fire red asr ctc",
    "medasr_ctc": "medasr ctc",
    "omnilingual-asr": "omnilingual asr ctc",
    "tdnn": "tdnn ctc",
    "tdnn_lstm": "tdnn ctc",
    "sense_voice_ctc": "sense voice",
    "paraformer": "offline paraformer",
    "t-one": "online t-one ctc",
}
"""`model_type` in the metadata that sherpa-onnx's exporters write (its scripts/*/) → kind, of one graph without states."""
_PAIRS: Mapping[str, Kind] = {
    "EncDecMultiTaskModel": "nemo canary",
    "fire-red-asr-aed": "fire red asr",
    "cohere-transcribe-03-2026": "cohere transcribe",
}
"""The same of an encoder with its decoder."""
_WITH_TOKENIZER: Mapping[Kind, tuple[str, ...]] = {
    "funasr nano": ("encoder_adaptor", "llm", "embedding"),
    "qwen3 asr": ("conv_frontend", "encoder", "decoder"),
}
"""Speech language models: their graphs by the beginning of the name; a folder holds the tokenizer in place of tokens.txt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model directory as sherpa-onnx needs it described: kind, one file per part, and the tokens."""

    kind: Kind
    parts: Mapping[str, Path]
    tokens: Path | None
    """None: a tokenizer is among the parts."""
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

    def tokens_text(self) -> str:
        return "" if self.tokens is None else read_text(self.tokens)


def find_layout(spec: RecognizerSpec) -> Layout:
    """Read the directory of `spec`. Raises ModelError when parts are missing, ambiguous or of a kind that is not run here."""
    language_model = _language_model(Path(spec.model).expanduser(), spec.precision)
    if language_model is not None:
        return language_model
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


def _language_model(folder: Path, precision: str) -> Layout | None:
    """A speech language model; None: another kind. Raises ModelError where one of its parts is missing."""
    for kind, names in _WITH_TOKENIZER.items():
        found = {name: sorted(folder.glob(f"{name}*.onnx")) for name in names}
        if not found[names[0]]:
            continue
        tokenizers = sorted(path.parent for path in folder.glob("*/vocab.json"))
        missing = [f"{name}*.onnx" for name in names if not found[name]] + ([] if tokenizers else ["*/vocab.json"])
        if missing:
            raise ModelError(f"holds no {missing[0]}", where=folder, fix=f"A {kind} model needs it: copy it again")
        order = order_of(precision)
        parts = {
            name: min(paths, key=lambda path: (order.index(read_name(path).precision), path))
            for name, paths in found.items()
        }
        return Layout(kind=kind, parts={**parts, "tokenizer": tokenizers[0]}, tokens=None, metadata={}, fixed_batch=1)
    return None


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
        return _single_kind(files.main, header.metadata, nemo=nemo, states=states)
    if model_type in _PAIRS:
        return _PAIRS[model_type]
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


def _single_kind(model: Path, metadata: Mapping[str, str], *, nemo: bool, states: bool) -> Kind:
    model_type = metadata.get("model_type", "")
    if states and model_type == "zipformer2":
        return "online zipformer2 ctc"
    if nemo:
        return "online nemo ctc" if states else "offline nemo ctc"
    if states and model_type in ("wenet_ctc", "wenet-ctc"):
        return "online wenet ctc"
    # SenseVoice takes a language and a style beside the audio, which are no states
    if model_type in _SINGLE and (not states or model_type == "sense_voice_ctc"):
        return _SINGLE[model_type]
    if "lfr_window_size" in metadata:  # exported before the type was written
        return "sense voice" if "with_itn" in metadata else "offline paraformer"
    raise ModelError(
        f"is a CTC model of type {model_type or 'unknown'!r}, which is not run here", where=model, fix=_NEEDED
    )
