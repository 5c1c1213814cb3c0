"""Which columns are the time and the power: by the meter that was recognised, by what was said, else by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wattscribe.errors import InputError
from wattscribe.metering.recordings import cells, formats
from wattscribe.metering.recordings.columns import (
    REAL,
    TOTALS,
    candidates,
    channel_column,
    columns_of,
    has,
    listed,
    time_column,
    unclear,
    unit_of,
    unit_of_values,
)
from wattscribe.metering.recordings.formats import Format, Meaning
from wattscribe.metering.recordings.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user said of the file."""

    columns: Mapping[str, str | Sequence[str]]
    """Quantity → name, or names of powers that are added."""
    units: Mapping[str, str]
    voltage: bool = False
    """A voltage is given beside the file."""
    sample_rate_hz: float | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is read of each line: the sum of products of columns."""

    meter: str | None
    time: int | None
    """None: the file has no times, its rate was given."""
    time_unit: str | None
    """None: by the size of the numbers."""
    terms: tuple[tuple[tuple[int, float], ...], ...]
    """Each (column, factor to SI)."""
    quantities: Mapping[int, str]
    """Of each column in `terms`."""
    needs_voltage: bool
    columns: Mapping[str, str]
    units: Mapping[str, str]
    """Quantity → its unit in the file; the time's is left out where only the file's numbers or dates tell."""
    meaning: Meaning = "instant"
    energy: bool = False
    channel: int | None = None
    adds_up: bool = False
    remarks: re.Pattern[str] | None = None
    notes: tuple[str, ...] = ()


def choose(layout: Layout, wishes: Wishes) -> Choice:
    """Raises InputError where it is not clear, with the columns to choose from and how to say it."""
    known = formats.recognise(layout)
    taken = _stated(layout, wishes.columns)
    if known is not None and not taken.keys() - {"time"}:
        taken = {**_of_format(layout, known), **taken}
    elif not taken.keys() & {"power", "current", "voltage"}:
        taken = {**_by_name(layout, wishes), **taken}
    if "time" not in taken and wishes.sample_rate_hz is None:
        taken["time"] = [time_column(layout, known)]
    choice = _scaled(layout, known, taken, wishes)
    if choice.needs_voltage and not wishes.voltage:
        raise InputError(
            f"{choice.meter or 'this file'} has the current only ({choice.columns['current']})",
            where=layout.path,
            fix="Say the supply's voltage: `voltage` VOLTS, or the file that holds it: `voltage` FILE.csv",
        )
    if wishes.voltage and not choice.needs_voltage:
        raise InputError(
            f"a voltage was given, but the file's {' and '.join(key for key in choice.columns if key != 'time')} will do",
            where=layout.path,
            fix="Leave it out, or name the current alone: `columns[current]` NAME",
        )
    return choice


def choose_voltage(layout: Layout) -> Choice:
    """For the file that holds the voltage beside one that holds the current. Raises InputError."""
    known = formats.recognise(layout)
    value = formats.find("value", layout.header) if known is not None and known.meter == "Otii" else None
    volts = [value] if value is not None else candidates(layout, "voltage")
    if len(volts) != 1:
        raise unclear(layout, "this file should hold one voltage beside its time")
    unit, _ = _unit(layout, known, "voltage", volts[0], Wishes(columns={}, units={}))
    time = time_column(layout, known)
    return Choice(
        meter=known.meter if known else None,
        time=time,
        time_unit=_unit(layout, known, "time", time, Wishes(columns={}, units={}))[0] or None,
        terms=(((volts[0], cells.UNITS["voltage"][unit.casefold()]),),),
        quantities={volts[0]: "voltage"},
        needs_voltage=False,
        columns={"time": layout.header[time], "voltage": layout.header[volts[0]]},
        units={"voltage": unit},
    )


def holds_voltage_only(layout: Layout) -> bool:
    """Of two files, the one to take the voltage from."""
    known = formats.recognise(layout)
    if known is not None:
        return known.meter == "Otii" and _otii_quantity(layout) == "voltage"
    return bool(candidates(layout, "voltage")) and not candidates(layout, "power") and not candidates(layout, "current")


# --- what was said ----------------------------------------------------------------------------------------------------
Taken = dict[str, list[int]]


def _stated(layout: Layout, columns: Mapping[str, str | Sequence[str]]) -> Taken:
    taken: Taken = {}
    for quantity, given in columns.items():
        names = [given] if isinstance(given, str) else list(given)
        if quantity not in cells.QUANTITIES or (len(names) > 1 and quantity != "power"):
            raise InputError(
                f"no single column of {quantity!r} is read",
                where=layout.path,
                fix=f"Known: {', '.join(cells.QUANTITIES)}",
            )
        taken[quantity] = [_index(layout, name, quantity) for name in names]
    return taken


def _index(layout: Layout, name: str, quantity: str) -> int:
    header = [column.strip() for column in layout.header]
    if name in header:
        return header.index(name)
    folded = [column.casefold() for column in header]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    if re.fullmatch(r"[1-9]\d*", name) and int(name) <= len(header):
        return int(name) - 1
    raise InputError(f"no column {name!r} for {quantity}", where=layout.path, fix=columns_of(layout))


# --- a known meter ----------------------------------------------------------------------------------------------------
def _of_format(layout: Layout, known: Format) -> Taken:
    if known.meter == "Otii":
        return {_otii_quantity(layout): [formats.find("value", layout.header) or 0]}
    if known.energy is not None:
        return {"energy": [formats.find(known.energy, layout.header) or 0]}
    for pattern in known.power:
        column = formats.find(pattern, layout.header)
        if column is not None:
            return {"power": [column]}
    for voltage, current in known.pairs:
        volts, amps = formats.find(voltage, layout.header), formats.find(current, layout.header)
        if amps is not None:
            return {"current": [amps], **({} if volts is None else {"voltage": [volts]})}
    raise unclear(layout, f"{known.meter} without its power, or voltage and current")


def _otii_quantity(layout: Layout) -> str:
    """Otii writes one file per channel, which only the file's name tells apart: 'Main current - Arc.csv'."""
    words = cells.words_of(layout.path.stem)
    for quantity, names in (("current", ("current", "mc")), ("voltage", ("voltage", "mv")), ("power", ("power", "mp"))):
        if any(word in names for word in words):
            return quantity
    raise InputError(
        "Otii writes one file per channel, and this file's name does not tell which",
        where=layout.path,
        fix="Say it: `columns[current]` Value `voltage` VOLTS (or FILE.csv), or `columns[power]` Value",
    )


