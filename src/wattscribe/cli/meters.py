"""`wattscribe meters`: what can be measured on this machine, what cannot, why, and the command that mends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from wattscribe.meters.base import Probe

app = cyclopts.App(name="wattscribe meters", help="What can be measured on this machine, what cannot, and why.")

SCHEMA = 1
"""Of `--json`; documented in docs/meters.md."""


@app.default
def meters(
    *,
    json_output: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
    recording: Path | None = None,
    tegrastats_log: Path | None = None,
    interval_ms: float = 1000.0,
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
        The interval at which that log was recorded.
    root
        Look for sensors below this directory, for instance a copy of another board's /sys.
    """
    from wattscribe.meters import probe
    from wattscribe.records import to_json

    probes = probe(root)
    checked = _check_files(recording, tegrastats_log, interval_ms / 1e3)
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
    return 0


def _check_files(recording: Path | None, log: Path | None, interval_s: float) -> list[dict[str, Any]]:
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
        from wattscribe.meters.tegrastats import read_log

        traces = read_log(log, interval_s=interval_s)
        first = next((trace for trace in traces if trace.total), traces[0])
        entries.append(
            {
                "file": str(log),
                "samples": len(first.t_s),
                "duration_s": first.t_s[-1] - first.t_s[0],
                "interval_s": interval_s,
                "mean_w": sum(first.power_w) / len(first.power_w),
                "skipped_lines": len(first.failed_t_s),
                "rails": [trace.channel.partition(".")[2] for trace in traces],
            }
        )
    return entries


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
