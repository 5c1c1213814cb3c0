"""A recipe: what is done to a model, step by step, with reasons and numbers; a TOML file that can be run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from wattscribe.compression.step import Step, Value
from wattscribe.errors import InputError
from wattscribe.text_files import read_toml

SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step as it went: kept or reverted, why, and the figures after it."""

    step: Step
    kept: bool
    reason: str
    numbers: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The kept steps in order make the result; reverted ones are there to be read."""

    model: str
    device: str
    strategy: str
    seed: int
    calibration: Mapping[str, Value | list[str]]
    done: tuple[Done, ...]
    again: tuple[str, ...] = ()
    """The command that carries the file out again, to be read by people."""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(entry.step for entry in self.done if entry.kept)


def to_toml(recipe: Recipe) -> str:
    """The file's text. Strings are JSON strings, which TOML reads the same."""
    again = (
        shlex.join(recipe.again) if recipe.again else "wattscribe compress MODEL --recipe THIS_FILE --data DEV -o OUT"
    )
    lines = [
        "# Written by `wattscribe compress`. Run again: "
        + "".join(character if character.isprintable() else "?" for character in again),
        f"schema = {SCHEMA}",
        f"model = {_value(recipe.model)}",
        f"device = {_value(recipe.device)}",
        f"strategy = {_value(recipe.strategy)}",
        f"seed = {recipe.seed}",
        "",
        "[calibration]",
        *(f"{key} = {_value(value)}" for key, value in recipe.calibration.items()),
    ]
    for entry in recipe.done:
        lines += ["", "[[step]]", f"kept = {_value(entry.kept)}", f"lever = {_value(entry.step.lever)}",
                  f"component = {_value(entry.step.component)}", f"reason = {_value(entry.reason)}"]  # fmt: skip
        if entry.step.tensors:
            lines.append("tensors = [" + ", ".join(map(_value, entry.step.tensors)) + "]")
        for title, table in (("options", entry.step.options), ("numbers", entry.numbers)):
            if table:
                lines.append(f"{title} = {{ " + ", ".join(f"{k} = {_value(v)}" for k, v in table.items()) + " }")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(float(value))
        return text if any(mark in text for mark in ".en") else f"{text}.0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(str(value), ensure_ascii=True)


def read_recipe(path: Path) -> Recipe:
    """Raises InputError that names the key at fault."""
    data = read_toml(path, what="the recipe")
    if data.get("schema") != SCHEMA:
        raise InputError(f"its schema is {data.get('schema')!r}, this version reads {SCHEMA}", where=path)
    steps = data.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError("`step` is not a list of tables", where=path, fix="Write each step as [[step]]")
    seed = _typed(data, "seed", int, 0, "", path)
    if seed < 0:
        raise InputError(f"seed is {seed}", where=path, fix="Give 0 or more")
    return Recipe(
        model=_typed(data, "model", str, "", "", path), device=_typed(data, "device", str, "wearable", "", path),
        strategy=_typed(data, "strategy", str, "recipe", "", path), seed=seed,
        calibration=_typed(data, "calibration", dict, {}, "", path),
        done=tuple(_done(step, number, path) for number, step in enumerate(steps, start=1)),
    )  # fmt: skip


KINDS: Mapping[type, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "a table",
}  # fmt: skip


def _typed(table: Mapping[str, Any], key: str, kind: type[T], default: T, place: str, path: Path) -> T:
    """The value of a key. Raises InputError for one of another kind; `place` says where in the file it stands."""
    value = table.get(key, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{place}{key} is {value!r}", where=path, fix=f"It must be {KINDS[kind]}")
    return value


def _done(table: Mapping[str, Any], number: int, path: Path) -> Done:
    place = f"step {number}: "
    for key in ("lever", "component"):
        if not isinstance(table.get(key), str):
            raise InputError(f"step {number} has no {key}", where=path, fix=f'Write {key} = "…"')
    from wattscribe.compression.levers import LEVERS

    lever = LEVERS.get(table["lever"])
    if lever is None:
        fix = f"One of: {', '.join(sorted(LEVERS))}"
        raise InputError(f"{place}there is no lever {table['lever']!r}", where=path, fix=fix)
    tensors = _typed(table, "tensors", list, [], place, path)
    if not all(isinstance(tensor, str) for tensor in tensors):
        raise InputError(f"{place}tensors are not all text", where=path, fix='Write tensors = ["…", "…"]')
    options = _typed(table, "options", dict, {}, place, path)
    for key in options:
        if key not in lever.takes:
            fix = f"It takes {', '.join(lever.takes) or 'none'}"
            raise InputError(f"{place}{table['lever']} has no option {key!r}", where=path, fix=fix)
    typed = {key: _typed(options, key, lever.takes[key], options[key], place, path) for key in options}
    step = Step(lever=table["lever"], component=table["component"], tensors=tuple(tensors), options=typed)
    return Done(
        step=step, kept=_typed(table, "kept", bool, True, place, path), reason=_typed(table, "reason", str, "", place, path),
        numbers=_typed(table, "numbers", dict, {}, place, path),
    )  # fmt: skip
