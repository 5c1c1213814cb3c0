"""Where a model says one phrase again and again: what no speech is, and costs a decoder hundreds of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wattscribe.errors import ModelError

LOOPS_KEY = "loops"
"""Of the encoder's metadata; `stop`: the runtime is to end a window there."""
STOP = "stop"
LONGEST = 32
"""Tokens of a phrase."""
TIMES, LEAST = 6, 24
"""A loop is a phrase so many times in a row, in at least so many tokens: thirty seconds of song repeat a line less often."""


def loop_start(tokens: Sequence[int]) -> int | None:
    """How many tokens to keep where they end in a loop: up to the end of the phrase's first time; None: no loop."""
    for phrase in range(1, min(LONGEST, len(tokens) // TIMES) + 1):
        length = phrase * max(TIMES, -(-LEAST // phrase))
        if length <= len(tokens) and tokens[-length:-phrase] == tokens[phrase - length :]:
            return len(tokens) - length + phrase
    return None


def stops_loops(metadata: Mapping[str, str], where: object = None) -> bool:
    """What a directory says of itself. Raises ModelError for a word that is none."""
    if (stated := metadata.get(LOOPS_KEY, "")) not in ("", STOP):
        raise ModelError(f"its metadata say {LOOPS_KEY}={stated!r}", where=where, fix="Export or compress it again")
    return bool(stated)
