"""When an utterance of a running stream is over: the three rules of Kaldi and sherpa-onnx."""

from __future__ import annotations

from dataclasses import dataclass

from wattscribe.units import FRAME_SHIFT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRule:
    """All three must hold."""

    must_contain_speech: bool
    trailing_silence_s: float
    utterance_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """An utterance ends when one rule holds. Defaults: sherpa-onnx endpoint.h.

    Silence is counted in seconds of audio. sherpa-onnx takes every encoder frame for four feature frames, 40 ms: it waits
    twice as long for the pause where frames are 80 ms.
    """

    rules: tuple[EndpointRule, ...] = (
        EndpointRule(must_contain_speech=False, trailing_silence_s=2.4, utterance_s=0.0),
        EndpointRule(must_contain_speech=True, trailing_silence_s=1.2, utterance_s=0.0),
        EndpointRule(must_contain_speech=False, trailing_silence_s=0.0, utterance_s=20.0),
    )

    def reached(self, *, feature_frames: int, silent_frames: float) -> bool:
        """`feature_frames` since the last endpoint, the last `silent_frames` of them without a token."""
        length_s = feature_frames * FRAME_SHIFT_S
        silence_s = silent_frames * FRAME_SHIFT_S
        return any(
            (length_s > silence_s or not rule.must_contain_speech)
            and silence_s >= rule.trailing_silence_s
            and length_s >= rule.utterance_s
            for rule in self.rules
        )
