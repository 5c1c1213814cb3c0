"""Text that others wrote, with every limit of its bytes, numbers and nesting in one place: files, TOML and JSON.

What passes here holds no surprise for whoever uses it: no integer that Python refuses to print or a float cannot hold, no NUL
that no path may have, no NaN in JSON, no nesting that ends in a RecursionError, no pipe that never ends.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wattscribe import as_file
from wattscribe.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_BYTES = 1 << 26
"""Of a file that people write; lists of speech have a limit of their own."""
LARGEST_INTEGER = (1 << 63) - 1
"""TOML's integers have 64 bits, as every format of ours that stores them."""
MOST_DIGITS = 18
"""So many fit into 64 bits, whatever they are."""
LARGEST_NUMBER = 10**300
"""Of JSON's integers, which have no bits: what a float can hold, sums and products of it too."""
DEEPEST = 100
"""Tables within tables; no file of ours has ten."""


def read_bytes(path: Path, *, largest: int = LARGEST_BYTES) -> bytes:
    """The bytes of an ordinary file. Raises OSError as `as_file` does, and InputError for too much."""
    try:
        with as_file.open_bytes(path) as file:
            data = file.read(largest + 1)
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    if len(data) > largest:
        raise InputError(f"this file has more than {largest >> 20} MiB", where=path, fix="Is it the right one?")
    return data


def read_text(path: Path, *, largest: int = LARGEST_BYTES) -> str:
    """The file as UTF-8, without a byte-order mark; line ends become line feeds.

    Raises OSError, UnicodeDecodeError, and InputError as `read_bytes`.
    """
    text = read_bytes(path, largest=largest).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_toml(path: Path, *, what: str, fix: str | None = None) -> dict[str, Any]:
    """The tables of a TOML file. Raises InputError, which calls the file `what`, for anything that is none."""
    try:
        values = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}", where=path, fix=fix) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{what} is not TOML: {error}", where=path, fix=fix) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not TOML: it is not UTF-8 ({error.reason})", where=path, fix=fix) from error
    except RecursionError as error:
        raise InputError(f"{what} is nested too deeply", where=path, fix=fix) from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise InputError(f"{what} holds a number with too many digits", where=path, fix=fix) from error
    if (strange := _strange(values)) is not None:
        raise InputError(f"{what}: {strange}", where=path, fix=fix)
    return values


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, in one line of words, for what is none, and for what no JSON may hold."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("broken JSON: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("broken JSON: it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error}") from error


def read_json(path: Path, *, what: str, fix: str | None = None) -> Any:
    """The value of a JSON file. Raises InputError, which calls the file `what`, for anything that is none."""
    try:
        return parse_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}", where=path, fix=fix) from error
    except ValueError as error:
        raise InputError(f"{what} cannot be read: {error}", where=path, fix=fix) from error


def whole(text: str) -> int | None:
    """A number of ASCII digits that fits into 64 bits; None for anything else, also for digits of other scripts (`²`)."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > 302 or abs(value := int(text)) > LARGEST_NUMBER:
        raise ValueError("a number has too many digits")
    return value


def _strange(value: Any, place: str = "", depth: int = 0) -> str | None:
    """What no key of ours can take, and where it stands; None where there is nothing of the kind."""
    if depth > DEEPEST:
        return f"{place[:40]}… is nested too deeply"
    if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return f"{place} is a number with too many digits"
    if isinstance(value, str) and "\0" in value:
        return f"{place} holds the character NUL"
    inside = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        at = f"{place}.{key}" if isinstance(value, Mapping) else f"{place}[{key}]"
        if (oddity := _strange(item, at.removeprefix("."), depth + 1)) is not None:
            return oddity
    return None
