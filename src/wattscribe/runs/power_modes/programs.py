"""Programs that set the machine, run so that none waits for an answer, with all that they print."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from wattscribe.errors import InputError
from wattscribe.metering import Host
from wattscribe.metering.host import NoCommands

TIMEOUT_S = 60.0
"""nvpmodel takes seconds where it turns cores on or off."""
AS_ROOT = "Run the bench as root (sudo), or let this user write it"


class ModeError(InputError):
    """A power mode cannot be set, or does not hold."""


def call(host: Host, arguments: Sequence[str]) -> tuple[int, str]:
    """Exit status, and standard output with standard error. Raises ModeError where the program is missing or hangs.

    Standard input is empty: nvpmodel asks whether to reboot, jetson_clocks whether to overwrite, and no answer means no.
    """
    missing = ModeError("this program is not installed", where=arguments[0], fix="Leave it out of [[modes]]")
    if isinstance(host.commands, NoCommands):
        raise missing
    try:
        done = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise missing from None
    except OSError as error:
        raise ModeError(f"this program cannot be run: {error.strerror}", where=arguments[0], fix=AS_ROOT) from error
    except subprocess.TimeoutExpired:
        raise ModeError(f"no answer within {TIMEOUT_S:g} s", where=" ".join(arguments)) from None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def must(host: Host, arguments: Sequence[str]) -> str:
    """What a program prints that succeeds. Raises ModeError with its last line where it does not."""
    status, text = call(host, arguments)
    if status != 0:
        raise ModeError(f"exit status {status}: {last_line(text)}", where=" ".join(arguments), fix=AS_ROOT)
    return text


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
