"""How the joiner's answers become text: what a transducer is opened with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from wattscribe.errors import InputError
from wattscribe.models.vocabulary import Vocabulary
from wattscribe.records import MAX_BEAM
from wattscribe.streaming.context import ContextGraph
from wattscribe.streaming.phrases import Phrase, tokens_of

DECODINGS = ("greedy", "beam")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How the joiner's answers become text."""

    method: str = "greedy"
    beam: int = 4
    blank_penalty: float = 0.0
    frame_by_frame: bool = False
    phrases: tuple[Phrase | str | tuple[int, ...], ...] = ()
    """What beam search favours: text, or for a program token sequences, numbers as in tokens.txt."""
    phrase_score: float = 1.5
    """Bonus of each token of a phrase that has no score of its own."""

    def __post_init__(self) -> None:
        if self.method not in DECODINGS:
            raise InputError(f"there is no decoding {self.method!r}", fix="One of: " + ", ".join(DECODINGS))
        if not 1 <= self.beam <= MAX_BEAM:
            raise InputError(f"beam is {self.beam}", fix=f"It must be 1 to {MAX_BEAM}")
        if not 0 <= self.blank_penalty < float("inf"):
            raise InputError(f"blank_penalty is {self.blank_penalty}", fix="It must be 0 or more")
        if self.phrases and self.method != "beam":
            raise InputError("phrases need beam search", fix="Use decoding beam")
        object.__setattr__(self, "phrases", _phrases(self.phrases))

    def context_graph(self, vocabulary: Vocabulary, scored: int) -> ContextGraph | None:
        """The phrases as `scored` tokens. Raises InputError for one that is never emitted: it would be favoured in vain."""
        phrases = _phrases(self.phrases)
        tokens = [tokens_of(item.text, vocabulary, scored) if isinstance(item, Phrase) else item for item in phrases]
        scores = [item.score if isinstance(item, Phrase) else None for item in phrases]
        for phrase in tokens:
            for token in phrase:
                if not 0 < token < scored or token == vocabulary.unknown_id:
                    raise InputError(
                        f"phrase {phrase} holds {token}, which is never emitted",
                        where=vocabulary.path,
                        fix=f"Its tokens are 1 to {scored - 1}, the unknown one excepted",
                    )
        return ContextGraph(tokens, self.phrase_score, scores) if tokens else None

    def check_saved(self, then: Decoding) -> None:
        """Raises InputError where hypotheses that were saved from `then` mean nothing here."""
        if then.method != self.method:
            raise InputError(
                f"the stream was saved from decoding {then.method}, but this transducer decodes {self.method}",
                fix=f"Open the model with decoding {then.method}",
            )
        if (then.phrases, then.phrase_score) != (self.phrases, self.phrase_score):
            raise InputError(
                f"the stream was saved with {_favoured(then)}, but this transducer has {_favoured(self)}",
                fix="Open the model with its original phrases and phrase_score",
            )


def _phrases(phrases: object) -> tuple[Phrase | tuple[int, ...], ...]:
    """Raises InputError for what is no sequence of phrases: a text's letters are none."""
    if isinstance(phrases, str | bytes) or not isinstance(phrases, Iterable):
        raise InputError(f"phrases is {phrases!r}", fix="Give a sequence of phrases")
    return tuple(map(_phrase, phrases))


def _phrase(phrase: object) -> Phrase | tuple[int, ...]:
    """Text, or plain token numbers. Raises InputError for anything else, and for a phrase of nothing."""
    if isinstance(phrase, Phrase):
        return phrase
    if isinstance(phrase, str):
        return Phrase.parse(phrase)
    tokens = tuple(phrase) if isinstance(phrase, Iterable) and not isinstance(phrase, bytes) else ()
    if not tokens or not all(isinstance(token, Integral) for token in tokens):
        raise InputError(f"phrase {phrase!r} is neither text nor token numbers", fix="Give its words")
    return tuple(int(token) for token in tokens)


def _favoured(decoding: Decoding) -> str:
    phrases = decoding.phrases
    shown = ", ".join(repr(phrase.text) if isinstance(phrase, Phrase) else str(phrase) for phrase in phrases[:3]) + (
        ", …" if len(phrases) > 3 else ""
    )
    return f"phrases {shown} at {decoding.phrase_score}" if phrases else "no phrases"
