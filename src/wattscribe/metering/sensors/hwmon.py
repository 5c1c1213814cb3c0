"""Power under hwmon from any driver: GPUs, CPUs, machines' own meters, current monitors on a board or in a cable.

Every chip that shows power, energy, or a current with its voltage is found, named and read. What its rails cover is known for the
drivers of `hwmon_drivers`; of any other they are parts of unknown extent. Rails of one chip overlap and are never added: but for
the sockets of a machine with several, which lie beside each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.files import MovingFile, SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.hwmon_drivers import Driver, ceiling_w, driver_of, step_w, why_not
from wattscribe.metering.sensors.rail_files import RailFile, RailFilesMeter
from wattscribe.units import j_from_uj, w_from_uw

NAME = "hwmon"
CLASS = "sys/class/hwmon"
RAILS_PER_CHIP = 16
SAY_WHICH = "say which of them feeds the whole device, if one does: --meter whole:"
MOST_INDEX = 600
"""amd_energy numbers its cores before its sockets: two sockets have up to 512."""


class _Several:
    """Files that make one value together, as one; None where one of them is."""

    def __init__(self, files: Sequence[MovingFile]) -> None:
        self._files = list(files)

    def _values(self) -> list[float] | None:
        values = [value for file in self._files if (value := file.read()) is not None]
        return values if len(values) == len(self._files) else None

    @property
    def gone(self) -> bool:
        return all(file.gone for file in self._files)

    @property
    def forbidden(self) -> bool:
        return any(file.forbidden for file in self._files)

    def close(self) -> None:
        for file in self._files:
            file.close()


class _Product(_Several):
    """mA × mV = µW."""

    def read(self) -> float | None:
        values = self._values()
        return None if values is None else math.prod(values)


class _Sum(_Several):
    def read(self) -> float | None:
        values = self._values()
        return None if values is None else math.fsum(values)


class HwmonMeter(RailFilesMeter):
    """Every rail of every chip; W, or J since the driver was loaded."""

    name = NAME
    where = CLASS

    def __init__(self, files: SensorFiles) -> None:
        self.left_out: list[str] = []
        rail_files: list[RailFile] = []
        for folder in files.glob(f"{CLASS}/hwmon*"):
            rail_files += self._chip(files, folder)
        super().__init__(rail_files, none="no chip shows a power")

    def _chip(self, files: SensorFiles, folder: Path) -> list[RailFile]:
        name = files.text(folder / "name") or ""
        found = _found(files, folder, driver_of(name))
        if not found:
            return []
        if (why := why_not(files, folder, name)) is not None:
            self.left_out += [f"{name}: {why}"] if why else []
            return []
        if name == "amd_energy":
            self.left_out.append("amd_energy: the cores' counters, which lie inside their sockets'")
        if len(found) > RAILS_PER_CHIP:
            self.left_out.append(f"{name}: {len(found) - RAILS_PER_CHIP} more rails than {RAILS_PER_CHIP}")
        return _rails_of(files, folder, name, found[:RAILS_PER_CHIP])


# --- what a chip shows ------------------------------------------------------------------------------------------------
Found = tuple[tuple[Path, ...], str]
"""One rail's files (one of power or energy, or current and voltage) and its label."""


def _found(files: SensorFiles, folder: Path, driver: Driver) -> list[Found]:
    """Powers and energies; where there are none, currents with their voltages."""
    found = list(_powers(files, folder, driver)) or list(_pairs(files, folder, driver))
    return [each for each in found if driver.left_out is None or not re.fullmatch(driver.left_out, each[1].casefold())]


def _powers(files: SensorFiles, folder: Path, driver: Driver) -> Iterator[Found]:
    indices = {
        int(number)
        for path in folder.glob("*_*")
        for number in re.findall(r"^(?:power|energy)(\d+)_(?:input|average)$", path.name)
    }
    for index in sorted(index for index in indices if index <= MOST_INDEX):
        here = [folder / form.format(n=index) for form in driver.files if (folder / form.format(n=index)).exists()]
        path = next((shown for shown in here if files.number(shown) is not None), here[0] if here else None)
        if path is not None and files.number(folder / f"power{index}_enable") != 0:
            kind = path.name.partition("_")[0]
            yield (path,), files.text(folder / f"{kind}_label") or files.text(folder / "label") or kind


def _pairs(files: SensorFiles, folder: Path, driver: Driver) -> Iterator[Found]:
    """Each current with its voltage: of the same name, else of the same number, else the only one there is."""
    currents = [n for n in _inputs(files, folder, "curr") if driver.inputs is None or n in driver.inputs]
    voltages = _inputs(files, folder, "in")
    for index in currents:
        label = files.text(folder / f"curr{index}_label")
        named = [n for n in voltages if label and _place(files.text(folder / f"in{n}_label")) == _place(label)]
        unnamed = [n for n in voltages if n == index and not (label and files.text(folder / f"in{n}_label"))]
        alone = voltages if len(currents) == len(voltages) == 1 else []
        voltage = next(iter([*named, *unnamed, *alone]), None)
        if voltage is None:
            continue
        text = files.text(folder / f"in{voltage}_label")
        if not (text or label) or rails.is_rail(text or label):
            name = (
                label
                if label and named and len(currents) > 1
                else text or files.text(folder / "label") or f"curr{index}"
            )
            yield (folder / f"curr{index}_input", folder / f"in{voltage}_input"), name


