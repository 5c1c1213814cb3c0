"""One exception tree: every message says what was wrong, where, and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_WHEEL = frozenset({("pocketsphinx", "aarch64")})
"""Extras that `pyproject.toml` leaves empty on a processor for which there is no wheel."""

_ENDLESS = re.compile(r"(\S{200})\S{4000,}(\S{50})")


def shortened(text: str) -> str:
    """The text with every word that is longer than any path, a number of 5,000 digits for instance, reduced to its ends."""
    return _ENDLESS.sub(r"\1…\2", text)


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """`did you mean seed?` for a name that is mistyped, shortened or from an earlier version; None where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]}?" if near else None


def exit_in_words(status: int) -> str:
    """How a process ended: `exit status 3` or `signal SIGSEGV`."""
    if status >= 0:
        return f"exit status {status}"
    import signal

    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


class WattscribeError(Exception):
    """Base of every error a user can fix; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, what: str, *, where: object | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        super().__init__(what, where, fix)

    def __str__(self) -> str:
        message = self.what if self.where is None else f"{self.where}: {self.what}"
        return shortened(message if self.fix is None else f"{message}. {self.fix}")


class InputError(WattscribeError):
    """Bad data, option or file: the user's input is at fault."""

    exit_code = 2


class MissingExtraError(WattscribeError):
    """An optional dependency is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str, *, needed_for: str) -> None:
        from platform import machine

        fix = f"Install it: pip install 'wattscribe[{extra}]'"
        if (extra, machine()) in NO_WHEEL:
            fix = f"It has no wheel for {machine()}; with a C compiler and Python's headers: pip install {package}"
        super().__init__(f"{needed_for} needs the package {package!r}", fix=fix)


class MeterError(WattscribeError):
    """A sensor is missing, forbidden or failing: the figure is unavailable, never zero."""


class WindowTooShortError(MeterError):
    """The window holds too few sensor updates for an energy figure."""


class RecognizerError(WattscribeError):
    """A recognizer could not be loaded or failed on an input."""


class ModelError(WattscribeError):
    """A model directory is incomplete, inconsistent or cannot be executed."""

    exit_code = 2


class TrainingError(WattscribeError):
    """Training cannot start or continue."""
