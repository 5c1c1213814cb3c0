"""Whisper's input: the log of 80 or 128 mel bands of 10 ms frames, as Transformers computes it, without torch.

Constants are those of openai/whisper `audio.py`: windows of 25 ms every 10 ms, Slaney's mel scale and norm, values floored eight
decades below the loudest, then (x + 4) / 4.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming.mel_filters import energies, grouped, slaney_filters
from wattscribe.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
WINDOW = 400
HOP = 160
FRAMES_PER_S = SAMPLE_RATE_HZ // HOP
FLOOR = 1e-10
RANGE = 8.0
"""Decades of power under the loudest value of the window."""
_AT_ONCE = 100
"""Frames whose spectra are in memory together."""


def log_mel(samples: Samples, frames: int, bands: int = 80) -> NDArray[np.float32]:
    """Samples, padded with silence or cut to `frames` × 10 ms → (bands, frames), float32."""
    length = frames * HOP
    heard = samples[:length].astype(np.float32, copy=False)
    edge = WINDOW // 2
    last = np.zeros(edge + 1, np.float32)  # of the padded window, whose end is mirrored as its start is
    inside = heard[max(0, length - edge - 1) :]
    last[: len(inside)] = inside
    before, after = _reflected(heard, edge), _reflected(last[::-1], edge)[::-1]
    gap = np.zeros(min(length - len(heard), edge), np.float32)
    groups = grouped(slaney_filters(bands, WINDOW))
    found = np.full((bands, frames), np.log10(FLOOR), np.float32)
    alive = min(frames, -(-(len(heard) + edge) // HOP) + 1)  # the frames behind it hold silence alone
    padded = np.zeros((alive - 1) * HOP + WINDOW, np.float32) if alive else np.zeros(0, np.float32)
    whole = np.concatenate([before, heard, gap, after])[: len(padded)]
    padded[: len(whole)] = whole
    views = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] if alive else np.zeros((0, WINDOW))
    for start in range(0, alive, _AT_ONCE):
        spectrum = np.fft.rfft(views[start : start + _AT_ONCE].astype(np.float64) * _hann(), axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        energies(power, groups, found[:, start : start + len(power)].T)
    spoken = found[:, :alive]
    np.log10(np.maximum(spoken, np.float32(FLOOR), out=spoken), out=spoken)
    np.maximum(found, found.max() - np.float32(RANGE), out=found)
    found += np.float32(4)
    found /= np.float32(4)
    return found


def _reflected(samples: Samples, count: int) -> Samples:
    """What stands before the first sample when it is mirrored there, silence where the samples are too few."""
    found = np.zeros(count, np.float32)
    mirrored = samples[1 : count + 1][::-1]
    found[count - len(mirrored) :] = mirrored
    return found


@cache
def _hann() -> NDArray[np.float32]:
    """Periodic, as torch's."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
