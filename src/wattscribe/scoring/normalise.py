"""Bring references and hypotheses to one spelling before words are counted, so that style is not scored as error."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

from wattscribe.errors import InputError

Normaliser = Callable[[str], str]

NORMALISERS = ("whisper", "basic", "characters", "none")
"""`whisper`: OpenAI's English rules (contractions, numbers, British spellings). `basic`: lower case, no punctuation, any
language. `characters`: `basic`, and every character a word, for scripts that put no spaces between words: its WER is a CER.
`none`: only runs of white space become one space."""

CACHED_TEXTS = 1 << 17
"""Texts remembered per normaliser. A reference recurs in every trial and most hypotheses equal their reference: without the
memory, normalising is four fifths of the scoring time."""

NOT_OPENAIS = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
"""What the package whisper-normalizer adds to the contractions of openai-whisper 20250625; all else is equal there."""

OTHER_SHARE = 0.03
"""With a larger share of words that are not English, the English rule does not suit. Our own choice: German has 8 % of words
with letters that English lacks, an English text with foreign names under 1 %."""

_SMALL_WORDS = (
    "der das und ist nicht ein eine zu mit auf für "  # German
    "le les des est une dans qui que pour pas "  # French
    "el los las una del por como "  # Spanish
    "il che di non gli della è "  # Italian
    "het een van niet zijn voor ook "  # Dutch
    "os uma não da em ao "  # Portuguese
    "yang dan ini itu dengan untuk "  # Indonesian
    "ya wa na kwa ni katika "  # Swahili
    "ve bir bu için ile "  # Turkish
    "och det att som inte på är "  # Swedish
    "nie się jest że na"  # Polish
)
_OTHER_WORDS = frozenset(_SMALL_WORDS.split())
"""Small words of languages in Latin letters that English does not have; each makes 1 to 5 % of its language's text."""

_SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR", "KHMER", "TIBETAN")
"""Beginnings of the Unicode names of letters whose script puts no spaces between words."""

_MARKS = ',.?!;:"-'
"""What the whisper rule puts a space for where no digit is near."""
_PLAIN = re.compile(rf"[a-z\s{re.escape(_MARKS)}]*", re.ASCII)
_REMOVED = str.maketrans(dict.fromkeys(_MARKS, " "))


@lru_cache(maxsize=len(NORMALISERS))
def normaliser(name: str = "whisper") -> Normaliser:
    """The text rule called `name`, one of NORMALISERS; remembers its answers. Raises InputError on another name."""
    rules: dict[str, Callable[[], Normaliser]] = {"whisper": _whisper, "basic": _basic, "characters": _characters}
    if name == "none":
        return _squeeze
    if name not in rules:
        raise InputError(f"there is no normaliser {name!r}", fix=f"Choose one of: {', '.join(NORMALISERS)}")
    rule = rules[name]()
    return lru_cache(maxsize=CACHED_TEXTS)(lambda text: _squeeze(rule(text)))


def unsuited(name: str, texts: Iterable[str]) -> str | None:
    """Why the rule does not suit the language of these texts and which one does, as a sentence; None where it does.

    Letters and small words are looked at; a language in Latin letters that has neither goes unnoticed.
    """
    words = Counter(kind for text in texts for word in text.split() if (kind := _kind(word)) is not None)
    total = sum(words.values())
    if not total or name == "characters":
        return None
    if words["spaceless"] > OTHER_SHARE * total:
        return (
            f"the text rule {name!r} counts words between spaces, and {words['spaceless'] / total:.0%} of the references' "
            "words are in a script without spaces: read the CER, or score with --normaliser characters"
        )
    if name == "whisper" and words["other"] > OTHER_SHARE * total:
        return (
            f"the text rule 'whisper' is for English, and {words['other'] / total:.0%} of the references' words are of another "
            "language by their letters or as its small words: score with --normaliser basic"
        )
    return None


def _kind(word: str) -> str | None:
    """`english`, `other` or `spaceless`; None for a word without any."""
    letters = [letter for letter in word if letter.isalpha()]
    if not letters:
        return None
    if all(letter.isascii() for letter in letters):
        return "other" if word.lower() in _OTHER_WORDS else "english"
    return "spaceless" if any(unicodedata.name(letter, "").startswith(_SPACELESS) for letter in letters) else "other"


def _whisper() -> Normaliser:
    from whisper_normalizer.english import EnglishTextNormalizer

    rule: Normaliser = EnglishTextNormalizer()
    for added in NOT_OPENAIS:
        rule.replacers.pop(added, None)  # type: ignore[attr-defined]
    return _quick(rule, joined=rule.standardize_numbers.words - {"and"})  # type: ignore[attr-defined]


def _quick(rule: Normaliser, joined: Collection[str]) -> Normaliser:
    """The same rule, several times as fast on plain sentences: those in letters, with marks that it removes between them.

    Where it leaves every single word of such a sentence as it is, it leaves the sentence; it is asked once about each word.
    `joined`: those that it reads together with their neighbours, as numbers (*and* only beside one of the others).
    """
    kept = lru_cache(maxsize=CACHED_TEXTS)(lambda word: word not in joined and rule(word) == word)

    def quick(text: str) -> str:
        plain = text.lower()
        if _PLAIN.fullmatch(plain) is None:
            return rule(text)
        words = plain.translate(_REMOVED).split()
        return " ".join(words) if all(map(kept, words)) else rule(text)

    return quick


def _basic() -> Normaliser:
    from whisper_normalizer.basic import BasicTextNormalizer

    rule: Normaliser = BasicTextNormalizer()
    rule.clean = _without_symbols  # type: ignore[attr-defined]
    return rule


def _characters() -> Normaliser:
    import regex

    basic = _basic()
    return lambda text: " ".join(
        character for character in regex.findall(r"\X", basic(text)) if not character.isspace()
    )


def _without_symbols(text: str) -> str:
    """Symbols and punctuation become spaces. Marks stay, where OpenAI's rule makes spaces of them and so cuts Hindi, Malayalam,
    Thai and vowelled Arabic words into pieces."""
    return "".join(
        " " if unicodedata.category(character)[0] in "SP" else character
        for character in unicodedata.normalize("NFKC", text)
    )


def _squeeze(text: str) -> str:
    return " ".join(text.split())
