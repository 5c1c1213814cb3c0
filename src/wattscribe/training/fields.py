"""What a field may hold, declared beside the field and checked in one place: kinds, choices and ranges."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal

from wattscribe.errors import InputError

LARGEST = 1e300
"""Above it a number of a training file is taken for infinite."""


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a number, both allowed; with `apart` the lower one is not."""

    low: float = -LARGEST
    high: float = LARGEST
    apart: bool = False

    def holds(self, value: Any) -> bool:
        return self.low <= value <= self.high and not (self.apart and value == self.low)

    def __str__(self) -> str:
        low = "" if self.low == -LARGEST else f" above {self.low:g}" if self.apart else f" from {self.low:g}"
        return f"{low}{'' if self.high >= LARGEST else f' to {self.high:g}'}"


class Rising:
    """Of a pair: the first is not above the second."""

    def holds(self, value: Any) -> bool:
        return bool(value[0] <= value[1])

    def __str__(self) -> str:
        return ", the smaller first"


class Some:
    """Of a list: it is not empty."""

    def holds(self, value: Any) -> bool:
        return len(value) > 0

    def __str__(self) -> str:
        return ", at least one"


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Finite = Annotated[float, Within()]
Positive = Annotated[float, Within(0, apart=True)]
NotNegative = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Seconds = Annotated[float, Within(0, math.inf)]
"""An interval that may be infinite: never."""


def check(record: Any, section: str) -> None:
    """Refuse a record of which a field is of another kind or outside its range.

    Raises InputError with the field's place in the training file, its value and what is allowed.
    """
    for name, kind in _kinds(record.__class__).items():
        value = getattr(record, name)
        if not _fits(kind, value):
            raise InputError(f"{section}.{name}".lstrip(".") + f" = {value!r}", fix=f"Give {_words(kind)}")


@contextmanager
def at(where: Path) -> Iterator[None]:
    """Errors of the input name this file where they name none."""
    try:
        yield
    except InputError as error:
        if error.where is not None:
            raise
        raise InputError(error.what, where=where, fix=error.fix) from error


@functools.cache
def _kinds(record: type) -> Mapping[str, Any]:
    return typing.get_type_hints(record, include_extras=True)


def _fits(kind: Any, value: Any) -> bool:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _fits(parts[0], value) and all(limit.holds(value) for limit in parts[1:])
    if origin in (typing.Union, types.UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        wanted = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return len(value) == len(wanted) and all(map(_fits, wanted, value))
    if origin is not None:  # Mapping[str, …]
        return isinstance(value, Mapping) and all(_fits(parts[1], item) for item in value.values())
    if kind in (int, float):  # numpy's numbers too; True is no number
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return kind is Any or isinstance(value, kind)


_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}


def _words(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        limits = "".join(str(limit) for limit in parts[1:])
        return f"{_words(parts[0])}{limits}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in parts if part is not type(None))
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin is tuple:
        return (
            f"a list of {_words(parts[0])}" if parts[-1] is Ellipsis else f"a list of {len(parts)}: {_words(parts[0])}"
        )
    if origin is not None:
        return f"a table, each of it {_words(parts[1])}" if parts[1] is not Any else "a table"
    return "a table" if dataclasses.is_dataclass(kind) else _NAMES.get(kind, "anything")
