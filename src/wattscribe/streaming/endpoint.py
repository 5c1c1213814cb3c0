"""When an utterance of a running stream is over: the three rules of Kaldi and sherpa-onnx."""

from __future__ import annotations

from dataclasses import dataclass

from wattscribe.streaming.features import FRAME_SHIFT_S

SUBSAMPLING = 4
"""Feature frames per encoder frame that sherpa-onnx's endpoint rules assume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRule:
    """All three must hold."""

    must_contain_speech: bool
    trailing_silence_s: float
    utterance_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """An utterance ends when one rule holds. Defaults: sherpa-onnx endpoint.h."""

    rules: tuple[EndpointRule, ...] = (
        EndpointRule(must_contain_speech=False, trailing_silence_s=2.4, utterance_s=0.0),
        EndpointRule(must_contain_speech=True, trailing_silence_s=1.2, utterance_s=0.0),
        EndpointRule(must_contain_speech=False, trailing_silence_s=0.0, utterance_s=20.0),
    )

    def reached(self, *, feature_frames: int, trailing_blanks: int) -> bool:
        """`feature_frames` since the last endpoint, `trailing_blanks` encoder frames without a token at its end."""
        length_s = feature_frames * FRAME_SHIFT_S
        silence_s = trailing_blanks * SUBSAMPLING * FRAME_SHIFT_S
        return any(
            (length_s > silence_s or not rule.must_contain_speech)
            and silence_s >= rule.trailing_silence_s
            and length_s >= rule.utterance_s
            for rule in self.rules
        )
