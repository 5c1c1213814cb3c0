"""`wattscribe meters`: what can be measured on this machine; `meters attach`: a recording from elsewhere into a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts

from wattscribe.cli.flags import spelled
from wattscribe.cli.output import Json, Quiet, document
from wattscribe.metering.base import Probe
from wattscribe.terminal import console

if TYPE_CHECKING:
    from wattscribe.metering.recordings import Recording

app = cyclopts.App(name="wattscribe meters", help="What can be measured on this machine, what cannot, and why.")

Pairs = Annotated[list[str] | None, cyclopts.Parameter(negative=(), consume_multiple=False)]

Files = Annotated[list[Path] | None, cyclopts.Parameter(negative=(), consume_multiple=False)]

SCHEMA = 1
"""Of `--json`; documented in docs/meters.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRecording:
    """How an external meter's file was read. `rails` and `mean_of`: of a log of several; the others: of one recording."""

    file: str
    samples: int
    duration_s: float
    interval_s: float
    mean_w: float
    skipped_lines: int
    rails: Sequence[str]
    notes: Sequence[str]
    mean_of: str
    meter: str | None
    columns: Mapping[str, str]
    units: Mapping[str, str]
    energy_j: float
    gaps: int
    gaps_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """Every kind of sensor, and the files that were to be checked; `recording` is the first of those."""

    meters: Sequence[Probe]
    recording: CheckedRecording
    recordings: Sequence[CheckedRecording]


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a recording is read, where its header does not tell."""

    column: Pairs = None
    """QUANTITY=COLUMN where the header is unclear; quantities are time, power, voltage, current."""
    time_column: str | None = None
    """The column of the time, by name or number."""
    power_column: Pairs = None
    """The column of the power; several are added up."""
    voltage_column: str | None = None
    """The column of the voltage, where no power is recorded."""
    current_column: str | None = None
    """The column of the current, where no power is recorded."""
    unit: Pairs = None
    """QUANTITY=UNIT where the header names none, for instance power=mW."""
    voltage: str | None = None
    """For a recording of the current alone: the supply's volts, or the file that holds them."""
    channel: str | None = None
    """One device of several in the file: a GPU's index, an entity of Home Assistant."""
    sample_rate: float | None = None
    """In Hz, for a file without times."""

    def read(self, paths: list[Path]) -> Recording:
        """Raises InputError where the file cannot be read so."""
        from wattscribe.metering.recordings import read

        return read(paths, self.columns(), **self.rest())

    def columns(self) -> dict[str, str | list[str]]:
        named = {"time": self.time_column, "voltage": self.voltage_column, "current": self.current_column}
        return {
            **_pairs(self.column, "--column"),
            **{quantity: name for quantity, name in named.items() if name is not None},
            **({"power": self.power_column} if self.power_column else {}),
        }

    def rest(self) -> dict[str, Any]:
        return {
            "units": _pairs(self.unit, "--unit"),
            "voltage": self.voltage,
            "channel": self.channel,
            "sample_rate_hz": self.sample_rate,
        }


@app.default
def meters(
    *,
    recording: Files = None,
    tegrastats_log: Path | None = None,
    interval_ms: float | None = None,
    meter: Pairs = None,
    root: Path = Path("/"),
    reading: Reading | None = None,
    json_output: Json = False,
    quiet: Quiet = False,  # there is nothing else to say
) -> int:
    """List every kind of sensor.

    Parameters
    ----------
    recording
        Also check an external meter's file: which meter, columns, units, rate, length. Two files: its current and its voltage.
    tegrastats_log
        Also check a recorded tegrastats log: its rails.
    interval_ms
        The interval at which that log was recorded, where its lines carry no date: their stamps are the clock. 1000 unless
        you say otherwise.
    meter
        Also a command that prints watts or joules, cmd:COMMAND; or whole:METER.CHANNEL, which stands for the whole device.
    root
        Look for sensors below this directory, for instance a copy of another board's /sys.
    """
    import wattscribe

    probes = wattscribe.meters(root, stated=meter or ())
    checked = [_check_recording(recording, reading or Reading())] if recording else []
    checked += [] if tegrastats_log is None else [_check_log(tegrastats_log, _interval_s(interval_ms))]
    if json_output:
        of_file = {"recording": checked[0]} if recording else {}
        print(document(SCHEMA, {"meters": probes, **of_file, "recordings": checked}))
        return 0
    _print_table(probes)
    for entry in checked:
        print(spelled(f"\n{_sentence(entry)}", "meters"))
    return 0


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What a recording is in a run, and how it comes on the run's clock."""

    covers: str | None = None
    """What the meter measures, in your words: "whole board at the DC input"."""
    part: Annotated[bool, cyclopts.Parameter(negative=())] = False
    """It measures only a part of the device, so it must not stand for the whole."""
    processor: Annotated[tuple[Literal["cpu", "gpu"], ...], cyclopts.Parameter(negative=())] = ()
    """With --part: the processor that this part feeds; may be given twice."""
    by: Literal["edges", "correlation"] = "edges"
    """edges: the run's marks. correlation: against a rail that the run measured itself."""
    max_error: float | None = None
    """Seconds by which the aligned clock may be off at most."""
    gain_error: str | None = None
    """The meter's own, in per cent, from its data sheet: 1 or 1%. It is stated beside the joules; being the same in every
    trial, it is in no interval."""
    name: str | None = None
    """Its name in the run; the file's own otherwise."""

    def asked(self) -> dict[str, Any]:
        """As `wattscribe.attach` takes it. Raises InputError."""
        from wattscribe.results.quantities import fraction_of_percent

        gain = None if self.gain_error is None else fraction_of_percent(self.gain_error, flag="--gain-error")
        return {
            "covers": self.covers,
            "total": not self.part,
            "processors": self.processor,
            "by": self.by,
            "max_error_s": self.max_error,
            "gain_error": gain,
            "name": self.name,
        }


