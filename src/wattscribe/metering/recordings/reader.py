"""Read a meter's file as the meter's own program wrote it: `read` is the door to this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from wattscribe.errors import InputError
from wattscribe.metering.recordings import layout as layouts
from wattscribe.metering.recordings import stamps
from wattscribe.metering.recordings.choice import Choice, Wishes, choose, choose_voltage, holds_voltage_only
from wattscribe.metering.recordings.columns import is_power
from wattscribe.metering.recordings.layout import Layout
from wattscribe.metering.recordings.recording import Recording
from wattscribe.metering.recordings.series import Points, Series
from wattscribe.metering.recordings.values import Block, Tally, blocks, channel_names
from wattscribe.metering.window.signal import Floats

MAX_BAD_SHARE = 0.01
MAX_BAD_LINES = 1
"""So many may be unreadable in any file: the last line of a recording that was stopped is often cut."""

Columns = Mapping[str, str | Sequence[str]]
Voltage = float | str | Path


def read(
    path: Path | Sequence[Path],
    columns: Columns | None = None,
    units: Mapping[str, str] | None = None,
    *,
    voltage: Voltage | None = None,
    channel: str | None = None,
    sample_rate_hz: float | None = None,
) -> Recording:
    """Read an export; the columns are those of the meter that its header shows, else found by their names.

    Two files are one of the current and one of the voltage. `columns` names them where the header is unclear: {'time':
    'Timestamp', 'power': 'Ch1'} or 'current' and 'voltage'; several powers are added. `units` says what the header leaves out:
    {'power': 'mW'}. `voltage`, in V or a file that holds it, is for a file that has the current only; `channel` one device of
    several in a file; `sample_rate_hz` for a file without times.
    A unit that cannot be read is refused, never taken for SI. Up to 1 % of unreadable lines are left out and counted.
    Raises InputError with file and line.
    """
    if sample_rate_hz is not None and not 0 < sample_rate_hz < np.inf:
        raise InputError(f"`sample_rate_hz` must be a number of Hz above 0, not {sample_rate_hz}")
    layout, voltage = _layouts([path] if isinstance(path, str | Path) else path, voltage)
    wishes = Wishes(
        columns=columns or {},
        units=units or {},
        voltage=voltage is not None,
        sample_rate_hz=sample_rate_hz,
        channel=channel,
    )
    choice = choose(layout, wishes)
    return _read(layout, choice, wishes, None if voltage is None else _volts(voltage))


def _layouts(paths: Sequence[Path | str], voltage: Voltage | None) -> tuple[Layout, Voltage | None]:
    """The file to read, and where its voltage is if that is another one."""
    tables = [layouts.look(Path(path)) for path in paths]
    if len(tables) == 1:
        return tables[0], voltage
    volts = [table for table in tables if holds_voltage_only(table)]
    if len(tables) != 2 or len(volts) != 1 or voltage is not None:
        raise InputError(
            "several files are one recording only where one holds the current and one the voltage",
            where=", ".join(str(path) for path in paths),
            fix="Give one file, and the other as `voltage` FILE.csv",
        )
    return next(table for table in tables if table is not volts[0]), volts[0].path


def _volts(voltage: Voltage) -> tuple[Floats, Floats] | float:
    """Constant, or against the same clock as the current."""
    try:
        number = float(voltage)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        path = Path(voltage)  # type: ignore[arg-type]
        if not path.exists():
            raise InputError(f"`voltage` {voltage} is neither a number of volts nor a file") from None
        layout = layouts.look(path)
        return _read(layout, choose_voltage(layout), Wishes(columns={}, units={}), None).points()
    if not 0 < number < np.inf:
        raise InputError(f"`voltage` must be a number of volts above 0, not {voltage}")
    return number


def _read(layout: Layout, choice: Choice, wishes: Wishes, volts: tuple[Floats, Floats] | float | None) -> Recording:
    clock = None if choice.time is None else _clock(layout, choice.time, choice.time_unit)
    tally = Tally()
    wanted = None if choice.channel is None else _wanted(layout, choice, wishes)
    adds_equal = choice.adds_up and choice.channel is None and _several_at_once(layout, choice, clock)
    expected = _expected(layout)
    series: dict[str, Series] = {}
    for block in blocks(layout, choice, clock, tally, rate_hz=wishes.sample_rate_hz, wanted=wanted):
        for name, t_s, power_w in _apart(block):
            if volts is not None:
                power_w = power_w * (volts if isinstance(volts, float) else np.interp(t_s, *volts))
            if name not in series:
                series[name] = Series(choice.meaning, energy=choice.energy, adds_equal=adds_equal, expected=expected)
            series[name].add(t_s, power_w, block.first_line)
    points = {name: samples.points() for name, samples in series.items()}
    _refuse_bad(layout, choice, tally, points)
    whole = _added(list(points.values()))
    return Recording(
        name=layout.path.stem,
        t_s=whole.t_s,
        power_w=whole.power_w,
        interval_means=whole.interval_means,
        skipped_lines=tally.unreadable + tally.no_reading + sum(device.backwards for device in points.values()),
        meter=choice.meter,
        columns=choice.columns,
        units={**choice.units, **({"time": clock.unit} if clock is not None else {})},
        samples_read=tally.read if whole.joined > 1 else None,
        notes=tuple(_notes(choice, clock, points, whole)),
    )


def _clock(layout: Layout, index: int, unit: str | None) -> stamps.Stamps:
    column = [row[index] for row in layout.sample if index < len(row) and row[index]]
    try:
        return stamps.choose(column, None if unit is None else unit.casefold())
    except (ValueError, IndexError):
        raise InputError(
            f"the column {layout.header[index]!r} holds no times that can be read: {column[0] if column else ''!r}",
            where=layout.path,
            fix="Seconds, Unix times, date-times and times of day are read; name the column: `columns[time]` NAME",
        ) from None


def _expected(layout: Layout) -> int:
    """Samples in the file, about, from its size and the length of its first lines."""
    rows = layout.sample[:50]
    characters = sum(len(cell) + 1 for row in rows for cell in row) / len(rows)
    wide = 2 if layout.encoding.startswith("utf-16") else 1
    return round(layout.path.stat().st_size / (characters * wide))


# --- several devices in one file --------------------------------------------------------------------------------------
def _wanted(layout: Layout, choice: Choice, wishes: Wishes) -> list[str]:
    """The devices whose power is read. Raises InputError where it is not clear which."""
    names = channel_names(layout, choice)
    if wishes.channel is not None:
        if wishes.channel not in names:
            raise InputError(
                f"no device {wishes.channel!r} in the file", where=layout.path, fix=f"It has: {', '.join(names)}"
            )
        return [wishes.channel]
    if choice.adds_up or len(names) == 1:
        return names
    powers = [name for name in names if is_power(name)]
    if len(powers) == 1:
        return powers
    raise InputError(
        f"several devices are in the file, in column {layout.header[choice.channel or 0]!r}",
        where=layout.path,
        fix=f"Say which: `channel` NAME, of: {', '.join(powers or names)}",
    )


def _several_at_once(layout: Layout, choice: Choice, clock: stamps.Stamps | None) -> bool:
    """Whether samples of one stamp are of several devices. Raises InputError where those are stamped apart: nothing tells."""
    if clock is None or choice.time is None:
        return False
    times = []
    for row in layout.sample[:200]:
        with suppress(ValueError, IndexError):  # a line without a time is counted where it is read
            times.append(clock.read(row[choice.time]))
    steps = [later - earlier for earlier, later in pairwise(times) if later >= earlier]
    longest = max(steps, default=0.0)
    within, between = (sum(0 < step < 0.1 * longest for step in steps), sum(step > 0.5 * longest for step in steps))
    if within > 0.4 * len(steps) and between > 0.05 * len(steps):
        raise InputError(
            "the lines come in bursts: several devices, and no column that tells them apart",
            where=layout.path,
            fix="Record with the device's index: nvidia-smi --query-gpu=timestamp,index,power.draw --format=csv",
        )
    return any(step == 0 for step in steps)


def _apart(block: Block) -> list[tuple[str, Floats, Floats]]:
    if block.channels is None:
        return [("", block.t_s, block.power_w)]
    names = np.asarray(block.channels)
    return [(str(name), block.t_s[names == name], block.power_w[names == name]) for name in np.unique(names)]


def _added(points: list[Points]) -> Points:
    """The powers of several devices at the first one's stamps."""
    first, *others = points
    if not others:
        return first
    total = first.power_w.copy()
    for other in others:
        total += np.interp(first.t_s, other.t_s, other.power_w)
    return replace(first, power_w=total)


