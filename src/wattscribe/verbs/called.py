"""What holds for every verb that is called as a function: its keywords are checked, and the process is left as it was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import unwrap
from typing import Any, TypeVar, cast

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, did_you_mean

Say = Callable[[str], None]
"""Hears what a verb is doing, a line at a time; None where nobody listens."""

Function = TypeVar("Function", bound=Callable[..., Any])


def silent(_: str) -> None:
    """Nobody listens."""


def checked(function: Function) -> Function:
    """Refuse a keyword that the function does not have with an InputError that names the nearest one.

    A type checker finds the same mistake before; what calls from a notebook or with a dictionary of options has none.
    """
    code = unwrap(function).__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def called(*given: Any, **options: Any) -> Any:
        for name in options:
            if name not in names:
                raise InputError(
                    f"wattscribe.{function.__name__} has no option {name!r}",
                    fix=did_you_mean(name, names) or f"It has: {', '.join(names)}",
                )
        return function(*given, **options)

    return cast(Function, called)


def verb(function: Function) -> Function:
    """Checked, and called so that libraries leave the process as they found it."""
    return checked(as_found()(function))
