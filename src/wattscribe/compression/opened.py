"""A model opened to transcribe one utterance after another, whatever it is: what measuring and acceptance ask of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wattscribe.compression.speech import Audio, SpeechSet
from wattscribe.recognizers.latency import hear_tokens
from wattscribe.records import Transcript
from wattscribe.streaming import open_transducer
from wattscribe.streaming.transducer import Transducer, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a listener waits for, in seconds; audio arrives in real time on a simulated clock, computing is processor time.

    None: there was no speech, or the tokens have no times.
    """

    token_delay_mean_s: float | None
    """From the frame that a token was heard in until it was shown; over all tokens of the final texts."""
    token_delay_p90_s: float | None
    first_partial_s: float | None
    """Median over utterances, from the start of the audio."""
    finalisation_s: float
    """Median over utterances, from the end of the audio to the final text."""
    call_s: float | None = None
    """Audio that one call of the encoder takes in."""


class OpenedModel(Protocol):
    """One thread, greedy."""

    def transcribe(self, audio: Audio) -> Transcript:
        """The text and what it took."""
        ...

    def waited(self, speech: SpeechSet) -> Latency:
        """What a listener waits for."""
        ...


class OpenedTransducer:
    """A transducer that decodes as a device does: call after call."""

    def __init__(self, transducer: Transducer) -> None:
        self._transducer = transducer

    @classmethod
    def of_directory(cls, folder: Path, *, frame_by_frame: bool) -> OpenedTransducer:
        """Raises ModelError."""
        return cls(open_transducer(folder, frame_by_frame=frame_by_frame))

    def transcribe(self, audio: Audio) -> Transcript:
        return transcribe_stream(self._transducer, audio)

    def waited(self, speech: SpeechSet) -> Latency:
        watched: Any = self._transducer  # what `hear_tokens` asks of a recognizer is its `stream()`
        timed = [hear_tokens(watched, audio, time.process_time) for audio in speech.audio]
        delays_s = [delay_s for _, _, delays in timed for delay_s in delays]
        partials_s = [timing.first_partial_s for _, timing, _ in timed if timing.first_partial_s is not None]
        return Latency(
            token_delay_mean_s=float(np.mean(delays_s)) if delays_s else None,
            token_delay_p90_s=float(np.percentile(delays_s, 90)) if delays_s else None,
            first_partial_s=float(np.median(partials_s)) if partials_s else None,
            finalisation_s=float(np.median([timing.finalisation_s for _, timing, _ in timed])),
        )


def transcribe_stream(transducer: Transducer, audio: Audio) -> Transcript:
    """One utterance as a stream. Files may be decoded several segments at a time; a device that listens cannot."""
    stream = transducer.stream()
    stream.buffer(audio)
    stream.finish()
    stream.release()
    return whole(stream)
