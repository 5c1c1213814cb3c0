"""The seam between speech and everything that processes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError, MissingExtraError
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


UNUSABLE = (InputError, MissingExtraError)
"""What loses one utterance and not the corpus: its file is bad, or this installation has nothing that decodes it."""


def unusable(corpus: str, utterance: Utterance, error: InputError | MissingExtraError) -> Rejected:
    """The utterance with the reason why it cannot be used; for a missing package, how to get it."""
    reason = error.what if isinstance(error, InputError) else f"{error.what}. {error.fix}"
    return Rejected(corpus=corpus, id=utterance.id, reason=reason, where=error.where or utterance.source)


@runtime_checkable
class BlockwiseCorpus(Protocol):
    """A corpus that need not have an utterance in memory whole."""

    def blocks(self, utterance: Utterance) -> Iterator[Audio]:
        """The samples of `audio`, in blocks."""
        ...


def blocks_of(corpus: Corpus, utterance: Utterance) -> Iterator[Audio]:
    """An utterance's samples in blocks, or in one where the corpus knows no others. Raises InputError, also on the way."""
    return corpus.blocks(utterance) if isinstance(corpus, BlockwiseCorpus) else iter((corpus.audio(utterance),))
