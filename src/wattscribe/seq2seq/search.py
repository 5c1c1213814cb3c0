"""From scores to tokens: greedy, or by beam search as Transformers does it; what is never said, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.seq2seq.loops import loop_start
from wattscribe.seq2seq.network_io import Encoded, Rewindable, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a model may say. `limit`: tokens at most, the ending one included."""

    end: int
    limit: int
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()
    stop_loops: bool = False
    """Whether a phrase that is said again and again ends the window, and stands there once."""

    def apply(self, scores: Scores, *, first: bool) -> Scores:
        """The same scores, with −∞ where nothing may be chosen."""
        scores[:, list(self.never)] = -np.inf
        if first:
            scores[:, list(self.never_first)] = -np.inf
        return scores


@dataclass(slots=True)
class Work:
    """What one search did, for the counts."""

    steps: int = 0
    """Runs of the decoder."""
    fed: int = 0
    """Rows of tokens, the prompt's included."""
    scored: int = 0
    """Rows of scores."""
    chosen: int = 0
    """Tokens chosen, the ending one included."""
    drafted: int = 0
    """Tokens that a draft offered."""
    agreed: int = 0
    """Of these, those that were chosen."""


def _step(encoded: Encoded, tokens: np.ndarray, works: Sequence[Work]) -> Scores:
    """One run of the decoder: its call counts for the first row, as everywhere where several share one."""
    count_run(tokens, works)
    return encoded.step(tokens)


def count_run(tokens: np.ndarray, works: Sequence[Work]) -> None:
    """Of the decoder, which scores behind every token that it is fed."""
    works[0].steps += 1
    for work in works:
        work.fed += tokens.shape[1]
        work.scored += tokens.shape[1]


def greedy(encoded: Encoded, prompts: Sequence[Sequence[int]], rules: Rules, works: Sequence[Work]) -> list[list[int]]:
    """The best token of every row, until each has ended. Rows that have ended leave the call."""
    hypotheses: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    fed = np.array(prompts, np.int64)
    for place in range(rules.limit):
        scores = rules.apply(_step(encoded, fed, [works[row] for row in alive]), first=place == 0)
        best = scores.argmax(axis=1)
        _require_numbers(scores[np.arange(len(best)), best])
        going = []
        for at, token in enumerate(best.tolist()):
            works[alive[at]].chosen += 1
            if token == rules.end:
                continue
            said = hypotheses[alive[at]]
            said.append(token)
            if rules.stop_loops and (kept := loop_start(said)) is not None:
                del said[kept:]
            else:
                going.append(at)
        if not going:
            break
        if len(going) < len(alive):
            encoded.keep(going)
            alive = [alive[at] for at in going]
        fed = best[going, None]
    return hypotheses


def verified(
    encoded: Rewindable,
    prompt: Sequence[int],
    rules: Rules,
    offer: Callable[[Sequence[int], int], Sequence[int]],
    work: Work,
) -> list[int]:
    """The tokens of `greedy`, of one utterance, in fewer runs of the decoder.

    `offer` is told what was said and how many tokens may come behind it, and says some of them. They are fed together with the
    last one that was said: each that is the best one stands, and behind those that do the scores are there already.
    """
    said: list[int] = []
    fed = list(prompt)
    while True:
        offered = list(offer(said, rules.limit - len(said) - 1))
        tokens = np.array([[*fed, *offered]], np.int64)
        count_run(tokens, [work])
        scores = encoded.steps(tokens)[0, len(fed) - 1 :]
        work.drafted += len(offered)
        for at in range(len(offered) + 1):
            row = rules.apply(scores[at : at + 1], first=not said)
            token = int(row.argmax())
            _require_numbers(row[0, token : token + 1])
            work.chosen += 1
            if token == rules.end:
                return said
            said.append(token)
            if rules.stop_loops and (kept := loop_start(said)) is not None:
                return said[:kept]
            if len(said) == rules.limit:
                return said
            if at == len(offered) or token != offered[at]:
                break
            work.agreed += 1
        encoded.back(len(offered) - at)
        fed = said[-1:]


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    tokens: tuple[int, ...]
    score: float
    """Sum of natural log probabilities."""

    def mean(self, more: int = 0) -> float:
        return self.score / max(1, len(self.tokens) + more)


def beam(encoded: Encoded, prompt: Sequence[int], rules: Rules, width: int, work: Work) -> list[int]:
    """The best of `width` hypotheses by mean log probability. One utterance: its rows are the hypotheses."""
    alive = [_Hypothesis((), 0.0)]
    done: list[_Hypothesis] = []
    fed = np.array([prompt], np.int64)
    for place in range(rules.limit):
        logits = _step(encoded, fed, [work] * len(alive))
        logs = _log_softmax(logits)
        scores = rules.apply(logs, first=place == 0) + np.array(
            [[hypothesis.score] for hypothesis in alive], np.float32
        )
        top = np.argpartition(scores, -2 * width, axis=None)[-2 * width :]
        top = top[np.argsort(scores.ravel()[top])[::-1]]
        _require_numbers(scores.ravel()[top[:1]])
        grown: list[_Hypothesis] = []
        parents: list[int] = []
        for rank, index in enumerate(top.tolist()):
            row, token = divmod(index, scores.shape[1])
            hypothesis = _Hypothesis((*alive[row].tokens, token), float(scores[row, token]))
            kept = loop_start(hypothesis.tokens) if rules.stop_loops else None
            if token == rules.end or kept is not None:
                if rank < width:
                    done.append(_Hypothesis(hypothesis.tokens[:kept], hypothesis.score))
            elif len(grown) < width:
                grown.append(hypothesis)
                parents.append(row)
        work.chosen += len(grown)
        done = sorted(done, key=_Hypothesis.mean, reverse=True)[:width]
        if len(done) == width and (not grown or done[-1].mean() >= grown[0].mean()):
            break
        alive = grown
        if not alive:  # the best of every row have ended, some of them in loops
            break
        encoded.keep(parents)
        fed = np.array([[hypothesis.tokens[-1]] for hypothesis in alive], np.int64)
    best = max([*done, *alive] if len(done) < width else done, key=_Hypothesis.mean)
    return [token for token in best.tokens if token != rules.end]


def _log_softmax(logits: Scores) -> Scores:
    highest = logits.max(axis=1, keepdims=True)
    return np.asarray(logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)), np.float32)


def _require_numbers(chosen: np.ndarray) -> None:
    if not np.isfinite(chosen).all():
        raise ModelError(
            "computes scores that are not numbers (NaN): its weights are damaged, or its precision overflows",
            fix="Copy or export it again",
        )
