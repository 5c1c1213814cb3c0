"""Word and character errors per utterance, kept apart so that every rate and interval can be derived from them later.

Counting is NIST's, as jiwer does it over a whole set: errors of all utterances over reference words of all utterances. An
utterance whose reference is empty (or normalises to nothing) has no words, but what was recognised in it counts as insertions.
An empty hypothesis deletes every reference word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.scoring.normalise import Normaliser, normaliser

Floats = NDArray[np.float64]

ALIGNED_AT_ONCE = 256
"""Pairs that are aligned together: the aligner keeps an object for every word until it is through."""


class Span(NamedTuple):
    """One stretch of an alignment: `[reference_start, reference_end)` against `[hypothesis_start, hypothesis_end)`, in words."""

    kind: Literal["equal", "substitute", "delete", "insert"]
    reference_start: int
    reference_end: int
    hypothesis_start: int
    hypothesis_end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorCounts:
    """Errors per utterance, arrays of shape (utterances,); fractional where repeats were averaged."""

    substitutions: Floats
    deletions: Floats
    insertions: Floats
    words: Floats
    """Reference words."""
    character_errors: Floats
    characters: Floats
    """Reference characters, spaces between words included."""
    alignments: tuple[tuple[Span, ...], ...] = ()

    @property
    def errors(self) -> Floats:
        """Word errors per utterance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def utterances(self) -> int:
        return len(self.words)

    @property
    def empty_references(self) -> int:
        """Utterances without a single reference word: their insertions are in `wer`, their words cannot be."""
        return int(np.count_nonzero(self.words == 0))

    @property
    def wer(self) -> float | None:
        """Word error rate as a fraction; None when there is no reference word at all."""
        return ratio(self.errors, self.words)

    @property
    def cer(self) -> float | None:
        """Character error rate as a fraction; None when there is no reference character at all."""
        return ratio(self.character_errors, self.characters)


def ratio(errors: Floats, units: Floats) -> float | None:
    """Errors over units of a whole set; None when there are no units."""
    total = float(units.sum())
    return float(errors.sum()) / total if total else None


def count_errors(
    references: Sequence[str], hypotheses: Sequence[str], *, rule: str | Normaliser = "whisper"
) -> ErrorCounts:
    """Align every pair after normalising both sides. Raises InputError when the numbers of texts differ."""
    if len(references) != len(hypotheses):
        raise InputError(f"{len(references)} references for {len(hypotheses)} hypotheses")
    apply = normaliser(rule) if isinstance(rule, str) else rule
    wanted, answered = [apply(text) for text in references], [apply(text) for text in hypotheses]
    if not wanted:
        return _no_utterances()
    batches = range(0, len(wanted), ALIGNED_AT_ONCE)
    parts = [_aligned(wanted[at : at + ALIGNED_AT_ONCE], answered[at : at + ALIGNED_AT_ONCE]) for at in batches]
    names = ("substitutions", "deletions", "insertions", "words", "character_errors", "characters")
    return ErrorCounts(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        alignments=tuple(spans for part in parts for spans in part.alignments),
    )


def _aligned(wanted: list[str], answered: list[str]) -> ErrorCounts:
    """A few normalised pairs. Characters need no alignment, only its errors: the distance, from what jiwer itself aligns with."""
    import jiwer
    from rapidfuzz.distance import Levenshtein

    words = jiwer.process_words(wanted, answered, _in_words, _in_words)
    spans = tuple(tuple(map(_span, chunks)) for chunks in words.alignments)
    substitutions, deletions, insertions = (_amount(spans, kind) for kind in ("substitute", "delete", "insert"))
    letters = [(one.strip(), other.strip()) for one, other in zip(wanted, answered, strict=True)]
    return ErrorCounts(
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        words=np.array([len(text) for text in words.references], dtype=np.float64),
        character_errors=np.array([Levenshtein.distance(one, other) for one, other in letters], dtype=np.float64),
        characters=np.array([len(text) for text, _ in letters], dtype=np.float64),
        alignments=spans,
    )


def _in_words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def mean_counts(repeats: Sequence[ErrorCounts]) -> ErrorCounts:
    """Average several passes over the same utterances, so that repeats do not count an utterance several times."""
    if len(repeats) == 1:
        return repeats[0]

    def mean(name: str) -> Floats:
        average: Floats = np.stack([getattr(counts, name) for counts in repeats]).mean(axis=0)
        return average

    return ErrorCounts(
        substitutions=mean("substitutions"),
        deletions=mean("deletions"),
        insertions=mean("insertions"),
        words=repeats[0].words,
        character_errors=mean("character_errors"),
        characters=repeats[0].characters,
        alignments=repeats[0].alignments,
    )


def _span(chunk: object) -> Span:
    return Span(
        chunk.type,  # type: ignore[attr-defined]
        chunk.ref_start_idx,  # type: ignore[attr-defined]
        chunk.ref_end_idx,  # type: ignore[attr-defined]
        chunk.hyp_start_idx,  # type: ignore[attr-defined]
        chunk.hyp_end_idx,  # type: ignore[attr-defined]
    )


def _size(span: Span) -> int:
    """Errors in a span; a substitution covers as many words on both sides."""
    if span.kind == "equal":
        return 0
    return max(span.reference_end - span.reference_start, span.hypothesis_end - span.hypothesis_start)


def _amount(alignments: Sequence[Sequence[Span]], kind: str) -> Floats:
    return np.array([sum(_size(s) for s in spans if s.kind == kind) for spans in alignments], dtype=np.float64)


def _no_utterances() -> ErrorCounts:
    none = np.zeros(0, dtype=np.float64)
    return ErrorCounts(
        substitutions=none, deletions=none, insertions=none, words=none, character_errors=none, characters=none
    )
