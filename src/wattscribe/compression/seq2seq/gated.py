"""What a voice gate before the encoder hears of the development speech, and what it costs itself."""

from __future__ import annotations

import hashlib
from functools import cache

from wattscribe.compression.speech import Audio
from wattscribe.energy.counting import counted
from wattscribe.energy.workload import Component
from wattscribe.graph.read import read_model
from wattscribe.seq2seq.gate import Gate
from wattscribe.seq2seq.windows import cut_at_silence
from wattscribe.streaming.vad import CONTEXT_SAMPLES, WINDOW_SAMPLES, model_path
from wattscribe.units import SAMPLE_RATE_HZ

_HEARD: dict[tuple[bytes, float], tuple[int, tuple[int, ...]]] = {}
"""By the digest of the audio and what the gate keeps: recipes share it."""


def heard(audio: Audio, keep_s: float) -> Audio:
    """What goes to the encoder."""
    return _gate(keep_s).heard(audio).audio


def heard_pieces(audio: Audio, keep_s: float, longest: int) -> tuple[list[int], int]:
    """Samples of each window that is left, and the windows of 32 ms that the detector judged."""
    key = (hashlib.sha256(audio.tobytes()).digest(), keep_s)
    if key not in _HEARD:
        gated = _gate(keep_s).heard(audio)
        _HEARD[key] = gated.judged, tuple(len(piece) for piece in cut_at_silence(gated.audio, longest))
    judged, pieces = _HEARD[key]
    return list(pieces), judged


@cache
def _gate(keep_s: float) -> Gate:
    return Gate(keep_s)


@cache
def gate_component() -> Component:
    """One window of the detector, counted from its file."""
    sizes = {"input[0]": 1, "input[1]": CONTEXT_SAMPLES + WINDOW_SAMPLES, "state[1]": 1}
    component, _ = counted(read_model(model_path()), "gate", dims=sizes, inputs={"sr": SAMPLE_RATE_HZ})
    return component
