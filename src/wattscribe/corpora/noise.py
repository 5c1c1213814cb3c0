"""Where noise comes from: white, pink, or a folder of recordings; a stretch of it is drawn for each utterance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wattscribe.corpora.activity import Mask, power
from wattscribe.corpora.audio import AUDIO_SUFFIXES, duration_of, find_audio, read_audio, with_fix
from wattscribe.corpora.base import Audio
from wattscribe.corpora.draws import Draws
from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

CROSSFADE_SAMPLES = SAMPLE_RATE_HZ // 100
"""10 ms: where a recording shorter than the speech is looped, its end fades into its beginning."""

SPARSE_DB = 20.0
"""A stretch whose power under the speech lies further below the recording's own is a gap between two ticks of a clock: lifting
it to the asked ratio would make the tick deafen. Another stretch is drawn. Our own choice."""

TRIES = 64

COLOUR_PERIOD_SAMPLES = 1 << 16
"""Pink noise is shaped in blocks of this length (4.1 s) or the next power of two that holds the speech."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Noise as long as the speech, and where it was taken from."""

    samples: NDArray[np.float64]
    source: str
    """`white`, `pink`, or the recording's path relative to the folder."""
    offset: int
    looped: bool


class NoiseSource(Protocol):
    """Anything that yields noise for an utterance."""

    def stretch(self, draws: Draws, mask: Mask) -> Stretch:
        """Noise of the mask's length that is not silent where the mask is True."""
        ...


class Coloured:
    """White or pink noise from the draws alone, at unit power."""

    def __init__(self, colour: str) -> None:
        self.colour = colour

    def stretch(self, draws: Draws, mask: Mask) -> Stretch:
        make = white if self.colour == "white" else pink
        return Stretch(samples=make(draws, len(mask)), source=self.colour, offset=0, looped=False)


def white(draws: Draws, count: int) -> NDArray[np.float64]:
    """Equal power per hertz, unit variance, Gaussian within ±6."""
    return draws.gaussian(count)


def pink(draws: Draws, count: int) -> NDArray[np.float64]:
    """Power falling as 1/f above 20 Hz (flat below), unit variance, on a grid of 2^-15 so that machines agree."""
    size = max(COLOUR_PERIOD_SAMPLES, 1 << max(count - 1, 1).bit_length())
    spectrum = np.fft.rfft(draws.gaussian(size))
    frequency_hz = np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE_HZ)
    weight = 1.0 / np.sqrt(np.maximum(frequency_hz, 20.0))
    weight[0] = 0.0
    weight /= math.sqrt(2.0 * float(np.sum(weight**2)) / size)
    return np.round(np.fft.irfft(spectrum * weight, size)[:count] * 2.0**15) / 2.0**15


class Recordings:
    """A folder of noise recordings (or one file), ordered by relative path."""

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            raise InputError(
                "there is no such noise folder", where=folder, fix="Name a folder of audio, 'white' or 'pink'"
            )
        self.folder = folder
        self.files = find_audio(folder)
        if not self.files:
            suffixes = " ".join(AUDIO_SUFFIXES)
            raise InputError("this folder holds no audio to use as noise", where=folder, fix=f"Looked for {suffixes}")
        with with_fix("Repair it or take it out of the noise folder"):
            for path in self.files:
                duration_of(path)
            audible = any(_load(path)[1] > 0.0 for path in self.files)
        if not audible:
            raise InputError(
                "every noise recording here is silent", where=folder, fix="Name a folder with audible noise"
            )

    def stretch(self, draws: Draws, mask: Mask) -> Stretch:
        """Draw a recording, then an offset; draw again while it is silent or sparse under the speech.

        The loudest draw of `TRIES` is taken where none is dense enough. Raises InputError when all are silent.
        """
        best: tuple[float, int, int] | None = None
        for _ in range(TRIES):
            index = draws.below(len(self.files))
            samples, mean_power = _load(self.files[index])
            offset = draws.below(max(len(samples) - len(mask), 0) + 1 if len(samples) >= len(mask) else len(samples))
            if mean_power == 0.0:
                continue
            ratio = power(cut(samples, offset, len(mask)), mask) / mean_power
            if ratio > 0.0 and (best is None or ratio > best[0]):
                best = (ratio, index, offset)
            if ratio >= 10.0 ** (-SPARSE_DB / 10.0):
                best = (ratio, index, offset)
                break
        if best is None:
            raise InputError(
                "the noise is silent at every position that was tried",
                where=self.folder,
                fix="Remove silent recordings",
            )
        path = self.files[best[1]]
        samples = _load(path)[0]
        return Stretch(
            samples=cut(samples, best[2], len(mask)),
            source=path.relative_to(self.folder).as_posix() if path != self.folder else path.name,
            offset=best[2],
            looped=len(samples) < len(mask),
        )


def cut(samples: NDArray[np.floating], offset: int, count: int) -> NDArray[np.float64]:
    """`count` samples from `offset` on; a recording that is too short is made into a seamless loop first."""
    if len(samples) >= offset + count:
        return samples[offset : offset + count].astype(np.float64)
    ring = loop(samples.astype(np.float64))
    return ring[(offset + np.arange(count)) % len(ring)]


def loop(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fold the last 10 ms (at most half) over the first at equal power, so that end and beginning meet without a click."""
    fade = min(CROSSFADE_SAMPLES, len(samples) // 2)
    if fade == 0:
        return samples
    ring = samples[: len(samples) - fade].copy()
    rising = (np.arange(fade) + 0.5) / fade
    ring[:fade] = np.sqrt(rising) * samples[:fade] + np.sqrt(1.0 - rising) * samples[-fade:]
    return ring


@lru_cache(maxsize=8)
def _load(path: Path) -> tuple[Audio, float]:
    """A recording with its mean power; few are kept, for a long one takes tens of MB."""
    samples = read_audio(path)
    return samples, float(np.mean(np.square(samples, dtype=np.float64)))


def open_noise(name: str) -> NoiseSource:
    """`white`, `pink`, or a folder or file of recordings. Raises InputError when there is no usable audio."""
    if name in ("white", "pink"):
        return Coloured(name)
    return Recordings(Path(name).expanduser())
