"""The tokens that steer a Whisper: where a transcript starts and ends, in which language, and what is never said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """Numbers of tokens. `languages` is empty for a model that knows English alone."""

    start: int
    end: int
    transcribe: int
    translate: int
    previous: int
    language_model: int
    no_speech: int
    no_timestamps: int
    languages: Mapping[str, int] = field(default_factory=dict)
    suppressed: tuple[int, ...] = ()
    """Never chosen."""
    suppressed_first: tuple[int, ...] = ()
    """Never chosen as the first token behind the prompt."""
    most: int | None = None
    """Tokens that the model's authors let it say behind the prompt; None: as many as there are places."""

    def prompt(self, language: str | None) -> list[int]:
        """What the decoder is given first: no timestamps. `language` None only for a model without a choice."""
        if not self.languages:
            return [self.start, self.no_timestamps]
        if language is None or language not in self.languages:
            raise InputError(
                f"option language={language} is unknown", fix="One of: " + ", ".join(sorted(self.languages))
            )
        return [self.start, self.languages[language], self.transcribe, self.no_timestamps]
