"""Which runs were made on boards of one class, and whether these gave the same texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wattscribe.records import RunFacts
from wattscribe.results.same_machine import FACTS, RUNTIME_LIBRARIES

NAMED = 3
"""Utterances named where texts differ; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardClass:
    """Boards of which one stands for any other: product, power mode and versions are the same."""

    name: str
    """Product and power mode; with what else tells two classes of one name apart."""
    runs: tuple[RunFacts, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(label_of, self.runs))


def label_of(facts: RunFacts) -> str:
    """What a run's board is called: its label, or the run's own name."""
    return facts.name if facts.board is None else facts.board.label


def classes(runs: Sequence[RunFacts]) -> list[BoardClass]:
    """The runs by class, in their order."""
    by_key: dict[str, list[RunFacts]] = {}
    for run in runs:
        by_key.setdefault(json.dumps(_identity(run), default=str), []).append(run)
    names = [_name(members[0]) for members in by_key.values()]
    told = [
        name if names.count(name) == 1 else f"{name} ({_apart(members[0], _namesakes(name, names, by_key))})"
        for name, members in zip(names, by_key.values(), strict=True)
    ]
    return [BoardClass(name=name, runs=tuple(runs)) for name, runs in zip(told, by_key.values(), strict=True)]


def _identity(run: RunFacts) -> dict[str, Any]:
    """All that makes a class."""
    facts = {name: read(run.machine) for name, read in FACTS}
    return {"simulated board": run.machine.get("simulated_board"), **facts, **_versions(run)}


def _versions(run: RunFacts) -> dict[str, Any]:
    """Of what computes: wattscribe, Python, and the libraries of the runtimes that are in the run."""
    libraries: Mapping[str, Any] = run.machine.get("libraries") or {}
    runtimes = {trial.trial.recognizer.runtime for trial in run.trials}
    names = {"wattscribe", *(name for runtime in runtimes for name in RUNTIME_LIBRARIES.get(runtime, ()))}
    return {"Python": run.machine.get("python"), **{name: libraries.get(name) for name in sorted(names)}}


def _name(run: RunFacts) -> str:
    simulated, machine = run.machine.get("simulated_board"), run.machine
    product = f"simulated {simulated}" if simulated else machine.get("machine") or machine.get("cpu") or "unknown board"
    return ", ".join(str(part) for part in (product, machine.get("power_mode")) if part)


def _namesakes(name: str, names: Sequence[str], by_key: Mapping[str, list[RunFacts]]) -> list[RunFacts]:
    return [members[0] for other, members in zip(names, by_key.values(), strict=True) if other == name]


def _apart(run: RunFacts, namesakes: Sequence[RunFacts]) -> str:
    """What of a class is not the same in all classes of its name."""
    own = _identity(run)
    others = [_identity(other) for other in namesakes]
    return ", ".join(f"{key} {own[key]}" for key in own if any(other.get(key) != own[key] for other in others))


def one_device(runs: Sequence[RunFacts]) -> list[tuple[str, ...]]:
    """Labels of boards that are one device: its trials disturbed one another, and its figures are not independent."""
    by_id: dict[str, list[str]] = {}
    for run in runs:
        if run.board is not None and run.machine.get("simulated_board") is None:
            by_id.setdefault(run.board.id, []).append(run.board.label)
    return [labels for found in by_id.values() if len(labels := tuple(dict.fromkeys(found))) > 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two boards of a class gave other texts for the same trial."""

    board_class: str
    first: str
    other: str
    trial: str
    utterances: int
    of: int
    ids: tuple[str, ...]
    """The first of them."""


def disagreements(board_class: BoardClass) -> list[Disagreement]:
    """Each trial whose texts are not those of the first board that has it."""
    known: dict[str, tuple[str, dict[str, str | None]]] = {}
    found = []
    for run in board_class.runs:
        for trial in run.trials:
            if trial.status != "done":
                continue
            texts = {result.id: result.hypothesis for result in trial.utterances}
            label, before = known.setdefault(trial.trial.id, (label_of(run), texts))
            ids = tuple(key for key, text in texts.items() if key in before and before[key] != text)
            ids += tuple(key for key in before if key not in texts) + tuple(key for key in texts if key not in before)
            if ids:
                spec = trial.trial.recognizer
                found.append(
                    Disagreement(
                        board_class=board_class.name,
                        first=label,
                        other=label_of(run),
                        trial=f"{spec.name} {spec.precision}, {trial.trial.speech}, repeat {trial.trial.repeat + 1}",
                        utterances=len(ids),
                        of=len({*texts, *before}),
                        ids=ids[:NAMED],
                    )
                )
    return found
