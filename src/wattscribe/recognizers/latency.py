"""How a streaming recognizer keeps up: audio arrives in real time on a simulated clock, only the computing is real.

A piece of audio is there once its last sample has been spoken; the recognizer starts on it then, or when it is through with
the pieces before. What it computes is timed on the real clock and moves the simulated one. So ten minutes of speech need
no ten minutes, and the energy of the trial is that of the computing without the waiting between. Whoever wants the waiting
too gives `arrives`, which waits (`runs.pacing`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wattscribe.recognizers.base import Audio, Stream, StreamingRecognizer
from wattscribe.records import StreamingLatency, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

PIECE_S = 0.1
"""A usual buffer of a sound card's driver or a network client."""


def at_once(spoken_s: float) -> float:
    """Nobody waits: a piece is there when it has been spoken, on a clock that the computing alone moves."""
    return spoken_s


def hear(
    recognizer: StreamingRecognizer,
    audio: Audio,
    now_s: Callable[[], float],
    piece_s: float = PIECE_S,
    arrives: Callable[[float], float] = at_once,
) -> tuple[Transcript, StreamingLatency]:
    """Feed one utterance piece by piece; `now_s` is the real clock that times the computing.

    `arrives` is told when a piece has been spoken and says when it is there, in seconds from the start of the audio.
    """
    transcript, latency, _ = hear_tokens(recognizer, audio, now_s, piece_s, arrives)
    return transcript, latency


def hear_tokens(
    recognizer: StreamingRecognizer,
    audio: Audio,
    now_s: Callable[[], float],
    piece_s: float = PIECE_S,
    arrives: Callable[[float], float] = at_once,
) -> tuple[Transcript, StreamingLatency, tuple[float, ...]]:
    """`hear`, and the delay of each token of the final text: seconds from the frame that it was heard in until it was shown."""
    watch = _Watch()
    stream = recognizer.stream()
    size = max(1, round(piece_s * SAMPLE_RATE_HZ))
    for start in range(0, len(audio), size):
        piece = audio[start : start + size]
        watch.arrives(arrives((start + len(piece)) / SAMPLE_RATE_HZ))
        before_s = now_s()
        stream.accept(piece)
        partial = stream.partial()
        watch.computed(now_s() - before_s, partial, _segments(stream, partial))
    before_s = now_s()
    final = stream.finish()
    audio_s = len(audio) / SAMPLE_RATE_HZ
    latency = watch.finished(now_s() - before_s, final, audio_s)
    return final, latency, watch.delays_s(final, audio_s)


@dataclass(slots=True)
class _Watch:
    """The simulated clock and what was seen on it; all times in seconds from the start of the audio."""

    clock_s: float = 0.0
    first_partial_s: float | None = None
    last: Transcript = field(default_factory=lambda: Transcript(text=""))
    emitted_s: list[float] = field(default_factory=list)
    """When each token of the current hypothesis was first shown."""
    segments: int = 0
    segments_s: list[float] = field(default_factory=list)
    partials: int = 0
    revised: int = 0

    def arrives(self, at_s: float) -> None:
        self.clock_s = max(self.clock_s, at_s)

    def computed(self, compute_s: float, partial: Transcript, segments: int | None) -> None:
        """One piece; `segments` so far, None where they are not counted: then each piece is taken for one."""
        self.clock_s += compute_s
        if segments is None or segments > self.segments:
            self.segments_s.append(compute_s)
        self.segments = segments or 0
        if partial.text != self.last.text:
            self._shown(partial)
        self.last = partial

    def finished(self, compute_s: float, final: Transcript, audio_s: float) -> StreamingLatency:
        self.clock_s += compute_s
        if self.first_partial_s is None and final.text:
            self.first_partial_s = self.clock_s
        if self.partials and not final.text.startswith(self.last.text):
            self.revised += 1
        self._follow_tokens(final.tokens)
        delays = self.delays_s(final, audio_s)
        return StreamingLatency(
            first_partial_s=self.first_partial_s,
            emission_delay_p50_s=_percentile(delays, 50),
            emission_delay_p99_s=_percentile(delays, 99),
            segment_compute_p50_s=_percentile(self.segments_s, 50),
            segment_compute_p99_s=_percentile(self.segments_s, 99),
            finalisation_s=self.clock_s - audio_s,
            partials=self.partials,
            partials_revised=self.revised,
        )

    def delays_s(self, final: Transcript, audio_s: float) -> tuple[float, ...]:
        """Of each token, once it has been followed to the end. What is heard in the silence that a runtime puts behind the audio
        was waited for from the audio's end: that silence takes no time."""
        starts_s = (min(token.start_s, audio_s) for token in final.tokens)
        return tuple(at_s - start_s for at_s, start_s in zip(self.emitted_s, starts_s, strict=True))

    def _shown(self, partial: Transcript) -> None:
        """A new text on the screen: the one before counts as revised when it is not the new one's beginning."""
        if self.partials and not partial.text.startswith(self.last.text):
            self.revised += 1
        self.partials += 1
        if self.first_partial_s is None and partial.text:
            self.first_partial_s = self.clock_s
        self._follow_tokens(partial.tokens)

    def _follow_tokens(self, tokens: tuple[Token, ...]) -> None:
        """Tokens that stay keep the moment at which they were first shown; those that changed are new now."""
        kept = 0
        for old, new in zip(self.last.tokens, tokens, strict=False):
            if old.text != new.text:
                break
            kept += 1
        kept = min(kept, len(self.emitted_s))
        self.emitted_s = self.emitted_s[:kept] + [self.clock_s] * (len(tokens) - kept)


def _segments(stream: Stream, partial: Transcript) -> int | None:
    """Segments decoded so far: our runtime counts them in the transcript, sherpa-onnx's streams by themselves."""
    counted: int | None = getattr(stream, "segments", None)
    return counted if partial.counts is None else partial.counts.encoder_calls


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None