# --- names ------------------------------------------------------------------------------------------------------------
def _by_name(layout: Layout, wishes: Wishes) -> Taken:
    """One power; else one voltage and one current."""
    powers = candidates(layout, "power")
    if len(powers) > 1:
        totals = [i for i in powers if has(layout.header[i], TOTALS)] or [
            i for i in powers if has(layout.header[i], REAL)
        ]
        if len(totals) != 1:
            raise unclear(layout, f"several columns may be the power: {listed(layout, powers)}")
        powers = totals
    if powers:
        return {"power": powers}
    volts, amps = candidates(layout, "voltage"), candidates(layout, "current")
    if len(amps) > 1 or (len(volts) > 1 and amps and not wishes.voltage):
        many = amps if len(amps) > 1 else volts
        raise unclear(
            layout, f"several columns may be the {'current' if many is amps else 'voltage'}: {listed(layout, many)}"
        )
    if amps:
        return {"current": amps, **({"voltage": volts} if len(volts) == 1 else {})}
    raise unclear(layout, "no column is a power, or a voltage and a current, by its name")


# --- units ------------------------------------------------------------------------------------------------------------
def _scaled(layout: Layout, known: Format | None, taken: Taken, wishes: Wishes) -> Choice:
    for quantity, unit in wishes.units.items():
        if unit.casefold() not in cells.UNITS.get(quantity, ()) or quantity not in cells.QUANTITIES:
            raise InputError(
                f"{unit!r} is no unit of {quantity}", where=layout.path, fix=f"Known are: {cells.known_units()}"
            )
        if quantity not in taken:
            raise InputError(f"the unit of {quantity} was given, but no such column is read", where=layout.path)
    units: dict[str, str] = {}
    assumed: list[str] = []
    factors: dict[str, list[tuple[int, float]]] = {}
    for quantity, indices in taken.items():
        factors[quantity] = []
        for index in indices:
            unit, sure = _unit(layout, known, quantity, index, wishes)
            if not sure and quantity != "time":
                assumed.append(f"no unit is given for {layout.header[index]!r}: {unit} assumed")
            units[quantity] = unit
            factors[quantity].append((index, cells.UNITS[quantity].get(unit.casefold(), 1.0)))
    value = "power" if "power" in factors else "energy" if "energy" in factors else "current"
    if value not in factors:
        raise unclear(layout, "a voltage alone is no power")
    pair = [*factors[value], *factors.get("voltage", ())] if value == "current" else []
    terms = (tuple(pair),) if pair else tuple((factor,) for factor in factors[value])
    read = {"time", value} | ({"voltage"} if value == "current" else set())
    columns = {
        key: " + ".join(layout.header[i] for i in taken[key]) for key in cells.SYMBOLS if key in taken and key in read
    }
    format_fits = known is not None and not _stated(layout, wishes.columns).keys() - {"time"}
    choice = Choice(
        meter=known.meter if known else None,
        time=taken["time"][0] if "time" in taken else None,
        time_unit=units.get("time") or None,
        terms=terms,
        quantities={index: key for key, pairs in factors.items() for index, _ in pairs},
        needs_voltage=value == "current" and "voltage" not in taken,
        columns=columns,
        units={key: units[key] for key in columns if units[key]},
        notes=(*assumed, *([known.note] if known is not None and known.note and "time" not in wishes.units else [])),
    )
    if known is None or not format_fits:
        return replace(choice, channel=channel_column(layout))
    return replace(
        choice,
        meaning=known.meaning,
        energy=value == "energy",
        channel=None if known.channel is None else formats.find(known.channel, layout.header),
        adds_up=known.adds_up,
        remarks=re.compile(known.remarks) if known.remarks else None,
    )


