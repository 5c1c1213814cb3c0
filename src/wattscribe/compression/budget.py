"""A search that is cut short, by the clock or by Ctrl-C, ends with the best that holds so far."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class CutShort(Exception):
    """Raised between two measurements of a search, so that nothing is left half done."""


class Budget:
    """Time from now on, and whether somebody has asked to end. It bounds the search alone: what is chosen is proven in full."""

    def __init__(self, minutes: float | None = None) -> None:
        self.minutes = minutes
        self.cut: str | None = None
        """Why the search ended early."""
        self._ends_s = None if minutes is None else time.monotonic() + 60 * minutes
        self._searching = self._asked = False
        self._before: Any = None

    def check(self) -> None:
        """To be called between measurements. Raises CutShort, once, and only while something searches."""
        if not self._searching:
            return
        if self._asked:
            self.cut = "by an interrupt"
        elif self._ends_s is not None and time.monotonic() >= self._ends_s:
            self.cut = f"after {self.minutes:g} minutes"
        if self.cut is not None:
            self._searching = False
            raise CutShort(self.cut)

    @contextmanager
    def searching(self, say: Callable[[str], None]) -> Iterator[None]:
        """What is inside may end early: the first Ctrl-C is held until `check`, the second one interrupts at once."""
        self._searching, self._asked, self.cut = True, False, None
        self._before = self._take_interrupts()
        try:
            yield
        except CutShort:
            say(f"the search is cut short {self.cut}: the best so far is kept and proven")
        finally:
            self._searching = False
            if self._before is not None:
                signal.signal(signal.SIGINT, self._before)

    def _take_interrupts(self) -> Any:
        """The handler of SIGINT until now; None where another thread searches, or Python did not set it."""
        if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
            return None
        return signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self._asked and self._searching:
            self._asked = True
        elif callable(self._before):  # whoever clears up after an interrupt knows of this one
            self._before(number, frame)
        else:
            raise KeyboardInterrupt
