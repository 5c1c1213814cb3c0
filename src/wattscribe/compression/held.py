"""The part of a development set that nothing is chosen on: it has the last word (`sets`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.compression.speech import SpeechSet

HELD_BACK = 1 / 3
"""Of the development set's words."""
FEWEST_HELD = 8
"""Utterances of a part that confirms: in fewer one mishap is the whole result."""
SPEAKERS = 4
"""Speakers from which on whole speakers are held back: what is chosen is then confirmed on other people."""
UNEVEN = 1.5
"""Times HELD_BACK: no more is held back, or little would be left to choose on; nor so much less, or little would be confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A development set in two parts that share no utterance."""

    whole: SpeechSet
    choose: SpeechSet
    confirm: SpeechSet
    by: str
    """`speaker`: they share no speaker either; `utterance`."""
    order: tuple[int, ...]
    """Where each utterance of `whole` stands in `choose` and `confirm`, one after the other."""


def divided(dev: SpeechSet, limit: float, *, seed: int = 0) -> Held | None:
    """A seeded third of the words, whole speakers where there are enough; None where the set is too small to be parted.

    Large enough is a part in which one wrong word is less than the whole limit: 334 words for 0.3 points.
    """
    words = np.array([max(1, len(text.split())) for text in dev.references], dtype=np.int64)
    named = len(set(dev.speakers))
    held = _whole_speakers(dev.speakers, words, seed) if named >= SPEAKERS else None
    by = "utterance" if held is None else "speaker"
    if held is None:
        drawn = np.random.default_rng(seed).permutation(len(dev))
        before = np.concatenate([[0], np.cumsum(words[drawn])[:-1]])
        held = drawn[before < HELD_BACK * words.sum()].tolist()
    inside = set(held)
    confirming, choosing = sorted(inside), [i for i in range(len(dev)) if i not in inside]
    if len(confirming) < FEWEST_HELD or not choosing or limit * float(words[confirming].sum()) < 1:
        return None
    parts = [dev.of(at, f"{dev.name}, {name} part") for at, name in ((choosing, "choosing"), (confirming, "held-back"))]
    stands = {at: place for place, at in enumerate((*choosing, *confirming))}
    order = tuple(stands[at] for at in range(len(dev)))
    return Held(whole=dev, choose=parts[0], confirm=parts[1], by=by, order=order)


def _whole_speakers(speakers: Sequence[str], words: np.typing.NDArray[np.int64], seed: int) -> list[int] | None:
    """The utterances of speakers drawn as long as that brings them nearer to HELD_BACK; None where they stay far from it."""
    names = sorted(set(speakers))
    goal, taken, drawn = HELD_BACK * float(words.sum()), 0.0, set()
    for at in np.random.default_rng(seed).permutation(len(names)).tolist():
        speaker_words = float(sum(n for n, name in zip(words.tolist(), speakers, strict=True) if name == names[at]))
        if abs(taken + speaker_words - goal) < abs(taken - goal) and taken + speaker_words <= UNEVEN * goal:
            taken += speaker_words
            drawn.add(names[at])
    if taken < goal / UNEVEN:
        return None
    return [i for i, name in enumerate(speakers) if name in drawn]
