"""What can be measured on this machine: every kind of sensor is asked, and each answers with channels or a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import cast

from wattscribe.errors import MeterError
from wattscribe.metering import limits, machine, modelled, recordings
from wattscribe.metering.base import Channel, Meter, Probe
from wattscribe.metering.cores import profile_for
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import (
    apple,
    battery,
    command,
    command_line,
    hwmon,
    ina238,
    ina3221,
    ina3221_iio,
    nvml,
    pmic,
    rapl,
    replay,
    tegrastats,
)
from wattscribe.metering.stated import Said

JETSON_SENSORS = frozenset({ina3221.NAME, ina3221_iio.NAME, ina238.NAME})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of sensor. `open_meter` None: it is not read live. `instead_of`: opened only where none of these is."""

    probe: Callable[[Host], Probe]
    open_meter: Callable[[Host], Meter] | None = None
    instead_of: frozenset[str] = frozenset()


def _probe_model(host: Host) -> Probe:
    """Never mixed with a measurement; nothing where the CPU is not in the table of watts per core."""
    name = machine.cpu_name(host.files)
    profile = profile_for(name, machine.product(host.files))
    if profile is None:
        return Probe(meter="modelled", available=False, reason=modelled.unknown_cpu(name))
    return Probe(
        meter="modelled",
        available=True,
        reason=(
            f"where nothing is measured: CPU seconds × {profile.typical_w:g} W per core "
            f"({profile.low_w:g} to {profile.high_w:g} W, {profile.name}); {profile.basis}"
        ),
    )


def _probe_recordings(host: Host) -> Probe:
    """Always a row: an external meter needs no sensor here, but a recording."""
    del host
    return Probe(
        meter=recordings.NAME,
        available=False,
        reason="no recording given; any meter that exports CSV with time and power, or voltage and current, will do",
        fix="wattscribe bench --mark …, then wattscribe meters attach runs/NAME FILE.csv",
    )


KINDS = (
    Kind(probe=ina3221.probe, open_meter=ina3221.open_meter),
    Kind(probe=ina3221_iio.probe, open_meter=ina3221_iio.open_meter),
    Kind(probe=ina238.probe, open_meter=ina238.open_meter),
    # The same rails as the sensors', through a program: not both, or each rail would be there twice.
    Kind(probe=tegrastats.probe, open_meter=tegrastats.open_meter, instead_of=JETSON_SENSORS),
    Kind(probe=nvml.probe, open_meter=nvml.open_meter),
    Kind(probe=rapl.probe, open_meter=rapl.open_meter),
    Kind(probe=hwmon.probe, open_meter=hwmon.open_meter),
    Kind(probe=pmic.probe, open_meter=pmic.open_meter),
    Kind(probe=battery.probe, open_meter=battery.open_meter),
    Kind(probe=apple.probe, open_meter=apple.open_meter),
    Kind(probe=lambda host: command.probe_none()),
    Kind(probe=_probe_recordings),
    Kind(probe=replay.probe),
    Kind(probe=_probe_model),
)
"""Every kind, in the order of the table."""


GROUP = "wattscribe.meters"
"""Entry points of other packages, by the name of the meter: what makes a `base.Meter` without arguments, or raises MeterError
where it is not on this machine."""


def _registered() -> list[Kind]:
    return [_foreign(point) for point in metadata.entry_points(group=GROUP)]


def _foreign(point: metadata.EntryPoint) -> Kind:
    def open_meter(host: Host) -> Meter:
        del host
        try:
            return cast(Meter, point.load()())
        except MeterError:
            raise
        except Exception as error:  # whatever somebody else's code raises
            raise MeterError(f"could not be opened: {type(error).__name__}: {error}", where=point.name) from error

    def look(host: Host) -> Probe:
        try:
            meter = open_meter(host)
        except MeterError as error:
            return Probe(meter=point.name, available=False, reason=error.what, fix=error.fix)
        try:
            channels = tuple(meter.channels())
        finally:
            meter.close()
        package = point.dist.name if point.dist else "a package"
        return Probe(meter=point.name, available=True, reason=f"registered by {package}", channels=channels)

    return Kind(probe=look, open_meter=open_meter)


def _kinds(host: Host) -> list[Kind]:
    """Ours, and on this machine itself those that other packages register: they know nothing of trees of other boards."""
    return [*KINDS, *([] if host.files.is_copy else _registered())]


def probe(root: Path = Path("/"), *, host: Host | None = None, stated: Sequence[str] = ()) -> list[Probe]:
    """One row per kind of sensor, also for those that are not here. `stated`: as in `open_meters`; each command has a row.

    Raises InputError and MeterError for a stated meter that cannot be.
    """
    host = host if host is not None else Host.of_root(root)
    said = Said.of(stated)
    probes = [limits.with_instants(kind.probe(host)) for kind in _kinds(host)]
    probes = probes if host.simulated is None else [_played(row) for row in probes]
    if said.commands:
        place = next(at for at, row in enumerate(probes) if row.meter == command.NAME)
        probes[place : place + 1] = [_look_at_command(spec, host) for spec in said.commands]
    said.check(channel for row in probes if row.available for channel in _names(row.meter, row.channels))
    return [said.row(row) for row in probes]


def _played(row: Probe) -> Probe:
    """The row of a board that is played: whatever it shows is no measurement."""
    channels = tuple(replace(channel, evidence="simulated") for channel in row.channels)
    reason = f"simulated: {row.reason}" if row.available else row.reason
    return replace(row, channels=channels, reason=reason)


def _look_at_command(spec: command_line.Spec, host: Host) -> Probe:
    meter = command.CommandMeter(spec, host.clock)
    try:
        return command.probe_of(meter)
    finally:
        meter.close()


def open_meters(root: Path = Path("/"), *, host: Host | None = None, stated: Sequence[str] = ()) -> list[Meter]:
    """Every sensor that can be read here, opened; the caller closes them.

    `stated`: what a user says of meters (`stated.Said`). Raises InputError and MeterError where such a one cannot be: who asks
    for a meter wants no run without it.
    """
    host = host if host is not None else Host.of_root(root)
    said = Said.of(stated)
    meters: list[Meter] = []
    try:
        for kind in _kinds(host):
            opened = {meter.name for meter in meters}
            if kind.open_meter is None or opened & kind.instead_of or not kind.probe(host).available:
                continue
            try:
                meters.append(kind.open_meter(host))
            except MeterError:  # It went away between looking and opening; the probe's row says what was found.
                continue
        for spec in said.commands:
            meters.append(command.CommandMeter(spec, host.clock))
        said.check(name for meter in meters for name in _names(meter.name, meter.channels()))
    except BaseException:
        for meter in meters:
            meter.close()
        raise
    return [said.meter(meter) for meter in meters]


def _names(meter: str, channels: Sequence[Channel]) -> list[str]:
    return [f"{meter}.{channel.name}" for channel in channels]
