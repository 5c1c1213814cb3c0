"""The runner's end of the pipes to one worker, and what a worker's death means."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wattscribe.as_found import TELEMETRY_OFF
from wattscribe.metering.processes import THREAD_VARIABLES
from wattscribe.runs.protocol import Message, decode, encode

EXIT_GRACE_S = 10.0
"""How long a worker may take to end after its last word."""
LOG_TAIL_BYTES = 1 << 16
FAULT_HANDLER = "Fatal Python error: "
"""How Python begins to say where it was when a library crashed; the library's own last words stand above."""


PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>: the signal that a process gets when its parent dies."""
EXIT_ORPHANED = 4


class WorkerGoneError(Exception):
    """The worker's pipe is at its end; not for users, the runner turns it into a reason."""


class WorkerProcess:
    """A worker that lives: send it a Job, read what it says. Always `end` it."""

    def __init__(self, log: BinaryIO, threads: int) -> None:
        worker_in, self._sink = os.pipe()
        self._source, worker_out = os.pipe()
        self._oom_kills = _oom_kills()
        try:
            with _interrupts_later():
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "wattscribe.runs.worker",
                        str(worker_in),
                        str(worker_out),
                        str(os.getpid()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(worker_in, worker_out),
                    start_new_session=True,
                    env=worker_environment(threads),
                )
        finally:
            os.close(worker_in)
            os.close(worker_out)
        self._buffer = bytearray()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> None:
        """Raises WorkerGoneError when nobody listens any more."""
        data = memoryview(encode(message))
        try:
            while data:
                data = data[os.write(self._sink, data) :]
        except BrokenPipeError as error:
            raise WorkerGoneError from error

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None when none came in time. Raises WorkerGoneError, ValueError for what is no message."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                return decode(bytes(line))
            ready, _, _ = select.select([self._source], [], [], max(0.0, deadline_s - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._source, 1 << 16)
            if not data:
                raise WorkerGoneError
            self._buffer += data

    def end(self, *, kill: bool) -> int:
        """Close the pipes, wait for the worker (or kill it and its children at once); its exit status. Idempotent."""
        if self._process.returncode is not None:
            return self._process.returncode
        for descriptor in (self._sink, self._source):
            if descriptor >= 0:
                os.close(descriptor)
        self._sink = self._source = -1
        if not kill:
            try:
                return self._process.wait(EXIT_GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        self._kill_group()
        return self._process.wait()

    def killed_for_memory(self) -> bool:
        """Whether the kernel has killed for memory since this worker started."""
        before, now = self._oom_kills, _oom_kills()
        return before is not None and now is not None and now > before

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self._process.kill()


def worker_environment(threads: int) -> dict[str, str]:
    """What every process that runs a recognizer finds."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    # A file in the current directory must not stand in for a library (understood from Python 3.11 on).
    return {**environment, "PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false", **TELEMETRY_OFF}


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """A process that is started inside holds SIGINT back until `ended_by_interrupts`.

    Else one that comes while it imports is an error of whatever module it meets, or, where the runner is a shell's background
    job, which ignores SIGINT, is lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ended_by_interrupts() -> None:
    """SIGINT ends this process as SIGTERM does; Python's own handler would make it an error that the recognizer raised."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def die_with(parent: int) -> None:
    """Let the kernel kill this process with the runner, also while a library holds the interpreter.

    Only Linux can. Elsewhere a worker notices at its pipe that the runner is gone, as soon as the interpreter is free.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(EXIT_ORPHANED)


def last_line(log: Path, start_bytes: int) -> str | None:
    """The last non-empty line that a worker left in the log behind `start_bytes`: usually a library's own complaint."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start_bytes, end - LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    written = [line.strip() for line in lines if line.strip()]
    crash = next((at for at, line in enumerate(written) if line.startswith(FAULT_HANDLER)), len(written))
    own = written[:crash] or written[crash : crash + 1]  # what stands below is Python's account of it
    return own[-1][:300] if own else None


def _oom_kills() -> int | None:
    """The kernel's count of processes killed for memory (Linux 4.13 and later)."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        return None
    return None
