"""The seam between a bench and whoever transcribes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript

Audio = NDArray[np.float32]
"""Mono, 16 kHz, shape (samples,), in [-1, 1]."""


class Recognizer(Protocol):
    """A loaded model at a precision on a device. Constructing one loads it.

    An attribute `together` (int) may say how many utterances it transcribes at once, where `batch_size` is not the answer; a
    method `alone` (samples → bool) which audio it transcribes by itself.
    """

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


def runs_together(recognizer: Recognizer, spec: RecognizerSpec) -> int:
    """How many utterances share a call and its time: those of a batch, unless the adapter's `together` says fewer.

    One for an adapter that transcribes them one after the other, so that each is timed by itself.
    """
    most: int | None = getattr(recognizer, "together", None)
    return spec.batch_size if most is None else max(1, min(spec.batch_size, most))


def runs_alone(recognizer: Recognizer, samples: int) -> bool:
    """Whether audio of this length is transcribed by itself whatever stands beside it, as an adapter's `alone` may say."""
    alone: Callable[[int], bool] | None = getattr(recognizer, "alone", None)
    return alone is not None and alone(samples)


@runtime_checkable
class SettlingRecognizer(Recognizer, Protocol):
    """A recognizer that chooses by the amount of audio what it opens."""

    def settle(self, audio_s: float) -> None:
        """Open now what files of so many seconds in all will use, so that transcribing them opens nothing; 0: no files."""
        ...


@runtime_checkable
class StreamingRecognizer(Recognizer, Protocol):
    """A recognizer that can also hear audio piece by piece."""

    def stream(self) -> Stream:
        """A fresh, independent stream."""
        ...
