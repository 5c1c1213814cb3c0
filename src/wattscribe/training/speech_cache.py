"""Speech made once and kept on disk: shards of int16 samples and float16 log-mels that training maps into memory.

A shard is three files, `shard-00012.npy` (samples), `.mels.npy` (features) and `.jsonl` (one utterance a line, written
last and renamed into place: a shard whose .jsonl exists is whole). Which sentences, voices, rates and pitches shard 12
holds follows from the seed and the number 12 alone, so several processes fill one cache and a broken one is resumed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError, TrainingError
from wattscribe.records import from_json, to_json
from wattscribe.text_files import parse_json
from wattscribe.training.features import log_mels
from wattscribe.training.synthesis import TRAINING_ESPEAK, TRAINING_FLITE, Voice, is_held_out, speak, vary
from wattscribe.training.texts import digit_string, pieces, plain
from wattscribe.training.writing import cannot_write

SENTENCES_PER_SHARD = 240
"""About 0.5 h of speech."""
DIGIT_SHARE = 0.04
ESPEAK_SHARE = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One cached utterance: where it is in its shard, who speaks, and the text."""

    id: str
    speaker: str
    text: str
    first_sample: int
    samples: int
    first_frame: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A whole shard, its arrays mapped, not read."""

    path: Path
    utterances: tuple[Spoken, ...]

    def audio(self, item: Spoken) -> NDArray[np.float32]:
        """The samples of one utterance, in [-1, 1]."""
        mapped = _mapped(self.path.with_suffix(".npy"))
        samples: NDArray[np.float32] = mapped[item.first_sample : item.first_sample + item.samples].astype(np.float32)
        return samples / np.float32(32768)

    def features(self, item: Spoken) -> NDArray[np.float16]:
        """The log-mels of one utterance, (frames, 80), float16 as stored."""
        mapped = _mapped(self.path.with_suffix(".mels.npy"))
        return np.asarray(mapped[item.first_frame : item.first_frame + item.frames])

    def taught(self) -> NDArray[np.float16]:
        """The teacher's outputs for all utterances, one after the other."""
        return _mapped(self.path.with_suffix(".teacher.npy"))


def _mapped(path: Path) -> NDArray[Any]:
    """An array of a shard, not read yet. Raises TrainingError where the file is missing or cut off."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path) from error
    return mapped


def _damaged(path: Path) -> TrainingError:
    shard = path.name.partition(".")[0]
    return TrainingError("a shard of the speech is damaged", where=path, fix=f"Remove {shard}.* there, then start again: "
                         "the training recreates what it can make")  # fmt: skip


def plan_shard(sentences: Sequence[str], number: int, *, seed: int = 0) -> list[tuple[str, Voice]]:
    """What shard `number` holds: text (plain) and varied voice; every pass over the sentences is a new shuffle."""
    if not sentences:
        raise InputError("there are no sentences to speak", fix="Give a text file with one sentence a line")
    rng = random.Random(f"{seed}:{number}")
    planned: list[tuple[str, Voice]] = []
    for place in range(number * SENTENCES_PER_SHARD, (number + 1) * SENTENCES_PER_SHARD):
        turn, index = divmod(place, len(sentences))
        order = _order(len(sentences), f"{seed}:{turn}")
        for piece in pieces(sentences[order[index]], rng):
            planned.append((plain(piece), vary(_choose(rng), rng)))
        if rng.random() < DIGIT_SHARE:
            planned.append((digit_string(rng), vary(_choose(rng), rng)))
    return [(text, voice) for text, voice in planned if text]


_orders: dict[tuple[int, str], list[int]] = {}


def _order(count: int, seed: str) -> list[int]:
    if (count, seed) not in _orders:
        order = list(range(count))
        random.Random(seed).shuffle(order)
        _orders[count, seed] = order
    return _orders[count, seed]


def _choose(rng: random.Random) -> Voice:
    if rng.random() < ESPEAK_SHARE:
        return Voice(engine="espeak", name=rng.choice(TRAINING_ESPEAK))
    return Voice(engine="flite", name=rng.choice(TRAINING_FLITE))


def write_shard(folder: Path, number: int, planned: Sequence[tuple[str, Voice]], *, held_out: bool = False) -> Path:
    """Speak the planned texts into a shard; `held_out` must be given for voices of dev and test.

    Raises TrainingError where the disk is full and InputError where a held-out voice is asked for in training.
    """
    for _, voice in planned:
        if is_held_out(voice) and not held_out:
            raise InputError(f"{voice.speaker} is kept for dev and test", fix="Choose a training voice")
    return write_utterances(
        folder,
        number,
        [(f"{number:05d}-{i:04d}", voice.speaker, text, speak(text, voice)) for i, (text, voice) in enumerate(planned)],
    )


def write_utterances(folder: Path, number: int, items: Sequence[tuple[str, str, str, NDArray[np.float32]]]) -> Path:
    """Write (id, speaker, text, samples) as a shard; the text may be empty for unlabelled speech."""
    path = shard_path(folder, number)
    utterances, sounds, mels = [], [], []
    first_sample = first_frame = 0
    for name, speaker, text, samples in items:
        features = log_mels(samples)
        utterances.append(
            Spoken(
                id=name, speaker=speaker, text=text, first_sample=first_sample, samples=len(samples),
                first_frame=first_frame, frames=len(features),
            )
        )  # fmt: skip
        sounds.append((np.clip(samples, -1, 1) * 32767).astype(np.int16))
        mels.append(features.astype(np.float16))
        first_sample += len(samples)
        first_frame += len(features)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".npy"), np.concatenate(sounds))
        np.save(path.with_suffix(".mels.npy"), np.concatenate(mels))
        lines = "".join(json.dumps(to_json(item)) + "\n" for item in utterances)
        part = path.with_suffix(".part")
        part.write_text(lines, encoding="utf-8")
        part.rename(path)
    except OSError as error:
        raise cannot_write("the speech cache", folder, error, kept="whole shards are kept") from error
    return path


def shard_path(folder: Path, number: int) -> Path:
    """Where the shard's list lies; it exists once the shard is whole."""
    return folder / f"shard-{number:05d}.jsonl"


