"""Notes below the table: what a first start took, and in which languages a multilingual model heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wattscribe.records import TrialFacts
from wattscribe.results.words import number, plural

if TYPE_CHECKING:
    from wattscribe.results.row import Row


def languages_of(trials: Sequence[TrialFacts]) -> dict[str, int] | None:
    """Utterances by the language in which they were heard, the most frequent first; None: the model has no choice."""
    heard = {(each.id, each.language) for trial in trials for each in trial.utterances if each.language is not None}
    return dict(Counter(language for _, language in sorted(heard)).most_common()) or None


def once_sentences(rows: Sequence[Row]) -> list[str]:
    """Preparing, once per recognizer and machine; languages that nobody stated."""
    prepared = {
        (row.model_label, row.precision): row.prepare_s
        for row in rows
        if row.prepare_s is not None and row.prepare_s > 0
    }
    lines = [
        f"{label} {precision}: its first start on this machine took {number(seconds)} s once, to prepare what later starts "
        "read from disk; that is in no other figure."
        for (label, precision), seconds in prepared.items()
    ]
    for row in rows:
        if row.languages and row.options.get("language", "auto") == "auto":
            found = ", ".join(f"{name} ({plural(count, 'utterance')})" for name, count in row.languages.items())
            lines.append(
                f"{row.model_label} {row.precision}, {row.condition}: no language was stated; heard as {found}. "
                "State one with the option language."
            )
    return list(dict.fromkeys(lines))
