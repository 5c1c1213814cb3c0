"""Batches as a pure function of seed, epoch and number: so an interrupted training resumes exactly where it stopped."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wattscribe.errors import InputError, TrainingError
from wattscribe.training.augment import Augmentation, Mels, NoiseBank, augment
from wattscribe.training.features import log_mels
from wattscribe.training.fields import Count, Natural, check
from wattscribe.training.sound import Rooms, SoundChanges, change
from wattscribe.training.speech_cache import Shard, Spoken, shards
from wattscribe.training.synthesis import TRAINING_ESPEAK, Voice, speak, vary
from wattscribe.training.teacher import FRAMES_PER_TEACHER_FRAME
from wattscribe.training.texts import pieces, plain
from wattscribe.training.tokens import Vocabulary
from wattscribe.units import FRAMES_PER_S

FRAMES_PER_LETTER = 7
"""Rough length of what is yet to be spoken, for batching: espeak-ng says some 14 letters a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder of shards and how it is used. `repeat`: times an utterance stands in one epoch."""

    folder: str
    repeat: Natural = 1
    first_shards: Count | None = None
    taught: bool = True
    """False leaves the teacher's outputs aside, so that this speech may be stretched."""

    def __post_init__(self) -> None:
        check(self, "sources")


class Batch(NamedTuple):
    """Utterances side by side. `taught` (N, teacher frames, width) is NaN where no teacher was heard; may be absent."""

    mels: Tensor
    frames: Tensor
    targets: Tensor
    tokens: Tensor
    texts: tuple[str, ...]
    taught: Tensor | None
    audio_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One utterance: its text and length, and its place in a shard unless it is spoken when its turn comes."""

    text: str
    tokens: tuple[int, ...]
    frames: int
    shard: int | None = None
    item: Spoken | None = None
    taught_from: int | None = None
    """Where its teacher frames begin in the shard's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that makes an utterance new: what is done to sound and to features, and the noises for it."""

    features: Augmentation = field(default_factory=Augmentation)
    sound: SoundChanges = field(default_factory=SoundChanges)
    noises: NoiseBank = field(default_factory=NoiseBank)

    def rooms(self) -> Rooms:
        return Rooms(self.sound)


