"""What decoding remembers of a stream, as values that can be copied, saved and restored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming.layout import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One way to read the stream since the last endpoint.

    `context` tokens come first in `tokens`; `frames[i]` and `log_probabilities[i]` belong to the i-th token after them.
    """

    tokens: tuple[int, ...]
    log_probability: float = 0.0
    frames: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    trailing_blanks: int = 0
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """The predictor's output for these tokens."""
    states: tuple[Array, ...] = field(default=(), compare=False, repr=False)
    """A recurrent predictor's states before these tokens' last one was heard, or after it where `vector` is there."""
    bias: int = field(default=0, compare=False, repr=False)
    """Where contextual biasing stands: a node of its graph, 0 the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The decoder's memory of one stream: live hypotheses (one when greedy) and the frames decoded since the start."""

    hypotheses: tuple[Hypothesis, ...]
    frame_offset: int = 0
    context: int = 1

    def best(self) -> Hypothesis:
        """The most probable per token, as sherpa-onnx chooses (its length counts the context's tokens)."""
        return max(self.hypotheses, key=lambda h: h.log_probability / len(h.tokens))

    def with_hypotheses(self, hypotheses: tuple[Hypothesis, ...], frames: int) -> Decoded:
        return replace(self, hypotheses=hypotheses, frame_offset=self.frame_offset + frames)
