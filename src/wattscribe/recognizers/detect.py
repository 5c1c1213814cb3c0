"""What a local model directory holds, told by its files alone."""

from __future__ import annotations

from pathlib import Path

from wattscribe import as_file
from wattscribe.errors import ModelError
from wattscribe.recognizers.onnx_header import read_header
from wattscribe.seq2seq.files import is_encoder_decoder
from wattscribe.streaming.nemo import is_cache_aware, is_supported

_LAYOUTS = (
    "config.json with *.safetensors (hf), CTranslate2's model.bin (ct2), "
    "encoder*.onnx, decoder*.onnx, joiner*.onnx and tokens.txt (onnx or sherpa), other sherpa-onnx layouts (sherpa), "
    "optimum's or Moonshine's encoder and decoder (onnx)"
)


def runtime_of(directory: Path) -> str:
    """The runtime that can run the directory. Raises ModelError, naming what is looked for, where none can."""
    if (directory / "model.bin").is_file() and (directory / "config.json").is_file() and _is_ct2(directory):
        return "ct2"
    if (directory / "config.json").is_file() and any(directory.glob("*.safetensors")):
        return "hf"
    encoders = sorted(directory.glob("*encoder*.onnx"))
    tokens = any(directory.glob("*tokens.txt"))
    if tokens and encoders and any(directory.glob("*decoder*.onnx")) and any(directory.glob("*joiner*.onnx")):
        return "onnx" if has_states(encoders[0]) and _is_taken(encoders[0]) else "sherpa"
    if tokens and all(any(directory.glob(f"{part}*.ort")) for part in ("encoder", "decoder", "joiner")):
        return "onnx"  # whose graphs cannot be read here; those that this runtime does not take name the one that does
    if tokens and (any(directory.glob("*.onnx")) or any(directory.glob("*.ort"))):
        return "sherpa"
    if is_encoder_decoder(directory):  # optimum's files, or Moonshine's own; our runtime says what is missing
        return "onnx"
    if (directory / "mdef").is_file() or (directory / "en-us" / "mdef").is_file():
        return "pocketsphinx"
    if (directory / "config.json").is_file() and any(directory.glob("*.bin")):
        raise ModelError(
            "holds pickled weights only, which are never loaded",
            where=directory,
            fix="Convert them to model.safetensors (save_pretrained writes it)",
        )
    raise ModelError("no model is recognised here", where=directory, fix=f"Looked for: {_LAYOUTS}")


def has_states(encoder: Path) -> bool:
    """Whether the encoder carries states from one segment to the next: more inputs than features and their lengths."""
    return len(read_header(encoder).graph.inputs) > 2


def _is_taken(encoder: Path) -> bool:
    """Whether our runtime takes the streaming encoder: NeMo's cache-aware layout with further inputs is sherpa-onnx's alone."""
    names = [value.name for value in read_header(encoder).graph.inputs]
    return not is_cache_aware(names) or is_supported(names)


def _is_ct2(directory: Path) -> bool:
    """CTranslate2's model.bin starts with a version and the model's name; a zip or pickle of torch does not."""
    with as_file.open_bytes(directory / "model.bin") as file:
        head = file.read(4)
    return head[:2] != b"PK" and head[:1] != b"\x80"
