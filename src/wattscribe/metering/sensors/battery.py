"""The batteries of a laptop, phone or board while they discharge: the whole device's power, coarse in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.files import SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.sensors.battery_source import POWER_UPDATE_S, BatteryFiles, Source, best_source

NAME = "battery"
CLASS = "sys/class/power_supply"
RESTING = frozenset({"Full", "Not charging"})
"""Such a battery gives nothing: beside one that discharges it adds 0."""


class _Battery:
    """One battery with the best of its sources, which is looked for anew while none of them can be true."""

    def __init__(self, files: SensorFiles, folder: Path) -> None:
        self.files = BatteryFiles(files, folder)
        self.name = folder.name
        self.source: Source | None = None
        self.reason: str | None = None
        """Why it cannot be read now."""
        try:
            self.source = best_source(self.files)
        except MeterError as error:
            self.reason = error.what

    def read(self, state: str | None) -> float | None:
        """W, or J drawn since the first read; None unless it feeds the device."""
        return None if self.source is None or state != "Discharging" else self.source.read()


class BatteryMeter:
    """Every battery of the device, and their sum where there are several."""

    name = NAME
    min_period_s = 0.25
    """Four reads of the fastest refresh that is common (1 s)."""

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        self.batteries = [_Battery(files, folder) for folder in find(files)]
        if not self.batteries:
            raise MeterError("no battery", where=CLASS)
        self._readable = [battery for battery in self.batteries if battery.source is not None]
        if not self._readable:
            reasons = "; ".join(f"{battery.name}: {battery.reason}" for battery in self.batteries)
            self.close()
            raise MeterError(reasons, where=CLASS)
        kinds = {battery.source.kind for battery in self._readable if battery.source is not None}
        self._summed = len(self.batteries) > 1 and len(kinds) == 1

    @property
    def refused(self) -> list[str]:
        return [f"{battery.name}: {battery.reason}" for battery in self.batteries if battery.source is None]

    def states(self) -> list[str | None]:
        """Each battery's status; "Unknown" is told from its current's sign and the chargers, None where they say nothing."""
        return [self._state(battery) for battery in self.batteries]

    @property
    def discharging(self) -> bool:
        return "Discharging" in self.states()

    def channels(self) -> Sequence[Channel]:
        alone = len(self.batteries) == 1
        channels = [_channel(battery, alone=alone) for battery in self._readable]
        if not self._summed:
            return channels
        first = channels[0]
        names = " + ".join(battery.name for battery in self.batteries)
        return [*channels, _sum_channel(channels, f"whole device from its batteries together: {names}", first)]

    def read(self) -> Sequence[float | None]:
        by_name = dict(zip((battery.name for battery in self.batteries), self.states(), strict=True))
        values = [battery.read(by_name[battery.name]) for battery in self._readable]
        if all(battery.files.gone for battery in self._readable):
            raise MeterError("the battery is gone", where=CLASS)
        return [*values, self._sum(by_name, values)] if self._summed else values

    def close(self) -> None:
        for battery in self.batteries:
            battery.files.close()

    def _sum(self, states: dict[str, str | None], values: Sequence[float | None]) -> float | None:
        """None where one is charged: by the mains or by the other one, and what the device takes is then not known."""
        known = {battery.name: value for battery, value in zip(self._readable, values, strict=True)}
        parts_w = []
        for name, state in states.items():
            if state == "Discharging" and known.get(name) is not None:
                parts_w.append(known[name] or 0.0)
            elif state not in RESTING:
                return None
        counts = any(battery.source is not None and battery.source.kind == "energy" for battery in self._readable)
        if counts and len(parts_w) < len(states):
            return None  # A counter that rests now may have counted before: its part cannot be left out of a sum.
        return math.fsum(parts_w) if parts_w else None

    def _state(self, battery: _Battery) -> str | None:
        status = battery.files.status
        if status != "Unknown":
            return status
        for name in ("current_now", "power_now"):  # The kernel's documentation: negative discharges.
            value = battery.files.number(name) if battery.files.has(name) else None
            if value is not None and value < 0:
                return "Discharging"
        if self._rests_beside_another(battery):
            return "Not charging"
        online = chargers_online(self._files)
        return None if online is None or online else "Discharging"

    def _rests_beside_another(self, battery: _Battery) -> bool:
        """Laptops empty one battery after the other; many say "Unknown", and 0, of the one that waits."""
        shown = [battery.files.number(name) for name in ("power_now", "current_now") if battery.files.has(name)]
        others = [other.files.status for other in self.batteries if other is not battery]
        return bool(shown) and not any(shown) and None not in shown and "Discharging" in others


def chargers_online(files: SensorFiles) -> bool | None:
    """Whether mains or USB feeds the device; None where no charger is listed."""
    states = [
        files.number(folder / "online")
        for folder in files.glob(f"{CLASS}/*")
        if (files.text(folder / "type") or "").startswith(("Mains", "USB", "Wireless"))
        and files.text(folder / "scope") != "Device"
    ]
    known = [state for state in states if state is not None]
    return any(known) if known else None


def _channel(battery: _Battery, *, alone: bool) -> Channel:
    source = battery.source
    if source is None:
        raise ValueError(f"{battery.name} has no source")
    return Channel(
        name=battery.name,
        covers=f"whole device from {'the battery' if alone else 'one of its batteries'}, {source.name}",
        kind=source.kind,
        total=alone,
        update_interval_s=POWER_UPDATE_S,
        resolution=source.resolution_j,
        ceiling_w=battery.files.ceiling_w,
    )


def _sum_channel(channels: Sequence[Channel], covers: str, first: Channel) -> Channel:
    steps = [channel.resolution for channel in channels if channel.resolution is not None]
    return Channel(
        name="total",
        covers=covers,
        kind=first.kind,
        total=True,
        update_interval_s=max(channel.update_interval_s for channel in channels),
        resolution=math.sqrt(sum(step**2 for step in steps)) if steps else None,
        ceiling_w=sum(channel.ceiling_w or 0.0 for channel in channels),
    )


def find(files: SensorFiles) -> list[Path]:
    """The device's own batteries: those of a mouse or a headset have scope Device."""
    return [
        folder
        for folder in files.glob(f"{CLASS}/*")
        if files.text(folder / "type") == "Battery" and files.text(folder / "scope") != "Device"
    ]


