"""Networks that were built and may be asked for again, within a bound of memory: a search builds hundreds of a model's size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
MOST_BYTES = 1 << 30


class Shelf(Generic[Key, Value]):
    """The values asked for last, as many as `most_bytes` hold; the last one always. What was dropped is made again."""

    def __init__(self, size: Callable[[Value], int], most_bytes: int = MOST_BYTES) -> None:
        self._size, self._most_bytes = size, most_bytes
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made where it is not here."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        value = make()
        self._held[key] = value
        self._bytes += self._size(value)
        while self._bytes > self._most_bytes and len(self._held) > 1:
            self._bytes -= self._size(self._held.popitem(last=False)[1])
        return value