def say_anew(text: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """The text by some espeak-ng voice of training at some rate and pitch, 16 kHz."""
    voice = Voice(engine="espeak", name=TRAINING_ESPEAK[int(rng.integers(len(TRAINING_ESPEAK)))])
    return speak(text, vary(voice, random.Random(int(rng.integers(2**62)))))


class SpeechData:
    """All utterances of the sources with their tokens, listed once.

    `unspoken` are sentences that `add_unspoken` takes. Texts in `held_out` are left out. Raises InputError where a source
    has no shard or no utterance remains, and TrainingError naming a damaged shard.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        vocabulary: Vocabulary,
        *,
        longest_s: float = 20.0,
        shortest_s: float = 0.4,
        held_out: frozenset[str] = frozenset(),
        unspoken: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.vocabulary = vocabulary
        self.shards: list[Shard] = []
        self.entries: list[Entry] = []
        self.longest_s, self.shortest_s, self.held_out = longest_s, shortest_s, held_out
        for source in sources:
            folder_shards = shards(Path(source.folder).expanduser())[: source.first_shards]
            if not folder_shards:
                raise InputError("the speech folder holds no shards", where=source.folder,
                                 fix="Make them first: `prepare_only`")  # fmt: skip
            for shard in folder_shards:
                self._list(shard, source)
        self.add_unspoken(unspoken, seed=seed)
        if not self.entries:
            raise InputError("no utterance is left to train on",
                             fix="Check speech.hours and on_the_fly, longest_s and held-out texts")  # fmt: skip

    def _list(self, shard: Shard, source: Source) -> None:
        taught = source.taught and shard.path.with_suffix(".teacher.npy").exists()
        place = 0
        for item in shard.utterances:
            fits = self.shortest_s <= item.frames / FRAMES_PER_S <= self.longest_s
            if fits and item.text not in self.held_out:
                entry = Entry(text=item.text, tokens=tuple(self.vocabulary.encode(item.text)), frames=item.frames,
                              shard=len(self.shards), item=item, taught_from=place if taught else None)  # fmt: skip
                self.entries.extend([entry] * source.repeat)
            place += -(-item.frames // FRAMES_PER_TEACHER_FRAME)
        self.shards.append(shard)

    def add_unspoken(self, sentences: Sequence[str], *, seed: int = 0) -> None:
        """Sentences that espeak-ng speaks again, with another voice, each time their turn comes."""
        rng = random.Random(f"unspoken:{seed}")
        for sentence in sentences:
            for piece in map(plain, pieces(sentence, rng)):
                if piece and piece not in self.held_out:
                    tokens = tuple(self.vocabulary.encode(piece))
                    self.entries.append(Entry(text=piece, tokens=tokens, frames=len(piece) * FRAMES_PER_LETTER))

    @property
    def hours(self) -> float:
        return sum(entry.frames for entry in self.entries) / FRAMES_PER_S / 3600

    def plan(self, seed: int, epoch: int, batch_s: float) -> list[list[int]]:
        """Entries of each batch of an epoch: shuffled, alike in length, at most `batch_s` seconds with padding."""
        rng = random.Random(f"{seed}:{epoch}")
        order = list(range(len(self.entries)))
        rng.shuffle(order)
        pool = 1000
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            batch: list[int] = []
            for index in sorted(order[start : start + pool], key=lambda i: self.entries[i].frames):
                longest = self.entries[index].frames / FRAMES_PER_S  # sorted: the newest is the longest
                if batch and longest * (len(batch) + 1) > batch_s:
                    batches.append(batch)
                    batch = []
                batch.append(index)
            batches.append(batch)
        rng.shuffle(batches)
        return batches

    def batch(self, indices: Sequence[int], changes: Changes, rooms: Rooms, rng: np.random.Generator) -> Batch:
        """The utterances' changed features, padded with the last frame of each. Raises TrainingError on broken shards."""
        entries = [self.entries[index] for index in indices]
        features = [self._features(entry, changes, rooms, rng) for entry in entries]
        longest = max(len(mels) for mels in features)
        mels = np.stack([np.concatenate([m, np.repeat(m[-1:], longest - len(m), 0)]) for m in features])
        tokens = torch.tensor([len(entry.tokens) for entry in entries])
        targets = torch.zeros(len(entries), max(int(tokens.max()), 1), dtype=torch.long)
        for row, entry in enumerate(entries):
            targets[row, : len(entry.tokens)] = torch.tensor(entry.tokens, dtype=torch.long)
        frames = torch.tensor([len(m) for m in features])
        return Batch(
            mels=torch.from_numpy(mels), frames=frames, targets=targets, tokens=tokens,
            texts=tuple(entry.text for entry in entries), taught=self._taught(entries),
            audio_s=float(frames.sum()) / FRAMES_PER_S,
        )  # fmt: skip

    def _features(self, entry: Entry, changes: Changes, rooms: Rooms, rng: np.random.Generator) -> Mels:
        if entry.item is None or entry.shard is None:
            return augment(log_mels(say_anew(entry.text, rng)), changes.features, changes.noises, rng)
        shard, taught = self.shards[entry.shard], entry.taught_from is not None
        if not taught and rng.random() < changes.sound.share:
            mels = log_mels(change(shard.audio(entry.item), changes.sound, rooms, rng))
        else:
            mels = shard.features(entry.item).astype(np.float32)
            if len(mels) != entry.item.frames or not np.isfinite(mels).all():
                raise TrainingError("a shard's features are broken", where=shard.path,
                                    fix="Delete this shard and make it again")  # fmt: skip
        return augment(mels, changes.features, changes.noises, rng, keep_time=taught)

    def _taught(self, entries: Sequence[Entry]) -> Tensor | None:
        parts: list[Mels | None] = []
        for entry in entries:
            if entry.taught_from is None or entry.shard is None:
                parts.append(None)
                continue
            outputs = self.shards[entry.shard].taught()
            count = -(-entry.frames // FRAMES_PER_TEACHER_FRAME)
            parts.append(outputs[entry.taught_from : entry.taught_from + count].astype(np.float32))
        known = [part for part in parts if part is not None]
        if not known:
            return None
        taught = np.full((len(parts), max(map(len, known)), known[0].shape[1]), np.nan, np.float32)
        for row, part in enumerate(parts):
            if part is not None:
                taught[row, : len(part)] = part
        return torch.from_numpy(taught)


def mel_statistics(data: SpeechData, count: int = 400) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each mel band over a spread of utterances: cached ones, or what is spoken if there are none."""
    cached = [(data.shards[e.shard], e.item) for e in data.entries if e.item is not None and e.shard is not None]
    chosen = cached[:: max(len(cached) // count, 1)]
    features = [shard.features(item).astype(np.float32) for shard, item in chosen]
    if not features:
        rng = np.random.default_rng(0)
        features = [log_mels(say_anew(e.text, rng)) for e in data.entries[:: max(len(data.entries) // count, 1)]]
    mels = np.concatenate(features)
    return torch.from_numpy(mels.mean(0)), torch.from_numpy(mels.std(0))
