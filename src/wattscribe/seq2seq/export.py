"""A Whisper checkpoint → encoder.onnx, decoder.onnx and tokens.txt as unmodified sherpa-onnx runs them.

The graphs are written from the weights themselves: nothing is traced, so torch need not be there, and of a large model only one
tensor is in memory at a time. Metadata keys are those that sherpa-onnx reads (offline-whisper-model.cc); what it does not know
(tokens that are never said) stands beside them for our runtime.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.checkpoint import Checkpoint, open_checkpoint
from wattscribe.seq2seq.decoder_graph import decoder
from wattscribe.seq2seq.encoder_graph import encoder
from wattscribe.seq2seq.network import PRECISIONS, Precision, import_onnx
from wattscribe.seq2seq.vocabulary import write_tokens


def export_whisper(
    model: str, out: Path | str, *, precisions: Sequence[str] = ("fp32",), revision: str | None = None
) -> list[Path]:
    """Write the directory; returns its files. Raises InputError, ModelError, MissingExtraError."""
    chosen = [precision for precision in PRECISIONS if precision in precisions]
    unknown = set(precisions) - set(PRECISIONS)
    if unknown or not chosen:
        raise InputError(
            f"there is no precision {min(unknown, default='')!r}", fix=f"Choose from {', '.join(PRECISIONS)}"
        )
    import_onnx()
    directory = Path(out)
    checkpoint = open_checkpoint(model, revision=revision)
    there = directory.is_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as draft:
            written = [path for precision in chosen for path in _write(checkpoint, Path(draft), precision)]
            written.append(Path(draft) / "tokens.txt")
            write_tokens(written[-1], checkpoint.tokens)
            # All of them or none: halves of two models would run together in silence.
            return [path.replace(directory / path.name) for path in written]
    except ModelError as error:
        if not there:
            with suppress(OSError):
                directory.rmdir()
        raise ModelError(error.what, where=error.where or checkpoint.weights.directory, fix=error.fix) from error
    except OSError as error:
        raise InputError(
            f"the export cannot be written ({error.strerror or error})", where=directory, fix="Name another folder"
        ) from error


def _write(checkpoint: Checkpoint, directory: Path, precision: Precision) -> list[Path]:
    mark = "" if precision == "fp32" else f".{precision}"
    files = []
    given = checkpoint.sizes, checkpoint.weights
    graphs = {
        "encoder": (encoder(*given, precision), metadata_of(checkpoint)),
        "decoder": (decoder(*given, checkpoint.special, precision), {}),
    }
    for name, ((net, inputs, outputs), metadata) in graphs.items():
        files += net.write(directory / f"{name}{mark}.onnx", inputs, outputs, metadata)
    return files


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """What sherpa-onnx asks the encoder for, then what only we read."""
    sizes, special = checkpoint.sizes, checkpoint.special
    numbers = {
        "version": 1,
        "n_mels": sizes.mel_bands,
        "n_audio_ctx": sizes.audio_positions,
        "n_audio_state": sizes.width,
        "n_audio_head": sizes.encoder_heads,
        "n_audio_layer": sizes.encoder_layers,
        "n_vocab": sizes.vocabulary,
        "n_text_ctx": sizes.text_positions,
        "n_text_state": sizes.width,
        "n_text_head": sizes.decoder_heads,
        "n_text_layer": sizes.decoder_layers,
        "sot": special.start,
        "sot_index": 0,
        "eot": special.end,
        "blank_id": next((number for number, text in checkpoint.tokens.items() if text == b" "), 0),
        "is_multilingual": int(bool(special.languages)),
        "no_speech": special.no_speech,
        "transcribe": special.transcribe,
        "translate": special.translate,
        "sot_prev": special.previous,
        "sot_lm": special.language_model,
        "no_timestamps": special.no_timestamps,
    }
    languages = special.languages
    start = [special.start]
    if languages:
        start += [languages.get("en", next(iter(languages.values()))), special.transcribe]
    return {
        "model_type": f"whisper-{checkpoint.name}",
        "maintainer": "wattscribe",
        **{key: str(value) for key, value in numbers.items()},
        "sot_sequence": _listed(start),
        "all_language_tokens": _listed(languages.values()),
        "all_language_codes": ",".join(languages),
        "non_speech_tokens": _listed(token for token in special.suppressed if token < special.end),
        "suppress_tokens": _listed(special.suppressed),
        "begin_suppress_tokens": _listed(special.suppressed_first),
        "max_new_tokens": str(special.most or ""),
    }


def _listed(numbers: object) -> str:
    return ",".join(map(str, numbers))  # type: ignore[call-overload]
