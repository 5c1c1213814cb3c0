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
SYMBOLS = {
    "time": ("s", "sec", "second", "seconds"),
    "power": ("w", "watt", "watts"),
    "voltage": ("v", "volt", "volts"),
    "current": ("a", "amp", "amps", "ampere", "amperes"),
}
PREFIXES = {
    "": 1.0, "n": 1e-9, "nano": 1e-9, "u": 1e-6, "μ": 1e-6, "micro": 1e-6, "m": 1e-3, "milli": 1e-3, "k": 1e3, "kilo": 1e3
}  # fmt: skip
UNITS = {
    quantity: {prefix + symbol: factor for prefix, factor in PREFIXES.items() for symbol in symbols}
    for quantity, symbols in SYMBOLS.items()
}
"""Quantity → unit → factor to SI. Case-folded, which makes the micro sign the Greek letter; no device draws megawatts."""
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
    A unit that cannot be read is refused, never taken for SI. Up to 1 % of unreadable lines are left out and counted.
    Raises InputError with file and line.
    """
    numbered = _rows(_text(path))
    rows = [row for _, row in numbered]
    header_at = next(
        (i for i, row in enumerate(rows) if sum(not _is_number(cell) and cell != "" for cell in row) >= 2), None
    )
    if header_at is None:
        raise InputError("the recording has no header line with column names", where=path, fix="Add: time_s,power_w")
    header = rows[header_at]
    chosen = _choose(header, columns or {}, path)
    named = _with_units_below(header, rows[header_at + 1 : header_at + 2])
    scale = _scales(named, chosen, units or {}, path)
    first = header_at + (1 if named is header else 2)
    times, powers, lines = _values(numbered[first:], chosen, scale)
    bad = len(rows) - first - len(times)
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


def _text(path: Path) -> str:
    """UTF-8, else what programs on Windows write, whose µ is another byte."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the recording: {error.strerror}", where=path) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


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
    if unit in UNITS[quantity]:
        return True
    words = re.findall(r"[^\W\d_]+", cell.casefold())
    return not _is_known(unit) and any(word in words for word in WORDS[quantity])


def _is_known(unit: str) -> bool:
    return any(unit in units for units in UNITS.values())


def _unit(cell: str) -> str:
    """The unit in brackets or behind the name: `Main(mA)`, `time_ms`, `Power [W]`, `I/mA`; '' where there is none.

    What stands in brackets is a unit, be it one that we know or not; a last word is one only where we know it.
    """
    cell = cell.casefold().strip()
    bracketed: list[str] = [each.strip() for each in re.findall(r"[\[(]([^\])]*)[\])]", cell)]
    if bracketed:
        return next((unit for unit in bracketed if _is_known(unit)), bracketed[-1])
    last = re.search(r"(?:^|[\W_])([^\W\d_]+)$", cell)
    return last[1] if last and _is_known(last[1]) else ""


def _with_units_below(header: list[str], below: list[list[str]]) -> list[str]:
    """Some exports name the units in a line of their own: `Time,Power` over `s,mW`. The header itself where there is none."""
    if not below or len(below[0]) != len(header) or any(_is_number(cell) or not cell for cell in below[0]):
        return header
    return [f"{name} ({unit.strip('()[]')})" for name, unit in zip(header, below[0], strict=True)]


def _scales(header: list[str], chosen: Mapping[str, int], units: Mapping[str, str], path: Path) -> dict[str, float]:
    """Quantity → factor to SI: from the unit that was given, else from the header's, else 1. Raises InputError."""
    for quantity, unit in units.items():
        if unit.casefold() not in UNITS.get(quantity, ()):
            raise InputError(f"{unit!r} is no unit of {quantity}", where=path, fix=f"Known are: {_known()}")
        if quantity not in chosen:
            raise InputError(f"the unit of {quantity} was given, but no such column is read", where=path)
    return {
        quantity: UNITS[quantity][units[quantity].casefold()]
        if quantity in units
        else _scale(header[index], quantity, path)
        for quantity, index in chosen.items()
    }


def _scale(cell: str, quantity: str, path: Path) -> float:
    unit = _unit(cell)
    if unit and unit not in UNITS[quantity]:
        raise InputError(
            f"{unit!r} in the header {cell!r} is no unit of {quantity} that can be read",
            where=path,
            fix=f"Say it: --unit {quantity}=UNIT; known are: {_known()}",
        )
    return UNITS[quantity].get(unit, 1.0)


def _known() -> str:
    return "; ".join(
        f"{quantity}: {', '.join(prefix + symbols[0] for prefix in ('', 'm', 'u', 'n', 'k'))}"
        for quantity, symbols in SYMBOLS.items()
    )


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