def _inputs(files: SensorFiles, folder: Path, kind: str) -> list[int]:
    """Numbers of the currents or voltages that are switched on."""
    numbers = sorted(int(re.sub(r"\D", "", path.name)) for path in folder.glob(f"{kind}[0-9]*_input"))
    return [n for n in numbers if n <= MOST_INDEX and files.number(folder / f"{kind}{n}_enable") != 0]


def _place(label: str | None) -> str | None:
    """What labels of a current and a voltage share: `IBUS`, `VBUS`; `iout1`, `vout1`; `AC Input Current`, `AC Input Voltage`."""
    if label is None:
        return None
    words = [word for word in label.casefold().split() if word not in ("current", "voltage", "curr", "volt")]
    return re.sub(r"^[iv](?=\w)", "", words[0]) if len(words) == 1 else " ".join(words)


# --- its rails --------------------------------------------------------------------------------------------------------
def _rails_of(files: SensorFiles, folder: Path, name: str, found: Sequence[Found]) -> list[RailFile]:
    driver, chip = driver_of(name), _chip(files, folder)
    labels = [label for _, label in found]
    rail_files: list[RailFile] = []
    for at, (paths, label) in enumerate(found):
        unique = label if labels.count(label) == 1 else f"{label}-{paths[0].name.partition('_')[0]}"
        channel = _channel(files, paths, driver, name, chip, unique, first=at == 0)
        moving = [MovingFile(files, path, partial(_again, files, name, chip, path)) for path in paths]
        file = moving[0] if len(moving) == 1 else _Product(moving)
        rail_files.append(RailFile(channel=channel, file=file, si=j_from_uj if channel.kind == "energy" else w_from_uw))
    if name == "amd_energy":
        rail_files.append(_sockets(files, name, chip, [paths[0] for paths, _ in found], rail_files))
    return rail_files


def _sockets(files: SensorFiles, name: str, chip: str, paths: Sequence[Path], sockets: Sequence[RailFile]) -> RailFile:
    """All CPU sockets: the total of the CPUs."""
    channels = [socket.channel for socket in sockets]
    first = channels[0]
    words = "its CPU socket" if len(channels) == 1 else f"its {len(channels)} CPU sockets together"
    channel = Channel(
        name=f"{name}-cpu",
        covers=f"CPU: {words} (amd_energy; without DRAM)",
        kind="energy",
        total=True,
        update_interval_s=first.update_interval_s,
        ceiling_w=sum(each.ceiling_w or 0.0 for each in channels),
        processors=first.processors,
    )
    moving = [MovingFile(files, path, partial(_again, files, name, chip, path)) for path in paths]
    return RailFile(channel=channel, file=_Sum(moving), si=j_from_uj)


def _channel(
    files: SensorFiles, paths: Sequence[Path], driver: Driver, name: str, chip: str, label: str, *, first: bool
) -> Channel:
    path = paths[0]
    rail = rails.RAILS.get(rails.normal_name(label)) if name in ("ina3221", "ina238") else None
    span_ms = files.number(path.parent / f"{path.name.partition('_')[0]}_average_interval")
    span_ms = span_ms or files.number(path.parent / "update_interval")
    is_product = len(paths) == 2
    return Channel(
        name=f"{name}-{chip}-{label}",
        covers=rail.covers if rail else driver.covers.format(driver=name, chip=chip, label=label),
        kind="energy" if path.name.startswith("energy") else "power",
        total=_is_total(driver, label, first=first) if rail is None else rail.total,
        update_interval_s=span_ms / 1e3 if span_ms else driver.update_s,
        averaging_s=span_ms / 1e3 if span_ms else driver.averaging_s,
        ceiling_w=ceiling_w(files, path, driver),
        resolution=_step_w(files, paths[1]) if is_product else step_w(files, path, driver),
        processors=rail.processors if rail else driver.processors,
    )


def _is_total(driver: Driver, label: str, *, first: bool) -> bool:
    return first if driver.wholes is None else label.casefold() in driver.wholes


def _step_w(files: SensorFiles, voltage: Path) -> float | None:
    """1 mA at the present voltage."""
    millivolts = files.number(voltage)
    return abs(millivolts) / 1e6 if millivolts else None


def _chip(files: SensorFiles, folder: Path) -> str:
    """The device's address on its bus, which stays when hwmon is numbered anew; the number where a copied tree has no link."""
    device = folder / "device"
    return device.resolve().name if device.is_symlink() else folder.name


def _again(files: SensorFiles, name: str, chip: str, path: Path) -> Path | None:
    for folder in files.glob(f"{CLASS}/hwmon*"):
        if files.text(folder / "name") == name and _chip(files, folder) == chip and (folder / path.name).exists():
            return folder / path.name
    return None


def probe(host: Host) -> Probe:
    """Which rails of which chips can be read here, and which drivers' extent is not known."""
    try:
        meter = HwmonMeter(host.files)
    except MeterError:
        return Probe(
            meter=NAME, available=False, reason="no GPU, CPU, machine or current monitor shows its power under hwmon"
        )
    try:
        row = rails.probe_of(NAME, meter, f"sudo chmod o+r /{CLASS}/hwmon*/*_input", left_out=meter.left_out)
        return row if not row.available else _with_extents(row)
    finally:
        meter.close()


def _with_extents(row: Probe) -> Probe:
    """And how to say what a rail is, where only its wiring tells."""
    if any(channel.total for channel in row.channels):
        return row
    name = f"{NAME}.{row.channels[0].name}"
    return replace(row, reason=f"{row.reason}; {SAY_WHICH}{name}")


def open_meter(host: Host) -> HwmonMeter:
    """Raises MeterError where there is none."""
    return HwmonMeter(host.files)