def probe(host: Host) -> Probe:
    """Whether there is a battery, whether it feeds the device now, and what it says."""
    try:
        meter = BatteryMeter(host.files)
    except MeterError as error:
        return Probe(meter=NAME, available=False, reason=error.what)
    try:
        channels = tuple(meter.channels())
        values = meter.read()
        discharging, states = meter.discharging, meter.states()
    finally:
        meter.close()
    if not discharging:
        return _not_now(channels, states)
    words = [
        channel.covers + ("" if value is None or channel.kind == "energy" else f", now {value:.4g} W")
        for channel, value in zip(channels, values, strict=True)
    ]
    if "Charging" in states:
        words.append("one battery charges while another discharges: what the device takes is not known now")
    if all(value is None for value in values):
        reason = "; ".join([*words, *meter.refused, "no value can be true now"])
        return Probe(meter=NAME, available=False, reason=reason, channels=channels)
    return Probe(meter=NAME, available=True, reason="; ".join([*words, *meter.refused]), channels=channels)


def _not_now(channels: tuple[Channel, ...], states: Sequence[str | None]) -> Probe:
    if None in states:
        reason = (
            "the battery's status is Unknown, and neither its current's sign nor a charger tells whether it discharges"
        )
        return Probe(meter=NAME, available=False, reason=reason, channels=channels)
    return Probe(
        meter=NAME,
        available=False,
        reason="the battery does not discharge: the mains feed the device",
        fix="unplug the charger",
        channels=channels,
    )


def open_meter(host: Host) -> BatteryMeter:
    """Raises MeterError where there is none."""
    return BatteryMeter(host.files)
