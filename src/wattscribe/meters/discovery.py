"""What can be measured on this machine: every kind of sensor is asked, and each answers with channels or a reason."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from wattscribe.errors import MeterError
from wattscribe.meters import ina3221
from wattscribe.meters.base import Meter, Probe
from wattscribe.meters.host import Host

KINDS: tuple[ModuleType, ...] = (ina3221,)
"""One module per sensor, each with NAME, probe(host) and open_meter(host), in the order of the table."""


def probe(root: Path = Path("/"), *, host: Host | None = None) -> list[Probe]:
    """One row per kind of sensor, also for those that are not here."""
    host = host if host is not None else Host.of_root(root)
    return [kind.probe(host) for kind in KINDS]


def open_meters(root: Path = Path("/"), *, host: Host | None = None) -> list[Meter]:
    """Every sensor that can be read here, opened."""
    host = host if host is not None else Host.of_root(root)
    meters: list[Meter] = []
    for kind in KINDS:
        if not kind.probe(host).available:
            continue
        try:
            meters.append(kind.open_meter(host))
        except MeterError:  # It went away between looking and opening; the probe's row says what was found.
            continue
    return meters
