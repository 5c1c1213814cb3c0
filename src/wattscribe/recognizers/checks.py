"""What every adapter demands of the audio it is given, and the common way to say that loading failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wattscribe.errors import RecognizerError
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


def require_open(model: object | None, spec: RecognizerSpec) -> None:
    """Raises RecognizerError after close()."""
    if model is None:
        raise RecognizerError("the recognizer is closed", where=spec.name, fix="Open it again with open_recognizer")
