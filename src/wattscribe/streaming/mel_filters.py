"""Mel filters, and their product with power spectra: row for row the same bits, however many rows there are.

A large product would be spread over all cores by numpy's library, whatever number of threads was asked for, and would round a
row by how many others stand beside it. So the filters go in groups of which each is small enough to be one core's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from wattscribe.units import SAMPLE_RATE_HZ

_GROUP_WEIGHTS = 9000
"""OpenBLAS splits a product of a vector and a matrix from 9,216 weights on (interface/gemv.c)."""


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """Neighbouring filters, on the bins that any of them weighs."""

    bands: slice
    bins: slice
    weights: NDArray[np.float32]
    """(bins, bands)."""


def grouped(filters: NDArray[np.float32]) -> tuple[FilterGroup, ...]:
    """(bands, bins) → as few groups as hold the bound."""
    groups: list[FilterGroup] = []
    start = 0
    while start < len(filters):
        end = start + 1
        while end < len(filters) and _weights(filters[start : end + 1]).size <= _GROUP_WEIGHTS:
            end += 1
        bins = _bins(filters[start:end])
        groups.append(FilterGroup(slice(start, end), bins, _weights(filters[start:end])))
        start = end
    return tuple(groups)


def _bins(filters: NDArray[np.float32]) -> slice:
    weighed = np.flatnonzero(filters.any(axis=0))
    return slice(int(weighed[0]), int(weighed[-1]) + 1) if len(weighed) else slice(0, 1)


def _weights(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(filters[:, _bins(filters)].T)


def energies(power: NDArray[np.float32], groups: tuple[FilterGroup, ...], out: NDArray[np.float32]) -> None:
    """Power spectra (rows, bins) → `out` (rows, bands)."""
    for group in groups:
        np.matmul(power[:, None, group.bins], group.weights, out=out[:, None, group.bands])


# --- the two scales -----------------------------------------------------------------------------------------------------
@cache
def kaldi_filters(bands: int, fft_size: int, low_hz: float, high_hz: float) -> NDArray[np.float32]:
    """(bands, fft_size // 2 + 1): triangles of height 1, evenly placed on the mel scale 1127 ln(1 + f / 700), whose slopes are
    straight in mel; the last bin counts nowhere (kaldi, mel-computations.cc)."""
    low, high = (1127.0 * np.log1p(hz / 700.0) for hz in (low_hz, high_hz))
    mels = 1127.0 * np.log1p(np.arange(fft_size // 2) * (SAMPLE_RATE_HZ / fft_size) / 700.0)
    edges = low + (high - low) / (bands + 1) * np.arange(bands + 2)
    filters = np.zeros((bands, fft_size // 2 + 1), np.float32)
    filters[:, :-1] = _triangles(edges, mels)
    return filters


@cache
def slaney_filters(bands: int, fft_size: int) -> NDArray[np.float32]:
    """(bands, fft_size // 2 + 1): triangles of equal area, evenly placed on Slaney's scale from 0 to half the sampling rate,
    whose slopes are straight in Hz (librosa, Whisper)."""
    top_hz = SAMPLE_RATE_HZ / 2
    edges = _slaney_hz(np.linspace(0.0, _slaney_mel(top_hz), bands + 2))
    triangles = _triangles(edges, np.linspace(0, top_hz, fft_size // 2 + 1))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _triangles(edges: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    slopes = edges[:, None] - places[None, :]
    widths = np.diff(edges)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


_LINEAR_TO_HZ, _LINEAR_TO_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0
"""Slaney's Auditory Toolbox: linear to 1 kHz (15 mel), then 27 mel for a factor of 6.4."""


def _slaney_mel(hz: float) -> float:
    if hz < _LINEAR_TO_HZ:
        return 3 * hz / 200
    return float(_LINEAR_TO_MEL + np.log(hz / _LINEAR_TO_HZ) / _LOG_STEP)


def _slaney_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = 200 * mels / 3
    return np.where(mels < _LINEAR_TO_MEL, linear, _LINEAR_TO_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_TO_MEL)))
