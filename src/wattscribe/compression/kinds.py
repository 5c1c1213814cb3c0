"""Which kind of model a directory holds (`models.directory` says it), and what `compress` knows of that kind."""

from __future__ import annotations

from pathlib import Path

from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.family import Family
from wattscribe.compression.seq2seq.candidate import WhisperCandidate, read_whisper
from wattscribe.compression.seq2seq.family import Whispers
from wattscribe.compression.transducers import Transducers
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError
from wattscribe.models.directory import find_model
from wattscribe.streaming import open_transducer


def read_model(directory: str | Path) -> Candidate:
    """The directory as it is, named with its runtime or without. Raises InputError and ModelError for what cannot be compressed
    or cannot be run."""
    if (name := str(directory)).startswith("hf:"):
        raise InputError(
            "an exported model is compressed", where=name,
            fix=f"Export it first: `wattscribe export {name} -o DIR --precision fp32`, then give DIR",
        )  # fmt: skip
    directory = name.removeprefix("onnx:").removeprefix("sherpa:")
    if find_model(directory).layout in ("encoder-decoder", "moonshine"):
        return read_whisper(directory)
    candidate = read_candidate(directory)
    open_transducer(directory)  # a graph that it cannot run is named by the path that was given, not by a copy's
    return candidate


def family_of(candidate: Candidate) -> Family[Workbench]:
    """What is known of its kind."""
    return Whispers() if isinstance(candidate, WhisperCandidate) else Transducers()
