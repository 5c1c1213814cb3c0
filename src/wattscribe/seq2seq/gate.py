"""A voice-activity gate before the windows: long silence inside or around the audio is not given to the encoder.

The detector is silero-vad's, as for transducers (`streaming.vad`), with its thresholds. What lies further from speech than the
gate keeps is left out, and what remains goes on as one piece of audio: shorter windows where the directory states them, fewer
where the recording is longer than one. Audio without speech costs the detector alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.seq2seq.mel import Samples
from wattscribe.streaming.vad import WINDOW_SAMPLES, Detector, GateRule, VoiceDetector
from wattscribe.units import SAMPLE_RATE_HZ

KEEP_KEY = "vad_keep_s"
"""In the encoder's metadata: seconds of silence on either side of speech that go to the encoder too."""
KEEP_S = 0.5
"""What `vad=true` means: the lead-in that transducers' gate has, since onsets are soft."""
MOST_KEPT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What goes on, and the windows of 32 ms that the detector judged."""

    audio: Samples
    judged: int


class Gate:
    """Raises MissingExtraError without silero-vad."""

    def __init__(self, keep_s: float, detector: Detector | None = None) -> None:
        self.keep_s = keep_s
        self._detector: Detector = detector or VoiceDetector()

    def heard(self, audio: Samples) -> Gated:
        """The audio without the silence that lies further than `keep_s` from speech."""
        speech = self._speech(audio)
        reach = round(self.keep_s * SAMPLE_RATE_HZ / WINDOW_SAMPLES)
        near = np.convolve(speech, np.ones(2 * reach + 1), "full")[reach : reach + len(speech)] > 0.5
        return Gated(audio=audio[np.repeat(near, WINDOW_SAMPLES)[: len(audio)]], judged=len(speech))

    def _speech(self, audio: Samples) -> np.ndarray:
        """Window by window whether someone speaks."""
        rule, speaks = GateRule(), False
        self._detector.reset()
        padded = np.pad(audio, (0, -len(audio) % WINDOW_SAMPLES))
        found = np.zeros(len(padded) // WINDOW_SAMPLES)
        for place, window in enumerate(padded.reshape(-1, WINDOW_SAMPLES)):
            speaks = self._detector.probability(window) >= (rule.close_at if speaks else rule.open_at)
            found[place] = speaks
        return found


def gate_of(metadata: Mapping[str, str], where: object = None) -> float | None:
    """Seconds that the gate keeps, as a directory says of itself; None: no gate. Raises ModelError for what cannot be."""
    if KEEP_KEY not in metadata:
        return None
    try:
        keep_s = float(metadata[KEEP_KEY])
    except ValueError:
        keep_s = -1.0
    if not 0 <= keep_s <= MOST_KEPT_S:
        raise ModelError(
            f"its metadata say {KEEP_KEY}={metadata[KEEP_KEY]!r}: no gate",
            where=where,
            fix="Export or compress it again",
        )
    return keep_s
