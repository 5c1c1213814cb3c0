"""Which joules stand in which column: one column per thing that is covered, so that no column and no sorting mixes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.records import Interval
from wattscribe.results.row import Row


def short_covers(covers: str | None) -> str:
    """`CPU cores above idle` of `CPU cores above idle (server x86, 2 to 9 W per core)`."""
    return (covers or "").partition(" (")[0]


def energy_name(evidence: str, covers: str | None) -> str:
    """What a figure is, short enough for a row, a tile or a clause: `modelled: CPU cores above idle`."""
    short = short_covers(covers)
    return f"{evidence}: {short}" if short else evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """One kind of joules. `prefix`: of the columns that hold them; empty: those in front of a row, `energy_j` and so on."""

    evidence: str
    covers: str
    header: str
    prefix: str = ""

    @property
    def name(self) -> str:
        return energy_name(self.evidence, self.covers)

    def per_audio_s(self, row: Row) -> tuple[float | None, Interval | None]:
        """Joules per second of audio of a row on this basis, with their interval."""
        if self.prefix == "cpu_":
            if row.cpu_energy_covers != self.covers:
                return None, None
            return row.cpu_j_per_audio_s, row.cpu_j_per_audio_s_ci95
        if self.prefix == "device_":
            return row.device_j_per_audio_s, row.device_j_per_audio_s_ci95
        here = (row.energy_evidence, row.energy_covers or "") == (self.evidence, self.covers)
        return (row.j_per_audio_s, row.j_per_audio_s_ci95) if here else (None, None)


def bases(rows: Sequence[Row]) -> list[Basis]:
    """Every basis on which some row has joules: the machine's own first, its CPU's where that is another, the device's."""
    own = dict.fromkeys((row.energy_evidence, row.energy_covers or "") for row in rows if row.j_per_audio_s is not None)
    names = [energy_name(*kind) for kind in own]
    columns = []
    for (evidence, covers), name in zip(own, names, strict=True):
        full = name if names.count(name) == 1 else f"{evidence}: {covers}"
        header = "J/s = Wh/h audio" if len(own) == 1 else f"J/s = Wh/h audio, {full}"
        columns.append(Basis(evidence=evidence, covers=covers, header=header))
    of_cpu = dict.fromkeys(row.cpu_energy_covers or "" for row in rows if row.cpu_j_per_audio_s is not None)
    for covers in of_cpu:
        if ("modelled", covers) not in own:
            header = "J/s = Wh/h audio, CPU modelled" + ("" if len(of_cpu) == 1 else f": {short_covers(covers)}")
            columns.append(Basis(evidence="modelled", covers=covers, header=header, prefix="cpu_"))
    on_device = next((row for row in rows if row.device_j_per_audio_s is not None), None)
    if on_device is not None:
        columns.append(
            Basis(
                evidence=on_device.device_energy_evidence or "modelled",
                covers=on_device.device_energy_covers or "",
                header=f"J/s on {on_device.device_profile}",
                prefix="device_",
            )
        )
    return columns
