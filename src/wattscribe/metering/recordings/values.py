"""A recording's samples, block by block, so that hours of them fit into memory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from wattscribe.metering.recordings import cells
from wattscribe.metering.recordings.choice import Choice
from wattscribe.metering.recordings.layout import Layout, open_text, split
from wattscribe.metering.recordings.stamps import Stamps
from wattscribe.metering.window.signal import Floats

BLOCK_BYTES = 1 << 21
"""Text that is parsed at a time."""
MOST_W = 1e6
"""No device draws megawatts: more is no reading."""
MOST_S = 1e13
"""Three hundred thousand years: no clock shows more, whatever it counts from."""
_QUOTED_COMMA = re.compile(r'"([-+]?\d*),(\d+)"')


@dataclass(slots=True, kw_only=True)
class Block:
    """Samples of some lines, in the file's order: times in s, powers in W, not checked yet."""

    t_s: Floats
    power_w: Floats
    channels: Sequence[str] | None
    """Per sample, where the file tells devices apart."""
    first_line: int
    """Number of the line before the block's first."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Lines that were no samples."""

    unreadable: int = 0
    """No number where one belongs."""
    no_reading: int = 0
    """The program says itself that it had none."""
    read: int = 0
    first: list[str] = field(default_factory=list)
    """Of the unreadable ones, for the message."""


def blocks(
    layout: Layout,
    choice: Choice,
    stamps: Stamps | None,
    tally: Tally,
    *,
    rate_hz: float | None = None,
    wanted: Collection[str] | None = None,
) -> Iterator[Block]:
    """Every block of the file, of the `wanted` channels; `tally` counts what was left out."""
    quick = _is_plain(layout, choice, stamps)
    reader = _Slow(layout, choice, stamps, tally, wanted)
    line = layout.data_at
    counted = 0
    with open_text(layout.path, layout.encoding) as file:
        for _ in range(layout.data_at):
            file.readline()
        while lines := file.readlines(BLOCK_BYTES):
            block = _quick(lines, layout, choice, stamps) if quick else None
            if block is None:
                block = reader.read(lines)
            finite = (np.abs(block[0]) <= MOST_S) & (np.abs(block[1]) <= MOST_W)  # NaN is neither
            if choice.meaning == "holds after":
                finite |= np.isnan(block[1]) & (np.abs(block[0]) <= MOST_S)
            if not finite.all():
                tally.unreadable += int(np.count_nonzero(~finite))
                block = (block[0][finite], block[1][finite], _kept(block[2], finite))
            tally.read += len(block[0])
            t_s = block[0] if rate_hz is None else (np.arange(len(block[0])) + counted) / rate_hz
            counted += len(block[0])
            if len(t_s):
                yield Block(t_s=t_s, power_w=block[1], channels=block[2], first_line=line)
            line += len(lines)


Parsed = tuple[Floats, Floats, "Sequence[str] | None"]


def _kept(channels: Sequence[str] | None, keep: np.ndarray) -> Sequence[str] | None:
    return None if channels is None else [channel for channel, good in zip(channels, keep, strict=True) if good]


# --- the quick way: numpy's own parser --------------------------------------------------------------------------------
def _is_plain(layout: Layout, choice: Choice, stamps: Stamps | None) -> bool:
    """Whether every column that is read holds bare numbers as far as the sample shows."""
    if choice.channel is not None or (stamps is not None and stamps.factor is None) or layout.ptdaemon:
        return False
    wanted = {index for term in choice.terms for index, _ in term} | (
        {choice.time} if choice.time is not None else set()
    )
    return all(max(wanted) < len(row) and all(_is_bare(row[index]) for index in wanted) for row in layout.sample[:20])


def _is_bare(cell: str) -> bool:
    try:
        float(cells.with_point(cell))
    except ValueError:
        return False
    return True


