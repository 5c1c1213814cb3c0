"""The space as a user writes it: an experiment whose `[[models]]` tables may list several values of a setting."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError
from wattscribe.models.names import STORED
from wattscribe.records import Condition, PowerMode, RecognizerSpec, Trial, to_json
from wattscribe.results.groups import model_labels
from wattscribe.runs.experiment import Experiment, ModeEntry, ModelEntry, check, relocated
from wattscribe.runs.part import PartEntry
from wattscribe.runs.plan import in_modes
from wattscribe.text_files import read_toml

AXES = ("precision", "device", "threads", "batch_size")
"""Settings of a `[[models]]` table that may be lists; at the top of the file they hold for all tables that leave them out."""
MOST = 20_000
"""More configurations than anybody means; a list too many multiplies."""
PROOF_REPEATS = 3
"""Of the proof, where the file says none: fewer have no spread worth the name."""
REFUSED = {
    "mark": "a recording that is attached afterwards cannot tell which configuration to drop",
    "part": "the search itself takes parts of the speech",
    "shards": "the search itself takes parts of the speech",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Configuration:
    """One recognizer with all its settings, in one power mode."""

    key: str
    """A digest of what it is: the same in every stage, and when the search is resumed."""
    label: str
    """Short, and unlike every other label of its space."""
    recognizer: RecognizerSpec
    mode: ModeEntry | None

    @property
    def axes(self) -> dict[str, str]:
        """What it is, setting by setting; `model` first."""
        spec = self.recognizer
        return {
            "model": spec.name,
            "precision": spec.precision,
            "device": spec.device,
            "threads": str(spec.threads),
            "batch_size": str(spec.batch_size),
            **spec.options,
            **({} if self.mode is None else {"mode": self.mode.called}),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """All configurations, and the experiment by which each stage measures some of them."""

    experiment: Experiment
    configurations: tuple[Configuration, ...]

    @property
    def condition(self) -> Condition:
        return self.experiment.all_conditions()[0]

    @property
    def proof_repeats(self) -> int:
        return self.experiment.repeats if "repeats" in self.experiment.model_fields_set else PROOF_REPEATS

    def stage(self, configurations: Sequence[Configuration], part: PartEntry, *, repeats: int) -> list[Experiment]:
        """Experiments that measure these and no others on a part of the speech: one for each power mode."""
        modes = list({id(each.mode): each.mode for each in configurations}.values())
        return [
            check(
                {
                    **self.experiment.model_dump(),
                    "models": [_entry(each.recognizer) for each in configurations if each.mode is mode],
                    "modes": [] if mode is None else [mode.model_dump()],
                    "precision": [],
                    "options": {},
                    "part": part.model_dump(),
                    "repeats": repeats,
                }
            )
            for mode in modes
        ]


def load(path: Path) -> Space:
    """Read SPACE.toml; its relative paths start at the file. Raises InputError."""
    values = read_toml(Path(path), what="the space", fix="Name a TOML file such as docs/tune.md shows")
    return read(values, base=Path(path).parent, where=path)


def read(values: Mapping[str, Any], *, base: Path | None = None, where: object | None = None) -> Space:
    """Plain values → Space. Raises InputError for what no experiment may say, and for a space that cannot be raced."""
    tables = values.get("models")
    if isinstance(tables, list):
        shared = {axis: values[axis] for axis in AXES if isinstance(values.get(axis), list)}
        expanded = [one for table in tables for one in _expanded(table, shared, where)]
        values = {**{key: value for key, value in values.items() if key not in shared}, "models": expanded}
    experiment = check(relocated(values, base) if base is not None else values, where=where)
    for key, why in REFUSED.items():
        if getattr(experiment, key) != Experiment.model_fields[key].default:
            raise InputError(f"{key} is no key of a space: {why}", where=where, fix=f"Leave {key} out")
    if len(conditions := experiment.all_conditions()) > 1:
        raise InputError(
            f"a space has one condition, this one has {len(conditions)}: {', '.join(each.name for each in conditions[:3])}",
            where=where,
            fix="Tune for each by itself, or leave the others out (clean = false)",
        )
    return Space(experiment=experiment, configurations=_configurations(experiment))


def key_of(recognizer: RecognizerSpec, mode: PowerMode | None) -> str:
    """A configuration's key."""
    text = json.dumps(to_json((recognizer, mode)), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _configurations(experiment: Experiment) -> tuple[Configuration, ...]:
    pairs = {key_of(spec, mode): (spec, mode) for spec, mode in in_modes(experiment)}
    entries = {entry.called: entry for entry in experiment.modes}
    trials = [Trial(id="", recognizer=s, corpus="", condition=Condition(), mode=m) for s, m in pairs.values()]
    return tuple(
        Configuration(
            key=key,
            label=label if spec.precision == STORED else f"{label} {spec.precision}",
            recognizer=spec,
            mode=None if mode is None else entries[mode.name],
        )
        for (key, (spec, mode)), label in zip(pairs.items(), model_labels(trials), strict=True)
    )


def _entry(spec: RecognizerSpec) -> dict[str, Any]:
    entry = ModelEntry(
        model=spec.name,
        precision=[spec.precision],
        device=spec.device,
        threads=spec.threads,
        batch_size=spec.batch_size,
        options=dict(spec.options),
    )
    return entry.model_dump()


def _expanded(table: Any, shared: Mapping[str, Any], where: object | None) -> list[Any]:
    """A `[[models]]` table with lists → one table for each combination; anything else is left for the experiment to refuse."""
    table = {"model": table} if isinstance(table, str) else table
    if not isinstance(table, dict):
        return [table]
    table = {**shared, **table}
    options = table.get("options", {})
    axes = {axis: _listed(table[axis], axis, where) for axis in AXES if axis in table}
    if not isinstance(options, dict):
        return [table]
    inner = {name: [_text(value) for value in _listed(options[name], name, where)] for name in options}
    count = 1
    for values in (*axes.values(), *inner.values()):
        count *= len(values)
    if count > MOST:
        raise InputError(f"these lists make {count:,} configurations", where=where, fix=f"At most {MOST:,}: list fewer")
    rest = {key: value for key, value in table.items() if key not in (*AXES, "options")}
    return [
        {**rest, **_as_entry(dict(zip(axes, outer, strict=True))), "options": dict(zip(inner, chosen, strict=True))}
        for outer in itertools.product(*axes.values())
        for chosen in itertools.product(*inner.values())
    ]


def _as_entry(settings: dict[str, Any]) -> dict[str, Any]:
    """An experiment lists precisions."""
    return {**settings, "precision": [settings["precision"]]} if "precision" in settings else settings


def _listed(value: Any, name: str, where: object | None) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InputError(f"{name} is an empty list", where=where, fix="Give it a value, or leave it out")
    if again := [each for at, each in enumerate(values) if each in values[:at]]:
        raise InputError(f"{name} lists {again[0]!r} twice", where=where, fix="Leave one out")
    return values


def _text(value: Any) -> Any:
    """Options are texts to a recognizer; a number or a switch may be written as one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}" if isinstance(value, (int, float)) else value
