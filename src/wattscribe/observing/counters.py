"""What `perf stat` counted: last-level misses, reads and writes of the memory controllers, the DRAM domain of RAPL.

Read is what it writes with `-x,` or `-j` (perf 6.1; man perf-stat, CSV FORMAT): value, unit, event, run time, part of the time
that was counted. In front of the value may stand a time (`-I`) and a socket, core or thread (`--per-socket`, `-A`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.energy.observed import Counted
from wattscribe.errors import InputError
from wattscribe.observing.callgrind import LINE_BYTES
from wattscribe.text_files import read_bytes

_MISSING = ("<not supported>", "<not counted>")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "MB": 10**6}
_READS = re.compile(r"uncore_\w*imc\w*/(.*\.)?(data_reads?|cas_count[_.](read|rd))/|unc_m_cas_count\.rd")
_WRITES = re.compile(r"uncore_\w*imc\w*/(.*\.)?(data_writes?|cas_count[_.](write|wr))/|unc_m_cas_count\.wr")
_MISSES = re.compile(r"LLC-load-misses|LLC-store-misses")
_ANY_MISSES = re.compile(r"cache-misses")
_DRAM = re.compile(r"power/energy-ram/")
_MODIFIER = re.compile(r":[a-zA-Z]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One event. `value` None: this machine does not count it, or had no time to."""

    event: str
    value: float | None
    unit: str
    counted: float | None
    """Part of the time in which it was counted, where perf says it; perf has scaled the value up already."""


def of_file(path: Path, audio_s: float) -> Counted:
    """What a recorded `perf stat` counted while so many seconds of audio were decoded. Raises InputError."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    return counted(read_perf(text, path), path, audio_s)


def read_perf(text: str, where: object) -> list[Counter]:
    """The events of a `perf stat -x,` or `-j` output. Raises InputError for another form, and where nothing is in it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    read = [_of_json(line, where) if line.lstrip().startswith("{") else _of_csv(line, where) for line in lines]
    counters = [each for each in read if each is not None]
    if not counters:
        raise InputError("holds no counts of perf", where=where, fix="Write it with `perf stat -x, -o FILE`")
    return counters


def counted(counters: Iterable[Counter], where: object, audio_s: float) -> Counted:
    """Per second of audio: events added up over sockets, channels, intervals. Raises InputError where none is about memory."""
    known = list(counters)
    sums = {
        "read": _sum(known, _READS, LINE_BYTES),
        "written": _sum(known, _WRITES, LINE_BYTES),
        "misses": _sum(known, _MISSES, LINE_BYTES),
        "any": _sum(known, _ANY_MISSES, LINE_BYTES),
        "dram": _sum(known, _DRAM, 1),
    }
    if all(value is None for value in sums.values()):
        asked = ", ".join(dict.fromkeys(each.event for each in known))
        raise InputError(
            f"counts no memory traffic ({asked})", where=where, fix="Machines without counters simulate it"
        )
    each_s = {name: None if value is None else value / audio_s for name, value in sums.items()}
    return Counted(
        audio_s=audio_s,
        last_level_miss_bytes_per_s=each_s["misses"] if each_s["misses"] is not None else each_s["any"],
        memory_read_bytes_per_s=each_s["read"],
        memory_written_bytes_per_s=each_s["written"],
        dram_w=each_s["dram"],
        missing=tuple(dict.fromkeys(each.event for each in known if each.value is None)),
    )


def _sum(counters: Iterable[Counter], name: re.Pattern[str], each_is: float) -> float | None:
    """In bytes or joules; an event without a unit counts lines. None where one of them is missing: a part is not the whole."""
    values = [
        None if each.value is None else each.value * _BYTES.get(each.unit, each_is)
        for each in counters
        if name.fullmatch(_MODIFIER.sub("", each.event))
    ]
    whole = [value for value in values if value is not None]
    return math.fsum(whole) if values and len(whole) == len(values) else None


def _of_json(line: str, where: object) -> Counter | None:
    """A line of `-j`. None: a metric alone."""
    try:
        fields: dict[str, Any] = json.loads(line)
        if "event" not in fields or "counter-value" not in fields:
            return None
        part = fields.get("pcnt-running")
        return Counter(
            event=str(fields["event"]),
            value=_number(str(fields["counter-value"])),
            unit=str(fields.get("unit", "")),
            counted=None if part is None else float(part) / 100,
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{line[:80]!r} is no line of `perf stat -j`", where=where) from error


def _of_csv(line: str, where: object) -> Counter | None:
    """A line of `-x,` (or `-x;`, `-x\\t`). None: a metric alone."""
    fields = [field.strip() for field in re.split(r"[,;\t]", line)]
    for index in _values(fields):
        if index + 2 < len(fields) and re.search(r"[A-Za-z]", fields[index + 2]):
            part = next(_parts(fields[index + 3 :]), None)
            return Counter(event=fields[index + 2], value=_number(fields[index]), unit=fields[index + 1], counted=part)
    if len(fields) > 4 and not any(fields[:3]):
        return None
    raise InputError(f"{line[:80]!r} is no line of `perf stat -x,`", where=where)


def _values(fields: list[str]) -> Iterator[int]:
    """Places that may hold the value: a number or one of perf's words, the unit behind it no number."""
    for index, field in enumerate(fields[:4]):
        number = field in _MISSING or re.fullmatch(r"-?\d+(\.\d+)?", field)
        if number and index + 1 < len(fields) and not re.match(r"\d|<|S\d|CPU", fields[index + 1]):
            yield index


def _parts(fields: list[str]) -> Iterator[float]:
    """The percentage behind the run time; with `-r` the variance stands before both."""
    numbers = [field for field in fields if re.fullmatch(r"\d+(\.\d+)?", field)]
    if len(numbers) > 1:
        yield float(numbers[1]) / 100


def _number(text: str) -> float | None:
    return None if text in _MISSING else float(text)
