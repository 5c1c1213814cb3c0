"""Bring references and hypotheses to one spelling before words are counted, so that style is not scored as error."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from wattscribe.errors import InputError

Normaliser = Callable[[str], str]

NORMALISERS = ("whisper", "basic", "none")
"""`whisper`: OpenAI's English rules (contractions, numbers, British spellings). `basic`: lower case, no punctuation, any
language. `none`: only runs of white space become one space."""

CACHED_TEXTS = 1 << 17
"""Texts remembered per normaliser. A reference recurs in every trial and most hypotheses equal their reference: without the
memory, normalising is four fifths of the scoring time."""


@lru_cache(maxsize=len(NORMALISERS))
def normaliser(name: str = "whisper") -> Normaliser:
    """The text rule called `name`, one of NORMALISERS; remembers its answers. Raises InputError on another name."""
    if name == "none":
        return _squeeze
    if name == "whisper":
        from whisper_normalizer.english import EnglishTextNormalizer

        rule: Normaliser = EnglishTextNormalizer()
    elif name == "basic":
        from whisper_normalizer.basic import BasicTextNormalizer

        rule = BasicTextNormalizer()
    else:
        raise InputError(f"there is no normaliser {name!r}", fix=f"Choose one of: {', '.join(NORMALISERS)}")
    return lru_cache(maxsize=CACHED_TEXTS)(lambda text: _squeeze(rule(text)))


def _squeeze(text: str) -> str:
    return " ".join(text.split())
