"""A comparison as people read it in the log of a pipeline."""

from __future__ import annotations

from wattscribe.results.compare import Comparison, Verdict
from wattscribe.results.cost_change import CostChange
from wattscribe.results.error_change import ErrorChange
from wattscribe.results.words import bytes_text, number


def in_words(result: Comparison) -> str:
    """One line per recognizer, then notes, then the reasons, then the verdict."""
    lines = [
        f"{'refused ' if verdict.reasons else 'accepted'}  {verdict.name}: {_figures(verdict)}"
        for verdict in result.verdicts
    ]
    lines += [f"note: {note}" for note in result.notes]
    lines += [f"note: {verdict.name}: {note}" for verdict in result.verdicts for note in verdict.notes]
    lines += [f"reason: {reason}" for reason in result.reasons]
    verdict = "accepted" if result.accepted else "refused"
    return "\n".join([*lines, f"{result.new} is {verdict} against {result.base}"])


def _figures(verdict: Verdict) -> str:
    parts = [_error(verdict.error)] if verdict.error else []
    parts += [_cost(cost) for cost in verdict.costs if cost.base is not None or cost.new is not None]
    return ", ".join(parts) or "not judged"


def _error(change: ErrorChange) -> str:
    return (
        f"{change.metric.upper()} {change.base_percent:.2f} → {change.new_percent:.2f} % "
        f"({change.increase_points:+.2f} points, 95 % below {change.increase_upper95_points:+.2f})"
    )


def _cost(change: CostChange) -> str:
    """`energy 30.1 → 30.2 J (+0.3 %, 95 % below +1.9 %; measured, module total)`; without a limit it says so."""
    remarks = []
    if change.increase_percent is not None:
        remarks.append(f"{change.increase_percent:+.1f} %")
    if change.increase_upper95_percent is not None:
        remarks[-1] += f", 95 % below {change.increase_upper95_percent:+.1f} %"
    remarks += [change.covers] if change.covers else []
    remarks += ["not judged"] if change.limit_percent is None else []
    return f"{change.quantity} {_amount(change, change.base)} → {_amount(change, change.new)} ({'; '.join(remarks)})"


def _amount(change: CostChange, value: float | None) -> str:
    if change.unit == "B":
        return bytes_text(value)
    return f"{number(value)} {change.unit}".strip()
