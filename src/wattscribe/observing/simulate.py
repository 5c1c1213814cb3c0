"""Run recorded calls under callgrind: one dump for each group of calls.

Python, onnxruntime and the model are opened at valgrind's plain speed; the simulator is switched on by `vgdb`, which valgrind
brings, once everything stands. The waiting process asks for orders itself, so that no right to trace it is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from wattscribe.errors import InputError, WattscribeError, exit_in_words
from wattscribe.observing.callgrind import Dump, read_dump
from wattscribe.observing.memory import Cache, options_for
from wattscribe.observing.recorded import Call, write_job
from wattscribe.observing.replayed import GO, MARK, READY
from wattscribe.runs.process import last_line, worker_environment

_POLL_BLOCKS = 200
"""Basic blocks after which the waiting process looks for orders: it sleeps most of the time."""
_ORDER_S = 120.0
"""Within which it takes one, on a busy machine too."""
_LOOK_S = 0.05
_ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def need_valgrind() -> None:
    """Raises InputError where it is not installed."""
    for program in ("valgrind", "vgdb"):
        if shutil.which(program) is None:
            raise InputError(
                f"observing memory traffic needs {program}, which is not installed",
                fix="Install it: apt install valgrind (Fedora: dnf install valgrind)",
            )


def simulate(
    model: str,
    options: Mapping[str, Any],
    calls: Sequence[Call],
    groups: Sequence[Sequence[int]],
    cache: Cache,
    say: Callable[[str], None],
) -> list[Dump]:
    """What each group of calls moved, in order, once all calls were made. Raises WattscribeError where it ends early."""
    need_valgrind()
    with _cleared_away(), TemporaryDirectory(prefix="wattscribe-observed-") as name:
        folder = Path(name)
        write_job(folder, model, options, calls, groups)
        status = _made(folder, cache, say)
        texts = [folder / f"dump.{number + 2}" for number in range(len(groups))]  # the first is of what came before
        if status or not all(path.is_file() for path in texts):
            raise _failed(status, folder)
        return [read_dump(path.read_text(encoding="utf-8", errors="replace"), path.name) for path in texts]


def _made(folder: Path, cache: Cache, say: Callable[[str], None]) -> int:
    """Run the job to its end; returns the exit status. The process is gone then, whatever happens here."""
    process: subprocess.Popen[bytes] | None = None
    with (folder / "log").open("wb") as log:
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)  # one that comes now finds a process to end
            try:
                process = subprocess.Popen(
                    _command(folder, cache),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=worker_environment(1),
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _switched_on(process, folder, say)
            return process.wait()
        finally:
            if process is not None:
                process.kill()
                process.wait()


class _EndedError(BaseException):
    """SIGTERM has come; what was laid out is cleared away on its way out."""


@contextmanager
def _cleared_away() -> Iterator[None]:
    """SIGTERM, where it would end the process at once, ends it once everything inside is cleared away: the folder, the process.

    The command line has a handler of its own, which stays.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not ours:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _EndedError

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _EndedError:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _command(folder: Path, cache: Cache) -> list[str]:
    return [
        "valgrind",
        "-q",  # no summary behind what the process says last
        "--tool=callgrind",
        "--instr-atstart=no",
        "--cache-sim=yes",
        "--simulate-wb=yes",
        "--dump-line=no",
        "--compress-strings=no",  # else a dump names things by numbers that earlier ones explain
        *options_for(cache),
        f"--dump-before={MARK}",
        f"--callgrind-out-file={folder / 'dump'}",
        f"--vgdb-prefix={folder / 'vgdb'}",
        f"--vgdb-poll={_POLL_BLOCKS}",
        sys.executable,
        "-m",
        "wattscribe.observing.replayed",
        str(folder),
        str(os.getpid()),
    ]


def _switched_on(process: subprocess.Popen[bytes], folder: Path, say: Callable[[str], None]) -> None:
    """Wait until the model is open, switch the simulator on, and let the calls begin."""
    while not (folder / READY).exists():
        if process.poll() is not None:
            raise _failed(process.returncode, folder)
        time.sleep(_LOOK_S)
    say("the model is open under valgrind; its calls are simulated")
    order = ["vgdb", f"--vgdb-prefix={folder / 'vgdb'}", f"--pid={process.pid}", "--max-invoke-ms=0"]
    try:
        answer = subprocess.run([*order, "instrumentation", "on"], capture_output=True, timeout=_ORDER_S, check=False)
    except subprocess.TimeoutExpired:
        raise WattscribeError("valgrind takes no orders from vgdb", fix="Try it again on a quieter machine") from None
    if answer.returncode:
        said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        raise WattscribeError(f"vgdb cannot switch the simulator on: {said[-1] if said else answer.returncode}")
    (folder / GO).touch()


def _failed(status: int | None, folder: Path) -> WattscribeError:
    said = last_line(folder / "log", 0) or "it said nothing"
    return WattscribeError(f"valgrind ended early ({exit_in_words(status or 0)}): {said}")
