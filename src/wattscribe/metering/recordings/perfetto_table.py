"""The table of counters that Perfetto's trace_processor writes, as CSV or, from Python, as JSON: a row for each value."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import InputError
from wattscribe.metering.window.signal import Floats

HEAD_BYTES = 1 << 14
QUERY = (
    "select ts, t.name as name, value from counter c join counter_track t on c.track_id = t.id "
    "where t.name glob 'batt.*' or t.name glob 'power.*' order by ts"
)
NAMES = ("name", "power_rail_name", "track_name", "counter_name", "raw_power_rail_name")
WIDE = ("charge_uah", "current_ua", "current.avg_ua", "current_avg_ua", "voltage_uv", "power_mw", "capacity_percent")
"""Columns of the standard library's `android_battery_charge`, one counter each."""
Counter = tuple[Floats, Floats]
"""Times in s and values as they stand."""


def is_trace(path: Path) -> bool:
    """Whether the file is a table of Perfetto's counters, by its beginning."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", errors="replace").lstrip("\ufeff \r\n")
    except OSError:
        return False
    if head.startswith(("{", "[")):
        return re.search(r'"(?:batt|power)\.|_uws"|"current_ua"|\{\s*"(?:ts|id)"\s*:\s*\{', head) is not None
    columns = _columns(head.partition("\n")[0])
    return "ts" in columns and (
        ("value" in columns and any(name in columns for name in NAMES)) or any(name in columns for name in WIDE)
    )


# --- the table --------------------------------------------------------------------------------------------------------
def _columns(line: str) -> list[str]:
    return [cell.strip().casefold() for cell in next(csv.reader([line]), [])]


def counters_of(text: str, path: Path) -> tuple[dict[str, Counter], int]:
    """Each counter in the order of time, and the number of rows that held none."""
    points: dict[str, dict[float, float]] = {}
    skipped = 0
    rows = _of_json(text, path) if text.lstrip().startswith(("{", "[")) else _of_csv(text)
    for row in rows:
        t_ns = number(row.get("ts"))
        read = list(_of_row(row)) if t_ns is not None else []
        skipped += not read
        for name, value in read:
            points.setdefault(name, {})[(t_ns or 0.0) / 1e9] = value  # of two values of one instant the last one holds
    ordered = {name: sorted(of_time.items()) for name, of_time in points.items()}
    return {
        name: (np.array([t for t, _ in pairs]), np.array([v for _, v in pairs])) for name, pairs in ordered.items()
    }, skipped


def _of_csv(text: str) -> Iterator[Mapping[str, Any]]:
    """Several answers may follow each other, each with its header, a blank line between."""
    for block in re.split(r"\r?\n\s*\r?\n", text.strip()):
        lines = block.splitlines()
        header = _columns(lines[0]) if lines else []
        for cells in csv.reader(lines[1:]):
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))


def _of_json(text: str, path: Path) -> Iterator[Mapping[str, Any]]:
    """pandas' `to_json`: records, or a column at a time."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            tree = [json.loads(line) for line in lines]  # a record on each line
        except (ValueError, RecursionError):
            raise InputError(f"the trace is no JSON: {error}", where=path) from None
    if isinstance(tree, Mapping) and isinstance(tree.get("ts"), Mapping):
        columns = {str(name): column for name, column in tree.items() if isinstance(column, Mapping)}
        tree = [{name: column.get(row) for name, column in columns.items()} for row in columns["ts"]]
    if not isinstance(tree, list):
        raise InputError("the trace is no table of counters", where=path, fix=f"Export this query: {QUERY}")
    yield from ({str(key).casefold(): value for key, value in row.items()} for row in tree if isinstance(row, Mapping))


def _of_row(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    name = next((str(row[key]) for key in NAMES if row.get(key) not in (None, "", "[NULL]")), None)
    if name is not None and "value" in row:
        value = number(row["value"])
        if value is not None:
            yield (name if name.startswith(("batt.", "power.")) else f"power.{name}"), value
        return
    for key in WIDE:
        if (value := number(row.get(key))) is not None:
            yield f"batt.{key.replace('_avg_', '.avg_').replace('percent', 'pct')}", value


def number(cell: Any) -> float | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None