def fill(folder: Path, sentences: Sequence[str], numbers: Sequence[int], *, seed: int = 0) -> Iterator[Path]:
    """Write the shards that are not there yet, yielding each path as it is done."""
    for number in numbers:
        path = shard_path(folder, number)
        if not path.exists():
            write_shard(folder, number, plan_shard(sentences, number, seed=seed))
            yield path


def shards(folder: Path) -> list[Shard]:
    """The whole shards of a cache, in order of their numbers. Raises TrainingError naming a damaged one."""
    return [_read(path) for path in sorted(folder.glob("shard-*.jsonl"))]


def _read(path: Path) -> Shard:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        spoken = tuple(from_json(Spoken, parse_json(line), strict=True) for line in lines)
        shard = Shard(path=path, utterances=spoken)
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path) from error
    last = max(shard.utterances, key=lambda item: item.first_sample, default=None)
    ends = (0, 0) if last is None else (last.first_sample + last.samples, last.first_frame + last.frames)
    for suffix, end in zip((".npy", ".mels.npy"), ends, strict=True):
        if len(_mapped(path.with_suffix(suffix))) != end:
            raise _damaged(path)
    return shard


def claim(folder: Path, source: str, what: Sequence[str], say: Callable[[str], None]) -> None:
    """Keep beside the shards a digest of what they are made of, so that another text does not pass for this one's speech.

    Shards of before digests were kept are taken over with a note. Raises InputError where the folder holds other speech.
    """
    path, digest = folder / "made-of.txt", hashlib.sha256("\n".join(what).encode()).hexdigest()
    try:
        kept = path.read_text(encoding="utf-8").strip() if path.exists() else None
        if kept is None:
            if next(folder.glob("shard-*.jsonl"), None) is not None:
                say(f"{folder}: this speech does not record its {source}; it is assumed to be this one")
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(digest + "\n", encoding="utf-8")
            part.replace(path)
    except OSError as error:
        raise cannot_write("the speech cache", folder, error, kept="whole shards are kept") from error
    if kept not in (None, digest):
        raise InputError(f"this speech was made of another {source}", where=folder,
                         fix="Give another speech.cache, or remove this folder so that it is made again")  # fmt: skip
