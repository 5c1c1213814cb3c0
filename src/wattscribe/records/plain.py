"""Records ↔ plain data: dicts, lists and scalars, as JSON has them."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def to_json(record: Any) -> Any:
    """A record → plain dicts, lists and scalars."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    return record


def finite(value: Any) -> Any:
    """The same value with every float that is not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON as every reader takes it: what is not finite is null, since JSON has neither NaN nor infinities."""
    return json.dumps(finite(to_json(value)), indent=indent, ensure_ascii=False, allow_nan=False)


def from_json(kind: type[T], value: Any, *, strict: bool = False) -> T:
    """Plain data → the record `kind`; unknown keys are an error of the caller's version, so they raise TypeError.

    `strict`: text, numbers and choices must be what their fields say, too; otherwise the caller checks them.
    """
    return typing.cast(T, _restore(kind, value, strict))


_SCALARS = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}


def _has_default(field_: dataclasses.Field[Any]) -> bool:
    return field_.default is not dataclasses.MISSING or field_.default_factory is not dataclasses.MISSING


@functools.cache
def _required(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init and not _has_default(field))


@functools.cache
def _shape(kind: Any) -> tuple[Any, Any]:
    """What a kind is made with (`tuple`, `Literal`, …), and what stands there unless it is None, where it may be None."""
    origin = typing.get_origin(kind)
    if origin not in (typing.Union, types.UnionType):
        return origin, None
    return origin, next(option for option in typing.get_args(kind) if option is not type(None))


def _restore(kind: Any, value: Any, strict: bool) -> Any:
    if type(value) is kind and kind in _SCALARS:
        return value
    origin, otherwise = _shape(kind)
    if otherwise is not None:
        return None if value is None else _restore(otherwise, value, strict)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise TypeError(f"a table is expected, not {_shown(value)}")
        return _restore_record(kind, value, strict)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"a list is expected, not {_shown(value)}")
        items = typing.get_args(kind)
        if len(items) == 2 and items[1] is Ellipsis:
            return tuple(_restore(items[0], item, strict) for item in value)
        if len(value) != len(items):
            raise TypeError(f"a list of {len(items)} is expected, not {_shown(value)}")
        return tuple(_restore(item_kind, item, strict) for item_kind, item in zip(items, value, strict=True))
    if kind is float and isinstance(value, int) and not (strict and isinstance(value, bool)):
        return _as_float(value)
    return _checked(kind, origin, value) if strict else value


def _restore_record(kind: type, value: Mapping[str, Any], strict: bool) -> Any:
    """A journal has millions of fields that are a scalar or missing already: those are not looked at further."""
    known = _fields(kind)
    if strange := [str(key) for key in value if key not in known]:
        raise TypeError(f"there is no {strange[0]} among {', '.join(known)}")
    if absent := [name for name in _required(kind) if name not in value]:
        raise TypeError(f"{', '.join(absent)} is missing")
    restored = {}
    for key, item in value.items():
        hint, at_once = known[key]
        restored[key] = item if type(item) in at_once else _restore_field(key, hint, item, strict)
    return kind(**restored)


@functools.cache
def _fields(kind: type) -> Mapping[str, tuple[Any, tuple[type, ...]]]:
    """Each field with its kind, and the types whose values are what it says as they are."""
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        _, otherwise = _shape(hint)
        scalar = hint if otherwise is None else otherwise
        found[name] = (hint, (*([scalar] if scalar in _SCALARS else []), *([] if otherwise is None else [type(None)])))
    return found


def _checked(kind: Any, origin: Any, value: Any) -> Any:
    """A scalar, a choice or a table as it is. Raises TypeError where its kind is another."""
    if kind in _SCALARS and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise TypeError(f"{_SCALARS[kind]} is expected, not {_shown(value)}")
    if origin is Literal and value not in typing.get_args(kind):
        raise TypeError(f"one of {', '.join(map(str, typing.get_args(kind)))} is expected, not {_shown(value)}")
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise TypeError(f"a table is expected, not {_shown(value)}")
        item_kind = typing.get_args(kind)[1]
        return {key: _restore_field(str(key), item_kind, item, True) for key, item in value.items()}
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise TypeError("the number is out of range") from error


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _restore_field(key: str, kind: Any, value: Any, strict: bool) -> Any:
    try:
        return _restore(kind, value, strict)
    except TypeError as error:
        raise TypeError(f"{key}: {error}") from error
