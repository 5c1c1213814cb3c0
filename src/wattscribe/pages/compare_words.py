"""A comparison as people read it in the log of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.pages.in_markdown import aligned, plain
from wattscribe.results.compare import Comparison, Verdict
from wattscribe.results.cost_change import CostChange, Quantity
from wattscribe.results.error_change import ErrorChange
from wattscribe.results.words import MISSING, bytes_text, number

COSTS: tuple[Quantity, ...] = ("energy", "real-time factor", "latency", "memory")


def in_words(result: Comparison, *, notes: bool = True) -> str:
    """One line per recognizer, then notes, then the reasons, then the verdict."""
    lines = [
        f"{'refused ' if verdict.reasons else 'accepted'}  {verdict.name}: {_figures(verdict)}"
        for verdict in result.verdicts
    ]
    lines += [f"note: {note}" for note in (_notes(result) if notes else ())]
    lines += [f"reason: {reason}" for reason in result.reasons]
    return "\n".join([*lines, _conclusion(result)])


def in_markdown(result: Comparison, *, notes: bool = True) -> str:
    """The verdict, then the reasons, then a table with a row per recognizer, then the notes, folded away.

    As a comment of a pull request: names of models and corpora are text, never markup, and mention nobody.
    """
    lines = [f"**{plain(_conclusion(result))}**", ""]
    lines += [*(f"- {plain(reason)}" for reason in result.reasons), *([""] if result.reasons else [])]
    header = ("", "recognizer, speech", "errors", "energy", "real-time factor", "latency", "memory")
    table = [header, *(_row(verdict) for verdict in result.verdicts)]
    lines += aligned(table) if result.verdicts else []
    said = [plain(note) for note in (_notes(result) if notes else ())]
    if said:
        lines += ["", "<details><summary>Notes</summary>", "", *(f"- {note}" for note in said), "", "</details>"]
    return "\n".join(lines)


def _conclusion(result: Comparison) -> str:
    return f"{result.new} is {'accepted' if result.accepted else 'refused'} against {result.base}"


def _notes(result: Comparison) -> list[str]:
    return [*result.notes, *(f"{verdict.name}: {note}" for verdict in result.verdicts for note in verdict.notes)]


def _row(verdict: Verdict) -> Sequence[str]:
    costs = {cost.quantity: cost for cost in verdict.costs if cost.base is not None or cost.new is not None}
    shown = [_cost(costs[name], named=False) if name in costs else MISSING for name in COSTS]
    error = _error(verdict.error) if verdict.error else "not judged"
    return ("refused" if verdict.reasons else "accepted", *map(plain, (verdict.name, error, *shown)))


def _figures(verdict: Verdict) -> str:
    parts = [_error(verdict.error)] if verdict.error else []
    parts += [_cost(cost) for cost in verdict.costs if cost.base is not None or cost.new is not None]
    return ", ".join(parts) or "not judged"


def _error(change: ErrorChange) -> str:
    return (
        f"{change.metric.upper()} {change.base_percent:.2f} → {change.new_percent:.2f} % "
        f"({change.increase_points:+.2f} points, 95 % below {change.increase_upper95_points:+.2f})"
    )


def _cost(change: CostChange, *, named: bool = True) -> str:
    """`energy 30.1 → 30.2 J (+0.3 %, 95 % below +1.9 %; measured, module total)`; without a limit it says so."""
    remarks = []
    if change.increase_percent is not None:
        remarks.append(f"{change.increase_percent:+.1f} %")
    if change.increase_upper95_percent is not None:
        remarks[-1] += f", 95 % below {change.increase_upper95_percent:+.1f} %"
    remarks += [change.covers] if change.covers else []
    remarks += ["not judged"] if change.limit_percent is None else []
    name = f"{change.quantity} " if named else ""
    return f"{name}{_amount(change, change.base)} → {_amount(change, change.new)} ({'; '.join(remarks)})"


def _amount(change: CostChange, value: float | None) -> str:
    if change.unit == "B":
        return bytes_text(value)
    return f"{number(value)} {change.unit}".strip()
