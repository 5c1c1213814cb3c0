"""Chance that is the same on every machine: PCG64's raw stream, keyed by SHA-256 of what it is for.

Only `random_raw` is used: NumPy guarantees the bit stream of a bit generator across versions and platforms, but not the
algorithms of `Generator`'s distributions (NEP 19).
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray


class Draws:
    """A stream of draws named by a seed, an utterance id and a purpose; equal names give equal draws."""

    def __init__(self, seed: int, *names: str) -> None:
        key = json.dumps([seed, *names], ensure_ascii=True).encode("ascii")
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(key).digest(), "big"))

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return int(self._bits.random_raw()) * limit >> 64

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def order(self, count: int) -> list[int]:
        """0 … count - 1 in random order (Fisher-Yates)."""
        items = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """`count` values of unit variance: the sum of twelve 16-bit uniforms (Irwin-Hall), exact in integers, within ±6."""
        raw = np.asarray(self._bits.random_raw(3 * count)).astype("<u8")
        words = raw.view("<u2").reshape(count, 12)
        total = words.sum(axis=1, dtype=np.int64)
        return np.asarray((total - 6 * 65535) / 65536.0, dtype=np.float64)
