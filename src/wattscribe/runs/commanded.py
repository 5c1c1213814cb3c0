"""A command run to its end while it is measured: signals reach it, and its status is ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from wattscribe.errors import InputError
from wattscribe.runs.measuring import Measurement

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""As shells, `env` and `time` say it."""


def findable(command: Sequence[str]) -> int | None:
    """None for a command that can be started; else the status that says why not. Raises InputError for none at all."""
    if not command:
        raise InputError("there is no command to measure", fix="Write: wattscribe measure -- COMMAND …")
    if shutil.which(command[0]) is not None:
        return None
    return NOT_RUNNABLE if os.sep in command[0] and os.path.exists(command[0]) else NOT_FOUND  # noqa: PTH110 - a word, no path


def run(command: Sequence[str], measurement: Measurement) -> int:
    """Run it inside the measurement; its exit status, for a signal 128 more than that. Standard streams are the command's.

    SIGTERM and SIGHUP are handed on, and SIGINT where no terminal has given it to both; the measurement ends with the command.
    """
    with measurement:
        process = subprocess.Popen(list(command))
        with _handed_on(process):
            status = process.wait()
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _handed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def give(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _has_terminal():
            process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, give) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Whether we are a terminal's foreground: then Ctrl-C has reached the command as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
