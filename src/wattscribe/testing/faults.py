"""Files and commands that fail as real ones do."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering.files import SensorFiles


class FaultyFiles(SensorFiles):
    """A file tree of which reads fail on demand: `fail("curr1_input", errno.EAGAIN)` until `heal`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._faults: dict[str, tuple[int, int | None]] = {}

    def fail(self, ending: str, error: int, times: int | None = None) -> None:
        """Let reads of paths that end so fail with this errno, for ever or some times. errno 0: the file reads empty."""
        self._faults[ending] = (error, times)

    def heal(self, ending: str | None = None) -> None:
        """Undo one fault, or all."""
        if ending is None:
            self._faults.clear()
        else:
            self._faults.pop(ending, None)

    def pread(self, path: Path, fd: int) -> bytes:
        for ending, (error, times) in list(self._faults.items()):
            if str(path).endswith(ending) and times != 0:
                self._faults[ending] = (error, None if times is None else times - 1)
                if error == 0:
                    return b""
                raise OSError(error, os.strerror(error), str(path))
        return super().pread(path, fd)


EVERY_READ_ERROR = (errno.EAGAIN, errno.ENODATA, errno.EACCES, errno.EIO, errno.ETIMEDOUT)
"""What a register read behind a slow bus has been seen to fail with."""


class FakeCommands:
    """Answers commands from text: `answers["vcgencmd pmic_read_adc"]` is a text, a function of it, or a MeterError.

    `lines["tegrastats"]` feeds a stream line by line; the stream stays open after the last one unless `ends`.
    """

    def __init__(
        self,
        answers: Mapping[str, str | MeterError | Callable[[], str]] | None = None,
        lines: Mapping[str, Sequence[str]] | None = None,
        *,
        ends: bool = False,
    ) -> None:
        self.answers = dict(answers or {})
        self.lines = {name: list(text) for name, text in (lines or {}).items()}
        self.started: list[FakeLines] = []
        self._ends = ends

    def run(self, arguments: Sequence[str], *, timeout_s: float = 5.0) -> str:
        answer = self.answers.get(" ".join(arguments))
        if answer is None:
            raise MeterError("this program is not installed", where=arguments[0])
        if isinstance(answer, MeterError):
            raise answer
        return answer if isinstance(answer, str) else answer()

    def stream(self, arguments: Sequence[str]) -> FakeLines:
        if arguments[0] not in self.lines:
            raise MeterError("this program is not installed", where=arguments[0])
        stream = FakeLines(self.lines[arguments[0]], ends=self._ends)
        self.started.append(stream)
        return stream


class FakeLines:
    """A running program's output under the test's control."""

    def __init__(self, lines: Sequence[str], *, ends: bool = False) -> None:
        self._waiting = list(lines)
        self._changed = threading.Condition()
        self._ends = ends
        self._reader_waits = False

    def say(self, line: str) -> None:
        """Print one more line; returns when the reader has dealt with it and waits for the next."""
        with self._changed:
            self._waiting.append(line)
            self._changed.notify_all()
            self._changed.wait_for(lambda: (not self._waiting and self._reader_waits) or self._ends, timeout=5.0)

    def end(self) -> None:
        """The program exits."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()

    close = end

    def __iter__(self) -> Iterator[str]:
        while True:
            with self._changed:
                self._reader_waits = not self._waiting
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ends)
                self._reader_waits = False
                if not self._waiting:
                    return
                line = self._waiting.pop(0)
            yield line
