"""Who transcribes: one thin adapter per runtime behind one Protocol, loaded lazily, and the audit of what really ran."""

from __future__ import annotations

from importlib.util import find_spec
from typing import cast

from wattscribe.as_found import as_found
from wattscribe.errors import MissingExtraError
from wattscribe.recognizers.base import Audio, Recognizer, SettlingRecognizer, Stream, StreamingRecognizer
from wattscribe.recognizers.naming import check, parse_model
from wattscribe.recognizers.registry import RUNTIMES, RuntimeEntry, named
from wattscribe.records import RecognizerSpec

__all__ = [
    "Audio", "RUNTIMES", "Recognizer", "RuntimeEntry", "SettlingRecognizer", "Stream", "StreamingRecognizer",
    "open_recognizer", "parse_model", "prepare",
]  # fmt: skip


@as_found()
def open_recognizer(spec: RecognizerSpec) -> Recognizer:
    """Load the model that the spec names; a StreamingRecognizer where the runtime and the model can stream.

    Raises InputError for a spec that its runtime cannot serve, MissingExtraError with the install command, ModelError for a
    broken model directory and RecognizerError for anything else that stops it from loading.
    """
    entry = check(spec)
    for package in entry.packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, str(entry.extra), needed_for=f"the runtime {spec.runtime}:")
    return cast(Recognizer, named(entry.target)(spec))


def prepare(spec: RecognizerSpec, audio_s: float) -> float | None:
    """Put on disk what the runtime keeps for later starts on this machine, for files of so many seconds in all.

    Seconds that it took, 0 where everything was there; None: this runtime keeps nothing, or cannot. It takes the memory of a
    first start, so whoever measures calls it in a process of its own. Raises as `open_recognizer`.
    """
    entry = check(spec)
    return None if entry.prepare is None else cast("float | None", named(entry.prepare)(spec, audio_s))
