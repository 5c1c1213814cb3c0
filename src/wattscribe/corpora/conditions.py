"""A corpus under a condition: joined into long recordings, in a room, in noise — in this order, each step deterministic.

All chance comes from (seed, utterance id): the same row is the same samples on any machine. The ratio asked for is not part
of it, so an utterance meets the same stretch of noise at 20 dB and at 0 dB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wattscribe.corpora.activity import active_mask
from wattscribe.corpora.base import Audio, Corpus
from wattscribe.corpora.draws import Draws
from wattscribe.corpora.longform import LongformCorpus
from wattscribe.corpora.mixing import fit, mix
from wattscribe.corpora.noise import NoiseSource, open_noise
from wattscribe.corpora.room import Rooms
from wattscribe.errors import InputError
from wattscribe.records import Condition, Rejected, Utterance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditioned:
    """The samples a recognizer gets, with what was done to them."""

    samples: Audio
    scale: float
    """1, or the factor by which everything was scaled down because a peak exceeded full scale."""
    room: str | None = None
    noise: str | None = None
    noise_gain: float | None = None
    snr_db: float | None = None


def conditioned(corpus: Corpus, condition: Condition) -> Corpus:
    """The corpus under the condition; the corpus itself where the condition is clean.

    Long-form joins utterances: ids and references are then those of the joined pieces. Raises InputError when the
    condition contradicts itself or names a folder without usable audio.
    """
    _check(condition)
    if condition.longform_s is not None:
        corpus = LongformCorpus(corpus, limit_s=condition.longform_s, seed=condition.seed)
    if condition.noise is None and condition.rir is None:
        return corpus
    return ConditionedCorpus(corpus, condition)


class ConditionedCorpus:
    """A corpus in a room, in noise, or both."""

    def __init__(self, corpus: Corpus, condition: Condition) -> None:
        self.name = corpus.name
        self.condition = condition
        self._corpus = corpus
        self._rooms = Rooms(Path(condition.rir).expanduser()) if condition.rir is not None else None
        self._noise: NoiseSource | None = open_noise(condition.noise) if condition.noise is not None else None

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        return iter(self._corpus)

    def audio(self, utterance: Utterance) -> Audio:
        return self.apply(utterance).samples

    def apply(self, utterance: Utterance) -> Conditioned:
        """The utterance under the condition, with the facts of what was done. Raises InputError on bad or silent speech."""
        speech = self._corpus.audio(utterance).astype(np.float64)
        if not active_mask(speech).any():
            raise InputError("the speech is silent: there are no active samples", where=utterance.source)
        seed, room = self.condition.seed, None
        if self._rooms is not None:
            speech, room = self._rooms.convolve(speech, Draws(seed, utterance.id, "room"))
        if self._noise is None or self.condition.snr_db is None:
            samples, scale = fit(speech)
            return Conditioned(samples=samples, scale=scale, room=room)
        stretch = self._noise.stretch(Draws(seed, utterance.id, "noise"), active_mask(speech))
        mixture = mix(speech, stretch.samples, self.condition.snr_db)
        return Conditioned(
            samples=mixture.samples,
            scale=mixture.scale,
            room=room,
            noise=stretch.source,
            noise_gain=mixture.noise_gain,
            snr_db=self.condition.snr_db,
        )


def _check(condition: Condition) -> None:
    if (condition.noise is None) != (condition.snr_db is None):
        given, missing = ("noise", "snr_db") if condition.snr_db is None else ("snr_db", "noise")
        raise InputError(
            f"the condition has {given} but no {missing}", fix="Give both, for instance `noise` white `snr` 10"
        )
    if condition.snr_db is not None and not math.isfinite(condition.snr_db):
        raise InputError(f"the signal-to-noise ratio must be a finite number of dB, not {condition.snr_db}")
    if condition.longform_s is not None and not (math.isfinite(condition.longform_s) and condition.longform_s > 0):
        raise InputError(
            f"the length of long-form recordings must be a positive number of s, not {condition.longform_s}"
        )
