"""A recipe: what is done to a model, step by step, with reasons and numbers; a TOML file that can be run again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Value = str | int | float | bool
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. `tensors` empty: all that the lever can change in the component. Hashable by `key`."""

    lever: str
    component: str
    """encoder, predictor, joiner or `all`."""
    tensors: tuple[str, ...] = ()
    """Names of linear maps or nodes, or beginnings of them that end in `*`."""
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for equal steps."""
        return json.dumps([self.lever, self.component, list(self.tensors), dict(sorted(self.options.items()))])

    def __str__(self) -> str:
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        where = "" if not self.tensors else f" [{len(self.tensors)} chosen]"
        return f"{self.lever} {self.component}{where}{' ' + options if options else ''}"


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

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(each.step for each in self.done if each.kept)


def to_toml(recipe: Recipe) -> str:
    """The file's text. Strings are JSON strings, which TOML reads the same."""
    lines = [
        "# Written by `wattscribe compress`. Run again: wattscribe compress MODEL --recipe THIS_FILE -o OUT",
        f"schema = {SCHEMA}",
        f"model = {_value(recipe.model)}",
        f"device = {_value(recipe.device)}",
        f"strategy = {_value(recipe.strategy)}",
        f"seed = {recipe.seed}",
        "",
        "[calibration]",
        *(f"{key} = {_value(value)}" for key, value in recipe.calibration.items()),
    ]
    for each in recipe.done:
        lines += ["", "[[step]]", f"kept = {_value(each.kept)}", f"lever = {_value(each.step.lever)}",
                  f"component = {_value(each.step.component)}", f"reason = {_value(each.reason)}"]  # fmt: skip
        if each.step.tensors:
            lines.append("tensors = [" + ", ".join(map(_value, each.step.tensors)) + "]")
        for title, table in (("options", each.step.options), ("numbers", each.numbers)):
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
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("there is no such recipe", where=path) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"not a readable recipe: {error}", where=path) from error
    if data.get("schema") != SCHEMA:
        raise InputError(f"its schema is {data.get('schema')!r}, this version reads {SCHEMA}", where=path)
    steps = data.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(each, dict) for each in steps):
        raise InputError("`step` is not a list of tables", where=path, fix="Write each step as [[step]]")
    return Recipe(
        model=str(data.get("model", "")), device=str(data.get("device", "wearable")),
        strategy=str(data.get("strategy", "recipe")), seed=int(data.get("seed", 0)),
        calibration=data.get("calibration", {}),
        done=tuple(_done(each, number, path) for number, each in enumerate(steps, start=1)),
    )  # fmt: skip


def _done(table: Mapping[str, Any], number: int, path: Path) -> Done:
    for key in ("lever", "component"):
        if not isinstance(table.get(key), str):
            raise InputError(f"step {number} has no {key}", where=path, fix=f'Write {key} = "…"')
    from wattscribe.compress.levers import LEVERS

    if table["lever"] not in LEVERS:
        raise InputError(
            f"step {number}: there is no lever {table['lever']!r}",
            where=path,
            fix=f"One of: {', '.join(sorted(LEVERS))}",
        )
    tensors = table.get("tensors", [])
    if not isinstance(tensors, Sequence) or isinstance(tensors, str):
        raise InputError(f"step {number}: tensors is not a list", where=path)
    step = Step(
        lever=table["lever"], component=table["component"], tensors=tuple(map(str, tensors)),
        options=dict(table.get("options", {})),
    )  # fmt: skip
    return Done(
        step=step, kept=bool(table.get("kept", True)), reason=str(table.get("reason", "")),
        numbers=dict(table.get("numbers", {})),
    )  # fmt: skip
