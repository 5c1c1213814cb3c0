"""What holds for every verb that is called as a function: its keywords are checked, and the process is left as it was found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, did_you_mean

Say = Callable[[str], None]
"""Is told what a verb is doing, a line at a time; None: nobody is."""

Function = TypeVar("Function", bound=Callable[..., Any])
Keywords = ParamSpec("Keywords")
Given = TypeVar("Given")
Answer = TypeVar("Answer")


def silent(_: str) -> None:
    """Drop the line."""


def checked(function: Function) -> Function:
    """Refuse a keyword that the function does not have with an InputError that names the nearest one.

    A type checker finds the same mistake before; what calls from a notebook or with a dictionary of options has none.
    """
    names = list(inspect.signature(function).parameters)

    @wraps(function)
    def called(*given: Any, **options: Any) -> Any:
        _refuse_unknown(function.__name__, options, names)
        return function(*given, **options)

    return cast(Function, called)


def _refuse_unknown(verb: str, given: Iterable[str], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise InputError(
                f"wattscribe.{verb} has no option {name!r}",
                fix=did_you_mean(name, names) or f"It has: {', '.join(names)}",
            )


def verb(function: Function) -> Function:
    """Checked, and called so that libraries leave the process as they found it."""
    return checked(as_found()(function))


def of_model(
    options: Callable[Keywords, Given],
) -> Callable[[Callable[[str, Given], Answer]], Callable[Concatenate[str, Keywords], Answer]]:
    """A verb about `model` whose keywords are the fields of a class of options: written once, there.

    Type checkers see them as if they were written out; `inspect.signature` and the refusal of unknown ones as well.
    """
    return _with_options(options, {"model": str})  # type: ignore[no-any-return]


def model_into(
    options: Callable[Keywords, Given],
) -> Callable[
    [Callable[[Path | str, Path | str, Given], Answer]],
    Callable[Concatenate[Path | str, Path | str, Keywords], Answer],
]:
    """The same for a verb that makes `out` of `model`."""
    return _with_options(options, {"model": Path | str, "out": Path | str})  # type: ignore[no-any-return]


def _with_options(options: Callable[..., Any], leading: Mapping[str, Any]) -> Any:
    def decorated(function: Callable[..., Answer]) -> Any:
        either = inspect.Parameter.POSITIONAL_OR_KEYWORD
        first = [inspect.Parameter(name, either, annotation=annotation) for name, annotation in leading.items()]
        signature = inspect.Signature([*first, *inspect.signature(options).parameters.values()])
        names = list(signature.parameters)

        @wraps(function)
        def called(*given: Any, **keywords: Any) -> Answer:
            _refuse_unknown(function.__name__, keywords, names)
            bound = signature.bind(*given, **keywords).arguments
            arguments = [bound.pop(name) for name in leading]
            with as_found():
                return function(*arguments, options(**bound))

        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return decorated
