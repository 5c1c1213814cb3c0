"""Notes below the table: what a first start took, which languages were detected, and whether the text rule suits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wattscribe.records import TrialFacts
from wattscribe.results.groups import Group, short_corpus
from wattscribe.results.words import number, plural
from wattscribe.scoring.normalise import unsuited

if TYPE_CHECKING:
    from wattscribe.results.row import Row


def languages_of(trials: Sequence[TrialFacts]) -> dict[str, int] | None:
    """Utterances by the language in which they were transcribed, the most frequent first; None: the model has no choice."""
    detected = {
        (utterance.id, utterance.language)
        for trial in trials
        for utterance in trial.utterances
        if utterance.language is not None
    }
    return dict(Counter(language for _, language in sorted(detected)).most_common()) or None


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
            names = ", ".join(f"{name} ({plural(count, 'utterance')})" for name, count in row.languages.items())
            lines.append(
                f"{row.model_label} {row.precision}, {row.condition}: no language was stated; detected: {names}. "
                "State one with the option language."
            )
    return list(dict.fromkeys(lines))


def rule_sentences(normaliser: str, groups: Sequence[Group]) -> list[str]:
    """One sentence per corpus whose references the run's text rule does not suit, with the rule that does."""
    references = {group.corpus: group.scored.references for group in groups if group.scored is not None}
    reasons = {corpus: unsuited(normaliser, texts) for corpus, texts in references.items()}
    return [f"{short_corpus(corpus)}: {reason}." for corpus, reason in reasons.items() if reason is not None]
