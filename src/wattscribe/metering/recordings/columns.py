"""What a file's columns are, by their names, units and values; and what to say where they do not tell."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.errors import InputError
from wattscribe.metering.recordings import cells, formats, stamps
from wattscribe.metering.recordings.formats import Format
from wattscribe.metering.recordings.layout import Layout

WORDS = {
    "time": ("time", "timestamp", "datetime", "date", "t", "seconds", "elapsed", "epoch", "zeit"),
    "power": ("power", "watt", "watts", "p", "leistung"),
    "voltage": ("voltage", "volt", "volts", "v", "u", "vbus", "spannung"),
    "current": ("current", "amp", "amps", "ampere", "amperes", "i", "ibus", "main", "intensity", "strom"),
}
"""How columns are named, in lower case."""


NEVER = {
    "time": ("accumulated", "run", "duration", "record", "interval", "delta", "dt", "period", "zone", "remaining"),
    "power": (
        "factor", "apparent", "reactive", "limit", "max", "min", "maximum", "minimum", "peak", "cap", "tdp", "target", "set",
        "setpoint", "requested", "enforced", "default", "rated", "nominal", "threshold", "accumulated", "energy", "va", "var",
        "returned", "state", "good",
    ),
    "voltage": (
        "max", "min", "maximum", "minimum", "peak", "limit", "set", "setpoint", "dp", "dn", "d", "data", "cc", "threshold",
        "ref", "reference",
    ),
    "current": ("max", "min", "maximum", "minimum", "peak", "limit", "set", "setpoint", "threshold", "accumulated", "record"),
}  # fmt: skip
"""A column with such a word is something else: a limit, an extreme, another quantity."""


MEANS = ("avg", "average", "mean")
"""Taken only where there is no other."""


CHANNELS = ("entity", "sensor", "device", "channel", "rail", "gpu", "socket", "domain", "index", "uuid", "id", "node")
"""Names of columns that tell several devices of one file apart, if they repeat a few values."""


TOTALS = ("total", "sum", "all", "overall")


REAL = ("active", "real", "true")


def columns_of(layout: Layout) -> str:
    return f"Columns: {', '.join(name for name in layout.header if name)}; for: {', '.join(cells.QUANTITIES)}"


def candidates(layout: Layout, quantity: str) -> list[int]:
    columns = [
        i
        for i, name in enumerate(layout.header)
        if means(name, unit_of(layout, i), quantity) and not has(name, NEVER[quantity]) and _is_numeric(layout, i)
    ]
    return [i for i in columns if not has(layout.header[i], MEANS)] or columns


def means(name: str, unit: str, quantity: str) -> bool:
    if unit:
        return unit in cells.UNITS[quantity]
    return has(name, WORDS[quantity])


def is_power(name: str) -> bool:
    """Whether a device's name says that its readings are powers: `sensor.plug_power`."""
    return has(name, WORDS["power"]) and not has(name, NEVER["power"])


def has(name: str, words: Sequence[str]) -> bool:
    return any(word in words for word in cells.words_of(name))


def unit_of(layout: Layout, index: int) -> str:
    """Of the line below the header, of the name, or of the values themselves."""
    if layout.units is not None and index < len(layout.units) and layout.units[index]:
        return layout.units[index]
    return cells.unit_in(layout.header[index]) or unit_of_values(layout, index)


def unit_of_values(layout: Layout, index: int) -> str:
    for row in layout.sample[:5]:
        if index < len(row) and cells.is_value(row[index]):
            return cells.value(row[index])[1]
    return ""


def _is_numeric(layout: Layout, index: int) -> bool:
    seen = [row[index] for row in layout.sample[:20] if index < len(row) and row[index]]
    return any(map(cells.is_value, seen))


def time_column(layout: Layout, known: Format | None) -> int:
    """The first column that means time and advances; dates and times of day tell by themselves that they are."""
    if known is not None:
        column = formats.find(known.time, layout.header)
        if column is not None:
            return column
    moving = [i for i in range(len(layout.header)) if _advances(layout, i)]
    named = [
        i for i in moving if means(layout.header[i], unit_of(layout, i), "time") or has(layout.header[i], WORDS["time"])
    ]
    named = [i for i in named if not has(layout.header[i], NEVER["time"])] or named
    dated = [i for i in moving if stamps.is_stamp(_first(layout, i))]
    for columns in (named, dated):
        if columns:
            return columns[0]
    still = [i for i, name in enumerate(layout.header) if has(name, WORDS["time"])]
    if still:
        raise unclear(layout, f"time does not advance: {listed(layout, still)}")
    raise unclear(layout, "no column is the time by its name")


def channel_column(layout: Layout) -> int | None:
    """The column that tells devices apart, whose samples would be taken for one device's where their stamps are equal."""
    for index, name in enumerate(layout.header):
        seen = [row[index] for row in layout.sample if index < len(row)]
        if has(name, CHANNELS) and 1 < len(set(seen)) <= len(seen) / 2:
            return index
    return None


def _first(layout: Layout, index: int) -> str:
    return next((row[index] for row in layout.sample if index < len(row) and row[index]), "")


def _advances(layout: Layout, index: int) -> bool:
    column = [row[index] for row in layout.sample if index < len(row) and row[index]]
    if len(layout.sample) < 2:
        return bool(column)
    try:
        read = stamps.choose(column, None).read
        times = [read(cell) for cell in column[:200]]
    except ValueError:
        return False
    return max(times) > times[0]


def unclear(layout: Layout, what: str) -> InputError:
    return InputError(
        what if layout.named else f"the recording has no header with column names, and {what}",
        where=layout.path,
        fix=f"Name them: `columns[time]`, `columns[power]`, or `columns[voltage]` and `columns[current]`. {columns_of(layout)}",
    )


def listed(layout: Layout, indices: Sequence[int]) -> str:
    return ", ".join(repr(layout.header[i]) for i in indices)
