"""What can be set on any machine: the governor and the highest clock of the CPU (cpufreq in sysfs), and any pair of programs."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from wattscribe.metering import Host
from wattscribe.records import ModeCommand, from_json, to_json
from wattscribe.runs.power_modes.programs import AS_ROOT, ModeError, call, must

POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
"""One folder per group of cores that share a clock (Linux, Documentation/admin-guide/pm/cpufreq.rst)."""

State = Mapping[str, str]
"""What it takes to set something back, as plain text."""


class Knob(Protocol):
    """One thing that can be set. Every method raises ModeError where the machine does not answer."""

    def state(self) -> State:
        """As it is now."""
        ...

    def set(self, value: str) -> None: ...

    def differs(self, value: str) -> str | None:
        """What is read in place of `value`, in words; None where it holds."""
        ...

    def restore(self, state: State) -> None: ...

    def left(self, state: State) -> str | None:
        """What is read in place of `state`; None where it is back."""
        ...


# --- cpufreq ---------------------------------------------------------------------------------------------------------
class Governor:
    """`scaling_governor` of every policy."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def state(self) -> State:
        return {relative(self._host, file): text(self._host, file) for file in self._files()}

    def set(self, value: str) -> None:
        for file in self._files():
            choices = (self._host.files.text(file.with_name("scaling_available_governors")) or "").split()
            if choices and value not in choices:
                raise ModeError(f"there is no governor {value!r}", where=file, fix=f"One of: {', '.join(choices)}")
            put(self._host, file, value)

    def differs(self, value: str) -> str | None:
        return unlike(self._host, {relative(self._host, file): value for file in self._files()})

    def restore(self, state: State) -> None:
        put_all(self._host, state)

    def left(self, state: State) -> str | None:
        return unlike(self._host, state)

    def _files(self) -> list[Path]:
        return [policy / "scaling_governor" for policy in policies(self._host)]


class HighestClock:
    """`scaling_max_freq` of every policy, in kHz there and in MHz here; a group of slower cores keeps its own highest clock.

    A lowest clock above it (jetson_clocks sets one) is lowered too, and put back with it.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def state(self) -> State:
        """The highest before the lowest, so that neither ever crosses the other when they are put back in this order."""
        names = ("scaling_max_freq", "scaling_min_freq")
        files = [policy / name for policy in policies(self._host) for name in names]
        return {relative(self._host, file): text(self._host, file) for file in files}

    def set(self, value: str) -> None:
        for policy in policies(self._host):
            wanted_khz = self._wanted_khz(policy, value)
            lowest_khz = self._host.files.number(policy / "scaling_min_freq")
            if lowest_khz is not None and lowest_khz > wanted_khz:
                put(self._host, policy / "scaling_min_freq", str(wanted_khz))
            put(self._host, policy / "scaling_max_freq", str(wanted_khz))

    def differs(self, value: str) -> str | None:
        wanted = {policy / "scaling_max_freq": self._wanted_khz(policy, value) for policy in policies(self._host)}
        return unlike(self._host, {relative(self._host, file): str(khz) for file, khz in wanted.items()})

    def restore(self, state: State) -> None:
        put_all(self._host, state)

    def left(self, state: State) -> str | None:
        return unlike(self._host, state)

    def _wanted_khz(self, policy: Path, value: str) -> int:
        wanted_khz = round(1000 * float(value))
        low, high = (self._host.files.number(policy / f"cpuinfo_{end}_freq") for end in ("min", "max"))
        if low is not None and wanted_khz < low:
            raise ModeError(
                f"the CPU cannot be held to {value} MHz", where=policy, fix=f"Its lowest clock is {low / 1000:g} MHz"
            )
        return wanted_khz if high is None else min(wanted_khz, round(high))


def policies(host: Host) -> list[Path]:
    """Raises ModeError where there are none: a virtual machine, or not Linux."""
    folders = host.files.glob(POLICIES)
    if not folders:
        raise ModeError(
            "this machine does not let its clocks be set (no cpufreq)",
            where=f"/{POLICIES}",
            fix="Leave it out of [[modes]]",
        )
    return folders


# --- files of the kernel ---------------------------------------------------------------------------------------------
def relative(host: Host, path: Path) -> str:
    return str(path.relative_to(host.files.root))


def text(host: Host, path: Path) -> str:
    found = host.files.text(path)
    if found is None:
        raise ModeError("this cannot be read", where=path)
    return found


def put(host: Host, path: Path, value: str) -> None:
    """Write one value. Raises ModeError that says who may."""
    try:
        host.files.write(path, value)
    except PermissionError as error:
        raise ModeError("this user may not write it", where=path, fix=AS_ROOT) from error
    except OSError as error:
        why = "it is not there any more" if error.errno == errno.ENOENT else error.strerror or str(error)
        raise ModeError(f"{value} was refused: {why}", where=path) from error


def put_all(host: Host, state: State) -> None:
    """What already is as it was is not written."""
    for name, value in state.items():
        path = host.files.path(name)
        if host.files.text(path) != value:
            put(host, path, value)


def unlike(host: Host, wanted: State) -> str | None:
    for name, value in wanted.items():
        read = host.files.text(host.files.path(name))
        if read != value:
            return f"{name} reads {read or 'nothing'}, not {value}"
    return None


# --- any pair of programs --------------------------------------------------------------------------------------------
class Command:
    """Programs that a user names; its value is the whole command as JSON, so that a killed run's can be undone without it."""

    def __init__(self, host: Host, command: ModeCommand) -> None:
        self._host, self._command = host, command

    @classmethod
    def of_state(cls, host: Host, state: State) -> Command:
        return cls(host, from_json(ModeCommand, json.loads(state["command"]), strict=True))

    def state(self) -> State:
        if self._read() == self._command.expect:
            raise ModeError(
                f"`read` already prints {self._command.expect!r}, so `restore` would not set it back",
                where=" ".join(self._command.read),
                fix="Set the machine to what it is without this mode first",
            )
        return {"command": json.dumps(to_json(self._command))}

    def set(self, value: str) -> None:
        must(self._host, self._command.set)

    def differs(self, value: str) -> str | None:
        read = self._read()
        return None if read == self._command.expect else f"`read` prints {read!r}, not {self._command.expect!r}"

    def restore(self, state: State) -> None:
        if self._read() == self._command.expect:
            must(self._host, self._command.restore)

    def left(self, state: State) -> str | None:
        return f"`read` still prints {self._command.expect!r}" if self._read() == self._command.expect else None

    def _read(self) -> str:
        return call(self._host, self._command.read)[1].strip()
