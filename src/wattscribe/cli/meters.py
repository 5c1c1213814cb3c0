"""`wattscribe meters`: what can be measured on this machine; `meters attach`: a recording from elsewhere into a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts

from wattscribe.meters.base import Probe

app = cyclopts.App(name="wattscribe meters", help="What can be measured on this machine, what cannot, and why.")

Pairs = Annotated[list[str] | None, cyclopts.Parameter(negative=(), consume_multiple=False)]

SCHEMA = 1
"""Of `--json`; documented in docs/meters.md."""


@app.default
def meters(
    *,
    json_output: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
    recording: Path | None = None,
    tegrastats_log: Path | None = None,
    interval_ms: float | None = None,
    root: Path = Path("/"),
) -> int:
    """List every kind of sensor.

    Parameters
    ----------
    json_output
        Print JSON (schema 1) instead of a table.
    recording
        Also check an external meter's CSV: columns, rate, length.
    tegrastats_log
        Also check a recorded tegrastats log: its rails.
    interval_ms
        The interval at which that log was recorded, where its lines carry no date: their stamps are the clock. 1000 unless
        you say otherwise.
    root
        Look for sensors below this directory, for instance a copy of another board's /sys.
    """
    from wattscribe.meters import probe
    from wattscribe.records import to_json

    probes = probe(root)
    checked = _check_files(recording, tegrastats_log, _interval_s(interval_ms))
    if json_output:
        print(json.dumps({"schema": SCHEMA, "meters": to_json(probes), "recordings": checked}, indent=2))
        return 0
    _print_table(probes)
    for entry in checked:
        rails = f"; rails: {', '.join(entry['rails'])}" if entry["rails"] else ""
        print(
            f"\n{entry['file']}: {entry['samples']} samples over {entry['duration_s']:.4g} s, one every "
            f"{entry['interval_s']:.4g} s, mean {entry['mean_w']:.4g} W, {entry['skipped_lines']} lines skipped{rails}"
        )
        if "mean_of" in entry:
            print(f"the mean is that of {entry['mean_of']}")
        for note in entry.get("notes", ()):
            print(f"note: {note}")
    return 0


@app.command
def attach(
    run: Path,
    recording: Path | None = None,
    /,
    *,
    tegrastats_log: Path | None = None,
    interval_ms: float | None = None,
    covers: str | None = None,
    part: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    column: Pairs = None,
    unit: Pairs = None,
    by: Literal["edges", "correlation"] = "edges",
    max_error: float | None = None,
    gain_error: str | None = None,
    name: str | None = None,
) -> None:
    """Put an external meter's recording beside the trials of a run, on the run's clock; reports then use it.

    Measure with `wattscribe bench --mark …` while the meter records. Attaching a recording again replaces it.

    Parameters
    ----------
    run
        The run's directory.
    recording
        The meter's CSV: time and power, or time, voltage and current.
    tegrastats_log
        Instead of a CSV, a log written with tegrastats --logfile.
    interval_ms
        The interval at which that log was recorded, where its lines carry no date: their stamps are the clock.
    covers
        What the meter measures, in your words: "whole board at the DC input".
    part
        It measures only a part of the device, so it must not stand for the whole.
    column
        QUANTITY=COLUMN where the header is unclear; quantities are time, power, voltage, current.
    unit
        QUANTITY=UNIT where the header names none, for instance power=mW.
    by
        edges: the run's marks. correlation: against a rail that the run measured itself.
    max_error
        Seconds by which the aligned clock may be off at most.
    gain_error
        The meter's own, in per cent, from its data sheet: 1 or 1%. It is stated beside the joules; being the same in every
        trial, it is in no interval.
    name
        Its name in the run; the file's own otherwise.
    """
    from wattscribe import api
    from wattscribe.report.quantities import fraction_of_percent

    record = api.attach(
        run,
        recording,
        tegrastats_log=tegrastats_log,
        interval_s=_interval_s(interval_ms),
        covers=covers,
        total=not part,
        columns=_pairs(column, "--column"),
        units=_pairs(unit, "--unit"),
        by=by,
        max_error_s=max_error,
        gain_error=None if gain_error is None else fraction_of_percent(gain_error, flag="--gain-error"),
        name=name,
    )
    drift = "drift unknown" if record.drift_ppm is None else f"drift {record.drift_ppm:+.1f} ppm"
    left = f", {record.trials_outside} lie outside of it" if record.trials_outside else ""
    print(
        f"{record.file}: {record.samples} samples, one every {record.spacing_s:.4g} s, {record.skipped_lines} lines skipped\n"
        f"clock by {record.method}: offset {record.offset_s:+.4f} s, {drift}, residual {record.residual_s * 1e3:.2f} ms\n"
        f"covers: {record.covers}\n"
        f"attached as {', '.join(record.channels)} to {record.trials} trials{left}\n"
        f"next: wattscribe report {run}"
    )


def _pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """['power=mW'] → {'power': 'mW'}; the first `=` divides. Raises InputError."""
    from wattscribe.errors import InputError

    pairs = {}
    for each in given or ():
        quantity, equals, value = each.partition("=")
        if not equals or not quantity or not value:
            raise InputError(f"cannot read {flag} {each!r}", fix=f"Write {flag} power=…")
        pairs[quantity] = value
    return pairs


def _interval_s(interval_ms: float | None) -> float | None:
    return None if interval_ms is None else interval_ms / 1e3


def _check_files(recording: Path | None, log: Path | None, interval_s: float | None) -> list[dict[str, Any]]:
    """One entry per file; raises InputError where one cannot be read."""
    entries: list[dict[str, Any]] = []
    if recording is not None:
        from wattscribe.meters.external import read_csv

        read = read_csv(recording)
        entries.append(
            {
                "file": str(recording),
                "samples": len(read.t_s),
                "duration_s": float(read.t_s[-1] - read.t_s[0]),
                "interval_s": read.spacing_s,
                "mean_w": float(read.power_w.mean()),
                "skipped_lines": read.skipped_lines,
                "rails": [],
            }
        )
    if log is not None:
        entries.append(_check_log(log, interval_s))
    return entries


def _check_log(log: Path, interval_s: float | None) -> dict[str, Any]:
    from wattscribe.meters import tegrastats_log

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
    from rich.console import Console
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
    Console().print(table)
