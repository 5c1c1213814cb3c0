"""Dask clusters of this machine alone: a scheduler and workers as a user starts them, each a process on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

PATIENCE_S = 90.0


class Loopback:
    """A scheduler, and workers that can be started and killed."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self._folder, self._environment = folder, {**os.environ, **(environment or {})}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._file = folder / "scheduler.json"
        self._start("scheduler", ["dask_scheduler", "--no-dashboard", "--port", "0"])
        until(self._written)
        self.address: str = json.loads(self._file.read_text(encoding="utf-8"))["address"]

    def worker(self, name: str, *, path: Sequence[Path] = ()) -> None:
        """`path`: folders in front of the worker's PYTHONPATH."""
        places = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
        data = {"PYTHONPATH": places, "XDG_DATA_HOME": str(self._folder / f"data-{name}")}
        self._start(name, ["dask_worker", "--no-dashboard", "--name", name, "--nthreads", "1"], data)

    def kill(self, name: str) -> None:
        """The nanny and all below it, at once."""
        process = self._processes.pop(name)
        everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everybody:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        process.wait()

    def children(self, name: str) -> list[psutil.Process]:
        """All processes below a worker's nanny."""
        return psutil.Process(self._processes[name].pid).children(recursive=True)

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        module, *options = command
        full = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1", *options]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*full, "--scheduler-file", str(self._file)],
                cwd=self._folder, env={**self._environment, **(environment or {})}, stdout=log, stderr=log,
            )  # fmt: skip

    def _written(self) -> bool:
        with suppress(OSError, ValueError):
            return bool(json.loads(self._file.read_text(encoding="utf-8")))
        return False


def until(holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for it; TimeoutError where it does not come."""
    deadline_s = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not come to pass")
        time.sleep(0.05)


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Loopback]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Loopback(folder)
    try:
        yield cluster
    finally:
        cluster.close()
