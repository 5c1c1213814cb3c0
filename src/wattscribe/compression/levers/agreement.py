"""Whether an encoder of longer segments answers as the original does, segment after segment: both get the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph.session import open_session, run
from wattscribe.streaming.encoder import EncoderLayout, read_layout

Array = NDArray[Any]
CALLS = 3
"""Of the longer one: the first from empty states, the others from states that it left."""
SMALL = 1e-3
"""Of the largest value: rounding in another order moves a millionth, a wrong key or state much more than this."""
_STREAMS = 2


def agree(original: Any, longer: Any, count: int) -> bool:
    """Frames and states of both after each call, to a thousandth of their largest value."""
    first, second = _Encoder(original), _Encoder(longer)
    generator = np.random.default_rng(5)
    streams = first.streams
    step = first.layout.segment_frames
    for call in range(CALLS):
        noise = generator.standard_normal((streams, count * step, first.layout.feature_dim)).astype(np.float32)
        frames = [first.call(noise[:, at * step : (at + 1) * step], (call * count + at) * step) for at in range(count)]
        if not _close(np.concatenate(frames, axis=1), second.call(noise, call * count * step)):
            return False
        if not all(map(_close, first.states, second.states)):
            return False
    return True


def _close(first: Array, second: Array) -> bool:
    if first.shape != second.shape:
        return False
    return float(np.abs(first - second).max(initial=0)) <= SMALL * float(np.abs(first).max(initial=1e-6))


class _Encoder:
    """A graph with the states that its calls left."""

    def __init__(self, model: Any) -> None:
        self.path = Path("encoder.onnx")
        self.net = open_session(self.path, model=model.SerializeToString())
        self.layout: EncoderLayout = read_layout(self.net, self.path)
        self.streams = _STREAMS if self.layout.batchable else 1
        self.states = [spec.zeros(self.streams) for spec in self.layout.states]

    def call(self, audio: Array, clock: int) -> Array:
        feeds = self.layout.feeds(audio, [clock] * self.streams, self.states)
        outputs = [self.layout.output, *(state.output for state in self.layout.states)]
        frames, *self.states = run(self.net, self.path, outputs, feeds)
        return np.asarray(frames)
