"""The seam between a bench and whoever transcribes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wattscribe.records import PrecisionAudit, Transcript

Audio = NDArray[np.float32]
"""Mono, 16 kHz, shape (samples,), in [-1, 1]."""


class Recognizer(Protocol):
    """A loaded model at a precision on a device. Constructing one loads it."""

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, in order; returns only after the device has finished its queue."""
        ...

    def audit(self) -> PrecisionAudit:
        """What really runs: weight bytes and operators by dtype, device, parameters."""
        ...

    def close(self) -> None:
        """Free the model; idempotent."""
        ...


class Stream(Protocol):
    """One utterance being heard."""

    def accept(self, samples: Audio) -> None:
        """Hear any number of samples, also none."""
        ...

    def partial(self) -> Transcript:
        """What is recognised so far."""
        ...

    def finish(self) -> Transcript:
        """No more samples come: decode what remains and return the final transcript."""
        ...


@runtime_checkable
class StreamingRecognizer(Recognizer, Protocol):
    """A recognizer that can also hear audio piece by piece."""

    def stream(self) -> Stream:
        """A fresh, independent stream."""
        ...
