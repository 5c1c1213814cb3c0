"""Modified beam search: at most one token per frame, hypotheses with the same tokens merged; sherpa-onnx's semantics.

Per frame: log-softmax of every hypothesis' scores plus its own log-probability, the best `beam` continuations of all of
them, equal token sequences added up. The result is the hypothesis with the highest log-probability per token.

The joiner is asked once for each new predictor vector, for all remaining frames of the segment: a hypothesis that goes on
with blanks keeps its answers, so that stretches without tokens cost no call. Scores are those of asking frame by frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wattscribe.models.vocabulary import BLANK
from wattscribe.streaming.context import ContextGraph
from wattscribe.streaming.hypothesis import Decoded, Hypothesis
from wattscribe.streaming.joiner import Joiner, Scores
from wattscribe.streaming.predictor import Predictor
from wattscribe.streaming.tally import Tally

Frames = NDArray[np.float32]


@dataclass(slots=True)
class _Branch:
    """A live hypothesis and its joiner answers for the frames from `first` to the segment's end."""

    hypothesis: Hypothesis
    scores: Scores | None = None
    first: int = 0


class Beam:
    """Decodes segments of one or more streams together."""

    def __init__(
        self,
        predictor: Predictor,
        joiner: Joiner,
        *,
        unknown_id: int | None,
        beam: int = 4,
        blank_penalty: float = 0.0,
        frame_by_frame: bool = False,
        predict_anew: bool = False,
        context_graph: ContextGraph | None = None,
    ) -> None:
        self._predictor, self._joiner = predictor, joiner
        self._unknown_id, self._beam, self._blank_penalty = unknown_id, beam, blank_penalty
        self._frame_by_frame, self._predict_anew = frame_by_frame, predict_anew
        self._graph = context_graph

    def start(self) -> Decoded:
        hypothesis = Hypothesis(tokens=self._predictor.blank_context(), states=self._predictor.initial_states())
        return Decoded(hypotheses=(hypothesis,), context=self._predictor.context)

    def advance(self, decoded: Sequence[Decoded], frames: Sequence[Frames], tallies: Sequence[Tally]) -> list[Decoded]:
        """Decode [F, D] more frames of each stream; tallies are added to."""
        live = [[_Branch(hypothesis) for hypothesis in state.hypotheses] for state in decoded]
        for position in range(max(map(len, frames), default=0)):
            self._predict(live, tallies)
            self._join(live, frames, tallies, position)
            for index, rows in enumerate(frames):
                if position < len(rows):
                    offset = decoded[index].frame_offset + position
                    live[index] = self._step(live[index], position, offset)
                    tallies[index].frames += 1
        for before, branches, rows, tally in zip(decoded, live, frames, tallies, strict=True):
            tokens = len(_best(branches).tokens) - len(before.best().tokens)
            tally.tokens += tokens
            tally.blanks += len(rows) - tokens
        return [
            state.with_hypotheses(tuple(branch.hypothesis for branch in branches), len(rows))
            for state, branches, rows in zip(decoded, live, frames, strict=True)
        ]

    def hot_start(self, decoded: Decoded) -> Decoded:
        """After an endpoint: the hypotheses' last tokens stay, beside an empty one (as sherpa-onnx keeps them)."""
        fresh = self.start()
        if len(decoded.best().tokens) <= decoded.context:
            return replace(fresh, frame_offset=decoded.frame_offset)
        merged = {h.tokens: h for h in fresh.hypotheses}
        for hypothesis in decoded.hypotheses:
            short = Hypothesis(
                tokens=hypothesis.tokens[-decoded.context :],
                log_probability=hypothesis.log_probability,
                vector=hypothesis.vector,
                states=hypothesis.states,
            )
            _merge(merged, short)
        return replace(decoded, hypotheses=tuple(merged.values()))

    def _predict(self, live: Sequence[Sequence[_Branch]], tallies: Sequence[Tally]) -> None:
        """One predictor call for every hypothesis that has grown; for all of them where they share its scale."""
        anew = self._predict_anew
        owners = [index for index, branches in enumerate(live) for b in branches if anew or b.hypothesis.vector is None]
        if not owners:
            return
        grown = [branch for branches in live for branch in branches if anew or branch.hypothesis.vector is None]
        context = self._predictor.context
        vectors, states = self._predictor.run(
            [branch.hypothesis.tokens[-context:] for branch in grown], [branch.hypothesis.states for branch in grown]
        )
        tallies[owners[0]].predictor_calls += self._predictor.calls(len(grown))
        for owner, branch, vector, state in zip(owners, grown, vectors, states, strict=True):
            tallies[owner].predictor_rows += 1
            branch.hypothesis = replace(branch.hypothesis, vector=vector, states=state)

    def _join(
        self, live: Sequence[Sequence[_Branch]], frames: Sequence[Frames], tallies: Sequence[Tally], position: int
    ) -> None:
        """One joiner call for every hypothesis that has no answer for this frame yet."""
        rows, vectors, owners, asked = [], [], [], []
        for index, branches in enumerate(live):
            ahead = frames[index][position : position + 1] if self._frame_by_frame else frames[index][position:]
            for branch in branches:
                if len(ahead) and (branch.scores is None or self._frame_by_frame):
                    rows.append(ahead)
                    vectors.append(np.broadcast_to(_vector(branch), (len(ahead), len(_vector(branch)))))
                    owners.append(index)
                    asked.append(branch)
        if not rows:
            return
        scores = self._joiner.run(np.concatenate(rows), np.concatenate(vectors))
        if self._blank_penalty:
            scores[:, BLANK] -= self._blank_penalty
        scores = log_softmax(scores)
        tallies[owners[0]].joiner_calls += self._joiner.calls(len(scores))
        start = 0
        for owner, branch, part in zip(owners, asked, rows, strict=True):
            tallies[owner].joiner_rows += len(part)
            branch.scores, branch.first = scores[start : start + len(part)], position
            start += len(part)

    def _step(self, branches: Sequence[_Branch], position: int, offset: int) -> list[_Branch]:
        """The best continuations of one stream's hypotheses over one frame."""
        totals = np.stack([branch.scores[position - branch.first] for branch in branches if branch.scores is not None])
        own = np.array([branch.hypothesis.log_probability for branch in branches], np.float32)
        flat = (totals + own[:, None]).ravel()
        vocabulary = totals.shape[1]
        grown: dict[tuple[int, ...], Hypothesis] = {}
        kept: dict[tuple[int, ...], _Branch] = {}
        for choice in _top(flat, self._beam):
            branch, token = branches[choice // vocabulary], int(choice % vocabulary)
            hypothesis = self._extend(branch.hypothesis, token, float(flat[choice]), offset, totals, choice)
            if hypothesis.tokens == branch.hypothesis.tokens:
                kept[hypothesis.tokens] = branch
            _merge(grown, hypothesis)
        return [_continued(hypothesis, kept.get(tokens)) for tokens, hypothesis in grown.items()]

    def _extend(
        self, before: Hypothesis, token: int, total: float, offset: int, totals: Scores, choice: int
    ) -> Hypothesis:
        if token in (BLANK, self._unknown_id):
            return replace(before, log_probability=total, trailing_blanks=before.trailing_blanks + 1)
        state, bonus = before.bias, 0.0
        if self._graph is not None:
            bonus, state = self._graph.forward(state, token)
        return Hypothesis(
            tokens=(*before.tokens, token),
            log_probability=total + bonus,
            frames=(*before.frames, offset),
            log_probabilities=(*before.log_probabilities, float(totals.ravel()[choice])),
            states=before.states,
            bias=state,
        )


def _vector(branch: _Branch) -> NDArray[np.float32]:
    if branch.hypothesis.vector is None:
        raise ValueError("the predictor has not run for this hypothesis")
    return branch.hypothesis.vector


def _best(branches: Sequence[_Branch]) -> Hypothesis:
    return Decoded(hypotheses=tuple(branch.hypothesis for branch in branches)).best()


def _continued(hypothesis: Hypothesis, branch: _Branch | None) -> _Branch:
    """The answers of the branch that reached the same tokens by a blank stay good."""
    if branch is None:
        return _Branch(hypothesis)
    source = branch.hypothesis
    return _Branch(replace(hypothesis, vector=source.vector, states=source.states), branch.scores, branch.first)


def _merge(merged: dict[tuple[int, ...], Hypothesis], new: Hypothesis) -> None:
    """Add a hypothesis; one with the same tokens gains its probability and stays otherwise as it was."""
    old = merged.get(new.tokens)
    if old is None:
        merged[new.tokens] = new
        return
    high, low = max(old.log_probability, new.log_probability), min(old.log_probability, new.log_probability)
    merged[new.tokens] = replace(old, log_probability=high + float(np.log1p(np.exp(low - high))))


def _top(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Indices of the highest values, highest first, the earlier one first among equals."""
    count = min(count, len(values))
    candidates = np.sort(np.argpartition(-values, count - 1)[:count])
    order: NDArray[np.intp] = candidates[np.argsort(-values[candidates], kind="stable")]
    return order


def log_softmax(scores: Scores) -> Scores:
    """Natural log-probabilities per row."""
    shifted: Scores = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
