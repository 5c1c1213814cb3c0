"""Raspberry Pi 5: the rails of its power management chip, as `vcgencmd pmic_read_adc` prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.host import Commands, Host

NAME = "pmic"
COMMAND = ("vcgencmd", "pmic_read_adc")
MIN_PERIOD_S = 0.5
"""A read takes about 23 ms and starts a process: twice a second keeps the measuring itself below a few per cent of a core."""
MAX_BOARD_W = 27.0
"""What its power supply gives: 5.1 V at 5 A, with 6 % for its tolerance (Raspberry Pi 27W USB-C power supply)."""
_VALUE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=(-?[\d.]+(?:[eE]-?\d+)?)[AV]\s*$", re.MULTILINE)
CORE_RAIL = "VDD_CORE"
LEFT_OUT = "USB devices, HATs (an accelerator, a disk), the fan, losses of the 5 V input"
"""EXT5V, from which all of them are fed, has a voltage and no current (vcgencmd pmic_read_adc)."""
FIX = "sudo usermod -aG video $USER, then log in again"


def parse(output: str) -> dict[str, float]:
    """Rail → W, for every rail that has both a current and a voltage (EXT5V and BATT have a voltage only)."""
    values: dict[tuple[str, str], float] = {}
    for name, kind, number in _VALUE.findall(output):
        values[name, kind] = float(number)
    return {
        name: amperes * values[name, "V"]
        for (name, kind), amperes in values.items()
        if kind == "A" and (name, "V") in values
    }


class PmicMeter:
    """Each rail, and their sum. The sum lacks what does not pass the chip: USB devices, HATs, the 5 V line's losses."""

    name = NAME

    def __init__(self, commands: Commands, min_period_s: float = MIN_PERIOD_S) -> None:
        self._commands = commands
        self.min_period_s = min_period_s
        self._names = list(self._rails_w())
        if not self._names:
            raise MeterError("the answer has no rail", where=" ".join(COMMAND))

    def channels(self) -> Sequence[Channel]:
        rails = [self._channel(name, _covers(name), total=False) for name in self._names]
        covers = f"board: sum of {len(self._names)} PMIC rails (without {LEFT_OUT})"
        return [*rails, self._channel("total", covers, total=True)]

    def read(self) -> Sequence[float | None]:
        rails_w = self._rails_w()
        values = [rails_w.get(name) for name in self._names]
        known = [value for value in values if value is not None]
        return [*values, sum(known) if len(known) == len(values) else None]

    def close(self) -> None:
        """Nothing is open between reads."""

    def _rails_w(self) -> Mapping[str, float]:
        return parse(self._commands.run(COMMAND))

    def _channel(self, name: str, covers: str, *, total: bool) -> Channel:
        return Channel(
            name=name,
            covers=covers,
            kind="power",
            total=total,
            update_interval_s=self.min_period_s,
            averaging_s=0.0,
            ceiling_w=MAX_BOARD_W,
            processors=("cpu", "gpu") if name == CORE_RAIL else (),
        )


def _covers(name: str) -> str:
    if name.startswith("DDR"):
        return f"DRAM rail {name} (reads zero at idle)"
    return "CPU and GPU core rail" if name == CORE_RAIL else f"PMIC rail {name}"


def probe(host: Host) -> Probe:
    """Ask once."""
    try:
        meter = PmicMeter(host.commands)
    except MeterError as error:
        if error.what == "this program is not installed":
            return Probe(meter=NAME, available=False, reason="vcgencmd is not installed (Raspberry Pi 5 only)")
        return Probe(meter=NAME, available=False, reason=str(error), fix=FIX)
    channels = tuple(meter.channels())
    return Probe(
        meter=NAME,
        available=True,
        reason=(
            f"{len(channels) - 1} rails and their sum, every {meter.min_period_s:g} s; not in it: {LEFT_OUT}. "
            f"One external recording corrects it: wattscribe calibrate RUN --rail {NAME}.total"
        ),
        channels=channels,
    )


def open_meter(host: Host) -> PmicMeter:
    """Raises MeterError where vcgencmd is missing or knows no such command."""
    return PmicMeter(host.commands)
