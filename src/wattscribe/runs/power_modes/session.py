"""Sets the machine for each trial, and back in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wattscribe.lock import Lock
from wattscribe.metering import Host
from wattscribe.records import PowerMode
from wattscribe.runs.power_modes import kept
from wattscribe.runs.power_modes.knobs import Command, Knob, State
from wattscribe.runs.power_modes.programs import ModeError


@dataclass(slots=True)
class Session:
    """The modes of one run. `open` notes how the machine is, before anything is set; `close` sets it back."""

    host: Host
    modes: Sequence[PowerMode]
    _folder: Path = field(init=False)
    _knobs: dict[str, Knob] = field(default_factory=dict)
    _states: dict[str, State] = field(default_factory=dict)
    _current: PowerMode | None = None
    _lock: Lock | None = None

    def __post_init__(self) -> None:
        self._folder = kept.folders(self.host)[0]
        named = {name for mode in self.modes for name in mode.settings}
        for name in kept.ORDER:
            if name in named:
                self._knobs[name] = kept.knob_of(self.host, name, self._folder, {})
        for mode in self.modes:
            if mode.command is not None:
                self._knobs[_command_name(mode)] = Command(self.host, mode.command)

    def open(self) -> None:
        """Raises ModeError for what this machine does not have, and where it cannot be noted how it is."""
        if not self._knobs:
            return
        self._lock = kept.take_lock(self._folder)
        try:
            self._states = {name: knob.state() for name, knob in self._knobs.items()}
            kept.write(self._folder, self._states)
        except BaseException:
            self._lock.release()
            raise

    def try_all(self) -> None:
        """Set every mode once, so that one which cannot be ends the run before anything is measured. Raises ModeError."""
        for mode in self.modes:
            self.enter(mode)
        self.leave()

    def enter(self, mode: PowerMode | None) -> bool:
        """Set the machine, from how it was found; whether that changed it. Raises ModeError where the mode does not hold."""
        if mode == self._current and self.differs(mode) is None:
            return False
        self.leave()  # also one that was lost meanwhile is set anew
        if mode is not None:
            self._current = mode
            for name, value in _values(mode).items():
                with _named(mode):
                    self._knobs[name].set(value)
            self._check(mode)
        return True

    def differs(self, mode: PowerMode | None) -> str | None:
        """What of a mode does not hold now; None where all does."""
        for name, value in ({} if mode is None else _values(mode)).items():
            try:
                read = self._knobs[name].differs(value)
            except ModeError as error:
                read = str(error)
            if read is not None:
                return read
        return None

    def leave(self) -> None:
        """As the machine was found. Raises ModeError."""
        if self._current is None:
            return
        self._current = None
        if problems := kept.put_back(self._knobs, self._states):
            raise ModeError(f"the machine cannot be set back: {'; '.join(problems)}")

    def close(self) -> list[str]:
        """Set back what is set; what could not be, in words: then the file stays for the next start."""
        if self._lock is None:
            return []
        problems = kept.put_back(self._knobs, self._states)
        if not problems:
            kept.remove(self._folder)
        self._lock.release()
        self._lock, self._current = None, None
        return problems

    def _check(self, mode: PowerMode | None) -> None:
        if mode is not None and (read := self.differs(mode)) is not None:
            raise ModeError(f"the power mode {mode.name} does not hold: {read}")


@contextlib.contextmanager
def held(host: Host, modes: Sequence[PowerMode], say: Callable[[str], None]) -> Iterator[Session]:
    """A session that has tried every mode and is closed in the end, whatever comes. Raises ModeError before it yields."""
    session = Session(host, modes)
    session.open()
    try:
        session.try_all()
        yield session
    finally:
        for problem in session.close():
            say(f"the power mode could not be set back ({problem}); the next start tries again")


def _values(mode: PowerMode) -> Mapping[str, str]:
    """By knob, in the order in which they are set."""
    values = {name: mode.settings[name] for name in kept.ORDER if name in mode.settings}
    return values if mode.command is None else {**values, _command_name(mode): ""}


def _command_name(mode: PowerMode) -> str:
    return f"{kept.COMMAND}{mode.name}"


@contextlib.contextmanager
def _named(mode: PowerMode) -> Iterator[None]:
    """An error says which mode it belongs to."""
    try:
        yield
    except ModeError as error:
        raise ModeError(f"the power mode {mode.name}: {error.what}", where=error.where, fix=error.fix) from error
