"""Phrases that beam search favours, as people write them: text, with a score of its own where it needs one.

A file holds one phrase a line, `TEXT` or `TEXT :SCORE`, as sherpa-onnx's hotwords files do. The text becomes tokens by the
vocabulary's own merges: SentencePiece numbers BPE units in the order in which they were merged, and icefall keeps the numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from wattscribe.errors import InputError
from wattscribe.models.vocabulary import WORD_START, Vocabulary, byte_characters
from wattscribe.text_files import read_text

LARGEST_SCORE = 1e6
MOST_CHARACTERS = 1000
"""Of a phrase: its merges take time in proportion to the square."""
_SCORE = re.compile(r"^(?P<text>.*\S)\s+:(?P<score>\S+)$")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words to favour; `score` is the bonus of each token, None for the decoding's own."""

    text: str
    score: float | None = None

    @classmethod
    def parse(cls, line: str, where: object = None) -> Phrase:
        """`TEXT` or `TEXT :SCORE`. Raises InputError for a score that is none and for a phrase without text."""
        match = _SCORE.match(line.strip())
        text, score = (line.strip(), None) if match is None else (match["text"], match["score"])
        try:
            number = None if score is None else float(score)
        except ValueError:
            number = math.nan
        if len(text) > MOST_CHARACTERS:
            raise InputError(
                f"{text[:40]!r}… is too long for a phrase", where=where, fix=f"Give up to {MOST_CHARACTERS} characters"
            )
        if not text or (number is not None and not abs(number) <= LARGEST_SCORE):
            raise InputError(
                f"{line[:60]!r} is not a phrase", where=where, fix="Write TEXT, or TEXT :SCORE as in: HELLO WORLD :2.0"
            )
        return cls(text, number)


def read_phrases(path: str | Path) -> tuple[Phrase, ...]:
    """The phrases of a file, blank lines left out. Raises InputError that names the line."""
    try:
        lines = read_text(Path(path)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", where=path, fix="Give a text file in UTF-8, one phrase a line"
        ) from None
    phrases = tuple(
        Phrase.parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    )
    if not phrases:
        raise InputError("holds no phrase", where=path, fix="Write one phrase a line")
    return phrases


def tokens_of(text: str, vocabulary: Vocabulary, scored: int) -> tuple[int, ...]:
    """The tokens in which the model writes the text: in its case, else in the case that the vocabulary has.

    Raises InputError for a character that none of the `scored` tokens writes.
    """
    ids = {symbol: token for token, symbol in reversed(list(enumerate(vocabulary.symbols[:scored])))}
    tried = [
        _merged(_letters(variant, vocabulary, ids), ids)
        for variant in dict.fromkeys((text, text.upper(), text.lower()))
    ]
    tokens = next((attempt for attempt in tried if isinstance(attempt, tuple)), None)
    if tokens is None:
        raise InputError(
            f"phrase {text!r}: no token writes {tried[0]!r}",
            where=vocabulary.path,
            fix="Spell it in the model's letters",
        )
    return tokens


def _letters(text: str, vocabulary: Vocabulary, ids: dict[str, int]) -> list[str]:
    """The symbols before any merge: characters, `▁` before words, bytes for what no token of characters writes."""
    words = text.split()
    if vocabulary.byte_level:
        return [letter for word in words for letter in (WORD_START, *byte_characters(word))]
    opened = any(symbol.startswith(WORD_START) for symbol in ids)
    between = (WORD_START,) if opened else (" ",) if " " in ids else ()
    letters = [
        letter for index, word in enumerate(words) for letter in ((*between, *word) if opened or index else word)
    ]
    known = {letter for symbol in ids for letter in symbol}
    return [
        part
        for letter in letters
        for part in ([letter] if letter in known else [f"<0x{value:02X}>" for value in letter.encode()])
    ]


def _merged(letters: list[str], ids: dict[str, int]) -> tuple[int, ...] | str:
    """Merge the adjacent pair whose union has the lowest number, until none has one; the first letter without a token, else."""
    parts = list(letters)
    while True:
        pairs = [(ids[a + b], at) for at, (a, b) in enumerate(pairwise(parts)) if a + b in ids]
        if not pairs:
            break
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    lost = next((part for part in parts if part not in ids), None)
    return lost if lost is not None else tuple(ids[part] for part in parts)
