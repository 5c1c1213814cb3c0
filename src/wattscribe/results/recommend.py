"""Which recognizer to take: the cheapest that keeps the limits, chosen only among figures that compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattscribe.results.basis import energy_name
from wattscribe.results.findings import Entry, EvalSet, Limits, paired
from wattscribe.results.words import bytes_text, interval_text, number, percent_text

USELESS_WER = 1.0
"""As many errors as words: an empty transcript does as well, so whatever it saves is not worth advising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One limit that is broken, or cannot be shown to be kept."""

    text: str
    overshoot: float
    """The figure over its limit, above 1; infinite where there is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One recommendation in words; `entry` is None when none qualifies."""

    eval_set: EvalSet
    entry: Entry | None
    text: str


def pareto(entries: Sequence[Entry]) -> list[Entry]:
    """Entries that no other beats in both WER and energy; entries of one energy kind only, cheapest first."""
    known = [entry for entry in entries if entry.row.wer is not None and entry.row.j_per_audio_s is not None]
    front: list[Entry] = []
    for entry in sorted(known, key=lambda candidate: (candidate.row.j_per_audio_s or 0.0, candidate.row.wer or 0.0)):
        if not front or (entry.row.wer or 0.0) < (front[-1].row.wer or 0.0):
            front.append(entry)
    return front


def by_kind(entries: Sequence[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Entries that have joules, apart by evidence and by what the joules cover."""
    entries_by_kind: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.row.j_per_audio_s is not None:
            entries_by_kind.setdefault(entry.energy.kind, []).append(entry)
    return entries_by_kind


def recommend(eval_set: EvalSet, limits: Limits) -> list[Advice]:
    """One piece of advice per kind of energy figure; without any energy, the fastest that keeps the limits."""
    scored = eval_set.scored
    if not scored:
        return [
            Advice(eval_set=eval_set, entry=None, text=f"{eval_set.name}: nothing was scored, nothing is recommended.")
        ]
    useful = [entry for entry in scored if (entry.row.wer or 0.0) < USELESS_WER]
    if not useful:
        text = (
            f"{eval_set.name}: every recognizer makes as many errors as there are words, or more; none is recommended."
        )
        return [Advice(eval_set=eval_set, entry=None, text=text)]
    broken = _misses(useful, limits)
    kept = [entry for entry, misses in zip(useful, broken, strict=True) if not misses]
    if not kept:
        return [Advice(eval_set=eval_set, entry=None, text=_none_qualifies(eval_set, useful, broken))]
    kinds = by_kind(kept)
    if not kinds:
        fastest = min(kept, key=lambda entry: entry.row.rtf or float("inf"))
        why = "No energy figure is available, so this is the fastest"
        return [Advice(eval_set=eval_set, entry=fastest, text=_advice(eval_set, fastest, why, limits))]
    advice = []
    for (evidence, covers), entries in kinds.items():
        chosen, why = _cheapest(entries, limits)
        apart = f" Among figures {evidence} for {covers}:" if len(kinds) > 1 else ""
        text = _advice(eval_set, chosen, why, limits)
        advice.append(Advice(eval_set=eval_set, entry=chosen, text=f"{apart} {text}".strip()))
    return advice


def _misses(entries: Sequence[Entry], limits: Limits) -> list[list[Miss]]:
    """For each entry which limits it breaks, or cannot be shown to keep.

    Watts mean one thing for all of them: those of the window, or where no entry has a window, because all are modelled on a
    device, those of keeping up with speech (joules per second of audio).
    """
    streaming = all(entry.row.mean_power_w is None for entry in entries)
    return [
        [
            *_over("WER", entry.row.wer, limits.max_wer, lambda value: f"{percent_text(value)} %"),
            *_over(
                "power",
                entry.row.j_per_audio_s if streaming else entry.row.mean_power_w,
                limits.max_watts,
                lambda value: f"{number(value)} W",
            ),
            *_over("memory", entry.row.peak_memory_bytes, limits.max_memory_bytes, bytes_text),
        ]
        for entry in entries
    ]


def _over(what: str, value: float | None, limit: float | None, text: Callable[[float], str]) -> list[Miss]:
    if limit is None or (value is not None and value <= limit):
        return []
    if value is None:
        return [Miss(text=f"{what} is not known", overshoot=math.inf)]
    return [Miss(text=f"{what} {text(value)} over {text(limit)}", overshoot=value / limit if limit > 0 else math.inf)]


def _cheapest(entries: Sequence[Entry], limits: Limits) -> tuple[Entry, str]:
    """With a WER limit the cheapest; without one, the cheapest whose WER cannot be told from the best."""

    def cost(entry: Entry) -> float:
        return entry.row.j_per_audio_s or 0.0

    if limits.max_wer is not None:
        return min(entries, key=cost), "It takes the least energy of those that keep the limits"
    best = min(entries, key=lambda entry: (entry.row.wer or 0.0, cost(entry)))
    alike = [entry for entry in entries if entry is best or _not_worse(best, entry)]
    chosen = min(alike, key=cost)
    if chosen is best and cost(best) <= min(map(cost, entries)):
        return best, "It has the lowest WER and takes the least energy"
    if chosen is best:
        if all(paired(best, entry) for entry in entries if cost(entry) < cost(best)):
            return best, "It has the lowest WER, and every cheaper one is worse in the paired test"
        return (
            best,
            "It has the lowest WER, and too few utterances were transcribed to tell whether a cheaper one is as good",
        )
    result = paired(best, chosen)
    gap = "" if result is None else f": {100 * result[0].difference:+.2f} points {interval_text(result[0].ci95, 100)}"
    alike_to = f"those whose WER cannot be told from the best, {best.group.label} (paired test{gap})"
    return chosen, f"It takes the least energy of {alike_to}"


def _not_worse(best: Entry, entry: Entry) -> bool:
    result = paired(best, entry)
    return result is not None and result[0].ci95[0] <= 0


def _advice(eval_set: EvalSet, entry: Entry, why: str, limits: Limits) -> str:
    row = entry.row
    parts = [f"WER {percent_text(row.wer)} % {interval_text(row.wer_ci95, 100)}".strip()]
    if row.j_per_audio_s is not None:
        parts.append(
            f"{number(row.j_per_audio_s)} J per second of audio ({energy_name(row.energy_evidence, row.energy_covers)})"
        )
    parts.append(f"real-time factor {number(row.rtf)}")
    parts.append(f"{bytes_text(row.peak_memory_bytes)} of memory")
    text = f"{eval_set.name}: take {entry.group.label}. {why}. It has {', '.join(parts)}."
    if limits.max_wer is not None and row.wer_ci95 is not None and row.wer_ci95[1] > limits.max_wer:
        text += f" Its interval reaches over the limit of {percent_text(limits.max_wer)} %: not certain, measure more."
    if row.precision_ok is False:
        text += " But it did not run at the precision that was asked for."
    return text


def _none_qualifies(eval_set: EvalSet, entries: Sequence[Entry], broken: Sequence[Sequence[Miss]]) -> str:
    """Nearest is whose worst figure lies least over its limit, as a ratio; of equals, with the fewest and smallest others."""

    def distance(candidate: tuple[Entry, Sequence[Miss]]) -> tuple[list[float], float]:
        return sorted((miss.overshoot for miss in candidate[1]), reverse=True), candidate[0].row.wer or 0.0

    nearest, misses = min(zip(entries, broken, strict=True), key=distance)
    what = "; ".join(miss.text for miss in misses)
    return f"{eval_set.name}: no recognizer keeps the limits. The nearest, {nearest.group.label}, breaks: {what}."
