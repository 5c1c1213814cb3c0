"""Recordings read without what libmpg123 writes to standard error by itself: what cannot be read is raised as an error."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import soundfile

_LOCK = threading.RLock()
_STDERR = 2


class SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile's own, silent."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with hushed():
            super().__init__(*arguments, **options)

    def seek(self, *arguments: Any, **options: Any) -> Any:
        with hushed():
            return super().seek(*arguments, **options)

    def read(self, *arguments: Any, **options: Any) -> Any:
        with hushed():
            return super().read(*arguments, **options)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """What C code writes to standard error inside is lost; enter it for moments only, since other threads' words are too."""
    with _LOCK:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # it is closed: nothing is written anyway
            yield
            return
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


@contextlib.contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """As `hushed`, but what was written is kept: the function gives it once the context is left."""
    said: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as kept_here:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # it is closed
            yield lambda: ""
            return
        try:
            os.dup2(kept_here.fileno(), _STDERR)
            yield lambda: "".join(said)
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            kept_here.seek(0)
            said.append(kept_here.read().decode("utf-8", "replace"))
