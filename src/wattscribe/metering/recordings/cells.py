"""What one cell of a recording says: a number, a number with its unit, nothing, or a unit in a column's name."""

from __future__ import annotations

import re

SYMBOLS = {
    "time": ("s", "sec", "secs", "second", "seconds"),
    "power": ("w", "watt", "watts"),
    "voltage": ("v", "volt", "volts"),
    "current": ("a", "amp", "amps", "ampere", "amperes"),
    "energy": ("wh", "watthours"),
}
PREFIXES = {
    "": 1.0, "n": 1e-9, "nano": 1e-9, "u": 1e-6, "μ": 1e-6, "micro": 1e-6, "m": 1e-3, "milli": 1e-3, "k": 1e3, "kilo": 1e3
}  # fmt: skip
UNITS = {
    quantity: {prefix + symbol: factor for prefix, factor in PREFIXES.items() for symbol in symbols}
    for quantity, symbols in SYMBOLS.items()
}
"""Quantity → unit → factor to SI (energy: to Wh). Case-folded, which makes the micro sign the Greek letter; no device draws
megawatts."""
QUANTITIES = ("time", "power", "voltage", "current")
"""Those that a user can name; energy per interval is read from known meters only."""

NO_READING = frozenset(
    (
        "n/a", "[n/a]", "na", "[not supported]", "[unknown error]", "[gpu requires reset]", "unavailable", "unknown", "none",
        "null", "",
    )
)  # fmt: skip
"""What programs write where they had no reading: such a line is skipped and counted, but is no sign of a wrong column."""

_VALUE = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d_]{1,12}|%|°C)?")
_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?(?:\s*[^\W\d_]{1,12})?")
_WRAPPED = re.compile(r"np\.float\d+\((.*)\)")


def with_point(cell: str) -> str:
    """A decimal comma as a point; other cells unchanged."""
    return cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell


def value(cell: str) -> tuple[float, str]:
    """A number and the unit that stands behind it, case-folded, or ''. Raises ValueError for anything else.

    `np.float64(1.5)` is how a Python program writes a number that prints it with repr under NumPy 2.
    """
    try:
        return float(cell), ""
    except ValueError:
        pass
    wrapped = _WRAPPED.fullmatch(cell)
    if wrapped:
        return float(wrapped[1]), ""
    match = _VALUE.fullmatch(with_point(cell))
    if match is None:
        raise ValueError(f"no number: {cell!r}")
    return float(match[1]), (match[2] or "").casefold()


def is_value(cell: str) -> bool:
    try:
        value(cell)
    except ValueError:
        return False
    return True


def is_known_unit(unit: str) -> bool:
    return any(unit in units for units in UNITS.values())


def unit_in(name: str) -> str:
    """The unit in brackets or behind the name: `Main(mA)`, `time_ms`, `Power [W]`, `I/mA`; '' where there is none.

    What stands in brackets is a unit, be it one that we know or not; a last word is one only where we know it.
    """
    name = name.casefold().strip()
    bracketed: list[str] = [text.strip() for text in re.findall(r"[\[(]([^\])]*)[\])]", name)]
    if bracketed:
        return next((unit for unit in bracketed if is_known_unit(unit)), bracketed[-1])
    last = re.search(r"(?:^|[\W_])([^\W\d_]+)$", name)
    return last[1] if last and is_known_unit(last[1]) else ""


def words_of(name: str) -> list[str]:
    """The words of a column's name, case-folded: `powerTotal_W` → power, total, w."""
    apart = re.sub(r"([a-zà-ÿ])([A-Z])", r"\1 \2", name)
    return re.findall(r"[^\W\d_]+", apart.casefold())


def known_units() -> str:
    return "; ".join(
        f"{quantity}: {', '.join(prefix + SYMBOLS[quantity][0] for prefix in ('', 'm', 'u', 'n', 'k'))}"
        for quantity in QUANTITIES
    )
