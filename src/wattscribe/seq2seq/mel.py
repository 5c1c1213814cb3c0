"""Whisper's input: the log of 80 or 128 mel bands of 10 ms frames, as Transformers computes it, without torch.

Constants are those of openai/whisper `audio.py`: windows of 25 ms every 10 ms, Slaney's mel scale and norm, values floored eight
decades below the loudest, then (x + 4) / 4.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from wattscribe.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
WINDOW = 400
HOP = 160
FLOOR = 1e-10
RANGE = 8.0
"""Decades of power under the loudest value of the window."""
SHIFT = SCALE = np.float32(4)
_TOP_HZ = SAMPLE_RATE_HZ / 2
_AT_ONCE = 100
"""Frames whose spectra are in memory together."""


def log_mel(samples: Samples, frames: int, bands: int = 80) -> NDArray[np.float32]:
    """Samples, padded with silence or cut to `frames` × 10 ms → (bands, frames), float32."""
    length = frames * HOP
    audio = samples[:length].astype(np.float32, copy=False)
    edge = WINDOW // 2
    last = np.zeros(edge + 1, np.float32)  # of the padded window, whose end is mirrored as its start is
    inside = audio[max(0, length - edge - 1) :]
    last[: len(inside)] = inside
    before, after = _reflected(audio, edge), _reflected(last[::-1], edge)[::-1]
    gap = np.zeros(min(length - len(audio), edge), np.float32)
    mel = np.full((bands, frames), np.log10(FLOOR), np.float32)
    alive = min(frames, -(-(len(audio) + edge) // HOP) + 1)  # the frames behind it hold silence alone
    padded = np.zeros((alive - 1) * HOP + WINDOW, np.float32) if alive else np.zeros(0, np.float32)
    whole = np.concatenate([before, audio, gap, after])[: len(padded)]
    padded[: len(whole)] = whole
    views = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] if alive else np.zeros((0, WINDOW))
    for start in range(0, alive, _AT_ONCE):
        spectrum = np.fft.rfft(views[start : start + _AT_ONCE].astype(np.float64) * _hann(), axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        for band, (low, weights) in enumerate(_triangles(bands)):
            mel[band, start : start + len(power)] = power[:, low : low + len(weights)] @ weights
    spoken = mel[:, :alive]
    np.log10(np.maximum(spoken, np.float32(FLOOR), out=spoken), out=spoken)
    np.maximum(mel, mel.max() - np.float32(RANGE), out=mel)
    mel += SHIFT
    mel /= SCALE
    return mel


def _reflected(samples: Samples, count: int) -> Samples:
    """What stands before the first sample when it is mirrored there, silence where the samples are too few."""
    edge = np.zeros(count, np.float32)
    mirrored = samples[1 : count + 1][::-1]
    edge[count - len(mirrored) :] = mirrored
    return edge


@cache
def _hann() -> NDArray[np.float32]:
    """Periodic, as torch's."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@cache
def _triangles(bands: int) -> tuple[tuple[int, NDArray[np.float32]], ...]:
    """Of each filter its first bin and its weights that are not zero.

    One large product would be spread over all cores by numpy's library, whatever number of threads was asked for.
    """
    filters = []
    for row in mel_filters(bands):
        (inside,) = np.nonzero(row)
        low, high = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        filters.append((low, row[low:high]))
    return tuple(filters)


@cache
def mel_filters(bands: int) -> NDArray[np.float32]:
    """(bands, WINDOW // 2 + 1): triangles of equal area, evenly placed on Slaney's scale from 0 to 8 kHz."""
    bins = np.linspace(0, _TOP_HZ, WINDOW // 2 + 1)
    edges = _hz(np.linspace(0.0, _mel(_TOP_HZ), bands + 2))
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


_LINEAR_TO_HZ, _LINEAR_TO_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0
"""Slaney's Auditory Toolbox: linear to 1 kHz (15 mel), then 27 mel for a factor of 6.4."""


def _mel(hz: float) -> float:
    if hz < _LINEAR_TO_HZ:
        return 3 * hz / 200
    return float(_LINEAR_TO_MEL + np.log(hz / _LINEAR_TO_HZ) / _LOG_STEP)


def _hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = 200 * mels / 3
    return np.where(mels < _LINEAR_TO_MEL, linear, _LINEAR_TO_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_TO_MEL)))
