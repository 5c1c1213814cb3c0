"""An external meter's recording (Monsoon, Joulescope, Otii, PowerSensor3, USB meters): CSV with its own clock."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wattscribe.errors import InputError
from wattscribe.meters.align import Alignment
from wattscribe.meters.base import Probe
from wattscribe.meters.host import Host
from wattscribe.meters.signal import Floats
from wattscribe.records import PowerTrace

NAME = "external"
COVERS = "whole device (external meter)"
SCALES = {
    "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9,
    "w": 1.0, "mw": 1e-3, "uw": 1e-6, "µw": 1e-6,
    "v": 1.0, "mv": 1e-3, "uv": 1e-6,
    "a": 1.0, "ma": 1e-3, "ua": 1e-6, "µa": 1e-6, "na": 1e-9,
}  # fmt: skip
DIMENSIONS = {
    "time": {"s", "sec", "seconds", "ms", "us", "µs", "ns"},
    "power": {"w", "mw", "uw", "µw"},
    "voltage": {"v", "mv", "uv"},
    "current": {"a", "ma", "ua", "µa", "na"},
}
WORDS = {
    "time": ("time", "timestamp", "t", "seconds", "elapsed"),
    "power": ("power", "watt", "watts", "p"),
    "voltage": ("voltage", "volt", "volts", "v", "vbus"),
    "current": ("current", "amp", "amps", "i", "ibus", "main"),
}
"""How the exports name their columns, in lower case; the first match in the header's order is taken."""
MAX_BAD_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Power against the meter's own clock, in s from whatever its zero is."""

    name: str
    t_s: Floats
    power_w: Floats
    skipped_lines: int

    @property
    def spacing_s(self) -> float:
        return float(np.median(np.diff(self.t_s)))

    def trace(self, alignment: Alignment, *, covers: str = COVERS, total: bool = True) -> PowerTrace:
        """The recording on the machine's monotonic clock; `total` False: it covers a part only."""
        return PowerTrace(
            channel=f"{NAME}.{self.name}",
            covers=covers,
            total=total,
            update_interval_s=self.spacing_s * alignment.rate,
            evidence="measured",
            t_s=tuple(alignment.to_clock(self.t_s).tolist()),
            power_w=tuple(self.power_w.tolist()),
            clock_error_s=alignment.residual_s,
        )


