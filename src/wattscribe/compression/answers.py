"""What an encoder answered, kept while other parts of the model change: most of a search decodes with an encoder that it has
decoded with before, and that is most of the work.

One file for each encoder, without a name: nothing of it stays behind, however the process ends.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from math import prod
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.float32], ...]
MOST_BYTES = 16_000_000_000
"""Of one search: four encoders of tiny.en on 238 windows of 30 s."""
MOST_OF_FREE = 0.25
"""Of the disk where temporary files lie."""


class Answers:
    """The answers of a few encoders, found by encoder and input. Those of the encoder that was asked least recently give way;
    where there is no room, the encoder is run again.

    `saved_cpu_s` and `saved_wall_s` are the seconds that the recalled answers took when they were made, less the seconds of
    reading them: added to what a decode took, they give what it takes.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes
        self._encoders: dict[str, _OfOne] = {}
        self.saved_cpu_s = self.saved_wall_s = 0.0

    def recall(self, encoder: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Arrays of one's own."""
        cpu, wall = time.process_time(), time.perf_counter()
        of_one = self._encoders.pop(encoder, None) or _OfOne()
        self._encoders[encoder] = of_one  # the last one asked
        known = of_one.read(key)
        if known is None:
            answer = make()
            spent = (time.process_time() - cpu, time.perf_counter() - wall)
            self._keep(of_one, key, answer, spent)
            self.saved_cpu_s -= time.process_time() - cpu - spent[0]
            self.saved_wall_s -= time.perf_counter() - wall - spent[1]
            return answer
        answer, spent = known
        self.saved_cpu_s += spent[0] - (time.process_time() - cpu)
        self.saved_wall_s += spent[1] - (time.perf_counter() - wall)
        return answer

    def _keep(self, of_one: _OfOne, key: str, answer: Arrays, spent: tuple[float, float]) -> None:
        if self._most_bytes is None:
            self._most_bytes = min(MOST_BYTES, int(MOST_OF_FREE * shutil.disk_usage(tempfile.gettempdir()).free))
        needed = sum(array.nbytes for array in answer)
        while sum(each.size_bytes for each in self._encoders.values()) + needed > self._most_bytes:
            oldest = next(iter(self._encoders))
            if self._encoders[oldest] is of_one:
                return
            del self._encoders[oldest]
        of_one.write(key, answer, spent)


class _OfOne:
    """The answers of one encoder."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._places: dict[str, tuple[int, tuple[tuple[int, ...], ...], tuple[float, float]]] = {}
        self.size_bytes = 0

    def read(self, key: str) -> tuple[Arrays, tuple[float, float]] | None:
        if key not in self._places or self._file is None:
            return None
        place, shapes, spent = self._places[key]
        self._file.seek(place)
        return tuple(np.fromfile(self._file, np.float32, prod(shape)).reshape(shape) for shape in shapes), spent

    def write(self, key: str, answer: Arrays, spent: tuple[float, float]) -> None:
        """Nothing is kept where the disk is full."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object
            self._file.seek(self.size_bytes)
            for array in answer:
                self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError:
            return
        self._places[key] = (self.size_bytes, tuple(array.shape for array in answer), spent)
        self.size_bytes += sum(array.nbytes for array in answer)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()
