"""A gate before the transducer: silence costs no encoder call. The voice detector is silero-vad's ONNX file, without torch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wattscribe.errors import InputError, MissingExtraError
from wattscribe.graph.session import open_session
from wattscribe.records import Counts, Token, Transcript
from wattscribe.streaming.features import Samples, check_rate, checked
from wattscribe.streaming.stream import Ended, Stream
from wattscribe.units import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from wattscribe.streaming.transducer import Transducer

WINDOW_SAMPLES = 512
CONTEXT_SAMPLES = 64
"""silero-vad at 16 kHz takes 512 new samples after the last 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """When the gate opens and closes. Thresholds: silero-vad's defaults (0.5, and 0.15 below it to close)."""

    open_at: float = 0.5
    close_at: float = 0.35
    lead_in_s: float = 0.5
    """Audio before the first window of speech that is decoded too: onsets are soft."""
    hang_over_s: float = 0.64
    """Silence that is decoded before the gate closes: pauses between words stay whole."""


class Detector(Protocol):
    """Says how likely a window of 512 samples is speech."""

    def reset(self) -> None: ...
    def probability(self, window: Samples, /) -> float: ...


class VoiceDetector:
    """Probability of speech for each window of 512 samples."""

    def __init__(self) -> None:
        self._path = model_path()
        self._net = open_session(self._path)
        self.reset()

    def reset(self) -> None:
        """Forget the audio before."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)

    def probability(self, window: Samples) -> float:
        """Of one window of 512 samples."""
        padded = np.concatenate([self._context, window])
        feeds: dict[str, Any] = {
            "input": padded[None],
            "state": self._state,
            "sr": np.array(SAMPLE_RATE_HZ, np.int64),
        }
        output, self._state = self._net.run(None, feeds)
        self._context = padded[-CONTEXT_SAMPLES:]
        return float(output[0, 0])


def model_path() -> Path:
    """The ONNX file inside the installed silero-vad package; the package itself, which needs torch, is not imported."""
    spec = find_spec("silero_vad")
    for place in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(place) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise MissingExtraError("silero-vad", "vad", needed_for="`vad`")


def end_within(end_s: float, transcript: Transcript, heard_s: float) -> float:
    """Where an utterance ends: in the audio, though the tail of silence is decoded too, and not before its last token starts."""
    last_s = transcript.tokens[-1].start_s if transcript.tokens else 0.0
    return max(min(end_s, heard_s), last_s)


class GatedStream:
    """A stream that decodes only speech. Each stretch is an utterance of its own; times are those of the whole audio."""

    def __init__(self, transducer: Transducer, rule: GateRule | None = None, detector: Detector | None = None) -> None:
        self._transducer = transducer
        self._rule = rule or GateRule()
        self._detector: Detector = detector or VoiceDetector()
        self._pending: Samples = np.zeros(0, np.float32)
        self._before: deque[Samples] = deque(
            maxlen=max(1, round(self._rule.lead_in_s * SAMPLE_RATE_HZ / WINDOW_SAMPLES))
        )
        self._stream: Stream | None = None
        self._start_samples = 0
        self._silent_windows = 0
        self._counts = Counts()
        self._finished = False
        self.samples = 0
        """Samples judged so far."""
        self.passed_samples = 0
        """Samples that the transducer received."""
        self.ended: list[Ended] = []

    def accept(self, samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """Hear any number of samples. Raises InputError."""
        check_rate(sample_rate_hz)
        if self._finished:
            raise InputError("the stream is finished", fix="Open another GatedStream")
        self._pending = np.concatenate([self._pending, checked(samples)])
        whole = len(self._pending) - len(self._pending) % WINDOW_SAMPLES
        for start in range(0, whole, WINDOW_SAMPLES):
            self._window(self._pending[start : start + WINDOW_SAMPLES])
        self._pending = self._pending[whole:]

    def finish(self) -> Transcript:
        """No more samples come: close the gate and return everything since the start that `ended` still holds."""
        if len(self._pending):
            self._window(self._pending)
            self._pending = self._pending[:0]
        self._finished = True
        self._close()
        return self.partial()

    def partial(self) -> Transcript:
        """The running utterance's transcript; empty text while the gate is closed."""
        if self._stream is None:
            return Transcript(text="", counts=self.counts)
        return self._shifted(self._stream.partial())

    @property
    def text(self) -> str:
        return "" if self._stream is None else self._stream.text

    @property
    def counts(self) -> Counts:
        return self._counts if self._stream is None else self._counts + self._stream.counts

    @property
    def heard_s(self) -> float:
        return (self.samples + len(self._pending)) / SAMPLE_RATE_HZ

    @property
    def skipped_s(self) -> float:
        """Seconds of audio that cost no encoder call."""
        return (self.samples - self.passed_samples) / SAMPLE_RATE_HZ

    def _window(self, window: Samples) -> None:
        """Judge 512 samples, or the fewer that are left at the end, and hear them if the gate is open."""
        missing = WINDOW_SAMPLES - len(window)
        probability = self._detector.probability(np.pad(window, (0, missing)) if missing else window)
        self.samples += len(window)
        if self._stream is None:
            if probability < self._rule.open_at:
                self._before.append(window)
                return
            self._open(window)
        stream = self._stream
        if stream is None:
            return
        self._feed(stream, window)
        self._silent_windows = 0 if probability >= self._rule.close_at else self._silent_windows + 1
        if self._silent_windows * WINDOW_SAMPLES >= self._rule.hang_over_s * SAMPLE_RATE_HZ:
            self._close()

    def _open(self, window: Samples) -> None:
        self._stream = self._transducer.stream()
        lead = sum(map(len, self._before))
        self._start_samples = self.samples - len(window) - lead
        for before in self._before:
            self._feed(self._stream, before)
        self._before.clear()
        self._silent_windows = 0

    def _feed(self, stream: Stream, window: Samples) -> None:
        stream.accept(window)
        self.passed_samples += len(window)
        while stream.ended:
            self.ended.append(self._moved(stream.ended.pop(0), stream.heard_s))

    def _close(self) -> None:
        if self._stream is None:
            return
        stream = self._stream
        stream.finish()
        while stream.ended:
            self.ended.append(self._moved(stream.ended.pop(0), stream.heard_s))
        last = stream.reset()
        if last.transcript.text:
            self.ended.append(self._moved(last, stream.heard_s))
        self._counts += stream.counts
        stream.release()
        self._stream = None

    def _moved(self, ended: Ended, heard_s: float) -> Ended:
        """An utterance of the running stream, which has heard so much, at its place in the whole audio."""
        offset_s = self._start_samples / SAMPLE_RATE_HZ
        return Ended(
            transcript=self._shifted(ended.transcript),
            start_s=ended.start_s + offset_s,
            end_s=end_within(ended.end_s, ended.transcript, heard_s) + offset_s,
        )

    def _shifted(self, transcript: Transcript) -> Transcript:
        offset_s = self._start_samples / SAMPLE_RATE_HZ
        tokens = tuple(
            Token(text=token.text, start_s=token.start_s + offset_s, log_probability=token.log_probability)
            for token in transcript.tokens
        )
        return Transcript(text=transcript.text, tokens=tokens, counts=self.counts)
