"""The seam between speech and everything that hears it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wattscribe.records import Rejected, Utterance

Audio = NDArray[np.float32]
"""Mono, 16 kHz, shape (samples,), in [-1, 1]."""


def spelt_out(text: str) -> str:
    """The text as UTF-8 can hold it: half a character, from a JSON escape or a file's name, becomes its code (`\\ud800`)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Corpus(Protocol):
    """Speech with references. Listing is cheap; audio is read one utterance at a time."""

    name: str

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """Every entry in a stable order: an Utterance, or a Rejected that says why an entry cannot be used."""
        ...

    def audio(self, utterance: Utterance) -> Audio:
        """The utterance's samples. Raises InputError when the file is missing, empty, truncated, NaN or not audio."""
        ...
