"""SIGTERM and SIGHUP end a verb as Ctrl-C does: what was laid out for the moment is cleared away, and one line says so."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP: its terminal is closed",
}


@dataclass(slots=True)
class Ending:
    """Which signal ended the verb; SIGINT unless another came, since Python handles that one itself."""

    number: signal.Signals = signal.SIGINT

    @property
    def status(self) -> int:
        """As shells count it."""
        return 128 + self.number


@contextlib.contextmanager
def in_order() -> Iterator[Ending]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, the first time: nothing may break into the clearing away.

    Where a signal is ignored (nohup) or handled by a program around us, it stays so.
    """
    ending, owner = Ending(), os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork of a library: it ends as it would have without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif ending.number == signal.SIGINT:
            ending.number = signal.Signals(number)
            raise KeyboardInterrupt

    ours = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, end)
                ours.append(number)
    try:
        yield ending
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
