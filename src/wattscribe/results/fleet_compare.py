"""A fleet's new runs against its base runs: board against the same board, and what all boards of a class say together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wattscribe.errors import InputError
from wattscribe.records import RunFacts
from wattscribe.results.boards import classes, label_of
from wattscribe.results.compare import Comparison, Verdict, compare
from wattscribe.results.cost import within_and_between
from wattscribe.results.fleet import as_one
from wattscribe.results.gates import Gates
from wattscribe.results.words import plural

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device


def compare_fleets(
    base: Sequence[RunFacts], new: Sequence[RunFacts], gates: Gates | None = None, *, device: Device | None = None
) -> Comparison:
    """Accepted where every board of the base is. Boards that shared the trials are one run; else each is paired by its label.

    Raises InputError where no board is in both.
    """
    sides = [as_one(runs) for runs in (base, new)]
    if all(len(side) == 1 for side in sides):
        return compare(sides[0][0], sides[1][0], gates, device=device)
    old, fresh = ({label_of(run): run for run in side} for side in sides)
    common = [label for label in old if label in fresh]
    if not common:
        labels = f"{', '.join(old)} in the base run, {', '.join(fresh)} in the new one"
        raise InputError(
            f"no board is in both: {labels}", fix="Bench the new run on the same boards, under the same labels"
        )
    answers = {label: compare(old[label], fresh[label], gates, device=device) for label in common}
    missing = [f"{label}: the new run was not made on this board" for label in old if label not in fresh]
    reasons = [*missing, *(f"{label}: {line}" for label, answer in answers.items() for line in answer.reasons)]
    notes = [f"{label}: {line}" for label, answer in answers.items() for line in answer.notes]
    notes += _by_class([old[label] for label in common], answers)
    return Comparison(
        accepted=not reasons and all(answer.accepted for answer in answers.values()),
        base=_named(base),
        new=_named(new),
        gates=gates or Gates(),
        reasons=tuple(reasons),
        notes=tuple(notes),
        verdicts=tuple(
            replace(verdict, model_label=f"{label}: {verdict.model_label}")
            for label, answer in answers.items()
            for verdict in answer.verdicts
        ),
    )


def _by_class(runs: Sequence[RunFacts], answers: dict[str, Comparison]) -> list[str]:
    """What each class's boards say of energy together: the mean of their log ratios, with Student's t over boards."""
    lines = []
    for kind in classes(runs):
        if len(kind.labels) < 2:
            continue
        rows: dict[str, list[float]] = {}
        for label in kind.labels:
            for verdict in answers[label].verdicts:
                if (rise := _energy_rise(verdict)) is not None:
                    rows.setdefault(verdict.name, []).append(math.log1p(rise / 100))
        for name, logs in rows.items():
            interval = within_and_between(logs, [None] * len(logs))
            if interval is None:
                continue
            mean, low, high = (100 * math.expm1(value) for value in (sum(logs) / len(logs), *interval))
            boards = plural(len(logs), "board")
            lines.append(f"{name}, {kind.name}: energy {mean:+.1f} % [{low:+.1f}, {high:+.1f}] over {boards}")
    return lines


def _energy_rise(verdict: Verdict) -> float | None:
    """In per cent."""
    rises = [cost.increase_percent for cost in verdict.costs if cost.quantity == "energy"]
    return rises[0] if rises else None


def _named(runs: Sequence[RunFacts]) -> str:
    return runs[0].name if len(runs) == 1 else f"the run of {len(runs)} boards"
