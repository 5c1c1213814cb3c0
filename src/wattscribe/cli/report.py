"""`wattscribe report runs/NAME`: one HTML page, or the table as Markdown, CSV, JSON or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts

app = cyclopts.App(name="wattscribe report", help="Turn a run into one HTML page, a table, CSV, JSON or Parquet.")


@app.default
def report(
    run: Path,
    /,
    *,
    format: Literal["html", "md", "csv", "json", "parquet"] = "html",
    out: Annotated[Path | None, cyclopts.Parameter(["--out", "-o"])] = None,
    max_wer: str | None = None,
    max_watts: str | None = None,
    max_memory: str | None = None,
    condition: str | None = None,
    device: str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    watch: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    port: int | None = None,
) -> None:
    """Write what a run found.

    Parameters
    ----------
    run
        The run's directory, runs/NAME.
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
    watch
        Serve the page to browsers of this machine while the run goes on, until Ctrl-C; it follows the run (docs/live.md).
    port
        With --watch: the port to serve on. One that is free unless given.
    """
    import wattscribe
    from wattscribe.errors import InputError

    keep = _limits(max_wer, max_watts, max_memory) | {"condition": condition}
    show: dict[str, Any] = {"device": device, "grid_gco2_per_kwh": grid_gco2_per_kwh, "battery_wh": battery_wh}
    if watch:
        if format != "html" or out is not None:
            raise InputError("--watch serves the page and writes nothing", fix="Leave --format and --out out")
        _serve(run, port or 0, keep=keep, show=show)
        return
    if port is not None:
        raise InputError("--port is where --watch serves the page", fix="Add --watch")
    output: Path | str = wattscribe.report(run, out, format=format, **keep, **show)
    print(output, end="" if isinstance(output, str) and output.endswith("\n") else "\n")


def _limits(max_wer: str | None, max_watts: str | None, max_memory: str | None) -> dict[str, Any]:
    """By the names that functions have."""
    from wattscribe.results.quantities import bytes_of, percent_of, watts_of

    return {
        "max_wer_percent": None if max_wer is None else percent_of(max_wer, flag="--max-wer"),
        "max_power_w": None if max_watts is None else watts_of(max_watts, flag="--max-watts"),
        "max_memory_bytes": None if max_memory is None else bytes_of(max_memory, flag="--max-memory"),
    }


def _serve(run: Path, port: int, *, keep: dict[str, Any], show: dict[str, Any]) -> None:
    """Until a signal ends it."""
    from wattscribe.energy import devices
    from wattscribe.pages.serving import PageServer, page_of
    from wattscribe.results.findings import Limits

    device = show["device"]
    profile = None if device is None else devices.load(device)
    with PageServer(
        run, page_of(run, limits=Limits.stated(**keep), **{**show, "device": profile}), port=port
    ) as server:
        print(server.url, flush=True)
        server.serve_forever()
