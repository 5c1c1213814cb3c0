"""What is said of a command that prints power (`cmd:…`), and what one line of its output says: watts, or joules counted up."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wattscribe.errors import InputError
from wattscribe.records import Processor
from wattscribe.units import J_PER_WH

PREFIX = "cmd:"
OPTIONS = ("unit", "field", "match", "every", "covers", "name", "processor", "part")
_POWER = {"w": 1.0, "watt": 1.0, "watts": 1.0, "mw": 1e-3, "milliwatts": 1e-3, "uw": 1e-6, "μw": 1e-6, "kw": 1e3}
_ENERGY = {
    "j": 1.0, "joule": 1.0, "joules": 1.0, "mj": 1e-3, "uj": 1e-6, "μj": 1e-6, "kj": 1e3, "ws": 1.0, "mws": 1e-3, "uws": 1e-6,
    "wh": J_PER_WH, "mwh": J_PER_WH / 1e3, "kwh": J_PER_WH * 1e3,
}  # fmt: skip
"""Case-folded, which makes the micro sign the Greek letter: MW and mW are one, and no device draws megawatts."""
_FIELDS = {
    "power": "w", "apower": "w", "act_power": "w", "power_w": "w", "watts": "w", "watt": "w", "power_mw": "mw",
    "milliwatts": "mw", "power_uw": "uw", "energy_j": "j", "joules": "j", "energy_mj": "mj", "energy_uj": "uj",
}  # fmt: skip
"""Keys of JSON that say what they hold: Shelly `apower`, Tasmota `Power`, Kasa `power_mw`, and those that spell their unit."""
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_WITH_UNIT = re.compile(rf"(?<![\w.])({_NUMBER})\s*([^\W\d_]{{1,10}})(?![\w/])")
LONGEST_LINE = 1 << 16
MOST_W = 1e5
"""A rack of servers. More, or less than -1 W, is no reading of anything that a recognizer runs on."""

Kind = Literal["power", "energy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """`si` in W, or J of a counter."""

    kind: Kind
    si: float
    step: float | None = None
    """Of its last printed digit."""
    unit_said: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One `cmd:` meter, as it was stated."""

    command: str
    unit: str | None = None
    field: str | None = None
    """Of JSON: the key, or the path to it (`StatusSNS.ENERGY.Power`)."""
    match: re.Pattern[str] | None = None
    """Only lines in which this is found; its first group, where it has one, is the value."""
    every_s: float | None = None
    covers: str | None = None
    name: str = "power"
    processors: tuple[Processor, ...] = ()
    part: bool = False

    @property
    def said(self) -> str:
        """The command, short enough for a table."""
        return self.command if len(self.command) <= 60 else f"{self.command[:57]}…"

    def values(self, text: str) -> list[Value]:
        """What a line, or a whole answer, says; none where it is no reading. Several: it is not clear which."""
        if len(text) > LONGEST_LINE:
            return []
        if self.match is not None:
            found = self.match.search(text)
            if found is None:
                return []
            text = found[1] if found.groups() else text
        return [value for value in self._all(text.strip()) if _is_possible(value)]

    def _all(self, text: str) -> Iterator[Value]:
        if text.startswith(("{", "[")):
            yield from self._of_json(text)
        elif self.field is None:
            if re.fullmatch(_NUMBER, text):
                yield self._value(text, None)
            else:
                for number, unit in _WITH_UNIT.findall(text):
                    if unit.casefold() in _POWER or unit.casefold() in _ENERGY:
                        yield self._value(number, unit)

    def _of_json(self, text: str) -> Iterator[Value]:
        try:
            leaves = [(path, number) for path, number in _leaves(json.loads(text)) if re.fullmatch(_NUMBER, number)]
        except (ValueError, RecursionError):
            return
        for path, value in leaves:
            last = path.rpartition(".")[2]
            if self.field is not None:
                if path == self.field or (path.endswith(f".{self.field}") and "." not in self.field):
                    yield self._value(value, _FIELDS.get(last.casefold()))
            elif last.casefold() in _FIELDS:
                yield self._value(value, _FIELDS[last.casefold()])

    def _value(self, number: str, unit: str | None) -> Value:
        """A stated unit counts before the printed one."""
        name = (self.unit or unit or "W").casefold()
        kind: Kind = "power" if name in _POWER else "energy"
        factor = _POWER[name] if kind == "power" else _ENERGY[name]
        return Value(
            kind=kind, si=float(number) * factor, step=_step(number) * factor, unit_said=(self.unit or unit) is not None
        )


def _step(number: str) -> float:
    """Of the last digit: 0.01 for `5.25`, 1 for `220`."""
    digits, _, exponent = number.casefold().partition("e")
    return float(10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])))


def _is_possible(value: Value) -> bool:
    return math.isfinite(value.si) and (value.kind == "energy" or -1.0 <= value.si <= MOST_W)


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every number by its path, as it is printed; `3.4` in quotes is one as well."""
    if isinstance(tree, Mapping):
        for key, inner in tree.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for at, inner in enumerate(tree):
            yield from _leaves(inner, f"{path}.{at}" if path else str(at))
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield path, str(tree)
    elif isinstance(tree, str) and re.fullmatch(_NUMBER, tree.strip()):
        yield path, tree.strip()


# --- what is stated ---------------------------------------------------------------------------------------------------
def parse(text: str) -> Spec:
    """`cmd:COMMAND`, or `cmd:OPTION … -- COMMAND`. Raises InputError."""
    body = text.removeprefix(PREFIX).strip()
    given, command = _apart(body)
    if not command:
        raise InputError(
            "a meter without a command", where=text, fix="Write cmd:COMMAND, for instance cmd:cat /run/watts"
        )
    unit = given.get("unit")
    if unit is not None and unit.casefold() not in {**_POWER, **_ENERGY}:
        raise InputError(
            f"{unit!r} is no unit of power or energy",
            where=text,
            fix="Known: W, mW, uW, kW, J, mJ, uJ, kJ, Wh, mWh, kWh",
        )
    return Spec(
        command=command,
        unit=unit,
        field=given.get("field"),
        match=_pattern(given.get("match"), text),
        every_s=_seconds(given.get("every"), text),
        covers=given.get("covers"),
        name=given.get("name") or "power",
        processors=_processors(given.get("processor"), text),
        part="part" in given or "processor" in given,
    )


def _apart(body: str) -> tuple[dict[str, str], str]:
    """Options in front of ` -- `; where what stands there are no options, it belongs to the command (`git log -- FILE`)."""
    head, dashes, tail = f" {body}".partition(" -- ")
    if not dashes:
        return {}, body
    try:
        words = [word.partition("=") for word in shlex.split(head)]
    except ValueError:
        return {}, body
    if any(name not in OPTIONS or bool(equals) == (name == "part") for name, equals, _ in words):
        return {}, body
    return {name: value for name, _, value in words}, tail.strip()


def _pattern(text: str | None, where: str) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InputError(f"match is no regular expression: {error}", where=where) from None


def _seconds(text: str | None, where: str) -> float | None:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0.01 <= seconds <= 3600:
        raise InputError(f"every is {text}", where=where, fix="Give seconds, from 0.01 to 3600")
    return seconds


def _processors(text: str | None, where: str) -> tuple[Processor, ...]:
    kinds: dict[str, tuple[Processor, ...]] = {"cpu": ("cpu",), "gpu": ("gpu",)}
    if text is None:
        return ()
    if text not in kinds:
        raise InputError(f"there is no processor {text!r}", where=where, fix="Give cpu or gpu, or leave it out")
    return kinds[text]
