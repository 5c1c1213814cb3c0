"""What every adapter demands of the audio it is given, and the common way to say that loading failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from wattscribe.errors import RecognizerError, WattscribeError
from wattscribe.recognizers.base import Audio
from wattscribe.records import RecognizerSpec

SHORTEST_SAMPLES = 400
"""25 ms at 16 kHz, one analysis window: with less there is no frame, and some runtimes crash instead of saying so."""


def checked(batch: Sequence[Audio], spec: RecognizerSpec) -> list[Audio]:
    """The batch as contiguous float32 of shape (samples,). Raises RecognizerError for other shapes, NaN and infinity."""
    pieces = []
    for index, audio in enumerate(batch):
        piece = np.ascontiguousarray(audio, dtype=np.float32)
        if piece.ndim != 1:
            raise RecognizerError(f"audio {index} has shape {piece.shape}, not (samples,)", where=spec.name)
        if not np.isfinite(piece).all():
            raise RecognizerError(f"audio {index} holds NaN or infinite samples", where=spec.name)
        pieces.append(piece)
    return pieces


@contextmanager
def foreign(
    what: str, spec: RecognizerSpec, advice: Callable[[Exception], str | None] = lambda _: None
) -> Iterator[None]:
    """A library at work on files that others wrote: whatever it raises becomes a RecognizerError of one line.

    No library says which exceptions files of another shape end in, and they are of every kind: KeyError, TypeError, its own,
    plain Exception of compiled code, and Rust's panics, which are no Exception.
    """
    try:
        yield
    except WattscribeError:
        raise
    except Exception as error:
        raise RecognizerError(f"{what}: {in_a_line(error)}", where=spec.name, fix=advice(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RecognizerError(f"{what}: {in_a_line(error)}", where=spec.name) from error


def in_a_line(error: BaseException) -> str:
    """The message, or where that says nothing by itself (`'vocab'`, empty) the kind with it; at most 300 characters."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return text if " " in text else f"{type(error).__name__} {text}".rstrip()


def require_open(model: object | None, spec: RecognizerSpec) -> None:
    """Raises RecognizerError after close()."""
    if model is None:
        raise RecognizerError("the recognizer is closed", where=spec.name, fix="Open it again with open_recognizer")
