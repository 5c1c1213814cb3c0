"""Batches as a pure function of seed, epoch and number: so training goes on after a break exactly where it stood."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wattscribe.errors import InputError, TrainingError
from wattscribe.training.augment import Augmentation, NoiseBank, augment
from wattscribe.training.features import FRAMES_PER_S
from wattscribe.training.speech_cache import Shard, Spoken, shards
from wattscribe.training.teacher import FRAMES_PER_TEACHER_FRAME
from wattscribe.training.tokens import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder of shards and how it is used. `repeat`: times an utterance stands in one epoch."""

    folder: str
    repeat: int = 1
    first_shards: int | None = None
    taught: bool = True
    """False leaves the teacher's outputs aside, so that this speech may be stretched."""


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
    """One utterance of the data: its shard, its place there, where its teacher frames begin."""

    shard: int
    item: Spoken
    taught_from: int | None
    tokens: tuple[int, ...]


class SpeechData:
    """All utterances of the sources with their tokens, listed once.

    Texts in `held_out` are left out. Raises InputError where a source has no shard and no utterance remains.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        vocabulary: Vocabulary,
        *,
        longest_s: float = 20.0,
        shortest_s: float = 0.4,
        held_out: frozenset[str] = frozenset(),
    ) -> None:
        self.shards: list[Shard] = []
        self.entries: list[Entry] = []
        self.longest_s, self.shortest_s, self.held_out = longest_s, shortest_s, held_out
        for source in sources:
            found = shards(Path(source.folder).expanduser())[: source.first_shards]
            if not found:
                raise InputError("the speech folder holds no shards", where=source.folder, fix="Make it: see docs/training.md")
            for shard in found:
                self._list(shard, vocabulary, source)
        if not self.entries:
            raise InputError("no utterance is left to train on", fix="Check lengths and held-out texts")

    def _list(self, shard: Shard, vocabulary: Vocabulary, source: Source) -> None:
        taught = source.taught and shard.path.with_suffix(".teacher.npy").exists()
        place = 0
        for item in shard.utterances:
            fits = self.shortest_s <= item.frames / FRAMES_PER_S <= self.longest_s
            if fits and item.text not in self.held_out:
                entry = Entry(shard=len(self.shards), item=item, taught_from=place if taught else None,
                              tokens=tuple(vocabulary.encode(item.text)))  # fmt: skip
                self.entries.extend([entry] * source.repeat)
            place += -(-item.frames // FRAMES_PER_TEACHER_FRAME)
        self.shards.append(shard)

    @property
    def hours(self) -> float:
        return sum(entry.item.frames for entry in self.entries) / FRAMES_PER_S / 3600

    def plan(self, seed: int, epoch: int, batch_s: float) -> list[list[int]]:
        """Entries of each batch of an epoch: shuffled, alike in length, at most `batch_s` seconds with padding."""
        rng = random.Random(f"{seed}:{epoch}")
        order = list(range(len(self.entries)))
        rng.shuffle(order)
        pool = 1000
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            batch: list[int] = []
            for index in sorted(order[start : start + pool], key=lambda i: self.entries[i].item.frames):
                longest = self.entries[index].item.frames / FRAMES_PER_S  # sorted: the newest is the longest
                if batch and longest * (len(batch) + 1) > batch_s:
                    batches.append(batch)
                    batch = []
                batch.append(index)
            batches.append(batch)
        rng.shuffle(batches)
        return batches

    def batch(self, indices: Sequence[int], how: Augmentation, bank: NoiseBank, rng: np.random.Generator) -> Batch:
        """The utterances' changed features, padded with the last frame of each. Raises TrainingError on broken shards."""
        entries = [self.entries[index] for index in indices]
        heard = []
        for entry in entries:
            mels = self.shards[entry.shard].features(entry.item).astype(np.float32)
            if len(mels) != entry.item.frames or not np.isfinite(mels).all():
                raise TrainingError("a shard's features are broken", where=self.shards[entry.shard].path,
                                    fix="Delete this shard and make it again")  # fmt: skip
            heard.append(augment(mels, how, bank, rng, keep_time=entry.taught_from is not None))
        longest = max(len(mels) for mels in heard)
        mels = np.stack([np.concatenate([m, np.repeat(m[-1:], longest - len(m), 0)]) for m in heard])
        tokens = torch.tensor([len(entry.tokens) for entry in entries])
        targets = torch.zeros(len(entries), max(int(tokens.max()), 1), dtype=torch.long)
        for row, entry in enumerate(entries):
            targets[row, : len(entry.tokens)] = torch.tensor(entry.tokens, dtype=torch.long)
        frames = torch.tensor([len(m) for m in heard])
        return Batch(
            mels=torch.from_numpy(mels), frames=frames, targets=targets, tokens=tokens,
            texts=tuple(entry.item.text for entry in entries), taught=self._taught(entries),
            audio_s=float(frames.sum()) / FRAMES_PER_S,
        )  # fmt: skip

    def _taught(self, entries: Sequence[Entry]) -> Tensor | None:
        parts: list[np.ndarray | None] = []
        for entry in entries:
            if entry.taught_from is None:
                parts.append(None)
                continue
            outputs = np.load(self.shards[entry.shard].path.with_suffix(".teacher.npy"), mmap_mode="r")
            count = -(-entry.item.frames // FRAMES_PER_TEACHER_FRAME)
            parts.append(outputs[entry.taught_from : entry.taught_from + count].astype(np.float32))
        known = [part for part in parts if part is not None]
        if not known:
            return None
        taught = np.full((len(parts), max(map(len, known)), known[0].shape[1]), np.nan, np.float32)
        for row, part in enumerate(parts):
            if part is not None:
                taught[row, : len(part)] = part
        return torch.from_numpy(taught)
