"""Which of a graph's maps or nodes a step means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from wattscribe.errors import InputError


def chosen(names: Iterable[str], patterns: Sequence[str], what: str, gone: Collection[str] = ()) -> list[str]:
    """Names that match one of the patterns (`*` at either end), in order; all of them for no pattern.

    `gone`: names that an earlier step took away. Raises InputError for a pattern that matches nothing: a recipe that belongs to
    another model.
    """
    names = list(names)
    if not patterns:
        return names
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in (*names, *gone)):
            raise InputError(f"the {what} has no {pattern!r}", fix="Use the recipe on the model that it was made for")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
