"""A clock that moves only when it is told to."""

from __future__ import annotations


class FakeClock:
    """Stands in for the monotonic clock: `sleep` and `advance` move it, nothing else does."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        """Move on. Raises ValueError for a negative step: the monotonic clock never goes back."""
        if duration_s < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-duration_s} s")
        self._now_s += duration_s
