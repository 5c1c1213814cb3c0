"""What the search needs of an encoder–decoder, whatever the layout of its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Tokens = NDArray[np.int64]


class Encoded(Protocol):
    """Audio that went through the encoder, row by row, and the tokens that the decoder was fed of it so far (the caches)."""

    frames: int
    """Encoder frames of a row."""

    def step(self, tokens: Tokens) -> Scores:
        """Tokens (rows, t) behind those before → scores (rows, vocabulary) of what comes next; valid until the next step."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """From now on row i goes on where row `rows[i]` stood.

        As many rows as before are hypotheses of one utterance, all of the same audio; others are those that are not done.
        """
        ...

    def restart(self) -> None:
        """Forget the tokens that were fed."""
        ...


class Rewindable(Encoded, Protocol):
    """One whose decoder takes several tokens behind those before, and forgets the last ones: what drafts need."""

    def steps(self, tokens: Tokens) -> Scores:
        """As `step`, with the scores behind each of the tokens: (rows, t, vocabulary)."""
        ...

    def back(self, count: int) -> None:
        """Forget so many of the last tokens that were fed."""
        ...


class EncoderDecoder(Protocol):
    """The loaded networks."""

    places: int
    """Tokens that fit into the caches, the prompt's included."""
    vocabulary: int
    rewindable: bool
    """Whether what `encode` returns is `Rewindable`."""
    candidates: int | None
    """Rows of the vocabulary that are scored exactly, where a cheap pass picks them; None: all."""

    @property
    def any_length(self) -> bool:
        """Whether the encoder takes shorter windows too."""
        ...

    def encode(self, features: NDArray[Any]) -> Encoded:
        """Rows of features → what the decoder attends to."""
        ...
