"""What a local model directory holds, told by its files alone, and which runtime takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from wattscribe import as_file
from wattscribe.errors import ModelError
from wattscribe.graph.read import read_model as read_header
from wattscribe.models.directory import CROSS, ModelFiles, find_model, graphs_of, nothing_in
from wattscribe.seq2seq.files import kind_of
from wattscribe.streaming.nemo import is_cache_aware, is_supported

_BY_FILE = {"openvino_encoder_model.xml": "openvino", "am/final.mdl": "vosk", "streaming_config.json": "moonshine"}
"""Files that one runtime alone knows."""
Stored = Literal["ct2", "hf", "graphs", "pocketsphinx"]


def stored_as(directory: Path) -> Stored:
    """Whose model it is; `graphs`: ONNX, which `onnx:` or `sherpa:` run. Raises ModelError, naming what is looked for."""
    config = (directory / "config.json").is_file()
    if config and (directory / "model.bin").is_file() and _is_ct2(directory):
        return "ct2"
    if config and any(directory.glob("*.safetensors")):
        return "hf"
    if graphs_of(directory):
        return "graphs"
    if (directory / "mdef").is_file() or (directory / "en-us" / "mdef").is_file():
        return "pocketsphinx"
    if config and any(directory.glob("*.bin")):
        raise ModelError(
            "holds pickled weights only, which are never loaded",
            where=directory,
            fix="Convert them to model.safetensors (save_pretrained writes it)",
        )
    raise nothing_in(directory)


def runtime_of(directory: Path) -> str:
    """The runtime that can run the directory. Raises ModelError where none can, and for a missing or ambiguous file."""
    for name, runtime in _BY_FILE.items():
        if (directory / name).is_file():
            return runtime
    stored = stored_as(directory)
    if stored != "graphs":
        return stored
    files = find_model(directory)
    if files.layout == "moonshine" or (files.layout == "encoder-decoder" and _is_whisper(files)):
        return "onnx"  # which says what is missing
    files.tokens()
    if files.layout != "transducer":
        return "sherpa"
    # graphs in .ort cannot be read here; those that our runtime does not take name the one that does
    return "onnx" if files.is_ort or _is_taken(files.main) else "sherpa"


def _is_whisper(files: ModelFiles) -> bool:
    """Or Moonshine as a pair; streaming Paraformer is an encoder and a decoder too, by their names."""
    return (
        files.is_ort
        or kind_of(files) == "optimum"
        or tuple(output.name for output in read_header(files.main).graph.outputs) == CROSS
    )


def _is_taken(encoder: Path) -> bool:
    """Whether our runtime takes it: an encoder that carries states from one segment to the next, in icefall's layout or NeMo's.

    NeMo's cache-aware layout with further inputs is sherpa-onnx's alone.
    """
    names = [value.name for value in read_header(encoder).graph.inputs]
    return len(names) > 2 and (not is_cache_aware(names) or is_supported(names))


def _is_ct2(directory: Path) -> bool:
    """CTranslate2's model.bin starts with a version and the model's name; a zip or pickle of torch does not."""
    with as_file.open_bytes(directory / "model.bin") as file:
        head = file.read(4)
    return head[:2] != b"PK" and head[:1] != b"\x80"
