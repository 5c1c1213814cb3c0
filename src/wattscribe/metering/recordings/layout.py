"""What a recording's file looks like: its encoding, what separates cells, where its header and its data are."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from wattscribe import as_file
from wattscribe.errors import InputError
from wattscribe.metering.recordings import cells, stamps

HEAD_LINES = 400
"""Looked at before anything is decided; metadata in front of the header are shorter."""
TAIL_BYTES = 16384
LONGEST_LINE = 1 << 16
LONGEST_CELL = 256
DELIMITERS: tuple[str | None, ...] = (";", "\t", ",", "|", None)
"""In this order where two fit alike; None: blanks."""
ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
PROJECTS = {
    ".jls": "the Joulescope UI writes it; export the range as CSV",
    ".pt5": "Monsoon's PowerTool writes it; export it as CSV",
    ".pt4": "Monsoon's PowerTool writes it; export it as CSV",
    ".otii": "Otii writes it; export the main current and voltage as CSV",
    ".otii3": "Otii writes it; export the main current and voltage as CSV",
    ".ppk2": "the Power Profiler writes it; export it as CSV",
    ".cfn": "the FNIRSI Toolbox writes it; export it as CSV",
}
_PTDAEMON = re.compile(r"Time,\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d+,Watts,")
_COMMENT = re.compile(r"^\s*#[=&]?\s*(?:header=)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    path: Path
    encoding: str
    delimiter: str | None
    decimal_comma: bool
    header: tuple[str, ...]
    """Names of the columns; `column 1`, `column 2` … where the file has none."""
    named: bool
    """Whether the file has a header."""
    units: tuple[str, ...] | None
    """From a line of their own below the header."""
    data_at: int
    """Lines in front of the first sample."""
    sample: tuple[tuple[str, ...], ...]
    """Cells of the first data lines and, last, of the file's last ones."""
    raw_header: str
    """The header's line as it stands."""
    ptdaemon: bool = False


def open_text(path: Path, encoding: str) -> TextIOWrapper:
    """Undecodable bytes come as U+FFFD: a line that has them where a number is needed is then counted as unreadable."""
    return TextIOWrapper(as_file.open_bytes(path), encoding=encoding, errors="replace")


def split(line: str, delimiter: str | None) -> list[str]:
    """The cells of a line, without blanks and quotes around them; none of a line that is too long to be one of readings."""
    if len(line) >= LONGEST_LINE:
        return []
    if delimiter is None:
        return [_short(cell) for cell in line.split()]
    if '"' in line:
        row = next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True), [])
        return [_short(cell.strip()) for cell in row]
    return [_short(cell.strip()) for cell in line.strip("\r\n").split(delimiter)]


def _short(cell: str) -> str:
    """A long cell is told by its beginning, and is no number: patterns would take long over it."""
    return cell if len(cell) <= LONGEST_CELL else cell[:LONGEST_CELL] + "…"


def look(path: Path) -> Layout:
    """Raises InputError for what cannot be read, or holds no two columns of readings."""
    encoding = _encoding(path)
    with open_text(path, encoding) as file:
        lines = [file.readline(LONGEST_LINE) for _ in range(HEAD_LINES)]
    lines = [line for line in lines if line]
    if any("\0" in line or len(line) >= LONGEST_LINE for line in lines):
        raise InputError("the recording is not text", where=path, fix=_export(path))
    tail = _tail(path, encoding)
    ptdaemon = next((i for i, line in enumerate(lines) if _PTDAEMON.match(line)), None)
    if ptdaemon is not None:
        return _ptdaemon_layout(path, encoding, lines, ptdaemon, tail)
    given = re.fullmatch(r"\ufeff?sep=(.)\s*", lines[0]) if lines else None
    start = 1 if given else 0
    delimiter = given[1] if given else _delimiter(lines)
    rows = [split(line, delimiter) for line in lines[start:]]
    at = _first_data(rows)
    if at is None:
        raise _no_data(path, lines)
    width = _width(rows)
    header_at, header, units = _header(lines[start:], at, width, delimiter)
    if units is None:
        units = _commented_units(lines[start : start + at], width)
    # The file's end shows which part of its dates is the day; but its last line may be cut.
    sample = [row for row in rows[at:] if _is_data(row)] + [row for row in _rows(tail, delimiter) if _is_data(row)]
    return Layout(
        path=path,
        encoding=encoding,
        delimiter=delimiter,
        decimal_comma=any(_has_comma(cell) for row in sample[:50] for cell in row),
        header=tuple(header) if header else tuple(f"column {i + 1}" for i in range(width)),
        named=header is not None,
        units=units,
        data_at=start + at,
        sample=tuple(tuple(row) for row in sample),
        raw_header=lines[start + header_at] if header_at is not None else "",
    )


