"""Limits as people type them: `5%`, `0.2`, `500MB`."""

from __future__ import annotations

import math
import re

from wattscribe.errors import InputError

UNITS = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}


def percent_of(text: str, *, flag: str) -> float:
    """`3%`, `3 %` or `3` → 3. Raises InputError on anything else and on negative numbers."""
    return _number(text.strip().removesuffix("%").strip(), flag, text, example="3%")


def fraction_of_percent(text: str, *, flag: str) -> float:
    """`3%`, `3 %` or `3` → 0.03. Raises InputError on anything else and on negative numbers."""
    return percent_of(text, flag=flag) / 100.0


def watts_of(text: str, *, flag: str) -> float:
    """`3`, `3W` or `3 W` → watts. Raises InputError on anything else and on negative numbers."""
    return _number(text.strip().removesuffix("W").strip(), flag, text, example="3")


def bytes_of(text: str, *, flag: str) -> float:
    """`500MB`, `2 GiB`, `123456` → bytes. Raises InputError."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in UNITS:
        raise InputError(f"{flag} {text!r} is not an amount of memory", fix=f"Write for instance {flag} 500MB")
    return _number(match[1], flag, text, example="500MB") * UNITS[match[2].lower()]


def _number(digits: str, flag: str, text: str, *, example: str) -> float:
    try:
        value = float(digits)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{flag} {text!r} is not a number of 0 or more", fix=f"Write for instance {flag} {example}")
    return value
