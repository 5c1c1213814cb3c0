"""`wattscribe devices`: list and check device profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cyclopts

from wattscribe.cli.output import Json, Quiet, document
from wattscribe.energy.devices import Constant, Device
from wattscribe.terminal import console

WIDTH = 150
SCHEMA = 1

app = cyclopts.App(
    name="wattscribe devices", help="List the shipped device profiles, show one, or check your own file."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The shipped profiles, or the one that was named."""

    devices: Sequence[Device]


@app.default
def devices(
    device: str | None = None,
    /,
    *,
    json_output: Json = False,
    quiet: Quiet = False,  # there is nothing else to say
) -> int:
    """Without an argument: the shipped profiles. With one: all its constants, checked, with ranges and sources.

    Parameters
    ----------
    device
        A shipped profile's name, or the path of a TOML file.
    """
    import wattscribe

    asked: list[Path | str] = [*wattscribe.devices()] if device is None else [Path(device) if "/" in device else device]
    profiles = [wattscribe.devices(name) for name in asked]
    if json_output:
        print(document(SCHEMA, {"devices": [profile.model_dump(mode="json") for profile in profiles]}))
    elif device is None:
        _list(profiles)
    else:
        _show(profiles[0])
    return 0


def _list(profiles: list[Device]) -> None:
    from rich.table import Table

    table = Table("device", "local memory", "pJ/B near", "pJ/B far", "pJ per int8 MAC", "idle", "what", box=None)
    for profile in profiles:
        int8 = profile.operation("int8")[1].energy.si("energy_per_mac")[0]
        table.add_row(
            profile.name,
            f"{profile.local.capacity_bytes / 1e6:g} MB",
            f"{1e12 * profile.local.read_j_per_byte:.3g}",
            f"{1e12 * profile.main.read_j_per_byte:.3g}" if len(profile.tiers) > 1 else "none",
            f"{1e12 * int8:.3g}",
            f"{1e3 * profile.idle.si('power')[0]:.3g} mW",
            profile.title,
        )
    console(columns=WIDTH).print(table)


def _show(device: Device) -> None:
    from rich.markup import escape
    from rich.table import Table

    shown = console(columns=WIDTH)
    shown.print(f"[bold]{escape(device.title)}[/bold] ({escape(device.name)}), {device.evidence}")
    shown.print(escape(device.description.strip()))
    table = Table("constant", "value", "range", "year", "on silicon", "source", box=None)
    for name, constant in _constants(device):
        table.add_row(
            name,
            f"{constant.value:g} {constant.unit}",
            f"{constant.low:g} to {constant.high:g}",
            "–" if constant.year is None else str(constant.year),
            {None: "–", True: "measured", False: "no"}[constant.on_silicon],
            escape(constant.source),
        )
    shown.print(table)


def _constants(device: Device) -> list[tuple[str, Constant]]:
    constants = [("idle", device.idle), *([("limit", device.limit)] if device.limit else [])]
    for tier in device.tiers:
        constants += [(f"{tier.name}.{key}", getattr(tier, key)) for key in ("capacity", "read", "bandwidth")]
    for name, cost in device.operations.items():
        constants += [(f"{name}.energy", cost.energy), (f"{name}.peak", cost.peak)]
    return constants
