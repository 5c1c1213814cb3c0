"""`wattscribe report runs/NAME`: one HTML page, or the table as Markdown, CSV, JSON or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

app = cyclopts.App(name="wattscribe report", help="Turn a run into one HTML page, a table, CSV, JSON or Parquet.")


@app.default
def report(
    *runs: Path,
    format: Literal["html", "md", "csv", "json", "parquet"] = "html",
    out: Annotated[Path | None, cyclopts.Parameter(["--out", "-o"])] = None,
    max_wer: str | None = None,
    max_watts: str | None = None,
    max_memory: str | None = None,
    condition: str | None = None,
    device: str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> None:
    """Write what a run found, or what several boards found together.

    Parameters
    ----------
    runs
        The run's directory, runs/NAME. Several, or the folder of a fleet's run: one report, as html, md or json.
    format
        html is written to RUN/report.html; md, csv and json are printed; parquet is written to RUN/report.parquet.
    out
        Write to this file instead.
    max_wer
        The recommendation keeps this WER, in per cent: 5 or 5%.
    max_watts
        The recommendation keeps this mean power, in W: 3 or 3W.
    max_memory
        The recommendation keeps this peak memory: 500MB, 2GB or bytes.
    condition
        The condition under which the limits hold: clean unless given.
    device
        Also show what transducers would take on this device: a profile's name or file (see wattscribe devices).
    grid_gco2_per_kwh
        Grams of CO2 that the grid emits per kWh, as its operator or a national office states; shows CO2 per hour of audio.
    battery_wh
        Watt-hours of a battery: shows how long it lasts while listening, in a run with --pace realtime.
    """
    import wattscribe
    from wattscribe.errors import InputError
    from wattscribe.results.quantities import bytes_of, percent_of, watts_of

    if not runs:
        raise InputError("there is nothing to report", fix="Name a run: wattscribe report runs/NAME")
    output = wattscribe.report(
        runs,
        out,
        format=format,
        max_wer_percent=None if max_wer is None else percent_of(max_wer, flag="--max-wer"),
        max_power_w=None if max_watts is None else watts_of(max_watts, flag="--max-watts"),
        max_memory_bytes=None if max_memory is None else bytes_of(max_memory, flag="--max-memory"),
        condition=condition,
        device=device,
        grid_gco2_per_kwh=grid_gco2_per_kwh,
        battery_wh=battery_wh,
    )
    print(output, end="" if isinstance(output, str) and output.endswith("\n") else "\n")
