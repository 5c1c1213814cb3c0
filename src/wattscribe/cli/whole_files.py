"""`wattscribe transcribe` with an encoder–decoder: it hears whole files, so its text comes file by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wattscribe.cli import tell
from wattscribe.errors import InputError
from wattscribe.models import locate
from wattscribe.records import json_text, to_json
from wattscribe.units import SAMPLE_RATE_HZ


def hears_whole_files(model: str) -> bool:
    """Whether the directory MODEL, options behind a question mark aside, holds an encoder–decoder."""
    from wattscribe.seq2seq.files import is_encoder_decoder

    folder = locate(model.removeprefix("onnx:").partition("?")[0])
    return folder.is_dir() and is_encoder_decoder(folder)


def transcribe_files(
    model: str, sources: Sequence[str], *, precision: str, threads: int, decoding: str, beam: int, json_lines: bool
) -> int:
    """Print the text of every file, or a JSON line with its text, language and counts. 0, or the status of the last fault."""
    from wattscribe.corpora import read_audio
    from wattscribe.recognizers import open_recognizer, parse_model

    if not sources or "-" in sources:
        raise InputError("this model hears whole files", where=model, fix="Give FILE…")
    options = {} if decoding == "greedy" else {"decoding": decoding, "beam": str(beam)}
    name = f"onnx:{model.removeprefix('onnx:')}"
    recognizer = open_recognizer(parse_model(name, precision=precision, threads=threads, options=options))
    status = 0
    for source in sources:
        try:
            audio = read_audio(Path(source))
            (found,) = recognizer.transcribe([audio])
        except InputError as error:
            status = tell("transcribe", error)
            continue
        if json_lines:
            line = {"type": "utterance", "source": source, "text": found.text, "language": found.language}
            print(json_text(line), flush=True)
            cost = {"audio_s": round(len(audio) / SAMPLE_RATE_HZ, 3), "counts": to_json(found.counts)}
            print(json_text({"type": "cost", "source": source, **cost}), flush=True)
        else:
            print(f"{source}: {found.text}" if len(sources) > 1 else found.text, flush=True)
    recognizer.close()
    return status
