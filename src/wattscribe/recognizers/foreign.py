"""Recognizers that others write: `python:module:Class`, and classes that a package registers (`registry.GROUP`).

A class takes a RecognizerSpec and keeps the promises of `base.Recognizer`; `wattscribe.testing.contracts` has them as checks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from wattscribe.errors import InputError, RecognizerError, WattscribeError
from wattscribe.recognizers.base import Recognizer
from wattscribe.recognizers.registry import registered_as
from wattscribe.records import RecognizerSpec


def open_class(spec: RecognizerSpec) -> Recognizer:
    """Make one of the class that the spec names. Raises InputError where there is none, RecognizerError where it fails."""
    make = _named(spec.model) if spec.runtime == "python" else registered_as(spec.runtime)
    if not callable(make):
        raise InputError(f"{spec.name} is not a class", fix="Name a class that takes a RecognizerSpec")
    try:
        return cast(Callable[[RecognizerSpec], Recognizer], make)(spec)
    except (WattscribeError, MemoryError):
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise RecognizerError(f"could not be loaded: {type(error).__name__}: {error}", where=spec.name) from error


def _named(target: str) -> object:
    """A module is looked for in the working directory too, as `python -m` does; `sys.path` is put back by whoever opens."""
    module, _, name = target.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        fix = (
            "Install what it needs"
            if error.name != module.partition(".")[0]
            else f"Install it, or run where {module}.py lies"
        )
        raise InputError(f"there is no module {error.name!r}", where=f"python:{target}", fix=fix) from error
    except AttributeError as error:
        raise InputError(f"the module {module} has no class {name!r}", where=f"python:{target}") from error
    except (ImportError, SyntaxError) as error:
        raise InputError(f"the module {module} cannot be imported: {error}", where=f"python:{target}") from error
