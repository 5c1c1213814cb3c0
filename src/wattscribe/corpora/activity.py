"""Which samples hold speech: the signal-to-noise ratio is defined over these, so that pauses do not dilute it.

The rule. Cut the signal into frames of 20 ms from its first sample (a shorter last frame counts as one). Begin with all frames
that are not all zero. The active level is the mean power over the samples of the kept frames; drop every frame whose own mean
power lies more than 15.9 dB below it; repeat until none is dropped. The samples of the frames that remain are active.

15.9 dB is the margin between active speech level and threshold of ITU-T P.56 (Objective measurement of active speech level,
method B); the iteration finds the level that agrees with its own threshold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wattscribe.units import SAMPLE_RATE_HZ

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
MARGIN = 10.0 ** (-15.9 / 10.0)

Samples = NDArray[np.float64]
Mask = NDArray[np.bool_]


def active_mask(samples: NDArray[np.floating]) -> Mask:
    """True where the rule above finds speech; all False for digital silence. Shape (samples,)."""
    starts = np.arange(0, len(samples), FRAME_SAMPLES)
    if len(starts) == 0:
        return np.zeros(0, dtype=np.bool_)
    energy = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    length = np.diff(np.append(starts, len(samples)))
    kept = energy > 0.0
    while kept.any():
        level = energy[kept].sum() / length[kept].sum()
        still = kept & (energy >= MARGIN * level * length)
        if np.array_equal(still, kept):
            break
        kept = still
    return np.repeat(kept, length)


def power(samples: NDArray[np.floating], mask: Mask) -> float:
    """Mean square over the masked samples; 0 where the mask is empty."""
    chosen = samples[mask]
    return float(np.mean(np.square(chosen, dtype=np.float64))) if len(chosen) else 0.0


def snr_db(speech: NDArray[np.floating], noise: NDArray[np.floating]) -> float:
    """Signal-to-noise ratio over the speech's active samples, in dB. Neither may be silent there."""
    mask = active_mask(speech)
    return float(10.0 * np.log10(power(speech, mask) / power(noise, mask)))
