"""A graph that nobody has seen running may have a loop without an end: its first run is ended after a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONGEST_S = 60.0
"""A segment takes milliseconds, and a minute of it all on the slowest board."""
ENDED = "terminate flag"
"""What onnxruntime says of a run that was ended."""


@contextmanager
def limited(options: Any) -> Iterator[None]:
    """Ends the run that has these RunOptions after `LONGEST_S`; onnxruntime looks between two operators, in loops too."""
    timer = threading.Timer(LONGEST_S, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def endless() -> str:
    """Why it was ended, for the message."""
    return f"one run of it takes more than {LONGEST_S:g} s: it may have a loop without an end"
