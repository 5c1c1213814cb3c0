"""The caches that stand for a local memory: sizes that the simulator takes."""

from __future__ import annotations

from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.observing.callgrind import LINE_BYTES

LEAST_BYTES = 4096
_WAYS = 32
"""At least: near to a memory in which everything may lie everywhere. With 16 what is just small enough throws itself out."""
_NEAR_BYTES, _NEAR_WAYS = 1 << 15, 8
"""Of the cache before it, where what is used at once stays."""
_CODE_BYTES, _CODE_WAYS = 1 << 24, 16
"""Of the cache for instructions: all of them, so that they take no room of the local memory. A device has them elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """`sets` is a power of two, as in every simulated cache."""

    sets: int
    ways: int

    @property
    def size_bytes(self) -> int:
        return self.sets * self.ways * LINE_BYTES

    def __str__(self) -> str:
        return f"{self.size_bytes},{self.ways},{LINE_BYTES}"


def cache_of(capacity_bytes: int) -> Cache:
    """The nearest one that can be simulated: within 1.6 % from 4 kB on. Raises InputError below it."""
    if capacity_bytes < LEAST_BYTES:
        raise InputError(
            f"a local memory of {capacity_bytes} bytes cannot be observed",
            fix=f"Give `local_memory_bytes`, {LEAST_BYTES} or more",
        )
    lines = capacity_bytes / LINE_BYTES
    sets = 1 << max(0, int(lines / _WAYS).bit_length() - 1)
    return Cache(sets=sets, ways=round(lines / sets))


def options_for(cache: Cache) -> list[str]:
    """callgrind's caches: for instructions, for what is used at once, and the local memory behind both."""
    near = min(_NEAR_BYTES, 1 << ((cache.size_bytes // 2).bit_length() - 1))
    return [
        f"--I1={_CODE_BYTES},{_CODE_WAYS},{LINE_BYTES}",
        f"--D1={near},{_NEAR_WAYS},{LINE_BYTES}",
        f"--LL={cache}",
    ]
