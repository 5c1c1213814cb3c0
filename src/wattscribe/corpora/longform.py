"""Long recordings: utterances of one speaker joined with pauses, as in the Jetson study's long recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattscribe.corpora.audio import joined
from wattscribe.corpora.base import UNUSABLE, Audio, Corpus, blocks_of, unusable
from wattscribe.corpora.draws import Draws
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance
from wattscribe.units import SAMPLE_RATE_HZ

PAUSE_S = (0.3, 1.2)
"""Pauses are drawn evenly between these, digital silence: about the pauses between sentences of read speech. Our own choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One joined recording: its utterances and the pauses (in samples) between them."""

    utterance: Utterance
    members: tuple[Utterance, ...]
    pauses: tuple[int, ...]
    samples: int


class LongformCorpus:
    """A corpus whose utterances are joined per speaker, in their order, up to `limit_s` with the pauses counted.

    A piece is named `FIRST..LAST` after its first and last utterance (a single one keeps its id); its reference is theirs
    joined by spaces. An utterance longer than the limit stands alone. Listing decodes the audio once, so that lengths are
    exact and an unreadable utterance is rejected by itself instead of spoiling a piece.
    """

    def __init__(self, corpus: Corpus, *, limit_s: float, seed: int) -> None:
        self.name = corpus.name
        self._corpus = corpus
        self._limit = int(limit_s * SAMPLE_RATE_HZ)
        self._seed = seed
        self._plan: list[Piece | Rejected] | None = None

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """Rejected entries first, then the pieces, speaker by speaker in order of appearance."""
        for item in self._planned():
            yield item.utterance if isinstance(item, Piece) else item

    def audio(self, utterance: Utterance) -> Audio:
        return joined(self._piece(utterance.id).samples, self.blocks(utterance))

    def blocks(self, utterance: Utterance) -> Iterator[Audio]:
        """One utterance and one pause after the other."""
        piece = self._piece(utterance.id)
        for member, pause in zip(piece.members, (*piece.pauses, 0), strict=True):
            yield from blocks_of(self._corpus, member)
            yield np.zeros(pause, dtype=np.float32)

    def members(self, utterance: Utterance) -> tuple[Utterance, ...]:
        """The utterances of which a piece is made, in order."""
        return self._piece(utterance.id).members

    def _piece(self, id_: str) -> Piece:
        for item in self._planned():
            if isinstance(item, Piece) and item.utterance.id == id_:
                return item
        raise InputError(f"there is no long-form piece {id_!r}", where=self.name)

    def _planned(self) -> list[Piece | Rejected]:
        if self._plan is None:
            self._plan = self._make_plan()
        return self._plan

    def _make_plan(self) -> list[Piece | Rejected]:
        rejected: list[Piece | Rejected] = []
        speakers: dict[str, list[tuple[Utterance, int]]] = {}
        for item in self._corpus:
            if isinstance(item, Rejected):
                rejected.append(item)
                continue
            try:
                length = sum(map(len, blocks_of(self._corpus, item)))
            except UNUSABLE as error:
                rejected.append(unusable(self.name, item, error))
                continue
            speakers.setdefault(item.speaker, []).append((item, length))
        return rejected + [piece for items in speakers.values() for piece in self._join(items)]

    def _join(self, items: list[tuple[Utterance, int]]) -> Iterator[Piece]:
        """Fill pieces greedily: the next utterance opens a new one where it and its pause would pass the limit."""
        members: list[Utterance] = []
        pauses: list[int] = []
        total = 0
        for utterance, length in items:
            pause = self._pause(utterance)
            if members and total + pause + length > self._limit:
                yield self._close(members, pauses, total)
                members, pauses, total = [], [], 0
            if members:
                pauses.append(pause)
                total += pause
            members.append(utterance)
            total += length
        if members:
            yield self._close(members, pauses, total)

    def _pause(self, utterance: Utterance) -> int:
        return int(Draws(self._seed, utterance.id, "pause").between(*PAUSE_S) * SAMPLE_RATE_HZ)

    def _close(self, members: list[Utterance], pauses: list[int], total: int) -> Piece:
        first, last = members[0], members[-1]
        joined = Utterance(
            id=first.id if len(members) == 1 else f"{first.id}..{last.id}",
            speaker=first.speaker,
            reference=" ".join(member.reference for member in members),
            source=first.source if len(members) == 1 else f"{first.source} and {len(members) - 1} more",
            duration_s=total / SAMPLE_RATE_HZ,
        )
        return Piece(utterance=joined, members=tuple(members), pauses=tuple(pauses), samples=total)
