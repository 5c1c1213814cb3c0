"""What a field of the training file may hold, declared beside the field: pydantic checks it, and the error says it in words."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, ConfigDict, InstanceOf, TypeAdapter, ValidationError

from wattscribe.errors import InputError

LARGEST = 1e300
"""Above it a number of a training file is taken for infinite."""


def _rises(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("falls")
    return pair


Rising = AfterValidator(_rises)
"""Of a pair: the first is not above the second."""
Some = MinLen(1)
"""Of a list: it is not empty."""
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Finite = Annotated[float, Ge(-LARGEST), Le(LARGEST)]
Positive = Annotated[float, Gt(0), Le(LARGEST)]
NotNegative = Annotated[float, Ge(0), Le(LARGEST)]
Share = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Ge(0), Le(math.inf)]
"""An interval that may be infinite: never."""


def check(record: Any, section: str) -> None:
    """Refuse a record of which a field is of another kind or outside its range.

    Raises InputError with the field's place in the training file, its value and what is allowed.
    """
    for name, kind in _kinds(record.__class__).items():
        value = getattr(record, name)
        try:
            _checker(kind).validate_python(value.item() if hasattr(value, "item") else value)  # numpy's numbers too
        except ValidationError:
            raise InputError(f"{section}.{name}".lstrip(".") + f" = {value!r}", fix=f"Give {_words(kind)}") from None


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


@functools.cache
def _checker(kind: Any) -> TypeAdapter[Any]:
    """Strict: True is no number, "2" is none, and 64.5 is no whole one. Records inside were checked when they were made."""
    if dataclasses.is_dataclass(kind):
        return TypeAdapter(InstanceOf[kind])
    return TypeAdapter(kind, config=ConfigDict(strict=True))


_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}


def _words(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _words(parts[0]) + "".join(map(_limit, parts[1:]))
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


def _limit(limit: Any) -> str:
    """` from 0`, ` above 0`, ` to 1`: what is as good as no limit is not said."""
    if limit is Rising:
        return ", the smaller first"
    if isinstance(limit, MinLen):
        return ", at least one"
    bound, word = (
        (limit.gt, "above")
        if isinstance(limit, Gt)
        else (limit.ge, "from")
        if isinstance(limit, Ge)
        else (limit.le, "to")
    )
    return "" if abs(typing.cast(float, bound)) >= LARGEST else f" {word} {bound:g}"
