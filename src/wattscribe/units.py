"""Conversions between vendor units and the SI floats that the package carries; each is used where the value is read."""

from __future__ import annotations

SAMPLE_RATE_HZ = 16_000
"""The one sample rate inside the package: mono float32 in [-1, 1]."""

SAMPLE_BYTES = 4
"""Of a float32 sample."""

FRAMES_PER_S = 100
"""Frames of features (Kaldi's default shift)."""
FRAME_SHIFT_S = 1 / FRAMES_PER_S

NS_PER_S = 1_000_000_000
J_PER_WH = 3600.0
S_PER_H = 3600.0


def s_from_ns(value_ns: int) -> float:
    """Nanoseconds → seconds."""
    return value_ns / NS_PER_S


def w_from_mw(value_mw: float) -> float:
    """Milliwatts → watts."""
    return value_mw / 1e3


def w_from_uw(value_uw: float) -> float:
    """Microwatts → watts."""
    return value_uw / 1e6


def j_from_uj(value_uj: float) -> float:
    """Microjoules → joules."""
    return value_uj / 1e6


def j_from_mj(value_mj: float) -> float:
    """Millijoules → joules."""
    return value_mj / 1e3
