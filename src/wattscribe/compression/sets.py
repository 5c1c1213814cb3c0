"""What a development set can show, which part of it chooses and which part confirms, and by how much a choice must keep away
from the limit.

Whoever takes the cheapest of many recipes that hold on a set takes the luckiest as well: on other speech it does worse. So the
choosing part asks for a margin that shrinks as the set grows, and a part that nothing was chosen on has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wattscribe.compression.speech import SpeechSet
from wattscribe.errors import InputError
from wattscribe.scoring import (
    FEWEST_SPEAKERS,
    SATURATED,
    ErrorCounts,
    can_show,
    normaliser,
    standard_error,
    too_few,
    units_to_bound,
)

if TYPE_CHECKING:
    from wattscribe.compression.candidate import Candidate
    from wattscribe.compression.workbench import Workbench

MARGIN = 0.67
"""Standard errors between a choice and the limit: of recipes at the very edge, three in four hold on other speech of the kind."""
SMALL_SLACK = 0.01
"""WER that the small set may add beyond the limit: it is several times coarser; the whole choosing part decides."""
DOUBT = 2.0
"""Standard errors that a corpus's share of the small set may add, where they are more: ten noisy utterances change by a few
points with any rounding, and one that runs into a loop is three of them."""
EXACT = 1e-12


# --- what can be shown -------------------------------------------------------------------------------------------------
def cannot_show(words: float, wer: float | None, limit: float) -> str | None:
    """Why so many words, of which the original has this WER (None: not known yet), cannot show a rise of `limit`, a fraction."""
    if not can_show(limit, words):
        return too_few(100 * limit, round(words), math.ceil(units_to_bound(limit)))
    if wer is not None and wer >= SATURATED:
        needed = f", about {math.ceil(units_to_bound(limit)):,} words of it" if limit > 0 else ""
        return (
            f"the original's WER is {100 * wer:.0f} %: where hardly a word is right hardly one can be lost, so that no number of "
            f"words shows a rise of {100 * limit:g} points; it takes speech that the model understands (WER below "
            f"{100 * SATURATED:.0f} %){needed}"
        )
    return None


def refuse(speech: SpeechSet, option: str, limit: float, *, wer: float | None = None, anyway: bool = False) -> None:
    """Raises InputError where the set cannot show the limit, unless a small run was asked for in so many words (`--limit`)."""
    why = None if anyway else cannot_show(words_of(speech), wer, limit)
    if why is not None:
        raise InputError(
            why, where=f"{option} {speech.name}",
            fix="Give more or other speech or a larger `max_wer_increase_points`, or `limit` N for a trial run without a verdict",
        )  # fmt: skip


def refuse_single(speech: SpeechSet, option: str, *, by_corpus: bool) -> None:
    """Raises InputError for a set of one utterance, or a corpus that is judged by itself: what is paired needs two. Said before
    the work begins, which would be lost."""
    rows = speech.by_corpus() if by_corpus else {}
    for name, count in {speech.name: len(speech), **{name: len(each) for name, each in rows.items()}}.items():
        if count < 2:
            raise InputError(
                "has one utterance: original and result are compared over two or more", where=f"{option} {name}",
                fix="Give more of it, raise `limit` or leave it out",
            )  # fmt: skip


def words_of(speech: SpeechSet) -> int:
    """Reference words as the WER counts them."""
    rule = normaliser("whisper")
    return sum(len(rule(text).split()) for text in speech.references)


# --- choosing and confirming --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a candidate does to the WER of a set, and how close to the limit it may go; fractions."""

    utterances: int
    words: int
    before: float
    """The original's WER."""
    increase: float
    limit: float
    slack: float = 0.0
    """Beyond the limit, where another set decides."""
    margin: float = 0.0
    """Short of the limit, where chance may have helped."""
    on: str = ""
    """The corpus, where it is one of several that are held to the limit by themselves."""
    parts: tuple[Change, ...] = ()
    """Each corpus by itself, without a margin: that of the whole set is against the luck of a choice."""

    @property
    def holds(self) -> bool:
        whole = self.increase + self.margin <= self.limit + self.slack + EXACT
        return whole and all(part.holds for part in self.parts)

    @property
    def summary(self) -> str:
        """In points, the limit as it was asked for; of a corpus that breaks its own, that one."""
        broken = [part for part in self.parts if not part.holds]
        return f"{broken[0].on}: {broken[0]._summary}" if broken else self._summary

    @property
    def _summary(self) -> str:
        text = f"WER {100 * self.increase:+.2f} points"
        if self.margin:
            text += f" and a margin of {100 * self.margin:.2f} for {self.utterances} utterances"
        text += f", the limit is {100 * self.limit:g}"
        return text + (f" (slack {100 * self.slack:g} on {self.utterances} utterances)" if self.slack else "")