# --- bytes and lines --------------------------------------------------------------------------------------------------
def _encoding(path: Path) -> str:
    """UTF-8, UTF-16, else what programs on Windows write, whose µ is another byte."""
    try:
        with as_file.open_bytes(path) as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise InputError(f"cannot read the recording: {error.strerror}", where=path) from None
    for mark, name in ENCODINGS:
        if head.startswith(mark):
            return name
    if len(head) > 3 and head[1:8:2].count(0) >= 3:
        return "utf-16-le"
    if len(head) > 3 and head[0:8:2].count(0) >= 3:
        return "utf-16-be"
    try:
        head[: head.rfind(b"\n") + 1 or len(head)].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _tail(path: Path, encoding: str) -> list[str]:
    """Whole lines at the file's end, without the last one."""
    with as_file.open_bytes(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES) // 2 * 2)
        data = file.read()
    # In the middle of a UTF-16 file stands no byte order mark: machines that write it are little-endian.
    name = {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    return data.decode(name, errors="replace").splitlines()[1:-1]


def _rows(lines: Sequence[str], delimiter: str | None) -> list[list[str]]:
    return [split(line, delimiter) for line in lines]


def _export(path: Path) -> str:
    return PROJECTS.get(path.suffix.casefold(), "Export it as CSV")


def _no_data(path: Path, lines: Sequence[str]) -> InputError:
    first = next((line.strip() for line in lines if line.strip()), "")
    beginning = f"; it begins with {first[:60]!r}" if first else "; it is empty"
    return InputError(
        f"the recording has no lines with a time and a number{beginning}",
        where=path,
        fix=PROJECTS.get(path.suffix.casefold(), "A header and its data look like: time_s,power_w"),
    )


# --- cells ------------------------------------------------------------------------------------------------------------
def _has_comma(cell: str) -> bool:
    return re.fullmatch(r"[-+]?\d*,\d+(?:\s*[^\W\d_]+)?", cell) is not None


def _is_reading(cell: str) -> bool:
    return cells.is_value(cell) or stamps.is_stamp(cell) or stamps.is_date(cell)


def _is_data(row: Sequence[str]) -> bool:
    """At least two readings, and more than half of what is filled and not a word for no reading."""
    filled = [cell for cell in row if cell and cell.casefold() not in cells.NO_READING]
    return sum(map(_is_reading, filled)) >= max(2, 0.34 * len(filled))


def _delimiter(lines: Sequence[str]) -> str | None:
    """What splits the most lines into the same number of readings."""

    def fitness(delimiter: str | None) -> int:
        widths = Counter(len(row) for row in _rows(lines[-200:], delimiter) if _is_data(row))
        return max(widths.values(), default=0)

    return max(DELIMITERS, key=fitness)


def _width(rows: Sequence[Sequence[str]]) -> int:
    return Counter(len(row) for row in rows if _is_data(row)).most_common(1)[0][0]


def _first_data(rows: Sequence[Sequence[str]]) -> int | None:
    """The first line of readings that the next ones resemble; a lone one only where there is no other."""
    data = [i for i, row in enumerate(rows) if _is_data(row)]
    if not data:
        return None
    width = _width(rows)
    return next(i for i in data if len(rows[i]) == width)


# --- the header -------------------------------------------------------------------------------------------------------
Header = tuple[int | None, list[str] | None, tuple[str, ...] | None]


def _header(lines: Sequence[str], at: int, width: int, delimiter: str | None) -> Header:
    """The nearest line above the data that has as many names as these have cells, where it is, and a line of units below it.

    Commas may separate it where blanks do the data; `#` may stand in front of it.
    """
    above = range(at - 1, -1, -1)
    stated = [i for i in above if lines[i].lstrip().startswith("#= header=")]
    headers = [(i, names) for i in stated or above if (names := _names(lines[i], width, delimiter)) is not None]
    if not headers:
        return None, None, None
    (nearest, names), *others = headers
    if others and others[0][0] >= nearest - 2:
        units = tuple(name.strip("()[] ").casefold() for name in names)
        if sum(map(cells.is_known_unit, units)) >= 2:
            return (*others[0], units)
    return nearest, names, None


def _names(line: str, width: int, delimiter: str | None) -> list[str] | None:
    """The names in a line, if they may be those of `width` columns: a trailing separator adds an empty cell here or there."""
    for mark in dict.fromkeys((delimiter, ",")):
        names = split(_COMMENT.sub("", line), mark)
        filled = [name for name in names if name]
        if len(filled) >= 2 and abs(len(names) - width) <= 1 and sum(map(_is_reading, filled)) <= len(filled) // 3:
            return names
    return None


def _commented_units(lines: Sequence[str], width: int) -> tuple[str, ...] | None:
    """`#= units=s,A,V,W,C,J`, as Joulescope's logger writes it."""
    for line in lines:
        if line.startswith("#= units="):
            units = [unit.strip().casefold() for unit in line.partition("units=")[2].split(",")]
            return tuple(units) if len(units) == width else None
    return None


# --- the power daemon -------------------------------------------------------------------------------------------------
def _ptdaemon_layout(path: Path, encoding: str, lines: Sequence[str], at: int, tail: Sequence[str]) -> Layout:
    """`Time,STAMP,Watts,NUMBER,Volts,NUMBER,…`: names and values by turns, the total first, channels behind."""
    row = split(lines[at], ",")
    header = [row[i - 1] if i % 2 else f"name of {row[i + 1] if i + 1 < len(row) else i}" for i in range(len(row))]
    sample = [split(line, ",") for line in [*lines[at:], *tail] if _PTDAEMON.match(line)]
    return Layout(
        path=path,
        encoding=encoding,
        delimiter=",",
        decimal_comma=False,
        header=tuple(header),
        named=True,
        units=None,
        data_at=at,
        sample=tuple(tuple(row) for row in sample),
        raw_header="",
        ptdaemon=True,
    )
