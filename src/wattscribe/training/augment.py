"""Making every epoch new: what is done to log-mels (cheap, so that it costs training little) and their masking.

Frequency is warped as another vocal tract would (VTLP), time is stretched, level and channel vary, noise is added as
energies add, and bands and moments are masked (SpecAugment, arXiv 1904.08779). All numbers come from the given generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from wattscribe.training.features import MELS, SILENCE, log_mels
from wattscribe.training.fields import Finite, Natural, NotNegative, Rising, Share, check
from wattscribe.training.sound import read_sound, sound_files
from wattscribe.units import SAMPLE_RATE_HZ

Mels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far speech is changed; 0 switches a change off."""

    stretch: Annotated[float, Ge(0), Le(0.9)] = 0.12
    """Speed between 1 - stretch and 1 + stretch."""
    vocal_tract: Annotated[float, Ge(0), Le(0.9)] = 0.15
    """Frequencies scaled by up to this share."""
    level_db: NotNegative = 10.0
    channel_db: NotNegative = 3.0
    """Standard deviation of a smooth random frequency response."""
    noise_share: Share = 0.4
    """Share of utterances that get noise."""
    snr_db: Annotated[tuple[Finite, Finite], Rising] = (5.0, 30.0)
    silence_s: Annotated[tuple[NotNegative, NotNegative], Rising] = (0.0, 0.5)
    """Silence before and after, each drawn from this range."""
    frequency_masks: Natural = 2
    frequency_mask_bins: Annotated[int, Ge(0), Le(MELS)] = 15
    time_masks: Natural = 2
    time_mask_s: NotNegative = 0.25

    def __post_init__(self) -> None:
        check(self, "training.augmentation")


NONE = Augmentation(
    stretch=0, vocal_tract=0, level_db=0, channel_db=0, noise_share=0, silence_s=(0, 0), frequency_masks=0, time_masks=0
)


def _mel_hz() -> NDArray[np.float64]:
    """Centres of the 80 bands between 20 and 7,600 Hz (Kaldi's mel scale: 1127 ln(1 + f / 700))."""
    low, high = 1127 * np.log1p(20 / 700), 1127 * np.log1p(7600 / 700)
    places = low + (np.arange(MELS) + 1) * (high - low) / (MELS + 1)
    return np.asarray(700 * np.expm1(places / 1127))


_HZ = _mel_hz()


def stretch(mels: Mels, factor: float) -> Mels:
    """Speech `factor` times as fast, by linear interpolation between frames."""
    places = np.arange(0, max(len(mels) - 1, 1), factor)
    low = np.minimum(places.astype(int), len(mels) - 1)
    share = (places - low)[:, None].astype(np.float32)
    stretched: Mels = mels[low] * (1 - share) + mels[np.minimum(low + 1, len(mels) - 1)] * share
    return stretched


def warp(mels: Mels, factor: float) -> Mels:
    """Speech from a vocal tract whose resonances lie `factor` times as high."""
    sources = np.interp(_HZ / factor, _HZ, np.arange(MELS))
    low = sources.astype(int)
    share = (sources - low).astype(np.float32)
    warped: Mels = mels[:, low] * (1 - share) + mels[:, np.minimum(low + 1, MELS - 1)] * share
    return warped


def add_noise(mels: Mels, noise: Mels, snr_db: float) -> Mels:
    """Energies of speech and noise added, at a ratio of mean energies over the louder half of the frames."""
    speech, other = np.exp(mels), np.exp(noise)
    frame_energy = speech.sum(1)
    active = frame_energy[frame_energy >= np.median(frame_energy)].mean()
    scale = active / max(other.sum(1).mean(), 1e-10) / 10 ** (snr_db / 10)
    noisy: Mels = np.log(speech + other * scale, dtype=np.float32)
    return noisy


def mask(mels: Mels, how: Augmentation, rng: np.random.Generator) -> Mels:
    """SpecAugment: bands and moments set to the utterance's mean."""
    masked, mean = mels.copy(), mels.mean(0)
    for _ in range(how.frequency_masks):
        width = int(rng.integers(0, how.frequency_mask_bins + 1))
        start = int(rng.integers(0, MELS - width + 1))
        masked[:, start : start + width] = mean[start : start + width]
    for _ in range(how.time_masks):
        width = int(rng.integers(0, int(min(how.time_mask_s * 100, len(mels) / 10)) + 1))
        start = int(rng.integers(0, len(mels) - width + 1))
        masked[start : start + width] = mean
    return masked


class NoiseBank:
    """Stationary noises of several colours as log-mels, made once, and the recordings of a folder."""

    def __init__(self, seed: int = 0, seconds: float = 30.0, folder: str | None = None) -> None:
        rng = np.random.default_rng(seed)
        count = int(seconds * SAMPLE_RATE_HZ)
        frequencies = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ), 20.0)
        self.noises: list[Mels] = []
        for slope in (0.0, 0.25, 0.5, 0.75, 1.0):  # amplitude ∝ f^-slope: white, pink at 0.5, brown at 1
            spectrum = np.fft.rfft(rng.standard_normal(count)) * frequencies**-slope
            samples = np.fft.irfft(spectrum, count)
            self.noises.append(log_mels((0.1 * samples / samples.std()).astype(np.float32)))
        if folder is not None:
            self.noises += [log_mels(read_sound(path)) for path in sound_files(Path(folder).expanduser())]

    def draw(self, frames: int, rng: np.random.Generator) -> Mels:
        """`frames` frames of a random noise, from a random place, repeated where it is short."""
        noise = self.noises[int(rng.integers(len(self.noises)))]
        start = int(rng.integers(max(len(noise) - frames, 1)))
        return np.resize(noise[start : start + frames], (frames, noise.shape[1]))


def augment(
    mels: Mels, how: Augmentation, bank: NoiseBank, rng: np.random.Generator, *, keep_time: bool = False
) -> Mels:
    """One utterance, changed; `keep_time` where a teacher's outputs must stay aligned (no stretch, no silence in front)."""
    if how.stretch and not keep_time:
        mels = stretch(mels, rng.uniform(1 - how.stretch, 1 + how.stretch))
    if how.vocal_tract:
        mels = warp(mels, rng.uniform(1 - how.vocal_tract, 1 + how.vocal_tract))
    mels = _with_silence(mels, how, rng, keep_time=keep_time)
    if how.level_db:
        mels = mels + np.float32(rng.uniform(-how.level_db, how.level_db / 2) * np.log(10) / 10)
    if how.channel_db:
        waves = np.cos(np.outer(np.arange(4), np.linspace(0, np.pi, MELS)))
        amounts = rng.normal(0, how.channel_db * np.log(10) / 10 / 2, 4)
        mels = mels + (amounts @ waves).astype(np.float32)
    if rng.random() < how.noise_share:
        mels = add_noise(mels, bank.draw(len(mels), rng), rng.uniform(*how.snr_db))
    return mask(np.maximum(mels, SILENCE), how, rng)


def _with_silence(mels: Mels, how: Augmentation, rng: np.random.Generator, *, keep_time: bool) -> Mels:
    before, after = (int(rng.uniform(*how.silence_s) * 100) for _ in range(2))
    quiet = np.float32(SILENCE + rng.exponential(1.0) * 2)
    parts = [np.full((0 if keep_time else before, mels.shape[1]), quiet), mels, np.full((after, mels.shape[1]), quiet)]
    return np.concatenate(parts).astype(np.float32)
