"""Speech that compression looks at: development and test sets with text, and unlabelled audio for calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattscribe.corpora import open_corpus
from wattscribe.corpora.audio import read_audio
from wattscribe.errors import InputError
from wattscribe.records import Rejected
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus")


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeechSet:
    """Utterances with audio in memory (64 kB per second); `references` is empty for unlabelled audio."""

    name: str
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    references: tuple[str, ...]
    audio: tuple[Audio, ...]
    corpora: tuple[str, ...] = ()
    """Of each utterance, where the set is of several."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def audio_s(self) -> float:
        return sum(len(samples) for samples in self.audio) / SAMPLE_RATE_HZ

    @cached_property
    def sounds(self) -> tuple[str, ...]:
        """A digest of each utterance's samples: what a decode depends on, whatever the file is called."""
        return tuple(hashlib.sha256(samples.tobytes()).hexdigest() for samples in self.audio)

    @cached_property
    def digest(self) -> str:
        """Of all samples in order."""
        return hashlib.sha256("\n".join(self.sounds).encode()).hexdigest()[:20]

    def part(self, count: int, *, seed: int = 0) -> SpeechSet:
        """A seeded draw of utterances in their own order; the set itself where it is no larger."""
        if count >= len(self):
            return self
        chosen = sorted(np.random.default_rng(seed).permutation(len(self))[:count].tolist())
        return self.of(chosen, f"{self.name}[{count} of {len(self)}, seed {seed}]")

    def beginning(self, seconds: float) -> SpeechSet:
        """Whole utterances from the first on, until they are so long."""
        ends = np.cumsum([len(samples) for samples in self.audio]) / SAMPLE_RATE_HZ
        return self.of(range(min(len(self), int(np.searchsorted(ends, seconds)) + 1)), self.name)

    def spread(self, seconds: float) -> SpeechSet:
        """Whole utterances at even distances, so long together: some of every corpus of the set."""
        share = min(1.0, seconds / max(self.audio_s, 1e-9))
        chosen = [at for at in range(len(self)) if int((at + 1) * share) > int(at * share)] or [0]
        return self.of(chosen, self.name)

    def of(self, chosen: Sequence[int], name: str) -> SpeechSet:
        """The utterances at these positions."""
        return SpeechSet(
            name=name,
            ids=tuple(self.ids[i] for i in chosen),
            speakers=tuple(self.speakers[i] for i in chosen),
            references=tuple(self.references[i] for i in chosen) if self.references else (),
            audio=tuple(self.audio[i] for i in chosen),
            corpora=tuple(self.corpora[i] for i in chosen) if self.corpora else (),
        )

    def by_corpus(self) -> dict[str, list[int]]:
        """The places of each corpus's utterances; empty where there is one corpus alone."""
        places: dict[str, list[int]] = {}
        for at, name in enumerate(self.corpora):
            places.setdefault(name, []).append(at)
        return places if len(places) > 1 else {}


def read_speech(specs: Sequence[str], *, limit: int | None = None) -> SpeechSet:
    """All usable utterances of the corpora, one after the other. Raises InputError where there is no text to compare with."""
    ids: list[str] = []
    speakers: list[str] = []
    references: list[str] = []
    audio: list[Audio] = []
    ends: list[int] = []
    for spec in specs:
        ends.append(len(ids))
        if _is_cache(spec):
            for name, speaker, text, samples in _cached(Path(spec).expanduser(), limit):
                ids.append(f"{Path(spec).name}:{name}")
                speakers.append(speaker)
                references.append(text)
                audio.append(samples)
            continue
        corpus = open_corpus(spec)
        count = 0
        for entry in corpus:
            if isinstance(entry, Rejected) or not entry.reference.strip():
                continue
            if limit is not None and count >= limit:
                break
            ids.append(f"{spec}:{entry.id}")
            speakers.append(f"{spec}:{entry.speaker}")
            references.append(entry.reference)
            audio.append(corpus.audio(entry))
            count += 1
    name = " + ".join(Path(spec).name if Path(spec).expanduser().exists() else spec for spec in specs)
    if not any(reference.split() for reference in references):
        raise InputError(
            "no utterance has text, so word errors cannot be counted", where=name or "`data`",
            fix="Give `data` a corpus with references",
        )  # fmt: skip
    spans = zip(specs, pairwise((*ends, len(ids))), strict=True)
    return SpeechSet(
        name=name, ids=tuple(ids), speakers=tuple(speakers), references=tuple(references), audio=tuple(audio),
        corpora=tuple(spec for spec, (start, end) in spans for _ in range(start, end)),
    )  # fmt: skip


def read_unseen(specs: Sequence[str], dev: SpeechSet, *, limit: int | None = None) -> SpeechSet:
    """The test set. Raises InputError as `read_speech` does, and where some of it is development speech too."""
    speech = read_speech(specs, limit=limit)
    known = set(dev.sounds)
    seen = sum(sound in known for sound in speech.sounds)
    if seen:
        raise InputError(
            f"{seen} of its {len(speech)} utterances are development speech too, so it is not unseen", where=speech.name,
            fix="Give `test_data` other speech than `data`",
        )  # fmt: skip
    return speech


def _is_cache(spec: str) -> bool:
    """A folder of shards, as `wattscribe train` prepares speech."""
    return any(Path(spec).expanduser().glob("shard-*.jsonl")) if Path(spec).expanduser().is_dir() else False


def _cached(folder: Path, limit: int | None) -> Iterator[tuple[str, str, str, Audio]]:
    """(id, speaker, text, samples) of the utterances with text."""
    from wattscribe.training.speech_cache import shards

    spoken = ((shard, item) for shard in shards(folder) for item in shard.utterances if item.text.strip())
    for shard, item in islice(spoken, limit):
        yield item.id, item.speaker, item.text, shard.audio(item)


def read_unlabelled(folders: Sequence[str], *, seconds: float, seed: int = 0) -> SpeechSet:
    """A seeded draw of audio files below the folders (or of a corpus), up to so many seconds. Raises InputError for none."""
    ids: list[str] = []
    speakers: list[str] = []
    audio: list[Audio] = []
    total_s = 0.0
    for path in _shuffled(folders, seed):
        if total_s >= seconds:
            break
        samples = read_audio(path)
        ids.append(str(path))
        speakers.append(path.stem.split("-")[0])
        audio.append(samples)
        total_s += len(samples) / SAMPLE_RATE_HZ
    return SpeechSet(
        name=" + ".join(folders), ids=tuple(ids), speakers=tuple(speakers), references=(), audio=tuple(audio)
    )


def _shuffled(folders: Sequence[str], seed: int) -> list[Path]:
    paths: list[Path] = []
    for folder in folders:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise InputError("there is no such folder of audio", where=folder, fix="Give `unlabelled` a folder")
        paths += sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not paths:
        raise InputError("holds no audio files", where=" + ".join(folders), fix="Give `unlabelled` a folder of audio")
    order = np.random.default_rng(seed).permutation(len(paths))
    return [paths[i] for i in order.tolist()]