def _unit(layout: Layout, known: Format | None, quantity: str, index: int, wishes: Wishes) -> tuple[str, bool]:
    """The unit, and whether anybody said it; '' for a time whose numbers' size tells. Raises InputError for an unknown one."""
    if quantity in wishes.units:
        return wishes.units[quantity], True
    if known is not None and quantity in known.units:
        return known.units[quantity], True
    unit = unit_of(layout, index)
    if unit and unit not in cells.UNITS[quantity]:
        if quantity == "time" and unit_of_values(layout, index) == unit:
            return "", False
        raise InputError(
            f"{unit!r} in the header {layout.header[index]!r} is no unit of {quantity} that can be read",
            where=layout.path,
            fix=f"Say it: `units` {quantity}=UNIT; known are: {cells.known_units()}",
        )
    if unit:
        return _spelt(layout, index, unit), True
    return ("" if quantity == "time" else cells.SYMBOLS[quantity][0].upper()), False


def _spelt(layout: Layout, index: int, unit: str) -> str:
    """As the file writes it: `mA`, not `ma`."""
    spellings = re.findall(rf"(?<![^\W_]){re.escape(unit)}(?![^\W_])", layout.header[index], re.IGNORECASE)
    return str(spellings[-1]) if spellings else re.sub("[wva]$", lambda symbol: symbol[0].upper(), unit)
