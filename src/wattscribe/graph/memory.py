"""Memory that opening a model took and running it does not need, returned to the system."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from pathlib import Path
from typing import Any

_MAPS = Path("/proc/self/maps")
_DONTNEED = 4
"""MADV_DONTNEED of Linux."""


def give_back() -> None:
    """What parsing and loading freed, which glibc keeps otherwise, several times the model's size; and onnxruntime's code.

    Most of the code that is resident now reads, checks and optimises graphs. Its pages are those of a file that nothing has
    written to: the system reads them again when they are called, which takes about a millisecond once.
    """
    library = _library()
    if library is None:
        return
    library.malloc_trim(0)
    for start, end in _code("onnxruntime"):
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)


@cache
def _library() -> Any:
    """glibc; None where the C library is another one."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "madvise") else None


def _code(name: str) -> list[tuple[int, int]]:
    """Where the code of libraries of this name lies: private, executable, not writable."""
    places = []
    with contextlib.suppress(OSError):
        for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            place, rights, *rest = line.split(maxsplit=5)
            if rights == "r-xp" and len(rest) == 4 and name in rest[3]:
                start, end = place.split("-")
                places.append((int(start, 16), int(end, 16)))
    return places