@app.command
def attach(
    run: Path,
    /,
    *recording: Path,
    tegrastats_log: Path | None = None,
    correction: Path | None = None,
    interval_ms: float | None = None,
    fitting: Fitting | None = None,
    reading: Reading | None = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put an external meter's recording beside the trials of a run, on the run's clock; reports then use it.

    Measure with `wattscribe bench --mark …` while the meter records. Attaching a recording again replaces it.

    Parameters
    ----------
    run
        The run's directory.
    recording
        The meter's file: time and power, or time, voltage and current. Two files: its current and its voltage.
    tegrastats_log
        Instead of a CSV, a log written with tegrastats --logfile.
    correction
        Instead of a CSV, what wattscribe calibrate --rail wrote: that rail of this run, put right.
    interval_ms
        The interval at which that log was recorded, where its lines carry no date: their stamps are the clock.
    """
    import wattscribe

    how = reading or Reading()
    record = wattscribe.attach(
        run,
        recording or None,
        tegrastats_log=tegrastats_log,
        correction=correction,
        interval_s=_interval_s(interval_ms),
        columns=how.columns(),
        **how.rest(),
        **(fitting or Fitting()).asked(),
    )
    if json_output:
        print(document(SCHEMA, record))
        return
    drift = "drift unknown" if record.drift_ppm is None else f"drift {record.drift_ppm:+.1f} ppm"
    left = f", {record.trials_outside} lie outside of it" if record.trials_outside else ""
    print(
        f"{record.file}: {record.samples} samples, one every {record.spacing_s:.4g} s, {record.skipped_lines} lines skipped\n"
        f"clock by {record.method}: offset {record.offset_s:+.4f} s, {drift}, residual {record.residual_s * 1e3:.2f} ms\n"
        f"covers: {record.covers}\n"
        f"attached as {', '.join(record.channels)} to {record.trials} trials{left}"
    )
    if not quiet:
        print(f"next: wattscribe report {run}")


def _pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """['power=mW'] → {'power': 'mW'}; the first `=` divides. Raises InputError."""
    from wattscribe.errors import InputError

    pairs = {}
    for assignment in given or ():
        quantity, equals, value = assignment.partition("=")
        if not equals or not quantity or not value:
            raise InputError(f"cannot read {flag} {assignment!r}", fix=f"Write {flag} power=…")
        pairs[quantity] = value
    return pairs


def _interval_s(interval_ms: float | None) -> float | None:
    return None if interval_ms is None else interval_ms / 1e3


def _check_recording(paths: list[Path], reading: Reading) -> dict[str, Any]:
    from wattscribe.metering.recordings import perfetto, perfetto_table

    if len(paths) == 1 and perfetto_table.is_trace(paths[0]):
        volts = perfetto.as_volts(reading.voltage)
        unit = _pairs(reading.unit, "--unit").get("current")
        return perfetto.facts(paths[0], perfetto.read(paths[0], voltage=volts, current_unit=unit))
    return {"file": str(paths[0]), **reading.read(paths).facts(), "rails": []}


def _sentence(entry: dict[str, Any]) -> str:
    """What was read of a file, and of a recording from which columns."""
    figures = (
        f"{entry['samples']} samples over {entry['duration_s']:.4g} s, one every {entry['interval_s']:.4g} s, "
        f"mean {entry['mean_w']:.4g} W, {entry['skipped_lines']} lines skipped"
    )
    if entry["rails"]:
        notes = "".join(f"\nnote: {note}" for note in entry["notes"])
        rails = f"rails: {', '.join(entry['rails'])}"
        return f"{entry['file']}: {figures}; {rails}\nthe mean is that of {entry['mean_of']}{notes}"
    columns = ", ".join(
        f"{quantity} {name!r} in {entry['units'].get(quantity, 'no unit')}"
        for quantity, name in entry["columns"].items()
    )
    gaps = (
        f"; {entry['gaps']} gaps, {entry['gaps_s']:.4g} s together, are left out of the mean" if entry["gaps"] else ""
    )
    notes = "".join(f"\n  {note}" for note in entry["notes"])
    meter = entry["meter"] or "no known meter, the columns are taken by their names"
    return f"{entry['file']}: {meter}\n  {columns}\n  {figures}, {entry['energy_j']:.4g} J{gaps}{notes}"


def _check_log(log: Path, interval_s: float | None) -> dict[str, Any]:
    from wattscribe.metering.sensors import tegrastats_log

    read = tegrastats_log.read(log, interval_s=interval_s)
    first = read.first
    rail = first.channel.partition(".")[2]
    return {
        "file": str(log),
        "samples": len(first.t_s),
        "duration_s": float(read.timeline.t_s[-1]),
        "interval_s": read.timeline.interval_s,
        "mean_w": sum(first.power_w) / len(first.power_w),
        "mean_of": f"{rail}, {first.covers}",
        "skipped_lines": len(read.timeline.t_s) - len(first.t_s),
        "rails": [trace.channel.partition(".")[2] for trace in read.traces],
        "notes": list(read.notes),
    }


def _print_table(probes: list[Probe]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("meter", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("what was found, or why not")
    for probe in probes:
        words = escape(probe.reason)
        if probe.fix:
            words += f"\nfix: [bold]{escape(probe.fix)}[/bold]"
        table.add_row(probe.meter, "yes" if probe.available else "no", words)
    console().print(table)
