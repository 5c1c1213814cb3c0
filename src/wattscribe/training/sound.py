"""Changes that need the sound itself, not its features: speed (pitch and formants with it), rooms, recorded noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import soxr
from annotated_types import Ge, Le
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.training.fields import Positive, Rising, Share, check
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
Speed = Annotated[float, Ge(0.1), Le(10)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundChanges:
    """How often and how far the sound is changed before features are taken; `share` 0: features come from the cache."""

    share: Share = 0.0
    """Share of utterances that go this slower way."""
    speed: Annotated[tuple[Speed, Speed], Rising] = (0.9, 1.1)
    room_share: Share = 0.5
    rooms: str | None = None
    """A folder of impulse responses; without it, decaying noise stands for a room."""
    reverberation_s: Annotated[tuple[Positive, Positive], Rising] = (0.1, 0.5)
    """Time in which a made-up room's echo falls by 60 dB."""

    def __post_init__(self) -> None:
        check(self, "training.sound")


class Rooms:
    """Impulse responses, recorded or made up."""

    def __init__(self, how: SoundChanges) -> None:
        self.how = how
        self.recorded: Sequence[Audio] = ()
        if how.rooms is not None:
            self.recorded = [read_sound(path) for path in sound_files(Path(how.rooms).expanduser())]

    def draw(self, rng: np.random.Generator) -> Audio:
        """One response, its direct sound first and at 1."""
        if self.recorded:
            response = self.recorded[int(rng.integers(len(self.recorded)))]
            response = response[int(np.abs(response).argmax()) :]
            direct: Audio = response / np.float32(max(np.abs(response).max(), 1e-9))
            return direct
        decay_s = rng.uniform(*self.how.reverberation_s)
        times = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        echo = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay_s) * rng.uniform(0.02, 0.15)
        return np.concatenate([[1.0], echo]).astype(np.float32)


def change(samples: Audio, how: SoundChanges, rooms: Rooms, rng: np.random.Generator) -> Audio:
    """One utterance's samples at another speed and, perhaps, in a room; the level stays."""
    speed = rng.uniform(*how.speed)
    changed: Audio = soxr.resample(samples, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="MQ").astype(np.float32)
    if rng.random() < how.room_share:
        changed = in_room(changed, rooms.draw(rng))
    return changed


def in_room(samples: Audio, response: Audio) -> Audio:
    """Samples convolved with an impulse response, as loud as before."""
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    level = np.sqrt((samples**2).mean() / max(float((wet**2).mean()), 1e-12))
    reverberant: Audio = (wet * level).astype(np.float32)
    return reverberant


def sound_files(folder: Path) -> list[Path]:
    """Audio files of a folder and below, in order. Raises InputError where there is none."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3"))
    if not files:
        raise InputError("the folder holds no audio", where=folder, fix="Give a folder of .wav, .flac or .ogg files")
    return files


def read_sound(path: Path) -> Audio:
    """16 kHz mono samples of any audio file. Raises InputError where it cannot be decoded or is not finite."""
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(
            f"the audio cannot be decoded: {error}", where=path, fix="Remove or replace the file"
        ) from error
    mono: Audio = samples.mean(1)
    if not len(mono) or not np.isfinite(mono).all():
        raise InputError("the audio is empty or not finite", where=path, fix="Remove or replace the file")
    if rate_hz != SAMPLE_RATE_HZ:
        mono = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)
    return mono
