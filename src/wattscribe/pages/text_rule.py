"""Whether the words were counted by a rule that suits the language they are in."""

from __future__ import annotations

from wattscribe.results.groups import short_corpus
from wattscribe.results.table import View
from wattscribe.scoring.normalise import unsuited


def rule_sentences(seen: View) -> list[str]:
    """One sentence per corpus whose references the run's text rule does not suit, with the rule that does."""
    references = {group.corpus: group.scored.references for group in seen.groups if group.scored is not None}
    found = {corpus: unsuited(seen.normaliser, texts) for corpus, texts in references.items()}
    return [f"{short_corpus(corpus)}: {reason}." for corpus, reason in found.items() if reason is not None]
