"""How far a candidate's answers are from the original's, without any text: the KL divergence of their token distributions.

Word errors on a few hundred utterances move in steps of whole words; this moves smoothly, so a few minutes of unlabelled
audio rank levers. Both models see the same features; the predictor follows the original's greedy path, so that frame by frame the
same question is asked of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.speech import SpeechSet
from wattscribe.streaming import open_transducer
from wattscribe.streaming.transducer import Transducer

Scores = NDArray[np.float32]
_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Means over frames; `changed` is the part of frames whose best token is another one."""

    kl: float
    changed: float
    frames: int


class Probe:
    """Holds the original's answers; `of(candidate)` asks another model the same."""

    def __init__(self, original: Candidate, speech: SpeechSet) -> None:
        self.original, self.speech = original, speech
        self._answers = self._first()
        self._found: dict[str, Divergence] = {}

    def shorter(self, seconds: float) -> Probe:
        """The same on the beginning of its speech."""
        return type(self)(self.original, self.speech.beginning(seconds))

    def of(self, candidate: Candidate) -> Divergence:
        """Remembered by digest."""
        if candidate.digest not in self._found:
            self._found[candidate.digest] = compare(self._answers, self._ask(candidate))
        return self._found[candidate.digest]

    def _first(self) -> Scores:
        """The original's answers along its own greedy path, which is kept."""
        with self.original.directory() as folder:
            transducer = open_transducer(folder)
            self._paths = [_greedy_path(transducer, audio) for audio in self.speech.audio]
            return self._scores(transducer)

    def _ask(self, candidate: Candidate) -> Scores:
        """[frames, V] log-probabilities of all utterances."""
        with candidate.directory() as folder:
            return self._scores(open_transducer(folder))

    def _scores(self, transducer: Transducer) -> Scores:
        rows = [
            _log_probabilities(transducer, _encode(transducer, audio), path)
            for audio, path in zip(self.speech.audio, self._paths, strict=True)
        ]
        return np.concatenate(rows)


def _encode(transducer: Transducer, audio: NDArray[np.float32]) -> Scores:
    stream = transducer.stream()
    stream.buffer(audio)
    stream.close()
    encoded = []
    while stream.ready():
        stream.fill()
        encoded.append(stream.encode().copy())
    stream.release()
    return np.concatenate(encoded) if encoded else np.zeros((0, transducer.encoder.dim), np.float32)


def _greedy_path(transducer: Transducer, audio: NDArray[np.float32]) -> list[tuple[int, tuple[int, ...]]]:
    """(frame from which it holds, tokens so far) along the original's greedy path."""
    stream = transducer.stream()
    stream.buffer(audio)
    stream.close()
    transducer.advance([stream])
    (best,) = stream.save().decoded.hypotheses
    stream.release()
    context = transducer.predictor.context
    tokens = best.tokens
    steps = [(0, tokens[:context])]
    for number, frame in enumerate(best.frames, start=1):
        steps.append((frame + 1, tokens[: context + number]))
    return steps


def _log_probabilities(transducer: Transducer, frames: Scores, path: list[tuple[int, tuple[int, ...]]]) -> Scores:
    predictor = transducer.predictor
    states = predictor.initial_states()
    vectors = np.zeros((len(frames), predictor.dim), np.float32)
    for number, (start, tokens) in enumerate(path):
        vector, after = predictor.run([tokens[-predictor.context :]], [states])
        states = after[0]
        end = path[number + 1][0] if number + 1 < len(path) else len(frames)
        vectors[start:end] = vector[0]
    scores = [
        transducer.joiner.run(frames[at : at + _ROWS], vectors[at : at + _ROWS]) for at in range(0, len(frames), _ROWS)
    ]
    logits: Any = np.concatenate(scores) if scores else np.zeros((0, transducer.scored_tokens), np.float32)
    return log_softmax(logits)


def log_softmax(logits: Any) -> Scores:
    """Rows of scores → rows of log-probabilities."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]


def compare(original: Scores, other: Scores) -> Divergence:
    """Of rows of log-probabilities.

    A model that scores candidates alone (−∞ elsewhere) is compared on these, both sides' probabilities summing to one over them;
    where the original's best token is none of them, a row counts as if the model knew nothing: log of the vocabulary.
    """
    best = original.argmax(axis=1)
    changed = best != other.argmax(axis=1)
    scored = np.isfinite(other)
    lost = ~scored[np.arange(len(best)), best]
    if not scored.all():
        original = log_softmax(np.where(scored, original, -np.inf))
    apart = np.subtract(original, other, out=np.zeros_like(original), where=scored)
    divergence = np.where(lost, np.log(original.shape[1]), (np.exp(original) * apart).sum(axis=1))
    return Divergence(kl=float(divergence.mean()), changed=float(changed.mean()), frames=len(original))


__all__ = ["Divergence", "Probe"]
