"""A command of others that runs beside this process and speaks lines: started, talked to with a time limit, and surely ended."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, cast

from wattscribe.errors import InputError, RecognizerError, exit_in_words
from wattscribe.metering.processes import THREAD_VARIABLES, descendants

GRACE_S = 2.0
"""How long a command may take to end once its input is closed."""
LONGEST_LINE_BYTES = 1 << 20
"""An hour of speech is 60 kB of text."""
_KEPT_BYTES = 1 << 14
"""Of its complaints."""
_DRAINED = 16
_SHOWN = 300
"""Characters of a line, in a message."""
_STARTED_BY = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import ctypes,os,signal,sys\n"
    "signal.signal(signal.SIGINT,signal.SIG_IGN)\n"
    "if sys.platform=='linux': ctypes.CDLL(None).prctl(1,9,0,0,0)\n"
    "if os.getppid()!=int(sys.argv[1]): os._exit(4)\n"
    "try: os.execvp(sys.argv[2],sys.argv[2:])\n"
    "except OSError as error: sys.exit(f'it cannot be started: {error.strerror}')",
)
"""Becomes the command. PR_SET_PDEATHSIG (1, linux/prctl.h) has it killed with this process; Ctrl-C is for this process alone."""


def words_of(command: str) -> list[str]:
    """The command taken apart as a shell would, its first word a program that there is. Raises InputError."""
    where = f"cmd:{command}"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"this command cannot be read: {error}", where=where, fix="Close its quotes") from None
    if not words or not command.isprintable():
        raise InputError("no command is named", where=repr(where), fix="Write cmd:PROGRAM ARGUMENT…")
    program = os.path.expanduser(words[0])  # noqa: PTH111  (a user who does not exist is left as it is)
    if shutil.which(program) is None:
        lacking = "is not executable" if Path(program).is_file() else "is no program here"
        fix = "Give its path, make it executable (chmod +x), or put its interpreter first, as in cmd:python3 FILE"
        raise InputError(f"{words[0]!r} {lacking}", where=where, fix=fix)
    return [program, *words[1:]]


class Child:
    """A running command: it is told lines and says lines; of what it complains about, the last lines are kept."""

    def __init__(self, command: str, threads: int) -> None:
        self._name = f"cmd:{command}"
        self._said, self._complaints, self._silent = bytearray(), bytearray(), False
        self._process = self._started([*_STARTED_BY, str(os.getpid()), *words_of(command)], _environment(threads))
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr, self._process.stdin):
            os.set_blocking(_number(stream), False)
        for stream in (self._process.stdout, self._process.stderr):
            self._selector.register(_number(stream), selectors.EVENT_READ)

    def _started(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """By a thread that stays: the kernel kills the command when the thread that started it ends."""
        started: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()

        def keep() -> None:
            try:
                pipe = subprocess.PIPE
                process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, bufsize=0)
            except OSError as error:
                started.put(error)
                return
            started.put(process)
            process.wait()

        threading.Thread(target=keep, daemon=True).start()
        process = started.get()
        if isinstance(process, OSError):
            raise RecognizerError(f"the command cannot be started: {process.strerror}", where=self._name) from process
        return process

    def tell(self, line: bytes, within_s: float) -> None:
        """Raises RecognizerError where the command has ended, or does not read for so long."""
        deadline_s = time.monotonic() + within_s
        number, rest = _number(self._process.stdin), memoryview(line + b"\n")
        self._selector.register(number, selectors.EVENT_WRITE)
        try:
            while rest:
                if self._silent or not self._turn(deadline_s - time.monotonic()):
                    raise self.failure(f"it did not read its input for {within_s:g} s")
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(number, rest) :]
        except BrokenPipeError:
            raise self.failure("it closed its input") from None
        finally:
            self._selector.unregister(number)

    def hear(self, within_s: float) -> bytes:
        """Its next line. Raises RecognizerError where it ends, or says none for so long."""
        deadline_s = time.monotonic() + within_s
        while b"\n" not in self._said:
            if len(self._said) > LONGEST_LINE_BYTES:
                raise self.failure(f"it said a line of more than {LONGEST_LINE_BYTES >> 20} MiB: {shown(self._said)}")
            if self._silent or not self._turn(deadline_s - time.monotonic()):
                raise self.failure(f"it said nothing for {within_s:g} s")
        line, _, self._said = self._said.partition(b"\n")
        return bytes(line)

    def unasked(self) -> bytes | None:
        """A line that it has said already; None: there is none."""
        self._drain()
        return self.hear(0.0) if b"\n" in self._said else None

    def failure(self, what: str) -> RecognizerError:
        """What went wrong, with its last complaint; to be raised. Nobody knows what it would say next, so it is ended."""
        if self._silent:
            with contextlib.suppress(subprocess.TimeoutExpired):
                what = f"the command ended with {exit_in_words(self._process.wait(GRACE_S))}"
        self._kill()
        self._drain()
        last = [words for line in self._complaints.decode("utf-8", "replace").splitlines() if (words := line.strip())]
        return RecognizerError(what + (f": {last[-1][:_SHOWN]}" if last else ""), where=self._name)

    def _drain(self) -> None:
        """What lies ready, or the first megabyte of it."""
        for _ in range(_DRAINED):
            if not self._turn(0.0):
                return

    def _turn(self, within_s: float) -> bool:
        """Take what it has said and complained about; False where there was nothing to take, nor room to tell it more."""
        ready = self._selector.select(max(0.0, within_s))
        for key, _ in ready:
            if key.fd == _number(self._process.stdout):
                self._take(key.fd, self._said)
            elif key.fd == _number(self._process.stderr):
                self._take(key.fd, self._complaints)
                del self._complaints[:-_KEPT_BYTES]
        return bool(ready)

    def _take(self, number: int, into: bytearray) -> None:
        with contextlib.suppress(BlockingIOError):
            if data := os.read(number, 1 << 16):
                into += data
                return
            self._selector.unregister(number)
            self._silent = self._silent or into is self._said

    def end(self) -> None:
        """Close its input, give it time to end, kill what is left. Idempotent."""
        if self._selector.get_map() is None:
            return
        _stream(self._process.stdin).close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self._kill()
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            _stream(stream).close()

    def _kill(self) -> None:
        """It and what it started."""
        for number in [
            *descendants(self._process.pid),
            *([] if self._process.poll() is not None else [self._process.pid]),
        ]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    return cast("IO[bytes]", stream)  # Popen made a pipe of each


def _number(stream: IO[bytes] | None) -> int:
    return _stream(stream).fileno()


def shown(data: bytes | bytearray) -> str:
    return repr(data[:_SHOWN].decode("utf-8", "replace").strip())


def _environment(threads: int) -> dict[str, str]:
    """This process's, with the threads that the recognizer may use; a script of the user's finds the modules beside it."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "WATTSCRIBE_THREADS": str(threads)}
    environment.pop("PYTHONSAFEPATH", None)  # of the worker's own
    return environment