def read_csv(path: Path, columns: Mapping[str, str] | None = None, units: Mapping[str, str] | None = None) -> Recording:
    """Read an export; units are taken from the header (`Main(mA)`, `time_ms`, `Power [W]`), else SI.

    `columns` names them where the header is unclear: {'time': 'Timestamp', 'power': 'Ch1'} or 'current' and 'voltage';
    `units` says what the header leaves out: {'power': 'mW'}.
    Up to 1 % of unreadable lines are left out and counted. Raises InputError with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read the recording: {error.strerror}", where=path) from None
    numbered = _rows(text)
    rows = [row for _, row in numbered]
    header_at = next(
        (i for i, row in enumerate(rows) if sum(not _is_number(cell) and cell != "" for cell in row) >= 2), None
    )
    if header_at is None:
        raise InputError("the recording has no header line with column names", where=path, fix="Add: time_s,power_w")
    header = rows[header_at]
    chosen = _choose(header, columns or {}, path)
    scale = _scales(header, chosen, units or {}, path)
    times, powers, lines = _values(numbered[header_at + 1 :], chosen, scale)
    bad = len(rows) - header_at - 1 - len(times)
    if len(times) < 2:
        raise InputError(f"the recording has {len(times)} samples", where=path)
    if bad > MAX_BAD_SHARE * (len(times) + bad):
        raise InputError(
            f"{bad} of {len(times) + bad} lines hold no numbers", where=path, fix="Check the columns' names"
        )
    t_s = np.asarray(times)
    backwards = np.flatnonzero(np.diff(t_s) <= 0)
    if backwards.size:
        line = lines[int(backwards[0]) + 1]
        raise InputError(f"time does not advance at line {line}", where=path, fix="Is it the time column?")
    return Recording(name=path.stem, t_s=t_s, power_w=np.asarray(powers), skipped_lines=bad)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Line number and cells. A semicolon or tab separates where there is one; then a comma is a decimal point."""
    lines = [
        (n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and not line.startswith("#")
    ]
    first = lines[0][1] if lines else ""
    delimiter = next((mark for mark in (";", "\t") if mark in first), ",")
    rows = zip(lines, csv.reader([line for _, line in lines], delimiter=delimiter), strict=False)
    return [
        (n, [cell.strip() if delimiter == "," else cell.strip().replace(",", ".") for cell in row])
        for (n, _), row in rows
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _choose(header: list[str], columns: Mapping[str, str], path: Path) -> dict[str, int]:
    """Quantity → column: `time`, and `power` or else `voltage` with `current`."""
    chosen: dict[str, int] = {}
    for quantity, name in columns.items():
        if quantity not in WORDS or name not in header:
            raise InputError(
                f"no column {name!r} for {quantity}",
                where=path,
                fix=f"Columns: {', '.join(header)}; for: {', '.join(WORDS)}",
            )
        chosen[quantity] = header.index(name)
    for quantity in WORDS:
        if quantity not in chosen:
            index = next(
                (i for i, cell in enumerate(header) if i not in chosen.values() and _means(cell, quantity)), None
            )
            if index is not None:
                chosen[quantity] = index
    if "time" not in chosen or not ("power" in chosen or {"voltage", "current"} <= chosen.keys()):
        raise InputError(
            "the recording needs a time column and a power column, or voltage and current",
            where=path,
            fix=f"Name them with `columns`; the header has: {', '.join(header)}",
        )
    return chosen


def _means(cell: str, quantity: str) -> bool:
    unit = _unit(cell)
    words = re.split(r"[^a-zµ]+", cell.lower())
    if unit in DIMENSIONS[quantity]:
        return True
    other_unit = any(unit in units for name, units in DIMENSIONS.items() if name != quantity)
    return not other_unit and any(word in words for word in WORDS[quantity])


def _unit(cell: str) -> str:
    """The unit in brackets or after an underscore or blank: `Main(mA)`, `time_ms`, `Power [W]`."""
    match = re.search(r"[\[(]\s*([a-zA-Zµ]+)\s*[\])]", cell) or re.search(r"[_ ]([a-zA-Zµ]+)$", cell.strip())
    unit = match.group(1).lower() if match else ""
    return unit if unit in SCALES else ""


def _scales(header: list[str], chosen: Mapping[str, int], units: Mapping[str, str], path: Path) -> dict[str, float]:
    """Quantity → factor to SI: from the unit that was given, else from the header's, else 1."""
    for quantity, unit in units.items():
        if unit.lower() not in DIMENSIONS.get(quantity, ()):
            known = "; ".join(f"{name}: {', '.join(sorted(each))}" for name, each in DIMENSIONS.items())
            raise InputError(f"{unit!r} is no unit of {quantity}", where=path, fix=f"Known are: {known}")
        if quantity not in chosen:
            raise InputError(f"the unit of {quantity} was given, but no such column is read", where=path)
    return {
        quantity: SCALES[units[quantity].lower()] if quantity in units else SCALES.get(_unit(header[index]), 1.0)
        for quantity, index in chosen.items()
    }


def _values(
    rows: list[tuple[int, list[str]]], chosen: Mapping[str, int], scale: Mapping[str, float]
) -> tuple[list[float], list[float], list[int]]:
    """Times in s, powers in W and line numbers of the lines that hold numbers."""
    times, powers, lines = [], [], []
    for line, row in rows:
        try:
            cell = {quantity: float(row[index]) * scale[quantity] for quantity, index in chosen.items()}
        except (ValueError, IndexError):
            continue
        power_w = cell["power"] if "power" in cell else cell["voltage"] * cell["current"]
        if math.isfinite(power_w) and math.isfinite(cell["time"]):
            times.append(cell["time"])
            powers.append(power_w)
            lines.append(line)
    return times, powers, lines


def probe(host: Host) -> Probe:
    """Always a row: an external meter needs no sensor here, but a recording."""
    return Probe(
        meter=NAME,
        available=False,
        reason="no recording given; any meter that exports CSV with time and power, or voltage and current, will do",
        fix="wattscribe bench --mark …, then wattscribe meters attach runs/NAME FILE.csv",
    )
