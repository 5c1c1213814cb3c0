"""One recognizer in several power modes: which of them keep up with speech, and which of these takes the least energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.records import RecognizerSpec
from wattscribe.results.findings import Entry, EvalSet
from wattscribe.results.recommend import by_kind
from wattscribe.results.relative import Ratio, energy_ratio
from wattscribe.results.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossModes:
    """The modes of one recognizer on one corpus under one condition, in the order of the experiment."""

    eval_set: EvalSet
    name: str
    """`runtime:model precision`, without a mode."""
    entries: tuple[Entry, ...]
    least: Entry | None
    """Of those that keep up, the one that takes the least energy; None with `reason`."""
    reason: str | None
    ratio: Ratio | None
    """The energy of the next best one that keeps up, as a ratio to `least`; None where it is the only one."""
    next_best: Entry | None


def across_modes(all_eval_sets: Sequence[EvalSet]) -> list[AcrossModes]:
    """Every recognizer that ran in two modes or more."""
    found = []
    modes = [
        entry.group.mode for eval_set in all_eval_sets for entry in eval_set.entries if entry.group.mode is not None
    ]
    threads = any(mode.threads is not None for mode in modes)
    for eval_set in all_eval_sets:
        by_recognizer: dict[str, list[Entry]] = {}
        for entry in eval_set.entries:
            if entry.group.mode is not None:
                by_recognizer.setdefault(_apart_from_mode(entry, threads), []).append(entry)
        found += [_choice(eval_set, entries) for entries in by_recognizer.values() if len(entries) > 1]
    return found


def keeps_up(row: Row) -> bool | None:
    """Whether it transcribes faster than people speak, its tail too: the upper end of the factor's interval where there is one,
    and the slowest utterance of a hundred, both below 1. None: no figure."""
    if row.rtf is None or row.rtf_p99 is None:
        return None
    return max(row.rtf, row.rtf_ci95[1] if row.rtf_ci95 else 0.0) < 1 and row.rtf_p99 < 1


def _apart_from_mode(entry: Entry, threads_are_modes: bool) -> str:
    """What makes two rows the same recognizer; where modes set threads, these are the modes'."""
    spec: RecognizerSpec = entry.group.recognizer
    own = "" if threads_are_modes else f" {spec.threads}"
    return f"{spec.name} {spec.precision} {spec.device} {spec.batch_size} {sorted(spec.options.items())}{own}"


def _choice(eval_set: EvalSet, entries: Sequence[Entry]) -> AcrossModes:
    spec = entries[0].group.recognizer
    label = entries[0].row.model_label.rpartition(" (")[0] or entries[0].row.model_label
    least, reason, ratio, next_best = None, None, None, None
    fast = [entry for entry in entries if keeps_up(entry.row)]
    kinds = by_kind(fast)
    if not fast:
        reason = "no mode keeps up with speech"
    elif not kinds:
        reason = next((entry.row.energy_reason for entry in fast if entry.row.energy_reason), "no energy figure")
    elif len(kinds) > 1:
        reason = "their joules cover different things"
    else:
        ((_, known),) = kinds.items()
        ordered = sorted(known, key=lambda entry: entry.row.j_per_audio_s or 0.0)
        least = ordered[0]
        if len(ordered) > 1:
            next_best = ordered[1]
            ratio = energy_ratio(least.energy, next_best.energy, seed=0)
    return AcrossModes(
        eval_set=eval_set,
        name=f"{label} {spec.precision}",
        entries=tuple(entries),
        least=least,
        reason=reason,
        ratio=ratio,
        next_best=next_best,
    )
