"""The machine that is measured, as one value: its files, commands, clock and NVIDIA library. Everything else is passed this."""

from __future__ import annotations

import importlib
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wattscribe.errors import InputError, MeterError
from wattscribe.metering.base import Clock, MonotonicClock
from wattscribe.metering.files import SensorFiles

SIMULATED = "etc/wattscribe-simulated-board"
"""The file by which a played board is known: no figure of it may be called measured."""


class Lines(Protocol):
    """A running command's output."""

    def __iter__(self) -> Iterator[str]: ...

    def close(self) -> None:
        """End the command; iteration stops."""
        ...


class Commands(Protocol):
    """Who runs programs; `testing.FakeCommands` answers from text."""

    def run(self, arguments: Sequence[str], *, timeout_s: float = 5.0) -> str:
        """Standard output. Raises MeterError where the program is missing, fails or takes too long."""
        ...

    def stream(self, arguments: Sequence[str]) -> Lines:
        """Start a program and read its lines as they come. Raises MeterError where it is missing."""
        ...


class SystemCommands:
    """Programs of this machine, without a shell."""

    def run(self, arguments: Sequence[str], *, timeout_s: float = 5.0) -> str:
        try:
            done = subprocess.run(list(arguments), capture_output=True, text=True, timeout=timeout_s, check=False)
        except FileNotFoundError:
            raise MeterError("this program is not installed", where=arguments[0]) from None
        except PermissionError:
            raise MeterError("this program may not be run by this user", where=arguments[0]) from None
        except subprocess.TimeoutExpired:
            raise MeterError(f"no answer within {timeout_s:g} s", where=arguments[0]) from None
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise MeterError(
                f"exit status {done.returncode}: {words[-1] if words else 'no output'}", where=arguments[0]
            )
        return done.stdout

    def stream(self, arguments: Sequence[str]) -> Lines:
        try:
            return _ProcessLines(arguments)
        except FileNotFoundError:
            raise MeterError("this program is not installed", where=arguments[0]) from None
        except PermissionError:
            raise MeterError("this program may not be run by this user", where=arguments[0]) from None


class _ProcessLines:
    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",  # A torn byte is one bad word of one line, not the end of the measuring.
        )

    def __iter__(self) -> Iterator[str]:
        if self._process.stdout is not None:
            with suppress(ValueError):  # The pipe is closed under us: the meter was closed.
                yield from self._process.stdout

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class NoCommands:
    """A file tree of another machine has no programs to run."""

    def run(self, arguments: Sequence[str], *, timeout_s: float = 5.0) -> str:
        raise MeterError("this program is not installed", where=arguments[0])

    def stream(self, arguments: Sequence[str]) -> Lines:
        raise MeterError("this program is not installed", where=arguments[0])


def system_apple() -> Any | None:
    """The module that reads Apple silicon's energy counters, or None where it is not installed."""
    try:
        return importlib.import_module("zeus_apple_silicon")
    except ImportError:
        return None


def system_nvml() -> Any | None:
    """The NVIDIA library's Python module, or None where it is not installed."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a sensor may use. `nvml` is a module with pynvml's functions, `apple` one with zeus_apple_silicon's, or None."""

    files: SensorFiles = field(default_factory=SensorFiles)
    commands: Commands = field(default_factory=SystemCommands)
    clock: Clock = field(default_factory=MonotonicClock)
    nvml: Any | None = None
    apple: Any | None = None
    system: str = ""
    """As `platform.system()` says; empty for a file tree of another machine."""

    @property
    def simulated(self) -> str | None:
        """What board the file tree plays, where it is one that `testing.sensor_trees` built to be measured; None elsewhere."""
        return self.files.text(self.files.path(SIMULATED))

    @classmethod
    def of_root(cls, root: Path = Path("/")) -> Host:
        """This machine for `/`; for any other root its files alone, without this machine's programs and GPUs.

        Raises InputError where there is no such directory: an empty tree would pass for a board without sensors.
        """
        if root == Path("/"):
            system = platform.system()
            return cls(nvml=system_nvml(), apple=system_apple() if system == "Darwin" else None, system=system)
        if not root.is_dir():
            raise InputError(
                "there is no such directory", where=root, fix="Name the folder that holds the board's sys/ and proc/"
            )
        return cls(files=SensorFiles(root), commands=NoCommands())
