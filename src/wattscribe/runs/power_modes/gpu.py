"""NVIDIA GPUs: the power limit, through nvidia-smi, as it prints it. A reboot, or the driver's unloading, undoes it."""

from __future__ import annotations

from wattscribe.metering import Host
from wattscribe.runs.power_modes.knobs import State
from wattscribe.runs.power_modes.programs import AS_ROOT, ModeError, call, last_line, must

QUERY = ("nvidia-smi", "--query-gpu=index,power.limit,power.min_limit,power.max_limit", "--format=csv,noheader,nounits")
STEP_W = 0.5
"""Drivers round a limit."""


class GpuPowerLimit:
    """The same limit in watts for every GPU of the machine."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def state(self) -> State:
        return {index: limit for index, (limit, _, _) in self._read().items()}

    def set(self, value: str) -> None:
        for index, (limit, low, high) in self._read().items():
            if not float(low) <= float(value) <= float(high):
                raise ModeError(
                    f"GPU {index} cannot be limited to {value} W", where="nvidia-smi", fix=f"Give {low} to {high} W"
                )
            if abs(float(limit) - float(value)) > STEP_W:
                self._limit(index, value)

    def differs(self, value: str) -> str | None:
        return self.left(dict.fromkeys(self._read(), value))

    def restore(self, state: State) -> None:
        now = self._read()
        for index, limit in state.items():
            if index in now and abs(float(now[index][0]) - float(limit)) > STEP_W:
                self._limit(index, limit)

    def left(self, state: State) -> str | None:
        now = self._read()
        for index, wanted in state.items():
            if index not in now or abs(float(now[index][0]) - float(wanted)) > STEP_W:
                return f"the power limit of GPU {index} is {now[index][0] if index in now else 'unknown'} W, not {wanted} W"
        return None

    def _limit(self, index: str, value: str) -> None:
        status, printed = call(self._host, ["nvidia-smi", "-i", index, "-pl", value])
        if status != 0:
            raise ModeError(f"exit status {status}: {last_line(printed)}", where="nvidia-smi", fix=AS_ROOT)

    def _read(self) -> dict[str, tuple[str, str, str]]:
        """Limit, lowest and highest limit by GPU. Raises ModeError for a GPU that has none ([N/A], [Not Supported])."""
        gpus = {}
        for line in must(self._host, QUERY).splitlines():
            index, *limits = (part.strip() for part in line.split(","))
            if len(limits) != 3 or not all(_is_number(limit) for limit in limits):
                raise ModeError(f"its power limit cannot be set: it prints {line!r}", where="nvidia-smi")
            gpus[index] = (limits[0], limits[1], limits[2])
        if not gpus:
            raise ModeError("there is no GPU", where="nvidia-smi")
        return gpus


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
