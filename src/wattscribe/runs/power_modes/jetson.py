"""Jetson boards: nvpmodel's power modes, and jetson_clocks, which holds all clocks at the highest that the mode allows.

What the programs print is as NVIDIA's print it: `nvpmodel -q` names the mode on one line and its number on the next; a mode
that needs a reboot is refused with `NVPM WARN: Reboot required for changing to this power mode: 2` and a question.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from wattscribe.metering import Host
from wattscribe.runs.power_modes.knobs import State, policies
from wattscribe.runs.power_modes.programs import AS_ROOT, ModeError, call, last_line, must

_MODE = re.compile(r"NV Power Mode\s*:\s*(\S.*?)\s*\n\s*(\d+)\s*$", re.MULTILINE)
_NAMED = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
REBOOT = "Reboot required"


class NvpModel:
    """The mode by number, or by its name in /etc/nvpmodel.conf. It survives a reboot."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def state(self) -> State:
        return {"id": self._read()[0]}

    def set(self, value: str) -> None:
        wanted = self._number(value)
        if self._read()[0] == wanted:
            return
        status, printed = call(self._host, ["nvpmodel", "-m", wanted])
        if REBOOT in printed:
            raise ModeError(
                f"nvpmodel changes to mode {value} only with a reboot",
                where="nvpmodel",
                fix=f"Set it by hand (sudo nvpmodel -m {wanted}), reboot, and bench in it without this entry",
            )
        if self._read()[0] != wanted:  # exit status 0 with NVPM ERROR has been seen
            raise ModeError(
                f"mode {value} was not set (exit status {status}): {last_line(printed)}", where="nvpmodel", fix=AS_ROOT
            )

    def differs(self, value: str) -> str | None:
        number, name = self._read()
        return None if number == self._number(value) else f"nvpmodel is in mode {number} ({name}), not {value}"

    def restore(self, state: State) -> None:
        self.set(state["id"])

    def left(self, state: State) -> str | None:
        return self.differs(state["id"])

    def _read(self) -> tuple[str, str]:
        """Number and name. A user who is not root sees errors about other files beside them."""
        _, printed = call(self._host, ["nvpmodel", "-q"])
        found = _MODE.search(printed)
        if found is None:
            raise ModeError(f"its mode cannot be read: {last_line(printed)}", where="nvpmodel -q")
        return found[2], found[1]

    def _number(self, value: str) -> str:
        if value.isdigit():
            return value
        path, text = self._host.files.path("etc/nvpmodel.conf"), ""
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
        known = _NAMED.findall(text)
        for number, name in known:
            if name.casefold() == value.casefold():
                return str(number)
        names = ", ".join(f"{number} {name}" for number, name in known) or "give its number"
        raise ModeError(f"there is no power mode {value!r}", where="/etc/nvpmodel.conf", fix=f"There are: {names}")


class JetsonClocks:
    """`on`, or `off` for what the governors make of it. What was before lies in a file that jetson_clocks itself writes."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host, self._file = host, folder / "jetson-clocks.conf"

    def state(self) -> State:
        self._file.unlink(missing_ok=True)  # one that is there makes it ask
        must(self._host, ["jetson_clocks", "--store", str(self._file)])
        if not self._file.is_file():
            raise ModeError("jetson_clocks stored nothing", where=self._file)
        return {"file": str(self._file), "locked": "on" if self._locked() else "off"}

    def set(self, value: str) -> None:
        if value == "on":
            must(self._host, ["jetson_clocks"])
        elif self._locked():
            must(self._host, ["jetson_clocks", "--restore", str(self._file)])

    def differs(self, value: str) -> str | None:
        locked = "on" if self._locked() else "off"
        return (
            None
            if locked == value
            else f"jetson_clocks is {locked}, not {value}: see the CPU's lowest and highest clocks"
        )

    def restore(self, state: State) -> None:
        must(self._host, ["jetson_clocks", "--restore", state["file"]])

    def left(self, state: State) -> str | None:
        return self.differs(state["locked"])

    def _locked(self) -> bool:
        """It sets every policy's lowest clock to its highest."""
        ends = [
            tuple(self._host.files.number(policy / f"scaling_{end}_freq") for end in ("min", "max"))
            for policy in policies(self._host)
        ]
        return all(low is not None and low == high for low, high in ends)
