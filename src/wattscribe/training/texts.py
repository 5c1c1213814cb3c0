"""What is spoken and what is written: sentences, their form, and the split that keeps dev and test text out of training."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from wattscribe.errors import InputError
from wattscribe.text_files import read_text

Split = Literal["train", "dev", "test"]

DEV_SHARE = 0.02
TEST_SHARE = 0.08
"""Shares of the sentences, not of the words: 18,000 sentences leave about 1,450 for tests and 360 for dev."""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


def plain(text: str) -> str:
    """A sentence as the model writes it: lower case, letters, apostrophes and single spaces.

    Accents are folded (`grâce` → `grace`), hyphens and punctuation part words; digits and other signs vanish, so callers
    that must not lose them check with `spoken_only` first.
    """
    folded = unicodedata.normalize("NFKD", text.replace("’", "'").replace("—", " ").replace("-", " "))
    folded = "".join(c for c in folded if not unicodedata.combining(c)).lower()
    words = (word.strip("'") for word in _NOT_SPOKEN.sub(" ", folded).split())
    return " ".join(word for word in words if word)


def spoken_only(text: str) -> bool:
    """False where `plain` would lose something that is spoken: digits, currency signs, foreign scripts."""
    return not re.search(r"[\d%$£€&@#+=]", text) and all(ord(c) < 0x250 or not c.isalpha() for c in text)


def split_of(sentence: str, *, seed: int = 0) -> Split:
    """Which set a sentence belongs to: a hash of its plain form decides, so equal sentences never part."""
    digest = hashlib.sha256(f"{seed}:{plain(sentence)}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < TEST_SHARE:
        return "test"
    return "dev" if place < TEST_SHARE + DEV_SHARE else "train"


def read_sentences(paths: Iterable[Path]) -> list[str]:
    """The lines of text files (a folder stands for its *.txt), spoken ones only, each once, in order.

    Raises InputError where a file is missing or holds no sentence.
    """
    seen: dict[str, None] = {}
    for path in paths:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files:
            raise InputError("no .txt file in the folder", where=path, fix="Give a text file with one sentence a line")
        for file in files:
            if not file.is_file():
                raise InputError("no such text file", where=file)
            try:
                lines = [line.strip() for line in read_text(file, largest=1 << 30).splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(
                    f"the text cannot be read: {error}", where=file, fix="Give a text file in UTF-8"
                ) from error
            sentences = [line for line in lines if spoken_only(line) and plain(line)]
            if not sentences:
                raise InputError("the file holds no sentence", where=file, fix="Give one sentence of words a line")
            seen.update(dict.fromkeys(sentences))
    return list(seen)


def pieces(sentence: str, rng: random.Random, *, longest_words: int = 24) -> Iterator[str]:
    """A sentence in pieces of at most `longest_words`, parted at random places: long utterances waste padding."""
    words = sentence.split()
    while len(words) > longest_words:
        cut = rng.randint(longest_words // 3, longest_words)
        if len(words) - cut < 3:
            break
        yield " ".join(words[:cut])
        words = words[cut:]
    yield " ".join(words)


def digit_string(rng: random.Random, *, shortest: int = 3, longest: int = 7) -> str:
    """A string of spoken digits, for instance `three seven zero nine`."""
    return " ".join(rng.choice(_DIGITS) for _ in range(rng.randint(shortest, longest)))


def without(sentences: Sequence[str], held_out: Iterable[str]) -> list[str]:
    """The sentences of which no held-out sentence is a part, nor they a part of one (compared in plain form)."""
    words = 5
    grams: set[tuple[str, ...]] = set()
    whole: set[str] = set()
    for text in held_out:
        tokens = plain(text).split()
        whole.add(" ".join(tokens))
        grams.update(tuple(tokens[i : i + words]) for i in range(len(tokens) - words + 1))
    kept = []
    for sentence in sentences:
        tokens = plain(sentence).split()
        shared = sum(tuple(tokens[i : i + words]) in grams for i in range(len(tokens) - words + 1))
        if " ".join(tokens) not in whole and shared < 3:
            kept.append(sentence)
    return kept
