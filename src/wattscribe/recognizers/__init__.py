"""Who transcribes: one thin adapter per runtime behind one Protocol, loaded lazily, and the audit of what really ran."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from wattscribe.as_found import as_found
from wattscribe.errors import MissingExtraError
from wattscribe.recognizers.base import Audio, Recognizer, Stream, StreamingRecognizer
from wattscribe.recognizers.naming import check, parse_model
from wattscribe.recognizers.registry import RUNTIMES, RuntimeEntry
from wattscribe.records import RecognizerSpec

__all__ = [
    "Audio",
    "RUNTIMES",
    "Recognizer",
    "RuntimeEntry",
    "Stream",
    "StreamingRecognizer",
    "open_recognizer",
    "parse_model",
]


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
    module, _, name = entry.target.partition(":")
    return cast(Recognizer, getattr(import_module(module), name)(spec))