def change(bench: Workbench, candidate: Candidate, *, small: bool = False) -> Change:
    """On the choosing part, or on the small set that only sorts out."""
    speech = bench.small if small else bench.dev
    before, after = (bench.measure(model, small=small) for model in (bench.reference, candidate))
    spread = (
        None if small else standard_error(before.errors, after.errors, speech.speakers, fewest_speakers=FEWEST_SPEAKERS)
    )
    return Change(
        utterances=len(speech), words=round(before.errors.words.sum()), before=before.wer, increase=after.wer - before.wer,
        limit=limit_of(bench, speech), slack=SMALL_SLACK if small else 0.0, margin=MARGIN * (spread or 0.0),
        parts=_parts(bench, speech, before.errors, after.errors, *([_sorting_out] if small else [])),
    )  # fmt: skip


Slack = Callable[[ErrorCounts, ErrorCounts, float], float]
"""A corpus's errors before and after, and its limit → beyond that."""


def _parts(
    bench: Workbench, speech: SpeechSet, before: ErrorCounts, after: ErrorCounts, slack: Slack = lambda *_: 0.0, *,
    said: str = "",
) -> tuple[Change, ...]:  # fmt: skip
    """Each corpus by itself, where it is held to the limit so."""
    parts = []
    for name, rows in apart(bench, speech).items():
        old, new, limit = part_of(before, rows), part_of(after, rows), bench.limits.get(name, bench.limit)
        parts.append(
            Change(
                utterances=len(rows), words=round(old.words.sum()), before=old.wer or 0.0, on=f"{Path(name).name}{said}",
                increase=(new.wer or 0.0) - (old.wer or 0.0), limit=limit, slack=slack(old, new, limit),
            )
        )  # fmt: skip
    return tuple(parts)


def _sorting_out(before: ErrorCounts, after: ErrorCounts, limit: float) -> float:
    """Of the small set, which is coarse."""
    return max(SMALL_SLACK, DOUBT * (standard_error(before, after) or 0.0))


def _one_word(before: ErrorCounts, after: ErrorCounts, limit: float) -> float:
    """0.3 points of 227 words are less than a word: none could ever be lost."""
    return max(0.0, 1.0 / max(1.0, float(before.words.sum())) - limit)


def apart(bench: Workbench, speech: SpeechSet) -> dict[str, list[int]]:
    """The corpora that are held to their limits by themselves, and their utterances' places."""
    return speech.by_corpus() if bench.limits or bench.family.each_corpus else {}


def limit_of(bench: Workbench, speech: SpeechSet) -> float:
    """Of the whole set: the mean of its corpora's, weighted by words."""
    return mean_limit(speech, bench.limits, bench.limit)


def mean_limit(speech: SpeechSet, limits: Mapping[str, float], otherwise: float) -> float:
    """The same, before there is a bench."""
    if not limits:
        return otherwise
    words = np.array([max(1, len(text.split())) for text in speech.references], np.float64)
    utterance_limits = np.array([limits.get(name, otherwise) for name in speech.corpora], np.float64)
    return float(words @ utterance_limits / words.sum())


def part_of(errors: ErrorCounts, rows: Sequence[int]) -> ErrorCounts:
    """The counts of some utterances."""
    names = [field.name for field in fields(ErrorCounts) if field.name != "alignments"]
    chosen = {name: getattr(errors, name)[list(rows)] for name in names}
    spans = tuple(errors.alignments[row] for row in rows) if errors.alignments else ()
    return ErrorCounts(**chosen, alignments=spans)


def confirmed(bench: Workbench, candidate: Candidate) -> Change | None:
    """On the held-back part; None where there is none. A corpus may lose a word of it, where its limit is less than one, as long
    as it holds the limit on choosing and held-back part together."""
    if bench.held is None:
        return None
    models = bench.reference, candidate
    before, after = (bench.measurer.measure(model, bench.held.confirm) for model in models)
    old, new = (errors(bench, model) for model in models)
    together = _parts(bench, bench.whole, old, new, said=", both parts")
    return Change(
        utterances=len(bench.held.confirm), words=round(before.errors.words.sum()), before=before.wer,
        increase=after.wer - before.wer, limit=limit_of(bench, bench.held.confirm),
        parts=(*_parts(bench, bench.held.confirm, before.errors, after.errors, _one_word), *together),
    )  # fmt: skip


def errors(bench: Workbench, candidate: Candidate) -> ErrorCounts:
    """On the whole development set, from what is decoded of its parts."""
    chosen = bench.measure(candidate).errors
    if bench.held is None:
        return chosen
    both = (chosen, bench.measurer.measure(candidate, bench.held.confirm).errors)
    rows = np.array(bench.held.order)
    names = [field.name for field in fields(ErrorCounts) if field.name != "alignments"]
    spans = [span for counts in both for span in counts.alignments]
    return ErrorCounts(
        **{name: np.concatenate([getattr(counts, name) for counts in both])[rows] for name in names},
        alignments=tuple(spans[row] for row in rows.tolist()),
    )


def added(bench: Workbench, candidate: Candidate) -> float:
    """The most that any part of the development set loses."""
    there = confirmed(bench, candidate)
    here = bench.measure(candidate).wer - bench.measure(bench.reference).wer
    return here if there is None else max(here, there.increase)
