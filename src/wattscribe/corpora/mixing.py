"""Speech and noise → their mixture, at an exact signal-to-noise ratio and without clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.corpora.activity import active_mask, power
from wattscribe.corpora.base import Audio
from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """The mixture, with what was done to it: `samples = scale × (speech + noise_gain × noise)`."""

    samples: Audio
    scale: float
    """1 unless a peak exceeded full scale: then everything, speech and noise alike, was scaled down by this factor."""
    noise_gain: float


def mix(speech: NDArray[np.floating], noise: NDArray[np.floating], snr_db: float) -> Mixture:
    """Add noise to speech, both 1-D and of one length, so that their powers over the speech-active samples differ by `snr_db`.

    Raises InputError when speech or noise is silent there, lengths differ, or the ratio is not finite.
    """
    if speech.shape != noise.shape or speech.ndim != 1:
        raise InputError(f"speech has shape {speech.shape}, noise {noise.shape}: they must be 1-D and equally long")
    if not math.isfinite(snr_db):
        raise InputError(f"the signal-to-noise ratio must be a finite number of dB, not {snr_db}")
    speech, noise = speech.astype(np.float64), noise.astype(np.float64)
    mask = active_mask(speech)
    noise_power = power(noise, mask)
    if not mask.any():
        raise InputError("the speech is silent: no active samples, so no signal-to-noise ratio can be set")
    if noise_power == 0.0:
        raise InputError("the noise is silent where there is speech, so no signal-to-noise ratio can be set")
    gain = exact(math.sqrt(power(speech, mask) / noise_power / 10.0 ** (snr_db / 10.0)))
    samples, scale = fit(speech + gain * noise)
    return Mixture(samples=samples, scale=scale, noise_gain=gain)


def fit(samples: NDArray[np.float64]) -> tuple[Audio, float]:
    """Float64 samples → float32 within full scale, and the factor (at most 1) by which they were scaled."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    scale = exact(1.0 / peak * (1.0 - 2.0**-20)) if peak > 1.0 else 1.0
    return (samples * scale).astype(np.float32), scale


def exact(gain: float) -> float:
    """A gain rounded to float32's 24 bits: sums taken in another order on another machine then give the same gain."""
    return float(np.float32(gain))
