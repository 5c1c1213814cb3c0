"""The file that says how the machine was before a run set it: it is there while something is set, and outlives a killed run.

It lies with the machine, not with a run, since the next start may be another run's: under /var/lib for root, who mostly sets such
things, else in the user's state directory. Decision 052.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError
from wattscribe.lock import Lock
from wattscribe.metering import Host
from wattscribe.runs.marks import boot_id
from wattscribe.runs.power_modes.gpu import GpuPowerLimit
from wattscribe.runs.power_modes.jetson import JetsonClocks, NvpModel
from wattscribe.runs.power_modes.knobs import Command, Governor, HighestClock, Knob, State
from wattscribe.runs.power_modes.programs import ModeError

NAME, LOCK = "power-mode.json", "power-mode.lock"
SCHEMA = 1
COMMAND = "command:"
"""A command's knob is named by the mode that it belongs to."""
PERSISTENT = ("nvpmodel", COMMAND)
"""What a reboot does not undo, as far as is known; clocks, governors and a GPU's limit begin anew."""
ORDER = ("nvpmodel", "jetson_clocks", "governor", "max_mhz", "gpu_power_limit_w")
"""In which knobs are set and put back: each may change what those behind it set."""


def folders(host: Host) -> list[Path]:
    """Where the file may lie; the first one is where this user's is written."""
    system = host.files.path("var/lib/wattscribe")
    if host.files.root != Path("/"):
        return [system]
    home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    own = Path(home) / "wattscribe"
    return [system, own] if os.geteuid() == 0 else [own, system]


def knob_of(host: Host, name: str, folder: Path, state: State) -> Knob:
    """The knob of that name, for whoever restores it. Raises KeyError for one that this version does not know."""
    if name.startswith(COMMAND):
        return Command.of_state(host, state)
    if name == "jetson_clocks":
        return JetsonClocks(host, folder)
    knobs: dict[str, Callable[[Host], Knob]] = {
        "nvpmodel": NvpModel, "governor": Governor, "max_mhz": HighestClock, "gpu_power_limit_w": GpuPowerLimit,
    }  # fmt: skip
    return knobs[name](host)


def take_lock(folder: Path) -> Lock:
    """Raises ModeError where another run has set the machine, or the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lock.take(folder / LOCK)
    except InputError as error:
        raise ModeError(
            "another run has set the power mode of this machine", where=folder, fix="Wait for it"
        ) from error
    except OSError as error:
        raise ModeError(
            f"it cannot be noted how the machine was: {error.strerror}", where=folder, fix="Make it writable"
        ) from error


def write(folder: Path, states: Mapping[str, State]) -> None:
    """On the disk before anything is set: a board may also lose its power."""
    text = json.dumps(
        {"schema": SCHEMA, "boot_id": boot_id(), "states": {k: dict(v) for k, v in states.items()}}, indent=1
    )
    draft = folder / f"{NAME}.new"
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / NAME)
    except OSError as error:
        raise ModeError(
            f"it cannot be noted how the machine was: {error.strerror}", where=folder, fix="Make it writable"
        ) from error


def remove(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)


def put_back(knobs: Mapping[str, Knob], states: Mapping[str, State]) -> list[str]:
    """Restore all that can be, and say what cannot; twice, since one may wait for another (cores that are off)."""
    problems: list[str] = []
    for _ in range(2):
        problems = []
        for name, state in states.items():
            try:
                knobs[name].restore(state)
                if (left := knobs[name].left(state)) is not None:
                    problems.append(f"{name}: {left}")
            except ModeError as error:
                problems.append(f"{name}: {error}")
        if not problems:
            break
    return problems


def recover(host: Host, say: Callable[[str], None]) -> None:
    """Set back what a killed run had set. Raises InputError where that cannot be done: nothing should be measured like this."""
    for folder in folders(host):
        path = folder / NAME
        if not path.exists():
            continue
        try:
            lock = take_lock(folder)
        except ModeError as error:
            if isinstance(error.__cause__, InputError):
                continue  # that run lives
            raise InputError(
                "another user's run has set the power mode of this machine, and this user may not set it back",
                where=path,
                fix="Wait for it, or, if it was killed, start once with its rights (sudo)",
            ) from error
        try:
            states = _read(path)
            problems = put_back({name: knob_of(host, name, folder, state) for name, state in states.items()}, states)
            if problems:
                raise InputError(
                    f"a run that was killed had set the power mode, and it cannot be set back: {'; '.join(problems)}",
                    where=path,
                    fix="Start once with the rights of that run (sudo), or set it back by hand and remove this file",
                )
            remove(folder)
        finally:
            lock.release()
        if states:
            say(f"the power mode that a killed run had left is set back: {', '.join(states)}")


def _read(path: Path) -> dict[str, State]:
    """What is to be restored, in the order of setting; of another uptime only what survives one."""
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        schema = kept["schema"]
        states: dict[str, State] = {str(name): dict(state) for name, state in kept["states"].items()}
        same_boot = kept["boot_id"] == boot_id()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"this file, which says how the machine was before a run set it, cannot be read: {error}",
            where=path,
            fix="Check the power mode by hand, then remove the file",
        ) from error
    if schema != SCHEMA or not all(name in ORDER or name.startswith(COMMAND) for name in states):
        raise InputError("this file is of another version of Wattscribe", where=path, fix="Start that version once")
    return states if same_boot else {name: state for name, state in states.items() if name.startswith(PERSISTENT)}