# --- what is refused, what is told ------------------------------------------------------------------------------------
def _refuse_bad(layout: Layout, choice: Choice, tally: Tally, points: Mapping[str, Points]) -> None:
    backwards = sum(device.backwards for device in points.values())
    bad = tally.unreadable + backwards
    lines = tally.read + tally.unreadable
    if bad > max(MAX_BAD_LINES, MAX_BAD_SHARE * lines):
        if backwards > tally.unreadable:
            line = min(device.first_backwards for device in points.values() if device.first_backwards is not None)
            raise InputError(
                f"time runs backwards about line {line}, and {backwards} of {lines} samples lie before an earlier one",
                where=layout.path,
                fix="Is it the time column, and one recording? Else cut the file there",
            )
        first = f", the first {tally.first[0][:60]!r}" if tally.first else ""
        raise InputError(
            f"{bad} of {lines} lines hold no numbers{first}", where=layout.path, fix="Check the columns' names"
        )
    seen = sum(len(device.t_s) for device in points.values())
    if tally.read < 2 or seen < 2:
        raise InputError(f"the recording has {tally.read} samples", where=layout.path)
    for device, samples in points.items():
        if len(samples.t_s) < 2:
            raise InputError(
                f"device {device!r} has {len(samples.t_s)} samples of {tally.read}",
                where=layout.path,
                fix="Fix that line, or say which device: `channel` NAME",
            )
        if not samples.t_s[-1] > samples.t_s[0]:
            name = "" if choice.time is None else f" in {layout.header[choice.time]!r}"
            raise InputError(
                f"time does not advance{name}", where=layout.path, fix="Name another: `columns[time]` NAME"
            )
        if samples.interval_means and not np.isfinite(samples.power_w[1:]).any():
            raise InputError("the recording has no readings", where=layout.path)
    if any(len(device.added) > 1 for device in points.values()):
        raise InputError(
            "some stamps have more samples than others, and no column tells devices apart",
            where=layout.path,
            fix="Record with the device's index: nvidia-smi --query-gpu=timestamp,index,power.draw --format=csv",
        )


def _notes(choice: Choice, clock: stamps.Stamps | None, points: Mapping[str, Points], whole: Points) -> Iterator[str]:
    yield from choice.notes
    if clock is not None and clock.guessed and choice.time_unit is None:
        yield "no unit is given for the time: s assumed"
    repeated = sum(device.repeated for device in points.values())
    if repeated:
        yield f"{repeated} samples had the stamp of the one before, and were spread evenly up to the next stamp"
    if len(points) > 1:
        yield f"{len(points)} devices added up: {', '.join(points)}"
    elif whole.added:
        yield f"{whole.added[0]} devices under each stamp, added up"
    elif any(points):
        yield f"device: {next(iter(points))}"
    if choice.meaning == "mean before":
        yield "each value is the mean since the stamp before"
    elif choice.meaning == "holds after":
        yield "each value holds until the next stamp"
    elif whole.joined > 1:
        yield f"{whole.joined} samples at a time joined to means over {np.median(np.diff(whole.t_s)) * 1e3:.3g} ms"
