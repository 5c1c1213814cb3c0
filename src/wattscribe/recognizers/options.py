"""Options of a spec as numbers and words, each mistake naming the option."""

from __future__ import annotations

from collections.abc import Iterable

from wattscribe.errors import InputError
from wattscribe.records import RecognizerSpec

AUTO = "auto"
MAX_TAIL_S = 60.0
"""More silence than any segment is long; it is decoded at once, so it takes memory."""


LARGEST = 1e6
"""Of any option: seconds, tokens, scores."""


def number(spec: RecognizerSpec, name: str, default: float, *, minimum: float = 0.0, maximum: float = LARGEST) -> float:
    """The option as a float from `minimum` to `maximum`. Raises InputError."""
    text = spec.options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"option {name}={text!r} is not a number", where=spec.name) from None
    if not minimum <= value <= maximum:
        raise InputError(
            f"option {name}={text} is out of range", where=spec.name, fix=f"Give {minimum:g} to {maximum:g}"
        )
    return value


def integer(spec: RecognizerSpec, name: str, default: int, *, minimum: int = 0, maximum: float = LARGEST) -> int:
    """The option as an int from `minimum` to `maximum`. Raises InputError."""
    value = number(spec, name, default, minimum=minimum, maximum=maximum)
    if value != int(value):
        raise InputError(f"option {name}={spec.options[name]} is not a whole number", where=spec.name)
    return int(value)


def choice(spec: RecognizerSpec, name: str, choices: tuple[str, ...]) -> str:
    """The option as one of `choices`, the first being the default. Raises InputError."""
    value = spec.options.get(name, choices[0])
    if value not in choices:
        raise InputError(f"option {name}={value!r} is unknown", where=spec.name, fix="One of: " + ", ".join(choices))
    return value


def refuse(spec: RecognizerSpec, names: Iterable[str], whose: str) -> None:
    """Of options that belong to another kind of model. Raises InputError."""
    for name in names:
        if name in spec.options:
            raise InputError(f"option {name} is for {whose}", where=spec.name, fix="Leave it out")


def language(spec: RecognizerSpec, *, multilingual: bool) -> str | None:
    """The language that was stated; None: to be detected, or the model has no choice. Raises InputError for one it lacks."""
    stated = spec.options.get("language", AUTO).strip().lower()
    if stated in ("", AUTO):
        return None
    if not multilingual and stated not in ("en", "english"):
        raise InputError(
            f"option language={stated}, but this model has no choice of languages",
            where=spec.name,
            fix="Leave the option out, or take a multilingual model",
        )
    return stated if multilingual else None


def flag(spec: RecognizerSpec, name: str) -> bool:
    """The option as true or false (default). Raises InputError."""
    return choice(spec, name, ("false", "true")) == "true"
