"""Greedy decoding: at most one token per frame, the best one; in NeMo's models up to ten, until a blank comes.

The joiner's answer for a frame changes only when a token was emitted. So all frames of a segment are asked in one call; up
to the first token every answer stands, and only the frames after it are asked again with the new predictor vector. The text is
that of the plain loop, which `frame_by_frame` keeps for comparison; a row's scores do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming.hypothesis import Decoded, Hypothesis
from wattscribe.streaming.joiner import Joiner, Scores
from wattscribe.streaming.layout import Array
from wattscribe.streaming.predictor import Predictor
from wattscribe.streaming.tally import Tally

Frames = NDArray[np.float32]


@dataclass(slots=True)
class _Live:
    """A stream while its segment is decoded; lists where Hypothesis has tuples."""

    frames: Frames
    tally: Tally
    tokens: list[int]
    emitted_at: list[int]
    probabilities: list[float]
    trailing: int
    vector: NDArray[np.float32] | None
    states: tuple[Array, ...]
    offset: int
    position: int = 0
    here: int = 0
    """Tokens that the frame at `position` has given."""


class Greedy:
    """Decodes segments of one or more streams together."""

    def __init__(
        self,
        predictor: Predictor,
        joiner: Joiner,
        *,
        unknown_id: int | None,
        blank_penalty: float = 0.0,
        frame_by_frame: bool = False,
        symbols_per_frame: int = 1,
        remembers: bool = True,
    ) -> None:
        """`remembers`: the last tokens are still known after an endpoint."""
        self._predictor, self._joiner = predictor, joiner
        self._blank, self._most = predictor.blank, symbols_per_frame
        self._remembers = remembers
        self._unknown_id, self._blank_penalty = unknown_id, blank_penalty
        self._frame_by_frame = frame_by_frame

    def start(self) -> Decoded:
        hypothesis = Hypothesis(tokens=self._predictor.blank_context(), states=self._predictor.initial_states())
        return Decoded(hypotheses=(hypothesis,), context=self._predictor.context)

    def advance(self, decoded: Sequence[Decoded], frames: Sequence[Frames], tallies: Sequence[Tally]) -> list[Decoded]:
        """Decode [F, D] more frames of each stream; tallies are added to."""
        live = [
            _Live(
                frames=rows, tally=tally, tokens=list(h.tokens), emitted_at=list(h.frames),
                probabilities=list(h.log_probabilities), trailing=h.trailing_blanks, vector=h.vector,
                states=h.states, offset=state.frame_offset,
            )
            for state, rows, tally in zip(decoded, frames, tallies, strict=True)
            for h in state.hypotheses
        ]  # fmt: skip
        self._predict([stream for stream in live if stream.vector is None])
        while waiting := [stream for stream in live if stream.position < len(stream.frames)]:
            self._predict(self._join(waiting))
        return [
            state.with_hypotheses((self._hypothesis(stream),), len(stream.frames))
            for state, stream in zip(decoded, live, strict=True)
        ]

    def hot_start(self, decoded: Decoded) -> Decoded:
        """After an endpoint: an empty result that still remembers the last tokens (blanks where there were none)."""
        (last,) = decoded.hypotheses
        if not self._remembers or len(last.tokens) <= decoded.context:
            return replace(self.start(), frame_offset=decoded.frame_offset)
        kept = replace(last, tokens=last.tokens[-decoded.context :], frames=(), log_probabilities=(), trailing_blanks=0)
        return replace(decoded, hypotheses=(kept,))

    def _join(self, live: Sequence[_Live]) -> list[_Live]:
        """Ask the joiner once for what the streams have left, or for one frame each; returns those that emitted a token."""
        counts = [1 if self._frame_by_frame else len(stream.frames) - stream.position for stream in live]
        rows = [stream.frames[stream.position : stream.position + n] for stream, n in zip(live, counts, strict=True)]
        vectors = [stream.vector for stream in live if stream.vector is not None]
        if len(live) == 1:
            scores = self._joiner.run_one(rows[0], vectors[0])
        else:
            scores = self._joiner.run(np.concatenate(rows), np.repeat(np.stack(vectors), counts, axis=0))
        live[0].tally.joiner_calls += self._joiner.calls(len(scores))
        if self._blank_penalty:
            scores[:, self._blank] -= self._blank_penalty
        best: list[int] = scores.argmax(axis=1).tolist()
        emitted, start = [], 0
        for stream, n in zip(live, counts, strict=True):
            stream.tally.joiner_rows += n
            if self._consume(stream, best[start : start + n], scores[start : start + n]):
                emitted.append(stream)
            start += n
        return emitted

    def _consume(self, live: _Live, best: Sequence[int], scores: Scores) -> bool:
        """Take the blanks up to the first token, and the token; True where there was one."""
        blank, unknown = self._blank, self._unknown_id
        first = next((i for i, token in enumerate(best) if token != blank and token != unknown), len(best))
        live.tally.blanks += first
        live.tally.frames += first
        live.trailing += first
        live.position += first
        live.here = 0 if first else live.here
        if first == len(best):
            return False
        live.tokens.append(best[first])
        live.emitted_at.append(live.offset + live.position)
        live.probabilities.append(best_log_softmax(scores[first], best[first]))
        live.trailing = 0
        live.here += 1
        live.tally.tokens += 1
        if live.here == self._most:
            live.position += 1
            live.here = 0
            live.tally.frames += 1
        return True

    def _predict(self, live: Sequence[_Live]) -> None:
        """One predictor call for every stream whose tokens changed."""
        if not live:
            return
        context = self._predictor.context
        vectors, states = self._predictor.run(
            [tuple(stream.tokens[-context:]) for stream in live], [stream.states for stream in live]
        )
        live[0].tally.predictor_calls += self._predictor.calls(len(live))
        for stream, vector, state in zip(live, vectors, states, strict=True):
            stream.vector, stream.states = vector, state
            stream.tally.predictor_rows += 1

    @staticmethod
    def _hypothesis(live: _Live) -> Hypothesis:
        return Hypothesis(
            tokens=tuple(live.tokens),
            frames=tuple(live.emitted_at),
            log_probabilities=tuple(live.probabilities),
            trailing_blanks=live.trailing,
            vector=live.vector,
            states=live.states,
        )


def best_log_softmax(scores: Scores, best: int) -> float:
    """Natural log-probability of the best token under the scores of one row."""
    return -float(np.log(np.exp(scores - scores[best]).sum()))
