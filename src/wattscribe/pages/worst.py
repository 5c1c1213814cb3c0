"""The utterances that went worst, reference over hypothesis, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from wattscribe.results.findings import Entry, EvalSet
from wattscribe.results.groups import Scored
from wattscribe.results.words import plural, right_to_left
from wattscribe.scoring import Span, normaliser

PER_PAGE = 5
IN_PAGE = 1000
"""Utterances over all lists: about 1 MB of the page."""
FEWEST, MOST = 2, 100
"""In one list."""
LISTS_APART = 24
"""More lists than this are put together by recognizer."""
GAP = "·"
KEY = Markup(
    '<p class="key"><b class="s">substituted</b> <b class="d">deleted</b> <b class="i">inserted</b> '
    "Reference above, hypothesis below, after normalising.</p>"
)


def worst_utterances(all_eval_sets: Sequence[EvalSet], rule: str) -> list[Markup]:
    """For every recognizer and eval set its utterances with the most errors, a few at a time."""
    lists = [(eval_set, entry) for eval_set in all_eval_sets for entry in eval_set.scored if _any_error(entry)]
    if not lists:
        return []
    count = min(MOST, max(FEWEST, IN_PAGE // len(lists)))
    if len(lists) <= LISTS_APART:
        return [KEY, *(_details(eval_set, entry, rule, count) for eval_set, entry in lists)]
    by_label: dict[str, list[Markup]] = {}
    for eval_set, entry in lists:
        by_label.setdefault(entry.group.label, []).append(_details(eval_set, entry, rule, count))
    together = Markup('<details><summary>{} <span class="why">{}</span></summary>{}</details>')
    return [
        KEY,
        *(together.format(label, plural(len(each), "list"), Markup("").join(each)) for label, each in by_label.items()),
    ]


def _any_error(entry: Entry) -> bool:
    return entry.group.scored is not None and bool(entry.group.scored.counts.errors.sum())


def _details(eval_set: EvalSet, entry: Entry, rule: str, count: int) -> Markup:
    scored = entry.group.scored
    if scored is None:
        return Markup("")
    errors = scored.counts.errors
    order = [int(i) for i in np.lexsort((scored.counts.words, -errors))[:count] if errors[i] > 0]
    body = Markup("").join(_utterance(scored, index, rule) for index in order)
    total = plural(int(np.count_nonzero(errors)), "utterance")
    return Markup(
        '<details><summary>{} <span class="why">{}: {} with errors</span></summary>'
        '<div class="pages" data-size="{}">{}</div></details>'
    ).format(entry.group.label, eval_set.name, total, PER_PAGE, body)


def _utterance(scored: Scored, index: int, rule: str) -> Markup:
    """The columns run as the reference does; an empty one says nothing, then as the hypothesis does."""
    counts = scored.counts
    apply = normaliser(rule)
    runs = "rtl" if right_to_left(scored.references[index].strip() or scored.hypotheses[index]) else "ltr"
    cells = Markup("").join(
        Markup('<li class="{}"><span class="r">{}</span><span class="h">{}</span></li>').format(
            kind, reference_word, hypothesis_word
        )
        for kind, reference_word, hypothesis_word in aligned_words(
            apply(scored.references[index]).split(), apply(scored.hypotheses[index]).split(), counts.alignments[index]
        )
    )
    figures = f"{counts.errors[index]:g} errors in {plural(int(counts.words[index]), 'word')}"
    heading = Markup('<p class="key"><bdi>{}</bdi> · speaker <bdi>{}</bdi> · {}</p>').format(
        scored.ids[index], scored.speakers[index] or "unknown", figures
    )
    return Markup('<div class="aligned">{}<ol dir="{}">{}</ol></div>').format(heading, runs, cells)


def aligned_words(
    reference: Sequence[str], hypothesis: Sequence[str], spans: Sequence[Span]
) -> list[tuple[str, str, str]]:
    """(class, reference word, hypothesis word) per column; the class is empty where both agree, else s, d or i."""
    columns: list[tuple[str, str, str]] = []
    for span in spans:
        reference_words = list(reference[span.reference_start : span.reference_end])
        hypothesis_words = list(hypothesis[span.hypothesis_start : span.hypothesis_end])
        kind = "" if span.kind == "equal" else span.kind[0]
        length = max(len(reference_words), len(hypothesis_words))
        reference_words += [GAP] * (length - len(reference_words))
        hypothesis_words += [GAP] * (length - len(hypothesis_words))
        columns += [(kind, one, other) for one, other in zip(reference_words, hypothesis_words, strict=True)]
    return columns


__all__ = ["aligned_words", "worst_utterances"]
