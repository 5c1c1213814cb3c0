"""Which row of a new run stands against which row of its base: by whole names, or by short ones where the runs moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from wattscribe.results.findings import Entry, EvalSet
from wattscribe.results.groups import short_corpus, short_model

T = TypeVar("T")


def pair_up(base: Sequence[EvalSet], new: Sequence[EvalSet]) -> tuple[list[tuple[Entry, Entry]], list[str], list[str]]:
    """By whole names, or by short ones where the runs were made in different places."""
    pairs: list[tuple[Entry, Entry]] = []
    reasons, notes = [], []
    there = dict(_matched(base, new, lambda place: (place.corpus, place.condition), _place))
    for at, eval_set in enumerate(base):
        if at not in there:
            places = ", ".join(sorted({_place_name(other) for other in new})) or "nothing"
            reasons.append(f"the new run did not transcribe {_place_name(eval_set)}, only {places}")
            continue
        old, fresh = eval_set.entries, new[there[at]].entries
        matches = dict(_same_recognizers(old, fresh))
        pairs += [(old[one], fresh[other]) for one, other in matches.items()]
        missing = [entry for index, entry in enumerate(old) if index not in matches]
        reasons += [f"the new run has no {_recognizer(entry)} on {_place_name(eval_set)}" for entry in missing]
        extra = [entry for index, entry in enumerate(fresh) if index not in matches.values()]
        notes += [f"{_recognizer(entry)} on {_place_name(eval_set)} is new and not compared" for entry in extra]
    return pairs, reasons, notes


def _same_recognizers(base: Sequence[Entry], new: Sequence[Entry]) -> list[tuple[int, int]]:
    """By model, precision and settings; where each run has just one recognizer, they stand against each other."""
    if len(base) == len(new) == 1:
        return [(0, 0)]

    def named(entry: Entry, model: str) -> tuple[str, ...]:
        return model, entry.row.precision, str(sorted(entry.row.options.items())), entry.row.mode or ""

    def placed(entry: Entry) -> tuple[str, ...]:
        return entry.row.device, str(entry.row.threads), str(entry.row.batch_size)

    return _matched(
        base,
        new,
        lambda entry: (*named(entry, entry.row.model), *placed(entry)),
        lambda entry: (*named(entry, short_model(entry.row.model)), *placed(entry)),
        lambda entry: named(entry, short_model(entry.row.model)),
    )


def _matched(base: Sequence[T], new: Sequence[T], *names: Callable[[T], Hashable]) -> list[tuple[int, int]]:
    """Places (in base, in new) of what has one name: the first of `names` first, what is left by the next, coarser one.

    A coarser name counts only where it is the only such name in both.
    """
    matches: dict[int, int] = {}
    for name in names:
        here, there = (Counter(map(name, entries)) for entries in (base, new))
        place = {name(entry): at for at, entry in enumerate(new)}
        for at, entry in enumerate(base):
            if at not in matches and here[name(entry)] == there[name(entry)] == 1:
                matches[at] = place[name(entry)]
    return sorted(matches.items())


def _place(eval_set: EvalSet) -> tuple[str, str]:
    return short_corpus(eval_set.corpus), eval_set.condition.name


def _place_name(eval_set: EvalSet) -> str:
    return ", ".join(_place(eval_set))


def _recognizer(entry: Entry) -> str:
    return f"{entry.row.model_label} {entry.row.precision}"
