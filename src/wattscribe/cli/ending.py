"""SIGTERM and SIGHUP end a verb as Ctrl-C does: what was laid out for the moment is cleared away, and one line says so.

Nothing breaks into the clearing away, a second Ctrl-C neither: it would leave prepared speech and workers behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

CLEARING_S = 10.0
"""For so long after a signal others are ignored. What takes longer hangs, and may be interrupted again."""
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP: its terminal is closed",
}
_OWN: Mapping[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""What Python sets: a signal that is ignored (nohup) or handled by a program around us stays so."""


@dataclass(slots=True)
class Ending:
    """Which signal ended the verb, the first of them, and when."""

    number: signal.Signals = signal.SIGINT
    since_s: float | None = None

    @property
    def status(self) -> int:
        """As shells count it."""
        return 128 + self.number

    def on_signal(self, number: int) -> None:
        """Raises KeyboardInterrupt, unless one was raised a moment ago."""
        now_s = time.monotonic()
        if self.since_s is not None and now_s - self.since_s < CLEARING_S:
            return
        if self.since_s is None:
            self.number = signal.Signals(number)
        self.since_s = now_s
        raise KeyboardInterrupt


@contextlib.contextmanager
def in_order() -> Iterator[Ending]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, the first of them alone."""
    ending, owner = Ending(), os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            ending.on_signal(number)
        elif number == signal.SIGINT:  # a fork of a library: it ends as it would have without us
            signal.default_int_handler(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    ours = []
    if threading.current_thread() is threading.main_thread():
        for number, handler in _OWN.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, end)
                ours.append(number)
    try:
        yield ending
    finally:
        for number in ours:
            signal.signal(number, _OWN[number])