def _quick(lines: list[str], layout: Layout, choice: Choice, stamps: Stamps | None) -> Parsed | None:
    """None where a line is not as the others: then each is looked at by itself."""
    if choice.remarks is not None:
        lines = [line for line in lines if not choice.remarks.match(line)]
    if layout.decimal_comma:
        if layout.delimiter == ",":
            lines = [_QUOTED_COMMA.sub(r"\1.\2", line) for line in lines]
        else:
            lines = [line.replace(",", ".") for line in lines]
    wanted = sorted(
        {index for term in choice.terms for index, _ in term} | ({choice.time} if choice.time is not None else set())
    )
    filled = len(lines) - sum(line.isspace() or line.startswith("#") for line in lines)
    if filled == 0:
        return np.empty(0), np.empty(0), None
    try:
        table = np.loadtxt(
            lines, delimiter=layout.delimiter, usecols=wanted, comments="#", quotechar='"', ndmin=2, dtype=np.float64
        )
    except ValueError:
        return None
    if len(table) != filled:
        return None
    at = {index: place for place, index in enumerate(wanted)}
    t_s = np.empty(0)
    if choice.time is not None and stamps is not None:
        t_s = table[:, at[choice.time]] * (stamps.factor or 1.0)
    power_w = np.zeros(len(table))
    for term in choice.terms:
        product = np.ones(len(table))
        for index, factor in term:
            product *= table[:, at[index]] * factor
        power_w += product
    return (t_s if choice.time is not None else power_w), power_w, None


# --- the slow way: a line at a time -----------------------------------------------------------------------------------
class _Slow:
    """Dates, units behind numbers, columns that tell devices apart, and whatever the quick way would not read."""

    def __init__(
        self, layout: Layout, choice: Choice, stamps: Stamps | None, tally: Tally, wanted: Collection[str] | None
    ) -> None:
        self._layout, self._choice, self._stamps, self._tally, self._wanted = layout, choice, stamps, tally, wanted

    def read(self, lines: Sequence[str]) -> Parsed:
        times: list[float] = []
        powers: list[float] = []
        channels: list[str] = []
        for line in lines:
            if line.isspace() or line.startswith("#") or (self._choice.remarks and self._choice.remarks.match(line)):
                continue
            row = split(line, self._layout.delimiter)
            if self._is_another(row):
                continue
            try:
                power_w = self._power_w(row)
                t_s = 0.0 if self._stamps is None else self._stamps.read(row[self._choice.time or 0])
                channel = "" if self._choice.channel is None else row[self._choice.channel]
            except (ValueError, IndexError):
                self._left_out(line, row)
                continue
            times.append(t_s)
            powers.append(power_w)
            channels.append(channel)
        return np.asarray(times), np.asarray(powers), channels if self._choice.channel is not None else None

    def _is_another(self, row: Sequence[str]) -> bool:
        at = self._choice.channel
        return self._wanted is not None and at is not None and at < len(row) and row[at] not in self._wanted

    def _power_w(self, row: Sequence[str]) -> float:
        """Of one line; NaN where the line says that there was no reading and what it held before ends."""
        total = 0.0
        for term in self._choice.terms:
            product = 1.0
            for index, factor in term:
                cell = row[index]
                if self._choice.meaning == "holds after" and cell.casefold() in cells.NO_READING:
                    self._tally.no_reading += 1
                    return float("nan")
                product *= self._value(cell, index, factor)
            total += product
        return total

    def _value(self, cell: str, index: int, factor: float) -> float:
        """A unit behind the number is the number's own."""
        number, unit = cells.value(cell)
        if not unit:
            return number * factor
        return number * cells.UNITS[self._choice.quantities[index]].get(unit, float("nan"))

    def _left_out(self, line: str, row: Sequence[str]) -> None:
        read = {index for term in self._choice.terms for index, _ in term}
        if any(index < len(row) and row[index].casefold() in cells.NO_READING - {""} for index in read):
            self._tally.no_reading += 1
        else:
            self._tally.unreadable += 1
            if len(self._tally.first) < 1:
                self._tally.first.append(line.strip())


def channel_names(layout: Layout, choice: Choice, most: int = 64) -> list[str]:
    """Of all devices in the file, in the order in which they come; at most `most`."""
    names: dict[str, None] = {}
    at = choice.channel or 0
    with open_text(layout.path, layout.encoding) as file:
        for _ in range(layout.data_at):
            file.readline()
        for line in file:
            row = split(line, layout.delimiter)
            if at < len(row) and row[at] != layout.header[at] and len(names) < most:
                names[row[at]] = None
    return list(names)
